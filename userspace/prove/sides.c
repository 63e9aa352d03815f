// SPDX-License-Identifier: GPL-2.0-only
/*
 * An address matches a rule on a side by the sets that hold it and by being the host's own, and
 * both are asked of every point, whatever the host has.
 */
#include "prove/sides.h"

#include <assert.h>

#include "prove/runs.h"
#include "prove/set.h"

struct maker {
	struct arena *arena;
	const struct rules *rules;
	const struct image *image;
	const struct address_points *addresses;
	int which;	    /* 0 the source, 1 the destination */
	struct pool *known; /* rules and class of the points */
	size_t n_words;	    /* of a set of rules */
	uint64_t *set;	    /* scratch */
	uint64_t *always;   /* rules for any address */
	uint64_t *own;	    /* rules for the host's own */
	uint64_t *by_set;   /* for each set of the policy, the rules that name it */
};

static void maker_init(struct maker *maker)
{
	const struct policy *policy = maker->rules->policy;
	size_t n = maker->n_words;

	maker->always = arena_calloc(maker->arena, n, sizeof(uint64_t));
	maker->own = arena_calloc(maker->arena, n, sizeof(uint64_t));
	maker->by_set = arena_calloc(maker->arena, policy->sets.len * n, sizeof(uint64_t));
	for (uint32_t r = 0; r < maker->rules->n; r++) {
		const struct policy_rule *rule = rules_at(maker->rules, r);
		uint32_t set = maker->which ? rule->destination : rule->source;

		set_put(maker->by_set + set * n, r, true);
		if (policy->sets.at[set].any)
			set_put(maker->always, r, true);
		if (policy->sets.at[set].self)
			set_put(maker->own, r, true);
	}
}

/* The rules that match an address of a side. */
static uint32_t side_rules(struct maker *maker, struct side *side, const uint64_t *sets, bool self)
{
	size_t n_sets = maker->rules->policy->sets.len;
	size_t n = maker->n_words;

	for (size_t w = 0; w < n; w++)
		maker->set[w] = maker->always[w] | (self ? maker->own[w] : 0);
	for (size_t s = set_next(sets, 0, n_sets); s < n_sets; s = set_next(sets, s + 1, n_sets))
		for (size_t w = 0; w < n; w++)
			maker->set[w] |= maker->by_set[s * n + w];
	return pool_put(side->rules, maker->set);
}

/*
 * Two examples are kept, the better ones. With one of them at the other end a packet exists wherever
 * one does: each is at odds with one address there at most.
 */
static void keep_example(struct side_point *point, int family, struct origin origin)
{
	struct origin *kept = point->example[family];
	int rank = address_rank(family, origin.address);
	uint32_t n = point->n[family];
	uint32_t place = n;

	for (uint32_t i = 0; i < n; i++)
		if (kept[i].address == origin.address && kept[i].self == origin.self)
			return;
	while (place && address_rank(family, kept[place - 1].address) < rank)
		place--;
	if (place > 1)
		return;
	if (!place && n)
		kept[1] = kept[0];
	kept[place] = origin;
	point->n[family] = n < 2 ? n + 1 : 2;
}

static void side_add(struct maker *maker, struct side *side, int family, uint32_t number, bool self)
{
	const struct address_point *address = &maker->addresses->of[family].at[number];
	struct side_point point = {
		.rules = side_rules(maker, side, pool_at(maker->addresses->sets, address->sets),
				    self),
		.class = runs_side(maker->image, (enum bh_direction)maker->rules->direction,
				   maker->which, address->class, self),
	};
	uint32_t i = pool_put_two(maker->known, point.rules, point.class);

	if (i == side->points.len)
		array_push(maker->arena, &side->points, point);
	assert(i < side->points.len);
	keep_example(&side->points.at[i], family, (struct origin){address->example, self});
	keep_example(&side->points.at[i], family, (struct origin){address->other, self});
}

void side_find(struct arena *arena, const struct rules *rules, const struct image *image,
	       const struct address_points *addresses, int which, struct side *ret_side)
{
	scoped(pool_free) struct pool *known = pool_new(1);
	struct side side = {.rules = pool_new(set_words(rules->n))};
	struct maker maker = {
		.arena = arena,
		.rules = rules,
		.image = image,
		.addresses = addresses,
		.which = which,
		.known = known,
		.n_words = set_words(rules->n),
		.set = arena_calloc(arena, set_words(rules->n), sizeof(uint64_t)),
	};

	maker_init(&maker);
	for (int family = 0; family < FAMILIES; family++)
		for (uint32_t i = 0; i < addresses->of[family].len; i++)
			for (int self = 0; self < 2; self++)
				side_add(&maker, &side, family, i, self);
	*ret_side = side;
}

void side_fini(struct side *side)
{
	pool_free(take(side->rules));
}
