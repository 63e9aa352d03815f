/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The record and the totals as JSON text; pure. What is parsed has to be as it is printed here:
 * anything else is -EBADMSG with words that name path.
 */
#ifndef KERNEL_STORE_JSON_H
#define KERNEL_STORE_JSON_H

#include "kernel/store.h"

/* The text is the caller's to free; NULL: no memory. */
char *store_json_print_record(const struct store_record *record);
char *store_json_print_totals(const struct store_totals *totals);

/* Texts and arrays are the arena's. */
int store_json_parse_record(const char *text, const char *path, struct arena *arena,
			    struct diag *diag, struct store_record *ret_record);
int store_json_parse_totals(const char *text, const char *path, struct arena *arena,
			    struct diag *diag, struct store_totals *ret_totals);

#endif
