// SPDX-License-Identifier: GPL-2.0-only
/* Memory in blocks that are freed together; see base/arena.h. */
#include <malloc.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/arena.h"

/*
 * Many arenas hold the words of one message; the first block is for them. One that has grown takes
 * as much again as it has, up to what, with malloc's own words, begins and ends with large pages.
 */
enum {
	FIRST_SIZE = 2 * 1024,
	BLOCK_SIZE = 64 * 1024,
	BLOCK_MAX = 4 * 1024 * 1024 - 64,
	LARGE_SIZE = BLOCK_SIZE / 4,
	ADVISED_SIZE = 2 * 1024 * 1024, /* a large page of most machines */
};

struct block {
	struct block *next;
	size_t size; /* of data */
	size_t used;
	_Alignas(max_align_t) char data[];
};

struct arena {
	struct block *blocks; /* the first is the one being filled */
	struct block *large;  /* of one piece each */
	size_t in_blocks;     /* bytes of blocks, large pieces aside */
	size_t size;
};

static _Noreturn void out_of_memory(void)
{
	static const char words[] = "bulkhead: out of memory\n";

	/* Nothing is half applied: the kernel goes on enforcing what it enforced. */
	(void)!write(STDERR_FILENO, words, sizeof(words) - 1);
	_exit(1);
}

static uintptr_t page_size(void)
{
	return (uintptr_t)sysconf(_SC_PAGESIZE);
}

/*
 * Memory as it came, or the end. Large memory shall have large pages where the kernel has them: to be
 * given as much in small ones takes longer than what is then done with it. It is a hint, whose
 * answer does not matter. A whole mapping is named: one of two kinds could no longer grow in place.
 */
static void *checked(void *memory, size_t size)
{
	uintptr_t behind;

	if (!memory)
		out_of_memory();
	if (size >= ADVISED_SIZE) {
		behind = (uintptr_t)memory % page_size();
		(void)madvise((char *)memory - behind, size + behind, MADV_HUGEPAGE);
	}
	return memory;
}

void *mem_alloc(size_t size)
{
	return checked(malloc(size ? size : 1), size);
}

void *mem_calloc(size_t n, size_t size)
{
	return checked(calloc(n ? n : 1, size ? size : 1), n * size);
}

/* Whether malloc gave the memory a mapping of its own: with glibc, two words behind its begin. */
static bool has_mapping(const void *memory)
{
	return (uintptr_t)memory % page_size() == 2 * sizeof(size_t);
}

/* As realloc, which would copy into small pages before anybody can ask for large ones. */
static void *move_large(void *memory, size_t size)
{
	size_t room = malloc_usable_size(memory);
	void *moved;

	if (size <= room)
		return memory;
	moved = mem_alloc(size);
	memcpy(moved, memory, room);
	free(memory);
	return moved;
}

void *mem_realloc(void *memory, size_t n, size_t size)
{
	size_t whole;

	if (__builtin_mul_overflow(n, size, &whole))
		out_of_memory();
	/* A mapping grows without a copy. */
	if (memory && whole >= ADVISED_SIZE && !has_mapping(memory))
		return move_large(memory, whole);
	return checked(realloc(memory, whole ? whole : 1), whole);
}

struct arena *arena_new(void)
{
	return mem_calloc(1, sizeof(struct arena));
}

static void free_blocks(struct block *block)
{
	while (block) {
		struct block *next = block->next;

		free(block);
		block = next;
	}
}

void arena_free(struct arena *arena)
{
	if (arena) {
		free_blocks(arena->blocks);
		free_blocks(arena->large);
	}
	free(arena);
}

static struct block *block_new(size_t size)
{
	struct block *block;

	if (size > SIZE_MAX - sizeof(*block))
		out_of_memory();
	block = mem_calloc(1, sizeof(*block) + size);
	block->size = size;
	return block;
}

static size_t padded(size_t size)
{
	const size_t align = _Alignof(max_align_t);

	if (size > SIZE_MAX - align)
		out_of_memory();
	return size ? (size + align - 1) / align * align : align;
}

static size_t next_size(const struct arena *arena, size_t size)
{
	if (!arena->blocks && size <= FIRST_SIZE)
		return FIRST_SIZE;
	if (arena->in_blocks <= BLOCK_SIZE)
		return BLOCK_SIZE;
	return arena->in_blocks < BLOCK_MAX ? arena->in_blocks : BLOCK_MAX;
}

static struct block *block_for(struct arena *arena, size_t size)
{
	bool large = size > LARGE_SIZE;
	struct block **list = large ? &arena->large : &arena->blocks;
	struct block *first = *list;

	if (!large && first && first->size - first->used >= size)
		return first;
	if (large) {
		*list = block_new(size);
	} else {
		*list = block_new(next_size(arena, size));
		arena->in_blocks += (*list)->size;
	}
	(*list)->next = first;
	return *list;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	size_t whole = padded(size);
	struct block *block = block_for(arena, whole);
	void *memory = block->data + block->used;

	block->used += whole;
	arena->size += whole;
	return memory;
}

/* Where the large block of a piece hangs; NULL when it has none. */
static struct block **large_place(struct arena *arena, const void *piece)
{
	struct block **place = &arena->large;

	while (*place && (*place)->data != piece)
		place = &(*place)->next;
	return *place ? place : NULL;
}

static void *grow_large(struct arena *arena, struct block **place, size_t size)
{
	size_t before = (*place)->used;
	struct block *block;

	if (size > SIZE_MAX - sizeof(*block))
		out_of_memory();
	block = mem_realloc(*place, 1, sizeof(*block) + size);
	arena->size += size - before;
	block->size = block->used = size;
	*place = block;
	return block->data;
}

void *arena_grow(struct arena *arena, void *piece, size_t old_size, size_t new_size)
{
	struct block **place = old_size > LARGE_SIZE / 2 ? large_place(arena, piece) : NULL;
	void *moved;

	if (place)
		return grow_large(arena, place, padded(new_size));
	moved = arena_alloc(arena, new_size);
	if (old_size)
		memcpy(moved, piece, old_size);
	return moved;
}

void *arena_calloc(struct arena *arena, size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		out_of_memory();
	return arena_alloc(arena, total);
}

void *arena_copy(struct arena *arena, const void *data, size_t size)
{
	char *copy = arena_alloc(arena, size + 1);

	if (size)
		memcpy(copy, data, size);
	return copy;
}

char *arena_vprintf(struct arena *arena, const char *format, va_list args)
{
	va_list again;
	char *text;
	int len;

	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, args);
	text = arena_alloc(arena, len > 0 ? (size_t)len + 1 : 1);
	if (len > 0)
		(void)vsnprintf(text, (size_t)len + 1, format, again);
	va_end(again);
	return text;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = arena_vprintf(arena, format, args);
	va_end(args);
	return text;
}

size_t arena_size(const struct arena *arena)
{
	return arena->size;
}
