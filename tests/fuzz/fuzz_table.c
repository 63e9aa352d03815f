// SPDX-License-Identifier: GPL-2.0-only
/* A verdict table, bound to a policy and judged; each packet that is read is printed and read back. */
#include "policy/parse.h"
#include "policy/resolve.h"
#include "policy/table.h"
#include "tests/fuzz/fuzz.h"

static const char policy_text[] = "bulkhead: 1\n"
				  "group: web\n"
				  "rules:\n"
				  "  - {name: web, priority: 100, direction: inbound,\n"
				  "     access: allow, services: [tcp/443, icmp/8], source: any,\n"
				  "     destination: self}\n";

static void load(struct arena *arena, struct diag *diag, struct policy *policy)
{
	struct ast_file *tree = arena_alloc(arena, sizeof(*tree));
	struct hostconf host;

	hostconf_init(&host);
	fuzz_demand(!parse(
		arena, fuzz_source(arena, (const uint8_t *)policy_text, sizeof(policy_text) - 1),
		diag, tree));
	fuzz_demand(!resolve(arena, &tree, 1, &host, diag, policy));
}

static void judge(const struct policy *policy, const struct table *table, struct diag *diag)
{
	for (size_t i = 0; i < table->rows.len; i++) {
		const struct table_row *row = &table->rows.at[i];
		char text[TUPLE_TEXT_SIZE];
		struct addr one;
		addr_list self = table_self(table, row, &one);
		struct verdict verdict = eval(policy, &row->tuple, &self);
		struct tuple again;

		(void)table_row_agrees(row, &verdict);
		fuzz_demand(!tuple_parse(str_of(tuple_print(&row->tuple, text)),
					 (struct mark){.column = 1}, diag, &again));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	struct policy policy;
	struct table table;
	int err;

	load(arena, diag, &policy);
	err = table_parse(arena, fuzz_source(arena, data, size), diag, &table);
	if (!err)
		err = table_bind(arena, &policy, &table, diag);
	if (!err)
		judge(&policy, &table, diag);
	fuzz_tell(diag, err);
	return 0;
}
