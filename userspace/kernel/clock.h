/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The clock of the programs: jiffies, because reading them costs a nanosecond. Found out once by a
 * program that reads them beside CLOCK_MONOTONIC; no file tells HZ on every kernel.
 */
#ifndef KERNEL_CLOCK_H
#define KERNEL_CLOCK_H

#include "base/diag.h"
#include "bpf/abi.h"

/* A reading of both clocks at one moment. */
struct clock_pair {
	uint64_t jiffies;
	uint64_t monotonic; /* ns */
};

/* Fills hz, tick_shift and jiffies_at_zero; takes about a tenth of a second. */
int clock_calibrate(struct diag *diag, struct bh_machine *machine);

/* The HZ that two readings speak for: one of those that kernels are built with. Pure. */
uint32_t clock_guess_hz(struct clock_pair first, struct clock_pair second);

/* Seconds since 1970, and the first of them where the clock stands before: 0 is said of what has not been. */
uint64_t clock_seconds(void);

/* Jiffies, as bpf_jiffies64 gives them, as clock_seconds would have told them; 0 stays 0. */
uint64_t clock_real(const struct bh_machine *machine, uint64_t jiffies);

/* CLOCK_MONOTONIC, in nanoseconds. */
uint64_t clock_ns(void);

/* The tick now, see struct bh_machine. */
uint64_t clock_tick(const struct bh_machine *machine);

#endif
