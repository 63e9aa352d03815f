// SPDX-License-Identifier: GPL-2.0-only
/* The first judge: the plain loop. */
#include "tests/lib/judges.h"

int judge_by_eval(const struct policy *policy, const struct tuple *tuple, const addr_list *self,
		  struct verdict *ret_verdict)
{
	*ret_verdict = eval(policy, tuple, self);
	return 0;
}
