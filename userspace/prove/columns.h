/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The services of a direction side by side, each in a column, and of each the first rule of each
 * tier: for one set of rules after another. Sets have most of their rules in common, so that what
 * comes of those is kept, and a set changes only what its other rules take.
 */
#ifndef PROVE_COLUMNS_H
#define PROVE_COLUMNS_H

#include "prove/pairs.h"
#include "prove/services.h"

enum {
	COLUMNS_BLOCK = 32, /* the outcomes of a block of a row */
	COLUMNS_NONE = UINT32_MAX,
	COLUMNS_NO_RULE = UINT16_MAX,
};

/* Services one behind the other that a rule matches. */
struct columns_run {
	uint32_t first;
	uint32_t end; /* one behind the last */
};

typedef ARRAY(struct columns_run) columns_runs;

/* Rules that all pairs of one point of a side match, whatever stands at the other end. */
struct columns_base {
	uint64_t *rules;
	uint16_t *own[TIER_COUNT]; /* of each column; counted from the direction's first rule */
	uint16_t *now[TIER_COUNT]; /* the same but while a set is at hand */
};

struct columns {
	const struct rules *rules;
	uint32_t n; /* in whole blocks */
	uint32_t *
		service; /* of each column its number, or COLUMNS_NONE: what stands there is no matter */
	columns_runs *runs; /* of each rule */
	int side; /* whose points have a base each, where they are few; else all have one */
	struct columns_base *bases;
	uint32_t n_bases;

	/* Of the set at hand. */
	struct columns_base *base;
	uint64_t *beyond;  /* its rules, without those of the base */
	bool *is_changed;  /* of each block: it is not as that of the base */
	uint32_t *changed; /* those blocks, n_changed */
	uint32_t n_changed;
};

/*
 * The first service of each class of the image stands in the column of that number, up to
 * n_classes; behind them, from a new block on, stand the others.
 */
void columns_init(struct arena *arena, const struct rules *rules,
		  const struct service_points *services, const struct side sides[2],
		  uint32_t n_classes, struct columns *ret_columns);

/* Takes the rules of a pair to hand: columns->base->now has what they come to, until the next. */
void columns_take(struct columns *columns, const struct pair_points *pairs,
		  const struct pair_point *pair);

#endif
