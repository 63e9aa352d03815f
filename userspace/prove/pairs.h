/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Addresses two by two: which rules match a source and a destination, and which class the image
 * gives the pair.
 */
#ifndef PROVE_PAIRS_H
#define PROVE_PAIRS_H

#include "prove/sides.h"

/* Pairs of addresses with the same rules and the same class. */
struct pair_point {
	uint32_t rules; /* number in the pool */
	uint32_t class;
	uint32_t point[2];		    /* of the sides, the first that are of it */
	bool is[FAMILIES];		    /* some packet of the family has them: the example */
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
		 const struct side sides[2], const uint64_t *all_services,
		 struct pair_points *ret_points);
void pair_points_fini(struct pair_points *points);

#endif
