/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tables of a page of docs/, for tests that hold the page and the code to each other: the page
 * says what is true, and a test reads it.
 */
#ifndef TESTS_PAGE_H
#define TESTS_PAGE_H

#include <stddef.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/str.h"

enum { PAGE_COLUMNS_MAX = 8 };

/* A row without its rule of dashes; marks of code and of emphasis taken off. Unused cells are empty. */
struct page_row {
	struct str cell[PAGE_COLUMNS_MAX];
	size_t line; /* of the page, from 1 */
};

typedef ARRAY(struct page_row) page_rows;

/*
 * The first table under a heading, which is given without its #; the head of the table is not among
 * the rows. -ENOENT when the page, the heading or a table under it is missing.
 */
int page_table(struct arena *arena, const char *path, const char *heading, page_rows *ret_rows);

/* Takes the next item off a cell that lists several, separated by commas. */
bool page_item(struct str *rest, struct str *ret_item);

#endif
