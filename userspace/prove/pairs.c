// SPDX-License-Identifier: GPL-2.0-only
/*
 * First each side by itself: an address matches a rule there by the sets that hold it and by being
 * the host's own, and both are asked of every point, whatever the host has. Then the two sides together.
 */
#include "prove/pairs.h"

#include <assert.h>

#include "prove/runs.h"
#include "prove/set.h"

/* Addresses of one side that the same rules match and that have one class there. */
struct side_point {
	uint32_t rules; /* number in the pool of the side */
	uint32_t class;
	bool is[FAMILIES];
	struct origin example[FAMILIES];
};

struct side {
	struct pool *rules;
	ARRAY(struct side_point) points;
	uint64_t *always; /* rules for any address */
	uint64_t *own;	  /* rules for the host's own */
	uint64_t *by_set; /* for each set of the policy, the rules that name it */
};

struct maker {
	struct arena *arena;
	const struct rules *rules;
	const struct image *image;
	const struct address_points *addresses;
	const uint64_t *all_services;
	struct pair_points *points;
	size_t n_words; /* of a set of rules */
	uint64_t *set;	/* scratch */
	struct side sides[2];
};

static void side_init(struct maker *maker, int which, struct side *side)
{
	const struct policy *policy = maker->rules->policy;
	size_t n = maker->n_words;

	side->rules = pool_new(n);
	side->always = arena_calloc(maker->arena, n, sizeof(uint64_t));
	side->own = arena_calloc(maker->arena, n, sizeof(uint64_t));
	side->by_set = arena_calloc(maker->arena, policy->sets.len * n, sizeof(uint64_t));
	for (uint32_t r = 0; r < maker->rules->n; r++) {
		const struct policy_rule *rule = rules_at(maker->rules, r);
		uint32_t set = which ? rule->destination : rule->source;

		set_put(side->by_set + set * n, r, true);
		if (policy->sets.at[set].any)
			set_put(side->always, r, true);
		if (policy->sets.at[set].self)
			set_put(side->own, r, true);
	}
}

/* The rules that match an address of a side. */
static uint32_t side_rules(struct maker *maker, struct side *side, const uint64_t *sets, bool self)
{
	size_t n_sets = maker->rules->policy->sets.len;
	size_t n = maker->n_words;

	for (size_t w = 0; w < n; w++)
		maker->set[w] = side->always[w] | (self ? side->own[w] : 0);
	for (size_t s = set_next(sets, 0, n_sets); s < n_sets; s = set_next(sets, s + 1, n_sets))
		for (size_t w = 0; w < n; w++)
			maker->set[w] |= side->by_set[s * n + w];
	return pool_put(side->rules, maker->set);
}

static void side_add(struct maker *maker, int which, struct pool *known, int family,
		     struct origin origin)
{
	const struct address_point *address = &maker->addresses->of[family].at[origin.point];
	struct side *side = &maker->sides[which];
	struct side_point point = {
		.rules = side_rules(maker, side, pool_at(maker->addresses->sets, address->sets),
				    origin.self),
		.class = runs_side(maker->image, (enum bh_direction)maker->rules->direction, which,
				   address->class, origin.self),
	};
	uint32_t i = pool_put_two(known, point.rules, point.class);

	if (i == side->points.len)
		array_push(maker->arena, &side->points, point);
	assert(i < side->points.len);
	if (side->points.at[i].is[family])
		return;
	side->points.at[i].is[family] = true;
	side->points.at[i].example[family] = origin;
}

static void side_find(struct maker *maker, int which)
{
	scoped(pool_free) struct pool *known = pool_new(1);

	side_init(maker, which, &maker->sides[which]);
	for (int family = 0; family < FAMILIES; family++)
		for (uint32_t i = 0; i < maker->addresses->of[family].len; i++)
			for (int self = 0; self < 2; self++)
				side_add(maker, which, known, family, (struct origin){i, self});
}

/* Leaves out of each tier what stands behind a rule for all services. */
static void cut(const struct maker *maker, uint64_t *set)
{
	for (int tier = 0; tier < TIER_COUNT; tier++) {
		uint32_t from, end;
		size_t r;

		rules_of_tier(maker->rules, tier, &from, &end);
		for (r = set_next(set, from, end); r < end && !set_has(maker->all_services, r);)
			r = set_next(set, r + 1, end);
		if (r < end)
			set_empty(set, r + 1, end);
	}
}

static void add_pair(struct maker *maker, struct pool *known, const struct side_point *source,
		     const struct side_point *destination)
{
	const uint64_t *from = pool_at(maker->sides[0].rules, source->rules);
	const uint64_t *to = pool_at(maker->sides[1].rules, destination->rules);
	struct pair_point point = {
		.class = runs_pair(maker->image, (enum bh_direction)maker->rules->direction,
				   source->class, destination->class),
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
	for (int family = 0; family < FAMILIES; family++) {
		struct pair_point *known_point = &maker->points->all.at[i];

		if (known_point->is[family] || !source->is[family] || !destination->is[family])
			continue;
		known_point->is[family] = true;
		known_point->example[family][0] = source->example[family];
		known_point->example[family][1] = destination->example[family];
	}
}

static bool share_family(const struct side_point *a, const struct side_point *b)
{
	return (a->is[0] && b->is[0]) || (a->is[1] && b->is[1]);
}

static void find_pairs(struct maker *maker)
{
	scoped(pool_free) struct pool *known = pool_new(1);

	for (size_t s = 0; s < maker->sides[0].points.len; s++)
		for (size_t d = 0; d < maker->sides[1].points.len; d++)
			if (share_family(&maker->sides[0].points.at[s],
					 &maker->sides[1].points.at[d])) {
				add_pair(maker, known, &maker->sides[0].points.at[s],
					 &maker->sides[1].points.at[d]);
				maker->points->n++;
			}
}

/* NOLINTNEXTLINE(readability-function-size): what a pair is made of */
void pair_points(struct arena *arena, const struct rules *rules, const struct image *image,
		 const struct address_points *addresses, const uint64_t *all_services,
		 struct pair_points *ret_points)
{
	size_t n_words = set_words(rules->n);
	struct pair_points points = {.rules = pool_new(n_words)};
	struct maker maker = {
		.arena = arena,
		.rules = rules,
		.image = image,
		.addresses = addresses,
		.all_services = all_services,
		.points = &points,
		.n_words = n_words,
		.set = arena_calloc(arena, n_words, sizeof(uint64_t)),
	};

	for (int side = 0; side < 2; side++)
		side_find(&maker, side);
	find_pairs(&maker);
	for (int side = 0; side < 2; side++)
		pool_free(maker.sides[side].rules);
	*ret_points = points;
}

void pair_points_fini(struct pair_points *points)
{
	pool_free(take(points->rules));
}
