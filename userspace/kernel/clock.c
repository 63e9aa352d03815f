// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/clock.h"

#include <errno.h>
#include <time.h>

#include <linux/bpf.h>

#include <bpf/bpf.h>

#include "base/array.h"

enum { NS_PER_SECOND = 1000000000 };

/* A reading of both clocks at one moment. */
struct clock_pair {
	uint64_t jiffies;
	uint64_t monotonic; /* ns */
};

uint64_t clock_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/* A machine whose clock has no battery begins in 1970, and what it has seen before it is set, earlier. */
static uint64_t from_1970(time_t seconds)
{
	return seconds > 0 ? (uint64_t)seconds : 1;
}

uint64_t clock_seconds(void)
{
	return from_1970(time(NULL));
}

/* Stores jiffies and nanoseconds into element 0 of the map. */
static int load_reader(int map)
{
	const struct bpf_insn insns[] = {
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_jiffies64},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 6, .src_reg = 0},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_ktime_get_ns},
		{.code = BPF_LD | BPF_IMM | BPF_DW,
		 .dst_reg = 1,
		 .src_reg = BPF_PSEUDO_MAP_VALUE,
		 .imm = map},
		{},
		{.code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = 1, .src_reg = 6},
		{.code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = 1, .src_reg = 0, .off = 8},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "bh_clock", "GPL", insns, ARRAY_LEN(insns), NULL);
}

static int read_pair(int program, int map, struct clock_pair *ret_pair)
{
	const uint8_t frame[64] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame));
	uint32_t key = 0;
	int err = bpf_prog_test_run_opts(program, &opts);

	return err ? err : bpf_map_lookup_elem(map, &key, ret_pair);
}

uint32_t clock_hz_of(const struct timespec *tick)
{
	uint64_t ns = (uint64_t)tick->tv_sec * NS_PER_SECOND + (uint64_t)tick->tv_nsec;

	return ns ? (uint32_t)((NS_PER_SECOND + ns / 2) / ns) : 0;
}

/* The power of two nearest to an eighth of a second. */
static uint32_t shift_for(uint32_t hz)
{
	uint32_t shift = 0;

	while (hz * 100 > 8 * 141 * (1U << shift))
		shift++;
	return shift;
}

int clock_calibrate(struct diag *diag, struct bh_machine *machine)
{
	scoped(close) int map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "bh_clock", 4,
					       sizeof(struct clock_pair), 1, NULL);
	scoped(close) int program = map < 0 ? -1 : load_reader(map);
	struct timespec tick;
	struct clock_pair now;
	int err;

	if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick))
		return diag_sys(diag, errno,
				"cannot read the resolution of CLOCK_MONOTONIC_COARSE");
	if (map < 0)
		return diag_sys(diag, -map, "cannot make map bh_clock");
	if (program < 0)
		return diag_sys(diag, -program, "cannot load program bh_clock");
	err = read_pair(program, map, &now);
	if (err)
		return diag_sys(diag, -err, "cannot run program bh_clock");
	machine->hz = clock_hz_of(&tick);
	if (!machine->hz)
		return diag_refuse(
			diag, -ERANGE,
			"CLOCK_MONOTONIC_COARSE has no resolution that a jiffy could have");
	machine->tick_shift = shift_for(machine->hz);
	machine->jiffies_at_zero = now.jiffies - (uint64_t)((unsigned __int128)now.monotonic *
							    machine->hz / NS_PER_SECOND);
	return 0;
}

static uint64_t jiffies_now(const struct bh_machine *machine)
{
	return machine->jiffies_at_zero +
	       (uint64_t)((unsigned __int128)clock_ns() * machine->hz / NS_PER_SECOND);
}

uint64_t clock_real(const struct bh_machine *machine, uint64_t jiffies)
{
	uint64_t age = jiffies_now(machine) - jiffies;

	if (!jiffies || !machine->hz)
		return 0;
	/* A reading of this very moment may lie a jiffy ahead. */
	if (age > UINT64_MAX / 2)
		age = 0;
	return from_1970(time(NULL) - (time_t)(age / machine->hz));
}

uint64_t clock_tick(const struct bh_machine *machine)
{
	return jiffies_now(machine) >> machine->tick_shift;
}
