/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the policy's own boundaries of addresses meet the image's classes.
 */
#ifndef PROVE_ADDRESSES_H
#define PROVE_ADDRESSES_H

#include "classify/image.h"
#include "policy/policy.h"
#include "prove/pool.h"
#include "prove/sweep.h"

enum { FAMILIES = 2 }; /* 0: IPv4, 1: IPv6 */

/* Addresses that lie in the same sets and have one class. */
struct address_point {
	uint32_t sets; /* number in the pool */
	uint32_t class;
	line_number example; /* one that packets commonly have, where there is one */
	line_number other;   /* another one; the same where there is no other */
	bool both_common;    /* no two could be better examples */
};

struct address_points {
	struct pool *sets; /* of the policy, by index */
	ARRAY(struct address_point) of[FAMILIES];
	uint64_t n_segments; /* of the policy, both families */
};

/*
 * All points: each address of a family is of exactly one. False: the image tells apart more runs
 * of addresses than can be gone through, and far more than a policy has.
 */
bool address_points(struct arena *arena, const struct policy *policy, const struct image *image,
		    struct address_points *ret_points);
void address_points_fini(struct address_points *points);

/*
 * How good an example the address is: 2 one that packets commonly have, 1 any other, 0 one from which
 * no packet that comes in is left to the rules.
 */
int address_rank(int family, line_number number);

struct addr address_of_number(int family, line_number number);

#endif
