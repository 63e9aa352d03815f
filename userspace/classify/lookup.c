// SPDX-License-Identifier: GPL-2.0-only
/*
 * The steps of bpf/classify over the same bytes, with plain searches where the kernel's are
 * branch-free, and no page boundary to mind.
 */
#include "classify/lookup.h"

enum {
	PROTO_ICMP = 1,
	PROTO_ICMPV6 = 58,
};

static uint16_t read16(const struct image *image, uint32_t address)
{
	uint16_t number;

	memcpy(&number, image->tables + address, sizeof(number));
	return number;
}

static uint32_t read32(const struct image *image, uint32_t address)
{
	uint32_t number;

	memcpy(&number, image->tables + address, sizeof(number));
	return number;
}

static uint64_t read64(const struct image *image, uint32_t address)
{
	uint64_t number;

	memcpy(&number, image->tables + address, sizeof(number));
	return number;
}

static uint32_t class_in_blocks(const struct image *image, uint32_t subtree, uint32_t address)
{
	uint32_t width = subtree & BH_SUBTREE_WIDTH;
	uint32_t at = subtree - width;
	uint16_t element = read16(image, at + ((address & 0xffff) >> (16 - width)) * 2);
	uint32_t low = address & ((1U << (16 - width)) - 1);
	uint32_t i = 0;

	if (element < 0x8000)
		return element;
	at += (2U << width) + (element & 0x7fff) * sizeof(struct bh_block4);
	while (i + 1 < BH_BLOCK4_RANGES) {
		uint16_t key = read16(image, at + i * 2);

		if (!key || 0x8000U - key > low)
			break;
		i++;
	}
	return read16(image, at + offsetof(struct bh_block4, class) + i * 2);
}

static uint32_t class_in_ranges(const struct image *image, uint32_t chunk, uint32_t address)
{
	uint32_t n = read32(image, chunk);
	uint32_t class = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t entry = read32(image, chunk + 4 + i * 4);

		if (entry >> 16 > (address & 0xffff))
			break;
		class = entry & 0xffff;
	}
	return class;
}

static uint32_t class4(const struct image *image, uint32_t address)
{
	const struct bh_head *head = image_head(image);
	uint32_t element = read32(image, head->address4 + (address >> 16) * 4);

	if (!(element & BH_DEEP))
		return element;
	if (head->address4_kind == BH_ADDRESS4_BLOCKS)
		return class_in_blocks(image, element & ~BH_DEEP, address);
	return class_in_ranges(image, element & ~BH_DEEP, address);
}

/* The value of the last entry that is not above the key. */
static uint32_t chunk_value(const struct image *image, uint32_t chunk, uint64_t key)
{
	uint32_t n = read32(image, chunk);
	uint32_t below = 0; /* entries up to here, without it, are not above the key */
	uint32_t above = n;

	while (above - below > 1) {
		uint32_t middle = below + (above - below) / 2;

		if (read64(image, chunk + 8 + middle * 8) <= key)
			below = middle;
		else
			above = middle;
	}
	return read32(image, chunk + 8 + n * 8 + below * 4);
}

static uint32_t leaf_value(const struct image *image, uint32_t at, uint64_t high)
{
	const struct bh_leaf6 *leaf = (const void *)(image->tables + at);
	uint32_t i = 0;

	while (i < BH_LEAF_KEYS && leaf->first[i] <= (high & (BH_LEAF_NONE - 1)))
		i++;
	return leaf->value[i];
}

static uint64_t half_of(const struct addr *addr, int half)
{
	uint64_t number = 0;

	for (int i = 0; i < 8; i++)
		number = number << 8 | addr->bytes[half * 8 + i];
	return number;
}

static uint32_t class6(const struct image *image, const struct addr *addr)
{
	const struct bh_head *head = image_head(image);
	uint64_t high = half_of(addr, 0);
	uint64_t low = half_of(addr, 1);
	uint32_t index = (1U << head->address6_bits) + (high >> 61);
	uint32_t element;

	if (high >> 61 == 1)
		index = high << 3 >> (64 - head->address6_bits);
	element = read32(image, head->address6 + index * 4);
	while (element & BH_DEEP) {
		uint32_t at = bh_deep(element);

		if (element & BH_FAN)
			element = read32(image, at + bh_fan_index(element, high) * 4);
		else if (element & BH_LEAF)
			element = leaf_value(image, at, high);
		else
			element = chunk_value(image, at, element & BH_LOW ? low : high);
	}
	return element;
}

static bool self_has(const addr_list *self, const struct addr *addr)
{
	for (size_t i = 0; i < self->len; i++)
		if (!addr_compare(&self->at[i], addr))
			return true;
	return false;
}

static void one_side(const struct image *image, const struct bh_direction_head *tables,
		     const struct addr *addr, int side, struct lookup_steps *steps)
{
	if (tables->sides_address >> side & 1)
		steps->address_class[side] = addr->family == ADDR_V4
						     ? class4(image, addr_to_v4(addr))
						     : class6(image, addr);
	steps->self[side] &= tables->sides_self >> side & 1;
	steps->side_class[side] = read16(
		image, tables->side[side] + steps->address_class[side] * 4 + steps->self[side] * 2);
}

static uint32_t port_class(const struct image *image, uint32_t root, uint16_t port)
{
	if (!root)
		return 0;
	return read16(image, read32(image, root + (port >> 8) * 4) + (port & 0xff) * 2);
}

static uint32_t protocol_class(const struct image *image, const struct bh_direction_head *tables,
			       const struct tuple *tuple)
{
	bool v6 = tuple->source.family == ADDR_V6;
	bool typed = tuple->protocol == (v6 ? PROTO_ICMPV6 : PROTO_ICMP);
	uint16_t port = typed ? tuple->icmp_type << 8 | tuple->icmp_code : tuple->destination_port;
	uint16_t number = read16(image, tables->slot_of + (v6 * 256 + tuple->protocol) * 2);
	struct bh_proto_slot slot;
	uint32_t cell;

	memcpy(&slot, image->tables + tables->slots + number * sizeof(slot), sizeof(slot));
	cell = port_class(image, slot.source_root, tuple->source_port) * slot.n_destination +
	       port_class(image, slot.destination_root, port);
	return read16(image, slot.cells + cell * 2);
}

static uint32_t outcome_by_pairs(const struct image *image, const struct bh_direction_head *tables,
				 struct lookup_steps *steps)
{
	uint32_t cell = steps->side_class[0] * tables->n_destination + steps->side_class[1];
	uint32_t block;

	steps->pair_class = read16(image, tables->pair + cell * 2);
	block = read32(image, tables->row + (steps->pair_class * tables->row_len +
					     steps->protocol_class / 32) *
						    4);
	return read16(image, block + steps->protocol_class % 32 * 2);
}

/* 1 + the first rule of a tier that is in all three sets; 0: none is. */
static uint32_t first_in_all(const struct image *image, const struct bh_direction_head *tables,
			     const uint32_t sets[3], int tier)
{
	uint32_t begin = tier ? tables->tier_end[tier - 1] : 0;

	for (uint32_t i = 0; i < tables->tier_rules[tier]; i++) {
		uint32_t word = begin + i / 64;

		if ((read64(image, sets[0] + word * 8) & read64(image, sets[1] + word * 8) &
		     read64(image, sets[2] + word * 8)) >>
			    i % 64 &
		    1)
			return 1 + i;
	}
	return 0;
}

static uint32_t outcome_by_bits(const struct image *image, const struct bh_direction_head *tables,
				const struct lookup_steps *steps)
{
	uint32_t protocol = tables->n_source + tables->n_destination + steps->protocol_class;
	const uint32_t sets[3] = {
		read32(image, tables->pair + steps->side_class[0] * 4),
		read32(image, tables->pair + (tables->n_source + steps->side_class[1]) * 4),
		read32(image, tables->pair + protocol * 4),
	};
	uint32_t matched[BH_TIER_COUNT];

	for (int tier = 0; tier < BH_TIER_COUNT; tier++)
		matched[tier] = first_in_all(image, tables, sets, tier);
	return read16(image, tables->row + bh_bits_row(tables, matched) * 2);
}

void lookup_steps(const struct image *image, const struct tuple *tuple, const addr_list *self,
		  struct lookup_steps *ret_steps)
{
	const struct bh_direction_head *tables = &image_head(image)->direction[tuple->direction];
	struct lookup_steps steps = {
		.self = {self_has(self, &tuple->source), self_has(self, &tuple->destination)},
	};

	one_side(image, tables, &tuple->source, 0, &steps);
	one_side(image, tables, &tuple->destination, 1, &steps);
	steps.protocol_class = protocol_class(image, tables, tuple);
	steps.outcome = tables->product == BH_PRODUCT_BITS
				? outcome_by_bits(image, tables, &steps)
				: outcome_by_pairs(image, tables, &steps);
	*ret_steps = steps;
}

const struct bh_outcome *lookup(const struct image *image, const struct tuple *tuple,
				const addr_list *self)
{
	struct lookup_steps steps;

	lookup_steps(image, tuple, self, &steps);
	return image_outcome(image, steps.outcome);
}
