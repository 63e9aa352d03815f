// SPDX-License-Identifier: GPL-2.0-only
/*
 * reader-cost policy|host|table FILE: reads it, tells its mistakes to nowhere, and prints the
 * most memory that was resident so far (KB), the processor time (ms), and what reading returned; for a
 * policy that was read a second line of the same, after it has been resolved.
 */
#include <string.h>
#include <time.h>

#include "policy/parse.h"
#include "policy/resolve.h"
#include "policy/source.h"
#include "policy/table.h"
#include "tests/fuzz/fuzz.h"

static unsigned long resident_kb(void)
{
	scoped(fclose) FILE *in = fopen("/proc/self/status", "re");
	unsigned long kb = 0;
	char line[256];

	fuzz_demand(in);
	while (fgets(line, sizeof(line), in))
		if (!strncmp(line, "VmHWM:", 6))
			kb = strtoul(line + 6, NULL, 10);
	return kb;
}

static void report(int err)
{
	printf("%lu %ld %d\n", resident_kb(), (long)(clock() * 1000 / CLOCKS_PER_SEC), err);
}

static void read_policy(struct arena *arena, const struct source *source, struct diag *diag)
{
	struct ast_file *tree = arena_alloc(arena, sizeof(*tree));
	struct hostconf host;
	struct policy policy;
	int err = parse(arena, source, diag, tree);

	hostconf_init(&host);
	fuzz_tell(diag, err);
	report(err);
	if (err)
		return;
	err = resolve(arena, &tree, 1, &host, diag, &policy);
	fuzz_tell(diag, err);
	report(err);
}

static void read_host(struct arena *arena, const struct source *source, struct diag *diag)
{
	struct hostconf host;
	int err = hostconf_parse(arena, source, diag, &host);

	fuzz_tell(diag, err);
	report(err);
}

static void read_table(struct arena *arena, const struct source *source, struct diag *diag)
{
	struct table table;
	int err = table_parse(arena, source, diag, &table);

	fuzz_tell(diag, err);
	report(err);
}

int main(int argc, char **argv)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	source_files files = {};

	if (argc != 3 || source_open(arena, argv[2], diag, &files)) {
		fprintf(stderr, "usage: reader-cost policy|host|table FILE\n");
		return 2;
	}
	if (!strcmp(argv[1], "policy"))
		read_policy(arena, &files.at[0]->source, diag);
	else if (!strcmp(argv[1], "host"))
		read_host(arena, &files.at[0]->source, diag);
	else
		read_table(arena, &files.at[0]->source, diag);
	return 0;
}
