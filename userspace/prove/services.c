// SPDX-License-Identifier: GPL-2.0-only
/*
 * Protocol by protocol and family by family: which clauses can match it, over which ports they do,
 * and which class the image gives each port. Protocols that neither the policy nor the image
 * tells apart are looked at once.
 */
#include "prove/services.h"

#include <assert.h>

#include "prove/runs.h"
#include "prove/set.h"

enum {
	PROTOCOL_ICMP = 1,
	PROTOCOL_TCP = 6,
	PROTOCOL_UDP = 17,
	PROTOCOL_ICMPV6 = 58,
	PROTOCOL_SCTP = 132,
	LAST_PORT = 65535,
};

/* A way in which a rule matches. */
struct way {
	uint32_t rule;
	const struct policy_clause *clause;
};

/* Ports of one side that the same ways hold and that have one class. */
struct port_point {
	uint32_t ways; /* number in the pool */
	uint32_t class;
	uint16_t example;
};

typedef ARRAY(struct port_point) port_points;

struct maker {
	struct arena *arena;
	const struct rules *rules;
	const struct image *image;
	struct service_points *points;
	struct pool *known; /* rules and class of the points */
	uint64_t *matched;  /* scratch: the rules of one cell */

	/* Of the protocol at hand. */
	int family;
	uint8_t protocol;
	const struct bh_proto_slot *slot;
	ARRAY(struct way) ways;
};

bool service_is_typed(int family, uint8_t protocol)
{
	return protocol == (family ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP);
}

static bool has_ports(uint8_t protocol)
{
	return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP || protocol == PROTOCOL_SCTP;
}

/* The last number that stands in that place of a packet of the protocol. */
static uint32_t last_port(const struct maker *maker, bool destination)
{
	bool varies = has_ports(maker->protocol) ||
		      (destination && service_is_typed(maker->family, maker->protocol));

	return varies ? LAST_PORT : 0;
}

/* Whether a clause asks for this protocol, not counting those for any. */
static bool names(const struct policy_clause *clause, int family, int protocol)
{
	bool foreign = family ? protocol == PROTOCOL_ICMP : protocol == PROTOCOL_ICMPV6;

	return clause->protocol == protocol && !foreign;
}

static void find_ways(struct maker *maker)
{
	maker->ways.len = 0;
	for (uint32_t r = 0; r < maker->rules->n; r++) {
		const struct policy_rule *rule = rules_at(maker->rules, r);

		for (size_t c = 0; c < rule->clauses.len; c++)
			if (rule->clauses.at[c].protocol < 0 ||
			    names(&rule->clauses.at[c], maker->family, maker->protocol))
				array_push(maker->arena, &maker->ways,
					   (struct way){r, &rule->clauses.at[c]});
	}
}

/* The types and codes of a clause, as they stand in the place of ports. */
static void add_types(struct maker *maker, struct sweep *sweep, uint32_t way)
{
	const struct policy_clause *clause = maker->ways.at[way].clause;

	for (int type = 0; type < 256; type++) {
		uint32_t first = type << 8 | (clause->icmp_code < 0 ? 0 : clause->icmp_code);
		uint32_t last = type << 8 | (clause->icmp_code < 0 ? 0xff : clause->icmp_code);

		if (clause->icmp_type < 0 || clause->icmp_type == type)
			sweep_add(maker->arena, sweep, first, last, way);
	}
}

static void add_way(struct maker *maker, struct sweep *sweep, bool destination, uint32_t way)
{
	const struct policy_clause *clause = maker->ways.at[way].clause;
	const port_ranges *ports = destination ? &clause->destination_ports : &clause->source_ports;

	if (destination && service_is_typed(maker->family, maker->protocol)) {
		add_types(maker, sweep, way);
		return;
	}
	if (!ports->len)
		sweep_add(maker->arena, sweep, 0, LAST_PORT, way);
	for (size_t i = 0; i < ports->len; i++)
		sweep_add(maker->arena, sweep, ports->at[i].first, ports->at[i].last, way);
}

/* The last port from first to last that has the class of the first. */
static uint32_t last_of_class(const struct maker *maker, uint32_t root, uint32_t first,
			      uint32_t last)
{
	uint32_t class = runs_port_class(maker->image, root, first);

	if (!root)
		return last;
	while (first < last && runs_port_class(maker->image, root, first + 1) == class)
		first++;
	return first;
}

/* The points of one side, from port 0 to the last that a packet can have there. */
static void find_ports(struct maker *maker, bool destination, struct pool *ways, port_points *ports)
{
	uint32_t root = destination ? maker->slot->destination_root : maker->slot->source_root;
	uint32_t end = last_port(maker, destination);
	scoped(pool_free) struct pool *known = pool_new(1);
	struct sweep sweep = {.last = LAST_PORT};
	struct segments segments;
	size_t s = 0;

	for (uint32_t way = 0; way < maker->ways.len; way++)
		add_way(maker, &sweep, destination, way);
	segments = sweep_segments(maker->arena, &sweep, ways);
	for (uint32_t port = 0; port <= end;) {
		struct port_point point = {.example = port};
		uint32_t last = end;

		while (s + 1 < segments.len && segments.at[s + 1].first <= port)
			s++;
		if (s + 1 < segments.len && segments.at[s + 1].first <= end)
			last = (uint32_t)segments.at[s + 1].first - 1;
		point.ways = segments.at[s].members;
		point.class = runs_port_class(maker->image, root, port);
		if (pool_put_two(known, point.ways, point.class) == ports->len)
			array_push(maker->arena, ports, point);
		port = last_of_class(maker, root, port, last) + 1;
	}
}

/* The rules that some way of both sides matches. */
static uint32_t rules_matched(struct maker *maker, const uint64_t *source,
			      const uint64_t *destination)
{
	memset(maker->matched, 0, maker->points->rules->n_words * sizeof(*maker->matched));
	for (size_t w = 0; w < set_words(maker->ways.len); w++)
		for (uint64_t both = source[w] & destination[w]; both; both &= both - 1) {
			size_t way = w * 64 + (size_t)__builtin_ctzll(both);

			set_put(maker->matched, maker->ways.at[way].rule, true);
		}
	return pool_put(maker->points->rules, maker->matched);
}

static void add_cell(struct maker *maker, const struct pool *ways, const struct port_point *source,
		     const struct port_point *destination)
{
	struct service_point point = {
		.rules = rules_matched(maker, pool_at(ways, source->ways),
				       pool_at(ways, destination->ways)),
		.class = runs_cell(maker->image, maker->slot, source->class, destination->class),
	};
	uint32_t i = pool_put_two(maker->known, point.rules, point.class);
	struct service *example;

	if (i == maker->points->all.len)
		array_push(maker->arena, &maker->points->all, point);
	assert(i < maker->points->all.len);
	example = &maker->points->all.at[i].example[maker->family];
	if (!example->is)
		*example = (struct service){true, maker->protocol, source->example,
					    destination->example};
}

static void add_protocol(struct maker *maker)
{
	scoped(pool_free) struct pool *ways = NULL;
	port_points sides[2] = {};

	find_ways(maker);
	ways = pool_new(set_words(maker->ways.len));
	for (int side = 0; side < 2; side++)
		find_ports(maker, side, ways, &sides[side]);
	for (size_t s = 0; s < sides[0].len; s++)
		for (size_t d = 0; d < sides[1].len; d++)
			add_cell(maker, ways, &sides[0].at[s], &sides[1].at[d]);
}

/*
 * What tells a protocol apart from others: whether clauses name it, what stands in the place of
 * ports, and its slot.
 */
static bool is_new(struct maker *maker, const bool named[256], struct pool *seen)
{
	bool alone = named[maker->protocol] || has_ports(maker->protocol) ||
		     service_is_typed(maker->family, maker->protocol);
	uint32_t slot = (uint32_t)((const uint8_t *)maker->slot - maker->image->tables);
	uint32_t protocol = alone ? maker->protocol : 256;
	uint32_t n = seen->len;

	return pool_put_two(seen, protocol * FAMILIES + maker->family, slot) == n;
}

void service_points(struct arena *arena, const struct rules *rules, const struct image *image,
		    struct service_points *ret_points)
{
	size_t n_words = set_words(rules->n);
	struct service_points points = {.rules = pool_new(n_words)};
	scoped(pool_free) struct pool *known = pool_new(1);
	scoped(pool_free) struct pool *seen = pool_new(1);
	bool named[256] = {};
	struct maker maker = {
		.arena = arena,
		.rules = rules,
		.image = image,
		.points = &points,
		.known = known,
		.matched = arena_calloc(arena, n_words, sizeof(uint64_t)),
	};

	for (uint32_t r = 0; r < rules->n; r++)
		for (size_t c = 0; c < rules_at(rules, r)->clauses.len; c++)
			if (rules_at(rules, r)->clauses.at[c].protocol >= 0)
				named[rules_at(rules, r)->clauses.at[c].protocol] = true;
	for (uint32_t i = 0; i < 256 * FAMILIES; i++) {
		maker.family = i / 256;
		maker.protocol = i % 256;
		maker.slot = runs_slot(image, (enum bh_direction)rules->direction,
				       maker.family ? ADDR_V6 : ADDR_V4, maker.protocol);
		if (is_new(&maker, named, seen))
			add_protocol(&maker);
	}
	points.always = arena_alloc(arena, n_words * sizeof(*points.always));
	memset(points.always, 0xff, n_words * sizeof(*points.always));
	for (uint32_t i = 0; i < points.rules->len; i++)
		for (size_t w = 0; w < n_words; w++)
			points.always[w] &= pool_at(points.rules, i)[w];
	*ret_points = points;
}

void service_points_fini(struct service_points *points)
{
	pool_free(take(points->rules));
}
