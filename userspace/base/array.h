/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A growing array on an arena. Elements may move when it grows, and what they leave behind may be
 * gone: keep indices, not pointers, and no second copy of the array while it is being filled.
 *
 *	ARRAY(struct rule) rules = {};
 *	array_push(arena, &rules, (struct rule){ .priority = 100 });
 *	for (size_t i = 0; i < rules.len; i++)
 *		use(&rules.at[i]);
 */
#ifndef BASE_ARRAY_H
#define BASE_ARRAY_H

#include <string.h>

#include "base/arena.h"

#define ARRAY(type)          \
	struct {             \
		type *at;    \
		size_t len;  \
		size_t room; \
	}

/* Makes room for one more element of size bytes. */
void array_grow(struct arena *arena, void **at, size_t len, size_t *room, size_t size);

/* Makes room for n elements in all, and no more, where there is less. */
void array_reserve_size(struct arena *arena, void **at, size_t len, size_t *room, size_t n,
			size_t size);

#define array_reserve(arena, array, n)                                                    \
	array_reserve_size(arena, (void **)&(array)->at, (array)->len, &(array)->room, n, \
			   sizeof(*(array)->at))

/* Appends a zeroed element and yields a pointer to it, good until the next push. */
#define array_add(arena, array)                                                                \
	((array)->len < (array)->room ? (void)0                                                \
				      : array_grow(arena, (void **)&(array)->at, (array)->len, \
						   &(array)->room, sizeof(*(array)->at)),      \
	 (__typeof__((array)->at))memset(&(array)->at[(array)->len++], 0, sizeof(*(array)->at)))

#define array_push(arena, array, ...) (*array_add(arena, array) = (__VA_ARGS__))

#define array_last(array) (&(array)->at[(array)->len - 1])

#define ARRAY_LEN(fixed) (sizeof(fixed) / sizeof((fixed)[0]))

#endif
