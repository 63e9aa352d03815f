/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What stands in the tables of an image, read by bpf/abi.h alone: for a line of addresses as runs of
 * one class. verify_tables has found nothing wrong in it.
 */
#ifndef PROVE_RUNS_H
#define PROVE_RUNS_H

#include "base/addr.h"
#include "classify/image.h"
#include "prove/sweep.h"

/*
 * The class of an address, and in *ret_last the last address of a run behind it that has the same
 * one; the run behind that may have it, too.
 */
uint32_t runs_class(const struct image *image, enum addr_family family, line_number first,
		    line_number *ret_last);

/* The class of a port under the root of a slot. */
uint32_t runs_port_class(const struct image *image, uint32_t root, uint32_t port);

/* Whether the classes of all the ports around two, up to each multiple of RUNS_PORTS, are one table. */
enum { RUNS_PORTS = 256 };
bool runs_same_block(const struct image *image, uint32_t root, uint32_t one, uint32_t other);

/* The protocol class of a cell of a slot: one class of source ports, one of destination ports. */
uint32_t runs_cell(const struct image *image, const struct bh_proto_slot *slot, uint32_t source,
		   uint32_t destination);

const struct bh_proto_slot *runs_slot(const struct image *image, enum bh_direction direction,
				      enum addr_family family, uint8_t protocol);

/* The class of a side, 0 the source and 1 the destination. */
uint32_t runs_side(const struct image *image, enum bh_direction direction, int side,
		   uint32_t address_class, bool self);

/* What a pair of sides is known by: its pair class, or with bits the two classes in one number. */
uint32_t runs_pair(const struct image *image, enum bh_direction direction, uint32_t source,
		   uint32_t destination);

/* A set of rules of a direction that is by bits: of a class of sources, destinations or services. */
enum runs_set {
	RUNS_SET_SOURCE,
	RUNS_SET_DESTINATION,
	RUNS_SET_SERVICE,
};

/* Its words, of which tier_end of the direction tells the number. */
const uint8_t *runs_set(const struct image *image, enum bh_direction direction, enum runs_set kind,
			uint32_t class);

/* The number of the outcome in a row of such a direction. */
uint32_t runs_row(const struct image *image, enum bh_direction direction, uint32_t row);

/*
 * The numbers of outcomes of 32 protocol classes from 32 times block on; NULL where the image has no
 * such block. Classes behind the last have some, too.
 */
const uint16_t *runs_block(const struct image *image, enum bh_direction direction, uint32_t pair,
			   uint32_t block);

/* The number of an outcome; pair as runs_pair gives it. */
uint32_t runs_outcome(const struct image *image, enum bh_direction direction, uint32_t pair,
		      uint32_t protocol);

#endif
