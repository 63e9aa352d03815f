/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Time as the programs know it: jiffies for the last hit of a counter, ticks (about 1/8 s)
 * for flows. Nothing here calls a helper that the verifier does not inline. A test sets
 * test_clock and then moves time by writing bh_clock.
 */
#ifndef BPF_CLOCK_BPF_H
#define BPF_CLOCK_BPF_H

#include <linux/bpf.h>
#include <linux/types.h>

#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include "bpf/abi.h"

/*
 * Set by the loader from bh_machine before the load, so that hash seeds and clock cost no
 * look-up. weak_order: the machine may reorder loads (every one but x86).
 */
const volatile struct bh_machine machine = {
	.seed = {0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f, 0x165667b19e3779f9, 0x27d4eb2f165667c5,
		 0x85ebca77c2b2ae63, 0xff51afd7ed558ccd},
	.hz = 1000,
	.tick_shift = 7,
};
const volatile bool weak_order = true;
const volatile bool test_clock = false;

/* Jiffies of a test's clock, element 0. Tests write it; programs read it under test_clock alone. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, __u64);
} bh_clock SEC(".maps");

/* jiffies64, or what a test says. */
static __always_inline __u64 clock_jiffies(void)
{
	__u32 key = 0;
	const __u64 *jiffies;

	if (!test_clock)
		return bpf_jiffies64();
	jiffies = bpf_map_lookup_elem(&bh_clock, &key);
	return jiffies ? *jiffies : 0;
}

/* The low 32 bits of the tick: differences are right for 17 years. */
static __always_inline __u32 clock_tick(void)
{
	return clock_jiffies() >> (machine.tick_shift & 31);
}

/* So many seconds as ticks, rounded up: what is not older than that has not passed them. */
static __always_inline __u32 clock_ticks(__u32 seconds)
{
	__u64 jiffies = (__u64)seconds * machine.hz;

	return (jiffies + (1ULL << (machine.tick_shift & 31)) - 1) >> (machine.tick_shift & 31);
}

#endif
