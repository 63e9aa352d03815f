/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames that are denied whatever the rules say, at least one for every such reason of bpf/abi.h,
 * under a policy that lets everything pass.
 */
#ifndef TESTS_BPF_RECIPES_H
#define TESTS_BPF_RECIPES_H

#include "tests/bpf/wire.h"

enum { RECIPE_V4 = 1, RECIPE_V6 = 2 };

struct recipe {
	enum bh_reason reason;
	const char *what;
	/* A frame to the hook, behind whatever has to go before it, which is sent. */
	void (*make)(struct scene *scene, enum enforcer_program program, enum addr_family family,
		     struct frame *frame);
	unsigned families; /* RECIPE_V4, RECIPE_V6 */
	unsigned programs; /* where it is denied for this reason: bits by enum enforcer_program */
};

extern const struct recipe recipes[];
extern const size_t n_recipes;

#endif
