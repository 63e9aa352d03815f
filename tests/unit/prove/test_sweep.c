// SPDX-License-Identifier: GPL-2.0-only
/* What the proof stands on: sets, records kept once, segments of a line. */
#include <criterion/criterion.h>

#include "prove/set.h"
#include "prove/sweep.h"

Test(set, what_is_emptied_is_from_one_number_up_to_another)
{
	static const size_t edges[] = {0, 1, 63, 64, 65, 127, 128, 130, 191, 192};

	for (size_t f = 0; f < ARRAY_LEN(edges); f++)
		for (size_t e = 0; e < ARRAY_LEN(edges); e++) {
			uint64_t set[4] = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};

			set_empty(set, edges[f], edges[e]);
			for (size_t i = 0; i < 256; i++)
				cr_assert_eq(set_has(set, i), i < edges[f] || i >= edges[e],
					     "%zu of %zu to %zu", i, edges[f], edges[e]);
		}
}

Test(set, the_next_number_is_found_below_the_end_alone)
{
	uint64_t set[3] = {};

	cr_assert_eq(set_next(set, 0, 192), 192);
	set_put(set, 0, true);
	set_put(set, 130, true);
	cr_assert_eq(set_next(set, 0, 192), 0);
	cr_assert_eq(set_next(set, 1, 192), 130);
	cr_assert_eq(set_next(set, 130, 192), 130);
	cr_assert_eq(set_next(set, 1, 130), 130);
	cr_assert_eq(set_next(set, 131, 192), 192);
	set_put(set, 130, false);
	cr_assert_eq(set_next(set, 1, 192), 192);
}

Test(pool, equal_records_have_one_number_however_many_there_are)
{
	scoped(pool_free) struct pool *pool = pool_new(2);

	for (int pass = 0; pass < 2; pass++)
		for (uint64_t i = 0; i < 5000; i++) {
			uint64_t record[2] = {i % 70, i / 70};

			cr_assert_eq(pool_put(pool, record), i);
		}
	cr_assert_eq(pool->len, 5000);
	cr_assert_eq(pool_at(pool, 71)[0], 1);
	cr_assert_eq(pool_at(pool, 71)[1], 1);
}

Test(sweep, segments_are_where_members_begin_and_end)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(pool_free) struct pool *members = pool_new(set_words(3));
	struct sweep sweep = {.last = 65535};
	struct segments segments;
	static const struct {
		uint32_t first;
		uint64_t members;
	} expected[] = {{0, 0}, {10, 1}, {20, 3}, {21, 1}, {30, 1}, {40, 0}, {65535, 4}};

	sweep_add(arena, &sweep, 65535, 65535, 2);
	sweep_add(arena, &sweep, 30, 39, 0);
	sweep_add(arena, &sweep, 10, 29, 0);
	sweep_add(arena, &sweep, 20, 20, 1);
	segments = sweep_segments(arena, &sweep, members);
	cr_assert_eq(segments.len, ARRAY_LEN(expected));
	for (size_t i = 0; i < segments.len; i++) {
		cr_assert_eq((uint32_t)segments.at[i].first, expected[i].first);
		cr_assert_eq(pool_at(members, segments.at[i].members)[0], expected[i].members);
	}
}

Test(sweep, the_ends_of_all_ipv6_are_ends)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(pool_free) struct pool *members = pool_new(set_words(1));
	line_number end = ~(line_number)0;
	struct sweep sweep = {.last = end};
	struct segments segments;

	sweep_add(arena, &sweep, 0, 0, 0);
	sweep_add(arena, &sweep, end, end, 0);
	segments = sweep_segments(arena, &sweep, members);
	cr_assert_eq(segments.len, 3);
	cr_assert(segments.at[0].first == 0 && segments.at[1].first == 1 &&
		  segments.at[2].first == end);
	cr_assert_eq(segments.at[0].members, segments.at[2].members);
}
