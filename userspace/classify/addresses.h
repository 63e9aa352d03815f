/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Addresses → classes: two addresses have one class when the same sets of the policy hold
 * them. Both families share the classes; class 0 is that of addresses in no set.
 */
#ifndef CLASSIFY_ADDRESSES_H
#define CLASSIFY_ADDRESSES_H

#include "policy/policy.h"

enum { ADDRESSES_CLASSES_MAX = 0x8000 };

/* Addresses from first up to the next segment's. The first segment begins at address 0. */
struct segment4 {
	uint32_t first;
	uint32_t class;
};

struct segment6 {
	uint64_t high; /* host order */
	uint64_t low;
	uint32_t class;
};

struct addresses {
	struct arena *segments; /* v4 and v6 live here */
	struct segment4 *v4;
	size_t n_v4;
	struct segment6 *v6;
	size_t n_v6;
	uint64_t *sets; /* n_classes times n_words: bit s: the class lies in set s */
	uint32_t n_classes;
	size_t n_words;
	uint32_t n_prefixes; /* over all sets */
};

/* -E2BIG with words when there are more classes than ADDRESSES_CLASSES_MAX. */
int addresses_classify(struct arena *arena, const struct policy *policy, struct diag *diag,
		       struct addresses *ret_addresses);

/* Frees the segments, which may be most of the memory, once the trees are made; the rest stays. */
void addresses_fini(struct addresses *addresses);

#endif
