// SPDX-License-Identifier: GPL-2.0-only
/* The verdict tables of a folder before the plain loop. */
#include "tests/lib/tables.h"

#include <stdio.h>

int main(int argc, char **argv)
{
	static const struct judge judges[] = {{.name = "eval", .judge = judge_by_eval}};

	if (argc != 2) {
		fprintf(stderr, "usage: tables-eval FOLDER\n");
		return 2;
	}
	return tables_run(argv[1], judges, ARRAY_LEN(judges));
}
