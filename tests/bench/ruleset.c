// SPDX-License-Identifier: GPL-2.0-only
#include "tests/bench/ruleset.h"

#include "tests/bench/must.h"

enum { MULTIPORT_MAX = 15, PROTO_TCP = 6 };

/* What a side of a rule is for one family. */
enum side_kind {
	SIDE_ANY,
	SIDE_NONE, /* no address of the family: the rule matches nothing */
	SIDE_ONE,  /* one prefix */
	SIDE_SET,
};

static bool is_v4(const struct ruleset *ruleset)
{
	return ruleset->family == ADDR_V4;
}

/* The ranges of a set in the family of the ruleset, own addresses among them. */
static addr_ranges ranges_of(const struct ruleset *ruleset, struct arena *arena, uint32_t number)
{
	const struct policy_set *set = &ruleset->policy->sets.at[number];
	addr_ranges ranges = {};

	for (size_t i = 0; i < set->ranges.len; i++)
		if (set->ranges.at[i].first.family == ruleset->family)
			array_push(arena, &ranges, set->ranges.at[i]);
	for (size_t i = 0; set->self && i < ruleset->self->len; i++)
		if (ruleset->self->at[i].family == ruleset->family)
			array_push(arena, &ranges,
				   (struct addr_range){ruleset->self->at[i], ruleset->self->at[i]});
	addr_ranges_normalize(&ranges);
	return ranges;
}

static enum side_kind side_of(const struct ruleset *ruleset, uint32_t number,
			      char text[ADDR_RANGE_TEXT_SIZE])
{
	scoped(arena_free) struct arena *arena = arena_new();
	addr_ranges ranges;

	if (ruleset->policy->sets.at[number].any)
		return SIDE_ANY;
	ranges = ranges_of(ruleset, arena, number);
	if (!ranges.len)
		return SIDE_NONE;
	(void)addr_range_print(&ranges.at[0], text);
	return ranges.len == 1 && addr_range_n_prefixes(&ranges.at[0]) == 1 ? SIDE_ONE : SIDE_SET;
}

typedef void rule_fn(const struct ruleset *ruleset, const struct policy_rule *rule, FILE *out);

/* The inbound rules that can match a packet of the family, in the order in which they are asked. */
static void each_rule(const struct ruleset *ruleset, rule_fn *print, FILE *out)
{
	const struct policy *policy = ruleset->policy;
	char text[ADDR_RANGE_TEXT_SIZE];

	for (int tier = 0; tier < TIER_COUNT; tier++)
		for (uint32_t i = 0; i < policy->n[DIRECTION_IN][tier]; i++) {
			const struct policy_rule *rule =
				&policy->rules.at[policy->first[DIRECTION_IN][tier] + i];

			if (tier == TIER_SUBNET ||
			    (tier == TIER_ADMIN && rule->access == ACCESS_ALLOW))
				broken("the first match does not decide this policy");
			if (side_of(ruleset, rule->source, text) != SIDE_NONE &&
			    side_of(ruleset, rule->destination, text) != SIDE_NONE)
				print(ruleset, rule, out);
		}
}

typedef void set_fn(const struct ruleset *ruleset, uint32_t number, const addr_ranges *ranges,
		    FILE *out);

/* The sets that some rule names. */
static void each_set(const struct ruleset *ruleset, set_fn *print, FILE *out)
{
	const struct policy *policy = ruleset->policy;

	for (uint32_t number = 0; number < policy->sets.len; number++) {
		scoped(arena_free) struct arena *arena = arena_new();
		char text[ADDR_RANGE_TEXT_SIZE];
		addr_ranges ranges;

		if (side_of(ruleset, number, text) != SIDE_SET)
			continue;
		ranges = ranges_of(ruleset, arena, number);
		print(ruleset, number, &ranges, out);
	}
}

static bool is_any_port(const port_ranges *ports)
{
	return !ports->len || (ports->at[0].first == 0 && ports->at[0].last == 65535);
}

static void print_ports(const port_ranges *ports, char between, FILE *out)
{
	for (size_t i = 0; i < ports->len; i++) {
		fprintf(out, "%s%u", i ? "," : "", ports->at[i].first);
		if (ports->at[i].last != ports->at[i].first)
			fprintf(out, "%c%u", between, ports->at[i].last);
	}
}

/* ---- nftables ---- */

static void nft_set(const struct ruleset *ruleset, uint32_t number, const addr_ranges *ranges,
		    FILE *out)
{
	char text[ADDR_RANGE_TEXT_SIZE];

	fprintf(out, "set s%u { type %s; flags interval; elements = {", number,
		is_v4(ruleset) ? "ipv4_addr" : "ipv6_addr");
	for (size_t i = 0; i < ranges->len; i++)
		fprintf(out, "%s%s", i ? "," : "", addr_range_print(&ranges->at[i], text));
	fputs("} }\n", out);
}

static void nft_side(const struct ruleset *ruleset, const char *field, uint32_t number, FILE *out)
{
	const char *family = is_v4(ruleset) ? "ip" : "ip6";
	char text[ADDR_RANGE_TEXT_SIZE];

	switch (side_of(ruleset, number, text)) {
	case SIDE_ONE:
		fprintf(out, "%s %s %s ", family, field, text);
		break;
	case SIDE_SET:
		fprintf(out, "%s %s @s%u ", family, field, number);
		break;
	case SIDE_ANY:
	case SIDE_NONE:
		break;
	}
}

static void nft_ports(const char *field, const port_ranges *ports, FILE *out)
{
	if (is_any_port(ports))
		return;
	fprintf(out, "th %s %s", field, ports->len > 1 ? "{" : "");
	print_ports(ports, '-', out);
	fputs(ports->len > 1 ? "} " : " ", out);
}

static const char *nft_verdict(const struct policy_rule *rule)
{
	return rule->access == ACCESS_DENY ? "drop" : "accept";
}

static void nft_rule(const struct ruleset *ruleset, const struct policy_rule *rule, FILE *out)
{
	for (size_t i = 0; i < rule->clauses.len; i++) {
		const struct policy_clause *clause = &rule->clauses.at[i];

		nft_side(ruleset, "saddr", rule->source, out);
		nft_side(ruleset, "daddr", rule->destination, out);
		if (clause->protocol >= 0)
			fprintf(out, "meta l4proto %d ", clause->protocol);
		nft_ports("sport", &clause->source_ports, out);
		nft_ports("dport", &clause->destination_ports, out);
		fprintf(out, "counter %s\n", nft_verdict(rule));
	}
}

void ruleset_nft(const struct ruleset *ruleset, FILE *out)
{
	/* Anew by one transaction, so that it is an update, too. */
	fputs("add table inet bench\ndelete table inet bench\ntable inet bench {\n", out);
	each_set(ruleset, nft_set, out);
	fputs("chain in { type filter hook prerouting priority raw; policy accept;\n", out);
	each_rule(ruleset, nft_rule, out);
	fputs("}\n}\n", out);
}

/* Whether a rule is a source prefix, TCP and one destination port. */
static bool is_of_map(const struct ruleset *ruleset, const struct policy_rule *rule)
{
	const struct policy_clause *clause = &rule->clauses.at[0];
	char text[ADDR_RANGE_TEXT_SIZE];

	return side_of(ruleset, rule->source, text) == SIDE_ONE &&
	       side_of(ruleset, rule->destination, text) == SIDE_ANY && rule->clauses.len == 1 &&
	       clause->protocol == PROTO_TCP && is_any_port(&clause->source_ports) &&
	       clause->destination_ports.len == 1 &&
	       clause->destination_ports.at[0].first == clause->destination_ports.at[0].last;
}

static void map_element(const struct ruleset *ruleset, const struct policy_rule *rule, FILE *out)
{
	char text[ADDR_RANGE_TEXT_SIZE];

	if (rule->is_default)
		return;
	(void)side_of(ruleset, rule->source, text);
	fprintf(out, "%s . %u : %s,\n", text, rule->clauses.at[0].destination_ports.at[0].first,
		nft_verdict(rule));
}

bool ruleset_nft_map(const struct ruleset *ruleset, FILE *out)
{
	const struct policy *policy = ruleset->policy;

	for (uint32_t i = 0; i < policy->n[DIRECTION_IN][TIER_NIC]; i++) {
		const struct policy_rule *rule =
			&policy->rules.at[policy->first[DIRECTION_IN][TIER_NIC] + i];

		if (!rule->is_default && !is_of_map(ruleset, rule))
			return false;
	}
	if (policy->n[DIRECTION_IN][TIER_ADMIN] || !is_v4(ruleset))
		return false;
	fputs("table inet bench {\nmap m { type ipv4_addr . inet_service : verdict; flags interval;"
	      " counter; elements = {\n",
	      out);
	each_rule(ruleset, map_element, out);
	fputs("} }\nchain in { type filter hook prerouting priority raw; policy drop;\n"
	      "ip saddr . tcp dport vmap @m\n}\n}\n",
	      out);
	return true;
}

/* ---- ipset and iptables ---- */

static void ipset_set(const struct ruleset *ruleset, uint32_t number, const addr_ranges *ranges,
		      FILE *out)
{
	char text[ADDR_RANGE_TEXT_SIZE];
	unsigned n = 0;

	for (size_t i = 0; i < ranges->len; i++)
		n += addr_range_n_prefixes(&ranges->at[i]);
	fprintf(out, "create s%u hash:net family %s hashsize %u maxelem %u\n", number,
		is_v4(ruleset) ? "inet" : "inet6", n < 64 ? 64 : n, n + 10);
	for (size_t i = 0; i < ranges->len; i++) {
		struct addr_range rest = ranges->at[i];
		struct addr_range prefix;
		bool more;

		do {
			more = addr_range_take_prefix(&rest, &prefix);
			fprintf(out, "add s%u %s\n", number, addr_range_print(&prefix, text));
		} while (more);
	}
}

void ruleset_ipset(const struct ruleset *ruleset, FILE *out)
{
	each_set(ruleset, ipset_set, out);
}

static void iptables_side(const struct ruleset *ruleset, const char *option, const char *field,
			  uint32_t number, FILE *out)
{
	char text[ADDR_RANGE_TEXT_SIZE];

	switch (side_of(ruleset, number, text)) {
	case SIDE_ONE:
		fprintf(out, "%s %s ", option, text);
		break;
	case SIDE_SET:
		fprintf(out, "-m set --match-set s%u %s ", number, field);
		break;
	case SIDE_ANY:
	case SIDE_NONE:
		break;
	}
}

static void iptables_ports(const char *option, const port_ranges *ports, FILE *out)
{
	unsigned n = 0;

	if (is_any_port(ports))
		return;
	for (size_t i = 0; i < ports->len; i++)
		n += 1 + (ports->at[i].last != ports->at[i].first);
	if (n > MULTIPORT_MAX)
		broken("%u ports in one rule; iptables takes %d", n, MULTIPORT_MAX);
	if (ports->len > 1)
		fprintf(out, "-m multiport --%ss ", option);
	else
		fprintf(out, "--%s ", option);
	print_ports(ports, ':', out);
	fputs(" ", out);
}

static void iptables_rule(const struct ruleset *ruleset, const struct policy_rule *rule, FILE *out)
{
	for (size_t i = 0; i < rule->clauses.len; i++) {
		const struct policy_clause *clause = &rule->clauses.at[i];

		fputs("-A PREROUTING ", out);
		iptables_side(ruleset, "-s", "src", rule->source, out);
		iptables_side(ruleset, "-d", "dst", rule->destination, out);
		if (clause->protocol >= 0)
			fprintf(out, "-p %d ", clause->protocol);
		if (clause->source_ports.len || clause->destination_ports.len)
			fprintf(out, "-m %s ", policy_protocol_name(clause->protocol));
		iptables_ports("sport", &clause->source_ports, out);
		iptables_ports("dport", &clause->destination_ports, out);
		fprintf(out, "-j %s\n", rule->access == ACCESS_DENY ? "DROP" : "ACCEPT");
	}
}

void ruleset_iptables(const struct ruleset *ruleset, FILE *out)
{
	fputs("*raw\n", out);
	each_rule(ruleset, iptables_rule, out);
	fputs("COMMIT\n", out);
}

/* ---- xdp-filter ---- */

bool ruleset_denied_hosts(const struct ruleset *ruleset, FILE *out)
{
	scoped(arena_free) struct arena *arena = arena_new();
	const struct policy *policy = ruleset->policy;
	const struct policy_rule *rules = &policy->rules.at[policy->first[DIRECTION_IN][TIER_NIC]];
	const struct policy_set *sets = policy->sets.at;
	addr_ranges ranges;
	char text[ADDR_TEXT_SIZE];

	if (policy->n[DIRECTION_IN][TIER_ADMIN] || policy->n[DIRECTION_IN][TIER_NIC] != 3 ||
	    rules[0].access != ACCESS_DENY || rules[1].access != ACCESS_ALLOW ||
	    sets[rules[0].source].any || !sets[rules[0].destination].any ||
	    rules[0].clauses.at[0].protocol >= 0 || !sets[rules[1].source].any ||
	    !sets[rules[1].destination].any || rules[1].clauses.at[0].protocol >= 0)
		return false;
	ranges = ranges_of(ruleset, arena, rules[0].source);
	for (size_t i = 0; i < ranges.len; i++)
		if (addr_compare(&ranges.at[i].first, &ranges.at[i].last))
			return false;
	for (size_t i = 0; i < ranges.len; i++)
		fprintf(out, "%s\n", addr_print(&ranges.at[i].first, text));
	return true;
}
