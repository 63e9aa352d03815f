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

#endif
