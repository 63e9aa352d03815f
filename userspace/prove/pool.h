/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Records of one width, each kept once and numbered from 0 in the order of their first coming.
 * Two are one only when all their words are equal.
 */
#ifndef PROVE_POOL_H
#define PROVE_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/scoped.h"

struct pool {
	size_t n_words; /* of a record; not 0 */
	uint64_t *words;
	uint64_t *hashes; /* of each record */
	uint32_t len;
	uint32_t room;
	uint32_t *slots; /* number + 1; 0 is empty */
	uint32_t mask;
};

struct pool *pool_new(size_t n_words);
void pool_free(struct pool *pool);
SCOPED(struct pool *, pool_free);

uint32_t pool_put(struct pool *pool, const uint64_t *record);

/*
 * The same for a caller that has followed how the words changed, and has a hash of them: all records
 * of one pool come by this call, and equal ones with equal hashes.
 */
uint32_t pool_put_hashed(struct pool *pool, const uint64_t *record, uint64_t hash);

/* Good until the next pool_put. */
static inline const uint64_t *pool_at(const struct pool *pool, uint32_t number)
{
	return pool->words + number * pool->n_words;
}

/* A record of two numbers, for pools of one word. */
static inline uint32_t pool_put_two(struct pool *pool, uint32_t first, uint32_t second)
{
	uint64_t record = (uint64_t)first << 32 | second;

	return pool_put(pool, &record);
}

#endif
