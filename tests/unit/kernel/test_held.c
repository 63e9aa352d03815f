// SPDX-License-Identifier: GPL-2.0-only
/* What was opened by its id is found by it, and closed in the end. */
#include <criterion/criterion.h>
#include <fcntl.h>

#include "base/array.h"
#include "kernel/held.h"

static int some_fd(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

Test(held, maps_are_found_by_their_ids_in_whatever_order_they_came)
{
	static const uint32_t ids[] = {7, 3, 9, 1, 8, UINT32_MAX, 4};
	scoped(held_free) struct held *held = held_new();
	int fds[ARRAY_LEN(ids)];

	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		cr_assert_eq(held_map(held, ids[i]), -1);
		fds[i] = some_fd();
		cr_assert_geq(fds[i], 0);
		held_add_map(held, ids[i], fds[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		cr_assert_eq(held_map(held, ids[i]), fds[i], "id %u", ids[i]);
	cr_assert_eq(held_map(held, 0), -1);
	cr_assert_eq(held_map(held, 5), -1);
}

Test(held, links_come_back_in_their_order)
{
	scoped(held_free) struct held *held = held_new();
	int first = some_fd();
	int second = some_fd();

	cr_assert_eq(held_link(held, 0), -1);
	held_add_link(held, first);
	held_add_link(held, second);
	cr_assert_eq(held_link(held, 0), first);
	cr_assert_eq(held_link(held, 1), second);
	cr_assert_eq(held_link(held, 2), -1);
}

Test(held, a_program_without_a_name_has_an_empty_one)
{
	scoped(held_free) struct held *held = held_new();

	held_add_name(held, 12, "bh_xdp");
	cr_assert_str_eq(held_name(held, 12), "bh_xdp");
	cr_assert_str_eq(held_name(held, 13), "");
}

Test(held, everything_is_closed_in_the_end)
{
	struct held *held = held_new();
	int map = some_fd();
	int link = some_fd();

	held_add_map(held, 5, map);
	held_add_link(held, link);
	held_free(held);
	cr_assert_eq(fcntl(map, F_GETFD), -1);
	cr_assert_eq(fcntl(link, F_GETFD), -1);
}
