// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/str.h"

const char *folder_above(struct arena *arena, const char *path)
{
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		len--;
	while (len > 0 && path[len - 1] != '/')
		len--;
	while (len > 1 && path[len - 1] == '/')
		len--;
	return len ? str_dup(arena, (struct str){.at = path, .len = len}) : ".";
}

/* Modes say yes to root also where the filesystem knows no mkdir: its errno then. */
static int ask_inside(struct arena *arena, const char *folder)
{
	struct statfs fs;

	if (access(arena_printf(arena, "%s/.", folder), W_OK | X_OK) || statfs(folder, &fs))
		return errno;
	return fs.f_type == PROC_SUPER_MAGIC ? ENOENT : fs.f_type == SYSFS_MAGIC ? EPERM : 0;
}

bool folder_is_taken(const char *path)
{
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int folder_ask(struct arena *arena, const char *path, const char **ret_which)
{
	const char *which = path;
	const char *above = folder_above(arena, path);

	while (access(above, F_OK) && errno == ENOENT) {
		if (folder_is_taken(above))
			return ENOENT;
		which = above;
		above = folder_above(arena, above);
	}
	*ret_which = which;
	return ask_inside(arena, above);
}
