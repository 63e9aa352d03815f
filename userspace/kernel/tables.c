// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/tables.h"

#include <errno.h>

enum { SELF_TRIES = 20000 };

/* A walk over all odd numbers; where it starts is no secret. */
static uint64_t next_seed(uint64_t seed)
{
	return (seed * 6364136223846793005U + 1442695040888963407U) | 1;
}

static void halves(const struct addr *addr, uint64_t half[2])
{
	uint8_t bytes[16] = {};

	if (addr->family == ADDR_V4) {
		bytes[10] = 0xff;
		bytes[11] = 0xff;
		memcpy(bytes + 12, addr->bytes, 4);
	} else {
		memcpy(bytes, addr->bytes, sizeof(bytes));
	}
	memcpy(half, bytes, sizeof(bytes));
}

static bool place(struct bh_self *self, const struct addr *addr)
{
	uint64_t half[2];
	uint32_t bucket;

	halves(addr, half);
	bucket = bh_self_hash(half[0], half[1], self->seed) & (BH_SELF_BUCKETS - 1);
	for (int i = 0; i < BH_SELF_WAYS; i++) {
		__u64 *way = self->way[bucket][i];

		if (way[0] || way[1])
			continue;
		way[0] = half[0];
		way[1] = half[1];
		return true;
	}
	return false;
}

int tables_make_self(const struct addr *addresses, size_t n, struct diag *diag,
		     struct bh_self *ret_self)
{
	uint64_t seed = next_seed(n);

	for (int try = 0; try < SELF_TRIES; try++, seed = next_seed(seed)) {
		size_t done = 0;

		memset(ret_self, 0, sizeof(*ret_self));
		ret_self->seed = seed;
		ret_self->n = (uint32_t)n;
		while (done < n && place(ret_self, &addresses[done]))
			done++;
		if (done == n)
			return 0;
	}
	return diag_refuse(diag, -E2BIG,
			   "%zu own addresses are too many for the table of %d by %d; about %d fit",
			   n, BH_SELF_BUCKETS, BH_SELF_WAYS, BH_SELF_BUCKETS);
}

static int compare_ranges(const void *a, const void *b)
{
	const struct addr_range *left = a;
	const struct addr_range *right = b;

	return addr_compare(&left->first, &right->first);
}

void tables_read_self(const struct bh_self *self, struct arena *arena, addr_ranges *ret_addresses)
{
	addr_ranges found = {};

	for (size_t i = 0; i < (size_t)BH_SELF_BUCKETS * BH_SELF_WAYS; i++) {
		const __u64 *way = self->way[i / BH_SELF_WAYS][i % BH_SELF_WAYS];
		struct addr addr = {.family = ADDR_V6};

		if (!way[0] && !way[1])
			continue;
		memcpy(addr.bytes, way, sizeof(addr.bytes));
		addr_unmap(&addr);
		array_push(arena, &found, (struct addr_range){addr, addr});
	}
	if (found.len)
		qsort(found.at, found.len, sizeof(*found.at), compare_ranges);
	*ret_addresses = found;
}

/* With 31 links of 256 slots about one multiplier in six will do, with 62 one in two thousand. */
void tables_make_links(const struct store_link *links, size_t n, struct bh_links *ret_links)
{
	uint64_t seed = next_seed(n);
	size_t done = 0;

	do {
		seed = next_seed(seed);
		memset(ret_links, 0, sizeof(*ret_links));
		ret_links->multiplier = (uint32_t)(seed >> 32) | 1;
		for (done = 0; done < n; done++) {
			uint32_t slot = (links[done].ifindex * ret_links->multiplier) >> 24;

			if (ret_links->slot[slot].ifindex)
				break;
			ret_links->slot[slot] = (struct bh_link){
				.ifindex = links[done].ifindex,
				.number = (uint16_t)links[done].number,
			};
		}
	} while (done < n);
}

uint32_t tables_way_size(enum bh_table table)
{
	switch (table) {
	case BH_TABLE_HALF_OPEN4:
	case BH_TABLE_ESTABLISHED4:
		return BH_WAY4_SIZE;
	case BH_TABLE_HALF_OPEN6:
	case BH_TABLE_ESTABLISHED6:
	case BH_TABLE_FRAGMENTS:
	case BH_TABLE_COUNT:
		break;
	}
	return BH_WAY6_SIZE;
}

uint32_t tables_bucket_size(enum bh_table table)
{
	return BH_WAYS * tables_way_size(table);
}

uint32_t tables_state_pages(const struct bh_config *config)
{
	uint32_t end = 0;

	for (int i = 0; i < BH_TABLE_COUNT; i++) {
		const struct bh_table_place *place_of = &config->tables[i];
		uint64_t bytes =
			((uint64_t)place_of->mask + 1) * tables_bucket_size((enum bh_table)i);
		uint32_t pages = (uint32_t)((bytes + BH_STATE_PAGE_SIZE - 1) / BH_STATE_PAGE_SIZE);

		if (place_of->first_page + pages > end)
			end = place_of->first_page + pages;
	}
	return end;
}
