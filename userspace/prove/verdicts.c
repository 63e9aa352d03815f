// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the policy says stands in columns, a block of which is compared at once with a block of the
 * image. Where that differs or is not known yet, each service is asked for by itself.
 */
#include "prove/verdicts.h"

#include "policy/eval.h"
#include "prove/columns.h"
#include "prove/expected.h"
#include "prove/runs.h"
#include "prove/set.h"

enum { NONE = UINT32_MAX, N_RECENT = 4096 };

/* A triple that was asked for, in the place of a table that its rules choose. */
struct recent {
	uint64_t key;
	uint32_t triple; /* number + 1; 0: an empty place */
};

/* What the image is to have where a set of rules is as its base. */
struct base_outcomes {
	uint16_t *id;	/* of each column */
	bool *is_known; /* of each block; else it was not asked for, or the image has not shown it */
};

struct maker {
	struct arena *arena;
	const struct verdicts *of;
	struct prove_result *result;
	struct columns columns;
	struct base_outcomes *base_outcomes; /* of each base */
	struct recent *recent;		     /* N_RECENT */
	struct pool *triples;		     /* of rules that took a service, as two words */
	ARRAY(struct bh_outcome) expected;   /* of each triple */
	ARRAY(uint32_t) equal; /* for each triple an outcome of the image that is as expected */
};

/* ---- the policy's answer ---- */

static uint32_t put_triple(struct maker *maker, uint64_t key)
{
	uint32_t triple = pool_put(maker->triples, &key);
	uint32_t matched[TIER_COUNT];

	if (triple < maker->expected.len)
		return triple;
	for (int tier = 0; tier < TIER_COUNT; tier++) {
		uint16_t rule = (uint16_t)(key >> 16 * tier);

		matched[tier] =
			rule == COLUMNS_NO_RULE ? POLICY_NO_RULE : maker->of->rules->first + rule;
	}
	array_push(maker->arena, &maker->expected, expected_outcome(maker->of->rules, matched));
	array_push(maker->arena, &maker->equal, (uint32_t)NONE);
	return triple;
}

/* The number of the triple of rules that the tiers have in a column. */
static uint32_t triple_of(struct maker *maker, uint16_t *const matched[TIER_COUNT], uint32_t column)
{
	uint64_t key = matched[0][column] | (uint64_t)matched[1][column] << 16 |
		       (uint64_t)matched[2][column] << 32;
	struct recent *recent =
		&maker->recent[(key + 37 * (key >> 16) + 11 * (key >> 32)) % N_RECENT];

	if (!recent->triple || recent->key != key)
		*recent = (struct recent){key, put_triple(maker, key) + 1};
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

static void compare_one(struct maker *maker, const struct pair_point *pair, uint32_t column)
{
	const struct service_point *point =
		&maker->of->services->all.at[maker->columns.service[column]];
	enum bh_direction direction = (enum bh_direction)maker->of->rules->direction;
	uint32_t triple = triple_of(maker, maker->columns.base->now, column);
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

/* The numbers of the outcomes that are as expected; false: not of all is one known. */
static bool find_ids(struct maker *maker, uint16_t *const matched[TIER_COUNT], uint32_t block,
		     uint16_t *ids)
{
	bool known = true;

	for (uint32_t i = 0; i < COLUMNS_BLOCK; i++) {
		uint32_t triple = triple_of(maker, matched, block * COLUMNS_BLOCK + i);
		uint32_t id = maker->equal.at[triple];

		known &= id <= UINT16_MAX;
		ids[i] = (uint16_t)id;
	}
	return known;
}

/* The same of the pair at hand; NULL: not of all is one known. */
static const uint16_t *ids_of(struct maker *maker, uint32_t block, uint16_t buffer[COLUMNS_BLOCK])
{
	const struct columns *columns = &maker->columns;
	struct base_outcomes *base = &maker->base_outcomes[columns->base - columns->bases];
	uint16_t *own = base->id + (size_t)block * COLUMNS_BLOCK;

	if (columns->is_changed[block])
		return find_ids(maker, columns->base->now, block, buffer) ? buffer : NULL;
	if (!base->is_known[block])
		base->is_known[block] = find_ids(maker, columns->base->own, block, own);
	return base->is_known[block] ? own : NULL;
}

static void compare_pair(struct maker *maker, const struct pair_point *pair)
{
	enum bh_direction direction = (enum bh_direction)maker->of->rules->direction;
	uint16_t buffer[COLUMNS_BLOCK];

	columns_take(&maker->columns, maker->of->pairs, pair);
	for (uint32_t b = 0; b < maker->columns.n / COLUMNS_BLOCK; b++) {
		const uint16_t *found = runs_block(maker->of->image, direction, pair->class, b);
		const uint16_t *expected = found ? ids_of(maker, b, buffer) : NULL;

		if (expected && !memcmp(expected, found, COLUMNS_BLOCK * sizeof(*found)))
			continue;
		for (uint32_t c = b * COLUMNS_BLOCK; c < (b + 1) * COLUMNS_BLOCK; c++)
			if (maker->columns.service[c] != COLUMNS_NONE)
				compare_one(maker, pair, c);
	}
}

static void make_columns(struct maker *maker)
{
	const struct verdicts *of = maker->of;
	const struct bh_direction_head *tables =
		&image_head(of->image)->direction[of->rules->direction];
	/* By bits, no block of the image stands for several. */
	uint32_t n_classes =
		tables->product == BH_PRODUCT_PAIRS ? tables->row_len * COLUMNS_BLOCK : 0;
	struct columns *columns = &maker->columns;

	columns_init(maker->arena, of->rules, of->services, of->sides, n_classes, columns);
	maker->base_outcomes =
		arena_calloc(maker->arena, columns->n_bases, sizeof(*maker->base_outcomes));
	for (uint32_t i = 0; i < columns->n_bases; i++)
		maker->base_outcomes[i] = (struct base_outcomes){
			.id = arena_calloc(maker->arena, columns->n, sizeof(uint16_t)),
			.is_known = arena_calloc(maker->arena, columns->n / COLUMNS_BLOCK,
						 sizeof(bool)),
		};
}

void verdicts_compare(struct arena *arena, const struct verdicts *verdicts,
		      struct prove_result *result)
{
	scoped(pool_free) struct pool *triples = pool_new(1);
	struct maker maker = {
		.arena = arena,
		.of = verdicts,
		.result = result,
		.recent = arena_calloc(arena, N_RECENT, sizeof(*maker.recent)),
		.triples = triples,
	};

	make_columns(&maker);
	for (size_t i = 0; i < verdicts->pairs->all.len; i++)
		compare_pair(&maker, &verdicts->pairs->all.at[i]);
	result->n_combinations += (uint64_t)verdicts->services->all.len * verdicts->pairs->all.len;
}
