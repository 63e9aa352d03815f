/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A line of numbers (addresses of a family, ports) and members that hold ranges of it → the
 * segments of the line over which the same members hold.
 */
#ifndef PROVE_SWEEP_H
#define PROVE_SWEEP_H

#include <stdbool.h>

#include "base/array.h"
#include "prove/pool.h"

/* An address as a number; IPv4 in the low 32 bits. A port. */
typedef unsigned __int128 line_number;

struct sweep_end {
	line_number at;
	uint32_t member;
	bool enters; /* the member holds from here on; else no longer from here on */
};

struct sweep {
	ARRAY(struct sweep_end) ends;
	line_number last; /* of the line */
};

/* From first up to the next segment's first, or the end of the line. */
struct segment {
	line_number first;
	uint32_t members; /* the set of them, by number in the pool */
};

struct segments {
	struct segment *at;
	size_t len;
};

/* The member holds from first to last, both included. Ranges of one member may not overlap. */
void sweep_add(struct arena *arena, struct sweep *sweep, line_number first, line_number last,
	       uint32_t member);

/* The first segment begins at 0. members is a pool of sets wide enough for all members. */
struct segments sweep_segments(struct arena *arena, struct sweep *sweep, struct pool *members);

#endif
