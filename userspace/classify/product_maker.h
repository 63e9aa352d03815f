/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the makers of a product share: product.c makes the sides and chooses, product_pairs.c and
 * product_bits.c make the rest, each in its way.
 */
#ifndef CLASSIFY_PRODUCT_MAKER_H
#define CLASSIFY_PRODUCT_MAKER_H

#include "classify/product.h"

/* Protocol classes one behind the other. */
struct run {
	uint32_t first;
	uint32_t end; /* one behind the last */
};

struct maker {
	struct arena *arena;
	const struct direction_rules *rules;
	const struct addresses *addresses;
	const struct protocols *protocols;
	struct product_tables *tables;
	struct product *product;
	size_t n_words;		   /* of a set of rules */
	uint64_t *side_rules[2];   /* of each side class: the rules that match it */
	struct intern *shadowless; /* pairs: sets of rules of pairs */
	uint32_t *pair_rules;	   /* of each pair its number there */
	uint32_t *runs_first;	   /* pairs: of each rule its first in runs, and one behind */
	struct run *runs;	   /* the protocol classes of each rule */
};

/* The source set of a rule of the direction (side 0), or its destination set. */
uint32_t maker_set(const struct maker *maker, uint32_t r, int side);

/* The rule whose set of one side has the most ranges, as "group/name", for the words of a refusal. */
const char *maker_largest(const struct maker *maker, int side, size_t *ret_n_ranges);

/* The number of the outcome of what the tiers matched (policy rule ids, or POLICY_NO_RULE). */
uint16_t maker_outcome(const struct maker *maker, const uint32_t matched[BH_TIER_COUNT]);

/* NULL when there are no more outcomes than can be counted; else why not. */
const char *maker_check_outcomes(const struct maker *maker);

/*
 * Each fills the product, or says in the arena's words why it cannot; then the product is worth
 * nothing.
 */
const char *product_pairs(struct maker *maker);
const char *product_bits(struct maker *maker);

#endif
