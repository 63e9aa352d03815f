// SPDX-License-Identifier: GPL-2.0-only
/* The numbers of generations. */
#include <criterion/criterion.h>

#include "kernel/flip.h"

Test(flip, the_first_generation_is_the_first_number)
{
	cr_assert_eq(flip_next(0, 0), 1);
}

Test(flip, a_number_is_never_handed_out_again_and_never_of_the_slot_being_read)
{
	for (uint64_t last = 0; last < 20; last++) {
		for (uint64_t active = 0; active < 20; active++) {
			uint64_t next = flip_next(last, active);

			cr_assert_gt(next, last);
			cr_assert_gt(next, active);
			cr_assert_leq(next, (last > active ? last : active) + 2);
			if (active)
				cr_assert_neq(next & 1, active & 1, "%d %d", (int)last,
					      (int)active);
		}
	}
}
