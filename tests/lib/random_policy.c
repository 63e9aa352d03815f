// SPDX-License-Identifier: GPL-2.0-only
/* Small random policies whose rules overlap as much as they can. */
#include "tests/lib/random_policy.h"

#include <stdlib.h>

/* What is being made, and what its parts may use. */
struct maker {
	struct arena *arena;
	struct rng rng;
	struct random_policy *policy;
	const struct source *source; /* of the file being made; it has no text */
	uint32_t line;		     /* tells marks apart */
	bool has_network;
	bool network_has_v6;
};

enum {
	V4 = 1,
	V6 = 2,
	BOTH = 3,
};

static const char *const pool_v4[] = {
	"10.0.0.0/8",
	"10.1.0.0/16",
	"10.1.2.0/24",
	"10.1.2.3",
	"10.1.2.3-10.1.2.9",
	"10.1.2.8/29",
	"10.1.3.0/24",
	"0.0.0.0/0",
	"0.0.0.0/1",
	"128.0.0.0/1",
	"192.0.2.0/25",
	"192.0.2.127-192.0.2.130",
	"255.255.255.255",
	"198.51.100.128/25",
	"198.51.100.0/24",
	"203.0.113.9",
	"224.0.0.0/4",
	"169.254.0.0/16",
	"10.1.255.255-10.2.0.0",
	"8.8.8.8",
	"168.63.129.16",
};

static const char *const pool_v6[] = {
	"::/0",
	"2000::/3",
	"2001:db8::/32",
	"2001:db8:1::/48",
	"2001:db8:1::/64",
	"2001:db8:1::5",
	"2001:db8:1::5-2001:db8:1::ff",
	"2001:db8:1:0:8000::/65",
	"2001:db8:1:1::/64",
	"fe80::/10",
	"8000::/1",
	"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	"ff02::/16",
	"2001:db8:1:0:ffff:ffff:ffff:ffff-2001:db8:1:1::",
	"2600::1",
	"2001:db8:2::/49",
};

static const struct port_range pool_ports[] = {
	{0, 65535}, {22, 22},	    {80, 80},	   {443, 443},	{80, 90},
	{0, 0},	    {65535, 65535}, {1, 65534},	   {443, 8443}, {8000, 8010},
	{0, 1023},  {53, 53},	    {1024, 65535}, {79, 79},	{4433, 4433},
};

static const int pool_protocols[] = {6,	 6,  6,	 17, 17, 132, 1,   58, -1,
				     -1, 47, 50, 51, 2,	 0,   255, 99};
static const uint16_t pool_types[] = {0, 3, 8, 13, 128, 129, 134, 255};

#define pick(maker, pool) ((pool)[rng_below(&(maker)->rng, ARRAY_LEN(pool))])

static struct mark next_mark(struct maker *m)
{
	return (struct mark){.source = m->source, .line = ++m->line, .column = 1, .len = 1};
}

static struct ast_name name_of(struct maker *m, const char *prefix, size_t number)
{
	const char *text = arena_printf(m->arena, "%s%zu", prefix, number);

	return (struct ast_name){.text = str_of(text), .mark = next_mark(m)};
}

static struct ast_choice choose(struct maker *m, int value)
{
	return (struct ast_choice){.mark = next_mark(m), .value = value};
}

static void add_range(struct maker *m, ast_peers *peers, const char *text)
{
	struct ast_peer peer = {.mark = next_mark(m), .kind = AST_PEER_RANGE};

	if (addr_range_parse(str_of(text), &peer.range))
		abort();
	array_push(m->arena, peers, peer);
}

static void add_name(struct maker *m, ast_peers *peers, enum ast_peer_kind kind, const char *name)
{
	array_push(m->arena, peers,
		   (struct ast_peer){.mark = next_mark(m), .kind = kind, .name = str_of(name)});
}

/* Shared sets: v4-N of IPv4, v6-N of IPv6, mixed-N of both; later ones name earlier ones. */
enum { N_SETS = 3 };

static void add_sets(struct maker *m, struct ast_file *file)
{
	static const char *const prefixes[] = {"v4-", "v6-", "mixed-"};

	for (size_t kind = 0; kind < ARRAY_LEN(prefixes); kind++)
		for (size_t i = 0; i < N_SETS; i++) {
			struct ast_set set = {.name = name_of(m, prefixes[kind], i)};

			for (uint32_t n = 1 + rng_below(&m->rng, 3); n; n--) {
				if (kind != 1)
					add_range(m, &set.items, pick(m, pool_v4));
				if (kind != 0)
					add_range(m, &set.items, pick(m, pool_v6));
			}
			if (i && rng_chance(&m->rng, 50))
				add_name(m, &set.items, AST_PEER_NAME,
					 arena_printf(m->arena, "%s%zu", prefixes[kind], i - 1));
			array_push(m->arena, &file->sets, set);
		}
}

/* An item that goes with the families; its protocol is never any. */
static struct ast_service_item random_item(struct maker *m, unsigned families)
{
	struct ast_service_item item = {.mark = next_mark(m), .icmp_type = -1, .icmp_code = -1};

	do
		item.protocol = pick(m, pool_protocols);
	while (item.protocol == -1 || (item.protocol == 1 && !(families & V4)) ||
	       (item.protocol == 58 && !(families & V6)) ||
	       (item.protocol == 0 && !(families & V4))); /* over IPv6 an extension header */
	if (item.protocol == 1 || item.protocol == 58) {
		if (rng_chance(&m->rng, 70))
			item.icmp_type = pick(m, pool_types);
		if (item.icmp_type != -1 && rng_chance(&m->rng, 40))
			item.icmp_code = (int)rng_below(&m->rng, 3);
	} else if (item.protocol == 6 || item.protocol == 17 || item.protocol == 132) {
		item.has_ports = rng_chance(&m->rng, 85);
		item.ports = item.has_ports ? pick(m, pool_ports) : (struct port_range){};
	}
	return item;
}

enum { N_SERVICES = 4 };

/* svc-N: the first item is always one that both families can carry. */
static void add_services(struct maker *m, struct ast_file *file)
{
	for (size_t i = 0; i < N_SERVICES; i++) {
		struct ast_service service = {.name = name_of(m, "svc-", i)};

		array_push(m->arena, &service.items,
			   (struct ast_service_item){.mark = next_mark(m),
						     .protocol = i & 1 ? 17 : 6,
						     .has_ports = true,
						     .ports = pick(m, pool_ports),
						     .icmp_type = -1,
						     .icmp_code = -1});
		for (uint32_t n = rng_below(&m->rng, 3); n; n--)
			array_push(m->arena, &service.items, random_item(m, BOTH));
		array_push(m->arena, &file->services, service);
	}
}

static void add_tag(struct maker *m, ast_peers *peers, unsigned families)
{
	uint32_t which = rng_below(&m->rng, 3);

	if (which == 0)
		add_name(m, peers, AST_PEER_NAME, "Internet");
	else if (which == 1 && families == V4)
		add_name(m, peers, AST_PEER_NAME, "azureloadbalancer");
	else if (m->has_network && (families == V4 || m->network_has_v6))
		add_name(m, peers, AST_PEER_NAME, "VirtualNetwork");
	else
		add_name(m, peers, AST_PEER_SELF, "self");
}

/* One item that has addresses of each of the families. */
static void add_peer(struct maker *m, ast_peers *peers, unsigned families)
{
	uint32_t dice = rng_below(&m->rng, 100);

	if (dice < 50) {
		if (families & V4)
			add_range(m, peers, pick(m, pool_v4));
		if (families & V6)
			add_range(m, peers, pick(m, pool_v6));
	} else if (dice < 65) {
		add_name(m, peers, AST_PEER_NAME,
			 arena_printf(m->arena, "%s%u",
				      families == V4   ? "v4-"
				      : families == V6 ? "v6-"
						       : "mixed-",
				      rng_below(&m->rng, N_SETS)));
	} else if (dice < 75) {
		add_tag(m, peers, families);
	} else if (dice < 90) {
		add_name(m, peers, AST_PEER_SELF, "self");
	} else {
		add_name(m, peers, AST_PEER_ANY, "any");
	}
}

static ast_peers random_peers(struct maker *m, unsigned families)
{
	ast_peers peers = {};

	for (uint32_t n = rng_chance(&m->rng, 60) ? 1 : 1 + rng_below(&m->rng, 4); n; n--)
		add_peer(m, &peers, families);
	return peers;
}

/* Where self is none, something has to be left of each family. */
static void add_foreign(struct maker *m, ast_peers *peers, unsigned families)
{
	bool self = false;

	for (size_t i = 0; i < peers->len; i++)
		self |= peers->at[i].kind == AST_PEER_SELF;
	if (self && families & V4)
		add_range(m, peers, pick(m, pool_v4));
	if (self && families & V6)
		add_range(m, peers, pick(m, pool_v6));
}

static bool are_all(const ast_ports *ports)
{
	uint32_t below = 0; /* all of these are there */

	for (size_t i = 0; i < ports->len * ports->len; i++) {
		struct port_range range = ports->at[i % ports->len].range;

		if (range.first <= below && range.last >= below)
			below = range.last + 1U;
	}
	return below > UINT16_MAX;
}

/* All of them by number are said by the word: beside any protocol they are refused. */
static ast_ports random_ports(struct maker *m)
{
	ast_ports ports = {};

	for (uint32_t n = 1 + rng_below(&m->rng, 3); n; n--)
		array_push(m->arena, &ports,
			   (struct ast_port){.mark = next_mark(m), .range = pick(m, pool_ports)});
	if (are_all(&ports))
		array_push(
			m->arena, &ports,
			(struct ast_port){.mark = next_mark(m), .range = {0, 65535}, .any = true});
	return ports;
}

static void add_protocol(struct maker *m, struct ast_rule *rule, int number)
{
	array_push(m->arena, &rule->protocols,
		   (struct ast_protocol){.mark = next_mark(m), .number = number});
}

/* protocol with what may stand beside it. */
static void set_protocol(struct maker *m, struct ast_rule *rule, unsigned families)
{
	struct ast_service_item item = random_item(m, families);
	bool has_ports = item.protocol == 6 || item.protocol == 17 || item.protocol == 132;

	if (rng_chance(&m->rng, 25)) {
		add_protocol(m, rule, -1);
		has_ports = true;
	} else {
		add_protocol(m, rule, item.protocol);
	}
	if (has_ports && rng_chance(&m->rng, 25) && rule->protocols.at[0].number != -1)
		add_protocol(m, rule, rule->protocols.at[0].number == 6 ? 17 : 6);
	if (has_ports && rng_chance(&m->rng, 60))
		rule->destination_ports = random_ports(m);
	if (has_ports && rng_chance(&m->rng, 20))
		rule->source_ports = random_ports(m);
	if (has_ports)
		return;
	if (item.icmp_type != -1)
		rule->icmp_type = (struct ast_number){next_mark(m), (uint64_t)item.icmp_type};
	if (item.icmp_code != -1)
		rule->icmp_code = (struct ast_number){next_mark(m), (uint64_t)item.icmp_code};
}

static void set_services(struct maker *m, struct ast_rule *rule, unsigned families)
{
	rule->has_services = true;
	for (uint32_t n = 1 + rng_below(&m->rng, 3); n; n--) {
		struct ast_service_item item = random_item(m, families);

		if (rng_chance(&m->rng, 50))
			item = (struct ast_service_item){
				.mark = next_mark(m),
				.is_name = true,
				.name = name_of(m, "svc-", rng_below(&m->rng, N_SERVICES)).text,
			};
		array_push(m->arena, &rule->services, item);
	}
}

static int random_access(struct maker *m, enum ast_tier tier)
{
	if (tier == AST_TIER_ADMIN && rng_chance(&m->rng, 25))
		return AST_ALWAYS_ALLOW;
	return rng_chance(&m->rng, tier == AST_TIER_ADMIN ? 40 : 60) ? AST_ALLOW : AST_DENY;
}

static struct ast_rule random_rule(struct maker *m, const struct ast_file *file, size_t number,
				   uint64_t priority)
{
	unsigned families = (const unsigned[]){V4, V4, V6, V6, BOTH}[rng_below(&m->rng, 5)];
	struct ast_rule rule = {
		.name = name_of(m, "rule-", number),
		.priority = {next_mark(m), priority},
		.direction = choose(m, rng_chance(&m->rng, 60) ? AST_INBOUND : AST_OUTBOUND),
		.access = choose(m, random_access(m, file->tier.value)),
		.source = random_peers(m, families),
		.destination = random_peers(m, families),
		.log = rng_chance(&m->rng, 20),
		.enabled = !rng_chance(&m->rng, 5),
	};

	rule.mark = rule.name.mark;
	if (rule.direction.value == AST_INBOUND)
		add_foreign(m, &rule.source, families);
	if (rule.access.value == AST_DENY && rng_chance(&m->rng, 15))
		rule.mode = choose(m, AST_AUDIT);
	if (rng_chance(&m->rng, 40))
		set_services(m, &rule, families);
	else
		set_protocol(m, &rule, families);
	return rule;
}

static struct ast_file *add_file(struct maker *m)
{
	struct ast_file *file = arena_alloc(m->arena, sizeof(*file));
	struct source *source = arena_alloc(m->arena, sizeof(*source));

	source->path = arena_printf(m->arena, "random-%zu.yaml", m->policy->files.len);
	file->source = m->source = source;
	file->tier.value = AST_TIER_NIC;
	array_push(m->arena, &m->policy->files, file);
	return file;
}

static struct ast_file *add_group(struct maker *m, enum ast_tier tier, size_t number)
{
	struct ast_file *file = add_file(m);

	file->group = name_of(m, "group-", m->policy->files.len);
	file->tier = choose(m, tier);
	if (tier == AST_TIER_ADMIN)
		file->order = (struct ast_number){next_mark(m), 10 - number};
	else if (m->has_network && rng_chance(&m->rng, 40))
		file->defaults = choose(m, AST_DEFAULTS_AZURE);
	if (rng_chance(&m->rng, 8))
		file->mode = choose(m, AST_AUDIT);
	if (rng_chance(&m->rng, 30))
		file->existing_flows = choose(m, rng_chance(&m->rng, 50) ? AST_KEEP : AST_RECHECK);
	return file;
}

/* A second part of the group, to which its later rules go. */
static struct ast_file *add_part(struct maker *m, const struct ast_file *first)
{
	struct ast_file *file = add_file(m);

	file->group = (struct ast_name){.text = first->group.text, .mark = next_mark(m)};
	return file;
}

static void fill_group(struct maker *m, struct ast_file *file, size_t n_rules)
{
	struct ast_file *part = rng_chance(&m->rng, 25) ? add_part(m, file) : file;

	for (size_t i = 0; i < n_rules; i++) {
		/* Distinct by construction: 97 has no common factor with 3989, a prime. */
		uint64_t priority = 100 + (i * 97 + 13) % 3989;
		struct ast_file *to = i < n_rules / 2 ? file : part;

		m->source = to->source;
		array_push(m->arena, &to->rules, random_rule(m, file, i, priority));
	}
}

static void make_host(struct maker *m)
{
	struct hostconf *host = &m->policy->host;

	hostconf_init(host);
	host->mode = rng_chance(&m->rng, 5) ? AST_AUDIT : AST_ENFORCE;
	host->no_group = rng_chance(&m->rng, 40) ? AST_ALLOW : AST_DENY;
	host->existing_flows = rng_chance(&m->rng, 30) ? AST_KEEP : AST_RECHECK;
	host->platform_azure = rng_chance(&m->rng, 25);
	m->has_network = rng_chance(&m->rng, 50);
	m->network_has_v6 = m->has_network && rng_chance(&m->rng, 60);
	if (m->has_network)
		add_range(m, &host->virtual_network, "10.1.0.0/16");
	if (m->network_has_v6)
		add_range(m, &host->virtual_network, "2001:db8:1::/48");
	for (int i = 0; i < NEVER_COUNT; i++)
		host->never_denied[i] = !rng_chance(&m->rng, 8);
}

static void make_self(struct maker *m)
{
	static const char *const own[] = {"10.1.2.3", "198.51.100.200", "2001:db8:1::5", "fe80::1"};

	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		(void)addr_parse(str_of(own[i]), array_add(m->arena, &m->policy->self));
}

static void make_groups(struct maker *m)
{
	size_t n_admin = rng_chance(&m->rng, 50) ? 1 + rng_below(&m->rng, 2) : 0;
	bool subnet = rng_chance(&m->rng, 50), nic = rng_chance(&m->rng, 65);
	size_t n_groups = n_admin + subnet + nic;
	size_t n_rules = 2 + rng_below(&m->rng, 39);

	if (!n_groups) {
		nic = true;
		n_groups = 1;
	}
	for (size_t i = 0; i < n_admin; i++)
		fill_group(m, add_group(m, AST_TIER_ADMIN, i), n_rules / n_groups);
	if (subnet)
		fill_group(m, add_group(m, AST_TIER_SUBNET, 0), n_rules / n_groups);
	if (nic)
		fill_group(m, add_group(m, AST_TIER_NIC, 0), n_rules / n_groups + 1);
}

void random_policy(struct arena *arena, uint64_t seed, struct random_policy *ret_policy)
{
	struct maker m = {.arena = arena, .rng = {seed}, .policy = ret_policy};
	struct ast_file *shared;

	*ret_policy = (struct random_policy){};
	make_host(&m);
	make_self(&m);
	shared = add_file(&m);
	add_sets(&m, shared);
	add_services(&m, shared);
	make_groups(&m);
}
