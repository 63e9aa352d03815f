/* SPDX-License-Identifier: GPL-2.0-only */
/* Sets of small numbers as words of bits. */
#ifndef PROVE_SET_H
#define PROVE_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The words of a set of numbers below n; at least one. */
static inline size_t set_words(size_t n)
{
	return n / 64 + 1;
}

static inline bool set_has(const uint64_t *set, size_t number)
{
	return (set[number / 64] & (uint64_t)1 << number % 64) != 0;
}

static inline void set_put(uint64_t *set, size_t number, bool in)
{
	uint64_t bit = (uint64_t)1 << number % 64;

	if (in)
		set[number / 64] |= bit;
	else
		set[number / 64] &= ~bit;
}

/* Takes the numbers from that one on and below end out of the set. */
static inline void set_empty(uint64_t *set, size_t from, size_t end)
{
	while (from < end) {
		size_t next = (from / 64 + 1) * 64;
		uint64_t keep = from % 64 ? ~(uint64_t)0 >> (64 - from % 64) : 0;

		if (end < next)
			keep |= ~(uint64_t)0 << end % 64;
		set[from / 64] &= keep;
		from = next;
	}
}

/* The least number that both sets have from that one on and below end; end: there is none. */
static inline size_t set_next_of_both(const uint64_t *one, const uint64_t *other, size_t from,
				      size_t end)
{
	uint64_t word;

	while (from < end) {
		word = (one[from / 64] & other[from / 64]) >> from % 64;
		if (word) {
			from += (size_t)__builtin_ctzll(word);
			return from < end ? from : end;
		}
		from = (from / 64 + 1) * 64;
	}
	return end;
}

/* The same of one set. */
static inline size_t set_next(const uint64_t *set, size_t from, size_t end)
{
	return set_next_of_both(set, set, from, end);
}

#endif
