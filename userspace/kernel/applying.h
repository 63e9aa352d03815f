/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One run of apply, and its steps: those of applying.c, of numbers.c and of self.c.
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
	int self_page;		 /* of the load, with that table; -1: what is there is the same */
	uint64_t active;	 /* in force when the run began */
	uint64_t now;		 /* seconds since 1970 */
	attach_hooks put;	 /* by this run */
	bpffs_versions versions; /* of other ABIs, below the pins */
	bpffs_names made;	 /* folders on the way to the pins, by this run */
	bool load_is_new;	 /* nothing of this version was pinned before */
	bool is_fresh;		 /* the run that put it into force ended there */
	bool is_bereft;		 /* nothing is, but by programs whose maps have lost their pins */
	bool taken_over;	 /* links of another ABI's folder got this one's programs */
	bool links_written;	 /* the kernel's numbers of links are those of this run's record */
	bool announced;		 /* the record names what is to come */
	bool unwritten;		 /* the record does not name all that was done, as an error says */
	bool has_totals;	 /* totals are what the state directory holds */
	struct store_totals totals;
	bool state_is_new; /* the next generation has state pages of its own */
	bool carries;	   /* packets look for flows in the other slot, too; see kernel/carry.h */
	bool listed;	   /* the result's hooks are what the kernel has */
	struct apply_result result;
};

/*
 * Opens what only an id opens, which takes CAP_SYS_ADMIN, for all of the run: pages that it reads,
 * or puts in another slot, and what it may find on the links.
 */
int applying_hold(struct applying *run);

/* The counters of generations that are no longer in force, into the totals. */
int applying_fold(struct applying *run);

/*
 * Counters of the generation in force for the numbers of links that are new: its programs are put
 * on them before the next generation comes into force.
 */
int applying_count_links(struct applying *run, uint32_t fresh);

/* The numbers by which links count, as bits; 0 is that of no known link. */
uint32_t applying_used_numbers(const struct store_record *record);

/*
 * Gives the wanted links their numbers, in the record, and returns those that are new. All find one: there
 * are fewer than numbers.
 */
uint32_t applying_number_links(struct applying *run);

/* Whether there are links by then that the record of before did not say to be covered. */
bool applying_covers_more(const struct applying *run, const struct store_record *before);

/* The numbers into the kernel. */
int applying_write_links(struct applying *run);

/*
 * Lets go of links that are covered no longer; and frees the numbers of those that were let go before, once
 * the counters of the generation before are in the totals. Not at once: between the flip and the moment when
 * its programs go a link has counted in the new generation, too.
 */
int applying_settle_links(struct applying *run);

/* The state pages of a slot: those of the generation in force, or new and empty ones. */
int applying_prepare_state(struct applying *run, uint32_t slot);

/*
 * Flows into state pages that are new. Packets find those of the generation before, from right
 * before the flip until all are carried over, which comes first behind it; or until it is taken
 * back.
 */
int applying_begin_carrying(struct applying *run, uint64_t next);
int applying_carry_flows(struct applying *run);
int applying_end_carrying(struct applying *run);

/* What a run that died in between has left of that, before anything is touched. */
int applying_carry_left(struct applying *run);

/* After the flip: the other slot lets go of pages of another size. */
int applying_settle_state(struct applying *run, uint32_t slot);

/*
 * The image and the record of what is about to come into force, so that whatever is after a kill can be
 * named: both sides of the flip are in the record. On an error the image is gone again, unless
 * generations before use it.
 */
int applying_announce(struct applying *run, uint64_t next);

/* Programs on all links that are wanted. */
int applying_attach(struct applying *run);

/* Takes off again what this run has put where nothing of ours was, as far as it can be. */
int applying_undo_links(struct applying *run);

/* Takes off what is not wanted any more, and lists what is there. */
int applying_remove_links(struct applying *run);

/*
 * The last look, at that list: -ENODEV with words where a wanted hook has no program of this run. 0
 * when there is no list, of which a warning has told.
 */
int applying_check_links(const struct applying *run);

/* Folders of other ABI versions; and their end, once nothing on a wanted link is theirs. */
int applying_find_versions(struct applying *run);
int applying_remove_versions(struct applying *run);

/*
 * The table of own addresses where they have changed: made; and put, as late as can be, as packets of the
 * generation in force read it from then on, too. Only then the record has them.
 */
int applying_make_self(struct applying *run);
int applying_put_self(struct applying *run);

/*
 * Whether the policy asks for own addresses and these are others than those in the kernel, or than those
 * that the generation in force came with, which a run that died before its flip has replaced in the
 * kernel. Live flows were judged by other ones: with the same image a new generation judges them again.
 */
int applying_finds_other_self(struct applying *run, bool *ret_other);

#endif
