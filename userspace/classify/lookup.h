/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * (image, packet) → outcome: what bpf/classify does, step by step over the same bytes, in
 * userspace; for tests and explain.
 */
#ifndef CLASSIFY_LOOKUP_H
#define CLASSIFY_LOOKUP_H

#include "classify/image.h"
#include "policy/eval.h"

/* The outcome of a packet that reaches the rules; never fails on an image that build or decode made. */
const struct bh_outcome *lookup(const struct image *image, const struct tuple *tuple,
				const addr_list *self);

/* The classes on the way, for explain and for tests. */
struct lookup_steps {
	uint32_t address_class[2]; /* source, destination */
	bool self[2];
	uint32_t side_class[2];
	uint32_t pair_class; /* by bits: 0 */
	uint32_t protocol_class;
	uint32_t outcome;
};

void lookup_steps(const struct image *image, const struct tuple *tuple, const addr_list *self,
		  struct lookup_steps *ret_steps);

#endif
