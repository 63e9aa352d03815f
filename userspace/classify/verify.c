// SPDX-License-Identifier: GPL-2.0-only
/*
 * Follows every way that lookup can take. A table that is reached by many ways is checked by
 * each, which is cheap enough and needs no memory; a corrupt image whose ways multiply has too many.
 */
#include "classify/verify.h"

struct view {
	const uint8_t *tables;
	uint64_t size;
	const struct bh_head *head;
	size_t n_rules;
	uint64_t *steps; /* elements that may still be looked at on the ways of IPv6 addresses */
};

/* A hundred times what the largest image has. */
enum { STEPS = 1 << 28 };

/* size bytes at address, aligned, are in use. */
static bool holds(const struct view *view, uint32_t address, uint64_t size, uint32_t align)
{
	return address >= sizeof(struct bh_head) && address % align == 0 &&
	       address + size <= view->size;
}

/* And lie in one page. */
static bool holds_whole(const struct view *view, uint32_t address, uint64_t size, uint32_t align)
{
	return size && holds(view, address, size, align) &&
	       address / BH_PAGE_SIZE == (address + size - 1) / BH_PAGE_SIZE;
}

static bool takes_step(const struct view *view, uint32_t n)
{
	bool has = *view->steps >= n;

	*view->steps -= has ? n : 0;
	return has;
}

static const uint16_t *at16(const struct view *view, uint32_t address)
{
	return (const uint16_t *)(const void *)(view->tables + address);
}

static const uint32_t *at32(const struct view *view, uint32_t address)
{
	return (const uint32_t *)(const void *)(view->tables + address);
}

static bool all_below(const uint16_t *elements, uint64_t n, uint32_t limit)
{
	for (uint64_t i = 0; i < n; i++)
		if (elements[i] >= limit)
			return false;
	return true;
}

/* ---- IPv4 ---- */

/* Its keys ascend within what a subtree of the width leaves, and none comes behind an absent one. */
static bool good_block(const struct view *view, const struct bh_block4 *block, uint32_t width)
{
	uint32_t before = 0;
	bool absent = false;

	for (int i = 0; i < BH_BLOCK4_RANGES; i++) {
		uint32_t key = block->keys[i / 4] >> i % 4 * 16 & 0xffff;
		uint32_t first = 0x8000 - key;

		absent |= !key;
		if (absent && key)
			return false;
		if (key && (key > 0x8000 || first <= before || first >> (16 - width)))
			return false;
		before = first;
	}
	return absent && all_below(block->class, BH_BLOCK4_RANGES, view->head->n_classes);
}

static bool good_blocks(const struct view *view, uint32_t subtree)
{
	uint32_t width = subtree & BH_SUBTREE_WIDTH;
	uint32_t at = subtree - width;
	uint32_t blocks = at + (2U << width);

	if (width < BH_SUBTREE_WIDTH_MIN || width > BH_SUBTREE_WIDTH_MAX ||
	    !holds_whole(view, at, 2U << width, 64))
		return false;
	for (uint32_t i = 0; i < 1U << width; i++) {
		uint32_t element = at16(view, at)[i];
		uint32_t block = blocks + (element & 0x7fff) * (uint32_t)sizeof(struct bh_block4);

		if (element < 0x8000 && element >= view->head->n_classes)
			return false;
		if (element < 0x8000)
			continue;
		if (!holds_whole(view, at, block + sizeof(struct bh_block4) - at, 64) ||
		    !good_block(view, (const void *)(view->tables + block), width))
			return false;
	}
	return true;
}

static bool good_ranges(const struct view *view, uint32_t chunk)
{
	const uint32_t *entry;
	uint32_t n;

	if (!holds_whole(view, chunk, 4, 4))
		return false;
	n = *at32(view, chunk);
	if (!n || n > 65536 || !holds_whole(view, chunk, 4 + (uint64_t)n * 4, 4))
		return false;
	entry = at32(view, chunk + 4);
	for (uint32_t i = 0; i < n; i++)
		if ((entry[i] & 0xffff) >= view->head->n_classes ||
		    (i ? entry[i] >> 16 <= entry[i - 1] >> 16 : entry[i] >> 16))
			return false;
	return true;
}

static bool good_address4(const struct view *view)
{
	const struct bh_head *head = view->head;
	const uint32_t *root;

	if (head->address4_kind > BH_ADDRESS4_RANGES || !holds(view, head->address4, 65536 * 4, 4))
		return false;
	root = at32(view, head->address4);
	for (uint32_t i = 0; i < 65536; i++) {
		uint32_t deep = root[i] & ~BH_DEEP;

		if (!(root[i] & BH_DEEP) && root[i] >= head->n_classes)
			return false;
		if (root[i] & BH_DEEP &&
		    !(head->address4_kind == BH_ADDRESS4_BLOCKS ? good_blocks(view, deep)
								: good_ranges(view, deep)))
			return false;
	}
	return true;
}

/* ---- IPv6 ---- */

static uint64_t first_at(const struct view *view, uint32_t chunk, uint32_t i)
{
	uint64_t first;

	memcpy(&first, view->tables + chunk + 8 + i * 8, sizeof(first));
	return first;
}

/* Counts and order; the values are the caller's. lowest: the lowest key that comes here. */
static bool good_chunk6(const struct view *view, uint32_t chunk, uint64_t lowest, uint32_t *ret_n)
{
	uint32_t n;

	if (!holds_whole(view, chunk, 8, 8))
		return false;
	n = *at32(view, chunk);
	if (!n || n > BH_PAGE_SIZE / 12 || !holds_whole(view, chunk, 8 + (uint64_t)n * 12, 8) ||
	    at32(view, chunk)[1] || first_at(view, chunk, 0) > lowest || !takes_step(view, n))
		return false;
	for (uint32_t i = 1; i < n; i++)
		if (first_at(view, chunk, i) <= first_at(view, chunk, i - 1))
			return false;
	*ret_n = n;
	return true;
}

static bool good_low6(const struct view *view, uint32_t chunk)
{
	uint32_t n;

	if (!good_chunk6(view, chunk, 0, &n))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (at32(view, chunk + 8 + n * 8)[i] >= view->head->n_classes)
			return false;
	return true;
}

static bool good_element6(const struct view *view, uint32_t element, uint64_t lowest,
			  uint32_t depth);

static bool good_leaf6(const struct view *view, uint32_t at, uint64_t lowest, uint32_t depth)
{
	const struct bh_leaf6 *leaf = (const void *)(view->tables + at);
	uint64_t top = lowest & ~(BH_LEAF_NONE - 1);

	if (!holds_whole(view, at, sizeof(*leaf), sizeof(*leaf)))
		return false;
	for (int i = 0; i < BH_LEAF_KEYS; i++) {
		uint64_t before = i ? leaf->first[i - 1] : lowest - top;

		if (leaf->first[i] > BH_LEAF_NONE ||
		    (leaf->first[i] == BH_LEAF_NONE ? before > BH_LEAF_NONE
						    : leaf->first[i] <= before))
			return false;
	}
	for (int i = 0; i <= BH_LEAF_KEYS; i++)
		if (!good_element6(view, leaf->value[i], i ? top + leaf->first[i - 1] : lowest,
				   depth))
			return false;
	return true;
}

/* Whether the addresses from lowest on share the bits that the fan does not look at is the proof's. */
static bool good_fan6(const struct view *view, uint32_t element, uint64_t lowest, uint32_t depth)
{
	uint32_t start = element & BH_FAN_START;
	uint32_t width = bh_fan_width(element);
	uint32_t fan = bh_deep(element);

	if (start + width > 64 || !takes_step(view, 1U << width) ||
	    !holds_whole(view, fan, (uint64_t)4 << width, BH_FAN_ALIGN))
		return false;
	lowest = start ? lowest & ~(UINT64_MAX >> start) : 0;
	for (uint64_t i = 0; i < (uint64_t)1 << width; i++)
		if (!good_element6(view, at32(view, fan)[i], lowest + (i << (64 - start - width)),
				   depth))
			return false;
	return true;
}

static bool good_high6(const struct view *view, uint32_t chunk, uint64_t lowest, uint32_t depth)
{
	uint32_t n;

	if (!good_chunk6(view, chunk, lowest, &n))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t value = at32(view, chunk + 8 + n * 8)[i];

		if ((value & BH_DEEP && (value & BH_FAN || !(value & BH_LOW))) ||
		    !good_element6(view, value, 0, depth))
			return false;
	}
	return true;
}

/*
 * depth: tables that may follow.
 * NOLINTNEXTLINE(misc-no-recursion): as deep as BH_DEPTH6
 */
static bool good_element6(const struct view *view, uint32_t element, uint64_t lowest,
			  uint32_t depth)
{
	if (!(element & BH_DEEP))
		return element < view->head->n_classes;
	if (!depth-- || !takes_step(view, 1))
		return false;
	if (element & BH_FAN)
		return good_fan6(view, element, lowest, depth);
	if (element & BH_LEAF)
		return !(element & BH_LOW) && good_leaf6(view, bh_deep(element), lowest, depth);
	if (element & BH_LOW)
		return good_low6(view, bh_deep(element));
	return good_high6(view, bh_deep(element), lowest, depth);
}

static bool good_address6(const struct view *view)
{
	const struct bh_head *head = view->head;
	uint64_t n = (uint64_t)1 << (head->address6_bits & 31);
	const uint32_t *root;

	if (head->address6_bits < 10 || head->address6_bits > 19 ||
	    !holds(view, head->address6, (n + 8) * 4, 4))
		return false;
	root = at32(view, head->address6);
	for (uint64_t i = 0; i < n + 8; i++) {
		uint64_t lowest = ((uint64_t)1 << 61) + (i << (61 - head->address6_bits));

		if (!good_element6(view, root[i], i < n ? lowest : (i - n) << 61, BH_DEPTH6))
			return false;
	}
	return true;
}

/* ---- ports ---- */

/* The number of classes that a root of ports tells apart; 0: it is wrong. */
static uint32_t n_port_classes(const struct view *view, uint32_t root)
{
	uint32_t n = 0;

	if (!root)
		return 1;
	if (!holds(view, root, 256 * 4, 4))
		return 0;
	for (uint32_t high = 0; high < 256; high++) {
		uint32_t block = at32(view, root)[high];

		if (high && block == at32(view, root)[high - 1])
			continue;
		if (!holds(view, block, 512, 2))
			return 0;
		for (uint32_t low = 0; low < 256; low++)
			if (at16(view, block)[low] >= n)
				n = at16(view, block)[low] + 1U;
	}
	return n;
}

static uint32_t n_protocol_classes(const struct bh_direction_head *direction)
{
	return direction->product == BH_PRODUCT_BITS ? direction->n_pair : direction->row_len * 32;
}

static bool good_slot(const struct view *view, const struct bh_direction_head *direction,
		      const struct bh_proto_slot *slot)
{
	uint32_t n_source = n_port_classes(view, slot->source_root);
	uint32_t n_destination = n_port_classes(view, slot->destination_root);
	uint64_t n = (uint64_t)n_source * slot->n_destination;

	return n_source && n_destination && n_destination <= slot->n_destination &&
	       holds(view, slot->cells, n * 2, 2) &&
	       all_below(at16(view, slot->cells), n, n_protocol_classes(direction));
}

static bool good_protocols(const struct view *view, const struct bh_direction_head *direction)
{
	const struct bh_proto_slot *slots;

	if (!holds(view, direction->slot_of, 512 * 2, 2) ||
	    !all_below(at16(view, direction->slot_of), 512, direction->n_slots) ||
	    !holds(view, direction->slots, (uint64_t)direction->n_slots * sizeof(*slots),
		   sizeof(*slots)))
		return false;
	slots = (const void *)(view->tables + direction->slots);
	for (uint32_t i = 0; i < direction->n_slots; i++)
		if (!good_slot(view, direction, &slots[i]))
			return false;
	return true;
}

/* ---- products ---- */

static bool good_sides(const struct view *view, const struct bh_direction_head *direction)
{
	uint32_t n = view->head->n_classes * 2;

	return direction->sides_address <= 3 && direction->sides_self <= 3 && !direction->zero &&
	       !direction->zero2 && holds(view, direction->side[0], n * sizeof(uint16_t), 2) &&
	       holds(view, direction->side[1], n * sizeof(uint16_t), 2) &&
	       all_below(at16(view, direction->side[0]), n, direction->n_source) &&
	       all_below(at16(view, direction->side[1]), n, direction->n_destination);
}

static bool good_rows(const struct view *view, const struct bh_direction_head *direction)
{
	uint64_t n = (uint64_t)direction->n_pair * direction->row_len;

	if (!direction->row_len || direction->row_len > 65536 / 32 || direction->n_pair > 65536 ||
	    !holds(view, direction->row, n * 4, 4))
		return false;
	for (uint64_t i = 0; i < n; i++) {
		uint32_t block = at32(view, direction->row)[i];

		if (!holds_whole(view, block, 64, 64) ||
		    !all_below(at16(view, block), 32, view->head->n_outcomes))
			return false;
	}
	return true;
}

static bool good_pairs(const struct view *view, const struct bh_direction_head *direction)
{
	uint64_t n = (uint64_t)direction->n_source * direction->n_destination;

	return direction->n_source <= 65536 && direction->n_destination <= 65536 &&
	       holds(view, direction->pair, n * 2, 2) &&
	       all_below(at16(view, direction->pair), n, direction->n_pair);
}

/* No bit stands for a rule that is not there: its outcome would lie behind the row. */
static bool good_set(const struct view *view, const struct bh_direction_head *direction,
		     uint32_t set)
{
	uint32_t word = 0;

	if (!holds_whole(view, set, (uint64_t)direction->row_len * 8, 8))
		return false;
	for (int tier = 0; tier < BH_TIER_COUNT; tier++) {
		uint32_t left = direction->tier_rules[tier];

		for (; word < direction->tier_end[tier]; word++) {
			uint64_t bits;

			memcpy(&bits, view->tables + set + word * 8, sizeof(bits));
			if (left < 64 && bits >> left)
				return false;
			left -= left < 64 ? left : 64;
		}
	}
	return true;
}

static bool good_tiers(const struct bh_direction_head *direction)
{
	uint32_t end = 0;

	for (int tier = 0; tier < BH_TIER_COUNT; tier++) {
		end += (direction->tier_rules[tier] + 63U) / 64;
		if (direction->tier_end[tier] != end)
			return false;
	}
	return end <= BH_BITS_WORDS && direction->row_len == (end ? end : 1);
}

static bool good_bits(const struct view *view, const struct bh_direction_head *direction)
{
	uint64_t n = (uint64_t)direction->n_source + direction->n_destination + direction->n_pair;
	uint64_t n_row = 1;

	if (direction->n_source > 65536 || direction->n_destination > 65536 ||
	    direction->n_pair > 65536 || !good_tiers(direction) ||
	    !holds(view, direction->pair, n * 4, 4))
		return false;
	for (uint64_t i = 0; i < n; i++)
		if (!good_set(view, direction, at32(view, direction->pair)[i]))
			return false;
	for (int tier = 0; tier < BH_TIER_COUNT; tier++)
		n_row *= direction->tier_rules[tier] + 1U;
	return holds(view, direction->row, n_row * 2, 2) &&
	       all_below(at16(view, direction->row), n_row, view->head->n_outcomes);
}

static bool good_product(const struct view *view, const struct bh_direction_head *direction)
{
	switch (direction->product) {
	case BH_PRODUCT_PAIRS:
		return good_rows(view, direction) && good_pairs(view, direction);
	case BH_PRODUCT_BITS:
		return good_bits(view, direction);
	}
	return false;
}

static bool good_rule(const struct view *view, uint16_t rule)
{
	return rule < view->n_rules || rule == BH_NO_RULE;
}

static bool good_outcome(const struct view *view, const struct bh_outcome *outcome)
{
	for (int tier = 0; tier < BH_TIER_COUNT; tier++)
		if (!good_rule(view, outcome->tier_rule[tier]))
			return false;
	return outcome->verdict <= BH_WOULD_DENY && outcome->flags <= 7 &&
	       outcome->direction < BH_DIRECTION_COUNT &&
	       (outcome->reason == BH_REASON_RULE || outcome->reason == BH_REASON_NO_GROUP) &&
	       good_rule(view, outcome->rule) && !outcome->zero;
}

static bool good_outcomes(const struct view *view)
{
	const struct bh_head *head = view->head;
	const struct bh_outcome *outcomes;

	if (head->n_outcomes > BH_OUTCOMES ||
	    !holds(view, head->outcomes, (uint64_t)head->n_outcomes * sizeof(*outcomes),
		   sizeof(*outcomes)))
		return false;
	outcomes = (const void *)(view->tables + head->outcomes);
	for (uint32_t i = 0; i < head->n_outcomes; i++)
		if (!good_outcome(view, &outcomes[i]))
			return false;
	return true;
}

/* ---- the head ---- */

static bool good_config(const struct bh_config *config)
{
	for (int table = 0; table < BH_TABLE_COUNT; table++) {
		const struct bh_table_place *place = &config->tables[table];
		uint64_t size = table == BH_TABLE_HALF_OPEN4 || table == BH_TABLE_ESTABLISHED4
					? BH_BUCKET4_SIZE
					: BH_BUCKET6_SIZE;

		size *= (uint64_t)place->mask + 1;
		if (place->mask & (place->mask + 1) ||
		    place->first_page + (size + BH_STATE_PAGE_SIZE - 1) / BH_STATE_PAGE_SIZE >
			    BH_STATE_PAGES)
			return false;
	}
	return !(config->never_off >> BH_REASON_COUNT) && config->audit <= 1 &&
	       config->tcp_pickup <= 1 && config->keep <= 1 && config->platform_azure <= 1;
}

static bool good_head(const struct view *view)
{
	const struct bh_head *head = view->head;

	return head->magic == BH_IMAGE_MAGIC && !head->zero[0] && !head->zero[1] &&
	       head->n_pages == (view->size + BH_PAGE_SIZE - 1) / BH_PAGE_SIZE && head->n_classes &&
	       head->n_classes <= 0x8000;
}

const char *verify_tables(const struct image *image)
{
	uint64_t steps = STEPS;
	const struct view view = {
		.steps = &steps,
		.tables = image->tables,
		.size = image->tables_size,
		.head = image_head(image),
		.n_rules = image->notes.rules.len,
	};

	if (view.head->abi != BH_ABI_VERSION)
		return "it is of another version of the tables";
	if (!good_head(&view) || !good_config(&view.head->config))
		return "its head contradicts itself";
	if (!good_outcomes(&view))
		return "an outcome points nowhere";
	if (!good_address4(&view))
		return "an IPv4 table points nowhere";
	if (!good_address6(&view))
		return "an IPv6 table points nowhere";
	for (int d = 0; d < BH_DIRECTION_COUNT; d++) {
		const struct bh_direction_head *direction = &view.head->direction[d];

		if (!good_product(&view, direction) || !good_sides(&view, direction))
			return "a table of pairs points nowhere";
		if (!good_protocols(&view, direction))
			return "a table of ports points nowhere";
	}
	return NULL;
}
