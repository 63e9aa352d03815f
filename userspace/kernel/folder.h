/* SPDX-License-Identifier: GPL-2.0-only */
/* The way to a folder, and whether one can be made there, asked without making anything. */
#ifndef KERNEL_FOLDER_H
#define KERNEL_FOLDER_H

#include <stdbool.h>

#include "base/arena.h"

/* The folder above, in the arena; "/" is above itself. */
const char *folder_above(struct arena *arena, const char *path);

/* Whether something has that name; a link to nowhere has, though no folder is there. */
bool folder_is_taken(const char *path);

/*
 * The errno with which mkdir -p of the path would fail, as far as that can be told; 0: it would not. The folder
 * is not there. *ret_which is the folder that could not be made: on the way to the path, or itself; below a
 * link to nowhere (ENOENT) the first.
 */
int folder_ask(struct arena *arena, const char *path, const char **ret_which);

#endif
