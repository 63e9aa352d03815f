/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that grows and is freed whole. One policy is one arena: source text, nodes, tree,
 * resolved policy and image of one run live in it and go with it. Memory that cannot be had
 * ends the program with one message and status 1: nothing is half applied then, because the
 * kernel goes on enforcing what it enforced.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "base/scoped.h"

struct arena;

struct arena *arena_new(void);

/* Frees the arena and everything that was allocated from it. NULL is allowed. */
void arena_free(struct arena *arena);
SCOPED(struct arena *, arena_free);

/* Zeroed memory of size bytes, aligned for any type; size 0 gives a unique pointer. Never NULL. */
void *arena_alloc(struct arena *arena, size_t size);

/* n zeroed elements of size bytes each; ends the program when n * size overflows. */
void *arena_calloc(struct arena *arena, size_t n, size_t size);

/*
 * new_size bytes that begin with the old_size bytes of a piece, which is no longer to be used. What
 * stands behind them is not zeroed. A large piece grows where it is, or moves as a whole, so
 * that a growing array leaves nothing behind.
 */
void *arena_grow(struct arena *arena, void *piece, size_t old_size, size_t new_size);

/* A copy of size bytes, followed by a NUL that is not counted. */
void *arena_copy(struct arena *arena, const void *data, size_t size);

/* printf into the arena; the result ends in NUL. */
char *arena_printf(struct arena *arena, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *arena, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

/* Bytes handed out so far, for figures shown to the operator. */
size_t arena_size(const struct arena *arena);

/*
 * malloc, calloc and realloc that end the program instead of returning NULL, for large
 * scratch memory that is freed before its arena would be. Freed with free().
 */
void *mem_alloc(size_t size);
void *mem_calloc(size_t n, size_t size);
void *mem_realloc(void *memory, size_t n, size_t size);

#endif
