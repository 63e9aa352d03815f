/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Text in aligned columns: rows are kept until they are printed, so that each column is as wide
 * as its widest cell.
 */
#ifndef CLI_COLUMNS_H
#define CLI_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/arena.h"

enum { COLUMNS_MAX = 16 };

struct columns;

/* Lives in the arena. */
struct columns *columns_new(struct arena *arena);

/*
 * Begins a table: heads of its columns, the first character of a head being '<' or '>' for how
 * the column is aligned. Does nothing when the same table (by pointer) has begun already; prints
 * the one before it otherwise.
 */
void columns_begin(struct columns *columns, FILE *out, const char *const *heads, size_t n);

/* A row; cells are copied, NULL is an empty one. */
void columns_row(struct columns *columns, const char *const *cells);

/* Whether no table has begun yet. */
bool columns_are_unused(const struct columns *columns);

/* Prints the table, if there is one, and forgets it. */
void columns_print(struct columns *columns, FILE *out);

/* The same without the blank line that parts it from a table before it. */
void columns_flush(struct columns *columns, FILE *out);

#endif
