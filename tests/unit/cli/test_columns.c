// SPDX-License-Identifier: GPL-2.0-only
/* Columns: widths, alignment, and what parts one table from the next. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "cli/columns.h"

static const char *const names[] = {"<NAME", ">N", "<REST"};
static const char *const others[] = {"<OTHER"};

#define ROW(...) ((const char *[]){__VA_ARGS__})

struct printed {
	struct arena *arena;
	struct columns *columns;
	char *text;
	size_t size;
	FILE *out;
};

static void start(struct printed *printed)
{
	*printed = (struct printed){.arena = arena_new()};
	printed->columns = columns_new(printed->arena);
	printed->out = open_memstream(&printed->text, &printed->size);
	cr_assert_not_null(printed->out);
}

static void is(struct printed *printed, const char *expected)
{
	fclose(printed->out);
	cr_assert_str_eq(printed->text, expected);
	free(printed->text);
	arena_free(printed->arena);
}

Test(columns, a_column_is_as_wide_as_its_widest_cell)
{
	struct printed printed;

	start(&printed);
	columns_begin(printed.columns, printed.out, names, 3);
	columns_row(printed.columns, ROW("a", "1", "x"));
	columns_begin(printed.columns, printed.out, names, 3);
	columns_row(printed.columns, ROW("longer", "12345", "y"));
	columns_print(printed.columns, printed.out);
	is(&printed, "NAME        N  REST\n"
		     "a           1  x\n"
		     "longer  12345  y\n");
}

Test(columns, no_line_ends_in_blanks_and_a_missing_cell_is_empty)
{
	struct printed printed;

	start(&printed);
	columns_begin(printed.columns, printed.out, names, 3);
	columns_row(printed.columns, ROW("a", "1", ""));
	columns_row(printed.columns, ROW(NULL, "2", NULL));
	columns_row(printed.columns, ROW("b", "", ""));
	columns_print(printed.columns, printed.out);
	is(&printed, "NAME  N  REST\n"
		     "a     1\n"
		     "      2\n"
		     "b\n");
}

Test(columns, another_table_prints_the_one_before_and_stands_behind_a_blank_line)
{
	struct printed printed;

	start(&printed);
	columns_begin(printed.columns, printed.out, names, 3);
	columns_row(printed.columns, ROW("a", "1", "x"));
	columns_begin(printed.columns, printed.out, others, 1);
	columns_row(printed.columns, ROW("o"));
	columns_print(printed.columns, printed.out);
	columns_print(printed.columns, printed.out);
	is(&printed, "NAME  N  REST\n"
		     "a     1  x\n"
		     "\n"
		     "OTHER\n"
		     "o\n");
}

Test(columns, flush_parts_tables_by_nothing)
{
	struct printed printed;

	start(&printed);
	for (int i = 0; i < 2; i++) {
		columns_begin(printed.columns, printed.out, others, 1);
		columns_row(printed.columns, ROW("o"));
		columns_flush(printed.columns, printed.out);
	}
	columns_flush(printed.columns, printed.out);
	is(&printed, "OTHER\no\nOTHER\no\n");
}
