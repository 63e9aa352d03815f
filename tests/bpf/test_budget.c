// SPDX-License-Identifier: GPL-2.0-only
/* What the verifier has to look at, held to a number: raising it is a line in a diff. */
#include <criterion/criterion.h>

#include "tests/lib/enforcer.h"

enum { BUDGET = 100000 };

Test(budget, no_program_costs_the_verifier_more_than_its_budget)
{
	static const char *const names[] = {"bh_xdp", "bh_xdp_frags", "bh_tc_in", "bh_tc_out"};

	if (!enforcer_is_possible())
		cr_skip_test("loading programs needs root");
	scoped(enforcer_free) struct enforcer *enforcer = enforcer_new();

	for (int program = 0; program < ENFORCER_PROGRAM_COUNT; program++) {
		uint32_t n;

		if (!enforcer_has(enforcer, program))
			continue;
		n = enforcer_instructions(enforcer, program);
		cr_log_info("%s: %u verified instructions", names[program], n);
		cr_assert(n, "%s: the kernel does not tell", names[program]);
		cr_assert(n <= BUDGET, "%s: %u verified instructions, allowed are %d",
			  names[program], n, BUDGET);
	}
}
