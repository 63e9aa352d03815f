/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether an image says of every packet what the policy says: not by trying some, but class by
 * class for all (docs/proof.md). Nothing here knows how the image was built: it reads the resolved
 * policy and, by bpf/abi.h, the tables.
 */
#ifndef PROVE_PROVE_H
#define PROVE_PROVE_H

#include "classify/image.h"
#include "policy/tuple.h"

enum prove_answer {
	PROVE_HOLDS,
	PROVE_FAULT,   /* the image is wrong, and no packet shows it: fault says how */
	PROVE_DIFFERS, /* packet is answered otherwise than the policy says */
};

struct prove_result {
	enum prove_answer answer;
	const char *fault; /* words */

	/*
	 * Of the combinations that differ one, where the verdict does if there is such a one: a packet
	 * that can be and that is left to the rules, the addresses in it that are the host's own (none,
	 * one or two; sorted), and both answers.
	 */
	struct tuple packet;
	struct addr self[2];
	size_t n_self;
	struct bh_outcome expected; /* what the rules add up to */
	struct bh_outcome found;    /* what the image has */
	uint64_t n_differ;

	/* What was gone through. */
	uint64_t n_segments;	 /* of addresses */
	uint64_t n_services;	 /* classes of protocols with ports, both directions */
	uint64_t n_pairs;	 /* of classes of sources and destinations */
	uint64_t n_combinations; /* of such a pair with a class of services, after joining */
};

/* Texts of the result live in the arena. */
void prove(struct arena *arena, const struct policy *policy, const struct image *image,
	   struct prove_result *ret_result);

/*
 * About how many milliseconds prove will take, from the sizes of the tables; 0 when they are not
 * sound, since it says so at once.
 */
uint64_t prove_estimate(const struct policy *policy, const struct image *image);

/* The same of an image that may be wrong, where all pairs are gone through to find a packet. */
uint64_t prove_estimate_wrong(const struct policy *policy, const struct image *image);

#endif
