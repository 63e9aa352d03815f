/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a tier found, as JSON: the machine, figures, and gates. A gate is a ratio within one run,
 * so that it means the same on another machine.
 */
#ifndef TESTS_BENCH_RESULT_H
#define TESTS_BENCH_RESULT_H

#include <jansson.h>

#include "tests/bench/sample.h"

enum gate_kind {
	GATE_AT_MOST,
	GATE_AT_LEAST,
};

/* { tier, machine, results: [], gates: [] } */
json_t *result_new(const char *tier);

/* Appends one line of results: the values of what, with median, p10 and p90. Steals what. */
void result_add(json_t *result, json_t *what, struct figures figures);

/* Notes a gate, and prints it with its figure and `holds` or `falls short`. */
void result_gate(json_t *result, const char *name, double figure, enum gate_kind kind,
		 double limit);

/*
 * Writes it to a file, unless path is NULL, and frees it. The exit status of the tier: 0 when every
 * gate holds, else STATUS_GATE.
 */
int result_end(json_t *result, const char *path);

#endif
