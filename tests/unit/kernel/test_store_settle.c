// SPDX-License-Identifier: GPL-2.0-only
/* The record and the kernel: who is believed about what is in force, and where. */
#include <criterion/criterion.h>
#include <errno.h>

#include "kernel/store.h"
#include "tests/unit/kernel/state.h"

Test(store, a_flip_that_came_to_pass_moves_the_record_on)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct store_record record = {.current = generation(4), .since = 1000};

	record.next = generation(5);
	record.next.applied = 0;
	store_settle(&record, arena, 5, 2000);
	cr_assert_eq(record.current.generation, 5);
	cr_assert_eq(record.current.applied, 2000);
	cr_assert_eq(record.next.generation, 0);
	cr_assert_eq(record.history.len, 1);
	cr_assert_eq(record.history.at[0].generation, 4);
	cr_assert_eq(record.since, 1000, "enforcing went on");
	cr_assert_eq(record.last, 5);
}

Test(store, a_flip_that_did_not_come_to_pass_leaves_what_was)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct store_record record = {.current = generation(4), .since = 1000, .last = 5};

	record.next = generation(5);
	store_settle(&record, arena, 4, 2000);
	cr_assert_eq(record.current.generation, 4);
	cr_assert_eq(record.next.generation, 0);
	cr_assert_eq(record.history.len, 0);
	cr_assert_eq(record.last, 5, "the number is not handed out again");
}

Test(store, what_the_kernel_enforces_and_nobody_wrote_down_is_known_by_its_number)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct store_record record = {.current = generation(4)};

	store_settle(&record, arena, 9, 2000);
	cr_assert_eq(record.current.generation, 9);
	cr_assert_eq(record.current.applied, 2000);
	cr_assert_eq(record.current.n_rows, 0);
	cr_assert_eq(record.last, 9);
}

Test(store, a_generation_that_a_dead_detach_has_closed_is_known_again)
{
	scoped(arena_free) struct arena *arena = arena_new();
	const struct store_generation expected = generation(4);
	struct store_record record = {.current = expected, .since = 1000, .last = 4};

	array_push(arena, &record.history, generation(3));
	store_settle(&record, arena, 0, 2000);
	store_settle(&record, arena, 4, 3000);
	cr_assert_eq(memcmp(&record.current, &expected, sizeof(expected)), 0);
	cr_assert_eq(record.history.len, 1);
	cr_assert_eq(record.history.at[0].generation, 3);
	cr_assert_eq(record.since, expected.applied);
}

Test(store, nothing_in_force_is_an_end_of_enforcing)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct store_record record = {.current = generation(4), .since = 1000, .last = 4};

	store_settle(&record, arena, 0, 2000);
	cr_assert_eq(record.current.generation, 0);
	cr_assert_eq(record.since, 0);
	cr_assert_eq(record.history.len, 1);
	cr_assert_eq(record.last, 4);
	record.next = generation(5);
	store_settle(&record, arena, 5, 3000);
	cr_assert_eq(record.since, record.current.applied);
	cr_assert_eq(record.history.len, 1);
}

Test(store, the_last_ten_generations_are_remembered_newest_first)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct store_record record = {};

	for (uint64_t i = 1; i <= 25; i++) {
		record.next = generation(i);
		store_settle(&record, arena, i, i);
	}
	cr_assert_eq(record.current.generation, 25);
	cr_assert_eq(record.history.len, STORE_HISTORY);
	for (uint64_t i = 0; i < STORE_HISTORY; i++)
		cr_assert_eq(record.history.at[i].generation, 24 - i);
}

/* ---- the namespace ---- */

Test(store, a_record_of_another_network_namespace_is_refused_unless_it_is_of_another_boot)
{
	struct store_record record = {.netns_device = 4, .netns_inode = 1000};
	struct at at;

	at_init(&at);
	record.boot = store_boot(at.arena);
	cr_assert_neq(record.boot[0], '\0');
	cr_assert_eq(store_check_netns(at.store, &record, 4, 1000, at.diag), 0);
	cr_assert_eq(store_check_netns(at.store, &record, 4, 1001, at.diag), -EXDEV);
	cr_assert(strstr(words(at.diag), "belongs to network namespace 1000, and this is 1001"));
	cr_assert_eq(store_check_netns(at.store, &record, 5, 1000, at.diag), -EXDEV);
	record.boot = "another";
	cr_assert_eq(store_check_netns(at.store, &record, 4, 1001, at.diag), 0);
	record = (struct store_record){.boot = "", .pins = ""};
	cr_assert_eq(store_check_netns(at.store, &record, 4, 1001, at.diag), 0);
	at_fini(&at);
}
