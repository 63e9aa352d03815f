/* SPDX-License-Identifier: GPL-2.0-only */
/* Counts, sizes and times as people read them; the texts are the arena's. */
#ifndef CLI_WORDS_H
#define CLI_WORDS_H

#include <stdint.h>

#include "base/arena.h"

/* "1 prefix", "2 prefixes". */
const char *words_count(struct arena *arena, uint64_t n, const char *one, const char *several);

/* "512 B", "1.5 KB", "26 MB": of 1,024 each. */
const char *words_bytes(struct arena *arena, uint64_t size);

/* "7s", "2m05s", "3h20m", "1d04h". */
const char *words_span(struct arena *arena, uint64_t seconds);

/* UTC of seconds since 1970; "never" of 0. */
const char *words_instant(struct arena *arena, uint64_t seconds);

#endif
