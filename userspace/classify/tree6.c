// SPDX-License-Identifier: GPL-2.0-only
/*
 * IPv6. The index cuts the segments by the bits behind 2000::/3 (all other addresses by their
 * first three). Where more than a few are left, a fan cuts those again, as finely as they are many,
 * by the first bits in which they differ: prefixes crowd below few others. What is not of one class
 * then has a leaf, or where there are too many for one a chunk over the high 64 bits, and where a
 * /64 is not of one class a chunk over its low 64 bits.
 */
#include "classify/trees.h"

#include <errno.h>
#include <inttypes.h>

/* A chunk while it is made. */
struct chunk {
	uint64_t *first;
	uint32_t *value;
	size_t len;
};

struct maker {
	struct arena *arena;
	const struct addresses *addresses;
	struct tree6 *tree;
	uint32_t few;
	struct chunk high;
	struct chunk low;
	uint8_t *record;  /* a chunk as it is interned */
	struct fan *fans; /* as they are interned, one inside the other */
	size_t largest;	  /* most entries that a chunk came to */
};

enum { CHUNK_HEAD = 8, CHUNK_ENTRY = 12 };
enum { CHUNK_MAX = (BH_PAGE_SIZE - CHUNK_HEAD) / CHUNK_ENTRY };
enum { FANS = 3 }; /* that lead one to the other; BH_DEPTH6 follows from it */
enum { NEAR = 4 }; /* bits that a fan may look at though all segments have them in common */

/*
 * An element while it is made: BH_DEEP, what it leads to, and the number of that one. Bits that an
 * element of the image uses otherwise.
 */
#define MADE_LEAF   0x20000000U
#define MADE_LOW    0x10000000U
#define MADE_NUMBER 0x0fffffffU

/* A fan while it is made: what its element says of it, then its elements. */
struct fan {
	uint32_t form;
	uint32_t element[1 << BH_FAN_MAX];
};

static struct chunk chunk_new(struct arena *arena, size_t room)
{
	return (struct chunk){
		.first = arena_calloc(arena, room, sizeof(uint64_t)),
		.value = arena_calloc(arena, room, sizeof(uint32_t)),
	};
}

static void chunk_add(struct chunk *chunk, uint64_t first, uint32_t value)
{
	if (chunk->len && chunk->value[chunk->len - 1] == value)
		return;
	chunk->first[chunk->len] = first;
	chunk->value[chunk->len++] = value;
}

/* The chunk as an element: its value when it has but one, else its number with the mark. */
static uint32_t chunk_end(struct maker *maker, struct chunk *chunk, uint32_t mark)
{
	uint32_t n = chunk->len;

	chunk->len = 0;
	if (n > maker->largest)
		maker->largest = n;
	if (n == 1 || n > CHUNK_MAX)
		return chunk->value[0];
	memset(maker->record, 0, CHUNK_HEAD);
	memcpy(maker->record, &n, sizeof(n));
	memcpy(maker->record + CHUNK_HEAD, chunk->first, n * sizeof(uint64_t));
	memcpy(maker->record + CHUNK_HEAD + n * sizeof(uint64_t), chunk->value,
	       n * sizeof(uint32_t));
	return BH_DEEP | mark |
	       intern_put(maker->tree->chunks, maker->record, CHUNK_HEAD + (size_t)n * CHUNK_ENTRY);
}

/* The same as a leaf; the chunk has at least two values, and has room in one. */
static uint32_t leaf_end(struct maker *maker, struct chunk *chunk)
{
	struct bh_leaf6 leaf = {};

	for (size_t i = 0; i < BH_LEAF_KEYS; i++)
		leaf.first[i] = i + 1 < chunk->len ? chunk->first[i + 1] << 3 >> 3 : BH_LEAF_NONE;
	memcpy(leaf.value, chunk->value, chunk->len * sizeof(*leaf.value));
	chunk->len = 0;
	return BH_DEEP | MADE_LEAF | intern_put(maker->tree->leaves, &leaf, sizeof(leaf));
}

static uint32_t high_end(struct maker *maker)
{
	bool fits = maker->high.len > 1 && maker->high.len <= BH_LEAF_KEYS + 1;

	return fits ? leaf_end(maker, &maker->high) : chunk_end(maker, &maker->high, 0);
}

/* The segments that begin inside one /64, whose address 0 has class; *index moves behind them. */
static uint32_t one_low(struct maker *maker, uint64_t high, uint32_t class, size_t *index)
{
	const struct addresses *addresses = maker->addresses;
	size_t i = *index;

	chunk_add(&maker->low, 0, class);
	for (; i < addresses->n_v6 && addresses->v6[i].high == high; i++)
		chunk_add(&maker->low, addresses->v6[i].low, addresses->v6[i].class);
	*index = i;
	return chunk_end(maker, &maker->low, MADE_LOW);
}

/*
 * The element of all addresses whose high half lies from first to last. *index is the first
 * segment that begins behind the address first::, and moves to the first behind last.
 */
static uint32_t one_piece(struct maker *maker, uint64_t first, uint64_t last, size_t *index)
{
	const struct addresses *addresses = maker->addresses;
	const struct segment6 *v6 = addresses->v6;
	size_t i = *index;
	uint64_t high = first;

	while (i < addresses->n_v6 && (v6[i].high < first || (v6[i].high == first && !v6[i].low)))
		i++;
	for (;;) {
		uint32_t class = v6[i - 1].class; /* of the address high:: */

		if (i < addresses->n_v6 && v6[i].high == high) {
			chunk_add(&maker->high, high, one_low(maker, high, class, &i));
			if (high == last)
				break;
			high++;
			if (i < addresses->n_v6 && v6[i].high == high && !v6[i].low)
				i++;
			continue;
		}
		chunk_add(&maker->high, high, class);
		if (i >= addresses->n_v6 || v6[i].high > last)
			break;
		high = v6[i].high;
		if (!v6[i].low)
			i++;
	}
	*index = i;
	return high_end(maker);
}

/* The segments that begin behind the address first:: and not behind last. */
struct within {
	size_t begin;
	size_t end;
};

static struct within within(const struct maker *maker, uint64_t first, uint64_t last, size_t index)
{
	const struct segment6 *v6 = maker->addresses->v6;
	struct within within;

	while (index < maker->addresses->n_v6 &&
	       (v6[index].high < first || (v6[index].high == first && !v6[index].low)))
		index++;
	within.begin = index;
	while (index < maker->addresses->n_v6 && v6[index].high <= last)
		index++;
	within.end = index;
	return within;
}

/* Bits of the high half that the first addresses of all have in common; 64: they differ below. */
static uint32_t common_bits(const struct maker *maker, struct within within)
{
	const struct segment6 *v6 = maker->addresses->v6;
	uint64_t differ =
		within.begin < within.end ? v6[within.begin].high ^ v6[within.end - 1].high : 0;

	return differ ? (uint32_t)__builtin_clzll(differ) : 64;
}

/* Up to three times as many segments as elements, in the mean. */
static uint32_t fan_width(size_t n_segments, uint32_t bits)
{
	uint32_t width = 1;

	while (width < BH_FAN_MAX && bits + width < 64 && (size_t)3 << width < n_segments)
		width++;
	return width;
}

static uint32_t one_element(struct maker *maker, uint64_t first, uint32_t bits, uint32_t depth,
			    size_t *index);

static uint64_t last_of(uint64_t first, uint32_t bits)
{
	return bits < 64 ? first | UINT64_MAX >> bits : first;
}

/* The element of a fan over the addresses from first:: on that have their first bits in common. */
static uint32_t one_fan(struct maker *maker, uint64_t first, uint32_t bits, uint32_t width,
			uint32_t depth, size_t *index)
{
	struct tree6 *tree = maker->tree;
	struct fan *fan = &maker->fans[depth];
	unsigned shift = (64 - bits - width) & 63;
	uint32_t n = 1U << width;
	uint32_t number;

	fan->form = (width - 1) << 6 | bits;
	for (uint64_t i = 0; i < n; i++)
		fan->element[i] =
			one_element(maker, first + (i << shift), bits + width, depth + 1, index);
	number = intern_put(tree->fans, fan,
			    offsetof(struct fan, element) + n * sizeof(*fan->element));
	if (number == tree->below.len)
		array_push(maker->arena, &tree->below,
			   (struct tree6_below){.leaves = intern_len(tree->leaves),
						.chunks = intern_len(tree->chunks)});
	return BH_DEEP | BH_FAN | number;
}

/*
 * A leaf before a fan: all segments that begin behind slot::, among the addresses that have its first
 * bits in common, have the first common bits in common, too.
 */
static uint32_t one_way(struct maker *maker, uint64_t slot, uint32_t bits, uint32_t depth,
			size_t *index)
{
	const struct segment6 *v6 = maker->addresses->v6;
	uint64_t last = last_of(slot, bits);
	struct within inside = within(maker, slot, last, *index);
	uint32_t common = common_bits(maker, inside);
	uint64_t first = v6[inside.begin].high & ~last_of(0, common);
	uint64_t end = last_of(first, common);
	uint32_t width = fan_width(inside.end - inside.begin, common);
	uint32_t fan = one_fan(maker, first, common, width, depth, index);

	if (first != slot)
		chunk_add(&maker->high, slot, v6[inside.begin - 1].class);
	chunk_add(&maker->high, first, fan);
	if (end < last)
		chunk_add(&maker->high, end + 1, v6[inside.end - 1].class);
	return leaf_end(maker, &maker->high);
}

/*
 * The element for the addresses from first:: on that have their first bits in common, which depth fans
 * lead to.
 * NOLINTNEXTLINE(misc-no-recursion): as deep as FANS
 */
static uint32_t one_element(struct maker *maker, uint64_t first, uint32_t bits, uint32_t depth,
			    size_t *index)
{
	uint64_t last = last_of(first, bits);
	struct within inside = within(maker, first, last, *index);
	size_t n = inside.end - inside.begin;
	uint32_t common = n > maker->few ? common_bits(maker, inside) : 64;

	if (depth == FANS || common == 64)
		return one_piece(maker, first, last, index);
	if (common > bits + NEAR)
		return one_way(maker, first, bits, depth, index);
	return one_fan(maker, first, bits, fan_width(n << (common - bits), bits), depth, index);
}

/* An element of the root: most have no segment that begins inside. */
static uint32_t root_element(struct maker *maker, uint64_t first, uint32_t bits, size_t *index)
{
	const struct addresses *addresses = maker->addresses;
	const struct segment6 *next = &addresses->v6[*index];

	if (*index && (*index == addresses->n_v6 || next->high > last_of(first, bits)))
		return next[-1].class;
	return one_element(maker, first, bits, 0, index);
}

static void make_root(struct maker *maker, uint32_t bits)
{
	struct tree6 *tree = maker->tree;
	uint32_t n = 1U << bits;
	unsigned shift = 61 - bits;
	size_t index = 0;

	tree->bits = bits;
	tree->root = arena_calloc(maker->arena, n + TREE6_OTHERS, sizeof(*tree->root));
	for (uint64_t top = 0; top < TREE6_OTHERS; top++) {
		uint64_t first = top << 61;

		if (top != 1) {
			tree->root[n + top] = one_element(maker, first, 3, 0, &index);
			continue;
		}
		for (uint64_t i = 0; i < n; i++)
			tree->root[i] = root_element(maker, first + (i << shift), 3 + bits, &index);
	}
}

/* Half as many elements as segments, up to the first 16 bits: what is below has fans. */
static uint32_t bits_for(size_t n_segments)
{
	uint32_t bits = TREE6_BITS_MIN;

	while (bits < TREE6_BITS_CHOSEN && (size_t)2 << bits < n_segments)
		bits++;
	return bits;
}

int tree6_make(struct arena *arena, const struct addresses *addresses, uint32_t bits, uint32_t few,
	       struct diag *diag, struct tree6 *ret_tree)
{
	uint32_t max = bits ? bits : TREE6_BITS_MAX;
	struct tree6 tree = {};
	size_t room = addresses->n_v6 * 2 + 2;
	struct maker maker = {
		.arena = arena,
		.addresses = addresses,
		.tree = &tree,
		.few = few,
		.high = chunk_new(arena, room),
		.low = chunk_new(arena, room),
		.record = arena_alloc(arena, BH_PAGE_SIZE),
		.fans = arena_alloc(arena, FANS * sizeof(*maker.fans)),
	};

	bits = bits ? bits : bits_for(addresses->n_v6);
	for (; bits <= max; bits++) {
		tree.chunks = intern_new();
		tree.fans = intern_new();
		tree.below.len = 0;
		tree.leaves = intern_new();
		maker.largest = 0;
		make_root(&maker, bits);
		if (maker.largest <= CHUNK_MAX) {
			tree.longest = maker.largest;
			*ret_tree = tree;
			return 0;
		}
		tree6_fini(&tree);
	}
	return diag_refuse(diag, -E2BIG,
			   "%zu IPv6 ranges begin or end in one piece of the index or one /64; "
			   "%u fit, of %zu in all",
			   maker.largest, CHUNK_MAX, addresses->n_v6);
}

void tree6_fini(struct tree6 *tree)
{
	intern_free(take(tree->chunks));
	intern_free(take(tree->fans));
	intern_free(take(tree->leaves));
}

void tree6_place_root(struct tree6 *tree, struct layout *layout)
{
	uint64_t n = (1U << tree->bits) + TREE6_OTHERS;

	tree->root_place = layout_take(layout, n * sizeof(uint32_t), 64);
}

/* From a record on up to the one numbered end, as they come. */
static void place_up_to(const struct intern *all, uint32_t *places, uint32_t *next, uint32_t end,
			uint32_t align, struct layout *layout)
{
	for (; *next < end; (*next)++)
		places[*next] = layout_take_whole(layout, intern_size(all, *next), align);
}

/* What a fan leads to stands behind it, so that often one page of memory has it all. */
void tree6_place(struct arena *arena, struct tree6 *tree, struct layout *layout)
{
	uint32_t n_fans = intern_len(tree->fans);
	uint32_t n_leaves = intern_len(tree->leaves);
	uint32_t n_chunks = intern_len(tree->chunks);
	uint32_t leaf = 0;
	uint32_t chunk = 0;
	uint32_t fan = 0;

	tree->fan_places = arena_calloc(arena, n_fans, sizeof(*tree->fan_places));
	tree->leaf_places = arena_calloc(arena, n_leaves, sizeof(*tree->leaf_places));
	tree->places = arena_calloc(arena, n_chunks, sizeof(*tree->places));
	while (fan < n_fans) {
		struct tree6_below below = tree->below.at[fan];

		place_up_to(tree->fans, tree->fan_places, &fan, fan + 1, BH_FAN_ALIGN, layout);
		place_up_to(tree->leaves, tree->leaf_places, &leaf, below.leaves,
			    sizeof(struct bh_leaf6), layout);
		place_up_to(tree->chunks, tree->places, &chunk, below.chunks, sizeof(uint64_t),
			    layout);
	}
	place_up_to(tree->leaves, tree->leaf_places, &leaf, n_leaves, sizeof(struct bh_leaf6),
		    layout);
	place_up_to(tree->chunks, tree->places, &chunk, n_chunks, sizeof(uint64_t), layout);
}

static uint32_t element(const struct tree6 *tree, uint32_t made)
{
	uint32_t id = made & MADE_NUMBER;

	if (!(made & BH_DEEP))
		return made;
	if (made & BH_FAN) {
		const struct fan *fan = intern_get(tree->fans, id);

		return BH_DEEP | BH_FAN | tree->fan_places[id] | fan->form;
	}
	if (made & MADE_LEAF)
		return BH_DEEP | BH_LEAF | tree->leaf_places[id];
	return BH_DEEP | (made & MADE_LOW ? BH_LOW : 0) | tree->places[id];
}

/* Elements as they were made, as elements of the image. */
static void write_elements(const struct tree6 *tree, const uint32_t *made, size_t n, void *at)
{
	uint32_t *elements = at;

	for (size_t i = 0; i < n; i++)
		elements[i] = element(tree, made[i]);
}

static void write_leaf(const struct tree6 *tree, uint32_t id, uint8_t *tables)
{
	const struct bh_leaf6 *made = intern_get(tree->leaves, id);
	struct bh_leaf6 *leaf = (void *)(tables + tree->leaf_places[id]);

	*leaf = *made;
	write_elements(tree, made->value, ARRAY_LEN(made->value), leaf->value);
}

static void write_chunk(const struct tree6 *tree, uint32_t id, uint8_t *tables)
{
	const uint8_t *made = intern_get(tree->chunks, id);
	uint8_t *chunk = tables + tree->places[id];
	size_t values;
	uint32_t n;

	memcpy(&n, made, sizeof(n));
	values = CHUNK_HEAD + n * sizeof(uint64_t);
	memcpy(chunk, made, values);
	write_elements(tree, (const void *)(made + values), n, chunk + values);
}

void tree6_write(const struct tree6 *tree, uint8_t *tables)
{
	write_elements(tree, tree->root, (1U << tree->bits) + TREE6_OTHERS,
		       tables + tree->root_place);
	for (uint32_t id = 0; id < intern_len(tree->fans); id++) {
		const struct fan *fan = intern_get(tree->fans, id);

		write_elements(tree, fan->element, (size_t)1 << bh_fan_width(fan->form),
			       tables + tree->fan_places[id]);
	}
	for (uint32_t id = 0; id < intern_len(tree->leaves); id++)
		write_leaf(tree, id, tables);
	for (uint32_t id = 0; id < intern_len(tree->chunks); id++)
		write_chunk(tree, id, tables);
}
