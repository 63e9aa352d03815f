/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counters: rows of the kernel summed over CPUs, told apart by link; rows summed into rules, reasons
 * and links; and folded into totals when their generation ends. Reading changes nothing.
 */
#ifndef KERNEL_COUNTERS_H
#define KERNEL_COUNTERS_H

#include "classify/image.h"
#include "kernel/load.h"
#include "kernel/store.h"

struct counter {
	uint64_t packets;
	uint64_t bytes;
	uint64_t reply_packets;
	uint64_t reply_bytes;
	uint64_t flows;
	uint64_t would_denied;
	uint64_t last; /* seconds since 1970; 0: never */
};

/* The rows of one generation. */
struct counters {
	uint64_t generation;
	uint32_t n_rows;
	/* BH_LINKS * n_rows; row r of link number l at l * n_rows + r; l 0: no known link */
	struct counter *cells;
};

/* Holds the pages of all counters that lie in the kernel, for counters_read without CAP_SYS_ADMIN. */
int counters_hold(const struct load *load, struct diag *diag);

/* All rows of a generation whose pages lie in the kernel; pages that are missing read as 0. */
int counters_read(const struct load *load, struct arena *arena, uint64_t generation,
		  uint32_t n_rows, struct diag *diag, struct counters *ret_counters);

/* Adds what from holds to what is there. */
void counters_add(struct counter *to, const struct counter *from);

/* The sum of a row over all links. */
struct counter counters_row(const struct counters *counters, uint32_t row);

/* How many rows an image has: BH_FIXED_ROWS and its outcomes. */
uint32_t counters_n_rows(const struct image *image);

/* What happened besides verdicts, since the maps were made. */
int counters_read_notes(const struct load *load, struct diag *diag,
			uint64_t ret_notes[BH_NOTE_COUNT]);

/* What one rule has seen, in this generation and, under the same key, in earlier ones. */
struct counters_rule {
	struct counter count;	/* of every packet for which it decided in its tier, see below */
	struct counter decided; /* of those whose verdict is this rule's own */
	uint64_t since;		/* seconds since 1970 */
};

struct counters_reason {
	struct counter count[BH_DIRECTION_COUNT];
};

/* By interface; name is that of the link when it was covered, "" for no known link. */
struct counters_link {
	const char *name;
	struct counter count[BH_DIRECTION_COUNT]
			    [3]; /* by enum bh_verdict: deny, allow, would-deny */
};

struct counters_report {
	ARRAY(struct counters_rule) rules;		 /* by id in the image */
	struct counters_reason reasons[BH_REASON_COUNT]; /* RULE and NO_GROUP: sums over outcomes */
	ARRAY(struct counters_link) links;
	uint64_t notes[BH_NOTE_COUNT];
	bool incomplete; /* the totals of earlier generations could not be read; a warning says why */
};

/* Where a report comes from: record is settled, image is that of its current generation. */
struct counters_source {
	const struct load *load;
	const struct store *store;
	const struct store_record *record;
	const struct image *image;
};

/*
 * The live generation's rows together with the folded totals, for the rules of the image in force.
 * A packet counts at the rule that it matched in each tier up to the deciding one. Replies count
 * at the rules that admitted their flow.
 */
int counters_report(const struct counters_source *source, struct arena *arena, struct diag *diag,
		    struct counters_report *ret_report);

/*
 * Adds the rows of a generation that is no longer in force to the totals, in memory. image is that
 * generation's, NULL when it is lost: then reasons and links alone are added. No effect when the totals
 * contain it already.
 */
void counters_fold(struct store_totals *totals, struct arena *arena,
		   const struct counters *counters, const struct image *image,
		   const struct store_record *record);

/*
 * Gives every rule of the image that comes into force now its place in the totals: a rule without one
 * counts since now, and so does one whose match is another than in the image before (NULL: none).
 */
void counters_begin(struct store_totals *totals, struct arena *arena, const struct image *image,
		    const struct image *before, uint64_t now);

#endif
