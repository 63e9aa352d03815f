// SPDX-License-Identifier: GPL-2.0-only
/*
 * Protocol by protocol and family by family: which clauses can match it, over which ports they do,
 * and which class the image gives each port. Protocols that neither the policy nor the image
 * tells apart are looked at once.
 */
#include "prove/services.h"

#include <assert.h>

#include "policy/eval.h"
#include "prove/runs.h"
#include "prove/set.h"

enum {
	PROTOCOL_ICMP = 1,
	PROTOCOL_TCP = 6,
	PROTOCOL_UDP = 17,
	PROTOCOL_ICMPV6 = 58,
	PROTOCOL_SCTP = 132,
	LAST_PORT = 65535,
	TRIED_MAX = 16 * 256, /* more than stand in a row that are decided before any rule */
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

static bool is_typed(int family, uint8_t protocol)
{
	return protocol == (family ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP);
}

static bool has_ports(uint8_t protocol)
{
	return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP || protocol == PROTOCOL_SCTP;
}

struct tuple service_tuple(enum policy_direction direction, int family,
			   const struct service *service)
{
	struct tuple tuple = {.direction = direction, .protocol = service->protocol};

	if (is_typed(family, service->protocol)) {
		tuple.icmp_type = service->destination_port >> 8;
		tuple.icmp_code = service->destination_port & 0xff;
		return tuple;
	}
	tuple.source_port = service->source_port;
	tuple.destination_port = service->destination_port;
	return tuple;
}

/*
 * Whether the rules judge a service between whichever usual addresses: those are asked of which the
 * most is decided before any rule.
 */
static bool is_judged(const struct maker *maker, const struct service *service)
{
	static const line_number ends[FAMILIES][2][2] = {
		{{0xc0000201, 0xa83f8110}, {0xc0000201, 0xa9fea9fe}}, /* to Azure's platform */
		{{(line_number)0xfe80 << 112 | 1, (line_number)0x2001 << 112}, /* link-local */
		 {(line_number)0x2001 << 112, (line_number)0x2001 << 112}},
	};
	struct tuple tuple = service_tuple(maker->rules->direction, maker->family, service);
	struct verdict before;

	if (maker->family && tuple_is_extension(service->protocol))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(ends[0]); i++) {
		tuple.source = address_of_number(maker->family, ends[maker->family][i][0]);
		tuple.destination = address_of_number(maker->family, ends[maker->family][i][1]);
		if (eval_before_rules(maker->rules->policy, &tuple, &before))
			return false;
	}
	return true;
}

/* Whether packets are left to the rules wherever this number stands in that place. */
static bool is_plain(const struct maker *maker, bool destination, uint32_t number)
{
	static const uint16_t leases[] = {67, 68, 546, 547};
	const struct service service = {true, false, maker->protocol, 0, (uint16_t)number};

	if (destination && is_typed(maker->family, maker->protocol))
		return is_judged(maker, &service);
	for (size_t i = 0; i < ARRAY_LEN(leases); i++)
		if (has_ports(maker->protocol) && leases[i] == number)
			return false;
	return true;
}

/* The first plain number from first to last; false: there is none near. */
static bool find_plain(const struct maker *maker, bool destination, uint32_t first, uint32_t last,
		       uint16_t *ret_number)
{
	uint32_t number = first;

	while (number <= last && number - first < TRIED_MAX &&
	       !is_plain(maker, destination, number))
		number++;
	if (number > last || number - first == TRIED_MAX)
		return false;
	*ret_number = (uint16_t)number;
	return true;
}

/* The last number that stands in that place of a packet of the protocol. */
static uint32_t last_port(const struct maker *maker, bool destination)
{
	bool varies = has_ports(maker->protocol) ||
		      (destination && is_typed(maker->family, maker->protocol));

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

	if (destination && is_typed(maker->family, maker->protocol)) {
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
	uint32_t begin = first;

	if (!root)
		return last;
	while (first < last && runs_port_class(maker->image, root, first + 1) == class) {
		first++;
		/* A block that is of one class, again and again. */
		while (first - begin >= RUNS_PORTS - 1 && first % RUNS_PORTS == RUNS_PORTS - 1 &&
		       first + RUNS_PORTS <= last &&
		       runs_same_block(maker->image, root, first, first + 1))
			first += RUNS_PORTS;
	}
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
	uint32_t i;

	for (uint32_t way = 0; way < maker->ways.len; way++)
		add_way(maker, &sweep, destination, way);
	segments = sweep_segments(maker->arena, &sweep, ways);
	for (uint32_t port = 0, next; port <= end; port = next) {
		struct port_point point = {.example = port};
		uint32_t last = end;

		while (s + 1 < segments.len && segments.at[s + 1].first <= port)
			s++;
		if (s + 1 < segments.len && segments.at[s + 1].first <= end)
			last = (uint32_t)segments.at[s + 1].first - 1;
		point.ways = segments.at[s].members;
		point.class = runs_port_class(maker->image, root, port);
		next = last_of_class(maker, root, port, last) + 1;
		i = pool_put_two(known, point.ways, point.class);
		if (i == ports->len)
			array_push(maker->arena, ports, point);
		assert(i < ports->len);
		if (!is_plain(maker, destination, ports->at[i].example))
			(void)find_plain(maker, destination, port, next - 1, &ports->at[i].example);
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

			assert(maker->ways.at && way < maker->ways.len);
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
	struct service now = {true, false, maker->protocol, source->example, destination->example};
	struct service *example;

	if (i == maker->points->all.len)
		array_push(maker->arena, &maker->points->all, point);
	assert(i < maker->points->all.len);
	example = &maker->points->all.at[i].example[maker->family];
	if (example->is && example->judged)
		return;
	now.judged = is_judged(maker, &now);
	if (!example->is || now.judged)
		*example = now;
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
 * ports, its slot, and whether packets have it.
 */
static bool is_new(struct maker *maker, const bool named[256], struct pool *seen)
{
	bool alone = named[maker->protocol] || has_ports(maker->protocol) ||
		     is_typed(maker->family, maker->protocol) ||
		     (maker->family && tuple_is_extension(maker->protocol));
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
