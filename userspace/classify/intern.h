/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Records, each kept once and numbered from 0 in the order of their first coming: the way in
 * which the compiler finds equal things, whether sets of rules or blocks of a table. Equality is
 * of bytes, never of hashes alone; the order does not depend on the machine.
 */
#ifndef CLASSIFY_INTERN_H
#define CLASSIFY_INTERN_H

#include <stdint.h>

#include "base/scoped.h"

struct intern;

struct intern *intern_new(void);
void intern_free(struct intern *intern);
SCOPED(struct intern *, intern_free);

/* The number of the record with these bytes. size may be 0. */
uint32_t intern_put(struct intern *intern, const void *record, size_t size);

/*
 * The same for a caller that knows a hash of the bytes, because it has followed how they changed: equal
 * bytes have equal hashes, all those of one intern are of this call, and its low bits tell records apart.
 */
uint32_t intern_put_hashed(struct intern *intern, const void *record, size_t size, uint64_t hash);

/* A record, aligned to 8 bytes; good until the next intern_put. */
const void *intern_get(const struct intern *intern, uint32_t id);
size_t intern_size(const struct intern *intern, uint32_t id);

uint32_t intern_len(const struct intern *intern);

/* Forgets the records from number len on. */
void intern_cut(struct intern *intern, uint32_t len);

#endif
