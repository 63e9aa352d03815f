// SPDX-License-Identifier: GPL-2.0-only
/* Tables before judges. */
#include "tests/lib/tables.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/policy_text.h"

struct run {
	unsigned n_done;
	unsigned n_failed;
};

static void result(struct run *run, bool ok, const char *table, const char *judge)
{
	run->n_done++;
	run->n_failed += !ok;
	printf("%s %u - %s, %s\n", ok ? "ok" : "not ok", run->n_done, table, judge);
}

/* Each line as a remark of TAP. */
static void remark(const char *text)
{
	struct str rest = str_of(text), line;

	while (str_cut(rest, '\n', &line, &rest))
		printf("# " STR_FMT "\n", STR_ARG(line));
	if (rest.len)
		printf("# " STR_FMT "\n", STR_ARG(rest));
}

static bool judge_row(const struct loaded *loaded, const struct table_row *row,
		      const struct judge *judge)
{
	struct verdict verdict = {}, expected = {
					     .allow = row->allow,
					     .reason = row->reason,
					     .outcome.rule = row->rule,
				     };
	struct addr one;
	addr_list self = table_self(&loaded->table, row, &one);
	char packet[TUPLE_TEXT_SIZE];
	int err = judge->judge(&loaded->policy, &row->tuple, &self, &verdict);

	if (!err && table_row_agrees(row, &verdict))
		return true;
	printf("# %s:%u: %s\n", row->mark.source->path, row->mark.line,
	       tuple_print(&row->tuple, packet));
	if (err)
		printf("#   %s cannot judge it: %s\n", judge->name, strerror(-err));
	else
		printf("#   expected %s, %s says %s\n",
		       verdict_text(loaded->arena, &loaded->policy, &expected), judge->name,
		       verdict_text(loaded->arena, &loaded->policy, &verdict));
	if (judge->detail)
		printf("#     %s\n", judge->detail());
	return false;
}

static bool judge_table(const struct loaded *loaded, const struct judge *judge)
{
	bool ok = !judge->prepare || !judge->prepare(&loaded->policy);

	if (!ok)
		printf("# %s cannot prepare the policy\n", judge->name);
	for (size_t i = 0; ok && i < loaded->table.rows.len; i++)
		ok = judge_row(loaded, &loaded->table.rows.at[i], judge);
	return ok;
}

static void run_table(struct run *run, const char *dir, const char *name,
		      const struct judge *judges, size_t n_judges)
{
	struct loaded loaded;

	load_files(&loaded, dir, name);
	if (loaded.err)
		remark(loaded.messages);
	for (size_t i = 0; i < n_judges; i++)
		result(run, !loaded.err && judge_table(&loaded, &judges[i]), name, judges[i].name);
	unload(&loaded);
}

static int is_table(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return dot && !strcmp(dot, ".table");
}

int tables_run(const char *dir, const struct judge *judges, size_t n_judges)
{
	struct run run = {};
	struct dirent **entries = NULL;
	int n = scandir(dir, &entries, is_table, alphasort);

	for (int i = 0; i < n; i++) {
		entries[i]->d_name[strlen(entries[i]->d_name) - strlen(".table")] = '\0';
		run_table(&run, dir, entries[i]->d_name, judges, n_judges);
		free(entries[i]);
	}
	free(entries);
	if (n <= 0)
		result(&run, false, "no tables in the folder", dir);
	printf("1..%u\n", run.n_done);
	return run.n_failed ? 1 : 0;
}
