/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A difference made small: a random policy and a packet become fewer rules, simpler rules and a
 * plainer packet over which the judges still differ, and then files of tests/verdicts.
 */
#ifndef TESTS_SHRINK_H
#define TESTS_SHRINK_H

#include "tests/lib/random_policy.h"

struct shrink_case {
	struct random_policy policy;
	struct tuple tuple;
};

/* Whether the judges still differ; false also when the policy is one that resolve refuses. */
typedef bool shrink_differs_fn(void *context, const struct shrink_case *candidate);

/*
 * Takes away and simplifies one thing after the other for as long as the judges differ, until nothing
 * more can go. What *at held before is left as it was.
 */
void shrink(struct arena *arena, struct shrink_case *at, shrink_differs_fn *differs, void *context);

/*
 * Writes the folder DIR/NAME with a file for each of the policy, DIR/NAME.host.yaml and
 * DIR/NAME.table, whose one row expects the verdict: a regression case as load_files reads it. policy
 * is the case's, resolved; note stands over the row. 0, or a negative errno.
 */
int shrink_keep(const struct shrink_case *kept, const struct policy *policy,
		const struct verdict *verdict, const char *dir, const char *name, const char *note);

#endif
