// SPDX-License-Identifier: GPL-2.0-only
/*
 * The precedence between tiers, and the names of what a policy is made of. The precedence
 * between rules of a tier is the order in which policy/resolve puts them.
 */
#include "policy/policy.h"

#include "policy/names.h"

static const struct policy_rule *rule_at(const struct policy *policy, uint32_t rule)
{
	return &policy->rules.at[rule];
}

static void start(const uint32_t matched[TIER_COUNT], struct policy_outcome *outcome)
{
	*outcome = (struct policy_outcome){.rule = POLICY_NO_RULE};
	for (int tier = 0; tier < TIER_COUNT; tier++)
		outcome->tier_rule[tier] = POLICY_NO_RULE;
	outcome->tier_rule[TIER_ADMIN] = matched[TIER_ADMIN];
}

static void decide(const struct policy *policy, uint32_t rule, bool allow, bool would_deny,
		   struct policy_outcome *outcome)
{
	outcome->allow = allow;
	outcome->would_deny = would_deny;
	outcome->rule = rule;
	if (rule == POLICY_NO_RULE)
		return;
	outcome->log = rule_at(policy, rule)->log;
	outcome->keep =
		(!allow || would_deny) && policy->groups.at[rule_at(policy, rule)->group].keep;
}

/*
 * Neither a subnet nor a nic group exists, and the admin tier has not ended it; audit_rule is
 * what it would have denied by.
 */
static void decide_no_group(const struct policy *policy, uint32_t audit_rule,
			    struct policy_outcome *outcome)
{
	bool deny = policy->host.no_group != AST_ALLOW;
	bool audit = policy->host.mode == AST_AUDIT;

	if (audit_rule != POLICY_NO_RULE && (audit || !deny))
		return decide(policy, audit_rule, true, true, outcome);
	outcome->no_group = true;
	outcome->allow = !deny || audit;
	outcome->would_deny = deny && audit;
	outcome->keep = deny && policy->host.existing_flows == AST_KEEP;
}

/* The deny or always-allow that ends the evaluation in this tier; else notes an audit deny. */
static bool ends(const struct policy *policy, uint32_t matched, uint32_t *audit_rule,
		 struct policy_outcome *outcome)
{
	const struct policy_rule *rule;

	if (matched == POLICY_NO_RULE)
		return false;
	rule = rule_at(policy, matched);
	switch (rule->access) {
	case ACCESS_ALLOW:
		return false;
	case ACCESS_ALWAYS_ALLOW:
		decide(policy, matched, true, false, outcome);
		return true;
	case ACCESS_DENY:
		break;
	}
	if (!rule->audit) {
		decide(policy, matched, false, false, outcome);
		return true;
	}
	if (*audit_rule == POLICY_NO_RULE)
		*audit_rule = matched;
	return false;
}

void policy_order(enum policy_direction direction, enum policy_tier order[TIER_COUNT])
{
	order[0] = TIER_ADMIN;
	order[1] = direction == DIRECTION_IN ? TIER_SUBNET : TIER_NIC;
	order[2] = direction == DIRECTION_IN ? TIER_NIC : TIER_SUBNET;
}

void policy_combine(const struct policy *policy, enum policy_direction direction,
		    const uint32_t matched[TIER_COUNT], struct policy_outcome *ret_outcome)
{
	enum policy_tier order[TIER_COUNT];
	uint32_t audit_rule = POLICY_NO_RULE;
	uint32_t last = POLICY_NO_RULE;

	policy_order(direction, order);
	start(matched, ret_outcome);
	if (ends(policy, matched[TIER_ADMIN], &audit_rule, ret_outcome))
		return;
	for (size_t i = 1; i < ARRAY_LEN(order); i++) {
		if (!policy->has_group[order[i]])
			continue;
		last = matched[order[i]];
		ret_outcome->tier_rule[order[i]] = last;
		if (last == POLICY_NO_RULE)
			return decide(policy, POLICY_NO_RULE, false, false, ret_outcome);
		if (ends(policy, last, &audit_rule, ret_outcome))
			return;
	}
	if (last == POLICY_NO_RULE)
		return decide_no_group(policy, audit_rule, ret_outcome);
	if (audit_rule != POLICY_NO_RULE)
		return decide(policy, audit_rule, true, true, ret_outcome);
	decide(policy, last, true, false, ret_outcome);
}

const char *policy_rule_path(struct arena *arena, const struct policy *policy, uint32_t rule)
{
	struct str group = policy->groups.at[rule_at(policy, rule)->group].name;
	struct str name = rule_at(policy, rule)->name;

	return arena_printf(arena, STR_FMT "/" STR_FMT, STR_ARG(group), STR_ARG(name));
}

const char *policy_tier_name(enum policy_tier tier)
{
	static const char *const names[TIER_COUNT] = {
		[TIER_ADMIN] = "admin",
		[TIER_SUBNET] = "subnet",
		[TIER_NIC] = "nic",
	};

	return names[tier];
}

uint32_t policy_count_audit(const struct policy *policy)
{
	uint32_t n = 0;

	for (size_t i = 0; i < policy->rules.len; i++)
		n += policy->rules.at[i].audit;
	return n;
}

const char *policy_direction_name(enum policy_direction direction)
{
	return direction == DIRECTION_IN ? "inbound" : "outbound";
}

const char *policy_access_name(enum policy_access access)
{
	static const char *const names[] = {
		[ACCESS_ALLOW] = "allow",
		[ACCESS_DENY] = "deny",
		[ACCESS_ALWAYS_ALLOW] = "always-allow",
	};

	return names[access];
}

static const struct {
	const char *name;
	int number;
} protocols[] = {
	{"tcp", 6},	{"udp", 17}, {"sctp", 132}, {"icmp", 1},
	{"icmpv6", 58}, {"esp", 50}, {"ah", 51},    {"gre", 47},
};

const char *policy_protocol_name(int protocol)
{
	for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
		if (protocols[i].number == protocol)
			return protocols[i].name;
	return NULL;
}

/* Backwards, so that icmp6 is icmpv6 rather than icmp. */
void policy_try_protocols(struct nearest *nearest)
{
	for (size_t i = ARRAY_LEN(protocols); i > 0; i--)
		nearest_try(nearest, str_of(protocols[i - 1].name));
}

int policy_protocol_number(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
		if (str_eq_nocase(str_of(protocols[i].name), name))
			return protocols[i].number;
	return -1;
}
