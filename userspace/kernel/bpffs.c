// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/bpffs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "kernel/folder.h"
#include "kernel/private.h"

SCOPED(DIR *, closedir);

/* Each after another run that was refused; a link to nowhere is not there a hundred times, too. */
enum { TRIES = 100 };

bool bpffs_has(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == BPF_FS_MAGIC;
}

/* -ESTALE without words when the folder above, which was there, has been taken back. */
static int make_once(struct arena *arena, const char *path, mode_t mode, struct diag *diag,
		     bpffs_names *made)
{
	if (access(path, F_OK) == 0)
		return 0;
	if (strcmp(path, "/") != 0 && strcmp(path, ".") != 0) {
		int err = make_once(arena, folder_above(arena, path), 0755, diag, made);

		if (err)
			return err;
	}
	if (mkdir(path, mode) == 0)
		array_push(arena, made, path);
	else if (errno == ENOENT)
		return -ESTALE;
	else if (errno != EEXIST)
		return diag_sys(diag, errno, "cannot make folder '%s'", path);
	return 0;
}

static int make_folders(struct arena *arena, const char *path, mode_t mode, struct diag *diag,
			bpffs_names *made)
{
	for (int i = 0; i < TRIES; i++) {
		int err = make_once(arena, path, mode, diag, made);

		if (err != -ESTALE)
			return err;
	}
	return diag_sys(diag, ENOENT, "cannot make folder '%s'", path);
}

void bpffs_take_back(const bpffs_names *made)
{
	for (size_t i = made->len; i > 0; i--)
		(void)rmdir(made->at[i - 1]);
}

static bool is_below(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	return strncmp(path, folder, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

typedef ARRAY(uint64_t) mount_ids;

/* The mounts that a process sees, by number (proc_pid_mountinfo(5)): the first word of each line. */
static int read_mounts(struct arena *arena, const char *path, mount_ids *ret_ids)
{
	scoped(fclose) FILE *in = fopen(path, "re");
	scoped(free) char *line = NULL;
	mount_ids ids = {};
	size_t room = 0;

	if (!in)
		return -errno;
	while (getline(&line, &room, in) > 0)
		array_push(arena, &ids, strtoull(line, NULL, 10));
	if (ferror(in) || !ids.len)
		return -EIO;
	*ret_ids = ids;
	return 0;
}

/*
 * Whether what this process mounts is gone when it ends, as under `ip netns exec`: it is in another mount
 * namespace than process 1, and so would be everything that a mount here should keep. A mount is of one
 * namespace alone, and no two have one number; which namespace a process is in, only who may trace it
 * may ask, and of process 1 that can be refused to root, too.
 */
static int mounts_for_itself(bool *ret_does)
{
	scoped(arena_free) struct arena *arena = arena_new();
	mount_ids own = {}, first = {};
	int err = read_mounts(arena, "/proc/self/mountinfo", &own);

	if (!err)
		err = read_mounts(arena, "/proc/1/mountinfo", &first);
	if (err)
		return err;
	*ret_does = true;
	for (size_t i = 0; i < own.len; i++)
		for (size_t j = 0; j < first.len; j++)
			*ret_does &= own.at[i] != first.at[j];
	return 0;
}

static int check_lasts(const char *place, struct diag *diag)
{
	bool for_itself = true;
	int err = mounts_for_itself(&for_itself);

	if (err)
		return diag_sys(
			diag, -err,
			"there is no bpffs at '%s', and without /proc/self/mountinfo and "
			"/proc/1/mountinfo it cannot be told whether one that is mounted here "
			"lasts; mount one first: 'mount -t bpf bpf %s'",
			place, place);
	if (for_itself)
		return diag_refuse(
			diag, -ENOENT,
			"there is no bpffs at '%s', and one that is mounted here is gone "
			"with this mount namespace, and all programs with it; run this where "
			"process 1 is (not by 'ip netns exec', but by 'nsenter --net=...'), "
			"or mount one first: 'mount -t bpf bpf %s'",
			place, place);
	return 0;
}

static int mount_at(const char *place, struct diag *diag)
{
	if (mount("bpf", place, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") == 0)
		return 0;
	return diag_sys(diag, errno,
			"there is no bpffs at '%s', and it cannot be mounted; run "
			"'mount -t bpf bpf %s'",
			place, place);
}

/* What cannot be looked at is not taken for none: one mounted above would hide what is in force. */
int bpffs_is_mounted(const char *pins, struct diag *diag, bool *ret_is)
{
	scoped(arena_free) struct arena *arena = arena_new();
	const char *path = pins;
	struct statfs fs;

	while (statfs(path, &fs)) {
		if (errno != ENOENT || strcmp(path, "/") == 0 || strcmp(path, ".") == 0)
			return diag_sys(diag, errno, "cannot look at folder '%s'", path);
		path = folder_above(arena, path);
	}
	*ret_is = fs.f_type == BPF_FS_MAGIC;
	return 0;
}

/* On a bpffs that every user may write, somebody could have been here first. */
static int check_private(const char *pins, struct diag *diag)
{
	scoped(close) int fd = open(pins, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return diag_sys(diag, errno, "cannot open folder '%s'", pins);
	return private_check(fd, pins, diag);
}

/*
 * NULL at the end, with errno 0, and when the folder cannot be read: it must not pass for an empty
 * one.
 */
static const struct dirent *next_entry(DIR *folder)
{
	errno = 0;
	return readdir(folder);
}

/* False also when it cannot be read. */
static bool is_empty(const char *path)
{
	scoped(closedir) DIR *folder = opendir(path);
	const struct dirent *entry = folder ? next_entry(folder) : NULL;

	while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0))
		entry = next_entry(folder);
	return folder && !entry && !errno;
}

static int check_empty(const char *place, struct diag *diag)
{
	if (is_empty(place))
		return 0;
	return diag_refuse(diag, -ENOTEMPTY,
			   "'%s' is no bpffs, and what is in it would be hidden by one; "
			   "expected an empty folder, or one below %s",
			   place, BPFFS_USUAL_PLACE);
}

/* Of pins that are on none. */
static const char *place_of(const char *pins)
{
	return is_below(pins, BPFFS_USUAL_PLACE) ? BPFFS_USUAL_PLACE : pins;
}

static int mount_above(struct arena *arena, const char *pins, struct diag *diag, bpffs_names *made)
{
	const char *place = place_of(pins);
	int err = make_folders(arena, place, 0700, diag, made);

	if (!err)
		err = check_empty(place, diag);
	if (!err)
		err = check_lasts(place, diag);
	return err ? err : mount_at(place, diag);
}

int bpffs_prepare(struct arena *arena, const char *pins, struct diag *diag, bpffs_names *ret_made)
{
	bpffs_names made = {};
	bool is_there = false;
	int err = bpffs_is_mounted(pins, diag, &is_there);

	if (!err && !is_there)
		err = mount_above(arena, pins, diag, &made);
	if (!err)
		err = make_folders(arena, pins, 0700, diag, &made);
	if (!err)
		err = check_private(pins, diag);
	if (err)
		bpffs_take_back(&made);
	else
		*ret_made = made;
	return err;
}

static int check_make(struct arena *arena, const char *path, struct diag *diag)
{
	const char *which = NULL;
	int err = folder_ask(arena, path, &which);

	return err ? diag_sys(diag, err, "cannot make folder '%s'", err == ENOENT ? path : which)
		   : 0;
}

static int check_mount(struct arena *arena, const char *place, struct diag *diag)
{
	int err =
		folder_is_taken(place) ? check_empty(place, diag) : check_make(arena, place, diag);

	return err ? err : check_lasts(place, diag);
}

int bpffs_check(struct arena *arena, const char *pins, struct diag *diag, bool *ret_mounts)
{
	bool is_there = false;
	int err = bpffs_is_mounted(pins, diag, &is_there);

	if (err)
		return err;
	*ret_mounts = !is_there;
	if (!is_there)
		return check_mount(arena, place_of(pins), diag);
	return folder_is_taken(pins) ? check_private(pins, diag) : check_make(arena, pins, diag);
}

static int compare_versions(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a;
	uint32_t right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

int bpffs_find_versions(struct arena *arena, const char *pins, struct diag *diag,
			bpffs_versions *ret_versions)
{
	scoped(closedir) DIR *folder = opendir(pins);
	bpffs_versions versions = {};
	const struct dirent *entry;
	uint64_t number;

	if (!folder)
		return errno == ENOENT ? -ENOENT
				       : diag_sys(diag, errno, "cannot read folder '%s'", pins);
	while ((entry = next_entry(folder)))
		if (entry->d_name[0] == 'v' &&
		    str_number(str_of(entry->d_name + 1), UINT32_MAX, &number))
			array_push(arena, &versions, (uint32_t)number);
	if (errno)
		return diag_sys(diag, errno, "cannot read folder '%s'", pins);
	if (versions.len)
		qsort(versions.at, versions.len, sizeof(*versions.at), compare_versions);
	*ret_versions = versions;
	return 0;
}

int bpffs_list(struct arena *arena, const char *path, struct diag *diag, bpffs_names *ret_names)
{
	scoped(closedir) DIR *folder = opendir(path);
	bpffs_names names = {};
	const struct dirent *entry;

	if (!folder && errno == ENOENT) {
		*ret_names = names;
		return 0;
	}
	if (!folder)
		return diag_sys(diag, errno, "cannot read folder '%s'", path);
	while ((entry = next_entry(folder)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			array_push(arena, &names, str_dup(arena, str_of(entry->d_name)));
	if (errno)
		return diag_sys(diag, errno, "cannot read folder '%s'", path);
	*ret_names = names;
	return 0;
}

int bpffs_make(const char *path, struct diag *diag)
{
	if (mkdir(path, 0700) && errno != EEXIST)
		return diag_sys(diag, errno, "cannot make folder '%s'", path);
	return 0;
}

static int remove_one(struct arena *arena, const char *path, struct diag *diag)
{
	if (unlink(path) == 0 || errno == ENOENT)
		return 0;
	if (errno == EISDIR || errno == EPERM)
		return bpffs_remove(arena_printf(arena, "%s", path), diag);
	return diag_sys(diag, errno, "cannot remove pin '%s'", path);
}

int bpffs_remove(const char *path, struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();
	bpffs_names names = {};
	int err = bpffs_list(arena, path, diag, &names);

	for (size_t i = 0; i < names.len && !err; i++)
		err = remove_one(arena, arena_printf(arena, "%s/%s", path, names.at[i]), diag);
	if (!err && rmdir(path) && errno != ENOENT)
		err = diag_sys(diag, errno, "cannot remove folder '%s'", path);
	return err;
}

int bpffs_leave(const char *pins, struct diag *diag)
{
	if (rmdir(pins) && errno != ENOTEMPTY && errno != EBUSY && errno != ENOENT)
		return diag_sys(diag, errno, "cannot remove '%s'", pins);
	return 0;
}
