// SPDX-License-Identifier: GPL-2.0-only
/* The growing of arrays on an arena; see base/array.h. */
#include "base/array.h"

#include <stdint.h>

/* Of the first room: lists of one element are many. */
enum { FIRST_SIZE = 64 };

void array_grow(struct arena *arena, void **at, size_t len, size_t *room, size_t size)
{
	size_t more = *room ? *room * 2 : size < FIRST_SIZE ? FIRST_SIZE / size : 1;

	*at = arena_grow(arena, *at, len * size, more * size);
	*room = more;
}

void array_reserve_size(struct arena *arena, void **at, size_t len, size_t *room, size_t n,
			size_t size)
{
	size_t bytes;

	if (n <= *room)
		return;
	if (__builtin_mul_overflow(n, size, &bytes))
		bytes = SIZE_MAX; /* which ends the program */
	*at = arena_grow(arena, *at, len * size, bytes);
	*room = n;
}
