// SPDX-License-Identifier: GPL-2.0-only
/* The records one behind the other, and a table of their numbers that is never over half full. */
#include "prove/pool.h"

#include <string.h>

#include "base/arena.h"

enum { FIRST_ROOM = 64 };

struct pool *pool_new(size_t n_words)
{
	struct pool *pool = mem_calloc(1, sizeof(*pool));

	pool->n_words = n_words;
	pool->room = FIRST_ROOM;
	pool->words = mem_calloc(FIRST_ROOM * n_words, sizeof(*pool->words));
	pool->mask = 2 * FIRST_ROOM - 1;
	pool->slots = mem_calloc(2 * FIRST_ROOM, sizeof(*pool->slots));
	return pool;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	free(pool->words);
	free(pool->slots);
	free(pool);
}

/* The slot that has the record, or the empty one where it belongs. */
static uint32_t find(const struct pool *pool, const uint64_t *record)
{
	uint64_t hash = 0;
	uint32_t slot;

	for (size_t i = 0; i < pool->n_words; i++) {
		hash = (hash ^ record[i]) * 0xd6e8feb86659fd93U;
		hash ^= hash >> 32;
	}
	slot = hash & pool->mask;
	while (pool->slots[slot] && memcmp(pool_at(pool, pool->slots[slot] - 1), record,
					   pool->n_words * sizeof(*record)))
		slot = (slot + 1) & pool->mask;
	return slot;
}

static void grow(struct pool *pool)
{
	pool->room *= 2;
	pool->words = mem_realloc(pool->words, pool->room * pool->n_words, sizeof(*pool->words));
	free(pool->slots);
	pool->mask = 2 * pool->room - 1;
	pool->slots = mem_calloc(2 * (size_t)pool->room, sizeof(*pool->slots));
	for (uint32_t i = 0; i < pool->len; i++)
		pool->slots[find(pool, pool_at(pool, i))] = i + 1;
}

uint32_t pool_put(struct pool *pool, const uint64_t *record)
{
	uint32_t slot = find(pool, record);

	if (pool->slots[slot])
		return pool->slots[slot] - 1;
	if (pool->len == pool->room) {
		grow(pool);
		slot = find(pool, record);
	}
	memcpy(pool->words + pool->len * pool->n_words, record, pool->n_words * sizeof(*record));
	pool->slots[slot] = ++pool->len;
	return pool->len - 1;
}
