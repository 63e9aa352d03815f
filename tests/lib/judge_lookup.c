// SPDX-License-Identifier: GPL-2.0-only
#include "tests/lib/judge_lookup.h"

#include <errno.h>

#include "classify/build.h"
#include "classify/lookup.h"

/* The images of the policy at hand: the one that build chooses, then the forced ones. */
static struct arena *arena;
static struct image images[JUDGES_LOOKUP_STRUCTURES];

static uint32_t rule_of(uint16_t rule)
{
	return rule == BH_NO_RULE ? POLICY_NO_RULE : rule;
}

struct verdict verdict_of_outcome(const struct bh_outcome *outcome)
{
	struct verdict verdict = {
		.allow = outcome->verdict != BH_DENY,
		.would_deny = outcome->verdict == BH_WOULD_DENY,
		.reason = outcome->reason == BH_REASON_NO_GROUP ? EVAL_NO_GROUP : EVAL_RULE,
		.outcome = {.log = outcome->flags & BH_OUTCOME_LOG,
			    .keep = outcome->flags & BH_OUTCOME_KEEP,
			    .no_group = outcome->reason == BH_REASON_NO_GROUP,
			    .rule = rule_of(outcome->rule)},
	};

	verdict.outcome.allow = verdict.allow;
	verdict.outcome.would_deny = verdict.would_deny;
	for (int tier = 0; tier < TIER_COUNT; tier++)
		verdict.outcome.tier_rule[tier] = rule_of(outcome->tier_rule[tier]);
	return verdict;
}

/* The packet for itself, no flow being known. */
static struct verdict judge_one(const struct image *image, const struct policy *policy,
				const struct tuple *tuple, const addr_list *self)
{
	struct verdict verdict = {};

	if (eval_before_rules(policy, tuple, &verdict))
		return verdict;
	return verdict_of_outcome(lookup(image, tuple, self));
}

static bool by_policy(const struct verdict *verdict)
{
	return verdict->reason == EVAL_RULE || verdict->reason == EVAL_NO_GROUP;
}

static int judge_by(const struct image *image, const struct policy *policy,
		    const struct tuple *tuple, const addr_list *self, struct verdict *ret_verdict)
{
	struct tuple opening = tuple_turn(tuple);
	struct verdict opener;

	if (!image->tables)
		return -ENOENT;
	*ret_verdict = judge_one(image, policy, tuple, self);
	if (!eval_is_reply(tuple) || !by_policy(ret_verdict) ||
	    (ret_verdict->allow && !ret_verdict->would_deny))
		return 0;
	opener = judge_one(image, policy, &opening, self);
	if (!opener.allow || !(by_policy(&opener) || opener.reason == EVAL_PLATFORM))
		return 0;
	opener.by_flow = true;
	*ret_verdict = opener;
	return 0;
}

static int prepare(const struct policy *policy, const struct build_limits *limits,
		   struct image *ret_image)
{
	scoped(diag_free) struct diag *diag = diag_new();
	int err = build(arena, policy, NULL, 0, limits, diag, ret_image);

	if (err)
		diag_print(diag, stdout);
	return err;
}

/* Called first of all, so that it is here that what was before goes away. */
static int prepare_chosen(const struct policy *policy)
{
	struct build_limits limits = judge_lookup_limits(0);

	arena_free(arena);
	arena = arena_new();
	memset(images, 0, sizeof(images));
	return prepare(policy, &limits, &images[0]);
}

static int judge_chosen(const struct policy *policy, const struct tuple *tuple,
			const addr_list *self, struct verdict *ret_verdict)
{
	return judge_by(&images[0], policy, tuple, self, ret_verdict);
}

const struct judge judge_lookup = {"lookup", prepare_chosen, judge_chosen};

#define FORCED(X)                    \
	X(1, BLOCKS, 10, 1, PAIRS)   \
	X(2, RANGES, 11, 2, BITS)    \
	X(3, BLOCKS, 12, 4, BITS)    \
	X(4, RANGES, 13, 8, PAIRS)   \
	X(5, BLOCKS, 14, 256, PAIRS) \
	X(6, RANGES, 15, 256, BITS)  \
	X(7, BLOCKS, 16, 256, BITS)  \
	X(8, RANGES, 17, 512, PAIRS) \
	X(9, BLOCKS, 18, 512, PAIRS) \
	X(10, RANGES, 19, 1024, BITS)

struct build_limits judge_lookup_limits(size_t structure)
{
	struct build_limits limits = build_limits_default();

	switch (structure) {
#define X(number, kind, bits, near_kb, way)                 \
	case number:                                        \
		limits.force_address4 = BH_ADDRESS4_##kind; \
		limits.force_address6_bits = bits;          \
		limits.few_address6 = (number) % 3;         \
		limits.force_product = BH_PRODUCT_##way;    \
		limits.near_size = (near_kb)*1024;          \
		break;
		FORCED(X)
#undef X
	default:
		break;
	}
	return limits;
}

#define X(number, kind, bits, near_kb, way)                                               \
	static int prepare_##number(const struct policy *policy)                          \
	{                                                                                 \
		struct build_limits limits = judge_lookup_limits(number);                 \
                                                                                          \
		return prepare(policy, &limits, &images[number]);                         \
	}                                                                                 \
                                                                                          \
	static int judge_##number(const struct policy *policy, const struct tuple *tuple, \
				  const addr_list *self, struct verdict *ret_verdict)     \
	{                                                                                 \
		return judge_by(&images[number], policy, tuple, self, ret_verdict);       \
	}
FORCED(X)
#undef X

const struct judge judges_lookup_forced[JUDGES_LOOKUP_FORCED] = {
#define X(number, kind, bits, near_kb, way)                                              \
	{"lookup " #kind " " #bits " bits near " #near_kb " KB " #way, prepare_##number, \
	 judge_##number},
	FORCED(X)
#undef X
};
