/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Addresses two by two: which rules match a source and a destination, and which class the image
 * gives the pair.
 */
#ifndef PROVE_PAIRS_H
#define PROVE_PAIRS_H

#include "prove/addresses.h"
#include "prove/rules.h"

/* One address of a pair. */
struct origin {
	uint32_t point; /* of the family */
	bool self;	/* it is one of the host's own */
};

/* Pairs of addresses with the same rules and the same class. */
struct pair_point {
	uint32_t rules; /* number in the pool */
	uint32_t class;
	bool is[FAMILIES];		    /* some pair is of the family: the example */
	struct origin example[FAMILIES][2]; /* source, destination */
};

struct pair_points {
	struct pool
		*rules; /* sets of rules of the direction, without those that no packet reaches */
	ARRAY(struct pair_point) all;
	uint64_t n; /* pairs of side points gone through */
};

/*
 * All points of a direction. all_services are the rules that match every protocol and port: what
 * stands behind one in its tier is out of reach where that matches, and is left out of the sets.
 */
void pair_points(struct arena *arena, const struct rules *rules, const struct image *image,
		 const struct address_points *addresses, const uint64_t *all_services,
		 struct pair_points *ret_points);
void pair_points_fini(struct pair_points *points);

#endif
