// SPDX-License-Identifier: GPL-2.0-only
/*
 * One chain for each direction and tier, whose lines go to the chain of a rule; that notes the rule
 * and returns to the base chain, which asks the next tier, or ends in one of three chains: passed,
 * would_deny, refused. All of them forward the frame, so that nobody has to wait for what does not
 * come. The mark of a packet is 1 once a deny in audit has matched.
 *
 * Both directions are judged at ingress of a device of their own, since netdev's egress hook came
 * only with Linux 5.16.
 */
#include "tests/lib/nft_print.h"

enum { PROTO_ICMP = 1, PROTO_ICMPV6 = 58 };

/* Bits of struct nft_note. */
enum { TIER_BITS = 16, AT_RULE = 48, AT_REASON = 64, AT_VERDICT = 80 };

struct printer {
	const struct policy *policy;
	enum nft_fault fault;
	FILE *out;
};

static const char *const family_names[] = {[ADDR_V4] = "ip", [ADDR_V6] = "ip6"};

/* ---- sets ---- */

static void print_elements(const addr_ranges *ranges, enum addr_family family, FILE *out)
{
	char text[ADDR_TEXT_SIZE];
	const char *separator = "";

	for (size_t i = 0; i < ranges->len; i++) {
		const struct addr_range *range = &ranges->at[i];

		if (range->first.family != family)
			continue;
		fprintf(out, "%s%s", separator, addr_print(&range->first, text));
		if (addr_compare(&range->first, &range->last))
			fprintf(out, "-%s", addr_print(&range->last, text));
		separator = ", ";
	}
}

static bool has_family(const addr_ranges *ranges, enum addr_family family)
{
	for (size_t i = 0; i < ranges->len; i++)
		if (ranges->at[i].first.family == family)
			return true;
	return false;
}

static void print_sets(const struct printer *p, enum addr_family family)
{
	const char *type = family == ADDR_V4 ? "ipv4_addr" : "ipv6_addr";
	const char *name = family_names[family];

	fprintf(p->out, "set %s_self { type %s; }\n", name, type);
	for (size_t i = 0; i < p->policy->sets.len; i++) {
		const addr_ranges *ranges = &p->policy->sets.at[i].ranges;

		if (!has_family(ranges, family))
			continue;
		fprintf(p->out, "set %s_%zu { type %s; flags interval; elements = { ", name, i,
			type);
		print_elements(ranges, family, p->out);
		fputs(" }; }\n", p->out);
	}
}

/* ---- a rule's match ---- */

/* The ways in which a side of a rule can match an address of a family. */
struct side {
	char text[3][48];
	size_t n;
};

static struct side side_of(const struct printer *p, enum addr_family family, const char *field,
			   uint32_t set_id)
{
	const struct policy_set *set = &p->policy->sets.at[set_id];
	const char *name = family_names[family];
	struct side side = {};

	if (set->any)
		side.text[side.n++][0] = '\0';
	if (has_family(&set->ranges, family))
		snprintf(side.text[side.n++], sizeof(side.text[0]), " %s %s @%s_%u", name, field,
			 name, set_id);
	if (set->self)
		snprintf(side.text[side.n++], sizeof(side.text[0]), " %s %s @%s_self", name, field,
			 name);
	return side;
}

static void print_ports(const struct printer *p, const char *field, const port_ranges *ports,
			bool without_last)
{
	if (!ports->len)
		return;
	fprintf(p->out, " th %s { ", field);
	for (size_t i = 0; i < ports->len; i++) {
		struct port_range range = ports->at[i];

		if (without_last && range.last > range.first)
			range.last--;
		fprintf(p->out, "%s%u-%u", i ? ", " : "", range.first, range.last);
	}
	fputs(" }", p->out);
}

static void print_clause(const struct printer *p, const struct policy_clause *clause)
{
	if (clause->protocol >= 0)
		fprintf(p->out, " meta l4proto %d", clause->protocol);
	print_ports(p, "sport", &clause->source_ports, false);
	print_ports(p, "dport", &clause->destination_ports, p->fault == NFT_LAST_PORT);
	if (clause->icmp_type >= 0)
		fprintf(p->out, " @th,0,8 %d", clause->icmp_type);
	if (clause->icmp_code >= 0)
		fprintf(p->out, " @th,8,8 %d", clause->icmp_code);
}

/* ICMP is a protocol of IPv4 alone, ICMPv6 of IPv6 alone. */
static bool clause_has_family(const struct policy_clause *clause, enum addr_family family)
{
	return !(clause->protocol == PROTO_ICMP && family == ADDR_V6) &&
	       !(clause->protocol == PROTO_ICMPV6 && family == ADDR_V4);
}

static void print_lines(const struct printer *p, const struct policy_rule *rule,
			const struct policy_clause *clause, enum addr_family family)
{
	struct side source = side_of(p, family, "saddr", rule->source);
	struct side destination = side_of(p, family, "daddr", rule->destination);

	for (size_t i = 0; clause_has_family(clause, family) && i < source.n; i++)
		for (size_t j = 0; j < destination.n; j++) {
			fprintf(p->out, "meta protocol %s%s%s", family_names[family],
				source.text[i], destination.text[j]);
			print_clause(p, clause);
			fprintf(p->out, " goto rule_%u\n", rule->id);
		}
}

/* ---- chains ---- */

static uint32_t flags_of(const struct printer *p, const struct policy_rule *rule, bool denies)
{
	return (rule->log ? NFT_LOG : 0) |
	       (denies && p->policy->groups.at[rule->group].keep ? NFT_KEEP : 0);
}

/* Always-allow and an enforced deny end the evaluation; the others leave it to what follows. */
static void print_rule_chain(const struct printer *p, const struct policy_rule *rule)
{
	bool denies = rule->access == ACCESS_DENY;
	bool ends = rule->access == ACCESS_ALWAYS_ALLOW || (denies && !rule->audit);
	uint32_t note = rule->id << 16 | EVAL_RULE << 8 | flags_of(p, rule, denies);

	fprintf(p->out, "chain rule_%u {\n@ll,%d,16 set %u\n", rule->id, rule->tier * TIER_BITS,
		rule->id);
	fprintf(p->out, "%s@ll,%d,32 set %u\n", ends ? "" : "meta mark != 1 ", AT_RULE, note);
	if (ends)
		fprintf(p->out, "goto %s\n", denies ? "refused" : "passed");
	else if (denies)
		fputs("meta mark set 1\n", p->out);
	fputs("}\n", p->out);
}

static void print_tier(const struct printer *p, enum policy_direction direction,
		       enum policy_tier tier)
{
	uint32_t first = p->policy->first[direction][tier];
	uint32_t end = first + p->policy->n[direction][tier];

	for (uint32_t i = first; i < end; i++)
		print_rule_chain(p, &p->policy->rules.at[i]);
	fprintf(p->out, "chain tier_%d_%d {\n", direction, tier);
	for (uint32_t i = first; i < end; i++) {
		const struct policy_rule *rule = &p->policy->rules.at[i];

		for (size_t j = 0; j < rule->clauses.len; j++) {
			print_lines(p, rule, &rule->clauses.at[j], ADDR_V4);
			print_lines(p, rule, &rule->clauses.at[j], ADDR_V6);
		}
	}
	if (tier != TIER_ADMIN)
		fputs("goto refused\n", p->out);
	fputs("}\n", p->out);
}

static void print_ends(FILE *out)
{
	static const struct {
		const char *name;
		int verdict;
	} ends[] = {
		{"refused", 0},
		{"passed", NFT_PASS},
		{"would_deny", NFT_PASS | NFT_WOULD_DENY},
	};

	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		fprintf(out, "chain %s {\n@ll,%d,8 set %d\nfwd to \"%s\"\n}\n", ends[i].name,
			AT_VERDICT, ends[i].verdict, NFT_DEVICE_SEEN);
}

/* ---- what no rule decides ---- */

static void print_reason(FILE *out, const char *match, enum eval_reason reason, const char *end)
{
	fprintf(out, "%s @ll,%d,8 set %d goto %s\n", match, AT_REASON, reason, end);
}

#define WHOLE4 "meta protocol ip ip frag-off & 0x1fff == 0 "
#define ICMP4  "meta protocol ip meta l4proto 1 "
#define ICMP6  "meta protocol ip6 meta l4proto 58 "
#define ND     ICMP6 "ip6 hoplimit 255 @th,0,8 133-136 @th,8,8 0"
#define MLD    ICMP6 "ip6 hoplimit 1 ip6 saddr { ::, fe80::/10 } @th,0,8 { 130-132, 143 }"
#define IGMP   WHOLE4 "meta l4proto 2 ip ttl 1"

static void print_martians(const struct printer *p, const char *denied)
{
	fputs("chain martian {\n"
	      "ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 return\n"
	      "ip saddr 0.0.0.0 " IGMP " return\n"
	      "ip6 saddr :: " ND " return\n" MLD " return\n",
	      p->out);
	print_reason(p->out, "ip saddr { 0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/4, 255.255.255.255 }",
		     EVAL_MARTIAN, denied);
	print_reason(p->out, "ip6 saddr { ::, ::1, ::ffff:0:0/96, ff00::/8 }", EVAL_MARTIAN,
		     denied);
	fputs("}\n", p->out);
}

static void print_platform(FILE *out)
{
	static const char *const platform[] = {
		"ip daddr 168.63.129.16 tcp dport { 53, 80, 32526 }",
		"ip daddr 168.63.129.16 udp dport 53",
		"ip daddr 169.254.169.254 tcp dport 80",
	};

	for (size_t i = 0; i < ARRAY_LEN(platform); i++)
		print_reason(out, platform[i], EVAL_PLATFORM, "passed");
}

static void print_always_denied(const struct printer *p, enum policy_direction direction,
				const char *denied)
{
	if (direction == DIRECTION_IN)
		fputs("jump martian\n", p->out);
	print_reason(p->out, "ip frag-off & 0x1fff != 0", EVAL_FRAGMENT, denied);
	print_reason(p->out, "frag frag-off != 0", EVAL_FRAGMENT, denied);
	print_reason(p->out, ICMP4 "@th,0,8 5", EVAL_REDIRECT, denied);
	print_reason(p->out, ICMP6 "@th,0,8 137", EVAL_REDIRECT, denied);
	if (!p->policy->host.never_denied[NEVER_ICMP_ERRORS])
		return;
	print_reason(p->out, ICMP4 "@th,0,8 { 3, 11, 12 }", EVAL_ICMP_ERROR, denied);
	print_reason(p->out, ICMP6 "@th,0,8 1-4", EVAL_ICMP_ERROR, denied);
}

static void print_before(const struct printer *p, enum policy_direction direction,
			 const char *denied)
{
	const struct hostconf *host = &p->policy->host;
	bool out = direction == DIRECTION_OUT;
	const struct {
		enum hostconf_never key;
		enum eval_reason reason;
		const char *match;
	} never[] = {
		{NEVER_ND, EVAL_ND, ND},
		{NEVER_MLD, EVAL_MLD, MLD},
		{NEVER_IGMP, EVAL_IGMP, IGMP},
		{NEVER_DHCP, EVAL_DHCP,
		 out ? "meta protocol ip udp sport 68 udp dport 67"
		     : "meta protocol ip udp sport 67 udp dport 68"},
		{NEVER_DHCPV6, EVAL_DHCPV6,
		 out ? "meta protocol ip6 udp sport 546 udp dport 547"
		     : "meta protocol ip6 udp sport 547 udp dport 546"},
	};

	fprintf(p->out, "chain before_%d {\n", direction);
	print_always_denied(p, direction, denied);
	for (size_t i = 0; i < ARRAY_LEN(never); i++)
		if (host->never_denied[never[i].key])
			print_reason(p->out, never[i].match, never[i].reason, "passed");
	if (out && host->platform_azure && host->never_denied[NEVER_PLATFORM])
		print_platform(p->out);
	fputs("}\n", p->out);
}

/* The word of host.yaml, where there is neither a subnet nor a nic group. */
static void print_no_group(const struct printer *p)
{
	bool deny = p->policy->host.no_group == AST_DENY;
	bool audit = p->policy->host.mode == AST_AUDIT;
	bool keep = deny && p->policy->host.existing_flows == AST_KEEP;

	if (audit || !deny)
		fputs("meta mark 1 goto would_deny\n", p->out);
	fprintf(p->out, "@ll,%d,32 set %u\n", AT_RULE,
		(uint32_t)NFT_NONE << 16 | EVAL_NO_GROUP << 8 | (keep ? NFT_KEEP : 0));
	fprintf(p->out, "goto %s\n", !deny ? "passed" : audit ? "would_deny" : "refused");
}

static void print_base(const struct printer *p, enum policy_direction direction)
{
	bool in = direction == DIRECTION_IN;
	enum policy_tier second = in ? TIER_SUBNET : TIER_NIC;
	enum policy_tier third = in ? TIER_NIC : TIER_SUBNET;

	fprintf(p->out,
		"chain base_%d {\ntype filter hook ingress device \"%s\" priority 0; policy drop;\n"
		"jump before_%d\njump tier_%d_%d\n",
		direction, in ? NFT_DEVICE_IN : NFT_DEVICE_OUT, direction, direction, TIER_ADMIN);
	if (p->policy->has_group[second])
		fprintf(p->out, "jump tier_%d_%d\n", direction, second);
	if (p->policy->has_group[third])
		fprintf(p->out, "jump tier_%d_%d\n", direction, third);
	if (p->policy->has_group[second] || p->policy->has_group[third])
		fputs("meta mark 1 goto would_deny\ngoto passed\n", p->out);
	else
		print_no_group(p);
	fputs("}\n", p->out);
}

void nft_print(const struct policy *policy, enum nft_fault fault, FILE *out)
{
	const struct printer printer = {policy, fault, out}, *p = &printer;
	const char *denied = policy->host.mode == AST_AUDIT ? "would_deny" : "refused";

	fputs("add table netdev judge\ndelete table netdev judge\ntable netdev judge {\n", out);
	print_sets(p, ADDR_V4);
	print_sets(p, ADDR_V6);
	print_ends(out);
	print_martians(p, denied);
	for (int direction = 0; direction < DIRECTION_COUNT; direction++) {
		print_before(p, direction, denied);
		for (int tier = 0; tier < TIER_COUNT; tier++)
			print_tier(p, direction, tier);
		print_base(p, direction);
	}
	fputs("}\n", out);
}

void nft_print_self(const addr_list *self, FILE *out)
{
	char text[ADDR_TEXT_SIZE];

	fputs("flush set netdev judge ip_self\nflush set netdev judge ip6_self\n", out);
	for (size_t i = 0; i < self->len; i++)
		fprintf(out, "add element netdev judge %s_self { %s }\n",
			family_names[self->at[i].family], addr_print(&self->at[i], text));
}
