// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sides: classes of addresses that the same rules of the direction have on one side are
 * one. Then the pairs of sides, by a table of all or by bits.
 */
#include "classify/product.h"

#include <errno.h>
#include <string.h>

#include "classify/bits.h"
#include "classify/product_maker.h"

static const struct policy_rule *rule_at(const struct maker *maker, uint32_t r)
{
	return &maker->rules->policy->rules.at[maker->rules->first + r];
}

uint32_t maker_set(const struct maker *maker, uint32_t r, int side)
{
	return side ? rule_at(maker, r)->destination : rule_at(maker, r)->source;
}

/* ---- sides ---- */

/* The sets that rules have on a side: those with ranges, and those with self. */
static void find_sets(struct maker *maker, int side, uint64_t *with_ranges, uint64_t *with_self)
{
	for (uint32_t r = 0; r < maker->rules->n; r++) {
		uint32_t set = maker_set(maker, r, side);

		if (maker->rules->policy->sets.at[set].ranges.len) {
			bits_add(with_ranges, set);
			maker->product->sides_address |= 1 << side;
		}
		if (maker->rules->policy->sets.at[set].self) {
			bits_add(with_self, set);
			maker->product->sides_self |= 1 << side;
		}
	}
}

/* The rules of a direction by what they have on a side. */
struct side_rules {
	uint64_t *any;	 /* those that match every address */
	uint32_t *first; /* of each set where its rules begin in list, and one behind */
	uint32_t *list;
};

static struct side_rules list_rules(const struct maker *maker, int side)
{
	const struct policy *policy = maker->rules->policy;
	struct side_rules by = {
		.any = arena_calloc(maker->arena, maker->n_words, sizeof(*by.any)),
		.first = arena_calloc(maker->arena, policy->sets.len + 2, sizeof(*by.first)),
		.list = arena_calloc(maker->arena, maker->rules->n, sizeof(*by.list)),
	};

	for (uint32_t r = 0; r < maker->rules->n; r++) {
		uint32_t set = maker_set(maker, r, side);

		by.first[set + 2]++;
		if (policy->sets.at[set].any)
			bits_add(by.any, r);
	}
	for (size_t i = 2; i < policy->sets.len + 2; i++)
		by.first[i] += by.first[i - 1];
	for (uint32_t r = 0; r < maker->rules->n; r++)
		by.list[by.first[maker_set(maker, r, side) + 1]++] = r;
	return by;
}

/* The rules that match a side class, which is a set of sets. */
static void rules_of_sets(const struct maker *maker, const struct side_rules *by,
			  const uint64_t *sets, uint64_t *rules)
{
	memcpy(rules, by->any, maker->n_words * sizeof(*rules));
	for (size_t w = 0; w < maker->addresses->n_words; w++) {
		for (uint64_t left = sets[w]; left; left &= left - 1) {
			size_t set = w * 64 + (size_t)__builtin_ctzll(left);

			for (uint32_t i = by->first[set]; i < by->first[set + 1]; i++)
				bits_add(rules, by->list[i]);
		}
	}
}

static void make_side(struct maker *maker, int side)
{
	const struct addresses *addresses = maker->addresses;
	scoped(intern_free) struct intern *classes = intern_new();
	size_t n_words = addresses->n_words;
	uint64_t *with_ranges = arena_calloc(maker->arena, n_words, sizeof(*with_ranges));
	uint64_t *with_self = arena_calloc(maker->arena, n_words, sizeof(*with_self));
	uint64_t *state = arena_calloc(maker->arena, n_words, sizeof(*state));
	const struct side_rules by = list_rules(maker, side);
	uint32_t len = maker->product->side_len;
	uint32_t n;

	find_sets(maker, side, with_ranges, with_self);
	maker->product->side[side] =
		arena_calloc(maker->arena, len, sizeof(*maker->product->side[side]));
	for (uint32_t i = 0; i < len; i++) {
		for (size_t w = 0; w < n_words; w++)
			state[w] = (addresses->sets[i / 2 * n_words + w] & with_ranges[w]) |
				   (i & 1 ? with_self[w] : 0);
		maker->product->side[side][i] =
			intern_put(classes, state, n_words * sizeof(*state));
	}
	n = intern_len(classes);
	maker->product->n_side[side] = n;
	maker->side_rules[side] = arena_calloc(maker->arena, n * maker->n_words, sizeof(uint64_t));
	for (uint32_t c = 0; c < n; c++)
		rules_of_sets(maker, &by, intern_get(classes, c),
			      maker->side_rules[side] + c * maker->n_words);
}

/* ---- for both kinds ---- */

const char *maker_largest(const struct maker *maker, int side, size_t *ret_n_ranges)
{
	const struct policy *policy = maker->rules->policy;
	size_t n_ranges = 0;
	uint32_t large = 0;

	for (uint32_t r = 0; r < maker->rules->n; r++) {
		size_t n = policy->sets.at[maker_set(maker, r, side)].ranges.len;

		if (n <= n_ranges)
			continue;
		n_ranges = n;
		large = r;
	}
	*ret_n_ranges = n_ranges;
	return policy_rule_path(maker->arena, policy, maker->rules->first + large);
}

static uint16_t rule_of(uint32_t rule)
{
	return rule == POLICY_NO_RULE ? BH_NO_RULE : rule;
}

/* The outcome of what the tiers matched, as the kernel reads it. */
static struct bh_outcome outcome_of(const struct maker *maker, const uint32_t matched[TIER_COUNT])
{
	struct policy_outcome combined;
	struct bh_outcome outcome = {.direction = maker->rules->direction};

	policy_combine(maker->rules->policy, maker->rules->direction, matched, &combined);
	outcome.verdict = !combined.allow	? BH_DENY
			  : combined.would_deny ? BH_WOULD_DENY
						: BH_ALLOW;
	outcome.flags = (combined.log ? BH_OUTCOME_LOG : 0) | (combined.keep ? BH_OUTCOME_KEEP : 0);
	outcome.reason = combined.no_group ? BH_REASON_NO_GROUP : BH_REASON_RULE;
	outcome.rule = rule_of(combined.rule);
	for (int tier = 0; tier < TIER_COUNT; tier++)
		outcome.tier_rule[tier] = rule_of(combined.tier_rule[tier]);
	return outcome;
}

uint16_t maker_outcome(const struct maker *maker, const uint32_t matched[BH_TIER_COUNT])
{
	struct bh_outcome outcome = outcome_of(maker, matched);

	return intern_put(maker->tables->outcomes, &outcome, sizeof(outcome));
}

const char *maker_check_outcomes(const struct maker *maker)
{
	uint32_t n = intern_len(maker->tables->outcomes);

	if (n <= BH_OUTCOMES)
		return NULL;
	return arena_printf(maker->arena,
			    "the rules of the tiers combine to %u outcomes, and %d fit", n,
			    BH_OUTCOMES);
}

/* ---- the choice ---- */

/* What a kind that gave up has left in the tables of both directions goes again. */
static const char *try_pairs(struct maker *maker)
{
	const struct product sides = *maker->product;
	uint32_t n_outcomes = intern_len(maker->tables->outcomes);
	uint32_t n_blocks = intern_len(maker->tables->blocks);
	const char *why = product_pairs(maker);

	if (why) {
		intern_cut(maker->tables->outcomes, n_outcomes);
		intern_cut(maker->tables->blocks, n_blocks);
		*maker->product = sides;
	}
	return why;
}

static int choose(struct maker *maker, int force, struct diag *diag)
{
	const char *why_pairs = force == BH_PRODUCT_BITS ? "" : try_pairs(maker);
	const char *why_bits;

	if (!why_pairs)
		return 0;
	if (force == BH_PRODUCT_PAIRS)
		return diag_refuse(diag, -E2BIG, "%s", why_pairs);
	why_bits = product_bits(maker);
	if (!why_bits) {
		maker->product->why_bits = why_pairs;
		return 0;
	}
	return diag_refuse(diag, -E2BIG, "%s%s%s", why_pairs,
			   why_pairs[0] ? "; and by a bit for each rule, " : "", why_bits);
}

int product_make(struct arena *arena, const struct product_input *input, struct diag *diag,
		 struct product *ret_product)
{
	scoped(intern_free) struct intern *shadowless = intern_new();
	struct product product = {.side_len = input->addresses->n_classes * 2};
	struct maker maker = {
		.arena = arena,
		.rules = input->rules,
		.addresses = input->addresses,
		.protocols = input->protocols,
		.tables = input->tables,
		.product = &product,
		.n_words = input->protocols->n_words,
		.shadowless = shadowless,
	};
	int err;

	for (int side = 0; side < 2; side++)
		make_side(&maker, side);
	err = choose(&maker, input->force, diag);
	if (!err)
		*ret_product = product;
	return err;
}
