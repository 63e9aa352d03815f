// SPDX-License-Identifier: GPL-2.0-only
/*
 * docs/datapath.md against the lists in the code: every reason, note, time-out and entry of the
 * never-denied list, each once, in the same order and with the same names and numbers.
 */
#include <criterion/criterion.h>

#include "bpf/abi.h"
#include "policy/hostconf.h"
#include "tests/lib/page.h"

/* What one row must begin with. */
struct expected {
	const char *cell[2];
};

static void table_is(const char *heading, const struct expected *expected, size_t n)
{
	scoped(arena_free) struct arena *arena = arena_new();
	page_rows rows = {};

	cr_assert_eq(page_table(arena, DATAPATH_PAGE, heading, &rows), 0, "no table under '%s'",
		     heading);
	for (size_t i = 0; i < n && i < rows.len; i++)
		for (size_t c = 0; c < 2 && expected[i].cell[c]; c++)
			cr_assert(str_eq(rows.at[i].cell[c], str_of(expected[i].cell[c])),
				  "line %zu says '" STR_FMT "', and not '%s'", rows.at[i].line,
				  STR_ARG(rows.at[i].cell[c]), expected[i].cell[c]);
	cr_assert_eq(rows.len, n, "%zu rows under '%s', and not %zu", rows.len, heading, n);
}

#define KIND_ALLOW "allow"
#define KIND_NEVER "never"
#define KIND_DENY  "deny"

Test(datapath, every_reason_is_on_the_page_with_its_kind)
{
	static const struct expected reasons[] = {
#define X(kind, constant, name) {{name, KIND_##kind}},
		BH_REASONS(X)
#undef X
	};

	table_is("Why a packet was decided", reasons, ARRAY_LEN(reasons));
}

Test(datapath, the_never_denied_list_is_on_the_page_with_its_keys)
{
	static const char *const keys[] = {
#define X(constant, name) [BH_REASON_##constant] = (name),
		HOSTCONF_NEVER_DENIED(X)
#undef X
	};
	struct expected list[BH_REASON_COUNT] = {};
	size_t n = 0;

#define LIST_ALLOW(constant, name)
#define LIST_DENY(constant, name)
#define LIST_NEVER(constant, name) \
	list[n++] = (struct expected){{name, keys[BH_REASON_##constant]}};
#define X(kind, constant, name) LIST_##kind(constant, name)
	BH_REASONS(X)
#undef X
	table_is("Never a rule's business", list, n);
}

Test(datapath, every_time_out_is_on_the_page_with_its_default)
{
	static const struct expected timeouts[] = {
#define X(constant, name, seconds) {{name, #seconds}},
		HOSTCONF_TIMEOUTS(X)
#undef X
	};

	table_is("Time-outs", timeouts, ARRAY_LEN(timeouts));
}

Test(datapath, every_note_is_on_the_page)
{
	static const struct expected notes[] = {
#define X(constant, name) {{name, NULL}},
		BH_NOTES(X)
#undef X
	};

	table_is("The tables, and what happens when one is full", notes, ARRAY_LEN(notes));
}
