// SPDX-License-Identifier: GPL-2.0-only
/*
 * usage: generator LINK FRAMES [CPU]
 *
 * Sends frames into a link of this namespace at the kernel's own speed (BPF_PROG_RUN with live
 * frames, kernels from 5.18). FRAMES holds frames of GENERATOR_FRAME_SIZE bytes, one behind the
 * other. Each line of stdin is "COUNT [LINK [FIRST N [EVERY OTHER [FROM SPAN]]]]": so many are sent
 * into the link, the N frames from FIRST in turn, else all; EVERY, OTHER, FROM and SPAN behind them
 * are those of tests/lib/generator.h; and a line "SENT NANOSECONDS CPU" is printed. It stays on the
 * CPU, or else where it began. CPU are the nanoseconds that it and that CPU's ksoftirqd have run:
 * the whole way of the frames, to where they are dropped. All are there when the line is printed.
 * The peer of the link needs NAPI: XDP on it, or GRO switched on.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/scoped.h"
#include "tests/lib/generator.h"

#include "tests/generator.skel.h" /* of types that stand there */

enum { BATCH = 64, LINE_SIZE = 128 };

#define WAIT_NS 30000000000U /* for the frames that are left; far more than they ever take */

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "generator: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* As many frames as the file holds. */
static uint32_t read_frames(const char *path, int map)
{
	size_t size = (size_t)GENERATOR_FRAMES * GENERATOR_FRAME_SIZE;
	uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
	scoped(fclose) FILE *in = fopen(path, "re");
	size_t n;

	if (memory == MAP_FAILED)
		fail("map of frames");
	if (!in)
		fail(path);
	n = fread(memory, GENERATOR_FRAME_SIZE, GENERATOR_FRAMES, in);
	(void)munmap(memory, size);
	return (uint32_t)n;
}

static uint64_t now(clockid_t clock)
{
	struct timespec time;

	(void)clock_gettime(clock, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* Files of the thread of a CPU where softirqs run that are too many for the sender's context. */
struct ksoftirqd {
	FILE *schedstat;
	FILE *stat;
};

/* Whether a process calls itself so. */
static bool is_called(const char *pid, const char *name)
{
	char path[300], own[64] = "";

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	scoped(fclose) FILE *comm = fopen(path, "re");

	return comm && fgets(own, sizeof(own), comm) && !strncmp(own, name, strlen(name)) &&
	       own[strlen(name)] == '\n';
}

static FILE *open_of(const char *pid, const char *file)
{
	char path[300];

	snprintf(path, sizeof(path), "/proc/%s/%s", pid, file);
	return fopen(path, "re");
}

static struct ksoftirqd open_ksoftirqd(int cpu)
{
	struct ksoftirqd found = {};
	DIR *processes = opendir("/proc");
	struct dirent *entry;
	char name[32];

	snprintf(name, sizeof(name), "ksoftirqd/%d", cpu);
	while (processes && !found.stat && (entry = readdir(processes))) {
		if (!isdigit((unsigned char)entry->d_name[0]) || !is_called(entry->d_name, name))
			continue;
		found.schedstat = open_of(entry->d_name, "schedstat");
		found.stat = open_of(entry->d_name, "stat");
	}
	if (processes)
		(void)closedir(processes);
	if (!found.schedstat || !found.stat)
		fail(name);
	return found;
}

/* What a file of /proc says now. */
static const char *read_again(FILE *file, char *line, int size)
{
	rewind(file);
	(void)fflush(file);
	if (!fgets(line, size, file))
		fail("ksoftirqd");
	return line;
}

/*
 * The thread sleeps when nothing is left to do for it, and is awake from when it is told that there
 * is.
 */
static void wait_until_idle(const struct ksoftirqd *ksoftirqd)
{
	uint64_t end = now(CLOCK_MONOTONIC) + WAIT_NS;
	char line[512];

	while (!strstr(read_again(ksoftirqd->stat, line, sizeof(line)), ") S ")) {
		errno = ETIME;
		if (now(CLOCK_MONOTONIC) > end)
			fail("ksoftirqd");
		(void)sched_yield();
	}
}

/*
 * The link's frames are taken out of its ring where they were put in. Moved to another CPU while
 * the one before it has no time for them, it would fill the ring, and what the ring does not hold
 * is lost.
 */
static void stay_on(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (cpu < 0 || sched_setaffinity(0, sizeof(one), &one))
		fail("CPU");
}

static uint64_t cpu_time(const struct ksoftirqd *ksoftirqd)
{
	char line[96];

	return strtoull(read_again(ksoftirqd->schedstat, line, sizeof(line)), NULL, 10);
}

/* The number that is next in a line, or what it is without one. */
static uint32_t next_number(char **rest, uint32_t without)
{
	const char *word = strtok_r(NULL, " \n", rest);

	return word ? (uint32_t)strtoul(word, NULL, 10) : without;
}

/* Where the next frames go and which they are, as the line says. Returns how many. */
static int read_order(struct generator *generator, char *line, uint32_t n_frames)
{
	struct generator_settings *settings = &generator->bss->settings;
	char *rest = NULL;
	const char *count = strtok_r(line, " \n", &rest);
	const char *link = strtok_r(NULL, " \n", &rest);

	if (link)
		settings->ifindex = if_nametoindex(link);
	if (!settings->ifindex)
		fail(link);
	settings->first = next_number(&rest, 0);
	settings->n = next_number(&rest, n_frames);
	settings->every = next_number(&rest, 1);
	settings->other = next_number(&rest, 0);
	settings->from = next_number(&rest, 0);
	settings->span = next_number(&rest, 0);
	return count ? (int)strtol(count, NULL, 10) : 0;
}

static void send_frames(struct generator *generator, int count, const struct ksoftirqd *ksoftirqd)
{
	const uint8_t blank[GENERATOR_FRAME_SIZE] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = blank, .data_size_in = sizeof(blank),
		    .repeat = count, .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH);
	uint64_t before = generator->bss->sent;
	uint64_t start = now(CLOCK_MONOTONIC);
	uint64_t there = cpu_time(ksoftirqd);
	uint64_t cpu = now(CLOCK_THREAD_CPUTIME_ID);
	uint64_t nanoseconds;

	if (bpf_prog_test_run_opts(bpf_program__fd(generator->progs.generate), &opts))
		fail("live frames");
	nanoseconds = now(CLOCK_MONOTONIC) - start;
	/* Waiting is not of the frames' way; what is waited for is. */
	cpu = now(CLOCK_THREAD_CPUTIME_ID) - cpu;
	wait_until_idle(ksoftirqd);
	cpu += cpu_time(ksoftirqd) - there;
	printf("%llu %llu %llu\n", (unsigned long long)(generator->bss->sent - before),
	       (unsigned long long)nanoseconds, (unsigned long long)cpu);
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	struct generator *generator;
	struct ksoftirqd ksoftirqd;
	char line[LINE_SIZE];
	uint32_t n_frames;
	int cpu;

	if (argc != 3 && argc != 4) {
		fputs("usage: generator LINK FRAMES [CPU]\n", stderr);
		return 2;
	}
	generator = generator__open_and_load();
	if (!generator)
		fail("program");
	generator->bss->settings.ifindex = if_nametoindex(argv[1]);
	if (!generator->bss->settings.ifindex)
		fail(argv[1]);
	n_frames = read_frames(argv[2], bpf_map__fd(generator->maps.frames));
	cpu = argc == 4 ? (int)strtol(argv[3], NULL, 10) : sched_getcpu();
	stay_on(cpu);
	ksoftirqd = open_ksoftirqd(cpu);
	while (n_frames && fgets(line, sizeof(line), stdin)) {
		int count = read_order(generator, line, n_frames);

		send_frames(generator, count, &ksoftirqd);
	}
	generator__destroy(generator);
	return 0;
}
