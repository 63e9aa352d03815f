/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * (policy, packet) → verdict and rule, by a plain loop over the rules: the specification, and
 * the judge of everything faster. Slow and obvious on purpose.
 */
#ifndef POLICY_EVAL_H
#define POLICY_EVAL_H

#include "policy/tuple.h"

/*
 * Why a packet is decided without, or besides, a rule. The names are those of enum bh_reason
 * in bpf/abi.h; a test holds them together.
 */
#define EVAL_REASONS(X)                                                                     \
	X(RULE, "rule")			/* a rule decided */                                \
	X(NO_GROUP, "no-group")		/* no group, and host.yaml's no_group decided */    \
	X(MARTIAN, "martian-source")	/* inbound from an address nobody can have */       \
	X(FRAGMENT, "fragment-unknown") /* a later fragment whose first was not admitted */ \
	X(REDIRECT, "icmp-redirect")                                                        \
	X(ICMP_ERROR, "icmp-error-unknown") /* quotes nothing that is known */              \
	X(ND, "nd")                                                                         \
	X(MLD, "mld")                                                                       \
	X(IGMP, "igmp")                                                                     \
	X(DHCP, "dhcp")                                                                     \
	X(DHCPV6, "dhcpv6")                                                                 \
	X(PLATFORM, "platform")

enum eval_reason {
#define X(constant, name) EVAL_##constant,
	EVAL_REASONS(X)
#undef X
		EVAL_REASON_COUNT
};

/* The host's own addresses, sorted by addr_compare; what self matches. */
typedef ARRAY(struct addr) addr_list;

struct verdict {
	bool allow; /* after audit of host.yaml */
	bool would_deny;
	bool by_flow; /* allowed as the reply of an established flow: outcome is the opener's */
	enum eval_reason reason;
	struct policy_outcome outcome; /* reason RULE and NO_GROUP */
};

/* Whether one rule matches, dimension by dimension, for explain. */
struct rule_match {
	bool protocol;
	bool source;
	bool source_port;
	bool destination;
	bool destination_port; /* with ICMP: type and code */
};

/*
 * The five answers for one rule, each for itself. protocol, source_port and destination_port are those
 * of the clause that comes nearest: by protocol first, then by source port. So all five true is a
 * match, and what is false is what would have to be another.
 * Returns whether the rule matches.
 */
bool eval_rule(const struct policy *policy, const struct policy_rule *rule,
	       const struct tuple *tuple, const addr_list *self, struct rule_match *ret_match);

/*
 * Whether the tuple is one that a flow opened by the turned tuple would let through: established
 * was said, and of ICMP and ICMPv6 it is an echo reply.
 */
bool eval_is_reply(const struct tuple *tuple);

/*
 * What is decided before any rule is asked (never-denied list, malformed, martian, fragment):
 * true and *ret_verdict set when it is. The cases stand at the head of eval.c. MLD, ND and IGMP
 * are taken to come with the hop limit that makes them genuine, as the packets that bulkhead
 * makes out of tuples do.
 */
bool eval_before_rules(const struct policy *policy, const struct tuple *tuple,
		       struct verdict *ret_verdict);

/* The verdict on one packet. Never fails. */
struct verdict eval(const struct policy *policy, const struct tuple *tuple, const addr_list *self);

const char *eval_reason_name(enum eval_reason reason);

#endif
