// SPDX-License-Identifier: GPL-2.0-only
/* What became of packets: counter rows, notes, events. */
#include "tests/lib/enforcer_inside.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

static void add_row(struct bh_row *sum, const struct bh_row *row)
{
	sum->packets += row->packets;
	sum->bytes += row->bytes;
	sum->reply_packets += row->reply_packets;
	sum->reply_bytes += row->reply_bytes;
	sum->flows += row->flows;
	sum->would_denied += row->would_denied;
	if (row->last > sum->last)
		sum->last = row->last;
}

/* The page of counters of a link in the generation in force. */
static int counters_fd(const struct enforcer *enforcer, uint32_t link, uint32_t page)
{
	uint32_t slot = enforcer->generation & 1;
	int fd = link < ENFORCER_LINKS
			 ? enforcer->counters[(slot * ENFORCER_LINKS + link) * BH_ROW_PAGES + page]
			 : 0;

	if (!fd)
		enforcer_fail(enforcer, "no page of counters");
	return fd;
}

/* All rows of a page, of every CPU. */
static void read_page(const struct enforcer *enforcer, uint32_t link, uint32_t page,
		      struct bh_row *ret_rows)
{
	uint32_t keys[BH_PAGE_ROWS];
	uint32_t n = BH_PAGE_ROWS;
	uint32_t cursor;
	int err = bpf_map_lookup_batch(counters_fd(enforcer, link, page), NULL, &cursor, keys,
				       ret_rows, &n, NULL);

	if ((err && err != -ENOENT) || n != BH_PAGE_ROWS)
		enforcer_fail(enforcer, "cannot read counters: %d", err);
}

/* One row of every CPU. */
static void read_row(const struct enforcer *enforcer, uint32_t link, uint32_t row,
		     struct bh_row *ret_rows)
{
	uint32_t element = row % BH_PAGE_ROWS;

	enforcer_must(enforcer,
		      bpf_map_lookup_elem(counters_fd(enforcer, link, row / BH_PAGE_ROWS), &element,
					  ret_rows),
		      "cannot read a counter");
}

struct bh_row enforcer_row(const struct enforcer *enforcer, uint32_t link, uint32_t row)
{
	struct bh_row sum = {};

	read_row(enforcer, link, row, enforcer->scratch);
	for (int cpu = 0; cpu < enforcer->n_cpus; cpu++)
		add_row(&sum, &enforcer->scratch[cpu]);
	return sum;
}

uint32_t enforcer_reason_row(enum bh_reason reason, enum bh_direction direction)
{
	return reason * BH_DIRECTION_COUNT + direction;
}

uint32_t enforcer_n_rows(const struct enforcer *enforcer)
{
	return enforcer->n_rows;
}

struct bh_row enforcer_total(const struct enforcer *enforcer, uint32_t link)
{
	uint32_t n_pages = (enforcer->n_rows + BH_PAGE_ROWS - 1) / BH_PAGE_ROWS;
	struct bh_row sum = {};

	for (uint32_t page = 0; page < n_pages; page++) {
		read_page(enforcer, link, page, enforcer->scratch);
		for (int i = 0; i < BH_PAGE_ROWS * enforcer->n_cpus; i++)
			add_row(&sum, &enforcer->scratch[i]);
	}
	return sum;
}

static struct bh_row row_less(const struct bh_row *now, const struct bh_row *then)
{
	return (struct bh_row){
		.packets = now->packets - then->packets,
		.bytes = now->bytes - then->bytes,
		.reply_packets = now->reply_packets - then->reply_packets,
		.reply_bytes = now->reply_bytes - then->reply_bytes,
		.flows = now->flows - then->flows,
		.would_denied = now->would_denied - then->would_denied,
		.last = now->last,
	};
}

bool enforcer_changed(struct enforcer *enforcer, uint32_t *ret_row, struct bh_row *ret_by)
{
	uint32_t n_pages = (enforcer->n_rows + BH_PAGE_ROWS - 1) / BH_PAGE_ROWS;
	size_t page_len = (size_t)BH_PAGE_ROWS * enforcer->n_cpus;
	unsigned n_changed = 0;

	for (uint32_t page = 0; page < n_pages; page++) {
		struct bh_row *then = enforcer->rows + page * page_len;

		read_page(enforcer, 0, page, enforcer->scratch);
		for (size_t i = 0; i < page_len; i++) {
			if (!memcmp(&enforcer->scratch[i], &then[i], sizeof(*then)))
				continue;
			*ret_row = page * BH_PAGE_ROWS + (uint32_t)(i / enforcer->n_cpus);
			*ret_by = row_less(&enforcer->scratch[i], &then[i]);
			n_changed++;
		}
		memcpy(then, enforcer->scratch, page_len * sizeof(*then));
	}
	return n_changed == 1;
}

bool enforcer_changed_at(struct enforcer *enforcer, uint32_t guess, uint32_t *ret_row,
			 struct bh_row *ret_by)
{
	struct bh_row *then = enforcer->rows + (size_t)guess * enforcer->n_cpus;

	read_row(enforcer, 0, guess, enforcer->scratch);
	for (int cpu = 0; cpu < enforcer->n_cpus; cpu++) {
		if (!memcmp(&enforcer->scratch[cpu], &then[cpu], sizeof(*then)))
			continue;
		*ret_row = guess;
		*ret_by = row_less(&enforcer->scratch[cpu], &then[cpu]);
		then[cpu] = enforcer->scratch[cpu];
		return true;
	}
	return enforcer_changed(enforcer, ret_row, ret_by);
}

uint64_t enforcer_note(const struct enforcer *enforcer, enum bh_note note)
{
	scoped(free) uint64_t *values = mem_calloc(enforcer->n_cpus, sizeof(*values));
	uint32_t key = note;
	uint64_t sum = 0;

	enforcer_must(enforcer,
		      bpf_map_lookup_elem(enforcer_map(enforcer, "bh_notes"), &key, values),
		      "cannot read a note");
	for (int cpu = 0; cpu < enforcer->n_cpus; cpu++)
		sum += values[cpu];
	return sum;
}

size_t enforcer_events(struct enforcer *enforcer, struct bh_event *events, size_t max)
{
	int n;

	enforcer->events = events;
	enforcer->events_max = max;
	enforcer->events_len = 0;
	n = ring_buffer__consume(enforcer->ring);
	if (n < 0)
		enforcer_fail(enforcer, "cannot read events: %d", n);
	return enforcer->events_len;
}
