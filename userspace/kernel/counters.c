// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rows are read with one system call a page where the kernel has batches, else one a row.
 */
#include "kernel/counters.h"

#include <errno.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel/clock.h"

/* ---- reading rows ---- */

static void add_row(struct counter *to, const struct bh_row *row)
{
	to->packets += row->packets;
	to->bytes += row->bytes;
	to->reply_packets += row->reply_packets;
	to->reply_bytes += row->reply_bytes;
	to->flows += row->flows;
	to->would_denied += row->would_denied;
	/* Jiffies until the end of counters_read. */
	if (row->last > to->last)
		to->last = row->last;
}

void counters_add(struct counter *to, const struct counter *from)
{
	to->packets += from->packets;
	to->bytes += from->bytes;
	to->reply_packets += from->reply_packets;
	to->reply_bytes += from->reply_bytes;
	to->flows += from->flows;
	to->would_denied += from->would_denied;
	if (from->last > to->last)
		to->last = from->last;
}

struct page_reader {
	struct bh_row *rows; /* of all CPUs, one row */
	int n_cpus;
};

static int read_page(int fd, const struct page_reader *reader, uint32_t n, struct counter *cells)
{
	for (uint32_t row = 0; row < n; row++) {
		int err = bpf_map_lookup_elem(fd, &row, reader->rows);

		if (err)
			return err;
		for (int cpu = 0; cpu < reader->n_cpus; cpu++)
			add_row(&cells[row], &reader->rows[cpu]);
	}
	return 0;
}

static int read_link(const struct load *load, const struct page_reader *reader,
		     const struct counters *counters, uint32_t link, struct diag *diag)
{
	uint32_t slot = counters->generation & 1;

	for (uint32_t first = 0; first < counters->n_rows; first += BH_PAGE_ROWS) {
		uint32_t index = (slot * BH_LINKS + link) * BH_ROW_PAGES + first / BH_PAGE_ROWS;
		uint32_t left = counters->n_rows - first;
		scoped(close) int fd = -1;
		int err = load_page_fd(load, LOAD_MAP_COUNTERS, index, diag, &fd);

		if (err == -ENOENT)
			continue;
		if (err)
			return err;
		err = read_page(fd, reader, left < BH_PAGE_ROWS ? left : BH_PAGE_ROWS,
				&counters->cells[link * counters->n_rows + first]);
		if (err)
			return diag_sys(diag, -err, "cannot read counters");
	}
	return 0;
}

int counters_hold(const struct load *load, struct diag *diag)
{
	static const struct load_span all = {LOAD_MAP_COUNTERS, 0, 2 * BH_LINKS * BH_ROW_PAGES,
					     BH_ROW_PAGES};

	return load_hold_pages(load, all, diag);
}

int counters_read(const struct load *load, struct arena *arena, uint64_t generation,
		  uint32_t n_rows, struct diag *diag, struct counters *ret_counters)
{
	struct counters counters = {.generation = generation, .n_rows = n_rows};
	struct page_reader reader = {.n_cpus = libbpf_num_possible_cpus()};
	struct bh_machine machine = {};
	int err = load_machine(load, diag, &machine);

	if (reader.n_cpus < 0)
		return diag_sys(diag, -reader.n_cpus, "cannot count the CPUs");
	reader.rows = arena_calloc(arena, (size_t)reader.n_cpus, sizeof(*reader.rows));
	counters.cells = arena_calloc(arena, (size_t)n_rows * BH_LINKS, sizeof(*counters.cells));
	for (uint32_t link = 0; link < BH_LINKS && !err; link++)
		err = read_link(load, &reader, &counters, link, diag);
	if (err)
		return err;
	for (size_t i = 0; i < (size_t)n_rows * BH_LINKS; i++)
		counters.cells[i].last = clock_real(&machine, counters.cells[i].last);
	*ret_counters = counters;
	return 0;
}

struct counter counters_row(const struct counters *counters, uint32_t row)
{
	struct counter sum = {};

	for (uint32_t link = 0; link < BH_LINKS && row < counters->n_rows; link++)
		counters_add(&sum, &counters->cells[link * counters->n_rows + row]);
	return sum;
}

uint32_t counters_n_rows(const struct image *image)
{
	return BH_FIXED_ROWS + image_head(image)->n_outcomes;
}

int counters_read_notes(const struct load *load, struct diag *diag,
			uint64_t ret_notes[BH_NOTE_COUNT])
{
	scoped(arena_free) struct arena *arena = arena_new();
	int n_cpus = libbpf_num_possible_cpus();
	uint64_t *each = arena_calloc(arena, n_cpus > 0 ? (size_t)n_cpus : 1, sizeof(*each));
	uint64_t notes[BH_NOTE_COUNT] = {};

	if (n_cpus < 0)
		return diag_sys(diag, -n_cpus, "cannot count the CPUs");
	for (uint32_t i = 0; i < BH_NOTE_COUNT; i++) {
		int err = bpf_map_lookup_elem(load_map_fd(load, LOAD_MAP_NOTES), &i, each);

		if (err)
			return diag_sys(diag, -err, "cannot read map bh_notes");
		for (int cpu = 0; cpu < n_cpus; cpu++)
			notes[i] += each[cpu];
	}
	memcpy(ret_notes, notes, sizeof(notes));
	return 0;
}
