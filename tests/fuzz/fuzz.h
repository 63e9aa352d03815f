/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a fuzzer is: one function over bytes that end nowhere nice. It ends the program by
 * abort where something is wrong that no sanitizer would see. Linked with libFuzzer by
 * scripts/fuzz, and with replay.c, which runs it over its kept corpus, for the tests.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/diag.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Says what is wrong, and ends. */
#define fuzz_demand(condition)                                                                  \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                \
		}                                                                               \
	} while (0)

/* The bytes as a source named fuzz.yaml, in memory of exactly their size and a NUL. */
struct source *fuzz_source(struct arena *arena, const uint8_t *data, size_t size);

/* Prints all messages to nowhere; err is 0 only when there was no error. */
void fuzz_tell(const struct diag *diag, int err);

#endif
