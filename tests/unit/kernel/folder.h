/* SPDX-License-Identifier: GPL-2.0-only */
/* A folder of a test's own, and files in it. */
#ifndef TESTS_UNIT_KERNEL_FOLDER_H
#define TESTS_UNIT_KERNEL_FOLDER_H

#include <stddef.h>

#include "base/scoped.h"

/* A new, empty folder; its path is freed, and all in it removed, by folder_free. */
char *folder_new(void);
void folder_free(char *path);
SCOPED(char *, folder_free);

/* Makes or replaces a file. */
void folder_write(const char *path, const void *data, size_t size);

/* All bytes of a file, with a NUL behind them; for the caller to free. NULL: there is none. */
char *folder_read(const char *path, size_t *ret_size);

#endif
