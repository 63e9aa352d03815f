/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Release at the end of the block. A scoped variable is set where it is declared, and take()
 * is the only way out of it: it hands the value over and leaves the variable empty.
 *
 *	scoped(arena_free) struct arena *arena = arena_new();
 *	scoped(fclose) FILE *in = fopen(path, "re");
 *	scoped(close) int fd = open(path, O_RDONLY | O_CLOEXEC);
 */
#ifndef BASE_SCOPED_H
#define BASE_SCOPED_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Declares what scoped(free_fn) needs, for a pointer type. free_fn is not called with NULL. */
#define SCOPED(type, free_fn)                           \
	static inline void scoped_##free_fn(type *slot) \
	{                                               \
		if (*slot)                              \
			(void)free_fn(*slot);           \
	}                                               \
	struct scoped_needs_a_semicolon

#define scoped(free_fn) __attribute__((cleanup(scoped_##free_fn)))

#define take(variable)                                    \
	({                                                \
		__typeof__(variable) taken_ = (variable); \
		(variable) = (__typeof__(variable))0;     \
		taken_;                                   \
	})

/* A descriptor's empty value is -1, not 0. */
#define take_fd(variable)                \
	({                               \
		int taken_ = (variable); \
		(variable) = -1;         \
		taken_;                  \
	})

static inline void scoped_close(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static inline void scoped_free(void *slot)
{
	free(*(void **)slot);
}

SCOPED(FILE *, fclose);

#endif
