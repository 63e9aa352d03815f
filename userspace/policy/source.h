/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Policy files in memory: which ones a FILE argument names, their bytes, and who may write them.
 */
#ifndef POLICY_SOURCE_H
#define POLICY_SOURCE_H

#include "base/array.h"
#include "base/diag.h"

enum { SOURCE_MAX_SIZE = 10 * 1024 * 1024 };

struct source_file {
	struct source source;
	uint32_t owner; /* uid */
	uint32_t mode;	/* st_mode */
	uint64_t device;
	uint64_t inode;
};

typedef ARRAY(struct source_file *) source_files;

/*
 * Appends the file of that path, or, if it is a directory, its *.yaml in byte order of their
 * names; of a *.yml, of either name in another case and of a directory in it, unless hidden, a
 * warning says that it is not read. The bytes live in the arena. -errno with words when something
 * cannot be read, -EBADMSG when it is no regular file, too large, one of files already, or a
 * directory without any.
 */
int source_open(struct arena *arena, const char *path, struct diag *diag, source_files *files);

/* Refuses a text that begins with a byte order mark, which nobody sees: -EBADMSG. */
int source_check_order_mark(const struct source *source, struct diag *diag);

/*
 * Refuses (-EBADMSG, one message a file) files that others than root and caller may write or own: a
 * world-writable mode, or an owner that is neither root nor the caller.
 */
int source_check_writable(const source_files *files, uint32_t caller, struct diag *diag);

#endif
