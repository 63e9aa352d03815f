/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The policy in force, opened to be looked at: its maps, its record, its image, and the policy
 * that the image was built from. Changes nothing.
 */
#ifndef CLI_LIVE_H
#define CLI_LIVE_H

#include "classify/build.h"
#include "cli/command.h"
#include "host/facts.h"
#include "kernel/counters.h"
#include "kernel/load.h"
#include "kernel/store.h"
#include "kernel/store_work.h"

/* Images of generations other than the one in force that are kept at a time: all that the store has. */
enum { LIVE_KEPT = 12 };

struct live_kept {
	uint64_t generation;	   /* 0: none */
	const struct image *image; /* NULL: it is lost */
	struct arena *arena;
};

struct live {
	struct load *load;
	struct store *store;
	struct store_record record; /* settled by what the kernel says */
	uint64_t generation;
	struct image image;
	struct policy policy;
	struct live_kept kept[LIVE_KEPT];
	uint32_t n_kept; /* ever; the oldest gives way */
};

void live_close(struct live *live);
static inline void scoped_live_close(struct live *live)
{
	live_close(live);
}

/*
 * Only what the pins tell: the load and the generation in force by it, and the facts of this namespace, which is
 * theirs. -ENOENT as below; *ret_live is to be closed on success.
 */
int live_open_pins(struct context *context, struct host_facts *ret_facts, struct live *ret_live);

/* -ENOENT without words when nothing is enforced here; *ret_live is to be closed on success. */
int live_open(struct context *context, struct live *ret_live);

/* The generation in force by these pins; 0: none. */
int live_active(const char *pins, struct diag *diag, uint64_t *ret_active);

/*
 * An apply or detach that is at work leaves for moments what one that has died leaves for good. Who finds such a
 * thing looks again, while one is; all looks of a command have one of these, all zero before the first.
 */
struct live_looks {
	uint64_t until; /* how long it is worth the while, CLOCK_MONOTONIC in ns */
	struct store_work before, after;
};

/* Who filters here where no policy of these pins is in force that can be read, and what to do about it. */
struct live_instead {
	enum view_filterer by;
	ARRAY(const char *) words; /* none: nobody does */
};

/*
 * live_open. On -ENOENT *ret_instead is: another ABI version; what a first apply or a detach that has died has
 * left; programs whose pins somebody has removed; another instance; or that one is at work. What cannot be
 * asked is among the words.
 */
int live_open_or_instead(struct context *context, struct live_looks *looks, struct live *ret_live,
			 struct live_instead *ret_instead);

/*
 * Whether to look again, from live_open_or_instead on, since what was found may be that of an apply or detach that
 * has been at work. It has been waited for then, two seconds at most in all.
 */
bool live_look_again(struct context *context, struct live_looks *looks);

/* What is to be said where that was false, in place of what was found; NULL: nobody was at work. */
const char *live_tell_work(struct context *context, const struct live_looks *looks);

/* What a look at the links could not see, out of the words about it; NULL: it has seen all. */
const char *live_tell_unseen(struct arena *arena, const struct diag *unseen);

/* The same with words for -ENOENT, for commands that have nothing to show then. */
int live_need(struct context *context, struct live *ret_live);

/* Counters of the policy in force. */
int live_report(const struct live *live, struct arena *arena, struct diag *diag,
		struct counters_report *ret_report);

/*
 * The image of that generation, in force then or before, or come into force since; kept, so that
 * asking again is cheap, until LIVE_KEPT others have been asked for. NULL when it is lost.
 */
const struct image *live_image(struct live *live, uint64_t generation);

/* "group/rule" of a rule of an image, and its place. */
const char *live_rule_path(struct arena *arena, const struct image *image, uint32_t rule);
struct view_place live_rule_place(const struct image *image, uint32_t rule);

/* The name of a link now, else "ifindex N". */
const char *live_link_name(struct arena *arena, const struct host_facts *facts, uint32_t ifindex);

const char *live_reason_name(enum bh_reason reason);

/* never-denied, deny or allow. */
const char *live_reason_kind(enum bh_reason reason);

/*
 * Blocks SIGINT, SIGTERM and, where it is not ignored, SIGHUP, which end what goes on until then, and
 * yields a descriptor that is readable when one came; the caller closes it.
 */
int live_catch_signals(struct diag *diag, int *ret_fd);

/* Whether host.yaml of that image switches the never-denied reason off. */
bool live_reason_off(const struct image *image, enum bh_reason reason);

#endif
