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
	const char *asked; /* the path of this file or of its folder, as source_open got it */
	uint32_t owner;	   /* uid */
	uint32_t mode;	   /* st_mode */
	uint64_t device;
	uint64_t inode;
	int64_t changed[2]; /* st_mtim: seconds, nanoseconds */
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

/*
 * Whether what source_open was asked for still names these files, as they were read, and no others: then
 * there was a moment at which all of them stood there so, and not one of before a change and another of behind
 * it. -EBADMSG with the path that was changed, -errno with words when one cannot be read any more.
 */
int source_check_still(const source_files *files, struct diag *diag);

/* Refuses a text that begins with a byte order mark, which nobody sees: -EBADMSG. */
int source_check_order_mark(const struct source *source, struct diag *diag);

/*
 * Refuses (-EBADMSG, one message a file) files that others than root and caller may write or own: a
 * world-writable mode, or an owner that is neither root nor the caller.
 */
int source_check_writable(const source_files *files, uint32_t caller, struct diag *diag);

#endif
