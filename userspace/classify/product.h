/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Classes of addresses and of protocols → outcomes, for one direction: the tables side, pair and
 * row of struct bh_direction_head, with numbers of blocks and sets in place of addresses. Whatever
 * leads to the same outcomes is one class. By pairs of classes where that fits, else by bits.
 */
#ifndef CLASSIFY_PRODUCT_H
#define CLASSIFY_PRODUCT_H

#include "bpf/abi.h"
#include "classify/addresses.h"
#include "classify/intern.h"
#include "classify/protocols.h"

enum {
	PRODUCT_PAIRS_MAX = 1 << 23,  /* source classes times destination classes */
	PRODUCT_CELLS_MAX = 1 << 30,  /* sets of rules of pairs times protocol classes */
	PRODUCT_ROWS_MAX = 65536,     /* pair classes */
	PRODUCT_BLOCKS_MAX = 1 << 20, /* of 64 bytes */
	PRODUCT_BLOCK = 32,	      /* outcomes of one block of a row */
	PRODUCT_SETS_MAX = 192 << 20, /* bytes of the sets of rules of pairs, while they are made */
	PRODUCT_ROW_MAX = 1 << 22,    /* bits: combinations of rules of the tiers */
};

/* Shared by both directions. */
struct product_tables {
	struct intern *outcomes; /* struct bh_outcome */
	struct intern *blocks;	 /* u16[PRODUCT_BLOCK] */
	struct intern *sets;	 /* bits: u64[], rules of classes */
};

struct product {
	uint16_t *side[2]; /* element class * 2 + self */
	uint32_t side_len; /* elements of each */
	uint32_t n_side[2];
	uint8_t sides_address;
	uint8_t sides_self;
	enum bh_product kind;
	const char *why_bits; /* why not by pairs, in words; NULL by pairs */

	/* By pairs. */
	uint16_t *pair; /* n_side[0] times n_side[1] */
	uint32_t n_pair;
	uint32_t row_len;
	uint32_t *rows; /* n_pair times row_len: numbers of blocks */

	/* By bits: row_len are the words of a set, n_pair the protocol classes. */
	uint32_t *set_of; /* of source, destination and protocol classes: numbers of sets */
	uint16_t tier_end[BH_TIER_COUNT];
	uint16_t tier_rules[BH_TIER_COUNT];
	uint16_t *row; /* n_row outcomes, by what the tiers match */
	uint32_t n_row;
};

struct product_input {
	const struct direction_rules *rules;
	const struct addresses *addresses;
	const struct protocols *protocols;
	struct product_tables *tables;
	int force; /* -1, or the enum bh_product to be */
};

/* -E2BIG with words when no kind that may be holds the product. */
int product_make(struct arena *arena, const struct product_input *input, struct diag *diag,
		 struct product *ret_product);

#endif
