/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The state directory: what the kernel cannot keep. The images by digest, the record of what
 * is in force and the last ten before it, folded counters, and the lock.
 *
 *	lock			flock; holds the pid of its holder, and has a record lock, see store_work.h
 *	images/DIGEST.image	encoded images, never changed once there
 *	record.json		struct store_record
 *	counters.json		struct store_totals
 *
 * Every file is written beside its place, synced, renamed, and the folder synced; each JSON file
 * ends with a line of its SHA-256, so that a cut or altered one is told from a good one and
 * never half believed: -EBADMSG with words.
 */
#ifndef KERNEL_STORE_H
#define KERNEL_STORE_H

#include "base/array.h"
#include "base/diag.h"
#include "classify/image.h"
#include "kernel/store_file.h"

#define STORE_DEFAULT "/var/lib/bulkhead"

enum { STORE_HISTORY = 10 };

/* A generation that was in force, or is about to be. */
struct store_generation {
	uint64_t generation; /* 0: none */
	struct image_digest digest;
	uint64_t applied; /* seconds since 1970 when it came into force; 0: not yet */
	uint32_t n_rows;  /* of its counters */
	/*
	 * That were given to apply as such, as written: all of their files were its sources. Also the place of a
	 * file that was not there.
	 */
	store_names folders;
	/* Where apply ran, which relative paths begin at; NULL, "": not told, as before there was this. */
	const char *from;
	bool asked; /* what for as links is told; not before there was this */
	/* Names and globs of links that are to be covered, as they were written; none: auto. */
	store_names interfaces;
};

/* A covered link under the number by which it counts. */
struct store_link {
	uint32_t number; /* 1 to BH_LINKS - 1 */
	uint32_t ifindex;
	const char *name;
	const char *why_in; /* why ingress does not sit in the first place of its order; "" */
	const char *why_out;
	bool let_go; /* covered no longer; its counters stay under the number for this generation */
};

struct store_record {
	uint32_t abi;
	const char *boot; /* boot_id: pins and namespaces of another boot are gone */
	uint64_t netns_device;
	uint64_t netns_inode; /* 0: of none, as after a detach */
	const char
		*pins;	/* of the instance that it is of; "": not told, as before there was this */
	uint64_t since; /* enforcing without a break since then; 0: not enforcing */
	uint64_t last;	/* highest generation number ever handed out */
	struct store_generation current;	/* as of the writing: see store_settle */
	struct store_generation next;		/* the flip to it was about to be; 0: none */
	ARRAY(struct store_generation) history; /* newest first, at most STORE_HISTORY */
	ARRAY(struct store_link) links;
	ARRAY(struct addr) addresses; /* own ones that were written */
	bool azure_dmi;
};

/* What the link of that number was called when it was covered, else its number in words. */
const char *store_link_name(const struct store_record *record, struct arena *arena,
			    uint32_t ifindex);

/* Counters that outlive their generation. Keys are texts that mean the same in every image. */
struct store_count {
	const char *key; /* "rule\tgroup\tname\tinbound\tdeny", "reason\tarp\tinbound", and so on */
	uint64_t packets;
	uint64_t bytes;
	uint64_t reply_packets;
	uint64_t reply_bytes;
	uint64_t flows;
	uint64_t would_denied;
	uint64_t last;	/* seconds since 1970; 0: never */
	uint64_t since; /* seconds since 1970, from when on this row counts what it counts now */
};

struct store_totals {
	uint64_t folded; /* counters up to this generation are contained */
	uint64_t began;	 /* this generation's rules have their places */
	ARRAY(struct store_count) counts;
};

struct store;

void store_close(struct store *store);
SCOPED(struct store *, store_close);

/*
 * Opens the directory to write: makes it if need be, takes the lock. When another process
 * holds it: -EBUSY with that process's id, or, where wait is not NULL, that is told the same, and it
 * is waited for. The lock goes with the store, or with the process.
 */
int store_open(const char *path, store_tell *wait, struct diag *diag, struct store **ret_store);

/*
 * Removes what store_open had to make, where nothing has been put into it since: what a run that is
 * refused, or has nothing to keep, would leave. Whoever waits for the lock begins anew. Only closing may follow.
 */
void store_take_back(struct store *store);

/*
 * Why store_open would not open it, in its words, as far as that can be told without changing anything; 0
 * where it would, and where another process holds the lock.
 */
int store_check(const char *path, struct diag *diag);

/* Opens it to read, without a lock; -ENOENT without words when there is none. */
int store_open_read(const char *path, struct diag *diag, struct store **ret_store);

const char *store_path(const struct store *store);

/*
 * The record. One that was never written reads as all zero. Texts and arrays are the arena's.
 */
int store_read_record(const struct store *store, struct arena *arena, struct diag *diag,
		      struct store_record *ret_record);
int store_write_record(struct store *store, const struct store_record *record, struct diag *diag);

/*
 * Makes the record agree with the kernel, whose word is active (0: nothing in force): a next that
 * is in force becomes current and the former current history; one of the history that is in force is
 * current again. In memory alone; pure.
 */
void store_settle(struct store_record *record, struct arena *arena, uint64_t active, uint64_t now);

/* Whether a settled record names the policy that is in force; false also where none is. */
bool store_knows_active(const struct store_record *record);

/*
 * -EXDEV with words when the record belongs to another network namespace of this boot than the
 * given one.
 */
int store_check_netns(const struct store *store, const struct store_record *record, uint64_t device,
		      uint64_t inode, struct diag *diag);

int store_read_totals(const struct store *store, struct arena *arena, struct diag *diag,
		      struct store_totals *ret_totals);
int store_write_totals(struct store *store, const struct store_totals *totals, struct diag *diag);

/* Keeps an encoded image under its digest; one that is there already is compared, not written. */
int store_put_image(struct store *store, const struct image_digest *digest,
		    const struct image_encoded *encoded, struct diag *diag);

/* Removes an image, unless the record names it; no error when it is not kept. */
int store_remove_image(struct store *store, const struct store_record *record,
		       const struct image_digest *digest, struct diag *diag);

/* -ENOENT with words when it is not kept; -EBADMSG when it is cut or altered. */
int store_get_image(const struct store *store, const struct image_digest *digest,
		    struct arena *arena, struct diag *diag, struct image *ret_image);

/*
 * Renames a file that cannot be believed to NAME.bad, so that a new one can be begun; for counters
 * alone.
 */
int store_set_totals_aside(struct store *store, struct diag *diag);

/* NULL: the record does not name it. */
const struct store_generation *store_find_generation(const struct store_record *record,
						     uint64_t generation);

/* The image that was in force as that generation, now or before: for events and kept flows. */
int store_get_generation(const struct store *store, const struct store_record *record,
			 uint64_t generation, struct arena *arena, struct diag *diag,
			 struct image *ret_image);

/* Removes images that neither the record nor its history names, and files left half written. */
int store_prune(struct store *store, const struct store_record *record, struct diag *diag);

/* This boot's id. */
const char *store_boot(struct arena *arena);

#endif
