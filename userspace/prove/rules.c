// SPDX-License-Identifier: GPL-2.0-only
#include "prove/rules.h"

struct rules rules_of(const struct policy *policy, enum policy_direction direction)
{
	struct rules rules = {.policy = policy, .direction = direction, .first = UINT32_MAX};
	uint32_t end = 0;

	for (int tier = 0; tier < TIER_COUNT; tier++) {
		uint32_t first = policy->first[direction][tier];
		uint32_t n = policy->n[direction][tier];

		if (n && first < rules.first)
			rules.first = first;
		if (n && first + n > end)
			end = first + n;
	}
	if (end)
		rules.n = end - rules.first;
	return rules;
}

void rules_of_tier(const struct rules *rules, enum policy_tier tier, uint32_t *ret_from,
		   uint32_t *ret_end)
{
	uint32_t n = rules->policy->n[rules->direction][tier];

	*ret_from = n ? rules->policy->first[rules->direction][tier] - rules->first : 0;
	*ret_end = *ret_from + n;
}
