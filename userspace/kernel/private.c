// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/private.h"

#include <errno.h>
#include <sys/stat.h>

int private_check(int fd, const char *path, struct diag *diag)
{
	struct stat about;

	if (fstat(fd, &about))
		return diag_sys(diag, errno, "cannot look at folder '%s'", path);
	if (about.st_uid != 0 && about.st_uid != geteuid())
		return diag_refuse(diag, -EPERM, "folder '%s' belongs to user %u, not to root",
				   path, about.st_uid);
	if (about.st_mode & 022)
		return diag_refuse(diag, -EPERM,
				   "folder '%s' may be written by others (mode %04o); run 'chmod "
				   "go-w %s'",
				   path, about.st_mode & 07777, path);
	return 0;
}
