/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The resolved policy: what it means. Flat arrays and ids; names are kept only to be shown.
 * policy/resolve makes it, policy/eval judges packets by it, classify/build compiles it.
 * Host facts (own addresses, links) are not in it: self stays a bit of its own.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include "policy/ast.h"
#include "policy/hostconf.h"

enum policy_tier {
	TIER_ADMIN,
	TIER_SUBNET,
	TIER_NIC,
	TIER_COUNT,
};

enum policy_direction {
	DIRECTION_IN,
	DIRECTION_OUT,
	DIRECTION_COUNT,
};

enum policy_access {
	ACCESS_ALLOW,
	ACCESS_DENY,
	ACCESS_ALWAYS_ALLOW, /* admin only: ends the evaluation with allow */
};

/*
 * The addresses of one side of a rule, interned: equal sets are one. any matches every address
 * of both families (ranges is then empty and self false); else an address matches when it lies
 * in ranges, or when self is set and it is one of the host's own.
 */
struct policy_set {
	bool any;
	bool self;
	addr_ranges ranges; /* normalized: IPv4 first */
};

typedef ARRAY(struct port_range) port_ranges;

/*
 * One way in which a rule matches protocol and ports. protocol -1 is every IP protocol; 1 is
 * ICMP over IPv4 and 58 is ICMPv6 over IPv6, and neither matches the number over the other family.
 * source_ports and destination_ports are normalized (sorted, joined), empty meaning any, and
 * only given with TCP (6), UDP (17) and SCTP (132). icmp_type and icmp_code are -1 for any and
 * only given with ICMP (1) and ICMPv6 (58). A rule that says any protocol and has ports
 * has three clauses here.
 */
struct policy_clause {
	int protocol;
	int icmp_type;
	int icmp_code;
	port_ranges source_ports;
	port_ranges destination_ports;
};

struct policy_group {
	struct str name;
	enum policy_tier tier;
	uint64_t order; /* among groups of the admin tier */
	bool audit;	/* mode of the group or of host.yaml */
	bool keep;	/* existing_flows is keep for flows that a rule of this group now denies */
	bool defaults_azure;
	struct mark mark; /* of its first file */
};

struct policy_rule {
	uint32_t id;	/* index in policy.rules */
	uint32_t group; /* index in policy.groups */
	struct str name;
	struct str description; /* empty: none */
	struct mark mark;	/* default rules: the mark of their group */
	enum policy_tier tier;
	enum policy_direction direction;
	enum policy_access access;
	uint32_t priority;
	bool log;
	bool audit;	 /* a deny that only reports: by the rule, its group or host.yaml */
	bool is_default; /* one of the last rules of its group */
	uint32_t source; /* index in policy.sets */
	uint32_t destination;
	ARRAY(struct policy_clause) clauses; /* never empty */
};

/* A rule with enabled: false; checked, listed, never matched. */
struct policy_disabled {
	uint32_t group;
	struct str name;
	struct mark mark;
	enum policy_direction direction;
	bool has_access; /* false: out of an image, which does not keep it */
	enum policy_access access;
	uint32_t priority;
};

enum { POLICY_NO_RULE = UINT32_MAX };

/*
 * rules stands in order of evaluation: inbound before outbound; within a direction admin,
 * subnet, nic; within admin by order of the group; then by priority, default rules last.
 * The rules of a direction and tier are rules.at[first[d][t]] up to, and without,
 * rules.at[first[d][t] + n[d][t]].
 */
struct policy {
	ARRAY(struct policy_group) groups;
	ARRAY(struct policy_set) sets;
	ARRAY(struct policy_rule) rules;
	ARRAY(struct policy_disabled) disabled;
	uint32_t first[DIRECTION_COUNT][TIER_COUNT];
	uint32_t n[DIRECTION_COUNT][TIER_COUNT];
	bool has_group[TIER_COUNT]; /* a tier with a group denies what no rule of it matches,
				     * by its default rules; one without is not asked */
	struct hostconf host;
};

/*
 * What the rules matched in each tier (POLICY_NO_RULE: none, or tier not reached is decided
 * here, not by the caller) add up to. The one place where precedence between tiers stands:
 * admin deny and always-allow end; subnet and nic must both allow; an audit deny decides its
 * tier as allow does and the later tiers still judge.
 *
 * rule is the deciding rule: the deny, the always-allow, else the rule of the last tier in
 * order of evaluation (in: subnet, nic; out: nic, subnet) that had a match in a group; for a
 * would-deny the first audit deny. POLICY_NO_RULE with no_group set when neither a subnet nor
 * a nic group exists and no admin rule has ended it: host.yaml's no_group has decided. Where
 * that allows after an audit deny of the admin tier, the audit deny is the deciding rule and
 * no_group is not set. A group without a match (which its default rules exclude) denies, with
 * POLICY_NO_RULE.
 */
struct policy_outcome {
	bool allow; /* what happens to the packet: audit of rules, groups and host.yaml is in */
	bool would_deny; /* allowed only because a deny is in audit */
	bool no_group;
	bool log;  /* of the deciding rule */
	bool keep; /* the deny or would-deny honours flows established before (existing_flows) */
	uint32_t rule;
	uint32_t tier_rule[TIER_COUNT]; /* as matched; POLICY_NO_RULE for tiers not reached */
};

/* The tiers in the order in which they are asked. */
void policy_order(enum policy_direction direction, enum policy_tier order[TIER_COUNT]);

void policy_combine(const struct policy *policy, enum policy_direction direction,
		    const uint32_t matched[TIER_COUNT], struct policy_outcome *ret_outcome);

/* The group and name of a rule as "group/name", in the arena. */
const char *policy_rule_path(struct arena *arena, const struct policy *policy, uint32_t rule);

const char *policy_tier_name(enum policy_tier tier);
/* Rules that would deny, and only report: by their own mode, their group's or host.yaml's. */
uint32_t policy_count_audit(const struct policy *policy);

const char *policy_direction_name(enum policy_direction direction); /* inbound, outbound */
const char *policy_access_name(enum policy_access access);

/* tcp, udp, sctp, icmp, icmpv6, esp, ah, gre; NULL for a protocol that has no name here. */
const char *policy_protocol_name(int protocol);

/* The number of a name, case ignored; -1 when it has none. */
int policy_protocol_number(struct str name);

/* Offers the names of protocols to a search for the nearest one; see policy/names.h. */
struct nearest;
void policy_try_protocols(struct nearest *nearest);

#endif
