// SPDX-License-Identifier: GPL-2.0-only
#include "tests/bench/draw.h"

enum { PROTO_TCP = 6, PROTO_UDP = 17, ANYWHERE_PERCENT = 15 };

static unsigned n_bytes(enum addr_family family)
{
	return family == ADDR_V4 ? 4 : 16;
}

/* Of global unicast, for IPv6. */
static struct addr anywhere(struct rng *rng, enum addr_family family)
{
	struct addr addr = {.family = (uint8_t)family};

	for (unsigned i = 0; i < n_bytes(family); i++)
		addr.bytes[i] = (uint8_t)rng_next(rng);
	if (family == ADDR_V6)
		addr.bytes[0] = 0x20 | (addr.bytes[0] & 0x1f);
	return addr;
}

/* Bits below the highest one in which the ends differ are free, as they are in a prefix. */
static struct addr within(struct rng *rng, const struct addr_range *range)
{
	struct addr addr = range->first;
	unsigned n = n_bytes((enum addr_family)addr.family);
	bool free = false;

	for (unsigned i = 0; i < n; i++) {
		uint8_t differ = range->first.bytes[i] ^ range->last.bytes[i];
		uint8_t mask = free ? 0xff : 0;

		if (!free && differ)
			mask = (uint8_t)((2U << (31 - __builtin_clz(differ))) - 1);
		free |= differ != 0;
		addr.bytes[i] ^= (uint8_t)rng_next(rng) & mask;
	}
	return addr_range_has(range, &addr) ? addr : range->first;
}

/* False: the set has no address of the family. */
static bool from_set(struct rng *rng, const struct policy_set *set, const addr_list *self,
		     enum addr_family family, struct addr *ret_addr)
{
	uint32_t n = (uint32_t)(set->any ? 0 : set->ranges.len + (set->self ? self->len : 0));

	if (set->any)
		*ret_addr = anywhere(rng, family);
	for (uint32_t i = 0, turn = n ? rng_below(rng, n) : 0; i < n; i++) {
		uint32_t at = (turn + i) % n;

		*ret_addr = at < set->ranges.len ? within(rng, &set->ranges.at[at])
						 : self->at[at - set->ranges.len];
		if (ret_addr->family == family)
			return true;
	}
	return set->any;
}

static uint16_t port_of(struct rng *rng, const port_ranges *ports)
{
	struct port_range range = {1024, 65535};

	if (ports->len)
		range = ports->at[rng_below(rng, (uint32_t)ports->len)];
	return (uint16_t)(range.first + rng_below(rng, (uint32_t)range.last - range.first + 1));
}

/* What the rule speaks of; false: not of TCP or UDP of this family. */
static bool by_rule(struct rng *rng, const struct policy *policy, const struct policy_rule *rule,
		    const addr_list *self, struct tuple *tuple)
{
	enum addr_family family = (enum addr_family)tuple->source.family;
	const struct policy_clause *clause =
		&rule->clauses.at[rng_below(rng, (uint32_t)rule->clauses.len)];

	if (clause->protocol >= 0)
		tuple->protocol = (uint8_t)clause->protocol;
	tuple->source_port = port_of(rng, &clause->source_ports);
	tuple->destination_port = port_of(rng, &clause->destination_ports);
	return (tuple->protocol == PROTO_TCP || tuple->protocol == PROTO_UDP) &&
	       from_set(rng, &policy->sets.at[rule->source], self, family, &tuple->source) &&
	       from_set(rng, &policy->sets.at[rule->destination], self, family,
			&tuple->destination);
}

static bool draw(struct rng *rng, const struct policy *policy, const addr_list *self,
		 struct tuple *tuple)
{
	enum addr_family family = (enum addr_family)tuple->source.family;
	uint32_t n_inbound = 0;
	struct verdict verdict;

	for (int tier = 0; tier < TIER_COUNT; tier++)
		n_inbound += policy->n[DIRECTION_IN][tier];
	tuple->protocol = rng_chance(rng, 50) ? PROTO_TCP : PROTO_UDP;
	if (rng_chance(rng, ANYWHERE_PERCENT)) {
		tuple->source = anywhere(rng, family);
		tuple->destination = anywhere(rng, family);
		tuple->source_port = (uint16_t)rng_next(rng);
		tuple->destination_port = (uint16_t)rng_next(rng);
	} else if (!by_rule(rng, policy, &policy->rules.at[rng_below(rng, n_inbound)], self,
			    tuple)) {
		return false;
	}
	return !eval_before_rules(policy, tuple, &verdict);
}

struct tuple draw_packet(struct rng *rng, const struct policy *policy, const addr_list *self,
			 enum addr_family family)
{
	struct tuple tuple;

	do
		tuple = (struct tuple){.direction = DIRECTION_IN,
				       .source = {.family = (uint8_t)family}};
	while (!draw(rng, policy, self, &tuple));
	return tuple;
}
