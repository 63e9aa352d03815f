// SPDX-License-Identifier: GPL-2.0-only
/*
 * Precedence between tiers: every combination of what the tiers may have matched, against the
 * same meaning said in another way: the packet passes when nothing that was asked denies it.
 */
#include <criterion/criterion.h>

#include "policy/policy.h"

/* One rule of each kind in each tier, plus what is no match. */
enum kind {
	KIND_NONE,
	KIND_ALLOW,
	KIND_DENY,
	KIND_AUDIT,
	KIND_ALWAYS,
	KIND_COUNT,
};

static const char *const kind_names[] = {"none", "allow", "deny", "audit", "always"};

static void make_policy(struct arena *arena, struct policy *policy)
{
	for (enum policy_tier tier = 0; tier < TIER_COUNT; tier++) {
		array_push(arena, &policy->groups,
			   (struct policy_group){.tier = tier, .keep = tier == TIER_SUBNET});
		for (int kind = KIND_ALLOW; kind < KIND_COUNT; kind++)
			array_push(arena, &policy->rules,
				   (struct policy_rule){
					   .id = (uint32_t)policy->rules.len,
					   .group = tier,
					   .tier = tier,
					   .access = kind == KIND_ALLOW	   ? ACCESS_ALLOW
						     : kind == KIND_ALWAYS ? ACCESS_ALWAYS_ALLOW
									   : ACCESS_DENY,
					   .audit = kind == KIND_AUDIT,
					   .log = kind == KIND_DENY,
				   });
	}
}

static uint32_t rule_of(enum policy_tier tier, enum kind kind)
{
	return kind == KIND_NONE ? POLICY_NO_RULE
				 : (uint32_t)tier * (KIND_COUNT - 1) + (uint32_t)kind - 1;
}

/* The tiers in the order in which a packet of the direction meets them. */
static void tiers_in_order(enum policy_direction direction, enum policy_tier order[TIER_COUNT])
{
	order[0] = TIER_ADMIN;
	order[1] = direction == DIRECTION_IN ? TIER_SUBNET : TIER_NIC;
	order[2] = direction == DIRECTION_IN ? TIER_NIC : TIER_SUBNET;
}

/*
 * What must come out: the first deny that is meant and is not behind an always-allow decides.
 * Else the packet passes, by the first audit deny if there is one.
 */
static void expect(const struct policy *policy, enum policy_direction direction,
		   const enum kind kinds[TIER_COUNT], bool *ret_allow, uint32_t *ret_rule)
{
	bool grouped = policy->has_group[TIER_SUBNET] || policy->has_group[TIER_NIC];
	uint32_t audit = POLICY_NO_RULE, last = POLICY_NO_RULE;
	enum policy_tier order[TIER_COUNT];

	tiers_in_order(direction, order);
	for (int i = 0; i < TIER_COUNT; i++) {
		enum kind kind = kinds[order[i]];

		if (kind == KIND_DENY || kind == KIND_ALWAYS) {
			*ret_allow = kind == KIND_ALWAYS;
			*ret_rule = rule_of(order[i], kind);
			return;
		}
		if (kind == KIND_AUDIT && audit == POLICY_NO_RULE)
			audit = rule_of(order[i], kind);
		if (i > 0 && kind != KIND_NONE)
			last = rule_of(order[i], kind);
	}
	*ret_allow =
		grouped || policy->host.no_group == AST_ALLOW || policy->host.mode == AST_AUDIT;
	*ret_rule = !*ret_allow ? POLICY_NO_RULE : audit != POLICY_NO_RULE ? audit : last;
}

static void check(const struct policy *policy, enum policy_direction direction,
		  const enum kind kinds[TIER_COUNT])
{
	uint32_t matched[TIER_COUNT], rule;
	struct policy_outcome outcome;
	bool allow;
	const char *what[TIER_COUNT];

	for (enum policy_tier tier = 0; tier < TIER_COUNT; tier++) {
		matched[tier] = rule_of(tier, kinds[tier]);
		what[tier] = kind_names[kinds[tier]];
	}
	policy_combine(policy, direction, matched, &outcome);
	expect(policy, direction, kinds, &allow, &rule);
	cr_assert_eq(outcome.allow, allow, "%s: admin %s, subnet %s, nic %s",
		     policy_direction_name(direction), what[0], what[1], what[2]);
	cr_assert_eq(outcome.rule, rule, "%s: admin %s, subnet %s, nic %s: rule %d, not %d",
		     policy_direction_name(direction), what[0], what[1], what[2], (int)outcome.rule,
		     (int)rule);
	if (rule == POLICY_NO_RULE) {
		cr_assert(outcome.no_group);
		cr_assert_eq(outcome.would_deny, allow && policy->host.no_group == AST_DENY);
		return;
	}
	cr_assert_not(outcome.no_group);
	cr_assert_eq(outcome.would_deny, allow && policy->rules.at[rule].audit);
	cr_assert_eq(outcome.log, policy->rules.at[rule].log);
	cr_assert_eq(outcome.keep, policy->rules.at[rule].access == ACCESS_DENY &&
					   policy->rules.at[rule].tier == TIER_SUBNET);
}

/* Groups of the subnet and nic tier always match by their default rules. */
static void check_all_kinds(struct policy *policy, enum policy_direction direction)
{
	for (int admin = 0; admin < KIND_COUNT; admin++)
		for (int subnet = 0; subnet < KIND_ALWAYS; subnet++)
			for (int nic = 0; nic < KIND_ALWAYS; nic++) {
				policy->has_group[TIER_ADMIN] = admin != KIND_NONE;
				policy->has_group[TIER_SUBNET] = subnet != KIND_NONE;
				policy->has_group[TIER_NIC] = nic != KIND_NONE;
				check(policy, direction, (const enum kind[]){admin, subnet, nic});
			}
}

Test(policy, precedence_between_tiers_is_the_same_said_twice)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct policy policy = {};

	make_policy(arena, &policy);
	for (int no_group = AST_ALLOW; no_group <= AST_DENY; no_group++)
		for (int mode = AST_ENFORCE; mode <= AST_AUDIT; mode++) {
			policy.host.no_group = no_group;
			policy.host.mode = mode;
			check_all_kinds(&policy, DIRECTION_IN);
			check_all_kinds(&policy, DIRECTION_OUT);
		}
}

Test(policy, tiers_behind_the_decision_are_not_reached)
{
	scoped(arena_free) struct arena *arena = arena_new();
	uint32_t matched[] = {rule_of(TIER_ADMIN, KIND_ALLOW), rule_of(TIER_SUBNET, KIND_DENY),
			      rule_of(TIER_NIC, KIND_DENY)};
	struct policy policy = {.has_group = {true, true, true}};
	struct policy_outcome outcome;

	make_policy(arena, &policy);
	policy_combine(&policy, DIRECTION_IN, matched, &outcome);
	cr_assert_eq(outcome.tier_rule[TIER_ADMIN], matched[TIER_ADMIN]);
	cr_assert_eq(outcome.tier_rule[TIER_SUBNET], matched[TIER_SUBNET]);
	cr_assert_eq(outcome.tier_rule[TIER_NIC], (uint32_t)POLICY_NO_RULE);
	policy_combine(&policy, DIRECTION_OUT, matched, &outcome);
	cr_assert_eq(outcome.tier_rule[TIER_SUBNET], (uint32_t)POLICY_NO_RULE);
	cr_assert_eq(outcome.tier_rule[TIER_NIC], matched[TIER_NIC]);
	matched[TIER_ADMIN] = rule_of(TIER_ADMIN, KIND_ALWAYS);
	policy_combine(&policy, DIRECTION_OUT, matched, &outcome);
	cr_assert_eq(outcome.tier_rule[TIER_NIC], (uint32_t)POLICY_NO_RULE);
}

Test(policy, a_group_that_matched_nothing_denies)
{
	scoped(arena_free) struct arena *arena = arena_new();
	uint32_t matched[] = {POLICY_NO_RULE, POLICY_NO_RULE, rule_of(TIER_NIC, KIND_ALLOW)};
	struct policy policy = {.has_group = {false, true, true}};
	struct policy_outcome outcome;

	make_policy(arena, &policy);
	policy.host.no_group = AST_ALLOW;
	policy_combine(&policy, DIRECTION_IN, matched, &outcome);
	cr_assert_not(outcome.allow);
	cr_assert_eq(outcome.rule, (uint32_t)POLICY_NO_RULE);
	cr_assert_not(outcome.no_group);
}

Test(policy, no_group_keeps_flows_as_the_host_says)
{
	static const uint32_t matched[] = {POLICY_NO_RULE, POLICY_NO_RULE, POLICY_NO_RULE};
	struct policy policy = {.host = {.no_group = AST_DENY, .existing_flows = AST_KEEP}};
	struct policy_outcome outcome;

	policy_combine(&policy, DIRECTION_IN, matched, &outcome);
	cr_assert(outcome.keep);
	policy.host.existing_flows = AST_RECHECK;
	policy_combine(&policy, DIRECTION_IN, matched, &outcome);
	cr_assert_not(outcome.keep);
}

Test(policy, protocols_have_names_both_ways)
{
	cr_assert_str_eq(policy_protocol_name(132), "sctp");
	cr_assert_null(policy_protocol_name(2));
	cr_assert_null(policy_protocol_name(-1));
	cr_assert_eq(policy_protocol_number(STR("IcmpV6")), 58);
	cr_assert_eq(policy_protocol_number(STR("igmp")), -1);
	cr_assert_eq(policy_protocol_number(STR("tc")), -1);
	for (int protocol = 0; protocol < 256; protocol++)
		if (policy_protocol_name(protocol))
			cr_assert_eq(policy_protocol_number(str_of(policy_protocol_name(protocol))),
				     protocol);
}
