/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files of the state directory: written whole or not at all, and known to be whole when read.
 */
#ifndef KERNEL_STORE_FILE_H
#define KERNEL_STORE_FILE_H

#include "base/array.h"
#include "base/diag.h"
#include "classify/image.h"

/* A folder: its descriptor, and its path for messages. */
struct store_folder {
	int fd;
	const char *path;
};

/*
 * Replaces the file by these pieces, one behind the other, through a file beside it that is synced
 * and renamed; then the folder is synced. The old bytes stay on any failure.
 */
int store_file_write(const struct store_folder *folder, const char *name,
		     const struct image_bytes *pieces, size_t n, struct diag *diag);

/* Whether the file can be read and has these very bytes, and no more. */
bool store_file_has(const struct store_folder *folder, const char *name,
		    const struct image_bytes *pieces, size_t n);

/*
 * All bytes, with a NUL behind them that is not counted; -ENOENT without words. A file that is larger than
 * any run writes is one that was altered.
 */
int store_file_read(const struct store_folder *folder, const char *name, struct arena *arena,
		    struct diag *diag, char **ret_data, size_t *ret_size);

/* Text with a last line that is its SHA-256; a file that is just so stays. Reading takes that line off again. */
int store_file_seal(const struct store_folder *folder, const char *name, const char *text,
		    struct diag *diag);
int store_file_unseal(const struct store_folder *folder, const char *name, struct arena *arena,
		      struct diag *diag, char **ret_text);

/* Names of files in the folder but . and .. */
typedef ARRAY(const char *) store_names;
int store_file_list(const struct store_folder *folder, struct arena *arena, struct diag *diag,
		    store_names *ret_names);

int store_file_remove(const struct store_folder *folder, const char *name, struct diag *diag);

/* A file that was being written when its writer died. */
bool store_file_is_leftover(const char *name);

/* What is handed words for whoever waits, at once. */
typedef void store_tell(const char *words);

/* That file as it is opened to be locked; create: O_CREAT or 0. -ESTALE without words when it is not there. */
int store_file_open_lock(const struct store_folder *folder, const char *name, int create,
			 struct diag *diag, int *ret_fd);

/*
 * The lock file: exclusive, with the holder's pid in it. The descriptor is the lock, and the process
 * opens that file nowhere else: closing it would let go of the record lock by which store_work.h sees it. Where another
 * process holds it: -EBUSY with words, or, where wait is not NULL, that is told the same, and it is
 * waited for. -ESTALE without words when the file or the folder has been removed meanwhile.
 */
int store_file_lock(const struct store_folder *folder, const char *name, store_tell *wait,
		    struct diag *diag, int *ret_fd);

#endif
