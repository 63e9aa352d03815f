// SPDX-License-Identifier: GPL-2.0-only
/*
 * The verdict tables of a folder before every judge that needs no root: the plain loop, and the
 * image in each structure that it can have.
 */
#include "tests/lib/tables.h"

#include <stdio.h>

#include "tests/lib/judge_lookup.h"

int main(int argc, char **argv)
{
	struct judge judges[2 + JUDGES_LOOKUP_FORCED] = {
		{.name = "eval", .judge = judge_by_eval},
		judge_lookup,
	};

	if (argc != 2) {
		fprintf(stderr, "usage: tables FOLDER\n");
		return 2;
	}
	for (size_t i = 0; i < JUDGES_LOOKUP_FORCED; i++)
		judges[2 + i] = judges_lookup_forced[i];
	return tables_run(argv[1], judges, ARRAY_LEN(judges));
}
