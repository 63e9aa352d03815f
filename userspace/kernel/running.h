/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the hooks of a link run now, by XDP or tcx, as the kernel tells; whose it is, it does not. What
 * sits at clsact host/filters.c reads.
 */
#ifndef KERNEL_RUNNING_H
#define KERNEL_RUNNING_H

#include "kernel/attach.h"

struct bpf_xdp_query_opts;

enum { RUNNING_MAX = 64 };

/* The programs of one hook, in order. XDP has one at most. */
struct running {
	uint32_t ids[RUNNING_MAX];
	uint32_t n;
};

/*
 * What runs there in that mode, which is not AUTO or CLSACT. A kernel without tcx runs nothing there. Any
 * other failure, a negative errno, must not look like that: a link of ours would be taken for a dead one,
 * and dropped while it enforces.
 */
int running_read(uint32_t ifindex, enum bh_direction direction, enum attach_mode mode,
		 struct running *ret_running);

/* The same, but what stands in the way of XDP stands there in whatever mode it is. */
int running_read_in_the_way(uint32_t ifindex, enum bh_direction direction, enum attach_mode mode,
			    struct running *ret_running);

bool running_has(const struct running *running, uint32_t program);

/* Of an answer about XDP the program in native mode before that in generic mode; 0: none. */
uint32_t running_xdp_program(const struct bpf_xdp_query_opts *xdp);

/* The attach type of tcx for what comes in, or goes out. */
int running_tcx_type(enum bh_direction direction);

#endif
