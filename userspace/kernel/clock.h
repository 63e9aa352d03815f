/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The clock of the programs: jiffies, because reading them costs a nanosecond. Where they stand is found out
 * once, by a program that reads them beside CLOCK_MONOTONIC.
 */
#ifndef KERNEL_CLOCK_H
#define KERNEL_CLOCK_H

#include <time.h>

#include "base/diag.h"
#include "bpf/abi.h"

/* Fills hz, tick_shift and jiffies_at_zero. */
int clock_calibrate(struct diag *diag, struct bh_machine *machine);

/*
 * HZ by the resolution of a coarse clock, which is a jiffy in whole nanoseconds. Pure; 0 where that is 0, or
 * more than two seconds.
 */
uint32_t clock_hz_of(const struct timespec *tick);

/* Seconds since 1970, and the first of them where the clock stands before: 0 is said of what has not been. */
uint64_t clock_seconds(void);

/* Jiffies, as bpf_jiffies64 gives them, as clock_seconds would have told them; 0 stays 0. */
uint64_t clock_real(const struct bh_machine *machine, uint64_t jiffies);

/* CLOCK_MONOTONIC, in nanoseconds. */
uint64_t clock_ns(void);

/* The tick now, see struct bh_machine. */
uint64_t clock_tick(const struct bh_machine *machine);

#endif
