/* SPDX-License-Identifier: GPL-2.0-only */
/* Sets of small numbers as words of bits; what the compiler's steps pass to each other. */
#ifndef CLASSIFY_BITS_H
#define CLASSIFY_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline size_t bits_words(size_t n)
{
	return n ? (n + 63) / 64 : 1;
}

static inline bool bits_have(const uint64_t *bits, size_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

static inline void bits_add(uint64_t *bits, size_t i)
{
	bits[i / 64] |= (uint64_t)1 << (i % 64);
}

static inline void bits_toggle(uint64_t *bits, size_t i)
{
	bits[i / 64] ^= (uint64_t)1 << (i % 64);
}

#define BITS_NONE UINT32_MAX

/* The largest number below end that is in the set and not below first; BITS_NONE: there is none. */
static inline uint32_t bits_below(const uint64_t *bits, uint32_t first, uint32_t end)
{
	uint32_t w = end / 64;
	uint64_t word;

	if (end <= first)
		return BITS_NONE;
	word = end % 64 ? bits[w] & (((uint64_t)1 << end % 64) - 1) : 0;
	while (!word && w * 64 > first)
		word = bits[--w];
	if (!word)
		return BITS_NONE;
	w = w * 64 + 63 - (uint32_t)__builtin_clzll(word);
	return w >= first ? w : BITS_NONE;
}

#endif
