// SPDX-License-Identifier: GPL-2.0-only
/* A large policy with the shape of a cloud host's: few large sets, many small ones. */
#include "tests/lib/random_policy.h"

struct maker {
	struct arena *arena;
	struct rng rng;
	enum random_family family;
	struct ast_file *file;
	uint32_t line;
};

enum { N_TAGS = 12 };

static const uint16_t well_known[] = {22,   53,	  80,	123,  443,  445,   1433,  3306, 3389, 5432,
				      6379, 8080, 8443, 9090, 9200, 10250, 27017, 5671, 2379, 179};

static struct mark next_mark(struct maker *m)
{
	return (struct mark){.source = m->file->source, .line = ++m->line, .column = 1, .len = 1};
}

static struct ast_name name_of(struct maker *m, const char *prefix, size_t number)
{
	const char *text = arena_printf(m->arena, "%s%zu", prefix, number);

	return (struct ast_name){.text = str_of(text), .mark = next_mark(m)};
}

/* The prefix of that length around an address. */
static struct addr_range prefix(struct addr addr, unsigned len)
{
	struct addr_range range = {.first = addr, .last = addr};
	unsigned bits = addr.family == ADDR_V4 ? 32 : 128;

	for (unsigned i = len; i < bits; i++) {
		uint8_t bit = (uint8_t)(0x80 >> i % 8);

		range.first.bytes[i / 8] &= (uint8_t)~bit;
		range.last.bytes[i / 8] |= bit;
	}
	return range;
}

static void add_prefix(struct maker *m, ast_peers *peers, struct addr addr, unsigned len)
{
	array_push(m->arena, peers,
		   (struct ast_peer){.mark = next_mark(m),
				     .kind = AST_PEER_RANGE,
				     .range = prefix(addr, len)});
}

static void add_name(struct maker *m, ast_peers *peers, enum ast_peer_kind kind, struct str name)
{
	array_push(m->arena, peers,
		   (struct ast_peer){.mark = next_mark(m), .kind = kind, .name = name});
}

static struct addr v6_below(uint32_t high, uint64_t low)
{
	struct addr addr = {.family = ADDR_V6};

	for (int i = 0; i < 4; i++)
		addr.bytes[i] = (uint8_t)(high >> (24 - 8 * i));
	for (int i = 0; i < 8; i++)
		addr.bytes[4 + i] = (uint8_t)(low >> (56 - 8 * i));
	return addr;
}

static bool wants_v4(struct maker *m, bool toss)
{
	return m->family == RANDOM_V4 || (m->family == RANDOM_BOTH && toss);
}

static bool wants_v6(struct maker *m, bool toss)
{
	return m->family == RANDOM_V6 || (m->family == RANDOM_BOTH && !toss);
}

/* The lengths of prefixes in service tags, with their weights in a thousand. */
static unsigned v4_length(struct maker *m)
{
	static const uint16_t lengths[][2] = {{16, 10}, {18, 10}, {19, 20},  {20, 35}, {21, 35},
					      {22, 90}, {23, 75}, {24, 418}, {26, 40}, {28, 60},
					      {29, 40}, {30, 30}, {31, 17},  {32, 120}};
	uint32_t dice = rng_below(&m->rng, 1000);
	size_t i = 0;

	while (dice >= lengths[i][1])
		dice -= lengths[i++][1];
	return lengths[i][0];
}

/* A service tag: prefixes that crowd in few blocks. */
static struct str add_tag(struct maker *m, size_t number, uint32_t n)
{
	struct ast_set set = {.name = name_of(m, "tag-", number)};
	uint32_t n_blocks = n / 20 + 4;
	uint32_t *blocks = arena_calloc(m->arena, n_blocks, sizeof(*blocks));

	for (uint32_t i = 0; i < n_blocks; i++)
		blocks[i] = (uint32_t)rng_next(&m->rng);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t block = blocks[rng_below(&m->rng, n_blocks)];
		uint64_t low = rng_next(&m->rng);

		if (wants_v4(m, i & 1))
			add_prefix(m, &set.items,
				   addr_v4(((block % 223 + 1) << 24 | (block >> 8 & 0xff) << 16) |
					   (low & 0xffff)),
				   v4_length(m));
		else
			add_prefix(m, &set.items, v6_below(0x26000000 | block >> 12, low),
				   rng_chance(&m->rng, 20) ? 128 : 40 + rng_below(&m->rng, 25));
	}
	array_push(m->arena, &m->file->sets, set);
	return set.name.text;
}

/* n tags whose sizes are T, T/3, T/9 and so on, six sizes in turn, adding up to n_prefixes. */
static void add_tags(struct maker *m, uint32_t n_prefixes, struct str names[N_TAGS])
{
	static const uint32_t divisors[] = {1, 3, 9, 27, 81, 243};
	double share = 0;

	for (size_t i = 0; i < N_TAGS; i++)
		share += 1.0 / divisors[i % ARRAY_LEN(divisors)];
	for (size_t i = 0; i < N_TAGS; i++) {
		double size = n_prefixes / share / divisors[i % ARRAY_LEN(divisors)];

		names[i] = add_tag(m, i, size < 3 ? 3 : (uint32_t)size);
	}
}

/* n prefixes in private space, of a length from shortest to shortest + spread - 1. */
static void add_private(struct maker *m, ast_peers *peers, uint32_t n, unsigned shortest,
			unsigned spread)
{
	for (uint32_t i = 0; i < n; i++) {
		uint64_t low = rng_next(&m->rng);
		unsigned len = shortest + rng_below(&m->rng, spread);

		if (wants_v4(m, true))
			add_prefix(m, peers, addr_v4(10u << 24 | (uint32_t)(low & 0xffffff)), len);
		if (wants_v6(m, false))
			add_prefix(m, peers, v6_below(0xfd000000, low), len >= 32 ? 128 : len + 32);
	}
}

static ast_peers sources(struct maker *m, const struct str tags[N_TAGS])
{
	uint32_t dice = rng_below(&m->rng, 100);
	ast_peers peers = {};

	if (dice < 20)
		add_name(m, &peers, AST_PEER_NAME, tags[rng_below(&m->rng, N_TAGS)]);
	else if (dice < 60)
		add_private(m, &peers, 1 + rng_below(&m->rng, 3), 16, 13);
	else if (dice < 92)
		add_private(m, &peers, 1 + rng_below(&m->rng, 8), 32, 1);
	else
		add_name(m, &peers, AST_PEER_ANY, STR("any"));
	return peers;
}

static ast_peers destinations(struct maker *m)
{
	uint32_t dice = rng_below(&m->rng, 100);
	ast_peers peers = {};

	if (dice < 70) {
		add_name(m, &peers, AST_PEER_ANY, STR("any"));
	} else if (dice < 90) {
		add_name(m, &peers, AST_PEER_SELF, STR("self"));
	} else {
		if (wants_v4(m, true))
			add_prefix(m, &peers, addr_v4(0x0a4d0000), 16);
		if (wants_v6(m, false))
			add_prefix(m, &peers, v6_below(0xfd004d00, 0), 64);
	}
	return peers;
}

static void add_port(struct maker *m, ast_ports *ports, uint32_t first, uint32_t last)
{
	array_push(m->arena, ports,
		   (struct ast_port){.mark = next_mark(m),
				     .range = {(uint16_t)first, (uint16_t)last}});
}

static uint32_t one_port(struct maker *m)
{
	return rng_chance(&m->rng, 70) ? well_known[rng_below(&m->rng, ARRAY_LEN(well_known))]
				       : 1024 + rng_below(&m->rng, 30000);
}

static ast_ports destination_ports(struct maker *m)
{
	uint32_t dice = rng_below(&m->rng, 100), first = 1000 * (1 + rng_below(&m->rng, 40));
	ast_ports ports = {};

	if (dice < 72) {
		for (uint32_t n = dice < 55 ? 1 : 2 + rng_below(&m->rng, 4); n; n--) {
			uint32_t port = one_port(m);

			add_port(m, &ports, port, port);
		}
	} else if (dice < 90) {
		add_port(m, &ports, first,
			 first + (rng_chance(&m->rng, 66) ? 99 : rng_below(&m->rng, 5000)));
	}
	return ports;
}

static void add_rule(struct maker *m, size_t number, const struct str tags[N_TAGS])
{
	uint32_t dice = rng_below(&m->rng, 100);
	int protocol = dice < 70 ? 6 : dice < 92 ? 17 : -1;
	struct ast_rule rule = {
		.name = name_of(m, "rule-", number),
		.priority = {next_mark(m), 100 + number},
		.direction = {next_mark(m), AST_INBOUND},
		.access = {next_mark(m), rng_chance(&m->rng, 70) ? AST_ALLOW : AST_DENY},
		.source = sources(m, tags),
		.destination = destinations(m),
		.destination_ports = destination_ports(m),
		.enabled = true,
	};

	rule.mark = rule.name.mark;
	if (rule.source.len && rule.source.at[0].kind == AST_PEER_ANY &&
	    !rule.destination_ports.len) {
		/* Would hide every rule behind it. */
		protocol = 6;
		add_port(m, &rule.destination_ports, 3000 + (uint32_t)number,
			 3000 + (uint32_t)number);
	}
	array_push(m->arena, &rule.protocols,
		   (struct ast_protocol){.mark = next_mark(m), .number = protocol});
	array_push(m->arena, &m->file->rules, rule);
}

static void add_self(struct arena *arena, addr_list *self)
{
	static const char *const own[] = {"10.77.1.4", "10.77.1.5", "fd00:4d00::4", "fe80::4"};

	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		(void)addr_parse(str_of(own[i]), array_add(arena, self));
}

void random_nsg_policy(struct arena *arena, uint64_t seed, uint32_t n_rules, uint32_t n_prefixes,
		       enum random_family family, struct random_policy *ret_policy)
{
	struct ast_file *file = arena_alloc(arena, sizeof(*file));
	struct source *source = arena_alloc(arena, sizeof(*source));
	struct maker m = {.arena = arena, .rng = {seed}, .family = family, .file = file};
	struct str tags[N_TAGS];

	*ret_policy = (struct random_policy){};
	hostconf_init(&ret_policy->host);
	add_self(arena, &ret_policy->self);
	source->path = "random-nsg.yaml";
	file->source = source;
	file->tier = (struct ast_choice){next_mark(&m), AST_TIER_NIC};
	file->group = name_of(&m, "nsg-", n_rules);
	add_tags(&m, n_prefixes, tags);
	for (size_t i = 0; i < n_rules; i++)
		add_rule(&m, i, tags);
	array_push(arena, &ret_policy->files, file);
}
