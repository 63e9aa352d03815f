// SPDX-License-Identifier: GPL-2.0-only
/*
 * IPv6. The index cuts the segments by the bits behind 2000::/3 (all other addresses by their
 * first three); what is not of one class then has a chunk over the high 64 bits, and where a /64
 * is not of one class a second one over its low 64 bits.
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
	struct chunk high;
	struct chunk low;
	uint8_t *record; /* a chunk as it is interned */
	size_t largest;	 /* most entries that a chunk came to */
};

enum { CHUNK_HEAD = 8, CHUNK_ENTRY = 12 };
enum { CHUNK_MAX = (BH_PAGE_SIZE - CHUNK_HEAD) / CHUNK_ENTRY };

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

/* The chunk as an element: its class when it has but one, else its number. */
static uint32_t chunk_end(struct maker *maker, struct chunk *chunk)
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
	return BH_DEEP |
	       intern_put(maker->tree->chunks, maker->record, CHUNK_HEAD + (size_t)n * CHUNK_ENTRY);
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
	return chunk_end(maker, &maker->low);
}

/*
 * The element of all addresses whose high half lies from first to last. *index is the first
 * segment that begins behind the address first::, and moves to the first behind last.
 */
static uint32_t one_root(struct maker *maker, uint64_t first, uint64_t last, size_t *index)
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
	return chunk_end(maker, &maker->high);
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
			tree->root[n + top] =
				one_root(maker, first, first + ((uint64_t)1 << 61) - 1, &index);
			continue;
		}
		for (uint64_t i = 0; i < n; i++)
			tree->root[i] = one_root(maker, first + (i << shift),
						 first + ((i + 1) << shift) - 1, &index);
	}
}

/* Half as many elements as segments, in the mean two segments each. */
static uint32_t bits_for(size_t n_segments)
{
	uint32_t bits = TREE6_BITS_MIN;

	while (bits < TREE6_BITS_MAX && (size_t)2 << bits < n_segments)
		bits++;
	return bits;
}

int tree6_make(struct arena *arena, const struct addresses *addresses, uint32_t bits,
	       struct diag *diag, struct tree6 *ret_tree)
{
	uint32_t max = bits ? bits : TREE6_BITS_MAX;
	struct tree6 tree = {};
	size_t room = addresses->n_v6 * 2 + 2;
	struct maker maker = {
		.arena = arena,
		.addresses = addresses,
		.tree = &tree,
		.high = chunk_new(arena, room),
		.low = chunk_new(arena, room),
		.record = arena_alloc(arena, BH_PAGE_SIZE),
	};

	bits = bits ? bits : bits_for(addresses->n_v6);
	for (; bits <= max; bits++) {
		tree.chunks = intern_new();
		maker.largest = 0;
		make_root(&maker, bits);
		if (maker.largest <= CHUNK_MAX) {
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
}

void tree6_place_root(struct tree6 *tree, struct layout *layout)
{
	uint64_t n = (1U << tree->bits) + TREE6_OTHERS;

	tree->root_place = layout_take(layout, n * sizeof(uint32_t), 64);
}

void tree6_place(struct arena *arena, struct tree6 *tree, struct layout *layout)
{
	uint32_t n = intern_len(tree->chunks);

	tree->places = arena_calloc(arena, n, sizeof(*tree->places));
	for (uint32_t id = 0; id < n; id++)
		tree->places[id] = layout_take_whole(layout, intern_size(tree->chunks, id), 8);
}

static uint32_t element(const struct tree6 *tree, uint32_t made)
{
	return made & BH_DEEP ? BH_DEEP | tree->places[made & ~BH_DEEP] : made;
}

static void write_chunk(const struct tree6 *tree, uint32_t id, uint8_t *tables)
{
	uint8_t *chunk = tables + tree->places[id];
	uint32_t *values;
	uint32_t n;

	memcpy(chunk, intern_get(tree->chunks, id), intern_size(tree->chunks, id));
	memcpy(&n, chunk, sizeof(n));
	values = (uint32_t *)(void *)(chunk + CHUNK_HEAD + n * sizeof(uint64_t));
	for (uint32_t i = 0; i < n; i++)
		values[i] = element(tree, values[i]);
}

void tree6_write(const struct tree6 *tree, uint8_t *tables)
{
	uint32_t *root = (uint32_t *)(void *)(tables + tree->root_place);

	for (uint32_t i = 0; i < (1U << tree->bits) + TREE6_OTHERS; i++)
		root[i] = element(tree, tree->root[i]);
	for (uint32_t id = 0; id < intern_len(tree->chunks); id++)
		write_chunk(tree, id, tables);
}
