// SPDX-License-Identifier: GPL-2.0-only
/* Tables out of Markdown. */
#include "tests/lib/page.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/scoped.h"

/* The whole file, NUL at its end; NULL: it cannot be read. */
static char *read_all(struct arena *arena, const char *path, size_t *ret_size)
{
	scoped(fclose) FILE *in = fopen(path, "re");
	char *text;
	long size;

	if (!in || fseek(in, 0, SEEK_END) || (size = ftell(in)) < 0 || fseek(in, 0, SEEK_SET))
		return NULL;
	text = arena_alloc(arena, (size_t)size + 1);
	if (fread(text, 1, (size_t)size, in) != (size_t)size)
		return NULL;
	text[size] = '\0';
	*ret_size = (size_t)size;
	return text;
}

static bool is_heading(struct str line, const char *heading)
{
	if (!str_starts(line, STR("#")))
		return false;
	while (str_starts(line, STR("#")))
		line = (struct str){line.at + 1, line.len - 1};
	return str_eq(str_trim(line), str_of(heading));
}

/* A copy without marks of code and emphasis. */
static struct str plain(struct arena *arena, struct str cell)
{
	char *copy = arena_alloc(arena, cell.len + 1);
	size_t len = 0;

	for (size_t i = 0; i < cell.len; i++)
		if (cell.at[i] != '`' && cell.at[i] != '*')
			copy[len++] = cell.at[i];
	copy[len] = '\0';
	return str_trim((struct str){copy, len});
}

static struct page_row row_of(struct arena *arena, struct str line, size_t number)
{
	struct page_row row = {.line = number};
	struct str rest = {line.at + 1, line.len - 1};
	struct str cell;

	for (size_t i = 0; i < PAGE_COLUMNS_MAX && str_cut(rest, '|', &cell, &rest); i++)
		row.cell[i] = plain(arena, cell);
	return row;
}

int page_table(struct arena *arena, const char *path, const char *heading, page_rows *ret_rows)
{
	size_t size = 0;
	const char *text = read_all(arena, path, &size);
	struct str rest = {text, size};
	page_rows rows = {};
	bool here = false;
	struct str line;
	size_t n = 0;

	for (size_t number = 1; text && str_cut(rest, '\n', &line, &rest); number++) {
		if (!here) {
			here = is_heading(line, heading);
		} else if (str_starts(line, STR("|"))) {
			if (n++ >= 2)
				array_push(arena, &rows, row_of(arena, line, number));
		} else if (n || str_starts(line, STR("#"))) {
			break;
		}
	}
	if (!rows.len)
		return -ENOENT;
	*ret_rows = rows;
	return 0;
}

bool page_item(struct str *rest, struct str *ret_item)
{
	struct str item = *rest;

	if (!rest->len)
		return false;
	if (!str_cut(*rest, ',', &item, rest))
		*rest = (struct str){};
	*ret_item = str_trim(item);
	return true;
}
