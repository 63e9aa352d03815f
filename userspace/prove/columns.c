// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether a rule of a base is in the set of a pair does not matter for what is proven: it does match
 * the pair, and a set lacks only what stands behind a rule for all services.
 */
#include "prove/columns.h"

#include <assert.h>

#include "prove/set.h"

enum { BASES_MAX = 64 };

/* ---- columns ---- */

/* Places each service, and tells how many columns there are. */
static void place_services(struct arena *arena, const struct service_points *services,
			   uint32_t n_classes, struct columns *columns)
{
	uint32_t next = (n_classes + COLUMNS_BLOCK - 1) / COLUMNS_BLOCK * COLUMNS_BLOCK;
	size_t room = next + services->all.len + COLUMNS_BLOCK;

	columns->service = arena_alloc(arena, room * sizeof(*columns->service));
	memset(columns->service, 0xff, room * sizeof(*columns->service));
	for (uint32_t i = 0; i < services->all.len; i++) {
		uint32_t class = services->all.at[i].class;
		bool first = class < n_classes && columns->service[class] == COLUMNS_NONE;

		columns->service[first ? class : next++] = i;
	}
	columns->n = (next + COLUMNS_BLOCK - 1) / COLUMNS_BLOCK * COLUMNS_BLOCK;
}

/* A column without a service is as the one before it, so that runs go on. */
static void find_runs(struct arena *arena, const struct service_points *services,
		      struct columns *columns)
{
	size_t n_words = set_words(columns->rules->n);
	const uint64_t *none = arena_calloc(arena, n_words, sizeof(*none));
	uint32_t *since = arena_calloc(arena, n_words * 64, sizeof(*since));
	const uint64_t *before = none;

	columns->runs = arena_calloc(arena, n_words * 64, sizeof(*columns->runs));
	for (uint32_t c = 0; c <= columns->n; c++) {
		const uint64_t *here = before;

		if (c == columns->n)
			here = none;
		else if (columns->service[c] != COLUMNS_NONE)
			here = pool_at(services->rules,
				       services->all.at[columns->service[c]].rules);
		for (size_t w = 0; w < n_words; w++)
			for (uint64_t differ = here[w] ^ before[w]; differ; differ &= differ - 1) {
				size_t r = w * 64 + (size_t)__builtin_ctzll(differ);

				if (set_has(here, r))
					since[r] = c;
				else
					array_push(arena, &columns->runs[r],
						   (struct columns_run){since[r], c});
			}
		before = here;
	}
}

/* ---- the rules of a set ---- */

static void change(struct columns *columns, uint32_t block)
{
	if (!columns->is_changed[block])
		columns->changed[columns->n_changed++] = block;
	columns->is_changed[block] = true;
}

/* The least of what stands in n columns and the rule. True: it was the rule somewhere. */
static inline bool lower(uint16_t *column, uint32_t n, uint16_t rule)
{
	uint16_t differ = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint16_t least = rule < column[i] ? rule : column[i];

		differ |= column[i] ^ least;
		column[i] = least;
	}
	return differ != 0;
}

static void take_run(struct columns *columns, struct columns_run run, uint16_t rule,
		     uint16_t *matched)
{
	while (run.first < run.end) {
		uint32_t block = run.first / COLUMNS_BLOCK;
		uint32_t end = (block + 1) * COLUMNS_BLOCK;
		bool lowered;

		/* A length that is known makes a few wide instructions of it. */
		if (end - run.first == COLUMNS_BLOCK && end <= run.end)
			lowered = lower(matched + run.first, COLUMNS_BLOCK, rule);
		else
			lowered = lower(matched + run.first,
					(end < run.end ? end : run.end) - run.first, rule);
		if (lowered)
			change(columns, block);
		run.first = end;
	}
}

static void take_rules(struct columns *columns, const uint64_t *rules,
		       uint16_t *matched[TIER_COUNT])
{
	columns->n_changed = 0;
	memset(columns->is_changed, 0, columns->n / COLUMNS_BLOCK);
	for (int tier = 0; tier < TIER_COUNT; tier++) {
		uint32_t from, end;

		rules_of_tier(columns->rules, tier, &from, &end);
		for (size_t r = set_next(rules, from, end); r < end;
		     r = set_next(rules, r + 1, end))
			for (size_t i = 0; i < columns->runs[r].len; i++)
				take_run(columns, columns->runs[r].at[i], (uint16_t)r,
					 matched[tier]);
	}
}

/* ---- bases ---- */

/* What all points of a side match. */
static void common_rules(const struct side *side, size_t n_words, uint64_t *rules)
{
	memset(rules, 0xff, n_words * sizeof(*rules));
	for (uint32_t i = 0; i < side->rules->len; i++)
		for (size_t w = 0; w < n_words; w++)
			rules[w] &= pool_at(side->rules, i)[w];
}

static void fill_base(struct arena *arena, struct columns *columns, struct columns_base *base)
{
	size_t size = columns->n * sizeof(uint16_t);

	for (int tier = 0; tier < TIER_COUNT; tier++) {
		base->own[tier] = arena_alloc(arena, size);
		memset(base->own[tier], 0xff, size);
	}
	take_rules(columns, base->rules, base->own);
	for (int tier = 0; tier < TIER_COUNT; tier++)
		base->now[tier] = arena_copy(arena, base->own[tier], size);
	columns->n_changed = 0;
}

_Static_assert(COLUMNS_NO_RULE == 0xffff, "all bits set, for memset");

static void find_bases(struct arena *arena, const struct side sides[2], struct columns *columns)
{
	size_t n_words = set_words(columns->rules->n);
	uint64_t *common[2];

	for (int side = 0; side < 2; side++) {
		common[side] = arena_calloc(arena, n_words, sizeof(*common[side]));
		common_rules(&sides[side], n_words, common[side]);
	}
	columns->side = sides[1].points.len <= sides[0].points.len;
	columns->n_bases = (uint32_t)sides[columns->side].points.len;
	if (columns->n_bases > BASES_MAX)
		columns->n_bases = 1;
	columns->bases = arena_calloc(arena, columns->n_bases, sizeof(*columns->bases));
	for (uint32_t i = 0; i < columns->n_bases; i++) {
		struct columns_base *base = &columns->bases[i];
		const struct side *side = &sides[columns->side];
		const uint64_t *rules = columns->n_bases > 1
						? pool_at(side->rules, side->points.at[i].rules)
						: common[columns->side];

		base->rules = arena_calloc(arena, n_words, sizeof(*base->rules));
		for (size_t w = 0; w < n_words; w++)
			base->rules[w] = common[!columns->side][w] & rules[w];
		fill_base(arena, columns, base);
	}
}

/* ---- all ---- */

void columns_init(struct arena *arena, const struct rules *rules,
		  const struct service_points *services, const struct side sides[2],
		  uint32_t n_classes, struct columns *ret_columns)
{
	struct columns columns = {.rules = rules};
	uint32_t n_blocks;

	assert(rules->n < COLUMNS_NO_RULE);
	place_services(arena, services, n_classes, &columns);
	n_blocks = columns.n / COLUMNS_BLOCK;
	columns.beyond = arena_calloc(arena, set_words(rules->n), sizeof(*columns.beyond));
	columns.is_changed = arena_calloc(arena, n_blocks, sizeof(*columns.is_changed));
	columns.changed = arena_calloc(arena, n_blocks, sizeof(*columns.changed));
	find_runs(arena, services, &columns);
	find_bases(arena, sides, &columns);
	*ret_columns = columns;
}

/* The base is as it was before the last set. */
static void put_back(struct columns *columns)
{
	for (uint32_t i = 0; i < columns->n_changed; i++)
		for (int tier = 0; tier < TIER_COUNT; tier++) {
			size_t first = (size_t)columns->changed[i] * COLUMNS_BLOCK;

			memcpy(columns->base->now[tier] + first, columns->base->own[tier] + first,
			       COLUMNS_BLOCK * sizeof(uint16_t));
		}
}

void columns_take(struct columns *columns, const struct pair_points *pairs,
		  const struct pair_point *pair)
{
	const uint64_t *rules = pool_at(pairs->rules, pair->rules);
	uint32_t number = columns->n_bases > 1 ? pair->point[columns->side] : 0;

	assert(number < columns->n_bases);
	if (columns->base)
		put_back(columns);
	columns->base = &columns->bases[number];
	for (size_t w = 0; w < set_words(columns->rules->n); w++)
		columns->beyond[w] = rules[w] & ~columns->base->rules[w];
	take_rules(columns, columns->beyond, columns->base->now);
}
