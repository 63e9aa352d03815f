/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One run of apply, and its steps that stand in files of their own.
 */
#ifndef KERNEL_APPLYING_H
#define KERNEL_APPLYING_H

#include "kernel/apply.h"
#include "kernel/bpffs.h"

struct applying {
	struct arena *arena;
	const struct apply_request *request;
	struct diag *diag;
	struct store *store;
	struct load *load;
	struct probe probe;
	struct store_record record;
	struct bh_self *self;	 /* the table of own addresses to be */
	uint64_t active;	 /* in force when the run began */
	uint64_t now;		 /* seconds since 1970 */
	attach_hooks put;	 /* by this run */
	bpffs_versions versions; /* of other ABIs, below the pins */
	bool is_fresh;		 /* the run that put it into force ended there */
	bool taken_over;	 /* links of another ABI's folder got this one's programs */
	bool announced;		 /* the record names both sides of the flip */
	uint64_t carried_from;	 /* clock_ns() when flows began to be carried over; 0: none were */
	bool state_is_new;	 /* the next generation has state pages of its own */
	struct apply_result result;
};

/* The counters of generations that are no longer in force, into the totals. */
int applying_fold(struct applying *run);

/*
 * Counters of the generation in force for the numbers of links that are new: its programs are put on them
 * before the next generation comes into force.
 */
int applying_count_links(struct applying *run, uint32_t fresh);

/* The state pages of a slot: those of the generation in force, or new and empty ones. */
int applying_prepare_state(struct applying *run, uint32_t slot);

/*
 * The flows of the generation in force into state pages that are new. Right before the flip: what is
 * opened between the two is in the old tables alone.
 */
int applying_carry_flows(struct applying *run, uint32_t slot);

/* After the flip: tells for how long flows that opened were not carried over, if any could be. */
void applying_tell_flows(struct applying *run);

/* After the flip: the other slot lets go of pages of another size. */
int applying_settle_state(struct applying *run, uint32_t slot);

/* Programs on all links that are wanted. */
int applying_attach(struct applying *run);

/* Takes off again what this run has put where nothing of ours was, as far as it can be. */
int applying_undo_links(struct applying *run);

/* Takes off what is not wanted any more, and lists what is there. */
int applying_remove_links(struct applying *run);

/* Folders of other ABI versions; and their end, once nothing on a wanted link is theirs. */
int applying_find_versions(struct applying *run);
int applying_remove_versions(struct applying *run);

#endif
