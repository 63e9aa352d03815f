/* SPDX-License-Identifier: GPL-2.0-only */
/* Folders that decide what is enforced must be nobody else's to write. */
#ifndef KERNEL_PRIVATE_H
#define KERNEL_PRIVATE_H

#include "base/diag.h"

/*
 * -EPERM with words when others could put files of their own into the folder that fd is open on: it
 * belongs to another user than root or the caller, or its group or others may write it.
 */
int private_check(int fd, const char *path, struct diag *diag);

#endif
