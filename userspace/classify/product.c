// SPDX-License-Identifier: GPL-2.0-only
/*
 * First the sides: classes of addresses that the same rules of the direction have on one side are
 * one. Then the pairs: the rules that match both sides, without those that a rule for every
 * protocol and port shadows in its tier. Then the rows: for such a set of rules, the outcome of
 * each protocol class. Pairs with the same row are one class.
 */
#include "classify/product.h"

#include <assert.h>
#include <errno.h>

#include "classify/bits.h"

struct maker {
	struct arena *arena;
	const struct direction_rules *rules;
	const struct addresses *addresses;
	const struct protocols *protocols;
	struct product_tables *tables;
	struct diag *diag;
	struct product *product;
	size_t n_words;		   /* of a set of rules */
	uint64_t *side_rules[2];   /* of each side class: the rules that match it */
	struct intern *shadowless; /* sets of rules of pairs */
	uint32_t *pair_rules;	   /* of each pair its number there */
	uint32_t *protocol_first;  /* of each rule its first in protocol_list, and one behind */
	uint32_t *protocol_list;   /* the protocol classes of each rule */
};

static const struct policy_rule *rule_at(const struct maker *maker, uint32_t r)
{
	return &maker->rules->policy->rules.at[maker->rules->first + r];
}

static uint32_t set_at(const struct maker *maker, uint32_t r, int side)
{
	return side ? rule_at(maker, r)->destination : rule_at(maker, r)->source;
}

/* ---- sides ---- */

/* The sets that rules have on a side: those with ranges, and those with self. */
static void find_sets(struct maker *maker, int side, uint64_t *with_ranges, uint64_t *with_self)
{
	for (uint32_t r = 0; r < maker->rules->n; r++) {
		uint32_t set = set_at(maker, r, side);

		if (maker->rules->policy->sets.at[set].ranges.len) {
			bits_add(with_ranges, set);
			maker->product->sides_address |= 1 << side;
		}
		if (maker->rules->policy->sets.at[set].self) {
			bits_add(with_self, set);
			maker->product->sides_self |= 1 << side;
		}
	}
}

/* The rules that match a side class, which is a set of sets. */
static void rules_of_sets(const struct maker *maker, int side, const uint64_t *sets,
			  uint64_t *rules)
{
	for (uint32_t r = 0; r < maker->rules->n; r++) {
		uint32_t set = set_at(maker, r, side);

		if (maker->rules->policy->sets.at[set].any || bits_have(sets, set))
			bits_add(rules, r);
	}
}

static void make_side(struct maker *maker, int side)
{
	const struct addresses *addresses = maker->addresses;
	scoped(intern_free) struct intern *classes = intern_new();
	size_t n_words = addresses->n_words;
	uint64_t *with_ranges = arena_calloc(maker->arena, n_words, sizeof(*with_ranges));
	uint64_t *with_self = arena_calloc(maker->arena, n_words, sizeof(*with_self));
	uint64_t *state = arena_calloc(maker->arena, n_words, sizeof(*state));
	uint32_t len = maker->product->side_len;
	uint32_t n;

	find_sets(maker, side, with_ranges, with_self);
	maker->product->side[side] =
		arena_calloc(maker->arena, len, sizeof(*maker->product->side[side]));
	for (uint32_t i = 0; i < len; i++) {
		for (size_t w = 0; w < n_words; w++)
			state[w] = (addresses->sets[i / 2 * n_words + w] & with_ranges[w]) |
				   (i & 1 ? with_self[w] : 0);
		maker->product->side[side][i] =
			intern_put(classes, state, n_words * sizeof(*state));
	}
	n = intern_len(classes);
	maker->product->n_side[side] = n;
	maker->side_rules[side] = arena_calloc(maker->arena, n * maker->n_words, sizeof(uint64_t));
	for (uint32_t c = 0; c < n; c++)
		rules_of_sets(maker, side, intern_get(classes, c),
			      maker->side_rules[side] + c * maker->n_words);
}

/* ---- pairs ---- */

/* Clears the rules of one tier behind the first that matches every protocol and port. */
static void prune_tier(const struct maker *maker, uint64_t *set, uint32_t first, uint32_t n)
{
	const uint64_t *wild = maker->protocols->wild;
	uint32_t end = first + n;
	uint32_t r = first;

	while (r < end) {
		uint64_t word = (set[r / 64] & wild[r / 64]) >> (r % 64);

		if (word) {
			r += __builtin_ctzll(word);
			break;
		}
		r = (r / 64 + 1) * 64;
	}
	for (r++; r < end && r % 64; r++)
		set[r / 64] &= ~((uint64_t)1 << (r % 64));
	for (; r + 64 <= end; r += 64)
		set[r / 64] = 0;
	for (; r < end; r++)
		set[r / 64] &= ~((uint64_t)1 << (r % 64));
}

static void prune(const struct maker *maker, uint64_t *set)
{
	const struct direction_rules *rules = maker->rules;

	for (int tier = 0; tier < TIER_COUNT; tier++)
		if (rules->policy->n[rules->direction][tier])
			prune_tier(maker, set,
				   rules->policy->first[rules->direction][tier] - rules->first,
				   rules->policy->n[rules->direction][tier]);
}

/* The rule whose set of one side has the most ranges, for the words of a refusal. */
static uint32_t largest_rule(const struct maker *maker, int side)
{
	const struct policy *policy = maker->rules->policy;
	uint32_t large = 0;

	for (uint32_t r = 0; r < maker->rules->n; r++)
		if (policy->sets.at[set_at(maker, r, side)].ranges.len >
		    policy->sets.at[set_at(maker, large, side)].ranges.len)
			large = r;
	return large;
}

static int too_many_pairs(const struct maker *maker)
{
	const struct product *product = maker->product;
	const struct policy *policy = maker->rules->policy;
	int side = product->n_side[1] > product->n_side[0];
	uint32_t large = largest_rule(maker, side);

	return diag_refuse(
		maker->diag, -E2BIG,
		"%s rules tell apart %u classes of sources and %u of destinations: %llu "
		"pairs, and %d fit; the largest %s is that of rule '%s', with %zu ranges",
		policy_direction_name(maker->rules->direction), product->n_side[0],
		product->n_side[1], (unsigned long long)product->n_side[0] * product->n_side[1],
		PRODUCT_PAIRS_MAX, side ? "destination" : "source",
		policy_rule_path(maker->arena, policy, maker->rules->first + large),
		policy->sets.at[set_at(maker, large, side)].ranges.len);
}

static int make_pairs(struct maker *maker)
{
	const struct product *product = maker->product;
	uint64_t n = (uint64_t)product->n_side[0] * product->n_side[1];
	uint64_t *set = arena_calloc(maker->arena, maker->n_words, sizeof(*set));

	if (n > PRODUCT_PAIRS_MAX)
		return too_many_pairs(maker);
	maker->pair_rules = arena_calloc(maker->arena, n, sizeof(*maker->pair_rules));
	for (uint32_t i = 0; i < n; i++) {
		const uint64_t *source =
			maker->side_rules[0] + i / product->n_side[1] * maker->n_words;
		const uint64_t *destination =
			maker->side_rules[1] + i % product->n_side[1] * maker->n_words;

		for (size_t w = 0; w < maker->n_words; w++)
			set[w] = source[w] & destination[w];
		prune(maker, set);
		maker->pair_rules[i] =
			intern_put(maker->shadowless, set, maker->n_words * sizeof(*set));
	}
	n = (uint64_t)intern_len(maker->shadowless) * maker->protocols->n_classes;
	if (n > PRODUCT_CELLS_MAX)
		return diag_refuse(
			maker->diag, -E2BIG,
			"%s rules combine in %u ways by addresses and in %u by protocols "
			"and ports: %llu cells, and %d fit",
			policy_direction_name(maker->rules->direction),
			intern_len(maker->shadowless), maker->protocols->n_classes,
			(unsigned long long)n, PRODUCT_CELLS_MAX);
	return 0;
}

/* ---- rows ---- */

/* Turns the sets of rules of protocol classes round: for each rule, its protocol classes. */
static void list_protocols(struct maker *maker)
{
	const struct protocols *protocols = maker->protocols;
	uint32_t *first = arena_calloc(maker->arena, maker->rules->n + 2, sizeof(*first));
	uint32_t *list = NULL;

	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t p = 0; p < protocols->n_classes; p++)
			for (size_t w = 0; w < protocols->n_words; w++) {
				uint64_t set = protocols->rules[p * protocols->n_words + w];

				for (; set; set &= set - 1) {
					size_t r = w * 64 + __builtin_ctzll(set);

					if (pass)
						list[first[r + 1]++] = p;
					else
						first[r + 2]++;
				}
			}
		if (pass)
			break;
		for (uint32_t r = 0; r < maker->rules->n; r++)
			first[r + 2] += first[r + 1];
		list = arena_calloc(maker->arena, first[maker->rules->n + 1], sizeof(*list));
	}
	maker->protocol_first = first;
	maker->protocol_list = list;
}

/* For each protocol class, the first rule of the set that one tier has for it. */
static void match_tier(const struct maker *maker, const uint64_t *set, enum policy_tier tier,
		       uint32_t *matched)
{
	const struct direction_rules *rules = maker->rules;
	uint32_t first = rules->policy->first[rules->direction][tier] - rules->first;
	uint32_t n = rules->policy->n[rules->direction][tier];

	for (uint32_t p = 0; p < maker->protocols->n_classes; p++)
		matched[p] = POLICY_NO_RULE;
	for (uint32_t r = first + n; n && r-- > first;) {
		if (!bits_have(set, r))
			continue;
		for (uint32_t i = maker->protocol_first[r]; i < maker->protocol_first[r + 1]; i++)
			matched[maker->protocol_list[i]] = rules->first + r;
	}
}

static uint16_t rule_of(uint32_t rule)
{
	return rule == POLICY_NO_RULE ? BH_NO_RULE : rule;
}

/* The outcome of what the tiers matched, as the kernel reads it. */
static struct bh_outcome outcome_of(const struct maker *maker, const uint32_t matched[TIER_COUNT])
{
	struct policy_outcome combined;
	struct bh_outcome outcome = {.direction = maker->rules->direction};

	policy_combine(maker->rules->policy, maker->rules->direction, matched, &combined);
	outcome.verdict = !combined.allow	? BH_DENY
			  : combined.would_deny ? BH_WOULD_DENY
						: BH_ALLOW;
	outcome.flags = (combined.log ? BH_OUTCOME_LOG : 0) | (combined.keep ? BH_OUTCOME_KEEP : 0);
	outcome.reason = combined.no_group ? BH_REASON_NO_GROUP : BH_REASON_RULE;
	outcome.rule = rule_of(combined.rule);
	for (int tier = 0; tier < TIER_COUNT; tier++)
		outcome.tier_rule[tier] = rule_of(combined.tier_rule[tier]);
	return outcome;
}

struct row_maker {
	struct maker *maker;
	struct intern *triples;	   /* rules matched in the three tiers */
	uint16_t *triple_outcomes; /* the outcome of each */
	size_t room;
	struct intern *rows;
	uint32_t *matched[TIER_COUNT]; /* of each protocol class */
	uint16_t *outcomes;	       /* of each protocol class, filled up to whole blocks */
	uint32_t *row;
};

static uint16_t triple_outcome(struct row_maker *rows, const uint32_t triple[TIER_COUNT])
{
	struct maker *maker = rows->maker;
	uint32_t n = intern_len(rows->triples);
	uint32_t id = intern_put(rows->triples, triple, TIER_COUNT * sizeof(*triple));
	struct bh_outcome outcome;

	if (id >= n && id == rows->room) {
		rows->room = rows->room ? rows->room * 2 : 256;
		rows->triple_outcomes = mem_realloc(rows->triple_outcomes, rows->room,
						    sizeof(*rows->triple_outcomes));
	}
	assert(rows->triple_outcomes);
	if (id >= n) {
		outcome = outcome_of(maker, triple);
		rows->triple_outcomes[id] =
			intern_put(maker->tables->outcomes, &outcome, sizeof(outcome));
	}
	return rows->triple_outcomes[id];
}

/* The row of one set of rules, by number. */
static uint32_t make_row(struct row_maker *rows, const uint64_t *set)
{
	struct maker *maker = rows->maker;
	uint32_t last[TIER_COUNT] = {};
	uint16_t outcome = 0;

	for (int tier = 0; tier < TIER_COUNT; tier++)
		match_tier(maker, set, tier, rows->matched[tier]);
	for (uint32_t p = 0; p < maker->protocols->n_classes; p++) {
		const uint32_t triple[TIER_COUNT] = {
			rows->matched[0][p],
			rows->matched[1][p],
			rows->matched[2][p],
		};

		if (!p || memcmp(triple, last, sizeof(last)))
			outcome = triple_outcome(rows, triple);
		memcpy(last, triple, sizeof(last));
		rows->outcomes[p] = outcome;
	}
	for (uint32_t b = 0; b < maker->product->row_len; b++)
		rows->row[b] = intern_put(maker->tables->blocks,
					  rows->outcomes + (size_t)b * PRODUCT_BLOCK,
					  PRODUCT_BLOCK * sizeof(*rows->outcomes));
	return intern_put(rows->rows, rows->row, maker->product->row_len * sizeof(*rows->row));
}

/* What has come to be after each row, so that a refusal comes before it is large. */
static int check_rows(const struct maker *maker, uint32_t n_rows)
{
	const char *direction = policy_direction_name(maker->rules->direction);
	uint32_t n_outcomes = intern_len(maker->tables->outcomes);
	uint32_t n_blocks = intern_len(maker->tables->blocks);

	if (n_blocks > PRODUCT_BLOCKS_MAX)
		return diag_refuse(
			maker->diag, -E2BIG,
			"%u ways in which %s rules combine by addresses, times %u classes "
			"of protocols and ports, need more than the %d blocks of outcomes "
			"that fit",
			intern_len(maker->shadowless), direction, maker->protocols->n_classes,
			PRODUCT_BLOCKS_MAX);
	if (n_rows > PRODUCT_ROWS_MAX)
		return diag_refuse(maker->diag, -E2BIG,
				   "%s rules tell apart %u classes of address pairs, and %d fit; "
				   "the largest source is that of rule '%s'",
				   direction, n_rows, PRODUCT_ROWS_MAX,
				   policy_rule_path(maker->arena, maker->rules->policy,
						    maker->rules->first + largest_rule(maker, 0)));
	if (n_outcomes > BH_OUTCOMES)
		return diag_refuse(maker->diag, -E2BIG,
				   "the rules of the tiers combine to %u outcomes, and %d fit",
				   n_outcomes, BH_OUTCOMES);
	return 0;
}

/* A row for each set of rules, then the pairs by their rows. */
static int make_rows(struct maker *maker)
{
	scoped(intern_free) struct intern *triples = intern_new();
	scoped(intern_free) struct intern *all = intern_new();
	struct product *product = maker->product;
	uint32_t n_sets = intern_len(maker->shadowless);
	uint32_t *row_of = arena_calloc(maker->arena, n_sets, sizeof(*row_of));
	size_t n_pairs = (size_t)product->n_side[0] * product->n_side[1];
	struct row_maker rows = {.maker = maker, .triples = triples, .rows = all};
	scoped(free) uint16_t *triple_outcomes = NULL;
	size_t size;
	int r = 0;

	product->row_len = (maker->protocols->n_classes + PRODUCT_BLOCK - 1) / PRODUCT_BLOCK;
	size = product->row_len * sizeof(*product->rows);
	for (int tier = 0; tier < TIER_COUNT; tier++)
		rows.matched[tier] = arena_calloc(maker->arena, maker->protocols->n_classes,
						  sizeof(*rows.matched[tier]));
	rows.outcomes = arena_calloc(maker->arena, (size_t)product->row_len * PRODUCT_BLOCK,
				     sizeof(*rows.outcomes));
	rows.row = arena_alloc(maker->arena, size);
	for (uint32_t i = 0; i < n_sets && !r; i++) {
		row_of[i] = make_row(&rows, intern_get(maker->shadowless, i));
		r = check_rows(maker, intern_len(all));
	}
	triple_outcomes = rows.triple_outcomes;
	if (r)
		return r;
	product->n_pair = intern_len(all);
	product->pair = arena_calloc(maker->arena, n_pairs, sizeof(*product->pair));
	for (size_t i = 0; i < n_pairs; i++)
		product->pair[i] = row_of[maker->pair_rules[i]];
	product->rows = arena_alloc(maker->arena, product->n_pair * size);
	for (uint32_t i = 0; i < product->n_pair; i++)
		memcpy(product->rows + (size_t)i * product->row_len, intern_get(all, i), size);
	return 0;
}

/* NOLINTNEXTLINE(readability-function-size): a step of build, and hands on what build was given */
int product_make(struct arena *arena, const struct direction_rules *rules,
		 const struct addresses *addresses, const struct protocols *protocols,
		 struct product_tables *tables, struct diag *diag, struct product *ret_product)
{
	scoped(intern_free) struct intern *shadowless = intern_new();
	struct product product = {.side_len = addresses->n_classes * 2};
	struct maker maker = {
		.arena = arena,
		.rules = rules,
		.addresses = addresses,
		.protocols = protocols,
		.tables = tables,
		.diag = diag,
		.product = &product,
		.n_words = protocols->n_words,
		.shadowless = shadowless,
	};
	int r;

	for (int side = 0; side < 2; side++)
		make_side(&maker, side);
	r = make_pairs(&maker);
	if (r)
		return r;
	list_protocols(&maker);
	r = make_rows(&maker);
	if (r)
		return r;
	*ret_product = product;
	return 0;
}
