/* SPDX-License-Identifier: GPL-2.0-only */
/* What the generator's program and its userspace share. */
#ifndef TESTS_GENERATOR_H
#define TESTS_GENERATOR_H

#include <linux/types.h>

/*
 * Every frame has this size; what is behind its IP packet is padding. The last byte is no padding: 1
 * asks for an IPv4 source address and port that no frame before it had.
 */
#define GENERATOR_FRAME_SIZE 96
#define GENERATOR_FRAMES     (1U << 17)

/* Written by userspace between two runs. */
struct generator_settings {
	__u32 ifindex; /* where the frames go */
	__u32 first;   /* of the frames that are sent in turn */
	__u32 n;       /* how many those are */
};

#endif
