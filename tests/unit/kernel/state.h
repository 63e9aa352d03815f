/* SPDX-License-Identifier: GPL-2.0-only */
/* A state directory of a test's own, and records to put into it. */
#ifndef TESTS_UNIT_KERNEL_STATE_H
#define TESTS_UNIT_KERNEL_STATE_H

#include "kernel/store.h"

struct at {
	struct arena *arena;
	struct diag *diag;
	char *folder;
	struct store *store;
};

void at_init(struct at *at);
void at_fini(struct at *at);

/* A path below the folder. */
const char *at_path(struct at *at, const char *name);

/* The words of the last message. */
const char *words(const struct diag *diag);

/* A generation that differs from every other in all that is kept of it. */
struct store_generation generation(uint64_t number);

/* A record with something in each of its places. */
struct store_record full_record(struct arena *arena);

void same_record(const struct store_record *a, const struct store_record *b);

#endif
