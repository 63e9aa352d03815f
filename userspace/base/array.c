// SPDX-License-Identifier: GPL-2.0-only
/* The growing of arrays on an arena; see base/array.h. */
#include "base/array.h"

void array_grow(struct arena *arena, void **at, size_t len, size_t *room, size_t size)
{
	size_t more = *room ? *room * 2 : 8;
	void *moved = arena_calloc(arena, more, size);

	if (len)
		memcpy(moved, *at, len * size);
	*at = moved;
	*room = more;
}
