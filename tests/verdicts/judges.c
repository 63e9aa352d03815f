// SPDX-License-Identifier: GPL-2.0-only
/*
 * All judges, the loaded programs too, over the same packets:
 *
 *	judges tables FOLDER				the verdict tables of a folder
 *	judges random SEED N_POLICIES N_PACKETS		random policies, the structures of the image in turn
 *	judges large SEED N_RULES N_PACKETS		a large policy for each structure
 *	judges nft-tables FOLDER			nftables alone before the tables
 *	judges nft SEED N_POLICIES N_PACKETS FOLDER	nftables against the plain loop; with
 *							BULKHEAD_LONG=1 10,000 policies, and a difference
 *							becomes a case in the folder
 *	judges nft-wrong				that a ruleset with a mistake is found out, and
 *							the difference kept as a case that shows it
 */
#include <ftw.h>
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
			"       judges nft SEED N_POLICIES N_PACKETS FOLDER\n"
			"       judges nft-wrong\n");
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

static int compare_nft(const struct random_run *run)
{
	const struct judge judges[] = {{.name = "eval", .judge = judge_by_eval}, judge_nft};

	return random_compare(run, judges, ARRAY_LEN(judges));
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	(void)stat;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* What is found is told on stderr: it is not this test's result. */
static bool finds_the_mistake(char *dir)
{
	const struct random_run run = {
		.first_seed = 1, .n_policies = 10, .n_packets = 50, .keep = dir};
	int home = dup(STDOUT_FILENO);
	bool found, shown, gone;

	(void)fflush(stdout);
	if (home < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		return false;
	judge_nft_fault(NFT_LAST_PORT);
	found = compare_nft(&run) == 1;
	shown = tables_run(dir, &judge_nft, 1) == 1;
	judge_nft_fault(NFT_FAITHFUL);
	gone = tables_run(dir, &judge_nft, 1) == 0;
	(void)fflush(stdout);
	(void)dup2(home, STDOUT_FILENO);
	(void)close(home);
	return found && shown && gone;
}

static int run_wrong(void)
{
	char dir[] = "/tmp/bh-judges-XXXXXX";
	bool ok = mkdtemp(dir) && finds_the_mistake(dir);

	(void)nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	printf("1..1\n%s 1 - a mistake of the ruleset is found, made small and kept as a case\n",
	       ok ? "ok" : "not ok");
	return ok ? 0 : 1;
}

static int run_nft(int argc, char **argv)
{
	const char *missing = judge_nft_missing();
	struct random_run random = {};

	if (missing) {
		printf("1..0 # SKIP %s\n", missing);
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "nft-tables"))
		return tables_run(argv[2], &judge_nft, 1);
	if (argc == 2 && !strcmp(argv[1], "nft-wrong"))
		return run_wrong();
	if (argc != 6)
		return usage();
	random.first_seed = strtoull(argv[2], NULL, 10);
	random.n_policies = is_long() ? LONG_POLICIES : strtoul(argv[3], NULL, 10);
	random.n_packets = strtoul(argv[4], NULL, 10);
	random.keep = is_long() ? argv[5] : NULL;
	return compare_nft(&random);
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
