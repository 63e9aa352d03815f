/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The small tables that stand beside the image, as bytes: own addresses, links, and how many pages
 * the state takes. Pure but for the random numbers that perfect hashing draws.
 */
#ifndef KERNEL_TABLES_H
#define KERNEL_TABLES_H

#include "base/addr.h"
#include "base/diag.h"
#include "bpf/abi.h"
#include "kernel/store.h"

/* -E2BIG with words when no seed places all of them. */
int tables_make_self(const struct addr *addresses, size_t n, struct diag *diag,
		     struct bh_self *ret_self);

/* The addresses of a table, sorted. */
void tables_read_self(const struct bh_self *self, struct arena *arena, addr_ranges *ret_addresses);

/* At most TABLES_LINKS_MAX, of different ifindex; several may have one number. */
enum { TABLES_LINKS_MAX = 2 * (BH_LINKS - 1) };
void tables_make_links(const struct store_link *links, size_t n, struct bh_links *ret_links);

/* Bytes of a way and of a bucket of a state table. */
uint32_t tables_way_size(enum bh_table table);
uint32_t tables_bucket_size(enum bh_table table);

/* Pages that the state tables of a configuration take, from page 0 on. */
uint32_t tables_state_pages(const struct bh_config *config);

#endif
