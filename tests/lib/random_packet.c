// SPDX-License-Identifier: GPL-2.0-only
/* Packets from the edges of a policy. */
#include "tests/lib/random_policy.h"

static const uint8_t protocols[] = {6, 17, 132, 1, 58, 47, 50, 51, 2, 0, 99, 255};

static struct addr edge_of_range(struct rng *rng, const struct addr_range *range)
{
	struct addr addr = rng_chance(rng, 50) ? range->first : range->last;

	switch (rng_below(rng, 5)) {
	case 0:
		(void)addr_next(&addr, &addr);
		break;
	case 1:
		(void)addr_previous(&addr, &addr);
		break;
	case 2: /* somewhere behind the first: in the range when it is large */
		addr = range->first;
		addr.bytes[addr.family == ADDR_V4 ? 3 : 15] ^= (uint8_t)rng_next(rng);
		break;
	default:
		break;
	}
	return addr;
}

static struct addr own_address(struct rng *rng, const addr_list *self, enum addr_family family)
{
	uint32_t start = self->len ? rng_below(rng, (uint32_t)self->len) : 0;

	for (size_t i = 0; i < self->len; i++) {
		const struct addr *addr = &self->at[(start + i) % self->len];

		if (addr->family == family)
			return *addr;
	}
	return addr_range_all(family).last;
}

static struct addr random_address(struct rng *rng, enum addr_family family)
{
	struct addr addr = {.family = (uint8_t)family};

	for (size_t i = 0; i < (family == ADDR_V4 ? 4 : 16); i++)
		addr.bytes[i] = (uint8_t)rng_next(rng);
	if (family == ADDR_V6)
		addr.bytes[0] = 0x20;
	return addr;
}

/* The index of the first IPv6 range. */
static size_t n_v4(const addr_ranges *ranges)
{
	size_t low = 0, high = ranges->len;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ranges->at[middle].first.family == ADDR_V4)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* An address at the edge of a set, or of another set when this one has none of the family. */
static struct addr edge_of_set(struct rng *rng, const struct policy *policy, uint32_t set_id,
			       const addr_list *self, enum addr_family family)
{
	for (int tries = 0; tries < 8; tries++) {
		const struct policy_set *set = &policy->sets.at[set_id];
		size_t split = n_v4(&set->ranges);
		size_t first = family == ADDR_V4 ? 0 : split;
		size_t len = family == ADDR_V4 ? split : set->ranges.len - split;

		if (set->self && rng_chance(rng, 60))
			return own_address(rng, self, family);
		if (len)
			return edge_of_range(
				rng, &set->ranges.at[first + rng_below(rng, (uint32_t)len)]);
		if (set->any && rng_chance(rng, 30))
			return own_address(rng, self, family);
		set_id = rng_below(rng, (uint32_t)policy->sets.len);
	}
	return random_address(rng, family);
}

static uint16_t edge_of_ports(struct rng *rng, const port_ranges *ports)
{
	const struct port_range *range;
	uint16_t port;

	if (!ports->len)
		return (uint16_t)rng_next(rng);
	range = &ports->at[rng_below(rng, (uint32_t)ports->len)];
	port = rng_chance(rng, 50) ? range->first : range->last;
	/* One above and one below wrap around: another port, and just as good. */
	switch (rng_below(rng, 4)) {
	case 0:
		return (uint16_t)(port + 1);
	case 1:
		return (uint16_t)(port - 1);
	default:
		return port;
	}
}

static bool has_type(const struct tuple *tuple)
{
	return tuple->protocol == (tuple->source.family == ADDR_V4 ? 1 : 58);
}

static void set_type(struct rng *rng, const struct policy_clause *clause, struct tuple *tuple)
{
	tuple->icmp_type = tuple->protocol == 1 ? 8 : 128;
	if (clause->icmp_type >= 0)
		tuple->icmp_type = (uint8_t)clause->icmp_type;
	if (clause->icmp_code >= 0)
		tuple->icmp_code = (uint8_t)clause->icmp_code;
	if (rng_chance(rng, 15))
		tuple->icmp_type++;
	if (rng_chance(rng, 15))
		tuple->icmp_code++;
	if (rng_chance(rng, 10)) /* the other half of an echo, an error, ND, MLD */
		tuple->icmp_type = (const uint8_t[]){
			0, 129, 3, 11, 1, 2, 5, 137, 133, 135, 136, 143, 130}[rng_below(rng, 13)];
}

static void set_protocol(struct rng *rng, const struct policy_clause *clause, struct tuple *tuple)
{
	tuple->protocol = clause->protocol < 0 || rng_chance(rng, 5)
				  ? protocols[rng_below(rng, ARRAY_LEN(protocols))]
				  : (uint8_t)clause->protocol;
	if (!tuple->protocol && tuple->source.family == ADDR_V6)
		tuple->protocol = 99; /* 0 is an extension header there */
	tuple->fragment = rng_chance(rng, 3);
	if (tuple->fragment)
		return;
	if (has_type(tuple))
		set_type(rng, clause, tuple);
	if (tuple->protocol == 6 || tuple->protocol == 17 || tuple->protocol == 132) {
		tuple->source_port = edge_of_ports(rng, &clause->source_ports);
		tuple->destination_port = edge_of_ports(rng, &clause->destination_ports);
	}
	tuple->established = rng_chance(rng, 15);
}

/* Packets that never or seldom come from the edges of rules. */
static struct tuple special_packet(struct rng *rng, const addr_list *self)
{
	static const char *const texts[] = {
		"out udp 0.0.0.0:68 255.255.255.255:67",
		"in udp 10.1.2.1:67 10.1.2.3:68",
		"in udp 0.0.0.0:68 255.255.255.255:67",
		"in udp 10.1.2.1:68 10.1.2.3:67",
		"out udp [fe80::1]:546 [ff02::1:2]:547",
		"in udp [fe80::2]:547 [fe80::1]:546",
		"in icmpv6 :: ff02::1:ff00:5 type 135 code 0",
		"in icmpv6 fe80::2 ff02::1 type 134 code 0",
		"in icmpv6 fe80::2 ff02::1 type 134 code 1",
		"in icmpv6 fe80::2 ff02::1 type 130 code 0",
		"in icmpv6 2001:db8:1::9 ff02::1 type 130 code 0",
		"out icmpv6 :: ff02::16 type 143 code 0",
		"in icmpv6 :: 2001:db8:1::5 type 128 code 0",
		"in 2 10.1.2.1 224.0.0.1",
		"in 2 0.0.0.0 224.0.0.1",
		"in 2 2001:db8:1::9 2001:db8:1::5",
		"in tcp 127.0.0.1:80 10.1.2.3:80",
		"out tcp 127.0.0.1:80 10.1.2.3:80",
		"in udp 224.0.0.5:1 10.1.2.3:443",
		"in udp 255.255.255.255:1 10.1.2.3:443",
		"in udp 240.0.0.1:1 10.1.2.3:443",
		"in tcp 0.0.0.1:1 10.1.2.3:443",
		"in tcp [::1]:80 [2001:db8:1::5]:80",
		"in tcp [ff02::1]:80 [2001:db8:1::5]:80",
		"in tcp [::ffff:10.1.2.3]:80 [2001:db8:1::5]:80",
		"in tcp [2001:db8:1::9]:80 [::ffff:10.1.2.3]:443",
		"out tcp [::ffff:10.1.2.3]:80 [2001:db8:1::9]:443",
		"in icmp 10.1.2.1 10.1.2.3 type 5 code 1",
		"out icmpv6 fe80::1 2001:db8:1::9 type 137 code 0",
		"in icmp 10.1.2.1 10.1.2.3 type 3 code 4",
		"in icmpv6 fe80::2 2001:db8:1::5 type 2 code 0",
		"out tcp 10.1.2.3:40000 168.63.129.16:80",
		"out udp 10.1.2.3:40000 168.63.129.16:53",
		"out tcp 10.1.2.3:40000 168.63.129.16:8037",
		"out tcp 10.1.2.3:40000 169.254.169.254:80",
		"in tcp 168.63.129.16:80 10.1.2.3:40000 established",
		"in 58 10.1.2.1 10.1.2.3",
		"in 1 2001:db8:1::9 2001:db8:1::5",
	};
	scoped(diag_free) struct diag *diag = diag_new();
	const char *text = texts[rng_below(rng, ARRAY_LEN(texts))];
	struct tuple tuple = {};

	(void)self;
	(void)tuple_parse(str_of(text), (struct mark){}, diag, &tuple);
	return tuple;
}

struct tuple random_packet(struct rng *rng, const struct policy *policy, const addr_list *self)
{
	const struct policy_rule *rule, *other;
	struct tuple tuple = {};
	enum addr_family family = rng_chance(rng, 50) ? ADDR_V4 : ADDR_V6;

	if (!policy->rules.len || rng_chance(rng, 4))
		return special_packet(rng, self);
	rule = &policy->rules.at[rng_below(rng, (uint32_t)policy->rules.len)];
	other = rng_chance(rng, 20) ? &policy->rules.at[rng_below(rng, (uint32_t)policy->rules.len)]
				    : rule;
	tuple.direction = rule->direction;
	tuple.source = edge_of_set(rng, policy, rule->source, self, family);
	tuple.destination = edge_of_set(rng, policy, other->destination, self, family);
	set_protocol(rng, &rule->clauses.at[rng_below(rng, (uint32_t)rule->clauses.len)], &tuple);
	/* Half of the replies are replies to what a rule admits, not what a rule describes. */
	if (tuple.established && rng_chance(rng, 70)) {
		tuple = tuple_turn(&tuple);
		tuple.established = true;
	}
	return tuple;
}
