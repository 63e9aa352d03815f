/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the loaded programs say of a packet, without its being sent and without a trace: a
 * second, unattached load of the same programs that reads the live image, own addresses and
 * links, and has counters, events and flow tables of its own.
 */
#ifndef KERNEL_RUN_H
#define KERNEL_RUN_H

#include "base/diag.h"
#include "kernel/load.h"
#include "kernel/probe.h"

struct run;

void run_close(struct run *run);
SCOPED(struct run *, run_close);

/* Loads the programs. live is read, never changed. */
int run_open(const struct load *live, const struct probe *probe, struct diag *diag,
	     struct run **ret_run);

/*
 * What follows is asked of the generation, which is in force: once another one is, packets go uncounted,
 * which is an error, and the run may begin again with that one. It knows no flow then. live is as
 * above, and need not be open for longer.
 */
int run_begin(struct run *run, const struct load *live, uint64_t generation, struct diag *diag);

struct run_answer {
	enum bh_verdict verdict;
	bool by_flow;	/* let through as reply of a flow that an earlier frame opened */
	uint32_t row;	/* the counter row that it went to: */
	bool by_reason; /* reason and no outcome */
	enum bh_reason reason;
	uint32_t outcome; /* id in the image in force */
};

/*
 * Runs one Ethernet frame through the program of a hook. Frames see the flows that
 * earlier ones have opened since the run began. A frame is at most a page less the room that the kernel needs (3 KB
 * are always taken).
 */
int run_frame(struct run *run, enum bh_hook hook, const void *frame, size_t size, struct diag *diag,
	      struct run_answer *ret_answer);

#endif
