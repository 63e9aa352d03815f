/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the policy's own protocols, ports and ICMP types meet the image's protocol classes.
 */
#ifndef PROVE_SERVICES_H
#define PROVE_SERVICES_H

#include "policy/tuple.h"
#include "prove/addresses.h"
#include "prove/rules.h"

struct service {
	bool is;     /* there is one */
	bool judged; /* some packet of it is left to the rules */
	uint8_t protocol;
	uint16_t source_port;
	uint16_t destination_port; /* ICMP: type << 8 | code */
};

/* Protocols with ports that the same rules match and that have one class. */
struct service_point {
	uint32_t rules; /* number in the pool */
	uint32_t class;
	struct service example[FAMILIES]; /* of each family that has any */
};

struct service_points {
	struct pool *rules; /* sets of rules of the direction, addresses aside */
	uint64_t *always;   /* the set of those that match every service */
	ARRAY(struct service_point) all;
};

/*
 * All points of a direction: each protocol of each family, with each pair of ports or each type
 * and code that a packet of it can have, is of exactly one.
 */
void service_points(struct arena *arena, const struct rules *rules, const struct image *image,
		    struct service_points *ret_points);
void service_points_fini(struct service_points *points);

/* The packet of a direction, without its addresses. */
struct tuple service_tuple(enum policy_direction direction, int family,
			   const struct service *service);

#endif
