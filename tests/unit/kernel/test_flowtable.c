// SPDX-License-Identifier: GPL-2.0-only
/* What an entry says of its age, and where in a bucket it is. All of a table is walked in e2e, live. */
#include <string.h>

#include <criterion/criterion.h>

#include "kernel/flowtable.h"

static uint32_t timeout_of(enum bh_flow_kind kind, uint32_t flags)
{
	struct bh_config config;
	struct flowtable_entry entry = {
		.state.meta =
			(uint64_t)(flags | BH_FLOW_LIVE | (uint32_t)kind << BH_FLOW_KIND_SHIFT)
			<< 32,
	};

	for (uint32_t i = 0; i < BH_TIMEOUT_COUNT; i++)
		config.timeouts[i] = 1000 + i;
	return flowtable_timeout(&config, &entry) - 1000;
}

Test(flowtable, a_flow_ages_by_its_kind_and_how_far_it_has_come)
{
	cr_assert_eq(timeout_of(BH_FLOW_TCP, 0), BH_TIMEOUT_TCP_HALF_OPEN);
	cr_assert_eq(timeout_of(BH_FLOW_TCP, BH_FLOW_SYN_ACK), BH_TIMEOUT_TCP_HALF_OPEN);
	cr_assert_eq(timeout_of(BH_FLOW_TCP, BH_FLOW_ESTABLISHED), BH_TIMEOUT_TCP_ESTABLISHED);
	cr_assert_eq(timeout_of(BH_FLOW_TCP, BH_FLOW_ESTABLISHED | BH_FLOW_CLOSING),
		     BH_TIMEOUT_TCP_CLOSING);
	cr_assert_eq(timeout_of(BH_FLOW_UDP, 0), BH_TIMEOUT_UDP);
	cr_assert_eq(timeout_of(BH_FLOW_UDP, BH_FLOW_REPLIED), BH_TIMEOUT_UDP);
	cr_assert_eq(timeout_of(BH_FLOW_UDP, BH_FLOW_ESTABLISHED), BH_TIMEOUT_UDP_STREAM);
	cr_assert_eq(timeout_of(BH_FLOW_ECHO, BH_FLOW_ESTABLISHED), BH_TIMEOUT_ICMP);
	cr_assert_eq(timeout_of(BH_FLOW_OTHER, BH_FLOW_ESTABLISHED), BH_TIMEOUT_OTHER);
	cr_assert_eq(timeout_of(BH_FLOW_FRAGMENT, 0), BH_TIMEOUT_FRAGMENT);
}

Test(flowtable, a_table_has_as_many_ways_as_its_buckets_have)
{
	struct bh_config config = {.tables[BH_TABLE_ESTABLISHED6].mask = 1023};

	cr_assert_eq(flowtable_size(&config, BH_TABLE_ESTABLISHED6), 1024 * BH_WAYS);
}

/* ---- a bucket, laid by hand ---- */

struct seen {
	struct flowtable_entry entries[BH_WAYS];
	uint32_t n;
};

static void keep(void *data, const struct flowtable_entry *entry)
{
	struct seen *seen = data;

	cr_assert_lt(seen->n, BH_WAYS);
	seen->entries[seen->n++] = *entry;
}

/* A way of so many bytes: its state, its key of one byte throughout, and when it was opened. */
static void lay(uint8_t *way, size_t size, uint8_t key, uint32_t flags)
{
	struct bh_flow_state state = {.meta = (uint64_t)flags << 32, .row = key};

	memset(way, key, size);
	memcpy(way, &state, sizeof(state));
	way[size - 3] = 0x56;
	way[size - 2] = 0x34;
	way[size - 1] = 0x12;
}

static void walk_laid(enum bh_table table, size_t size, size_t key_size)
{
	uint8_t bucket[BH_BUCKET6_SIZE] = {};
	struct seen seen = {};
	union {
		struct bh_flow_key6 six;
		uint8_t bytes[sizeof(struct bh_flow_key6)];
	} expected = {};

	lay(bucket + 1 * size, size, 0xa1, BH_FLOW_LIVE);
	lay(bucket + 2 * size, size, 0xa2, BH_FLOW_BUSY);
	lay(bucket + 3 * size, size, 0xa3, BH_FLOW_LIVE);
	flowtable_walk_bucket(table, bucket, keep, &seen);
	cr_assert_eq(seen.n, 2, "empty and unfinished ways are passed over");
	for (uint32_t i = 0; i < seen.n; i++) {
		memset(expected.bytes, i ? 0xa3 : 0xa1, key_size - 3);
		cr_assert_eq(seen.entries[i].table, table);
		cr_assert_eq(seen.entries[i].state.row, i ? 0xa3 : 0xa1);
		cr_assert_eq(seen.entries[i].opened, 0x123456);
		cr_assert_arr_eq(&seen.entries[i].key, expected.bytes, sizeof(expected));
	}
}

Test(flowtable, a_way_is_a_state_and_behind_it_its_key)
{
	walk_laid(BH_TABLE_ESTABLISHED4, 32, 16);
	walk_laid(BH_TABLE_HALF_OPEN6, 64, 48);
	walk_laid(BH_TABLE_FRAGMENTS, 64, 48);
}
