/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The folder of the pins. Whatever is pinned there outlives the program, so it is made with 0700
 * and everything in it is 0600.
 */
#ifndef KERNEL_BPFFS_H
#define KERNEL_BPFFS_H

#include "base/array.h"
#include "base/diag.h"

#define BPFFS_USUAL_PLACE  "/sys/fs/bpf"
#define BPFFS_DEFAULT_PINS BPFFS_USUAL_PLACE "/bulkhead"

/*
 * Whether the nearest folder on the way to pins that exists lies on a bpffs; changes nothing. What
 * cannot be looked at is an error, with words.
 */
int bpffs_is_mounted(const char *pins, struct diag *diag, bool *ret_is);

/* Names in a folder, or paths of folders. */
typedef ARRAY(const char *) bpffs_names;

/*
 * Makes pins a folder on a bpffs: where the nearest folder that exists is on none, mounts one
 * (at /sys/fs/bpf for paths below it, else at pins itself). Without the right to: -EPERM and
 * the mount line to run. ret_made are the folders that it made, in their order; on an error none is
 * left. What is mounted stays: others may have pinned something there already.
 */
int bpffs_prepare(struct arena *arena, const char *pins, struct diag *diag, bpffs_names *ret_made);

/*
 * Why bpffs_prepare would refuse, in its words, as far as that can be told without changing anything.
 * *ret_mounts: it would mount a bpffs.
 */
int bpffs_check(struct arena *arena, const char *pins, struct diag *diag, bool *ret_mounts);

/* Removes those of the folders in which there is nothing. */
void bpffs_take_back(const bpffs_names *made);

/* Whether path exists and lies on a bpffs; changes nothing. */
bool bpffs_has(const char *path);

/*
 * Numbers of the ABI versions whose folders v<N> stand below pins, ascending. -ENOENT without words
 * when pins does not exist.
 */
typedef ARRAY(uint32_t) bpffs_versions;
int bpffs_find_versions(struct arena *arena, const char *pins, struct diag *diag,
			bpffs_versions *ret_versions);

/* Names in a folder, in no order; none when there is no such folder. */
int bpffs_list(struct arena *arena, const char *path, struct diag *diag, bpffs_names *ret_names);

/* Makes a folder of pins, 0700; no error when it is there. */
int bpffs_make(const char *path, struct diag *diag);

/* Removes a folder with all pins in it; no error when there is none. */
int bpffs_remove(const char *path, struct diag *diag);

/*
 * Removes the folder of all versions when nothing is left in it. Somebody else's files in it, or a
 * mount on it, are none of our business: it stays, without an error.
 */
int bpffs_leave(const char *pins, struct diag *diag);

#endif
