// SPDX-License-Identifier: GPL-2.0-only
#include "tests/bench/sample.h"

#include <errno.h>
#include <sched.h>
#include <time.h>

#include "tests/bench/must.h"

static int by_size(const void *a, const void *b)
{
	double left = *(const double *)a;
	double right = *(const double *)b;

	return (left > right) - (left < right);
}

struct figures sample_figures(samples *all)
{
	size_t last = all->len - 1;

	qsort(all->at, all->len, sizeof(*all->at), by_size);
	return (struct figures){
		.median = all->at[last / 2],
		.p10 = all->at[last / 10],
		.p90 = all->at[last - last / 10],
	};
}

double thread_seconds(void)
{
	struct timespec now;

	must(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) ? errno : 0, "cannot read the clock");
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int pin_thread(void)
{
	cpu_set_t allowed, one;
	int cpu = CPU_SETSIZE - 1;

	must(sched_getaffinity(0, sizeof(allowed), &allowed) ? errno : 0, "cannot ask for CPUs");
	while (!CPU_ISSET(cpu, &allowed))
		cpu--;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	must(sched_setaffinity(0, sizeof(one), &one) ? errno : 0, "cannot stay on one CPU");
	return cpu;
}
