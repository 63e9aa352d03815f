/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a benchmark cannot do without: whatever fails ends it with words and a status that is not
 * that of a gate.
 */
#ifndef TESTS_BENCH_MUST_H
#define TESTS_BENCH_MUST_H

enum { STATUS_GATE = 1, STATUS_BROKEN = 2 };

/* Ends the benchmark. */
void broken(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Ends it when err is not 0: an errno, negative or not. */
void must(int err, const char *what);

#endif
