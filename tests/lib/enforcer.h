/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The programs loaded for a test: not attached, not pinned, with maps of their own and a clock
 * that the test moves. Packets go through them by BPF_PROG_RUN. Whatever fails in here ends the
 * test with words: a test has no use for half an enforcer.
 */
#ifndef TESTS_ENFORCER_H
#define TESTS_ENFORCER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/scoped.h"
#include "bpf/abi.h"
#include "classify/image.h"
#include "policy/eval.h"

enum enforcer_program {
	ENFORCER_XDP,
	ENFORCER_XDP_FRAGS,
	ENFORCER_TC_IN,
	ENFORCER_TC_OUT,
	ENFORCER_PROGRAM_COUNT,
	ENFORCER_CARRY = ENFORCER_PROGRAM_COUNT, /* takes orders, and no packets */
	ENFORCER_LOADED_COUNT,
};

struct enforcer;

/* False: the caller has not the right to load programs, and the test is skipped. */
bool enforcer_is_possible(void);

/* All programs, with the frags one where the kernel knows it. Nothing is in force. */
struct enforcer *enforcer_new(void);

/* With all that a machine needs which reorders loads, whatever this one does. */
struct enforcer *enforcer_new_reordering(void);

void enforcer_free(struct enforcer *enforcer);
SCOPED(struct enforcer *, enforcer_free);

bool enforcer_has(const struct enforcer *enforcer, enum enforcer_program program);

/* To attach it; it stays the enforcer's. */
int enforcer_program_fd(const struct enforcer *enforcer, enum enforcer_program program);

/* Of one program, as the verifier counted them. */
uint32_t enforcer_instructions(const struct enforcer *enforcer, enum enforcer_program program);

/*
 * Brings an image into force as the next generation, with empty counters. Flows live on as long
 * as the tables keep their sizes; enforcer_forget empties them, and the limits of events.
 */
void enforcer_apply(struct enforcer *enforcer, const struct image *image);
void enforcer_forget(struct enforcer *enforcer);

/*
 * The same, with state pages of its own, empty: flows stay in the tables of the generation before. Only
 * enforcer_carry may come behind it, and then no other apply.
 */
void enforcer_apply_apart(struct enforcer *enforcer, const struct image *image);

/* What the loader would ask of the program that carries flows over, and its answer. */
uint32_t enforcer_carry(const struct enforcer *enforcer, enum bh_carry what, enum bh_table table,
			uint32_t first);

uint64_t enforcer_generation(const struct enforcer *enforcer);

/* A map by its name, for those who look into it; it stays the enforcer's. */
int enforcer_map(const struct enforcer *enforcer, const char *name);

/* Own addresses, from now on; without this call no address is the host's own. */
void enforcer_set_self(struct enforcer *enforcer, const addr_list *self);

/* Numbers a link; number below BH_LINKS. */
void enforcer_set_link(struct enforcer *enforcer, uint32_t ifindex, uint16_t number);

/* Watches until this tick; 0: not. */
void enforcer_watch(struct enforcer *enforcer, uint64_t until);

/* The clock: 1000 jiffies a second, from 2^20 on. */
void enforcer_advance(struct enforcer *enforcer, uint64_t jiffies);
uint64_t enforcer_jiffies(const struct enforcer *enforcer);

/* What the hook knows besides bytes; all zero is an ordinary packet. */
struct enforcer_context {
	uint32_t gso_segments; /* tc */
	uint32_t gso_size;
	uint32_t wire_length;
	uint32_t linear; /* XDP with frags: bytes of the first buffer; 0: as many as fit */
};

/* Whether the kernel can cut a frame for XDP where linear says (from 6.18 on). */
bool enforcer_can_cut(const struct enforcer *enforcer);

/* Whether the packet passes. context NULL: an ordinary one. */
bool enforcer_run(const struct enforcer *enforcer, enum enforcer_program program, const void *data,
		  size_t size, const struct enforcer_context *context);

/* Mean ns of one run out of n, for figures that nothing depends on. */
uint32_t enforcer_time(const struct enforcer *enforcer, enum enforcer_program program,
		       const void *data, size_t size, uint32_t n);

/* A counter row of the generation in force, summed over CPUs. */
struct bh_row enforcer_row(const struct enforcer *enforcer, uint32_t link, uint32_t row);
uint32_t enforcer_reason_row(enum bh_reason reason, enum bh_direction direction);

/* Rows that exist: those of reasons and one per outcome. */
uint32_t enforcer_n_rows(const struct enforcer *enforcer);

/* All of link's rows added up. */
struct bh_row enforcer_total(const struct enforcer *enforcer, uint32_t link);

/*
 * The one row of link 0 that has changed since the last call, and by what. False when it was none or
 * more than one.
 */
bool enforcer_changed(struct enforcer *enforcer, uint32_t *ret_row, struct bh_row *ret_by);

/*
 * The same, cheaper where guess is the row: then no other one is looked at, and a second that has
 * changed is found by the next call that looks at all of them.
 */
bool enforcer_changed_at(struct enforcer *enforcer, uint32_t guess, uint32_t *ret_row,
			 struct bh_row *ret_by);

uint64_t enforcer_note(const struct enforcer *enforcer, enum bh_note note);

/* Takes the events out of the ring, at most max; returns how many there were. */
size_t enforcer_events(struct enforcer *enforcer, struct bh_event *events, size_t max);

#endif
