/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The state tables of an enforcer as they lie in its maps: what entry a packet has left behind,
 * how many there are, and ways that look as if another CPU were about to fill them.
 */
#ifndef TESTS_FLOWS_H
#define TESTS_FLOWS_H

#include "kernel/flowtable.h"
#include "policy/tuple.h"
#include "tests/lib/enforcer.h"

/*
 * Of the tables that config places, which must be the one in force. Aborts at an entry without its
 * tag.
 */
void flows_walk(const struct enforcer *enforcer, const struct bh_config *config,
		enum bh_table table, flowtable_take take_entry, void *data);

/* Live ways of a table, those past their time-out included. */
uint32_t flows_count(const struct enforcer *enforcer, const struct bh_config *config,
		     enum bh_table table);

/*
 * The entry of the flow that the tuple opened or would open, and how many there are of it in both
 * tables of its family together; ret_entry is the last one. ICMP: of a frame out of frame_of_tuple.
 */
uint32_t flows_find(const struct enforcer *enforcer, const struct bh_config *config,
		    const struct tuple *opener, struct flowtable_entry *ret_entry);

/* BH_FLOW_*, without the kind. */
uint32_t flows_flags(const struct flowtable_entry *entry);

/* Makes every way of a table one that somebody is writing, so that none can be claimed. */
void flows_occupy(const struct enforcer *enforcer, const struct bh_config *config,
		  enum bh_table table);

#endif
