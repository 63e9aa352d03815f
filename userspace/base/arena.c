// SPDX-License-Identifier: GPL-2.0-only
/* Memory in blocks that are freed together; see base/arena.h. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

enum { BLOCK_SIZE = 64 * 1024 };

struct block {
	struct block *next;
	size_t size; /* of data */
	size_t used;
	_Alignas(max_align_t) char data[];
};

struct arena {
	struct block *blocks; /* the first is the one being filled */
	size_t size;
};

static _Noreturn void out_of_memory(void)
{
	static const char words[] = "bulkhead: out of memory\n";

	/* Nothing is half applied: the kernel goes on enforcing what it enforced. */
	(void)!write(STDERR_FILENO, words, sizeof(words) - 1);
	_exit(1);
}

void *mem_alloc(size_t size)
{
	void *memory = malloc(size ? size : 1);

	if (!memory)
		out_of_memory();
	return memory;
}

void *mem_calloc(size_t n, size_t size)
{
	void *memory = calloc(n ? n : 1, size ? size : 1);

	if (!memory)
		out_of_memory();
	return memory;
}

void *mem_realloc(void *memory, size_t n, size_t size)
{
	void *moved = reallocarray(memory, n ? n : 1, size ? size : 1);

	if (!moved)
		out_of_memory();
	return moved;
}

struct arena *arena_new(void)
{
	return mem_calloc(1, sizeof(struct arena));
}

void arena_free(struct arena *arena)
{
	struct block *block = arena ? arena->blocks : NULL;

	while (block) {
		struct block *next = block->next;

		free(block);
		block = next;
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

/* A large piece gets a block of its own behind the one that is being filled. */
static struct block *block_for(struct arena *arena, size_t size)
{
	struct block *first = arena->blocks;
	struct block *block;

	if (first && first->size - first->used >= size)
		return first;
	if (size <= BLOCK_SIZE / 4 || !first) {
		block = block_new(size > BLOCK_SIZE ? size : BLOCK_SIZE);
		block->next = first;
		arena->blocks = block;
		return block;
	}
	block = block_new(size);
	block->next = first->next;
	first->next = block;
	return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	const size_t align = _Alignof(max_align_t);
	struct block *block;
	size_t padded;
	void *memory;

	if (size > SIZE_MAX - align)
		out_of_memory();
	padded = size ? (size + align - 1) / align * align : align;
	block = block_for(arena, padded);
	memory = block->data + block->used;
	block->used += padded;
	arena->size += padded;
	return memory;
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

char *arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args, again;
	char *text;
	int len;

	va_start(args, format);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	text = arena_alloc(arena, len > 0 ? (size_t)len + 1 : 1);
	if (len > 0)
		(void)vsnprintf(text, (size_t)len + 1, format, again);
	va_end(again);
	return text;
}

size_t arena_size(const struct arena *arena)
{
	return arena->size;
}
