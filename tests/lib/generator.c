// SPDX-License-Identifier: GPL-2.0-only
/*
 * usage: generator LINK FRAMES
 *
 * Sends frames into a link of this namespace at the kernel's own speed (BPF_PROG_RUN with live
 * frames, kernels from 5.18). FRAMES holds frames of GENERATOR_FRAME_SIZE bytes, one behind the
 * other. Each line of stdin is a number: so many are sent, the list in turn, and a line
 * "SENT NANOSECONDS" is printed. The peer of the link needs NAPI: XDP on it, or GRO switched on.
 */
#include <errno.h>
#include <net/if.h>
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
#include "tests/lib/generator.skel.h"

enum { BATCH = 64 };

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

static uint64_t now(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void send_frames(struct generator *generator, int count)
{
	const uint8_t blank[GENERATOR_FRAME_SIZE] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = blank, .data_size_in = sizeof(blank),
		    .repeat = count, .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH);
	uint64_t before = generator->bss->sent;
	uint64_t start = now();

	if (bpf_prog_test_run_opts(bpf_program__fd(generator->progs.generate), &opts))
		fail("live frames");
	printf("%llu %llu\n", (unsigned long long)(generator->bss->sent - before),
	       (unsigned long long)(now() - start));
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	struct generator *generator;
	char line[32];

	if (argc != 3) {
		fputs("usage: generator LINK FRAMES\n", stderr);
		return 2;
	}
	generator = generator__open_and_load();
	if (!generator)
		fail("program");
	generator->bss->settings.ifindex = if_nametoindex(argv[1]);
	if (!generator->bss->settings.ifindex)
		fail(argv[1]);
	generator->bss->settings.n = read_frames(argv[2], bpf_map__fd(generator->maps.frames));
	while (generator->bss->settings.n && fgets(line, sizeof(line), stdin))
		send_frames(generator, (int)strtol(line, NULL, 10));
	generator__destroy(generator);
	return 0;
}
