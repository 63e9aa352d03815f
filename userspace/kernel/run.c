// SPDX-License-Identifier: GPL-2.0-only
/*
 * The second load; see kernel/run.h. Where the live programs have pages without number, this one
 * has one page for each state table, under every index of it: a handful of flows needs no more, and
 * making it is quick. The tables may not share it, since a flow that is found in two of them is
 * being established.
 */
#include "kernel/run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/enforce.skel.h"
#include "kernel/load_skeleton.h"
#include "kernel/tables.h"

enum { PASS_XDP = 2, DROP_TC = 2, ROOM_FOR_OUTPUT = 8192 };

struct run {
	struct arena *arena;
	struct enforce *skeleton;
	uint64_t generation; /* that the run has begun with */
	struct bh_head head; /* of its image */
	uint32_t n_rows;
	int state_fds[BH_TABLE_COUNT];
	int n_cpus;
	uint32_t n_counter_pages;
	int *counter_fds;
	struct bh_row *before; /* a row's sum over CPUs, as of the last frame */
};

/* The pages of the generation that it has begun with. */
static void close_pages(struct run *run)
{
	for (int i = 0; i < BH_TABLE_COUNT; i++) {
		if (run->state_fds[i] >= 0)
			(void)close(run->state_fds[i]);
		run->state_fds[i] = -1;
	}
	for (uint32_t i = 0; i < run->n_counter_pages; i++)
		(void)close(run->counter_fds[i]);
	run->n_counter_pages = 0;
}

void run_close(struct run *run)
{
	if (!run)
		return;
	enforce__destroy(run->skeleton);
	close_pages(run);
	arena_free(run->arena);
	free(run);
}

/* The first bytes of the image in force. */
static int read_head(const struct load *live, struct run *run, struct diag *diag)
{
	uint32_t page = (uint32_t)(run->generation & 1) * BH_IMAGE_PAGES;
	scoped(free) uint8_t *bytes = mem_alloc(BH_PAGE_SIZE);
	scoped(close) int fd = -1;
	uint32_t key = 0;
	int err = load_page_fd(live, LOAD_MAP_IMAGE, page, diag, &fd);

	if (err == -ENOENT)
		return diag_refuse(diag, -EIO, "the image in force has lost its first page");
	if (err)
		return err;
	if (bpf_map_lookup_elem(fd, &key, bytes))
		return diag_sys(diag, errno, "cannot read the image in force");
	memcpy(&run->head, bytes, sizeof(run->head));
	run->n_rows = BH_FIXED_ROWS + run->head.n_outcomes;
	return 0;
}

static int share_maps(const struct load *live, struct run *run, struct diag *diag)
{
	static const enum load_map shared[] = {LOAD_MAP_ACTIVE, LOAD_MAP_IMAGE, LOAD_MAP_SELF,
					       LOAD_MAP_LINKS};

	for (size_t i = 0; i < ARRAY_LEN(shared); i++) {
		int err = bpf_map__reuse_fd(load_skeleton_map(run->skeleton, shared[i]),
					    load_map_fd(live, shared[i]));

		if (err)
			return diag_sys(diag, -err, "cannot share map '%s'",
					load_map_name(shared[i]));
	}
	return 0;
}

/* Puts descriptors under indices in one call where the kernel can, else one by one. */
static int put_pages(const struct run *run, enum load_map map, uint32_t *indices, int *fds,
		     uint32_t n, struct diag *diag)
{
	int outer = bpf_map__fd(load_skeleton_map(run->skeleton, map));
	uint32_t count = n;

	if (!bpf_map_update_batch(outer, indices, fds, &count, NULL) && count == n)
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		if (bpf_map_update_elem(outer, &indices[i], &fds[i], BPF_ANY))
			return diag_sys(diag, errno, "cannot put a page of map '%s'",
					load_map_name(map));
	}
	return 0;
}

/* The table to which a page of the state belongs: the last one that begins no later. */
static int table_of_page(const struct bh_config *config, uint32_t page)
{
	int found = 0;

	for (int table = 0; table < BH_TABLE_COUNT; table++) {
		if (config->tables[table].first_page <= page &&
		    config->tables[table].first_page >= config->tables[found].first_page)
			found = table;
	}
	return found;
}

static int put_state(struct run *run, struct diag *diag)
{
	uint32_t n = tables_state_pages(&run->head.config);
	uint32_t *indices = arena_calloc(run->arena, n, sizeof(*indices));
	int *fds = arena_calloc(run->arena, n, sizeof(*fds));

	for (int table = 0; table < BH_TABLE_COUNT; table++) {
		int err = load_skeleton_page(run->skeleton, LOAD_MAP_STATE, diag,
					     &run->state_fds[table]);

		if (err)
			return err;
	}
	for (uint32_t i = 0; i < n; i++) {
		indices[i] = (uint32_t)(run->generation & 1) * BH_STATE_PAGES + i;
		fds[i] = run->state_fds[table_of_page(&run->head.config, i)];
	}
	return put_pages(run, LOAD_MAP_STATE, indices, fds, n, diag);
}

static int put_counters(struct run *run, struct diag *diag)
{
	uint32_t n = (run->n_rows + BH_PAGE_ROWS - 1) / BH_PAGE_ROWS;
	uint32_t *indices = arena_calloc(run->arena, n, sizeof(*indices));

	run->counter_fds = arena_calloc(run->arena, n, sizeof(*run->counter_fds));
	run->before = arena_calloc(run->arena, (size_t)n * BH_PAGE_ROWS, sizeof(*run->before));
	for (uint32_t i = 0; i < n; i++) {
		int err = load_skeleton_page(run->skeleton, LOAD_MAP_COUNTERS, diag,
					     &run->counter_fds[i]);

		if (err)
			return err;
		run->n_counter_pages = i + 1;
		indices[i] = (uint32_t)(run->generation & 1) * BH_LINKS * BH_ROW_PAGES + i;
	}
	return put_pages(run, LOAD_MAP_COUNTERS, indices, run->counter_fds, n, diag);
}

static int load_programs(const struct load *live, const struct probe *probe, struct run *run,
			 struct diag *diag)
{
	const struct bh_skb no_skb = {}; /* a packet of a test run leaves no checksum open */
	struct bh_machine machine;
	const char *log = NULL;
	int err = load_skeleton_open(run->arena, probe, diag, &log, &run->skeleton);

	if (!err)
		err = load_machine(live, diag, &machine);
	if (err)
		return err;
	(void)bpf_program__set_autoload(run->skeleton->progs.bh_carry, false);
	load_skeleton_configure(run->skeleton, &no_skb, &machine);
	err = share_maps(live, run, diag);
	return err ? err : load_skeleton_load(run->skeleton, log, diag);
}

int run_open(const struct load *live, const struct probe *probe, struct diag *diag,
	     struct run **ret_run)
{
	scoped(run_close) struct run *run = mem_calloc(1, sizeof(*run));
	int err;

	run->arena = arena_new();
	for (int i = 0; i < BH_TABLE_COUNT; i++)
		run->state_fds[i] = -1;
	run->n_cpus = libbpf_num_possible_cpus();
	err = load_programs(live, probe, run, diag);
	if (!err)
		*ret_run = take(run);
	return err;
}

int run_begin(struct run *run, const struct load *live, uint64_t generation, struct diag *diag)
{
	int err;

	close_pages(run);
	run->generation = generation;
	err = read_head(live, run, diag);
	if (!err)
		err = put_state(run, diag);
	return err ? err : put_counters(run, diag);
}

static int read_row(const struct run *run, uint32_t row, struct bh_row *cpus, struct diag *diag,
		    struct bh_row *ret_sum)
{
	uint32_t element = row % BH_PAGE_ROWS;
	struct bh_row sum = {};

	if (bpf_map_lookup_elem(run->counter_fds[row / BH_PAGE_ROWS], &element, cpus))
		return diag_sys(diag, errno, "cannot read the counters of a trial run");
	for (int cpu = 0; cpu < run->n_cpus; cpu++) {
		sum.packets += cpus[cpu].packets;
		sum.reply_packets += cpus[cpu].reply_packets;
		sum.would_denied += cpus[cpu].would_denied;
	}
	*ret_sum = sum;
	return 0;
}

/* The row that the frame went to is the one that has changed. */
static int find_row(struct run *run, struct diag *diag, struct run_answer *answer)
{
	scoped(free) struct bh_row *cpus = mem_calloc((size_t)run->n_cpus, sizeof(*cpus));
	bool found = false;

	for (uint32_t row = 0; row < run->n_rows; row++) {
		struct bh_row now = {};
		int err = read_row(run, row, cpus, diag, &now);

		if (err)
			return err;
		if (now.packets != run->before[row].packets ||
		    now.reply_packets != run->before[row].reply_packets) {
			answer->row = row;
			answer->by_flow = now.reply_packets != run->before[row].reply_packets;
			if (now.would_denied != run->before[row].would_denied)
				answer->verdict = BH_WOULD_DENY;
			found = true;
		}
		run->before[row] = now;
	}
	if (!found)
		return diag_refuse(diag, -EIO,
				   "the programs did not count the packet of a trial run");
	answer->by_reason = answer->row < BH_FIXED_ROWS;
	if (answer->by_reason)
		answer->reason = (enum bh_reason)(answer->row / BH_DIRECTION_COUNT);
	else
		answer->outcome = answer->row - BH_FIXED_ROWS;
	return 0;
}

int run_frame(struct run *run, enum bh_hook hook, const void *frame, size_t size, struct diag *diag,
	      struct run_answer *ret_answer)
{
	scoped(free) uint8_t *out = mem_alloc(ROOM_FOR_OUTPUT);
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (__u32)size,
		    .data_out = out, .data_size_out = ROOM_FOR_OUTPUT, .repeat = 1);
	struct run_answer answer = {};
	int fd = bpf_program__fd(load_skeleton_program(run->skeleton, hook));
	bool passes;
	int err = bpf_prog_test_run_opts(fd, &opts);

	if (err)
		return diag_sys(diag, -err, "cannot run a packet through the programs");
	passes = hook == BH_HOOK_XDP ? opts.retval == PASS_XDP : opts.retval != DROP_TC;
	answer.verdict = passes ? BH_ALLOW : BH_DENY;
	err = find_row(run, diag, &answer);
	if (!err)
		*ret_answer = answer;
	return err;
}
