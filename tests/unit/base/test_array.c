// SPDX-License-Identifier: GPL-2.0-only
/* Growing arrays: order, zeroes, and that the old elements come along. */
#include <criterion/criterion.h>

#include "base/array.h"

struct element {
	int number;
	const char *text;
};

Test(array, elements_stay_in_order_however_many_there_are)
{
	enum { N = 10000 };
	scoped(arena_free) struct arena *arena = arena_new();
	ARRAY(struct element) array = {};

	for (int i = 0; i < N; i++)
		array_push(arena, &array, (struct element){.number = i, .text = "x"});
	cr_assert_eq(array.len, N);
	cr_assert_geq(array.room, array.len);
	for (int i = 0; i < N; i++)
		cr_assert_eq(array.at[i].number, i);
	cr_assert_eq(array_last(&array)->number, N - 1);
}

Test(array, an_added_element_is_zeroed)
{
	scoped(arena_free) struct arena *arena = arena_new();
	ARRAY(struct element) array = {};

	for (int i = 0; i < 100; i++) {
		struct element *added = array_add(arena, &array);

		cr_assert(added->number == 0 && added->text == NULL, "element %d", i);
		cr_assert_eq(added, array_last(&array));
		*added = (struct element){.number = 77, .text = "used"};
	}
}

Test(array, arrays_on_one_arena_do_not_mix)
{
	scoped(arena_free) struct arena *arena = arena_new();
	ARRAY(int) odd = {};
	ARRAY(int) even = {};

	for (int i = 0; i < 1000; i++) {
		if (i % 2)
			array_push(arena, &odd, i);
		else
			array_push(arena, &even, i);
	}
	for (int i = 0; i < 500; i++) {
		cr_assert_eq(even.at[i], 2 * i);
		cr_assert_eq(odd.at[i], 2 * i + 1);
	}
}

Test(array, the_length_of_a_fixed_one_is_that_of_its_elements)
{
	const struct element fixed[7] = {};

	cr_assert_eq(ARRAY_LEN(fixed), 7);
}

Test(array, room_that_is_reserved_is_exactly_that)
{
	scoped(arena_free) struct arena *arena = arena_new();
	ARRAY(struct element) array = {};
	const struct element *first;

	array_reserve(arena, &array, 3);
	cr_assert_eq(array.room, 3);
	cr_assert_eq(array.len, 0);
	array_push(arena, &array, (struct element){.number = 1});
	first = array.at;
	array_push(arena, &array, (struct element){.number = 2});
	array_reserve(arena, &array, 2);
	cr_assert_eq(array.at, first);
	array_reserve(arena, &array, 5000);
	cr_assert_eq(array.room, 5000);
	cr_assert(array.at[0].number == 1 && array.at[1].number == 2);
}

Test(array, an_element_is_zeroed_where_another_was)
{
	scoped(arena_free) struct arena *arena = arena_new();
	ARRAY(struct element) array = {};

	array_push(arena, &array, (struct element){.number = 77, .text = "used"});
	array.len = 0;
	cr_assert_null(array_add(arena, &array)->text);
}
