// SPDX-License-Identifier: GPL-2.0-only
/* See kernel/store_work.h. */
#include "kernel/store_work.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/arena.h"
#include "base/scoped.h"

void store_look_for_work(const char *path, struct store_work *ret_work)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(close) int fd = open(arena_printf(arena, "%s/lock", path),
				    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct flock lock = {.l_type = F_WRLCK};
	struct store_work work = {};
	struct stat about;

	*ret_work = work;
	if (fd < 0 || fstat(fd, &about) || fcntl(fd, F_GETLK, &lock))
		return;
	work.is_on = lock.l_type != F_UNLCK;
	work.process = work.is_on && lock.l_pid > 0 ? lock.l_pid : 0;
	work.inode = about.st_ino;
	work.taken = about.st_mtim;
	if (pread(fd, work.last, sizeof(work.last) - 1, 0) < 0)
		work.last[0] = '\0';
	work.last[strcspn(work.last, "\n")] = '\0';
	*ret_work = work;
}

bool store_was_idle(const struct store_work *before, const struct store_work *after)
{
	return !before->is_on && !after->is_on && before->inode == after->inode &&
	       before->taken.tv_sec == after->taken.tv_sec &&
	       before->taken.tv_nsec == after->taken.tv_nsec &&
	       strcmp(before->last, after->last) == 0;
}

void store_await_work(const struct store_work *work, int milliseconds)
{
	scoped(close) int fd = work->process ? (int)syscall(SYS_pidfd_open, work->process, 0) : -1;
	struct pollfd end = {.fd = fd, .events = POLLIN};

	if (fd >= 0)
		(void)poll(&end, 1, milliseconds);
}
