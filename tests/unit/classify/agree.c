// SPDX-License-Identifier: GPL-2.0-only
/*
 * agree SEED N_POLICIES N_PACKETS: the plain loop and the image, in each structure that it can have,
 * over the same random policies and packets.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/judge_lookup.h"
#include "tests/lib/tables.h"

int main(int argc, char **argv)
{
	struct judge judges[2 + JUDGES_LOOKUP_FORCED] = {
		{.name = "eval", .judge = judge_by_eval},
		judge_lookup,
	};
	struct random_run run = {};

	if (argc != 4) {
		fprintf(stderr, "usage: agree SEED N_POLICIES N_PACKETS\n");
		return 2;
	}
	run.first_seed = strtoull(argv[1], NULL, 10);
	run.n_policies = strtoul(argv[2], NULL, 10);
	run.n_packets = strtoul(argv[3], NULL, 10);
	for (size_t i = 0; i < JUDGES_LOOKUP_FORCED; i++)
		judges[2 + i] = judges_lookup_forced[i];
	return random_compare(&run, judges, 2 + JUDGES_LOOKUP_FORCED);
}
