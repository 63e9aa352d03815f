// SPDX-License-Identifier: GPL-2.0-only
#include "prove/expected.h"

static uint16_t rule_in_image(uint32_t rule)
{
	return rule == POLICY_NO_RULE ? BH_NO_RULE : (uint16_t)rule;
}

static uint8_t verdict_in_image(const struct policy_outcome *outcome)
{
	if (!outcome->allow)
		return BH_DENY;
	return outcome->would_deny ? BH_WOULD_DENY : BH_ALLOW;
}

struct bh_outcome expected_outcome(const struct rules *rules, const uint32_t matched[TIER_COUNT])
{
	struct bh_outcome expected = {.direction = rules->direction};
	struct policy_outcome outcome;

	policy_combine(rules->policy, rules->direction, matched, &outcome);
	expected.verdict = verdict_in_image(&outcome);
	if (outcome.log)
		expected.flags |= BH_OUTCOME_LOG;
	if (outcome.keep)
		expected.flags |= BH_OUTCOME_KEEP;
	expected.reason = outcome.no_group ? BH_REASON_NO_GROUP : BH_REASON_RULE;
	expected.rule = rule_in_image(outcome.rule);
	for (int tier = 0; tier < TIER_COUNT; tier++)
		expected.tier_rule[tier] = rule_in_image(outcome.tier_rule[tier]);
	return expected;
}
