// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench-prog: ns per packet of the programs alone, by BPF_PROG_RUN. Verifies first; then runs all
 * programs over all policies in turn, round by round, so that whatever disturbs the machine
 * disturbs all of them. Gates are ratios of medians of this one run.
 *
 *	bench-prog [--rounds N] [--json FILE]
 */
#include <string.h>

#include "tests/bench/bed.h"
#include "tests/bench/must.h"
#include "tests/bench/options.h"
#include "tests/bench/result.h"
#include "tests/bench/verify.h"

enum {
	ROUNDS_MIN = 9,
	REPEAT = 300000,
	HOT = 1 << 10,
	WARM = 1 << 16,
	MANY = 1 << 17,
	COLD = TRACE_LEN,
	FLOWS_FEW = 1000,
	FLOWS_MANY = 100000,
};

/* The beds, by what they are for. */
enum { N_SIZES = 3, N_FAMILIES = 2, N_POLICIES = N_FAMILIES * N_SIZES };
enum bed_id {
	BED_PREFIXES = N_POLICIES,
	BED_FLOWS_FEW,
	BED_FLOWS_MANY,
	BED_FLOWS6_FEW,
	BED_FLOWS6_MANY,
	BED_COUNT,
};

static const struct bed_form forms[BED_COUNT] = {
	{ADDR_V4, 10, 500, 1 << 20, 0},
	{ADDR_V4, 100, 6000, 1 << 20, 0},
	{ADDR_V4, 1000, 175000, 1 << 20, 0},
	{ADDR_V6, 10, 500, 1 << 20, 0},
	{ADDR_V6, 100, 6000, 1 << 20, 0},
	{ADDR_V6, 1000, 175000, 1 << 20, 0},
	[BED_PREFIXES] = {ADDR_V4, 1000, 100000, 1 << 10, 0},
	[BED_FLOWS_FEW] = {ADDR_V4, 10, 500, 1 << 18, FLOWS_FEW},
	[BED_FLOWS_MANY] = {ADDR_V4, 10, 500, 1 << 18, FLOWS_MANY},
	[BED_FLOWS6_FEW] = {ADDR_V6, 10, 500, 1 << 18, FLOWS_FEW},
	[BED_FLOWS6_MANY] = {ADDR_V6, 10, 500, 1 << 18, FLOWS_MANY},
};

/* One program over one bed and so many distinct packets. */
struct bench_case {
	enum bed_id bed;
	enum program program;
	uint32_t n_packets; /* a power of two */
	samples samples;
	struct figures figures;
};

struct run {
	struct arena *arena;
	struct bed *beds[BED_COUNT];
	ARRAY(struct bench_case) cases;
	uint32_t rounds;
};

/* ---- before ---- */

static void make_beds(struct run *run)
{
	for (int i = 0; i < BED_COUNT; i++) {
		struct bed *bed = bed_new(&forms[i]);

		run->beds[i] = bed;
		if (i == BED_PREFIXES) {
			bed_fill_lpm(bed);
			verify_prefixes(bed);
			printf("verified: IPv4, %u prefixes, %u packets\n", forms[i].n_prefixes,
			       bed->n_tuples);
			continue;
		}
		verify_policy(bed);
		bed_establish(bed);
		if (forms[i].n_flows && forms[i].family == ADDR_V4)
			bed_fill_lru(bed);
		if (forms[i].n_flows)
			verify_flows(bed, (struct stretch){.mask = TRACE_LEN - 1, .n = TRACE_LEN});
		else
			verify_policy(bed);
		printf("verified: IPv%d, %u rules, %u prefixes, %u packets; of all %.0f %% are "
		       "allowed, and %.1f %% of those meet their flow\n",
		       forms[i].family, forms[i].n_rules, forms[i].n_prefixes, bed->n_tuples,
		       100.0 * bed_count_allowed(bed, TRACE_LEN) / TRACE_LEN,
		       100 * bed->established);
	}
}

static void add_case(struct run *run, enum bed_id bed, enum program program, uint32_t n_packets)
{
	array_push(run->arena, &run->cases,
		   (struct bench_case){.bed = bed, .program = program, .n_packets = n_packets});
}

static void make_cases(struct run *run)
{
	static const uint32_t packets[] = {HOT, WARM, COLD};
	static const enum program policy[] = {PROGRAM_EMPTY,	 PROGRAM_BASE,
					      PROGRAM_CLASSIFY,	 PROGRAM_CLASSIFY_COUNT,
					      PROGRAM_UNCOUNTED, PROGRAM_FULL};
	static const enum program prefixes[] = {PROGRAM_BASE, PROGRAM_PREFIX, PROGRAM_LPM_TRIE};
	static const enum program flows[] = {PROGRAM_BASE, PROGRAM_FLOW_TABLE, PROGRAM_LRU_HASH,
					     PROGRAM_FULL};

	for (size_t i = 0; i < ARRAY_LEN(packets); i++) {
		for (int bed = 0; bed < N_POLICIES; bed++)
			for (size_t j = 0; j < ARRAY_LEN(policy); j++)
				add_case(run, (enum bed_id)bed, policy[j], packets[i]);
		for (size_t j = 0; j < ARRAY_LEN(prefixes); j++)
			add_case(run, BED_PREFIXES, prefixes[j], packets[i]);
	}
	for (size_t j = 0; j < ARRAY_LEN(flows); j++) {
		add_case(run, BED_FLOWS_FEW, flows[j], HOT);
		add_case(run, BED_FLOWS_MANY, flows[j], MANY);
		if (flows[j] == PROGRAM_LRU_HASH)
			continue; /* its keys are those of IPv4 */
		add_case(run, BED_FLOWS6_FEW, flows[j], HOT);
		add_case(run, BED_FLOWS6_MANY, flows[j], MANY);
	}
}

/* ---- the measurement ---- */

static double measure(const struct run *run, const struct bench_case *one)
{
	struct stretch stretch = {
		.mask = one->n_packets - 1,
		.n = one->n_packets > REPEAT ? one->n_packets : REPEAT,
	};

	return programs_run(run->beds[one->bed]->programs, one->program, stretch).ns;
}

static void measure_all(struct run *run)
{
	for (size_t i = 0; i < run->cases.len; i++)
		(void)measure(run, &run->cases.at[i]); /* into the caches */
	for (uint32_t round = 0; round < run->rounds; round++)
		for (size_t i = 0; i < run->cases.len; i++)
			array_push(run->arena, &run->cases.at[i].samples,
				   measure(run, &run->cases.at[i]));
	for (size_t i = 0; i < run->cases.len; i++)
		run->cases.at[i].figures = sample_figures(&run->cases.at[i].samples);
}

/* ---- after ---- */

static const struct bench_case *find(const struct run *run, enum bed_id bed, enum program program,
				     uint32_t n_packets)
{
	for (size_t i = 0; i < run->cases.len; i++) {
		const struct bench_case *one = &run->cases.at[i];

		if (one->bed == bed && one->program == program && one->n_packets == n_packets)
			return one;
	}
	return NULL;
}

static double median(const struct run *run, enum bed_id bed, enum program program,
		     uint32_t n_packets)
{
	const struct bench_case *one = find(run, bed, program, n_packets);

	if (!one)
		broken("%s was not measured", program_name(program));
	return one->figures.median;
}

/* What it costs over parsing and the trace. */
static double delta(const struct run *run, enum bed_id bed, enum program program,
		    uint32_t n_packets)
{
	return median(run, bed, program, n_packets) - median(run, bed, PROGRAM_BASE, n_packets);
}

static const uint32_t columns[] = {HOT, WARM, MANY, COLD};

/* One program over one bed, with few distinct packets, more and many. */
static void show_line(const struct run *run, enum bed_id bed, enum program program)
{
	bool named = false;

	for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
		const struct bench_case *one = find(run, bed, program, columns[i]);

		if (one && !named)
			printf("  %-14s", program_name(program));
		if (one)
			printf("  %7.1f (%5.1f to %5.1f) %+7.1f", one->figures.median,
			       one->figures.p10, one->figures.p90,
			       delta(run, bed, program, columns[i]));
		named |= one != NULL;
	}
	if (named)
		printf("\n");
}

static void show(const struct run *run)
{
	printf("\nns per packet as CPU time of this thread: median (p10 to p90), and what is over "
	       "base;\ndistinct packets from left to right: %d, %d, %d\n",
	       HOT, WARM, COLD);
	for (int bed = 0; bed < BED_COUNT; bed++) {
		const struct bed_form *form = &forms[bed];

		printf("\nIPv%d, %u rules, %u prefixes", form->family, form->n_rules,
		       form->n_prefixes);
		if (form->n_flows)
			printf(", %u flows", form->n_flows);
		printf("\n");
		for (int program = 0; program < PROGRAM_COUNT; program++)
			show_line(run, (enum bed_id)bed, (enum program)program);
	}
	printf("\n");
}

static void keep(const struct run *run, json_t *result)
{
	for (size_t i = 0; i < run->cases.len; i++) {
		const struct bench_case *one = &run->cases.at[i];
		const struct bed_form *form = &forms[one->bed];

		result_add(
			result,
			json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:f, s:f}", "program",
				  program_name(one->program), "family", form->family, "rules",
				  form->n_rules, "prefixes", form->n_prefixes, "flows",
				  form->n_flows, "packets", one->n_packets, "allowed",
				  (double)bed_count_allowed(run->beds[one->bed], one->n_packets) /
					  one->n_packets,
				  "over_base", delta(run, one->bed, one->program, one->n_packets)),
			one->figures);
	}
}

/* Classify and count of the largest policy over base, and over the same of the middle one. */
static void policy_gates(const struct run *run, json_t *result)
{
	static const struct {
		int family;
		double hot, cold, flat;
	} limits[N_FAMILIES] = {{4, 1.6, 3.3, 1.3}, {6, 3.2, 4.0, 1.5}};

	for (int i = 0; i < N_FAMILIES; i++) {
		enum bed_id largest = (enum bed_id)(i * N_SIZES + 2);
		enum bed_id middle = (enum bed_id)(i * N_SIZES + 1);
		const char *v = i ? "IPv6" : "IPv4";
		double hot = median(run, largest, PROGRAM_CLASSIFY_COUNT, HOT);

		result_gate(result,
			    arena_printf(run->arena, "%s, classify and count over base, hot", v),
			    hot / median(run, largest, PROGRAM_BASE, HOT), GATE_AT_MOST,
			    limits[i].hot);
		result_gate(result,
			    arena_printf(run->arena, "%s, classify and count over base, cold", v),
			    median(run, largest, PROGRAM_CLASSIFY_COUNT, COLD) /
				    median(run, largest, PROGRAM_BASE, COLD),
			    GATE_AT_MOST, limits[i].cold);
		result_gate(result,
			    arena_printf(run->arena,
					 "%s, 1000 rules over 100, classify and count, hot", v),
			    hot / median(run, middle, PROGRAM_CLASSIFY_COUNT, HOT), GATE_AT_MOST,
			    limits[i].flat);
	}
}

static void reference_gates(const struct run *run, json_t *result)
{
	result_gate(result, "lpm_trie over our prefix look-up, 100,000 prefixes, cold",
		    delta(run, BED_PREFIXES, PROGRAM_LPM_TRIE, COLD) /
			    delta(run, BED_PREFIXES, PROGRAM_PREFIX, COLD),
		    GATE_AT_LEAST, 10);
	result_gate(result, "lru_hash over our flow table, 1,000 flows",
		    delta(run, BED_FLOWS_FEW, PROGRAM_LRU_HASH, HOT) /
			    delta(run, BED_FLOWS_FEW, PROGRAM_FLOW_TABLE, HOT),
		    GATE_AT_LEAST, 2.5);
	result_gate(result, "lru_hash over our flow table, 100,000 flows",
		    delta(run, BED_FLOWS_MANY, PROGRAM_LRU_HASH, MANY) /
			    delta(run, BED_FLOWS_MANY, PROGRAM_FLOW_TABLE, MANY),
		    GATE_AT_LEAST, 3);
}

int main(int argc, char **argv)
{
	scoped(arena_free) struct arena *arena = arena_new();
	const struct bench_options options = bench_options(argc, argv, ROUNDS_MIN, false);
	struct run run = {.arena = arena, .rounds = options.rounds};
	json_t *result;

	(void)pin_thread();
	if (!enforcer_is_possible())
		broken("loading programs needs root");
	make_beds(&run);
	make_cases(&run);
	measure_all(&run);
	result = result_new("prog");
	show(&run);
	keep(&run, result);
	policy_gates(&run, result);
	reference_gates(&run, result);
	for (int i = 0; i < BED_COUNT; i++)
		bed_free(run.beds[i]);
	return result_end(result, options.json);
}
