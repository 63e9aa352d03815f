// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/carry.h"

#include <errno.h>

#include <bpf/bpf.h>

/* Has bh_carry do something, and takes its answer. */
static int ask(const struct load *load, const struct bh_carry_order *order, struct diag *diag,
	       uint32_t *ret_answer)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = order, .data_size_in = sizeof(*order),
		    .repeat = 1);
	int err = bpf_prog_test_run_opts(load_carry_fd(load), &opts);

	if (err)
		return diag_sys(diag, -err, "cannot run the program that carries flows over");
	*ret_answer = opts.retval;
	return 0;
}

int carry_set(const struct load *load, uint64_t generation, struct diag *diag)
{
	const struct bh_carry_order set = {
		.generation = generation,
		.what = generation ? BH_CARRY_ON : BH_CARRY_OFF,
	};
	uint32_t done = 0;
	int err = ask(load, &set, diag, &done);

	if (!err && !done)
		return diag_refuse(diag, -EIO, "the program that carries flows over does nothing");
	return err;
}

int carry_is_on(const struct load *load, struct diag *diag, bool *ret_on)
{
	const struct bh_carry_order question = {.what = BH_CARRY_IS_ON};
	uint32_t on = 0;
	int err = ask(load, &question, diag, &on);

	if (!err)
		*ret_on = on;
	return err;
}

/* Those of one table; adds to *n. */
static int move_table(const struct load *load, struct bh_carry_order move, struct diag *diag,
		      uint32_t *n)
{
	uint32_t n_ways = 0;
	int err;

	move.what = BH_CARRY_COUNT;
	err = ask(load, &move, diag, &n_ways);
	move.what = BH_CARRY_MOVE;
	for (; move.first < n_ways && !err; move.first += BH_CARRY_STEP) {
		uint32_t moved = 0;

		err = ask(load, &move, diag, &moved);
		*n += moved;
	}
	return err;
}

int carry_flows(const struct load *load, uint64_t generation, struct diag *diag, uint32_t *ret_n)
{
	struct bh_carry_order move = {.generation = generation};
	uint32_t n = 0;
	int err = 0;

	for (; move.table < BH_TABLE_COUNT && !err; move.table++)
		err = move_table(load, move, diag, &n);
	if (!err)
		*ret_n = n;
	return err;
}
