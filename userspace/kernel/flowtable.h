/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The flow tables, read: walked for those who want to see flows, and carried over into tables of
 * another size. Entries change while they are read; one that is being written is passed over.
 */
#ifndef KERNEL_FLOWTABLE_H
#define KERNEL_FLOWTABLE_H

#include "kernel/load.h"

struct flowtable_entry {
	enum bh_table table;
	struct bh_flow_state state;
	/* In tables of IPv4 the first 16 bytes, see struct bh_flow_key4. */
	union {
		struct bh_flow_key4 four;
		struct bh_flow_key6 six;
	} key;
};

/* Called for each live way, also one past its time-out. */
typedef void (*flowtable_take)(void *data, const struct flowtable_entry *entry);

/* The tables of a generation; config is that of its image. */
struct flowtable_tables {
	uint64_t generation;
	const struct bh_config *config;
};

int flowtable_walk(const struct load *load, const struct flowtable_tables *tables,
		   flowtable_take take_entry, void *data, struct diag *diag);

/* Calls take_entry for each live way of one bucket, as it lies in a page. */
void flowtable_walk_bucket(enum bh_table table, const uint8_t *bucket, flowtable_take take_entry,
			   void *data);

/*
 * Puts an entry into an empty way of a bucket that no packet reads yet. Of established ways TCP takes
 * the upper ones first, and the lower two are all that others may have, as bpf/flowinsert.bpf.h has it.
 * False: there is none.
 */
bool flowtable_enter_bucket(uint8_t *bucket, const struct flowtable_entry *entry);

/* Ways of a table; buckets of BH_WAYS each. */
uint32_t flowtable_size(const struct bh_config *config, enum bh_table table);

/* Seconds of silence that an entry is allowed, by its state. */
uint32_t flowtable_timeout(const struct bh_config *config, const struct flowtable_entry *entry);

/*
 * Enters the live flows and fragments of one generation into the empty tables of the next, whose
 * pages no packet reads yet. What finds no way is left out: *ret_n says how many came over.
 */
int flowtable_copy(const struct load *load, const struct flowtable_tables *from,
		   const struct flowtable_tables *to, struct diag *diag, uint32_t *ret_n);

#endif
