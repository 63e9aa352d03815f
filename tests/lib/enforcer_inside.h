/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the enforcer share; nobody else looks in here. */
#ifndef TESTS_ENFORCER_INSIDE_H
#define TESTS_ENFORCER_INSIDE_H

#include "base/arena.h"
#include "base/diag.h"
#include "tests/lib/enforcer.h"

struct enforce;
struct ring_buffer;

enum { ENFORCER_LINKS = 2 }; /* that have counters */

struct enforcer {
	struct arena *arena;
	struct diag *diag;
	struct enforce *skeleton;
	struct ring_buffer *ring;
	int programs[ENFORCER_LOADED_COUNT]; /* -1: this kernel does not know it */
	int held_fd;			     /* locks those of enforcer-hold; 0: they are our own */
	uint64_t generation;
	uint64_t jiffies;
	uint32_t n_rows;
	uint32_t n_image_pages[2]; /* of each slot */
	uint32_t n_state_pages;
	int n_cpus;
	bool can_cut;
	/*
	 * Descriptors of the pages that are put, 0: none yet. They are written over in place, since to
	 * put another map waits until no packet sees the one before.
	 */
	int image[2 * BH_IMAGE_PAGES];
	int counters[2 * ENFORCER_LINKS * BH_ROW_PAGES];
	int state[BH_STATE_PAGES];
	int apart[BH_STATE_PAGES]; /* of the generation in force alone */
	int self;
	struct bh_row *rows; /* of every CPU, as they were at the last call of enforcer_changed */
	struct bh_row *scratch;
	struct bh_event *events; /* of the enforcer_events under way */
	size_t events_max;
	size_t events_len;
};

/* Ends the test with words, and with what the loader has said. */
void __attribute__((format(printf, 2, 3), noreturn))
enforcer_fail(const struct enforcer *enforcer, const char *format, ...);
void enforcer_must(const struct enforcer *enforcer, int err, const char *what);

/* Puts state pages under elements from first on. */
void enforcer_put_state(const struct enforcer *enforcer, uint32_t first, const int *fds,
			uint32_t n);

/* In the environment: whose programs to take, as written by enforcer-hold. */
#define ENFORCER_HELD "ENFORCER_HELD"

/*
 * Takes the programs that are held for this process, with maps as after loading but for pages, which
 * stand and get written over. False: none are held. The skeleton is open and not loaded.
 */
bool enforcer_take_held(struct enforcer *enforcer);

#endif
