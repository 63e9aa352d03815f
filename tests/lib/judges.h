/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The judges of verdict tables and of random policies: each answers, in its own way, what
 * becomes of a packet. They must agree.
 */
#ifndef TESTS_JUDGES_H
#define TESTS_JUDGES_H

#include "policy/eval.h"

/*
 * The verdict on one packet; self is sorted. 0, or a negative errno when the judge cannot
 * judge at all (which fails the test).
 */
typedef int judge_fn(const struct policy *policy, const struct tuple *tuple, const addr_list *self,
		     struct verdict *ret_verdict);

struct judge {
	const char *name;
	/* Called with each new policy before its first packet; NULL: nothing to prepare. */
	int (*prepare)(const struct policy *policy);
	judge_fn *judge;
	/*
	 * How it came to its last verdict, in words, where a difference is told; NULL: nothing to
	 * add.
	 */
	const char *(*detail)(void);
};

/* All that judges have to agree on: of what rules decide, the rule of each tier too. */
bool verdict_same(const struct verdict *a, const struct verdict *b);

/* The plain loop of policy/eval. */
judge_fn judge_by_eval;

#endif
