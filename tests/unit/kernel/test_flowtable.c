// SPDX-License-Identifier: GPL-2.0-only
/* What an entry says of its age. Walking and carrying over are tested on live tables, in e2e. */
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

/* How many of these flows, entered one after the other, find a way in one empty bucket. */
static int n_entered(const enum bh_flow_kind *kinds, int n)
{
	_Alignas(uint64_t) uint8_t bucket[BH_BUCKET4_SIZE] = {};
	int n_in = 0;

	for (int i = 0; i < n; i++) {
		uint32_t flags = BH_FLOW_LIVE | BH_FLOW_ESTABLISHED |
				 (uint32_t)kinds[i] << BH_FLOW_KIND_SHIFT;
		const struct flowtable_entry entry = {
			.table = BH_TABLE_ESTABLISHED4,
			.state.meta = (uint64_t)flags << 32,
		};

		n_in += flowtable_enter_bucket(bucket, &entry);
	}
	return n_in;
}

Test(flowtable, half_of_the_established_ways_are_for_tcp_alone)
{
	static const enum bh_flow_kind others[] = {BH_FLOW_UDP, BH_FLOW_OTHER, BH_FLOW_UDP};
	static const enum bh_flow_kind both[] = {BH_FLOW_UDP, BH_FLOW_OTHER, BH_FLOW_UDP,
						 BH_FLOW_TCP, BH_FLOW_TCP};

	cr_assert_eq(n_entered(others, 3), BH_WAYS / 2);
	cr_assert_eq(n_entered(both, 5), BH_WAYS);
}

Test(flowtable, tcp_leaves_the_lower_ways_to_others_as_long_as_it_can)
{
	static const enum bh_flow_kind kinds[] = {BH_FLOW_TCP, BH_FLOW_TCP, BH_FLOW_UDP,
						  BH_FLOW_UDP};
	static const enum bh_flow_kind tcp[] = {BH_FLOW_TCP, BH_FLOW_TCP, BH_FLOW_TCP, BH_FLOW_TCP,
						BH_FLOW_TCP};

	cr_assert_eq(n_entered(kinds, 4), BH_WAYS);
	cr_assert_eq(n_entered(tcp, 5), BH_WAYS);
}
