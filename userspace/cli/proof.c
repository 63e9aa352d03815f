// SPDX-License-Identifier: GPL-2.0-only
/* The proof in words; see cli/proof.h. */
#include <errno.h>

#include "cli/describe.h"
#include "cli/proof.h"
#include "prove/prove.h"

enum { PROVED_UNASKED_MS = 2000 };

static const char *rule_text(struct arena *arena, const struct policy *policy, uint32_t rule)
{
	if (rule == BH_NO_RULE)
		return "none";
	/* What the image has may be any number. */
	if (rule >= policy->rules.len)
		return arena_printf(arena, "rule %u, which there is not", rule);
	return policy_rule_path(arena, policy, rule);
}

static const char *verdict_text(const struct bh_outcome *outcome)
{
	switch (outcome->verdict & 0xf) {
	case BH_DENY:
		return "deny";
	case BH_ALLOW:
		return "allow";
	case BH_WOULD_DENY:
		return "would-deny";
	}
	return "no verdict";
}

static struct view_answer answer_of(struct arena *arena, const struct policy *policy,
				    const struct bh_outcome *outcome)
{
	struct view_answer answer = {
		.verdict = verdict_text(outcome),
		.decider = outcome->reason == BH_REASON_NO_GROUP
				   ? "no-group"
				   : rule_text(arena, policy, outcome->rule),
		.direction = policy_direction_name((enum policy_direction)outcome->direction),
		.log = outcome->flags & BH_OUTCOME_LOG,
		.keep = outcome->flags & BH_OUTCOME_KEEP,
		.no_state = outcome->flags & BH_OUTCOME_NO_STATE,
	};

	if (outcome->rule < policy->rules.len)
		answer.place = describe_place(&policy->rules.at[outcome->rule].mark);
	for (int tier = 0; tier < TIER_COUNT; tier++)
		answer.tiers[tier] = rule_text(arena, policy, outcome->tier_rule[tier]);
	return answer;
}

/* An address that is at no end of the packet. */
static struct addr bystander(const struct tuple *packet)
{
	static const char *const documentation[] = {"192.0.2.1", "192.0.2.2", "192.0.2.3"};
	struct addr addr;

	for (size_t i = 0; i < ARRAY_LEN(documentation); i++)
		if (!addr_parse(str_of(documentation[i]), &addr) &&
		    addr_compare(&addr, &packet->source) &&
		    addr_compare(&addr, &packet->destination))
			break;
	return addr;
}

/*
 * What stands behind --self, so that explain takes no end of the packet for the host's own by
 * itself.
 */
static const char *self_text(struct arena *arena, const struct prove_result *result)
{
	struct addr other = bystander(&result->packet);
	const struct addr *self = result->n_self ? result->self : &other;
	size_t n = result->n_self ? result->n_self : 1;
	const char *text = "";
	char buffer[ADDR_TEXT_SIZE];

	for (size_t i = 0; i < n; i++)
		text = arena_printf(arena, "%s%s%s", text, i ? "," : "",
				    addr_print(&self[i], buffer));
	return text;
}

/* Before it begins, to whoever waits for it. */
static void tell_estimate(struct arena *arena, uint64_t ms)
{
	if (ms < PROVED_UNASKED_MS)
		return;
	inputs_tell(arena_printf(
		arena,
		"the proof is estimated to take %llu s; it may be interrupted, and nothing is changed "
		"then",
		(unsigned long long)(ms + 999) / 1000));
}

struct view_proof proof_make(struct context *context, const struct inputs *inputs)
{
	char *packet = arena_alloc(context->arena, TUPLE_TEXT_SIZE);
	uint64_t start = inputs_clock();
	struct prove_result result;
	struct view_proof proof;

	tell_estimate(context->arena, prove_estimate(&inputs->policy, &inputs->image));
	prove(context->arena, &inputs->policy, &inputs->image, &result);
	proof = (struct view_proof){
		.holds = result.answer == PROVE_HOLDS,
		.fault = result.fault,
		.n_segments = result.n_segments,
		.n_services = result.n_services,
		.n_pairs = result.n_pairs,
		.n_combinations = result.n_combinations,
		.n_differ = result.n_differ,
		.milliseconds = inputs_clock() - start,
	};
	if (result.answer != PROVE_DIFFERS)
		return proof;
	proof.packet = tuple_print(&result.packet, packet);
	proof.self = self_text(context->arena, &result);
	proof.expected = answer_of(context->arena, &inputs->policy, &result.expected);
	proof.found = answer_of(context->arena, &inputs->policy, &result.found);
	return proof;
}

int proof_demand(struct context *context, const struct inputs *inputs, bool *ret_proven)
{
	const enum prove_when when = context->options.prove;
	struct view_proof proof;

	if (when == PROVE_NEVER)
		diag_warn(context->diag, (struct mark){},
			  "the image is not proven to say what the policy says (--no-prove)");
	*ret_proven = when == PROVE_ALWAYS ||
		      (when == PROVE_IF_QUICK &&
		       prove_estimate(&inputs->policy, &inputs->image) < PROVED_UNASKED_MS);
	if (!*ret_proven)
		return STATUS_DONE;
	proof = proof_make(context, inputs);
	if (proof.holds)
		return STATUS_DONE;
	if (proof.fault)
		(void)diag_refuse(context->diag, -EINVAL,
				  "not applied: the image is not what the policy says: %s; this is "
				  "a fault of bulkhead: please report it",
				  proof.fault);
	else
		(void)diag_refuse(
			context->diag, -EINVAL,
			"not applied: the image is not what the policy says: of '%s' the "
			"policy says %s by %s, and the image %s by %s; this is a fault of "
			"bulkhead: please report it with what 'bulkhead prove' prints",
			proof.packet, proof.expected.verdict, proof.expected.decider,
			proof.found.verdict, proof.found.decider);
	return STATUS_NO;
}
