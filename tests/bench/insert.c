// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench-insert: ns per new flow where the tables are full, by BPF_PROG_RUN, beside the kernel's LRU
 * hash of the same memory; a part of the tier `flood`. Each SYN is one that was never seen before,
 * so each of both pushes out another flow.
 *
 *	bench-insert [--rounds N] [--json FILE] [--tiny]
 */

#include "tests/bench/bed.h"
#include "tests/bench/must.h"
#include "tests/bench/options.h"
#include "tests/bench/result.h"

enum { ROUNDS = 15, REPEAT = 300000, REPEAT_TINY = 2000, RECENT = 1000, N_SIZES = 2 };

/* The tables as they are by default, and eight times as large. */
static const struct bed_form forms[N_SIZES] = {
	{ADDR_V4, 10, 500, 1 << 17, 0, 1 << 16},
	{ADDR_V4, 10, 500, 1 << 20, 0, 1 << 19},
};

static const enum program kinds[] = {PROGRAM_NEW_BASE, PROGRAM_NEW_ENTRY, PROGRAM_LRU_ENTRY,
				     PROGRAM_NEW_FLOW, PROGRAM_LRU_FLOW};
enum { N_KINDS = ARRAY_LEN(kinds) };

struct run {
	struct arena *arena;
	struct bed *beds[N_SIZES];
	uint32_t next; /* number of the next SYN */
	uint32_t repeat;
	uint32_t rounds;
	samples samples[N_SIZES][N_KINDS];
	struct figures figures[N_SIZES][N_KINDS];
};

/* n SYNs; which of them were entered is in hits. */
static struct passed pass_from(const struct run *run, int size, enum program program,
			       uint32_t first, uint32_t n)
{
	struct stretch stretch = {.first = first, .mask = TRACE_LEN - 1, .n = n};

	return programs_run(run->beds[size]->programs, program, stretch);
}

static struct passed pass(struct run *run, int size, enum program program, uint32_t n)
{
	run->next += n;
	return pass_from(run, size, program, run->next - n, n);
}

/* ---- before ---- */

/*
 * That what is entered can be found, and that all else was pushed out: both tables are full. Nearly
 * all: of ways that are equally old, which give way is left to chance.
 */
static void verify(struct run *run, int size, enum program program)
{
	uint32_t n = 3 * forms[size].table_flows;
	uint32_t first = run->next;
	uint32_t entered = pass(run, size, program, n).hits;
	uint32_t again = pass_from(run, size, program, run->next - RECENT, RECENT).hits;
	uint32_t gone = pass_from(run, size, program, first, RECENT).hits;

	if (entered < n - n / 1000 || again > RECENT / 20 || gone < RECENT - RECENT / 20)
		broken("%s: of %u new flows %u were entered; of the last %d %u once more, of the "
		       "first %u",
		       program_name(program), n, entered, RECENT, again, gone);
}

static void make_beds(struct run *run)
{
	for (int size = 0; size < N_SIZES; size++) {
		const struct bed_form *form = &forms[size];
		uint64_t ours = bed_table_bytes(form);
		uint64_t kernels;

		run->beds[size] = bed_new(form);
		kernels = programs_new_bytes(run->beds[size]->programs);
		if (kernels < ours * 9 / 10 || kernels > ours * 11 / 10)
			broken("the kernel's hash has %llu bytes, our tables %llu",
			       (unsigned long long)kernels, (unsigned long long)ours);
		verify(run, size, PROGRAM_NEW_FLOW);
		verify(run, size, PROGRAM_LRU_FLOW);
		printf("verified: %u established and %u half-open ways in %.1f MB, beside a hash "
		       "of %.1f MB\n",
		       form->table_flows, form->table_half_open, (double)ours / 1e6,
		       (double)kernels / 1e6);
	}
}

/* ---- the measurement ---- */

static void measure(struct run *run)
{
	for (uint32_t round = 0; round < run->rounds; round++)
		for (int size = 0; size < N_SIZES; size++)
			for (int kind = 0; kind < N_KINDS; kind++) {
				struct passed passed = pass(run, size, kinds[kind], run->repeat);

				if (kind && passed.hits < run->repeat - run->repeat / 1000)
					broken("%s entered %u of %u new flows",
					       program_name(kinds[kind]), passed.hits, run->repeat);
				array_push(run->arena, &run->samples[size][kind], passed.ns);
			}
	for (int size = 0; size < N_SIZES; size++)
		for (int kind = 0; kind < N_KINDS; kind++)
			run->figures[size][kind] = sample_figures(&run->samples[size][kind]);
}

/* ---- after ---- */

static double delta(const struct run *run, int size, int kind)
{
	return run->figures[size][kind].median - run->figures[size][0].median;
}

static void show(const struct run *run, json_t *result)
{
	for (int size = 0; size < N_SIZES; size++) {
		printf("\n%u half-open ways, all taken: ns per SYN, and over parsing\n",
		       forms[size].table_half_open);
		for (int kind = 0; kind < N_KINDS; kind++) {
			const struct figures *figures = &run->figures[size][kind];

			printf("  %-10s %7.1f (%5.1f to %5.1f) %+7.1f\n", program_name(kinds[kind]),
			       figures->median, figures->p10, figures->p90, delta(run, size, kind));
			result_add(result,
				   json_pack("{s:s, s:s, s:i, s:i, s:f}", "figure", "insert",
					     "program", program_name(kinds[kind]), "half_open",
					     forms[size].table_half_open, "bytes",
					     (int)bed_table_bytes(&forms[size]), "over_base",
					     delta(run, size, kind)),
				   *figures);
		}
	}
	printf("\n");
}

static void gates(const struct run *run, json_t *result)
{
	for (int size = 0; size < N_SIZES; size++)
		result_gate(result,
			    arena_printf(run->arena,
					 "insert over that of an LRU hash of the same memory, %u "
					 "half-open",
					 forms[size].table_half_open),
			    delta(run, size, 1) / delta(run, size, 2), GATE_AT_MOST, 0.25);
}

int main(int argc, char **argv)
{
	scoped(arena_free) struct arena *arena = arena_new();
	const struct bench_options options = bench_options(argc, argv, ROUNDS, true);
	struct run run = {
		.arena = arena,
		.rounds = options.rounds,
		.repeat = options.tiny ? REPEAT_TINY : REPEAT,
	};
	json_t *result;

	(void)pin_thread();
	if (!enforcer_is_possible())
		broken("loading programs needs root");
	make_beds(&run);
	measure(&run);
	result = result_new("insert");
	show(&run, result);
	gates(&run, result);
	for (int size = 0; size < N_SIZES; size++)
		bed_free(run.beds[size]);
	return result_end(result, options.json);
}
