// SPDX-License-Identifier: GPL-2.0-only
/* Aligned columns; see cli/columns.h. */
#include <string.h>

#include "base/array.h"
#include "base/str.h"
#include "cli/columns.h"

struct row {
	const char *cells[COLUMNS_MAX];
};

struct columns {
	struct arena *arena;
	const char *const *heads;
	size_t n;
	bool printed_before;
	ARRAY(struct row) rows;
};

struct columns *columns_new(struct arena *arena)
{
	struct columns *columns = arena_alloc(arena, sizeof(*columns));

	columns->arena = arena;
	return columns;
}

void columns_begin(struct columns *columns, FILE *out, const char *const *heads, size_t n)
{
	if (columns->heads == heads)
		return;
	columns_print(columns, out);
	columns->heads = heads;
	columns->n = n < COLUMNS_MAX ? n : COLUMNS_MAX;
}

void columns_row(struct columns *columns, const char *const *cells)
{
	struct row *row = array_add(columns->arena, &columns->rows);

	for (size_t i = 0; i < columns->n; i++)
		row->cells[i] = str_make_visible(str_dup(columns->arena, str_of(cells[i])));
}

bool columns_are_unused(const struct columns *columns)
{
	return !columns->heads && !columns->printed_before;
}

static int width_of(const struct columns *columns, size_t column)
{
	size_t width = strlen(columns->heads[column]) - 1;

	for (size_t i = 0; i < columns->rows.len; i++) {
		size_t len = strlen(columns->rows.at[i].cells[column]);

		width = len > width ? len : width;
	}
	return (int)width;
}

static void print_row(const struct columns *columns, const char *const *cells, const int *widths,
		      FILE *out)
{
	size_t last = columns->n;

	/* No blanks at the end of a line. */
	while (last > 0 && !cells[last - 1][0])
		last--;
	for (size_t i = 0; i < last; i++) {
		const char *gap = i ? "  " : "";

		if (columns->heads[i][0] == '>')
			fprintf(out, "%s%*s", gap, widths[i], cells[i]);
		else if (i + 1 == last)
			fprintf(out, "%s%s", gap, cells[i]);
		else
			fprintf(out, "%s%-*s", gap, widths[i], cells[i]);
	}
	fputc('\n', out);
}

void columns_print(struct columns *columns, FILE *out)
{
	int widths[COLUMNS_MAX];
	const char *heads[COLUMNS_MAX];

	if (!columns->heads)
		return;
	for (size_t i = 0; i < columns->n; i++) {
		widths[i] = width_of(columns, i);
		heads[i] = columns->heads[i] + 1;
	}
	if (columns->printed_before)
		fputc('\n', out);
	print_row(columns, heads, widths, out);
	for (size_t i = 0; i < columns->rows.len; i++)
		print_row(columns, columns->rows.at[i].cells, widths, out);
	columns->printed_before = true;
	columns->heads = NULL;
	columns->rows.len = 0;
}

void columns_flush(struct columns *columns, FILE *out)
{
	columns->printed_before = false;
	columns_print(columns, out);
	columns->printed_before = false;
}
