/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The steps of an evaluation, for explain: which tiers were asked, which rules were tried, and
 * why each did or did not match. Plain data; the verdict is eval's.
 */
#ifndef POLICY_TRACE_H
#define POLICY_TRACE_H

#include "policy/eval.h"

struct trace_step {
	uint32_t rule;
	bool matched;
	struct rule_match match;
};

struct trace_tier {
	enum policy_tier tier;
	bool has_group;
	bool reached;			/* asked: nothing before it has ended the evaluation */
	ARRAY(struct trace_step) steps; /* in order; the last is the match, if there is one */
	uint32_t matched;		/* POLICY_NO_RULE: none, or not reached */
};

struct trace {
	struct tuple tuple;
	struct verdict verdict;		     /* as eval says, flow included */
	bool before_rules;		     /* decided before any rule; no tier was reached */
	struct trace_tier tiers[TIER_COUNT]; /* in order of evaluation */
	/*
	 * When the tuple is a reply that the policy itself does not let pass: the steps for the
	 * packet that would have opened its flow. verdict.by_flow says whether that helped.
	 */
	const struct trace *opener;
};

/* Lives in the arena; the policy must outlive it. */
const struct trace *trace_packet(struct arena *arena, const struct policy *policy,
				 const struct tuple *tuple, const addr_list *self);

#endif
