/* SPDX-License-Identifier: GPL-2.0-only */
/* Each side by itself: which rules match an address there, and which class the image gives the side. */
#ifndef PROVE_SIDES_H
#define PROVE_SIDES_H

#include "prove/addresses.h"
#include "prove/rules.h"

/* One address of a pair. */
struct origin {
	line_number address;
	bool self; /* it is one of the host's own */
};

/* Addresses of one side that the same rules match and that have one class there. */
struct side_point {
	uint32_t rules; /* number in the pool of the side */
	uint32_t class;
	uint32_t n[FAMILIES]; /* of examples: 2 where there are two */
	struct origin example[FAMILIES][2];
};

struct side {
	struct pool *rules; /* sets of rules of the direction */
	ARRAY(struct side_point) points;
};

/* Whether addresses of one family are of both. */
static inline bool side_points_meet(const struct side_point *source,
				    const struct side_point *destination)
{
	return (source->n[0] && destination->n[0]) || (source->n[1] && destination->n[1]);
}

/* All points of a side, 0 the source and 1 the destination. */
void side_find(struct arena *arena, const struct rules *rules, const struct image *image,
	       const struct address_points *addresses, int which, struct side *ret_side);
void side_fini(struct side *side);

#endif
