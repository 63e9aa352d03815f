// SPDX-License-Identifier: GPL-2.0-only
/* Reading policy files; see policy/source.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
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

/* What a file was when it was opened, beside its text. */
static void set_facts(struct source_file *file, const struct stat *info)
{
	file->owner = info->st_uid;
	file->mode = info->st_mode;
	file->device = info->st_dev;
	file->inode = info->st_ino;
	file->changed[0] = info->st_mtim.tv_sec;
	file->changed[1] = info->st_mtim.tv_nsec;
}

/* Of a file that is written meanwhile the start may be well formed, and say something else. */
static bool is_same(const struct source_file *file, const struct stat *now)
{
	return (size_t)now->st_size == file->source.text.len && now->st_ino == file->inode &&
	       now->st_dev == file->device && now->st_mtim.tv_sec == file->changed[0] &&
	       now->st_mtim.tv_nsec == file->changed[1];
}

static int refuse_changed(const char *path, struct diag *diag)
{
	return diag_bad(diag, (struct mark){}, "'%s' was changed while it was read", path);
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

static int open_file(struct arena *arena, const char *path, const char *asked, struct diag *diag,
		     source_files *files)
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
	file = arena_alloc(arena, sizeof(*file));
	file->source = (struct source){
		.path = path,
		.text = {.at = text, .len = (size_t)size},
	};
	file->asked = asked;
	set_facts(file, &info);
	err = read_all(fd, path, text, (size_t)size, diag);
	if (!err && (fstat(fd, &info) || !is_same(file, &info)))
		err = refuse_changed(path, diag);
	if (err)
		return err;
	array_push(arena, files, file);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum kind { KIND_POLICY, KIND_OVERLOOKED, KIND_OTHER };

/* Overlooked is what looks like policy to people: *.yml, *.YAML, a folder that may hold more. */
static enum kind kind_of(DIR *dir, const char *name)
{
	const char *ending = strrchr(name, '.');
	struct stat info;

	if (name[0] == '.')
		return KIND_OTHER;
	if (ending && !strcmp(ending, ".yaml"))
		return KIND_POLICY;
	if (ending && (!strcasecmp(ending, ".yaml") || !strcasecmp(ending, ".yml")))
		return KIND_OVERLOOKED;
	return !fstatat(dirfd(dir), name, &info, 0) && S_ISDIR(info.st_mode) ? KIND_OVERLOOKED
									     : KIND_OTHER;
}

typedef ARRAY(char *) path_list;

/* The paths of a folder's entries, in byte order, the policies' and those overlooked. */
static int list_directory(struct arena *arena, const char *path, struct diag *diag,
			  path_list *policies, path_list *overlooked)
{
	scoped(closedir) DIR *dir = opendir(path);
	const char *slash = path[strlen(path) - 1] == '/' ? "" : "/";
	const struct dirent *entry;

	if (!dir)
		return diag_sys(diag, errno, "cannot open '%s'", path);
	while ((errno = 0, entry = readdir(dir))) {
		enum kind kind = kind_of(dir, entry->d_name);
		path_list *list = kind == KIND_POLICY ? policies : overlooked;

		if (kind != KIND_OTHER)
			array_push(arena, list,
				   arena_printf(arena, "%s%s%s", path, slash, entry->d_name));
	}
	if (errno)
		return diag_sys(diag, errno, "cannot read '%s'", path);
	if (policies->len)
		qsort(policies->at, policies->len, sizeof(*policies->at), compare_names);
	if (overlooked->len)
		qsort(overlooked->at, overlooked->len, sizeof(*overlooked->at), compare_names);
	return 0;
}

static int open_directory(struct arena *arena, const char *path, struct diag *diag,
			  source_files *files)
{
	path_list policies = {}, overlooked = {};
	int first = list_directory(arena, path, diag, &policies, &overlooked);

	if (first)
		return first;
	for (size_t i = 0; i < overlooked.len; i++)
		diag_warn(diag, (struct mark){},
			  "'%s' is not read; of a folder, only files named *.yaml in the folder "
			  "itself are",
			  overlooked.at[i]);
	if (!policies.len)
		return diag_bad(diag, (struct mark){},
				"'%s' has no file named *.yaml; expected at least one", path);
	for (size_t i = 0; i < policies.len; i++) {
		int err = open_file(arena, policies.at[i], path, diag, files);

		first = first ? first : err;
	}
	return first;
}

int source_open(struct arena *arena, const char *path, struct diag *diag, source_files *files)
{
	const char *asked = str_dup(arena, str_of(path));
	struct stat info;

	if (stat(path, &info))
		return diag_sys(diag, errno, "cannot open '%s'", path);
	if (S_ISDIR(info.st_mode))
		return open_directory(arena, asked, diag, files);
	return open_file(arena, asked, asked, diag, files);
}

/* The paths of the files that a path names, as source_open takes them. */
static int list_files(struct arena *arena, const char *path, struct diag *diag, path_list *files)
{
	path_list overlooked = {};
	struct stat info;

	if (stat(path, &info))
		return diag_sys(diag, errno, "cannot open '%s'", path);
	if (S_ISDIR(info.st_mode))
		return list_directory(arena, path, diag, files, &overlooked);
	array_push(arena, files, str_dup(arena, str_of(path)));
	return 0;
}

/* The first n files are those of the paths. */
static bool are_same(const path_list *paths, struct source_file *const *files, size_t n)
{
	struct stat now;

	if (paths->len != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (strcmp(paths->at[i], files[i]->source.path) ||
		    stat(files[i]->source.path, &now) || !is_same(files[i], &now))
			return false;
	return true;
}

int source_check_still(const source_files *files, struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();
	size_t end;

	for (size_t i = 0; i < files->len; i = end) {
		const char *asked = files->at[i]->asked;
		path_list now = {};
		int err = list_files(arena, asked, diag, &now);

		if (err)
			return err;
		end = i;
		while (end < files->len && files->at[end]->asked == asked)
			end++;
		if (!are_same(&now, files->at + i, end - i))
			return refuse_changed(asked, diag);
	}
	return 0;
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

int source_check_order_mark(const struct source *source, struct diag *diag)
{
	if (!str_starts(source->text, STR("\xef\xbb\xbf")))
		return 0;
	return diag_bad(diag, (struct mark){.source = source, .line = 1, .column = 1},
			"the file begins with a byte order mark (U+FEFF), which cannot be seen; "
			"expected UTF-8 without one");
}
