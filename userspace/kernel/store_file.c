// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/store_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#define BESIDE ".new-"

static const struct mark nowhere;

SCOPED(DIR *, closedir);

enum { NAME_SIZE = 128 };

static int write_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t n = write(fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

static int write_beside(const struct store_folder *folder, const char *beside,
			const struct image_bytes *pieces, size_t n, struct diag *diag)
{
	scoped(close) int fd = openat(folder->fd, beside,
				      O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int err = 0;

	if (fd < 0)
		return diag_sys(diag, errno, "cannot make file '%s/%s'", folder->path, beside);
	for (size_t i = 0; i < n && !err; i++)
		err = write_all(fd, pieces[i].data, pieces[i].size);
	if (err)
		return diag_sys(diag, -err, "cannot write file '%s/%s'", folder->path, beside);
	if (fsync(fd))
		return diag_sys(diag, errno, "cannot sync file '%s/%s'", folder->path, beside);
	return 0;
}

static int sync_folder(const struct store_folder *folder, struct diag *diag)
{
	return fsync(folder->fd) ? diag_sys(diag, errno, "cannot sync folder '%s'", folder->path)
				 : 0;
}

int store_file_write(const struct store_folder *folder, const char *name,
		     const struct image_bytes *pieces, size_t n, struct diag *diag)
{
	char beside[NAME_SIZE];
	int err;

	(void)snprintf(beside, sizeof(beside), BESIDE "%s", name);
	err = write_beside(folder, beside, pieces, n, diag);
	if (!err && renameat(folder->fd, beside, folder->fd, name))
		err = diag_sys(diag, errno, "cannot rename to '%s/%s'", folder->path, name);
	if (err) {
		(void)unlinkat(folder->fd, beside, 0);
		return err;
	}
	return sync_folder(folder, diag);
}

static int read_all(int fd, char *data, size_t size, size_t *ret_size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, data + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*ret_size = done;
	return 0;
}

/* Whether the next bytes of the file are these. */
static bool goes_on_with(int fd, const struct image_bytes *piece)
{
	const char *at = piece->data;
	char buffer[1 << 16];
	size_t got = 0;

	for (size_t done = 0; done < piece->size; done += got) {
		size_t left = piece->size - done;

		left = left < sizeof(buffer) ? left : sizeof(buffer);
		if (read_all(fd, buffer, left, &got) || got != left ||
		    memcmp(buffer, at + done, got) != 0)
			return false;
	}
	return true;
}

/* O_NONBLOCK here and below: a FIFO in a file's place reads as empty, and keeps nobody from stopping. */
bool store_file_has(const struct store_folder *folder, const char *name,
		    const struct image_bytes *pieces, size_t n)
{
	scoped(close) int fd =
		openat(folder->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	bool has = fd >= 0;
	size_t more = 0;
	char next;

	for (size_t i = 0; i < n && has; i++)
		has = goes_on_with(fd, &pieces[i]);
	return has && !read_all(fd, &next, 1, &more) && !more;
}

/* The largest file is an image of 512 pages of a megabyte, and what it says of its rules. */
enum { FILE_MAX_SIZE = 1 << 30 };

int store_file_read(const struct store_folder *folder, const char *name, struct arena *arena,
		    struct diag *diag, char **ret_data, size_t *ret_size)
{
	scoped(close) int fd =
		openat(folder->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat about;
	size_t size = 0;
	char *data;
	int err;

	if (fd < 0)
		return errno == ENOENT ? -ENOENT
				       : diag_sys(diag, errno, "cannot open file '%s/%s'",
						  folder->path, name);
	if (fstat(fd, &about))
		return diag_sys(diag, errno, "cannot read file '%s/%s'", folder->path, name);
	if (about.st_size > FILE_MAX_SIZE)
		return diag_bad(
			diag, nowhere,
			"file '%s/%s' is cut or was altered: it has %jd bytes, more than any "
			"run writes; move it away",
			folder->path, name, (intmax_t)about.st_size);
	data = arena_alloc(arena, (size_t)about.st_size + 1);
	err = read_all(fd, data, (size_t)about.st_size, &size);
	if (err)
		return diag_sys(diag, -err, "cannot read file '%s/%s'", folder->path, name);
	*ret_data = data;
	*ret_size = size;
	return 0;
}

static const char *seal_of(const char *text, size_t size, char *buffer)
{
	struct image_digest digest = image_digest_of(text, size);

	return image_digest_print(&digest, buffer);
}

int store_file_seal(const struct store_folder *folder, const char *name, const char *text,
		    struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();
	char digest[IMAGE_DIGEST_TEXT_SIZE];
	const char *sealed =
		arena_printf(arena, "%s\n%s\n", text, seal_of(text, strlen(text), digest));
	const struct image_bytes piece = {sealed, strlen(sealed)};

	/* So that a full disk is no failure where nothing changes. Its name may not have been synced. */
	if (store_file_has(folder, name, &piece, 1))
		return sync_folder(folder, diag);
	return store_file_write(folder, name, &piece, 1, diag);
}

int store_file_unseal(const struct store_folder *folder, const char *name, struct arena *arena,
		      struct diag *diag, char **ret_text)
{
	enum { SEAL_SIZE = IMAGE_DIGEST_TEXT_SIZE + 1 };
	char digest[IMAGE_DIGEST_TEXT_SIZE];
	char *text = NULL;
	size_t size = 0;
	int err = store_file_read(folder, name, arena, diag, &text, &size);

	if (err)
		return err;
	if (size < SEAL_SIZE || text[size - SEAL_SIZE] != '\n' || text[size - 1] != '\n' ||
	    memcmp(text + size - SEAL_SIZE + 1, seal_of(text, size - SEAL_SIZE, digest),
		   SEAL_SIZE - 2) != 0)
		return diag_bad(
			diag, nowhere,
			"file '%s/%s' is cut or was altered: its last line is not its "
			"checksum; move it away, and it is begun anew (what is in force stays)",
			folder->path, name);
	text[size - SEAL_SIZE] = '\0';
	*ret_text = text;
	return 0;
}

int store_file_list(const struct store_folder *folder, struct arena *arena, struct diag *diag,
		    store_names *ret_names)
{
	scoped(close) int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	scoped(closedir) DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	store_names names = {};
	const struct dirent *entry;

	if (!stream)
		return diag_sys(diag, errno, "cannot read folder '%s'", folder->path);
	(void)take_fd(fd); /* the stream's from here on */
	while ((errno = 0, entry = readdir(stream)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			array_push(arena, &names, str_dup(arena, str_of(entry->d_name)));
	if (errno)
		return diag_sys(diag, errno, "cannot read folder '%s'", folder->path);
	*ret_names = names;
	return 0;
}

int store_file_remove(const struct store_folder *folder, const char *name, struct diag *diag)
{
	if (unlinkat(folder->fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	return diag_sys(diag, errno, "cannot remove file '%s/%s'", folder->path, name);
}

bool store_file_is_leftover(const char *name)
{
	return str_starts(str_of(name), STR(BESIDE));
}

/* Who holds it has written its pid, unless it took it this very moment. */
static const char *holder_words(struct arena *arena, int fd, const struct store_folder *folder)
{
	char pid[16] = "";
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

	if (n <= 0)
		return arena_printf(arena, "another bulkhead is changing '%s'", folder->path);
	pid[strcspn(pid, "\n")] = '\0';
	return arena_printf(arena, "another bulkhead (process %s) is changing '%s'", pid,
			    folder->path);
}

static int lock(int fd, const struct store_folder *folder, store_tell *wait, struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();
	int how = LOCK_EX | LOCK_NB;

	while (flock(fd, how)) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return diag_sys(diag, errno, "cannot lock folder '%s'", folder->path);
		if (errno == EINTR)
			continue;
		if (!wait)
			return diag_refuse(diag, -EBUSY, "%s", holder_words(arena, fd, folder));
		wait(arena_printf(arena, "%s; waiting for it to end",
				  holder_words(arena, fd, folder)));
		how = LOCK_EX;
	}
	return 0;
}

int store_file_open_lock(const struct store_folder *folder, const char *name, int create,
			 struct diag *diag, int *ret_fd)
{
	scoped(close) int fd =
		openat(folder->fd, name, O_RDWR | create | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat about;

	if (fd < 0)
		return errno == ENOENT ? -ESTALE
				       : diag_sys(diag, errno, "cannot open file '%s/%s'",
						  folder->path, name);
	if (fstat(fd, &about))
		return diag_sys(diag, errno, "cannot look at file '%s/%s'", folder->path, name);
	if (!S_ISREG(about.st_mode))
		return diag_refuse(diag, -EINVAL, "'%s/%s' is no regular file", folder->path, name);
	*ret_fd = take_fd(fd);
	return 0;
}

int store_file_lock(const struct store_folder *folder, const char *name, store_tell *wait,
		    struct diag *diag, int *ret_fd)
{
	scoped(close) int fd = -1;
	char pid[16];
	int len = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	struct stat about;
	int err = store_file_open_lock(folder, name, O_CREAT, diag, &fd);

	if (!err)
		err = lock(fd, folder, wait, diag);
	if (err)
		return err;
	if (fstat(fd, &about))
		return diag_sys(diag, errno, "cannot look at file '%s/%s'", folder->path, name);
	if (!about.st_nlink)
		return -ESTALE;
	/* For store_work.h: flock tells nobody who does not take it. Where it cannot be had nobody sees us. */
	(void)fcntl(fd, F_SETLK, &(struct flock){.l_type = F_WRLCK});
	/* Written before it is cut, so that it is empty at no moment but the very first. */
	err = write_all(fd, pid, (size_t)len);
	if (!err && ftruncate(fd, len))
		err = -errno;
	if (err)
		return diag_sys(diag, -err, "cannot write file '%s/%s'", folder->path, name);
	*ret_fd = take_fd(fd);
	return 0;
}
