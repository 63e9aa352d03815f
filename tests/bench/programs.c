// SPDX-License-Identifier: GPL-2.0-only
#include "tests/bench/programs.h"

#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "tests/bench.skel.h"
#include "tests/bench/must.h"
#include "tests/bench/sample.h"
#include "tests/lib/frames.h"

struct programs {
	struct bench *skeleton;
	struct frame frame; /* what every run repeats */
};

static const char *const names[] = {
#define X(constant, name) [PROGRAM_##constant] = #name,
	PROGRAMS(X)
#undef X
};

const char *program_name(enum program program)
{
	return names[program];
}

/* The enforcer's maps in place of those that the object would make; constants stay its own. */
static void share_maps(struct bench *skeleton, const struct enforcer *enforcer)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, skeleton->obj)
	{
		const char *name = bpf_map__name(map);

		if (str_starts(str_of(name), STR("bh_")))
			must(bpf_map__reuse_fd(map, enforcer_map(enforcer, name)),
			     "cannot share a map");
	}
}

static void make_frame(struct frame *frame, enum addr_family family)
{
	struct tuple tuple = {.direction = DIRECTION_IN, .protocol = 6};
	bool v4 = family == ADDR_V4;

	(void)addr_parse(v4 ? STR("10.1.2.3") : STR("2001:db8::1"), &tuple.source);
	(void)addr_parse(v4 ? STR("10.2.3.4") : STR("2001:db8::2"), &tuple.destination);
	frame_of_tuple(frame, &tuple, FRAME_TCP_ACK);
}

struct programs *programs_new(const struct enforcer *enforcer, enum addr_family family,
			      uint32_t n_new)
{
	struct programs *programs = mem_calloc(1, sizeof(*programs));
	struct bench *skeleton = bench__open();

	if (!skeleton)
		broken("cannot read the object of the benchmark");
	share_maps(skeleton, enforcer);
	must(bpf_map__set_max_entries(skeleton->maps.bench_new, n_new), "cannot size a map");
#ifdef __x86_64__
	skeleton->rodata->weak_order = false;
#endif
	must(bench__load(skeleton), "cannot load the programs of the benchmark");
	make_frame(&programs->frame, family);
	programs->skeleton = skeleton;
	return programs;
}

void programs_free(struct programs *programs)
{
	if (!programs)
		return;
	bench__destroy(programs->skeleton);
	free(programs);
}

/* Elements 0 up to n of an array, or keys of another map. */
static void put(const struct bpf_map *map, const void *keys, const void *values, uint32_t n)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);

	must(bpf_map_update_batch(bpf_map__fd(map), keys, values, &n, &opts), "cannot fill a map");
}

static void put_trace(const struct bpf_map *map, const void *entries)
{
	scoped(free) uint32_t *keys = mem_calloc(TRACE_LEN, sizeof(*keys));

	for (uint32_t i = 0; i < TRACE_LEN; i++)
		keys[i] = i;
	put(map, keys, entries, TRACE_LEN);
}

void programs_set_trace4(struct programs *programs, const struct trace4 *entries)
{
	put_trace(programs->skeleton->maps.bench_trace4, entries);
}

void programs_set_trace6(struct programs *programs, const struct trace6 *entries)
{
	put_trace(programs->skeleton->maps.bench_trace6, entries);
}

void programs_put_lpm(struct programs *programs, const struct lpm_key *keys, const __u32 *values,
		      uint32_t n)
{
	put(programs->skeleton->maps.bench_lpm, keys, values, n);
}

void programs_put_lru(struct programs *programs, const struct bh_flow_key4 *keys, uint32_t n)
{
	scoped(free) struct bh_flow_state *states = mem_calloc(n, sizeof(*states));

	put(programs->skeleton->maps.bench_lru, keys, states, n);
}

uint64_t programs_new_bytes(const struct programs *programs)
{
	static const char key[] = "memlock:";
	char path[64], line[128];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d",
		 bpf_map__fd(programs->skeleton->maps.bench_new));
	scoped(fclose) FILE *in = fopen(path, "re");

	while (in && fgets(line, sizeof(line), in))
		if (str_starts(str_of(line), str_of(key)))
			return strtoull(line + strlen(key), NULL, 10);
	return 0;
}

void programs_set_prime(struct programs *programs, uint8_t tcp_flags, bool turned)
{
	programs->skeleton->bss->bench_flags = tcp_flags;
	programs->skeleton->bss->bench_turned = turned;
}

static int program_fd(const struct bench *skeleton, enum program program)
{
	return bpf_program__fd(bpf_object__find_program_by_name(skeleton->obj, names[program]));
}

struct passed programs_run(struct programs *programs, enum program program, struct stretch stretch)
{
	struct bench *skeleton = programs->skeleton;
	int fd = program_fd(skeleton, program);
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = programs->frame.bytes,
		    .data_size_in = (__u32)programs->frame.size, .repeat = (int)stretch.n);
	double before, after;

	skeleton->bss->bench_mask = stretch.mask;
	skeleton->bss->bench_next = stretch.first;
	skeleton->bss->bench_hit = 0;
	before = thread_seconds();
	must(bpf_prog_test_run_opts(fd, &opts), "cannot run a program");
	after = thread_seconds();
	if (opts.retval == 0)
		broken("%s gives up on its packet", names[program]);
	return (struct passed){
		.action = opts.retval,
		.row = skeleton->bss->bench_row,
		.hits = skeleton->bss->bench_hit,
		.ns = (after - before) * 1e9 / stretch.n,
	};
}
