// SPDX-License-Identifier: GPL-2.0-only
/*
 * All judges, the loaded programs too, over the same packets:
 *
 *	judges tables FOLDER				the verdict tables of a folder
 *	judges random SEED N_POLICIES N_PACKETS		random policies, the structures of the image in turn
 *	judges large SEED N_RULES N_PACKETS		a large policy for each structure
 *	judges nft-tables FOLDER			nftables alone before the tables
 *	judges nft SEED N_POLICIES N_PACKETS		nftables against the plain loop; 10,000 policies
 *							with BULKHEAD_LONG=1, whatever N_POLICIES says
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/enforcer.h"
#include "tests/lib/judge_lookup.h"
#include "tests/lib/judge_nft.h"
#include "tests/lib/judge_program.h"
#include "tests/lib/tables.h"

enum { TABLE_DRESSES = 20, LONG_POLICIES = 10000 };

static int usage(void)
{
	fprintf(stderr, "usage: judges tables FOLDER\n"
			"       judges random SEED N_POLICIES N_PACKETS\n"
			"       judges large SEED N_RULES N_PACKETS\n"
			"       judges nft-tables FOLDER\n"
			"       judges nft SEED N_POLICIES N_PACKETS\n");
	return 2;
}

static int run(int argc, char **argv, const struct judge *judges, size_t n_judges)
{
	struct random_run random = {};

	if (argc == 3 && !strcmp(argv[1], "tables")) {
		judge_program_dress(TABLE_DRESSES);
		return tables_run(argv[2], judges, n_judges);
	}
	if (argc != 5)
		return usage();
	random.first_seed = strtoull(argv[2], NULL, 10);
	random.n_packets = strtoul(argv[4], NULL, 10);
	judge_program_dress(1);
	judge_program_force(true);
	if (!strcmp(argv[1], "random")) {
		random.n_policies = strtoul(argv[3], NULL, 10);
	} else if (!strcmp(argv[1], "large")) {
		random.n_policies = JUDGES_LOOKUP_STRUCTURES;
		random.n_rules = strtoul(argv[3], NULL, 10);
	} else {
		return usage();
	}
	return random_compare(&random, judges, n_judges);
}

static bool is_long(void)
{
	const char *value = getenv("BULKHEAD_LONG");

	return value && !strcmp(value, "1");
}

static int run_nft(int argc, char **argv)
{
	const struct judge judges[] = {{.name = "eval", .judge = judge_by_eval}, judge_nft};
	const char *missing = judge_nft_missing();

	if (missing) {
		printf("1..0 # SKIP %s\n", missing);
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "nft-tables"))
		return tables_run(argv[2], &judge_nft, 1);
	if (argc != 5)
		return usage();
	return random_compare(
		&(struct random_run){.first_seed = strtoull(argv[2], NULL, 10),
				     .n_policies =
					     is_long() ? LONG_POLICIES : strtoul(argv[3], NULL, 10),
				     .n_packets = strtoul(argv[4], NULL, 10)},
		judges, ARRAY_LEN(judges));
}

int main(int argc, char **argv)
{
	struct judge judges[2 + JUDGES_PROGRAM_MAX] = {
		{.name = "eval", .judge = judge_by_eval},
		judge_lookup,
	};
	size_t n_judges;
	int status;

	if (!enforcer_is_possible()) {
		printf("1..0 # SKIP loading programs needs root\n");
		return 0;
	}
	if (argc > 1 && !strncmp(argv[1], "nft", 3))
		return run_nft(argc, argv);
	n_judges = 2 + judges_program(judges + 2);
	status = run(argc, argv, judges, n_judges);
	return judge_program_finish() ? status : 1;
}
