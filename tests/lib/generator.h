/* SPDX-License-Identifier: GPL-2.0-only */
/* What the generator's program and its userspace share. */
#ifndef TESTS_GENERATOR_H
#define TESTS_GENERATOR_H

#include <linux/types.h>

/*
 * Every frame has this size; what is behind its IP packet is padding. The last byte is no padding but
 * enum generator_varied: which end of the packet gets an address and a port by a number.
 */
#define GENERATOR_FRAME_SIZE 96
#define GENERATOR_FRAMES     (1U << 17)

enum generator_varied {
	GENERATOR_AS_IT_IS,
	GENERATOR_SOURCE,
	GENERATOR_DESTINATION,
};

/*
 * Written by userspace between two runs. Of every `every` frames one is the next of those that are sent
 * in turn, the others are `other`, each with a number that no frame before it had. Those in turn have
 * such numbers too where span is 0, else from, from + 1 and so on, span of them, again and again.
 */
struct generator_settings {
	__u32 ifindex; /* where the frames go */
	__u32 first;   /* of the frames that are sent in turn */
	__u32 n;       /* how many those are */
	__u32 every;   /* 0 or 1: all are sent in turn */
	__u32 other;
	__u32 from;
	__u32 span;
};

#endif
