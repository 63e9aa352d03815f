// SPDX-License-Identifier: GPL-2.0-only
/*
 * IPv4. Each /16 that is not of one class has a chunk, the list of its segments; with the
 * kind BLOCKS each chunk is written as a subtree instead. Equal lists make equal subtrees, so
 * what is shared is decided before a block is written.
 */
#include "classify/trees.h"

/* What is made of a chunk for the kind BLOCKS. */
struct subtree {
	uint32_t width;
	uint32_t n_blocks;
	uint32_t size;
};

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

/* A chunk, walked by the elements of a subtree of some width. */
struct walk {
	const uint32_t *chunk;
	uint32_t len;
	uint32_t width;
	uint32_t i; /* entry that holds the first address of the element */
};

static struct walk walk_of(const struct tree4 *tree, uint32_t id, uint32_t width)
{
	return (struct walk){
		.chunk = intern_get(tree->chunks, id),
		.len = (uint32_t)(intern_size(tree->chunks, id) / sizeof(uint32_t)),
		.width = width,
	};
}

/* Moves to an element, in ascending order. How many classes it has: those from entry i on. */
static uint32_t walk_to(struct walk *walk, uint32_t element)
{
	uint32_t first = element << (16 - walk->width);
	uint32_t end;

	while (walk->i + 1 < walk->len && walk->chunk[walk->i + 1] >> 16 <= first)
		walk->i++;
	end = walk->i + 1;
	while (end < walk->len && walk->chunk[end] >> (32 - walk->width) == element)
		end++;
	return end - walk->i;
}

/* What a subtree of some width would have. */
static uint32_t most_ranges(const struct tree4 *tree, uint32_t id, uint32_t width,
			    uint32_t *ret_blocks)
{
	struct walk walk = walk_of(tree, id, width);
	uint32_t most = 0;

	*ret_blocks = 0;
	for (uint32_t i = 0; i < 1U << width; i++) {
		uint32_t n = walk_to(&walk, i);

		*ret_blocks += n > 1;
		most = n > most ? n : most;
	}
	return most;
}

/* The least width with which every element's ranges fit in a block; the largest always does. */
static struct subtree subtree_of(const struct tree4 *tree, uint32_t id)
{
	struct subtree subtree = {.width = BH_SUBTREE_WIDTH_MIN};

	while (most_ranges(tree, id, subtree.width, &subtree.n_blocks) > BH_BLOCK4_RANGES)
		subtree.width++;
	subtree.size = (2U << subtree.width) + subtree.n_blocks * sizeof(struct bh_block4);
	return subtree;
}

uint64_t tree4_blocks_size(const struct tree4 *tree)
{
	uint64_t size = 0;

	for (uint32_t id = 0; id < intern_len(tree->chunks); id++)
		size += subtree_of(tree, id).size;
	return size;
}

static uint64_t ranges_size(const struct tree4 *tree, uint32_t id)
{
	return sizeof(uint32_t) + intern_size(tree->chunks, id);
}

uint64_t tree4_ranges_size(const struct tree4 *tree)
{
	uint64_t size = 0;

	for (uint32_t id = 0; id < intern_len(tree->chunks); id++)
		size += ranges_size(tree, id);
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
		struct subtree subtree;

		if (tree->kind == BH_ADDRESS4_RANGES) {
			tree->places[id] =
				layout_take_whole(layout, ranges_size(tree, id), sizeof(uint32_t));
			continue;
		}
		subtree = subtree_of(tree, id);
		tree->places[id] = layout_take_whole(layout, subtree.size, 64) | subtree.width;
	}
}

static void write_ranges(const struct tree4 *tree, uint32_t id, uint8_t *tables)
{
	uint32_t n = intern_size(tree->chunks, id) / sizeof(uint32_t);

	memcpy(tables + tree->places[id], &n, sizeof(n));
	memcpy(tables + tree->places[id] + sizeof(n), intern_get(tree->chunks, id),
	       n * sizeof(uint32_t));
}

/* The n classes of an element; the walk stands at it. */
static void write_block(const struct walk *walk, uint32_t n, struct bh_block4 *block)
{
	uint32_t own = (1U << (16 - walk->width)) - 1;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t entry = walk->chunk[walk->i + i];

		block->class[i] = entry & 0xffff;
		if (i)
			block->keys[(i - 1) / 4] |= (uint64_t)(0x8000 - (entry >> 16 & own))
						    << (i - 1) % 4 * 16;
	}
}

static void write_blocks(const struct tree4 *tree, uint32_t id, uint8_t *tables)
{
	uint32_t width = tree->places[id] & BH_SUBTREE_WIDTH;
	uint16_t *subtree = (uint16_t *)(void *)(tables + tree->places[id] - width);
	struct bh_block4 *block = (void *)(subtree + (1U << width));
	struct walk walk = walk_of(tree, id, width);
	uint32_t n_blocks = 0;

	for (uint32_t i = 0; i < 1U << width; i++) {
		uint32_t n = walk_to(&walk, i);

		subtree[i] = walk.chunk[walk.i] & 0xffff;
		if (n == 1)
			continue;
		write_block(&walk, n, block + n_blocks);
		subtree[i] = 0x8000 | n_blocks++;
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
