/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Time, and what many measurements of one thing come to. Thread CPU time, because the machine
 * may have other work to do.
 */
#ifndef TESTS_BENCH_SAMPLE_H
#define TESTS_BENCH_SAMPLE_H

#include "base/array.h"

typedef ARRAY(double) samples;

struct figures {
	double median;
	double p10;
	double p90;
};

/* Sorts the samples, of which there is at least one. */
struct figures sample_figures(samples *all);

/* Seconds of CPU that this thread has had. */
double thread_seconds(void);

/* Ties this thread to the last CPU it may use; returns its number. */
int pin_thread(void);

#endif
