// SPDX-License-Identifier: GPL-2.0-only
/* The tables of bpf/abi.h, one function for each. */
#include "prove/runs.h"

static const uint16_t *table16(const struct image *image, uint32_t address)
{
	return (const uint16_t *)(const void *)(image->tables + address);
}

static const uint32_t *table32(const struct image *image, uint32_t address)
{
	return (const uint32_t *)(const void *)(image->tables + address);
}

static uint32_t in_blocks(const struct image *image, uint32_t subtree, uint32_t address,
			  uint32_t *ret_last)
{
	uint32_t width = subtree & BH_SUBTREE_WIDTH;
	uint32_t own = (1U << (16 - width)) - 1; /* bits that the subtree leaves */
	uint32_t element =
		table16(image, subtree - width)[(address >> (16 - width)) & ((1U << width) - 1)];
	const struct bh_block4 *block;
	uint32_t i = 0;

	*ret_last = address | own;
	if (element < 0x8000)
		return element;
	block = (const void *)(image->tables + subtree - width + (2U << width));
	block += element & 0x7fff;
	for (; i + 1 < BH_BLOCK4_RANGES; i++) {
		uint32_t key = block->keys[i / 4] >> i % 4 * 16 & 0xffff;

		if (!key)
			break;
		if (0x8000 - key > (address & own)) {
			*ret_last = (address & ~own) | (0x8000 - key - 1);
			break;
		}
	}
	return block->class[i];
}

static uint32_t in_ranges(const struct image *image, uint32_t chunk, uint32_t address,
			  uint32_t *ret_last)
{
	const uint32_t *entry = table32(image, chunk) + 1;
	uint32_t end = *table32(image, chunk);
	uint32_t n = end;
	uint32_t i = 0;

	/* Entry i is not above the address, entry end is, or is none. */
	while (end - i > 1) {
		uint32_t middle = (i + end) / 2;

		if (entry[middle] >> 16 <= (address & 0xffff))
			i = middle;
		else
			end = middle;
	}
	*ret_last = address | 0xffff;
	if (end < n)
		*ret_last = (address & ~0xffffU) | ((entry[end] >> 16) - 1);
	return entry[i] & 0xffff;
}

static uint32_t class4(const struct image *image, uint32_t address, uint32_t *ret_last)
{
	const struct bh_head *head = image_head(image);
	uint32_t element = table32(image, head->address4)[address >> 16];

	if (element & BH_DEEP && head->address4_kind == BH_ADDRESS4_BLOCKS)
		return in_blocks(image, element & ~BH_DEEP, address, ret_last);
	if (element & BH_DEEP)
		return in_ranges(image, element & ~BH_DEEP, address, ret_last);
	*ret_last = address | 0xffff;
	return element;
}

/* The value of a chunk for a key, and the last key up to which it holds, at most last. */
static uint32_t in_chunk(const struct image *image, uint32_t chunk, uint64_t key, uint64_t last,
			 uint64_t *ret_last)
{
	uint32_t n = *table32(image, chunk);
	const uint64_t *first = (const uint64_t *)(const void *)(image->tables + chunk + 8);
	uint32_t end = n;
	uint32_t i = 0;

	while (end - i > 1) {
		uint32_t middle = (i + end) / 2;

		if (first[middle] <= key)
			i = middle;
		else
			end = middle;
	}
	*ret_last = end < n && first[end] <= last ? first[end] - 1 : last;
	return table32(image, chunk + 8 + n * 8)[i];
}

/* The same of a leaf, for the high half of an address. */
static uint32_t in_leaf(const struct image *image, uint32_t at, uint64_t high, uint64_t last,
			uint64_t *ret_last)
{
	const struct bh_leaf6 *leaf = (const void *)(image->tables + at);
	uint64_t top = high & ~(BH_LEAF_NONE - 1);
	uint32_t i = 0;

	while (i < BH_LEAF_KEYS && leaf->first[i] <= high - top)
		i++;
	*ret_last = last;
	if (i < BH_LEAF_KEYS && leaf->first[i] <= last - top)
		*ret_last = top + leaf->first[i] - 1;
	return leaf->value[i];
}

static line_number join(uint64_t high, uint64_t low)
{
	return (line_number)high << 64 | low;
}

/* The element of the index, and the last address up to which it is that one. */
static uint32_t in_index(const struct image *image, uint64_t high, uint64_t *ret_last)
{
	const struct bh_head *head = image_head(image);
	uint32_t bits = head->address6_bits;
	uint32_t index = (1U << bits) + (high >> 61);

	*ret_last = high | UINT64_MAX >> 3;
	if (high >> 61 == 1) {
		index = high >> (61 - bits) & ((1U << bits) - 1);
		*ret_last = high | UINT64_MAX >> (3 + bits);
	}
	return table32(image, head->address6)[index];
}

/* The same of a fan. */
static uint32_t in_fan(const struct image *image, uint32_t fan, uint64_t high, uint64_t last,
		       uint64_t *ret_last)
{
	uint32_t width = ((fan & BH_FAN_WIDTH) >> 6) + 1;
	uint32_t used = (fan & BH_FAN_START) + width;
	uint64_t own_last = used < 64 ? high | UINT64_MAX >> used : high;

	*ret_last = own_last < last ? own_last : last;
	return table32(image,
		       fan & ~(BH_DEEP | BH_FAN |
			       (BH_FAN_ALIGN - 1)))[high >> (64 - used) & ((1U << width) - 1)];
}

static uint32_t class6(const struct image *image, line_number address, line_number *ret_last)
{
	uint64_t high = address >> 64;
	uint64_t low = (uint64_t)address;
	uint64_t last_low = UINT64_MAX;
	uint64_t last_high;
	uint32_t value = in_index(image, high, &last_high);

	while (value & BH_DEEP && !(value & BH_LOW && !(value & BH_FAN))) {
		uint32_t at = value & ~(BH_DEEP | BH_LEAF);

		if (value & BH_FAN)
			value = in_fan(image, value, high, last_high, &last_high);
		else if (value & BH_LEAF)
			value = in_leaf(image, at, high, last_high, &last_high);
		else
			value = in_chunk(image, at, high, last_high, &last_high);
	}
	if (value & BH_DEEP) {
		last_high = high;
		value = in_chunk(image, value & ~(BH_DEEP | BH_LOW), low, UINT64_MAX, &last_low);
	}
	*ret_last = join(last_high, last_low);
	return value;
}

uint32_t runs_class(const struct image *image, enum addr_family family, line_number first,
		    line_number *ret_last)
{
	uint32_t class;
	uint32_t last;

	if (family == ADDR_V6)
		return class6(image, first, ret_last);
	class = class4(image, (uint32_t)first, &last);
	*ret_last = last;
	return class;
}

uint32_t runs_port_class(const struct image *image, uint32_t root, uint32_t port)
{
	return root ? table16(image, table32(image, root)[port >> 8])[port & 0xff] : 0;
}

bool runs_same_block(const struct image *image, uint32_t root, uint32_t one, uint32_t other)
{
	return table32(image, root)[one / RUNS_PORTS] == table32(image, root)[other / RUNS_PORTS];
}

uint32_t runs_cell(const struct image *image, const struct bh_proto_slot *slot, uint32_t source,
		   uint32_t destination)
{
	return table16(image, slot->cells)[source * slot->n_destination + destination];
}

static const struct bh_direction_head *tables_of(const struct image *image,
						 enum bh_direction direction)
{
	return &image_head(image)->direction[direction];
}

const struct bh_proto_slot *runs_slot(const struct image *image, enum bh_direction direction,
				      enum addr_family family, uint8_t protocol)
{
	const struct bh_direction_head *tables = tables_of(image, direction);
	uint32_t number = table16(image, tables->slot_of)[(family == ADDR_V6 ? 256 : 0) + protocol];

	return (const struct bh_proto_slot *)(const void *)(image->tables + tables->slots) + number;
}

uint32_t runs_side(const struct image *image, enum bh_direction direction, int side,
		   uint32_t address_class, bool self)
{
	const struct bh_direction_head *tables = tables_of(image, direction);
	uint32_t class = tables->sides_address >> side & 1 ? address_class : 0;

	self &= tables->sides_self >> side & 1;
	return table16(image, tables->side[side])[class * 2 + self];
}

uint32_t runs_pair(const struct image *image, enum bh_direction direction, uint32_t source,
		   uint32_t destination)
{
	const struct bh_direction_head *tables = tables_of(image, direction);
	uint32_t cell = source * tables->n_destination + destination;

	return tables->product == BH_PRODUCT_BITS ? cell : table16(image, tables->pair)[cell];
}

/* 1 + the first rule of a tier that stands in all three sets; 0: none does. */
static uint32_t first_common(const struct image *image, const uint32_t sets[3], uint32_t begin,
			     uint32_t end)
{
	for (uint32_t word = begin; word < end; word++) {
		uint64_t common = ~(uint64_t)0;

		for (int i = 0; i < 3; i++) {
			uint64_t bits;

			memcpy(&bits, image->tables + sets[i] + word * sizeof(bits), sizeof(bits));
			common &= bits;
		}
		if (common)
			return (word - begin) * 64 + (uint32_t)__builtin_ctzll(common) + 1;
	}
	return 0;
}

const uint8_t *runs_set(const struct image *image, enum bh_direction direction, enum runs_set kind,
			uint32_t class)
{
	const struct bh_direction_head *tables = tables_of(image, direction);
	const uint32_t before[] = {
		[RUNS_SET_SOURCE] = 0,
		[RUNS_SET_DESTINATION] = tables->n_source,
		[RUNS_SET_SERVICE] = tables->n_source + tables->n_destination,
	};

	return image->tables + table32(image, tables->pair)[before[kind] + class];
}

uint32_t runs_row(const struct image *image, enum bh_direction direction, uint32_t row)
{
	return table16(image, tables_of(image, direction)->row)[row];
}

static uint32_t outcome_of_bits(const struct image *image, const struct bh_direction_head *tables,
				uint32_t cell, uint32_t protocol)
{
	const uint32_t *addresses = table32(image, tables->pair);
	const uint32_t sets[3] = {
		addresses[cell / tables->n_destination],
		addresses[tables->n_source + cell % tables->n_destination],
		addresses[tables->n_source + tables->n_destination + protocol],
	};
	uint32_t row = 0;
	uint32_t begin = 0;

	for (int tier = 0; tier < BH_TIER_COUNT; tier++) {
		row = row * (tables->tier_rules[tier] + 1U) +
		      first_common(image, sets, begin, tables->tier_end[tier]);
		begin = tables->tier_end[tier];
	}
	return table16(image, tables->row)[row];
}

const uint16_t *runs_block(const struct image *image, enum bh_direction direction, uint32_t pair,
			   uint32_t block)
{
	const struct bh_direction_head *tables = tables_of(image, direction);

	if (tables->product == BH_PRODUCT_BITS || block >= tables->row_len)
		return NULL;
	return table16(image, table32(image, tables->row)[pair * tables->row_len + block]);
}

uint32_t runs_outcome(const struct image *image, enum bh_direction direction, uint32_t pair,
		      uint32_t protocol)
{
	const struct bh_direction_head *tables = tables_of(image, direction);

	if (tables->product == BH_PRODUCT_BITS)
		return outcome_of_bits(image, tables, pair, protocol);
	return runs_block(image, direction, pair, protocol / 32)[protocol % 32];
}
