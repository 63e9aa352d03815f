// SPDX-License-Identifier: GPL-2.0-only
/* The two sides together. */
#include "prove/pairs.h"

#include <assert.h>

#include "prove/runs.h"
#include "prove/set.h"

struct maker {
	struct arena *arena;
	const struct rules *rules;
	const struct image *image;
	const struct side *sides;
	const uint64_t *all_services;
	struct pair_points *points;
	size_t n_words; /* of a set of rules */
	uint64_t *set;	/* scratch */
};

/* Leaves out of each tier what stands behind a rule for all services. */
static void cut(const struct maker *maker, uint64_t *set)
{
	for (int tier = 0; tier < TIER_COUNT; tier++) {
		uint32_t from, end;
		size_t r;

		rules_of_tier(maker->rules, tier, &from, &end);
		r = set_next_of_both(set, maker->all_services, from, end);
		if (r < end)
			set_empty(set, r + 1, end);
	}
}

/* One address is not at once the host's own and another's. */
static bool is_packet(const struct origin *source, const struct origin *destination)
{
	return source->address != destination->address || source->self == destination->self;
}

/* How good an example the two are: common ones, and two different ones. */
enum { RANK_BEST = 9 };

static int rank_of(int family, const struct origin *source, const struct origin *destination)
{
	return 2 * (address_rank(family, source->address) +
		    address_rank(family, destination->address)) +
	       (source->address != destination->address);
}

/* An example for the pair, where it has a worse one or none and some packet of the family has both. */
static void add_example(struct pair_point *pair, int family, const struct side_point *source,
			const struct side_point *destination)
{
	struct origin *example = pair->example[family];
	uint32_t n = source->n[family] * destination->n[family];
	int best = pair->is[family] ? rank_of(family, &example[0], &example[1]) : -1;

	for (uint32_t i = 0; i < n && best < RANK_BEST; i++) {
		const struct origin *from = &source->example[family][i / destination->n[family]];
		const struct origin *to = &destination->example[family][i % destination->n[family]];

		if (!is_packet(from, to) || rank_of(family, from, to) <= best)
			continue;
		best = rank_of(family, from, to);
		pair->is[family] = true;
		example[0] = *from;
		example[1] = *to;
	}
}

static void add_pair(struct maker *maker, struct pool *known, size_t s, size_t d)
{
	const struct side_point *source = &maker->sides[0].points.at[s];
	const struct side_point *destination = &maker->sides[1].points.at[d];
	const uint64_t *from = pool_at(maker->sides[0].rules, source->rules);
	const uint64_t *to = pool_at(maker->sides[1].rules, destination->rules);
	struct pair_point point = {
		.class = runs_pair(maker->image, (enum bh_direction)maker->rules->direction,
				   source->class, destination->class),
		.point = {(uint32_t)s, (uint32_t)d},
	};
	uint32_t i;

	for (size_t w = 0; w < maker->n_words; w++)
		maker->set[w] = from[w] & to[w];
	cut(maker, maker->set);
	point.rules = pool_put(maker->points->rules, maker->set);
	i = pool_put_two(known, point.rules, point.class);
	if (i == maker->points->all.len)
		array_push(maker->arena, &maker->points->all, point);
	assert(i < maker->points->all.len);
	for (int family = 0; family < FAMILIES; family++)
		add_example(&maker->points->all.at[i], family, source, destination);
}

static void find_pairs(struct maker *maker)
{
	scoped(pool_free) struct pool *known = pool_new(1);

	for (size_t s = 0; s < maker->sides[0].points.len; s++)
		for (size_t d = 0; d < maker->sides[1].points.len; d++)
			if (side_points_meet(&maker->sides[0].points.at[s],
					     &maker->sides[1].points.at[d])) {
				add_pair(maker, known, s, d);
				maker->points->n++;
			}
}

void pair_points(struct arena *arena, const struct rules *rules, const struct image *image,
		 const struct side sides[2], const uint64_t *all_services,
		 struct pair_points *ret_points)
{
	size_t n_words = set_words(rules->n);
	struct pair_points points = {.rules = pool_new(n_words)};
	struct maker maker = {
		.arena = arena,
		.rules = rules,
		.image = image,
		.sides = sides,
		.all_services = all_services,
		.points = &points,
		.n_words = n_words,
		.set = arena_calloc(arena, n_words, sizeof(uint64_t)),
	};

	find_pairs(&maker);
	*ret_points = points;
}

void pair_points_fini(struct pair_points *points)
{
	pool_free(take(points->rules));
}
