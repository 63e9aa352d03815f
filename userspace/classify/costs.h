/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an image is made of, structure by structure: the form that was chosen, its bytes, what one
 * use of it is expected to take, and why. Made of an image's figures and head; nothing is measured
 * here: where the nanoseconds come from stands in docs/datapath.md.
 */
#ifndef CLASSIFY_COSTS_H
#define CLASSIFY_COSTS_H

#include "classify/image.h"

/* Nanoseconds over parsing: with all of it in the caches, and with a million packets in turn. */
struct cost_ns {
	double hot;
	double cold;
};

typedef ARRAY(const char *) cost_reasons;

struct cost {
	const char *name;  /* "IPv4 addresses" */
	const char *form;  /* "blocks" */
	uint64_t size;	   /* bytes in the kernel */
	bool of_image;	   /* they are of the image's tables: all of these together are its bytes */
	bool used;	   /* a packet may use it; else ns are 0 */
	struct cost_ns ns; /* of one use */
	cost_reasons reasons;
};

struct costs {
	ARRAY(struct cost) parts;
	/* What the policy's word on a packet takes, by direction; [1] is of IPv6. Without state. */
	struct cost_ns packet[BH_DIRECTION_COUNT][2];
	/* And its flow, found or opened. */
	struct cost_ns flow[2];
};

/* Of an image that build() made: figures are not in the encoded form. All lives in the arena. */
void costs_make(struct arena *arena, const struct image *image, struct costs *ret_costs);

#endif
