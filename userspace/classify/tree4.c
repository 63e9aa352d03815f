// SPDX-License-Identifier: GPL-2.0-only
/*
 * IPv4. Each /16 that is not of one class has a chunk, the list of its segments; with the
 * kind BLOCKS each chunk is written as a subtree instead. Equal lists make equal subtrees, so
 * what is shared is decided before a block is written.
 */
#include "classify/trees.h"

enum { BLOCK = 256, BLOCK_SIZE = 512 };

/* The segments that touch one /16, as a chunk; *index moves to the first that lies behind. */
static uint32_t one_root(struct tree4 *tree, const struct addresses *addresses, uint32_t slot,
			 size_t *index, uint32_t *chunk)
{
	uint32_t first = slot << 16;
	size_t i = *index;
	size_t len = 0;

	/* Segment i holds the first address of the slot. */
	while (i + 1 < addresses->n_v4 && addresses->v4[i + 1].first <= first)
		i++;
	chunk[len++] = addresses->v4[i].class;
	while (i + 1 < addresses->n_v4 && addresses->v4[i + 1].first >> 16 == slot) {
		i++;
		chunk[len++] = (addresses->v4[i].first & 0xffff) << 16 | addresses->v4[i].class;
	}
	*index = i;
	if (len == 1)
		return chunk[0];
	return BH_DEEP | intern_put(tree->chunks, chunk, len * sizeof(*chunk));
}

void tree4_make(struct arena *arena, const struct addresses *addresses, struct tree4 *ret_tree)
{
	uint32_t *chunk = arena_calloc(arena, 65536, sizeof(*chunk));
	size_t index = 0;
	struct tree4 tree = {
		.root = arena_calloc(arena, TREE4_ROOT, sizeof(*tree.root)),
		.chunks = intern_new(),
	};

	for (uint32_t slot = 0; slot < TREE4_ROOT; slot++)
		tree.root[slot] = one_root(&tree, addresses, slot, &index, chunk);
	*ret_tree = tree;
}

void tree4_fini(struct tree4 *tree)
{
	intern_free(take(tree->chunks));
}

/* A chunk, walked by its /24s. */
struct walk {
	const uint32_t *chunk;
	size_t len;
	size_t i; /* entry that holds the first address of the next /24 */
};

static struct walk walk_of(const struct tree4 *tree, uint32_t id)
{
	return (struct walk){
		.chunk = intern_get(tree->chunks, id),
		.len = intern_size(tree->chunks, id) / sizeof(uint32_t),
	};
}

/* Moves to a /24: whether it is of one class, that of entry i. */
static bool walk_to(struct walk *walk, uint32_t third)
{
	while (walk->i + 1 < walk->len && walk->chunk[walk->i + 1] >> 16 <= third << 8)
		walk->i++;
	return walk->i + 1 == walk->len || walk->chunk[walk->i + 1] >> 24 > third;
}

static uint32_t n_blocks(const struct tree4 *tree, uint32_t id)
{
	struct walk walk = walk_of(tree, id);
	uint32_t n = 1;

	for (uint32_t third = 0; third < BLOCK; third++)
		n += !walk_to(&walk, third);
	return n;
}

uint64_t tree4_blocks_size(const struct tree4 *tree)
{
	uint64_t size = 0;

	for (uint32_t id = 0; id < intern_len(tree->chunks); id++)
		size += (uint64_t)n_blocks(tree, id) * BLOCK_SIZE;
	return size;
}

void tree4_place_root(struct tree4 *tree, struct layout *layout)
{
	tree->root_place = layout_take(layout, TREE4_ROOT * sizeof(uint32_t), 64);
}

void tree4_place(struct arena *arena, struct tree4 *tree, struct layout *layout)
{
	uint32_t n = intern_len(tree->chunks);

	tree->places = arena_calloc(arena, n, sizeof(*tree->places));
	for (uint32_t id = 0; id < n; id++) {
		uint64_t size = sizeof(uint32_t) + intern_size(tree->chunks, id);

		if (tree->kind == BH_ADDRESS4_BLOCKS)
			size = (uint64_t)n_blocks(tree, id) * BLOCK_SIZE;
		tree->places[id] = layout_take_whole(
			layout, size, tree->kind == BH_ADDRESS4_BLOCKS ? 64 : sizeof(uint32_t));
	}
}

static void write_ranges(const struct tree4 *tree, uint32_t id, uint8_t *tables)
{
	uint32_t n = intern_size(tree->chunks, id) / sizeof(uint32_t);

	memcpy(tables + tree->places[id], &n, sizeof(n));
	memcpy(tables + tree->places[id] + sizeof(n), intern_get(tree->chunks, id),
	       n * sizeof(uint32_t));
}

/* The classes of one /24; the walk stands at it. */
static void write_block(struct walk walk, uint32_t third, uint16_t *block)
{
	for (uint32_t fourth = 0; fourth < BLOCK; fourth++) {
		while (walk.i + 1 < walk.len &&
		       walk.chunk[walk.i + 1] >> 16 <= (third << 8 | fourth))
			walk.i++;
		block[fourth] = walk.chunk[walk.i] & 0xffff;
	}
}

static void write_blocks(const struct tree4 *tree, uint32_t id, uint8_t *tables)
{
	struct walk walk = walk_of(tree, id);
	uint16_t *subtree = (uint16_t *)(void *)(tables + tree->places[id]);
	uint32_t n = 0;

	for (uint32_t third = 0; third < BLOCK; third++) {
		if (walk_to(&walk, third)) {
			subtree[third] = walk.chunk[walk.i] & 0xffff;
			continue;
		}
		write_block(walk, third, subtree + BLOCK + n * BLOCK);
		subtree[third] = 0x8000 | n++;
	}
}

void tree4_write(const struct tree4 *tree, uint8_t *tables)
{
	uint32_t *root = (uint32_t *)(void *)(tables + tree->root_place);

	for (uint32_t slot = 0; slot < TREE4_ROOT; slot++) {
		root[slot] = tree->root[slot];
		if (root[slot] & BH_DEEP)
			root[slot] = BH_DEEP | tree->places[root[slot] & ~BH_DEEP];
	}
	for (uint32_t id = 0; id < intern_len(tree->chunks); id++) {
		if (tree->kind == BH_ADDRESS4_BLOCKS)
			write_blocks(tree, id, tables);
		else
			write_ranges(tree, id, tables);
	}
}
