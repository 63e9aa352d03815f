/* SPDX-License-Identifier: GPL-2.0-only */
/* The rules of one direction, counted from the first: how sets of them are written as bits. */
#ifndef PROVE_RULES_H
#define PROVE_RULES_H

#include "policy/policy.h"

struct rules {
	const struct policy *policy;
	enum policy_direction direction;
	uint32_t first; /* id of rule 0 */
	uint32_t n;
};

static inline const struct policy_rule *rules_at(const struct rules *rules, uint32_t rule)
{
	return &rules->policy->rules.at[rules->first + rule];
}

struct rules rules_of(const struct policy *policy, enum policy_direction direction);

/* The rules of a tier: from *ret_from up to, and without, *ret_end. */
void rules_of_tier(const struct rules *rules, enum policy_tier tier, uint32_t *ret_from,
		   uint32_t *ret_end);

#endif
