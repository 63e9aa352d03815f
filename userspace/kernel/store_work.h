/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether somebody changes something with a state, for those who only look: they take no lock, not for a
 * moment, since a run that does not wait would be refused because of them.
 */
#ifndef KERNEL_STORE_WORK_H
#define KERNEL_STORE_WORK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* What the lock of a state looked like. */
struct store_work {
	bool is_on;	       /* somebody holds it */
	pid_t process;	       /* that does; 0: none, or one that is not seen from here */
	char last[16];	       /* what the last one that took it has written; "" */
	uint64_t inode;	       /* of its file; 0: there is none */
	struct timespec taken; /* when that was written */
};

/* What cannot be looked at looks as if there were none. */
void store_look_for_work(const char *path, struct store_work *ret_work);

/* Whether nobody has held the lock at both looks or between them. */
bool store_was_idle(const struct store_work *before, const struct store_work *after);

/* Waits for the process to end, so long at most; at once where it is not seen from here. */
void store_await_work(const struct store_work *work, int milliseconds);

#endif
