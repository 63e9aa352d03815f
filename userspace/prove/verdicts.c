// SPDX-License-Identifier: GPL-2.0-only
/*
 * Plain order means: the rules of a pair are asked in turn, and each takes what services it
 * matches of those that none before it in its tier has taken.
 */
#include "prove/verdicts.h"

#include "policy/eval.h"
#include "prove/expected.h"
#include "prove/runs.h"
#include "prove/set.h"

enum { NONE = UINT32_MAX, N_RECENT = 4096 };

_Static_assert(POLICY_NO_RULE == UINT32_MAX, "all bits set, for memset");

/* A triple that was asked for, in the place of a table that its rules choose. */
struct recent {
	uint32_t matched[TIER_COUNT];
	uint32_t triple; /* number + 1; 0: an empty place */
};

struct maker {
	struct arena *arena;
	const struct verdicts *of;
	struct prove_result *result;
	uint32_t n_services;
	size_t n_words;			   /* of a set of services */
	uint64_t *services_of;		   /* for each rule the services that it matches */
	uint64_t *open;			   /* services that no rule of the tier has taken yet */
	uint32_t *matched[TIER_COUNT];	   /* the rule that took each service, or POLICY_NO_RULE */
	struct recent *recent;		   /* N_RECENT */
	struct pool *triples;		   /* of rules that took a service, as two words */
	ARRAY(struct bh_outcome) expected; /* of each triple */
	ARRAY(uint32_t) equal; /* for each triple an outcome of the image that is as expected */
};

/* ---- the policy's answer ---- */

static void find_services(struct maker *maker)
{
	const struct service_points *services = maker->of->services;
	uint32_t n = maker->of->rules->n;

	maker->services_of = arena_calloc(maker->arena, n * maker->n_words, sizeof(uint64_t));
	for (uint32_t i = 0; i < maker->n_services; i++) {
		const uint64_t *rules = pool_at(services->rules, services->all.at[i].rules);

		for (size_t r = set_next(rules, 0, n); r < n; r = set_next(rules, r + 1, n))
			set_put(maker->services_of + r * maker->n_words, i, true);
	}
}

/* The rule takes what is open of its services. False: nothing is left open. */
static bool take_services(struct maker *maker, enum policy_tier tier, uint32_t rule)
{
	const uint64_t *services = maker->services_of + rule * maker->n_words;
	uint64_t left = 0;

	for (size_t w = 0; w < maker->n_words; w++) {
		uint64_t taken = maker->open[w] & services[w];

		maker->open[w] &= ~taken;
		left |= maker->open[w];
		for (; taken; taken &= taken - 1)
			maker->matched[tier][w * 64 + (size_t)__builtin_ctzll(taken)] =
				maker->of->rules->first + rule;
	}
	return left;
}

static void match_tier(struct maker *maker, enum policy_tier tier, const uint64_t *rules)
{
	uint32_t from, end;
	size_t r;

	memset(maker->matched[tier], 0xff, maker->n_services * sizeof(*maker->matched[tier]));
	memset(maker->open, 0xff, maker->n_words * sizeof(*maker->open));
	set_empty(maker->open, maker->n_services, maker->n_words * 64);
	rules_of_tier(maker->of->rules, tier, &from, &end);
	for (r = set_next(rules, from, end); r < end; r = set_next(rules, r + 1, end))
		if (!take_services(maker, tier, (uint32_t)r))
			return;
}

static uint32_t put_triple(struct maker *maker, const uint32_t matched[TIER_COUNT])
{
	const uint64_t record[2] = {(uint64_t)matched[0] << 32 | matched[1], matched[2]};
	uint32_t triple = pool_put(maker->triples, record);

	if (triple == maker->expected.len) {
		array_push(maker->arena, &maker->expected,
			   expected_outcome(maker->of->rules, matched));
		array_push(maker->arena, &maker->equal, (uint32_t)NONE);
	}
	return triple;
}

/* The number of the triple of rules that the tiers have for a service. */
static uint32_t triple_of(struct maker *maker, uint32_t service)
{
	const struct recent now = {
		.matched = {maker->matched[0][service], maker->matched[1][service],
			    maker->matched[2][service]},
	};
	uint32_t place = now.matched[0] * 37 + now.matched[1] * 11 + now.matched[2];
	struct recent *recent = &maker->recent[place % N_RECENT];

	if (recent->triple && recent->matched[0] == now.matched[0] &&
	    recent->matched[1] == now.matched[1] && recent->matched[2] == now.matched[2])
		return recent->triple - 1;
	*recent = now;
	recent->triple = put_triple(maker, now.matched) + 1;
	return recent->triple - 1;
}

/* ---- a difference ---- */

/* The ends of the packet, and which are the host's own. */
static void set_ends(const struct origin ends[2], int family, struct prove_result *result)
{
	struct tuple *packet = &result->packet;
	int order;

	packet->source = address_of_number(family, ends[0].address);
	packet->destination = address_of_number(family, ends[1].address);
	order = addr_compare(&packet->source, &packet->destination);
	result->n_self = 0;
	if (ends[order > 0].self)
		result->self[result->n_self++] = order > 0 ? packet->destination : packet->source;
	if (order && ends[order <= 0].self)
		result->self[result->n_self++] = order > 0 ? packet->source : packet->destination;
}

/* Whether the packet is left to the rules, so that both answers are seen by it. */
static bool is_judged(const struct policy *policy, const struct tuple *packet)
{
	bool extension = packet->source.family == ADDR_V6 && tuple_is_extension(packet->protocol);
	struct verdict before;

	return !extension && !eval_before_rules(policy, packet, &before);
}

/* How well it shows that the image is wrong: best by a packet, with another verdict. */
static int rank_of(const struct prove_result *result)
{
	switch (result->answer) {
	case PROVE_HOLDS:
		return 0;
	case PROVE_FAULT:
		return 1;
	case PROVE_DIFFERS:
		break;
	}
	return 2 + (result->expected.verdict != result->found.verdict);
}

static void differ(struct maker *maker, const struct pair_point *pair,
		   const struct service *service, int family, const struct bh_outcome *answers[2])
{
	struct prove_result *result = maker->result;
	struct prove_result now = *result;

	now.packet = service_tuple(maker->of->rules->direction, family, service);
	set_ends(pair->example[family], family, &now);
	now.expected = *answers[0];
	now.found = *answers[1];
	now.answer = is_judged(maker->of->rules->policy, &now.packet) ? PROVE_DIFFERS : PROVE_FAULT;
	if (rank_of(&now) > rank_of(result))
		*result = now;
}

/* ---- both ---- */

static void compare_one(struct maker *maker, const struct pair_point *pair, uint32_t service)
{
	const struct service_point *point = &maker->of->services->all.at[service];
	enum bh_direction direction = (enum bh_direction)maker->of->rules->direction;
	uint32_t triple = triple_of(maker, service);
	uint32_t id = runs_outcome(maker->of->image, direction, pair->class, point->class);
	const struct bh_outcome *found;
	int n_families = 0;

	if (maker->equal.at[triple] == id)
		return;
	found = image_outcome(maker->of->image, id);
	if (!memcmp(found, &maker->expected.at[triple], sizeof(*found))) {
		maker->equal.at[triple] = id;
		return;
	}
	/* Classes of which no packet has both do not matter. */
	for (int family = 0; family < FAMILIES; family++) {
		if (!pair->is[family] || !point->example[family].is)
			continue;
		n_families++;
		differ(maker, pair, &point->example[family], family,
		       (const struct bh_outcome *[]){&maker->expected.at[triple], found});
	}
	maker->result->n_differ += n_families > 0;
}

static void compare_pair(struct maker *maker, const struct pair_point *pair)
{
	const uint64_t *rules = pool_at(maker->of->pairs->rules, pair->rules);

	for (int tier = 0; tier < TIER_COUNT; tier++)
		match_tier(maker, tier, rules);
	for (uint32_t service = 0; service < maker->n_services; service++)
		compare_one(maker, pair, service);
}

void verdicts_compare(struct arena *arena, const struct verdicts *verdicts,
		      struct prove_result *result)
{
	scoped(pool_free) struct pool *triples = pool_new(2);
	uint32_t n = verdicts->services->all.len;
	struct maker maker = {
		.arena = arena,
		.of = verdicts,
		.result = result,
		.n_services = n,
		.n_words = set_words(n),
		.recent = arena_calloc(arena, N_RECENT, sizeof(*maker.recent)),
		.triples = triples,
	};

	find_services(&maker);
	maker.open = arena_calloc(arena, maker.n_words, sizeof(*maker.open));
	for (int tier = 0; tier < TIER_COUNT; tier++)
		maker.matched[tier] = arena_calloc(arena, n, sizeof(*maker.matched[tier]));
	for (size_t i = 0; i < verdicts->pairs->all.len; i++)
		compare_pair(&maker, &verdicts->pairs->all.at[i]);
	result->n_combinations += (uint64_t)n * verdicts->pairs->all.len;
}
