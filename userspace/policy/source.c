// SPDX-License-Identifier: GPL-2.0-only
/* Reading policy files; see policy/source.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "policy/source.h"

SCOPED(DIR *, closedir);

static int read_all(int fd, const char *path, char *buffer, size_t size, struct diag *diag)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, buffer + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return diag_sys(diag, errno, "cannot read '%s'", path);
		if (n == 0)
			return diag_bad(diag, (struct mark){},
					"'%s' became shorter while it was read", path);
		done += (size_t)n;
	}
	return 0;
}

/* Of a file that is written meanwhile the start may be well formed, and say something else. */
static bool is_unchanged(int fd, const struct stat *before)
{
	struct stat now;

	return fstat(fd, &now) == 0 && now.st_size == before->st_size &&
	       now.st_mtim.tv_sec == before->st_mtim.tv_sec &&
	       now.st_mtim.tv_nsec == before->st_mtim.tv_nsec;
}

/* A folder and a file in it, say. */
static int refuse_twice(const char *path, const struct stat *info, struct diag *diag,
			const source_files *files)
{
	for (size_t i = 0; i < files->len; i++) {
		const struct source_file *file = files->at[i];

		if (file->inode == info->st_ino && file->device == info->st_dev)
			return diag_bad(diag, (struct mark){},
					"'%s' is the same file as '%s'; expected each once", path,
					file->source.path);
	}
	return 0;
}

static int open_file(struct arena *arena, const char *path, struct diag *diag, source_files *files)
{
	/* O_NONBLOCK: opening a FIFO must not wait for a writer. */
	scoped(close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct source_file *file;
	struct stat info;
	intmax_t size;
	char *text;
	int err;

	if (fd < 0 || fstat(fd, &info))
		return diag_sys(diag, errno, "cannot open '%s'", path);
	if (!S_ISREG(info.st_mode))
		return diag_bad(diag, (struct mark){},
				"'%s' is no regular file; expected a file, or a folder with files "
				"named *.yaml",
				path);
	size = info.st_size;
	if (size > SOURCE_MAX_SIZE)
		return diag_bad(diag, (struct mark){}, "'%s' has %jd bytes; expected at most %d",
				path, size, SOURCE_MAX_SIZE);
	err = refuse_twice(path, &info, diag, files);
	if (err)
		return err;
	text = arena_alloc(arena, (size_t)size + 1);
	err = read_all(fd, path, text, (size_t)size, diag);
	if (!err && !is_unchanged(fd, &info))
		err = diag_bad(diag, (struct mark){}, "'%s' was changed while it was read", path);
	if (err)
		return err;
	file = arena_alloc(arena, sizeof(*file));
	file->source = (struct source){
		.path = str_dup(arena, str_of(path)),
		.text = {.at = text, .len = (size_t)size},
	};
	file->owner = info.st_uid;
	file->mode = info.st_mode;
	file->device = info.st_dev;
	file->inode = info.st_ino;
	array_push(arena, files, file);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_policy_name(const char *name)
{
	size_t len = strlen(name);

	return name[0] != '.' && len > 5 && !strcmp(name + len - 5, ".yaml");
}

static int open_directory(struct arena *arena, const char *path, struct diag *diag,
			  source_files *files)
{
	scoped(closedir) DIR *dir = opendir(path);
	ARRAY(char *) names = {};
	const struct dirent *entry;
	int first = 0;

	if (!dir)
		return diag_sys(diag, errno, "cannot open '%s'", path);
	while ((errno = 0, entry = readdir(dir))) {
		if (is_policy_name(entry->d_name))
			array_push(arena, &names,
				   arena_printf(arena, "%s%s%s", path,
						path[strlen(path) - 1] == '/' ? "" : "/",
						entry->d_name));
	}
	if (errno)
		return diag_sys(diag, errno, "cannot read '%s'", path);
	if (!names.len)
		return diag_bad(diag, (struct mark){},
				"'%s' has no file named *.yaml; expected at least one", path);
	qsort(names.at, names.len, sizeof(*names.at), compare_names);
	for (size_t i = 0; i < names.len; i++) {
		int err = open_file(arena, names.at[i], diag, files);

		first = first ? first : err;
	}
	return first;
}

int source_open(struct arena *arena, const char *path, struct diag *diag, source_files *files)
{
	struct stat info;

	if (stat(path, &info))
		return diag_sys(diag, errno, "cannot open '%s'", path);
	if (S_ISDIR(info.st_mode))
		return open_directory(arena, path, diag, files);
	return open_file(arena, path, diag, files);
}

int source_check_writable(const source_files *files, uint32_t caller, struct diag *diag)
{
	int err = 0;

	for (size_t i = 0; i < files->len; i++) {
		const struct source_file *file = files->at[i];
		struct mark at = {.source = &file->source};

		if (file->mode & S_IWOTH)
			err = diag_bad(diag, at,
				       "anybody may write this file (mode %04o), so anybody could "
				       "change the policy; --allow-writable takes it all the same",
				       file->mode & 07777);
		else if (file->owner != 0 && file->owner != caller)
			err = diag_bad(diag, at,
				       "the owner (uid %u) is neither root nor the caller; "
				       "--allow-writable takes it all the same",
				       file->owner);
	}
	return err;
}
