// SPDX-License-Identifier: GPL-2.0-only
/* Steps of an apply: the numbers by which links count. With self.c a part of applying.h. */
#include "kernel/applying.h"

#include <bpf/bpf.h>

#include "kernel/tables.h"

typedef ARRAY(struct store_link) store_links;

static struct store_link *find_link(const struct store_record *record, uint32_t ifindex)
{
	for (size_t i = 0; i < record->links.len; i++)
		if (record->links.at[i].ifindex == ifindex)
			return &record->links.at[i];
	return NULL;
}

uint32_t applying_used_numbers(const struct store_record *record)
{
	uint32_t used = 1;

	for (size_t i = 0; i < record->links.len; i++)
		used |= 1U << record->links.at[i].number;
	return used;
}

static bool is_wanted(const struct applying *run, uint32_t ifindex)
{
	for (size_t i = 0; i < run->request->links->len; i++)
		if (run->request->links->at[i]->ifindex == ifindex)
			return true;
	return false;
}

static void let_links_go(struct applying *run)
{
	for (size_t i = 0; i < run->record.links.len; i++)
		run->record.links.at[i].let_go = !is_wanted(run, run->record.links.at[i].ifindex);
}

/* Those that were let go: their numbers come free. */
static void forget_links(struct applying *run)
{
	size_t n = 0;

	for (size_t i = 0; i < run->record.links.len; i++)
		if (!run->record.links.at[i].let_go)
			run->record.links.at[n++] = run->record.links.at[i];
	run->record.links.len = n;
}

uint32_t applying_number_links(struct applying *run)
{
	uint32_t before = applying_used_numbers(&run->record);

	/* Then counters of the generation in force go on under names of others. */
	if (run->record.links.len + run->request->links->len > BH_LINKS - 1) {
		let_links_go(run);
		forget_links(run);
	}
	for (size_t i = 0; i < run->request->links->len; i++) {
		const struct host_link *link = run->request->links->at[i];
		struct store_link *known = find_link(&run->record, link->ifindex);
		uint32_t used = applying_used_numbers(&run->record);

		if (!known) {
			known = array_add(run->arena, &run->record.links);
			known->ifindex = link->ifindex;
			known->number = (uint32_t)__builtin_ctz(~used);
			known->why_in = "";
			known->why_out = "";
		}
		known->name = link->name;
		known->let_go = false;
	}
	return applying_used_numbers(&run->record) & ~before;
}

bool applying_covers_more(const struct applying *run, const struct store_record *before)
{
	for (size_t i = 0; i < run->record.links.len; i++) {
		const struct store_link *known = find_link(before, run->record.links.at[i].ifindex);

		if (!known || (known->let_go && !run->record.links.at[i].let_go))
			return true;
	}
	return false;
}

/*
 * A bond hands a program in the driver on to its ports, and a netvsc link to its virtual function: it runs
 * there, and is told that ifindex. What comes in by one that is not covered itself is the covered link's.
 */
static void add_ports(const struct applying *run, store_links *links)
{
	const struct host_facts *facts = run->request->facts;

	for (size_t i = 0; i < facts->links.len && links->len < TABLES_LINKS_MAX; i++) {
		const struct host_link *port = &facts->links.at[i];
		const struct store_link *master = find_link(&run->record, port->master);

		if (!master || find_link(&run->record, port->ifindex) ||
		    (!port->netvsc_vf && strcmp(port->slave_kind, "bond") != 0))
			continue;
		array_push(
			run->arena, links,
			((struct store_link){.ifindex = port->ifindex, .number = master->number}));
	}
}

int applying_write_links(struct applying *run)
{
	store_links numbered = {};
	struct bh_links links;
	uint32_t key = 0;
	int err;

	for (size_t i = 0; i < run->record.links.len; i++)
		array_push(run->arena, &numbered, run->record.links.at[i]);
	add_ports(run, &numbered);
	run->links_written = true;
	tables_make_links(numbered.at, numbered.len, &links);
	err = bpf_map_update_elem(load_map_fd(run->load, LOAD_MAP_LINKS), &key, &links, BPF_ANY);
	return err ? diag_sys(run->diag, -err, "cannot write map bh_links") : 0;
}

int applying_settle_links(struct applying *run)
{
	if (run->result.changed)
		forget_links(run);
	let_links_go(run);
	return 0;
}
