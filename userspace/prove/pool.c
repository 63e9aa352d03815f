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
	pool->hashes = mem_calloc(FIRST_ROOM, sizeof(*pool->hashes));
	pool->slots = mem_calloc(2 * FIRST_ROOM, sizeof(*pool->slots));
	return pool;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	free(pool->words);
	free(pool->hashes);
	free(pool->slots);
	free(pool);
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * 0xd6e8feb86659fd93U;
	return hash ^ hash >> 32;
}

/* Four chains, none of which waits for another. */
static uint64_t hash_of(const uint64_t *record, size_t n)
{
	uint64_t chain[4] = {1, 2, 3, 4};
	size_t i = 0;

	for (; i + 4 <= n; i += 4)
		for (size_t c = 0; c < 4; c++)
			chain[c] = mix(chain[c], record[i + c]);
	for (; i < n; i++)
		chain[0] = mix(chain[0], record[i]);
	return mix(mix(mix(chain[0], chain[1]), chain[2]), chain[3]);
}

/* The slot that has the record, or the empty one where it belongs. */
static uint32_t find(const struct pool *pool, const uint64_t *record, uint64_t hash)
{
	uint32_t slot = hash & pool->mask;

	for (; pool->slots[slot]; slot = (slot + 1) & pool->mask)
		if (pool->hashes[pool->slots[slot] - 1] == hash &&
		    !memcmp(pool_at(pool, pool->slots[slot] - 1), record,
			    pool->n_words * sizeof(*record)))
			break;
	return slot;
}

/* No two records are equal, so that each belongs into the next empty slot. */
static void place(struct pool *pool, uint32_t number)
{
	uint32_t slot = pool->hashes[number] & pool->mask;

	while (pool->slots[slot])
		slot = (slot + 1) & pool->mask;
	pool->slots[slot] = number + 1;
}

static void grow(struct pool *pool)
{
	pool->room *= 2;
	pool->words = mem_realloc(pool->words, pool->room * pool->n_words, sizeof(*pool->words));
	pool->hashes = mem_realloc(pool->hashes, pool->room, sizeof(*pool->hashes));
	free(pool->slots);
	pool->mask = 2 * pool->room - 1;
	pool->slots = mem_calloc(2 * (size_t)pool->room, sizeof(*pool->slots));
	for (uint32_t i = 0; i < pool->len; i++)
		place(pool, i);
}

uint32_t pool_put_hashed(struct pool *pool, const uint64_t *record, uint64_t hash)
{
	uint32_t slot = find(pool, record, hash);

	if (pool->slots[slot])
		return pool->slots[slot] - 1;
	if (pool->len == pool->room)
		grow(pool);
	memcpy(pool->words + pool->len * pool->n_words, record, pool->n_words * sizeof(*record));
	pool->hashes[pool->len] = hash;
	place(pool, pool->len);
	return pool->len++;
}

uint32_t pool_put(struct pool *pool, const uint64_t *record)
{
	return pool_put_hashed(pool, record, hash_of(record, pool->n_words));
}
