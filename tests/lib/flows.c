// SPDX-License-Identifier: GPL-2.0-only
/* The state tables, read and written page by page. */
#include "tests/lib/flows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "kernel/tables.h"

enum { PROTO_ICMP = 1, PROTO_ICMPV6 = 58, ECHO_ID = 0x1234 };

static void must(int err, const char *what)
{
	if (!err)
		return;
	(void)fprintf(stderr, "%s: %s\n", what, strerror(abs(err)));
	abort();
}

static int open_page(const struct enforcer *enforcer, uint32_t page)
{
	uint32_t element = (uint32_t)(enforcer_generation(enforcer) & 1) * BH_STATE_PAGES + page;
	uint32_t id = 0;
	int fd;

	must(bpf_map_lookup_elem(enforcer_map(enforcer, "bh_state"), &element, &id),
	     "no page of state");
	fd = bpf_map_get_fd_by_id(id);
	must(fd < 0 ? fd : 0, "cannot open a page of state");
	return fd;
}

static uint32_t buckets_per_page(enum bh_table table)
{
	return BH_STATE_PAGE_SIZE / tables_bucket_size(table);
}

/* Whoever publishes an entry has written its tag, or no packet would find it. */
static void must_be_tagged(const uint8_t *page, enum bh_table table, uint32_t bucket)
{
	const uint16_t *tags = (const void *)(page + bh_state_tags(bucket));
	uint32_t size = tables_way_size(table);

	for (uint32_t way = 0; way < BH_WAYS; way++) {
		const struct bh_flow_state *state =
			(const void *)(page + (bucket * BH_WAYS + way) * size);

		if (state->meta >> 32 & BH_FLOW_LIVE)
			must(tags[way] == state->meta >> 48 ? 0 : EUCLEAN,
			     "a live way without its tag");
	}
}

void flows_walk(const struct enforcer *enforcer, const struct bh_config *config,
		enum bh_table table, flowtable_take take_entry, void *data)
{
	const struct bh_table_place *place = &config->tables[table];
	scoped(free) uint8_t *bytes = mem_alloc(BH_STATE_VALUE_SIZE);
	uint32_t per_page = buckets_per_page(table);
	uint32_t key = 0;

	for (uint32_t bucket = 0; bucket <= place->mask; bucket++) {
		if (bucket % per_page == 0) {
			scoped(close) int fd =
				open_page(enforcer, place->first_page + bucket / per_page);

			must(bpf_map_lookup_elem(fd, &key, bytes), "cannot read a page of state");
		}
		must_be_tagged(bytes, table, bucket % per_page);
		flowtable_walk_bucket(table, bytes + bucket % per_page * tables_bucket_size(table),
				      take_entry, data);
	}
}

static void count_one(void *data, const struct flowtable_entry *entry)
{
	(void)entry;
	*(uint32_t *)data += 1;
}

uint32_t flows_count(const struct enforcer *enforcer, const struct bh_config *config,
		     enum bh_table table)
{
	uint32_t n = 0;

	flows_walk(enforcer, config, table, count_one, &n);
	return n;
}

uint32_t flows_flags(const struct flowtable_entry *entry)
{
	return (uint32_t)(entry->state.meta >> 32) & ((1U << BH_FLOW_KIND_SHIFT) - 1);
}

/* ---- one flow ---- */

static uint16_t be16(uint16_t host)
{
	return (uint16_t)(host << 8 | host >> 8);
}

/* The key in words of bpf/abi.h, written down again and not taken from the programs. */
static struct bh_flow_key6 key_of(const struct tuple *opener)
{
	bool out = opener->direction == DIRECTION_OUT;
	bool echo = opener->protocol == PROTO_ICMP || opener->protocol == PROTO_ICMPV6;
	struct bh_flow_key6 key = {.protocol = opener->protocol};

	memcpy(key.local, out ? opener->source.bytes : opener->destination.bytes, 16);
	memcpy(key.remote, out ? opener->destination.bytes : opener->source.bytes, 16);
	key.local_port = be16(out ? opener->source_port : opener->destination_port);
	key.remote_port = be16(out ? opener->destination_port : opener->source_port);
	if (echo) {
		key.local_port = be16(ECHO_ID);
		key.remote_port = out ? 2 : 1;
	}
	return key;
}

static struct bh_flow_key4 narrow(const struct bh_flow_key6 *wide)
{
	struct bh_flow_key4 key = {
		.local_port = wide->local_port,
		.remote_port = wide->remote_port,
		.protocol = wide->protocol,
	};

	memcpy(&key.local, wide->local, sizeof(key.local));
	memcpy(&key.remote, wide->remote, sizeof(key.remote));
	return key;
}

struct finding {
	struct bh_flow_key6 six;
	struct bh_flow_key4 four;
	struct flowtable_entry *entry;
	uint32_t n;
};

static void find_one(void *data, const struct flowtable_entry *entry)
{
	struct finding *finding = data;
	bool v4 = entry->table == BH_TABLE_HALF_OPEN4 || entry->table == BH_TABLE_ESTABLISHED4;
	bool same = v4 ? !memcmp(&entry->key.four, &finding->four, sizeof(finding->four))
		       : !memcmp(&entry->key.six, &finding->six, sizeof(finding->six));

	if (!same)
		return;
	finding->n++;
	*finding->entry = *entry;
}

uint32_t flows_find(const struct enforcer *enforcer, const struct bh_config *config,
		    const struct tuple *opener, struct flowtable_entry *ret_entry)
{
	bool v4 = opener->source.family == ADDR_V4;
	struct finding finding = {.six = key_of(opener), .entry = ret_entry};

	finding.four = narrow(&finding.six);
	flows_walk(enforcer, config, v4 ? BH_TABLE_HALF_OPEN4 : BH_TABLE_HALF_OPEN6, find_one,
		   &finding);
	flows_walk(enforcer, config, v4 ? BH_TABLE_ESTABLISHED4 : BH_TABLE_ESTABLISHED6, find_one,
		   &finding);
	return finding.n;
}

/* ---- without a way ---- */

static void occupy_page(const struct enforcer *enforcer, uint32_t page, enum bh_table table,
			uint32_t n_buckets)
{
	scoped(free) uint8_t *bytes = mem_calloc(1, BH_STATE_VALUE_SIZE);
	scoped(close) int fd = open_page(enforcer, page);
	uint32_t key = 0;

	for (uint32_t way = 0; way < n_buckets * BH_WAYS; way++) {
		struct bh_flow_state *state = (void *)(bytes + way * tables_way_size(table));

		state->meta = (uint64_t)BH_FLOW_BUSY << 32;
	}
	must(bpf_map_update_elem(fd, &key, bytes, BPF_ANY), "cannot write a page of state");
}

void flows_occupy(const struct enforcer *enforcer, const struct bh_config *config,
		  enum bh_table table)
{
	const struct bh_table_place *place = &config->tables[table];
	uint32_t per_page = buckets_per_page(table);
	uint32_t n = place->mask + 1;

	for (uint32_t page = 0; page * per_page < n; page++) {
		uint32_t left = n - page * per_page;

		occupy_page(enforcer, place->first_page + page, table,
			    left < per_page ? left : per_page);
	}
}
