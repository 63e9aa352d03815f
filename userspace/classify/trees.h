/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The search structures from an address to its class, in the forms of bpf/abi.h: made out of
 * the segments of a sweep, placed, then written. Subtrees and chunks with the same content
 * are one.
 */
#ifndef CLASSIFY_TREES_H
#define CLASSIFY_TREES_H

#include "classify/addresses.h"
#include "classify/intern.h"
#include "classify/layout.h"

enum {
	TREE4_ROOT = 65536,
	TREE6_BITS_MIN = 10,
	TREE6_BITS_CHOSEN = 13, /* at most, where none is forced and no chunk is too large */
	TREE6_BITS_MAX = 19,
	TREE6_FEW = BH_LEAF_KEYS, /* segments behind the first one that need no fan */
	TREE6_OTHERS = 8,	  /* elements behind the index, for addresses outside 2000::/3 */
};

/*
 * root: a class, or BH_DEEP with the number of a chunk. A chunk is what struct bh_head calls one,
 * without its count: entries of the low 16 bits of a first address << 16 | class.
 */
struct tree4 {
	uint32_t *root;
	struct intern *chunks;
	uint32_t *places; /* of each chunk, or of the subtree made of it */
	uint32_t root_place;
	enum bh_address4 kind;
};

/* How many leaves and chunks there were when a fan was made: it leads to the last ones of them. */
struct tree6_below {
	uint32_t leaves;
	uint32_t chunks;
};

/*
 * Elements of root and of fans, and values of leaves and chunks: a class, or BH_DEEP with the number of
 * a fan (BH_FAN), a leaf or a chunk; tree6.c says how those two are marked.
 */
struct tree6 {
	uint32_t *root;
	ARRAY(struct tree6_below) below; /* of each fan */
	struct intern *fans;   /* as in the image, but for the numbers of what they lead to */
	struct intern *leaves; /* the same */
	struct intern *chunks; /* as in the image, but for the numbers of deeper ones */
	uint32_t *fan_places;
	uint32_t *leaf_places;
	uint32_t *places;
	uint32_t root_place;
	uint32_t bits;
	uint32_t longest; /* entries of a chunk */
};

void tree4_make(struct arena *arena, const struct addresses *addresses, struct tree4 *ret_tree);
void tree4_fini(struct tree4 *tree);

/* What the tree takes as blocks, without its root. */
uint64_t tree4_blocks_size(const struct tree4 *tree);

/* The same as ranges. */
uint64_t tree4_ranges_size(const struct tree4 *tree);

/* The root, then the chunks as the kind says: two calls, since much may stand between. */
void tree4_place_root(struct tree4 *tree, struct layout *layout);
void tree4_place(struct arena *arena, struct tree4 *tree, struct layout *layout);
void tree4_write(const struct tree4 *tree, uint8_t *tables);

/*
 * bits 0: as the number of segments suggests. A fan is made of more than few segments. -E2BIG when one
 * chunk would be larger than a page even with the widest index, or with the one that is forced.
 */
int tree6_make(struct arena *arena, const struct addresses *addresses, uint32_t bits, uint32_t few,
	       struct diag *diag, struct tree6 *ret_tree);
void tree6_fini(struct tree6 *tree);
void tree6_place_root(struct tree6 *tree, struct layout *layout);
void tree6_place(struct arena *arena, struct tree6 *tree, struct layout *layout);
void tree6_write(const struct tree6 *tree, uint8_t *tables);

#endif
