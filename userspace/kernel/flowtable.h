/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The flow tables, read: walked for those who want to see flows. Entries change meanwhile; one that is
 * being written is passed over.
 */
#ifndef KERNEL_FLOWTABLE_H
#define KERNEL_FLOWTABLE_H

#include "kernel/load.h"

struct flowtable_entry {
	enum bh_table table;
	struct bh_flow_state state;
	uint32_t opened; /* tick >> BH_OPENED_SHIFT, of which it keeps BH_OPENED_MASK */
	/* In tables of IPv4 the first 16 bytes, see struct bh_flow_key4; opened is 0 in it. */
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

/* Holds the pages of the tables, for what follows without CAP_SYS_ADMIN. */
int flowtable_hold(const struct load *load, const struct flowtable_tables *tables,
		   struct diag *diag);

int flowtable_walk(const struct load *load, const struct flowtable_tables *tables,
		   flowtable_take take_entry, void *data, struct diag *diag);

/* Calls take_entry for each live way of one bucket, as it lies in a page. */
void flowtable_walk_bucket(enum bh_table table, const uint8_t *bucket, flowtable_take take_entry,
			   void *data);

/* Ways of a table; buckets of BH_WAYS each. */
uint32_t flowtable_size(const struct bh_config *config, enum bh_table table);

/* Seconds of silence that an entry is allowed, by its state. */
uint32_t flowtable_timeout(const struct bh_config *config, const struct flowtable_entry *entry);

#endif
