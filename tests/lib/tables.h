/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Verdict tables and random policies before any number of judges. Prints TAP to stdout: one
 * result for each table and judge, or for each batch of random policies.
 */
#ifndef TESTS_TABLES_H
#define TESTS_TABLES_H

#include "tests/lib/judges.h"

/*
 * Every NAME.table of the folder before every judge; 0 when all agree with all rows, else 1. A
 * table that cannot be loaded is a failure, and so is a folder without tables.
 */
int tables_run(const char *dir, const struct judge *judges, size_t n_judges);

/* Seeds from first on; each judge behind the first is compared with the first. */
struct random_run {
	uint64_t first_seed;
	uint32_t n_policies;
	uint32_t n_packets; /* for each policy */
	uint32_t n_rules;   /* of random_nsg_policy; 0: random_policy */
	const char *keep;   /* the folder for regression cases; NULL: none are written */
};

/*
 * 0 when all judges agree on every packet. The first difference of a policy is told, made small
 * (tests/lib/shrink.h) and told again, with the policy as YAML; with keep it becomes the case
 * found-SEED there. It stops after ten of them.
 */
int random_compare(const struct random_run *run, const struct judge *judges, size_t n_judges);

#endif
