// SPDX-License-Identifier: GPL-2.0-only
/* The small tables beside the image, as the programs look into them. */
#include <criterion/criterion.h>
#include <errno.h>

#include "kernel/tables.h"
#include "tests/lib/rng.h"

/* As bpf/classify.bpf.h asks: one bucket, all of its ways. */
static bool self_has(const struct bh_self *self, const struct addr *addr)
{
	uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff};
	uint64_t half[2];
	uint32_t bucket;

	if (addr->family == ADDR_V4)
		memcpy(bytes + 12, addr->bytes, 4);
	else
		memcpy(bytes, addr->bytes, sizeof(bytes));
	memcpy(half, bytes, sizeof(bytes));
	bucket = bh_self_hash(half[0], half[1], self->seed) & (BH_SELF_BUCKETS - 1);
	for (int i = 0; i < BH_SELF_WAYS; i++)
		if (self->way[bucket][i][0] == half[0] && self->way[bucket][i][1] == half[1])
			return true;
	return false;
}

/* n addresses of both families by turns, in their order. */
static void make_addresses(struct addr *addresses, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i < n / 2)
			addresses[i] = addr_v4(0x0a000000 + (uint32_t)i * 257);
		else
			addresses[i] = (struct addr){
				.family = ADDR_V6,
				.bytes = {0x20, 0x01, [14] = (uint8_t)(i >> 8), [15] = (uint8_t)i},
			};
	}
}

Test(tables, every_own_address_is_found_and_reads_back_in_order)
{
	static const size_t sizes[] = {0, 1, 2, 9, 50, 120};
	struct addr addresses[120];
	static struct bh_self self;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		scoped(arena_free) struct arena *arena = arena_new();
		scoped(diag_free) struct diag *diag = diag_new();
		const struct addr other = addr_v4(0xc0000201);
		addr_ranges back = {};
		size_t n = sizes[i];

		make_addresses(addresses, n);
		cr_assert_eq(tables_make_self(addresses, n, diag, &self), 0, "%zu addresses", n);
		cr_assert_eq(self.n, n);
		cr_assert_not(self_has(&self, &other));
		tables_read_self(&self, arena, &back);
		cr_assert_eq(back.len, n);
		for (size_t j = 0; j < n; j++) {
			cr_assert(self_has(&self, &addresses[j]), "%zu of %zu", j, n);
			cr_assert_eq(addr_compare(&back.at[j].first, &addresses[j]), 0);
			cr_assert_eq(addr_compare(&back.at[j].last, &addresses[j]), 0);
		}
	}
}

/* Of a router: one interface identifier in many subnets. Any host takes them from a router, too. */
Test(tables, addresses_that_differ_in_their_subnet_alone_fit)
{
	enum { N = 64 };
	static const uint8_t identifiers[][8] = {{[7] = 1}, {2, 0, 0, 0xff, 0xfe, 0, 0, 1}};
	static struct bh_self self;

	for (size_t i = 0; i < ARRAY_LEN(identifiers); i++) {
		scoped(diag_free) struct diag *diag = diag_new();
		struct addr addresses[N];

		for (int j = 0; j < N; j++) {
			addresses[j] = (struct addr){
				.family = ADDR_V6,
				.bytes = {0x20, 0x01, 0x0d, 0xb8, [7] = (uint8_t)j},
			};
			memcpy(addresses[j].bytes + 8, identifiers[i], sizeof(identifiers[i]));
		}
		cr_assert_eq(tables_make_self(addresses, N, diag, &self), 0);
		for (int j = 0; j < N; j++)
			cr_assert(self_has(&self, &addresses[j]));
	}
}

/* The hash of a flow's key over IPv6, as the programs make it. */
static uint64_t flow_hash(const uint64_t word[5], const uint64_t seed[BH_SEEDS])
{
	uint64_t sum = 0;

	for (int i = 0; i < 5; i++)
		sum = bh_flow_add(sum, word[i], seed[i]);
	return bh_flow_finish(sum, seed[BH_SEEDS - 1]);
}

/* Whoever knows no seed cannot tell which change of a few bits, wherever they are, keeps the bucket. */
Test(tables, no_difference_of_two_keys_collides_under_many_seeds)
{
	enum { SEEDS = 400, CHANGES = 4000, BUCKETS = 1024 };
	struct rng rng = {3};
	uint64_t seeds[SEEDS][BH_SEEDS];
	uint32_t most = 0, all = 0;

	for (int i = 0; i < SEEDS * BH_SEEDS; i++)
		seeds[i / BH_SEEDS][i % BH_SEEDS] = rng_next(&rng);
	for (int change = 0; change < CHANGES; change++) {
		const uint64_t one[5] = {rng_next(&rng), rng_next(&rng), rng_next(&rng),
					 rng_next(&rng), rng_next(&rng) >> 24};
		uint64_t other[5] = {one[0], one[1], one[2], one[3], one[4]};
		uint32_t same = 0;

		/* Bits at the ends of halves first: their carries go nowhere. */
		for (uint32_t i = 0; i < 2 + rng_below(&rng, 4); i++)
			other[rng_below(&rng, 4)] ^=
				1ULL << (rng_chance(&rng, 70) ? 31 + rng_below(&rng, 2) * 32
							      : rng_below(&rng, 64));
		if (memcmp(one, other, sizeof(one)) == 0)
			continue;
		for (int i = 0; i < SEEDS; i++) {
			uint64_t differ = flow_hash(one, seeds[i]) ^ flow_hash(other, seeds[i]);

			cr_assert_neq(differ, 0);
			same += differ % BUCKETS == 0;
		}
		most = same > most ? same : most;
		all += same;
	}
	/* By chance 0.4 each, and in 4,000 trials seldom more than 5. */
	cr_assert_lt(most, 9);
	cr_assert_lt(all, CHANGES);
}

Test(tables, too_many_own_addresses_are_refused_with_the_arithmetic)
{
	enum { N = BH_SELF_BUCKETS * BH_SELF_WAYS + 1 };
	scoped(diag_free) struct diag *diag = diag_new();
	scoped(free) struct addr *addresses = mem_calloc(N, sizeof(*addresses));
	static struct bh_self self;
	char expected[16];
	size_t n = 0;

	make_addresses(addresses, N);
	cr_assert_eq(tables_make_self(addresses, N, diag, &self), -E2BIG);
	(void)snprintf(expected, sizeof(expected), "%d own", N);
	cr_assert(strstr(diag_messages(diag, &n)[0].text, expected));
}

Test(tables, every_link_is_in_the_slot_that_its_number_hashes_to)
{
	struct store_link links[TABLES_LINKS_MAX];

	for (uint32_t round = 0; round < 50; round++) {
		struct bh_links table;
		uint32_t filled = 0;

		for (uint32_t i = 0; i < TABLES_LINKS_MAX; i++)
			links[i] = (struct store_link){
				.number = 1 + i % (BH_LINKS - 1),
				.ifindex = 2 + i * (1 + round * 977),
			};
		tables_make_links(links, TABLES_LINKS_MAX, &table);
		for (uint32_t i = 0; i < TABLES_LINKS_MAX; i++) {
			uint32_t slot = (links[i].ifindex * table.multiplier) >> 24;

			cr_assert_eq(table.slot[slot].ifindex, links[i].ifindex);
			cr_assert_eq(table.slot[slot].number, links[i].number);
		}
		for (uint32_t i = 0; i < BH_LINK_SLOTS; i++)
			filled += table.slot[i].ifindex != 0;
		cr_assert_eq(filled, TABLES_LINKS_MAX);
	}
}

Test(tables, the_state_takes_the_pages_up_to_the_end_of_its_last_table)
{
	struct bh_config config = {};
	const uint32_t per_page4 = BH_STATE_PAGE_SIZE / BH_BUCKET4_SIZE;
	const uint32_t per_page6 = BH_STATE_PAGE_SIZE / BH_BUCKET6_SIZE;

	cr_assert_eq(tables_state_pages(&config), 1, "a bucket needs a page");
	config.tables[BH_TABLE_ESTABLISHED4].mask = 4 * per_page4 - 1;
	cr_assert_eq(tables_state_pages(&config), 4);
	config.tables[BH_TABLE_ESTABLISHED4].mask = 4 * per_page4;
	cr_assert_eq(tables_state_pages(&config), 5, "part of a page is a page");
	config.tables[BH_TABLE_FRAGMENTS].first_page = 7;
	config.tables[BH_TABLE_FRAGMENTS].mask = 2 * per_page6 - 1;
	cr_assert_eq(tables_state_pages(&config), 9);
}
