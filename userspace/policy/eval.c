// SPDX-License-Identifier: GPL-2.0-only
/*
 * The plain loop, and before it what is never a rule's business. The datapath's parser decides
 * the same cases in the same order; this list is the wording that both follow. The first case
 * that holds decides, and what no case decides is judged by the rules.
 *
 * "Genuine" says what a tuple takes for granted and the datapath checks: ND is ICMPv6 over IPv6
 * with type 133, 134, 135 or 136, code 0 and hop limit 255. MLD is ICMPv6 over IPv6 with type
 * 130, 131, 132 or 143 (any code), source in fe80::/10 or ::, and hop limit 1. IGMP is protocol
 * 2 over IPv4 with TTL 1. ICMP is protocol 1 over IPv4 and ICMPv6 protocol 58 over IPv6 only:
 * protocol 58 over IPv4 and 1 over IPv6 have no type, and are matched by rules for any protocol
 * alone.
 *
 *  1. Martian source, inbound only, no key: deny martian-source.
 *     IPv4: 127.0.0.0/8; 224.0.0.0/4; 255.255.255.255; 0.0.0.0/8, except 0.0.0.0 itself when
 *     the packet is UDP from port 68 to 255.255.255.255 port 67 (no later fragment) or genuine
 *     IGMP. 240.0.0.0/4 but its last address is left to the rules, as in Linux.
 *     IPv6: ::1; ff00::/8; ::ffff:0:0/96; ::, except in genuine ND and genuine MLD.
 *     The exceptions do not depend on keys of host.yaml and allow nothing: the cases below and
 *     the rules judge what they let on.
 *  2. A later fragment whose first is not known, any protocol, both directions: deny
 *     fragment-unknown.
 *  3. ICMP type 5 and ICMPv6 type 137, any code, both directions, no key: deny icmp-redirect.
 *  4. ICMP types 3, 11, 12 and ICMPv6 types 1, 2, 3, 4, any code, both directions, unless
 *     never_denied.icmp_errors is false: what quotes known traffic passes, everything else is
 *     denied icmp-error-unknown, whatever the rules say. A tuple quotes nothing.
 *  5. Genuine ND, both directions, unless never_denied.nd is false: allow nd.
 *  6. Genuine MLD, both directions, unless never_denied.mld is false: allow mld.
 *  7. Genuine IGMP, both directions, unless never_denied.igmp is false: allow igmp.
 *  8. IPv4 UDP, out from port 68 to port 67, in from port 67 to port 68, whatever the
 *     addresses, unless never_denied.dhcp is false: allow dhcp. Opens no flow.
 *  9. IPv6 UDP, out from port 546 to port 547, in from port 547 to port 546, whatever the
 *     addresses, unless never_denied.dhcpv6 is false: allow dhcpv6. Opens no flow.
 * 10. With platform: azure, and unless never_denied.platform is false, outbound only, whatever
 *     source and source port: 168.63.129.16 TCP port 53, 80 or 32526 or UDP port 53, and
 *     169.254.169.254 TCP port 80: allow platform. Opens a flow, so that replies pass. (Port
 *     8037 and the licence servers are not exempt: nothing says that an NSG lets them pass.)
 *
 * A key that is false hands its case to the rules, as if the case were not there. Under mode:
 * audit of host.yaml a denial of this list passes, with would_deny and its reason.
 *
 * Established: the packet is judged as it is first. When that allows it and is no would-deny,
 * or when the list above decided it, that stands. Else the turned tuple is judged as a packet
 * of its own, and when the rules, no_group or case 10 allow that one (a would-deny too), the
 * packet is allowed by_flow, with reason, outcome and would_deny of the opener. ICMP and ICMPv6
 * flows are opened by echo requests only (8 and 128) and let echo replies back (0 and 129):
 * other types never pass by flow. With host.yaml's audit the same holds, so that a reply of
 * allowed traffic is no would-deny.
 */
#include "policy/eval.h"

enum {
	PROTO_ICMP = 1,
	PROTO_IGMP = 2,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_ICMPV6 = 58,
	PROTO_SCTP = 132,
};

static bool in_v4(const struct addr *addr, uint32_t prefix, unsigned len)
{
	uint32_t mask = len ? UINT32_MAX << (32 - len) : 0;

	return addr->family == ADDR_V4 && (addr_to_v4(addr) & mask) == prefix;
}

static bool is_v6(const struct addr *addr, const uint8_t bytes[16])
{
	return addr->family == ADDR_V6 && !memcmp(addr->bytes, bytes, 16);
}

static bool is_unspecified_v6(const struct addr *addr)
{
	static const uint8_t unspecified[16];

	return is_v6(addr, unspecified);
}

static bool is_link_local_v6(const struct addr *addr)
{
	return addr->family == ADDR_V6 && addr->bytes[0] == 0xfe && (addr->bytes[1] & 0xc0) == 0x80;
}

static bool is_icmp(const struct tuple *tuple)
{
	return tuple->protocol == PROTO_ICMP && tuple->source.family == ADDR_V4;
}

static bool is_icmpv6(const struct tuple *tuple)
{
	return tuple->protocol == PROTO_ICMPV6 && tuple->source.family == ADDR_V6;
}

static bool is_nd(const struct tuple *tuple)
{
	return is_icmpv6(tuple) && !tuple->fragment && tuple->icmp_type >= 133 &&
	       tuple->icmp_type <= 136 && !tuple->icmp_code;
}

static bool is_mld(const struct tuple *tuple)
{
	uint8_t type = tuple->icmp_type;

	return is_icmpv6(tuple) && !tuple->fragment &&
	       ((type >= 130 && type <= 132) || type == 143) &&
	       (is_link_local_v6(&tuple->source) || is_unspecified_v6(&tuple->source));
}

static bool is_igmp(const struct tuple *tuple)
{
	return tuple->protocol == PROTO_IGMP && tuple->source.family == ADDR_V4 && !tuple->fragment;
}

/* UDP of a family between these ports. */
static bool is_udp(const struct tuple *tuple, enum addr_family family, uint16_t from, uint16_t to)
{
	return tuple->protocol == PROTO_UDP && tuple->source.family == family && !tuple->fragment &&
	       tuple->source_port == from && tuple->destination_port == to;
}

static bool is_martian_v4(const struct tuple *tuple)
{
	const struct addr *source = &tuple->source;
	bool starting =
		is_udp(tuple, ADDR_V4, 68, 67) && in_v4(&tuple->destination, UINT32_MAX, 32);

	if (in_v4(source, 0, 32))
		return !starting && !is_igmp(tuple);
	return in_v4(source, 0, 8) || in_v4(source, 0x7f000000, 8) ||
	       in_v4(source, 0xe0000000, 4) || in_v4(source, UINT32_MAX, 32);
}

static bool is_martian_v6(const struct tuple *tuple)
{
	static const uint8_t loopback[16] = {[15] = 1};
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	const struct addr *source = &tuple->source;

	if (source->family != ADDR_V6)
		return false;
	if (is_unspecified_v6(source))
		return !is_nd(tuple) && !is_mld(tuple);
	return is_v6(source, loopback) || source->bytes[0] == 0xff ||
	       !memcmp(source->bytes, mapped, sizeof(mapped));
}

static bool is_redirect(const struct tuple *tuple)
{
	return (is_icmp(tuple) && tuple->icmp_type == 5) ||
	       (is_icmpv6(tuple) && tuple->icmp_type == 137);
}

static bool is_icmp_error(const struct tuple *tuple)
{
	uint8_t type = tuple->icmp_type;

	if (is_icmp(tuple))
		return type == 3 || type == 11 || type == 12;
	return is_icmpv6(tuple) && type >= 1 && type <= 4;
}

static bool is_dhcp(const struct tuple *tuple)
{
	return tuple->direction == DIRECTION_OUT ? is_udp(tuple, ADDR_V4, 68, 67)
						 : is_udp(tuple, ADDR_V4, 67, 68);
}

static bool is_dhcpv6(const struct tuple *tuple)
{
	return tuple->direction == DIRECTION_OUT ? is_udp(tuple, ADDR_V6, 546, 547)
						 : is_udp(tuple, ADDR_V6, 547, 546);
}

static bool is_platform(const struct tuple *tuple)
{
	static const struct {
		uint32_t address;
		uint8_t protocol;
		uint16_t port;
	} platform[] = {
		{0xa83f8110, PROTO_TCP, 53},	{0xa83f8110, PROTO_TCP, 80},
		{0xa83f8110, PROTO_TCP, 32526}, {0xa83f8110, PROTO_UDP, 53},
		{0xa9fea9fe, PROTO_TCP, 80},
	};

	if (tuple->direction != DIRECTION_OUT)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(platform); i++)
		if (in_v4(&tuple->destination, platform[i].address, 32) &&
		    tuple->protocol == platform[i].protocol &&
		    tuple->destination_port == platform[i].port)
			return true;
	return false;
}

/* The never-denied list, as far as its keys are on; EVAL_RULE when the rules judge. */
static enum eval_reason never_denied(const struct hostconf *host, const struct tuple *tuple)
{
	const bool *on = host->never_denied;

	if (on[NEVER_ND] && is_nd(tuple))
		return EVAL_ND;
	if (on[NEVER_MLD] && is_mld(tuple))
		return EVAL_MLD;
	if (on[NEVER_IGMP] && is_igmp(tuple))
		return EVAL_IGMP;
	if (on[NEVER_DHCP] && is_dhcp(tuple))
		return EVAL_DHCP;
	if (on[NEVER_DHCPV6] && is_dhcpv6(tuple))
		return EVAL_DHCPV6;
	if (host->platform_azure && on[NEVER_PLATFORM] && is_platform(tuple))
		return EVAL_PLATFORM;
	return EVAL_RULE;
}

/* What is denied before any rule, EVAL_RULE when nothing is. */
static enum eval_reason always_denied(const struct hostconf *host, const struct tuple *tuple)
{
	if (tuple->direction == DIRECTION_IN && (is_martian_v4(tuple) || is_martian_v6(tuple)))
		return EVAL_MARTIAN;
	if (tuple->fragment)
		return EVAL_FRAGMENT;
	if (is_redirect(tuple))
		return EVAL_REDIRECT;
	if (host->never_denied[NEVER_ICMP_ERRORS] && is_icmp_error(tuple))
		return EVAL_ICMP_ERROR;
	return EVAL_RULE;
}

static void no_outcome(struct policy_outcome *outcome)
{
	*outcome = (struct policy_outcome){.rule = POLICY_NO_RULE};
	for (int tier = 0; tier < TIER_COUNT; tier++)
		outcome->tier_rule[tier] = POLICY_NO_RULE;
}

bool eval_before_rules(const struct policy *policy, const struct tuple *tuple,
		       struct verdict *ret_verdict)
{
	const struct hostconf *host = &policy->host;
	enum eval_reason denied = always_denied(host, tuple);
	enum eval_reason reason = denied ? denied : never_denied(host, tuple);

	if (reason == EVAL_RULE)
		return false;
	*ret_verdict = (struct verdict){
		.allow = !denied || host->mode == AST_AUDIT,
		.would_deny = denied && host->mode == AST_AUDIT,
		.reason = reason,
	};
	no_outcome(&ret_verdict->outcome);
	return true;
}

static bool carries_ports(const struct tuple *tuple)
{
	return tuple->protocol == PROTO_TCP || tuple->protocol == PROTO_UDP ||
	       tuple->protocol == PROTO_SCTP;
}

/* A packet without ports has none of those that are named. */
static bool ports_have(const port_ranges *ports, const struct tuple *tuple, uint16_t port)
{
	for (size_t i = 0; i < ports->len && carries_ports(tuple); i++)
		if (port_range_has(ports->at[i], port))
			return true;
	return !ports->len;
}

static bool protocol_matches(const struct policy_clause *clause, const struct tuple *tuple)
{
	if (clause->protocol == PROTO_ICMP)
		return is_icmp(tuple);
	if (clause->protocol == PROTO_ICMPV6)
		return is_icmpv6(tuple);
	return clause->protocol == -1 || clause->protocol == tuple->protocol;
}

static bool type_matches(const struct policy_clause *clause, const struct tuple *tuple)
{
	if (clause->icmp_type == -1)
		return true;
	return (is_icmp(tuple) || is_icmpv6(tuple)) && clause->icmp_type == tuple->icmp_type &&
	       (clause->icmp_code == -1 || clause->icmp_code == tuple->icmp_code);
}

/* What a clause says of the packet, in the order of what makes one come nearer than another. */
enum {
	NEAR_PROTOCOL = 1 << 2,
	NEAR_SOURCE_PORT = 1 << 1,
	NEAR_DESTINATION_PORT = 1 << 0,
	NEAR_ALL = NEAR_PROTOCOL | NEAR_SOURCE_PORT | NEAR_DESTINATION_PORT,
};

static unsigned nearness(const struct policy_clause *clause, const struct tuple *tuple)
{
	unsigned near = protocol_matches(clause, tuple) ? NEAR_PROTOCOL : 0;

	if (ports_have(&clause->source_ports, tuple, tuple->source_port))
		near |= NEAR_SOURCE_PORT;
	if (ports_have(&clause->destination_ports, tuple, tuple->destination_port) &&
	    type_matches(clause, tuple))
		near |= NEAR_DESTINATION_PORT;
	return near;
}

static bool self_has(const addr_list *self, const struct addr *addr)
{
	for (size_t i = 0; i < self->len; i++)
		if (!addr_compare(&self->at[i], addr))
			return true;
	return false;
}

static bool set_has(const struct policy *policy, uint32_t set_id, const struct addr *addr,
		    const addr_list *self)
{
	const struct policy_set *set = &policy->sets.at[set_id];

	return set->any || addr_ranges_have(&set->ranges, addr) ||
	       (set->self && self_has(self, addr));
}

bool eval_rule(const struct policy *policy, const struct policy_rule *rule,
	       const struct tuple *tuple, const addr_list *self, struct rule_match *ret_match)
{
	bool source = set_has(policy, rule->source, &tuple->source, self);
	bool destination = set_has(policy, rule->destination, &tuple->destination, self);
	unsigned nearest = 0;

	for (size_t i = 0; i < rule->clauses.len; i++) {
		unsigned near = nearness(&rule->clauses.at[i], tuple);

		nearest = near > nearest ? near : nearest;
	}
	*ret_match = (struct rule_match){
		.protocol = nearest & NEAR_PROTOCOL,
		.source = source,
		.source_port = nearest & NEAR_SOURCE_PORT,
		.destination = destination,
		.destination_port = nearest & NEAR_DESTINATION_PORT,
	};
	return source && destination && nearest == NEAR_ALL;
}

static uint32_t first_match(const struct policy *policy, enum policy_tier tier,
			    const struct tuple *tuple, const addr_list *self)
{
	uint32_t first = policy->first[tuple->direction][tier];
	struct rule_match match;

	for (uint32_t i = first; i < first + policy->n[tuple->direction][tier]; i++)
		if (eval_rule(policy, &policy->rules.at[i], tuple, self, &match))
			return i;
	return POLICY_NO_RULE;
}

/* The packet for itself, no flow being known. */
static struct verdict judge(const struct policy *policy, const struct tuple *tuple,
			    const addr_list *self)
{
	uint32_t matched[TIER_COUNT];
	struct verdict verdict = {};

	if (eval_before_rules(policy, tuple, &verdict))
		return verdict;
	for (int tier = 0; tier < TIER_COUNT; tier++)
		matched[tier] = first_match(policy, tier, tuple, self);
	policy_combine(policy, tuple->direction, matched, &verdict.outcome);
	verdict.allow = verdict.outcome.allow;
	verdict.would_deny = verdict.outcome.would_deny;
	verdict.reason = verdict.outcome.no_group ? EVAL_NO_GROUP : EVAL_RULE;
	return verdict;
}

bool eval_is_reply(const struct tuple *tuple)
{
	if (!tuple->established)
		return false;
	if (is_icmp(tuple))
		return tuple->icmp_type == 0;
	return !is_icmpv6(tuple) || tuple->icmp_type == 129;
}

static bool is_by_policy(const struct verdict *verdict)
{
	return verdict->reason == EVAL_RULE || verdict->reason == EVAL_NO_GROUP;
}

/* Whether a packet with this verdict, the first of its kind, leaves a flow behind it. */
static bool opens_flow(const struct verdict *verdict)
{
	return verdict->allow && (is_by_policy(verdict) || verdict->reason == EVAL_PLATFORM);
}

struct verdict eval(const struct policy *policy, const struct tuple *tuple, const addr_list *self)
{
	struct verdict verdict = judge(policy, tuple, self);
	struct tuple opening = tuple_turn(tuple);
	struct verdict opener;

	if (!eval_is_reply(tuple) || !is_by_policy(&verdict) ||
	    (verdict.allow && !verdict.would_deny))
		return verdict;
	opener = judge(policy, &opening, self);
	if (!opens_flow(&opener))
		return verdict;
	opener.by_flow = true;
	return opener;
}

const char *eval_reason_name(enum eval_reason reason)
{
	static const char *const names[EVAL_REASON_COUNT] = {
#define X(constant, name) [EVAL_##constant] = name,
		EVAL_REASONS(X)
#undef X
	};

	return names[reason];
}
