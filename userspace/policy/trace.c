// SPDX-License-Identifier: GPL-2.0-only
/* Walks the rules as policy/eval does and writes down what it sees. */
#include "policy/trace.h"

/* Which tiers were reached is read off the outcome: precedence is policy_combine's alone. */
static void trace_one_tier(struct arena *arena, const struct policy *policy,
			   const struct tuple *tuple, const addr_list *self,
			   struct trace_tier *tier)
{
	uint32_t first = policy->first[tuple->direction][tier->tier];
	uint32_t n = policy->n[tuple->direction][tier->tier];

	for (uint32_t i = first; i < first + n; i++) {
		struct trace_step step = {.rule = i};

		step.matched = eval_rule(policy, &policy->rules.at[i], tuple, self, &step.match);
		array_push(arena, &tier->steps, step);
		if (step.matched) {
			tier->matched = i;
			return;
		}
	}
}

static void trace_tiers(struct arena *arena, const struct policy *policy,
			const struct policy_outcome *own, const addr_list *self,
			struct trace *trace)
{
	enum policy_tier order[TIER_COUNT];

	policy_order(trace->tuple.direction, order);
	for (size_t i = 0; i < TIER_COUNT; i++) {
		struct trace_tier *tier = &trace->tiers[i];

		tier->tier = order[i];
		tier->has_group = policy->has_group[order[i]];
		tier->matched = POLICY_NO_RULE;
		tier->reached =
			!trace->before_rules &&
			(order[i] == TIER_ADMIN || own->tier_rule[order[i]] != POLICY_NO_RULE);
		if (tier->reached)
			trace_one_tier(arena, policy, &trace->tuple, self, tier);
	}
}

const struct trace *trace_packet(struct arena *arena, const struct policy *policy,
				 const struct tuple *tuple, const addr_list *self)
{
	struct trace *trace = arena_alloc(arena, sizeof(*trace));
	struct tuple alone = *tuple;
	struct tuple opening = tuple_turn(tuple);
	struct verdict own;

	alone.established = false;
	own = eval(policy, &alone, self);
	trace->tuple = *tuple;
	trace->verdict = eval(policy, tuple, self);
	trace->before_rules = own.reason != EVAL_RULE && own.reason != EVAL_NO_GROUP;
	trace_tiers(arena, policy, &own.outcome, self, trace);
	if (eval_is_reply(tuple) && !trace->before_rules && (!own.allow || own.would_deny))
		trace->opener = trace_packet(arena, policy, &opening, self);
	return trace;
}
