// SPDX-License-Identifier: GPL-2.0-only
/* What an entry says of its age. Walking is tested on live tables, in e2e. */
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
