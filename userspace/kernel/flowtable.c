// SPDX-License-Identifier: GPL-2.0-only
/* Walking and carrying over flows; see kernel/flowtable.h. */
#include "kernel/flowtable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "kernel/tables.h"

enum { FLOW_WORDS4 = 2, FLOW_WORDS6 = 5 };

static bool is_narrow(enum bh_table table)
{
	return table == BH_TABLE_HALF_OPEN4 || table == BH_TABLE_ESTABLISHED4;
}

static uint32_t key_size(enum bh_table table)
{
	return is_narrow(table) ? sizeof(struct bh_flow_key4) : sizeof(struct bh_flow_key6);
}

static uint32_t flags_of(const struct bh_flow_state *state)
{
	return (uint32_t)(state->meta >> 32) & 0xffff;
}

uint32_t flowtable_size(const struct bh_config *config, enum bh_table table)
{
	return (config->tables[table].mask + 1) * BH_WAYS;
}

uint32_t flowtable_timeout(const struct bh_config *config, const struct flowtable_entry *entry)
{
	uint32_t flags = flags_of(&entry->state);
	bool established = flags & BH_FLOW_ESTABLISHED;

	switch ((enum bh_flow_kind)(flags >> BH_FLOW_KIND_SHIFT & 7)) {
	case BH_FLOW_TCP:
		return config->timeouts[flags & BH_FLOW_CLOSING ? BH_TIMEOUT_TCP_CLOSING
					: established		? BH_TIMEOUT_TCP_ESTABLISHED
								: BH_TIMEOUT_TCP_HALF_OPEN];
	case BH_FLOW_UDP:
		return config->timeouts[established ? BH_TIMEOUT_UDP_STREAM : BH_TIMEOUT_UDP];
	case BH_FLOW_ECHO:
		return config->timeouts[BH_TIMEOUT_ICMP];
	case BH_FLOW_FRAGMENT:
		return config->timeouts[BH_TIMEOUT_FRAGMENT];
	case BH_FLOW_OTHER:
	case BH_FLOW_KIND_COUNT:
		break;
	}
	return config->timeouts[BH_TIMEOUT_OTHER];
}

/* ---- walking ---- */

static int read_page(const struct load *load, uint64_t generation, uint32_t page, uint8_t *bytes,
		     struct diag *diag)
{
	uint32_t index = (uint32_t)(generation & 1) * BH_STATE_PAGES + page;
	scoped(close) int fd = -1;
	uint32_t key = 0;
	int err = load_page_fd(load, LOAD_MAP_STATE, index, diag, &fd);

	if (err == -ENOENT)
		return diag_refuse(diag, -EIO, "page %u of the flow tables is missing", page);
	if (err)
		return err;
	if (bpf_map_lookup_elem(fd, &key, bytes))
		return diag_sys(diag, errno, "cannot read page %u of the flow tables", page);
	return 0;
}

void flowtable_walk_bucket(enum bh_table table, const uint8_t *bucket, flowtable_take take_entry,
			   void *data)
{
	for (uint32_t way = 0; way < BH_WAYS; way++) {
		struct flowtable_entry entry = {.table = table};

		memcpy(&entry.state, bucket + way * sizeof(entry.state), sizeof(entry.state));
		if (!(flags_of(&entry.state) & BH_FLOW_LIVE))
			continue;
		memcpy(&entry.key, bucket + BH_WAYS * sizeof(entry.state) + way * key_size(table),
		       key_size(table));
		take_entry(data, &entry);
	}
}

int flowtable_walk(const struct load *load, const struct flowtable_tables *tables,
		   flowtable_take take_entry, void *data, struct diag *diag)
{
	const struct bh_config *config = tables->config;
	scoped(free) uint8_t *bytes = mem_alloc(BH_STATE_PAGE_SIZE);

	for (int i = 0; i < BH_TABLE_COUNT; i++) {
		enum bh_table table = (enum bh_table)i;
		uint32_t per_page = BH_STATE_PAGE_SIZE / tables_bucket_size(table);
		uint32_t n = config->tables[table].mask + 1;

		for (uint32_t bucket = 0; bucket < n; bucket++) {
			int err = bucket % per_page ? 0
						    : read_page(load, tables->generation,
								config->tables[table].first_page +
									bucket / per_page,
								bytes, diag);

			if (err)
				return err;
			flowtable_walk_bucket(table,
					      bytes + bucket % per_page * tables_bucket_size(table),
					      take_entry, data);
		}
	}
	return 0;
}

/* ---- carrying over ---- */

struct copying {
	const struct bh_config *config; /* of the new tables */
	struct bh_machine machine;
	uint8_t *pages;
	uint32_t n;
};

static uint64_t hash_of(const struct bh_machine *machine, const struct flowtable_entry *entry)
{
	size_t n = is_narrow(entry->table) ? FLOW_WORDS4 : FLOW_WORDS6;
	uint64_t words[FLOW_WORDS6];
	uint64_t hash = machine->seed[0];

	memcpy(words, &entry->key, n * sizeof(*words));
	for (size_t i = 0; i < n; i++)
		hash = bh_flow_mix(hash, words[i], machine->seed[1] | 1);
	return bh_flow_finish(hash);
}

/* The bucket of a hash, as bpf/flowtable.bpf.h finds it: both candidates lie in one page. */
static uint8_t *bucket_of(const struct copying *copying, enum bh_table table, uint64_t hash,
			  bool second)
{
	const struct bh_table_place *place = &copying->config->tables[table];
	uint32_t per_page = BH_STATE_PAGE_SIZE / tables_bucket_size(table);
	uint32_t number = (uint32_t)hash & place->mask;

	if (second)
		number ^= ((uint32_t)(hash >> 32) | 1) & place->mask & (per_page - 1);
	return copying->pages + (size_t)place->first_page * BH_STATE_PAGE_SIZE +
	       (size_t)number * tables_bucket_size(table);
}

bool flowtable_enter_bucket(uint8_t *bucket, const struct flowtable_entry *entry)
{
	bool shared =
		entry->table == BH_TABLE_ESTABLISHED4 || entry->table == BH_TABLE_ESTABLISHED6;
	bool tcp = (flags_of(&entry->state) >> BH_FLOW_KIND_SHIFT & 7) == BH_FLOW_TCP;

	for (uint32_t i = 0; i < (shared && !tcp ? BH_WAYS / 2 : BH_WAYS); i++) {
		uint32_t way = shared && tcp ? BH_WAYS - 1 - i : i;
		struct bh_flow_state *state = (struct bh_flow_state *)bucket + way;

		if (state->meta)
			continue;
		*state = entry->state;
		memcpy(bucket + BH_WAYS * sizeof(*state) + way * key_size(entry->table),
		       &entry->key, key_size(entry->table));
		return true;
	}
	return false;
}

static void copy_entry(void *data, const struct flowtable_entry *entry)
{
	struct copying *copying = data;
	uint64_t hash = hash_of(&copying->machine, entry);

	copying->n +=
		flowtable_enter_bucket(bucket_of(copying, entry->table, hash, false), entry) ||
		flowtable_enter_bucket(bucket_of(copying, entry->table, hash, true), entry);
}

static int write_pages(const struct load *load, const struct copying *copying, uint64_t generation,
		       uint32_t n_pages, struct diag *diag)
{
	for (uint32_t page = 0; page < n_pages; page++) {
		uint32_t index = (uint32_t)(generation & 1) * BH_STATE_PAGES + page;
		scoped(close) int fd = -1;
		uint32_t key = 0;
		int err = load_page_fd(load, LOAD_MAP_STATE, index, diag, &fd);

		if (err)
			return err;
		if (bpf_map_update_elem(
			    fd, &key, copying->pages + (size_t)page * BH_STATE_PAGE_SIZE, BPF_ANY))
			return diag_sys(diag, errno, "cannot write page %u of the flow tables",
					page);
	}
	return 0;
}

int flowtable_copy(const struct load *load, const struct flowtable_tables *from,
		   const struct flowtable_tables *to, struct diag *diag, uint32_t *ret_n)
{
	uint32_t n_pages = tables_state_pages(to->config);
	scoped(free) uint8_t *pages = mem_calloc(n_pages, BH_STATE_PAGE_SIZE);
	struct copying copying = {.config = to->config, .pages = pages};
	int err = load_machine(load, diag, &copying.machine);

	if (!err)
		err = flowtable_walk(load, from, copy_entry, &copying, diag);
	if (!err)
		err = write_pages(load, &copying, to->generation, n_pages, diag);
	if (!err)
		*ret_n = copying.n;
	return err;
}
