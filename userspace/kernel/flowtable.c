// SPDX-License-Identifier: GPL-2.0-only
/* Walking flows; see kernel/flowtable.h. */
#include "kernel/flowtable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "kernel/tables.h"

/* What ends a key that is no part of it: when it was opened, the low byte first. */
enum { OPENED_SIZE = sizeof(((struct bh_flow_key4 *)0)->opened) };

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

	switch ((enum bh_flow_kind)bh_flow_kind(flags)) {
	case BH_FLOW_TCP:
		return config->timeouts[flags & BH_FLOW_CLOSING ? BH_TIMEOUT_TCP_CLOSING
					: established		? BH_TIMEOUT_TCP_ESTABLISHED
								: BH_TIMEOUT_TCP_HALF_OPEN];
	case BH_FLOW_UDP:
		return config->timeouts[established ? BH_TIMEOUT_UDP_STREAM : BH_TIMEOUT_UDP];
	case BH_FLOW_ECHO:
		return config->timeouts[BH_TIMEOUT_ICMP];
	case BH_FLOW_CUT:
		return config->timeouts[BH_TIMEOUT_TCP_ESTABLISHED];
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
		const uint8_t *at = bucket + way * tables_way_size(table);
		struct flowtable_entry entry = {.table = table};

		memcpy(&entry.state, at, sizeof(entry.state));
		if (!(flags_of(&entry.state) & BH_FLOW_LIVE))
			continue;
		memcpy(&entry.key, at + sizeof(entry.state), key_size(table) - OPENED_SIZE);
		memcpy(&entry.opened, at + tables_way_size(table) - OPENED_SIZE, OPENED_SIZE);
		take_entry(data, &entry);
	}
}

int flowtable_hold(const struct load *load, const struct flowtable_tables *tables,
		   struct diag *diag)
{
	const struct load_span span = {
		.map = LOAD_MAP_STATE,
		.first = (uint32_t)(tables->generation & 1) * BH_STATE_PAGES,
		.n = tables_state_pages(tables->config),
		.part = BH_STATE_PAGES,
	};

	return load_hold_pages(load, span, diag);
}

int flowtable_walk(const struct load *load, const struct flowtable_tables *tables,
		   flowtable_take take_entry, void *data, struct diag *diag)
{
	const struct bh_config *config = tables->config;
	scoped(free) uint8_t *bytes = mem_alloc(BH_STATE_VALUE_SIZE);

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
