/* SPDX-License-Identifier: GPL-2.0-only */
/* The command line of a benchmark that is a program of its own. */
#ifndef TESTS_BENCH_OPTIONS_H
#define TESTS_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

/* --rounds, --json and, where has_tiny, --tiny; any other word ends the benchmark with its usage. */
struct bench_options {
	uint32_t rounds;
	const char *json; /* where the result goes; NULL: nowhere */
	bool tiny;
};
struct bench_options bench_options(int argc, char **argv, uint32_t rounds, bool has_tiny);

#endif
