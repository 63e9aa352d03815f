// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pairs: the rules that match both sides, without those that a rule for every protocol and port shadows
 * in its tier. Then the rows: for such a set of rules, the outcome of each protocol class. Pairs
 * with the same row are one class.
 */
#include <assert.h>

#include "classify/bits.h"
#include "classify/product_maker.h"

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

static const char *too_many_pairs(const struct maker *maker)
{
	const struct product *product = maker->product;
	int side = product->n_side[1] > product->n_side[0];
	size_t n_ranges;
	const char *large = maker_largest(maker, side, &n_ranges);

	return arena_printf(
		maker->arena,
		"%s rules tell apart %u classes of sources and %u of destinations: %llu "
		"pairs, and %d fit; the largest %s is that of rule '%s', with %zu ranges",
		policy_direction_name(maker->rules->direction), product->n_side[0],
		product->n_side[1], (unsigned long long)product->n_side[0] * product->n_side[1],
		PRODUCT_PAIRS_MAX, side ? "destination" : "source", large, n_ranges);
}

/* Asked after each pair, so that a product that is too large costs neither memory nor time. */
static const char *check_sets(const struct maker *maker)
{
	const char *direction = policy_direction_name(maker->rules->direction);
	uint64_t n = intern_len(maker->shadowless);
	uint64_t size = n * maker->n_words * sizeof(uint64_t);

	if (size > PRODUCT_SETS_MAX)
		return arena_printf(maker->arena,
				    "%s rules combine in more than %llu ways by addresses, whose "
				    "sets of rules take %llu MB, and %d MB fit",
				    direction, (unsigned long long)n - 1,
				    (unsigned long long)size >> 20, PRODUCT_SETS_MAX >> 20);
	if (n * maker->protocols->n_classes > PRODUCT_CELLS_MAX)
		return arena_printf(maker->arena,
				    "%s rules combine in %llu ways by addresses and in %u by "
				    "protocols and ports: %llu cells, and %d fit",
				    direction, (unsigned long long)n, maker->protocols->n_classes,
				    (unsigned long long)n * maker->protocols->n_classes,
				    PRODUCT_CELLS_MAX);
	return NULL;
}

static const char *make_pairs(struct maker *maker)
{
	const struct product *product = maker->product;
	uint64_t n = (uint64_t)product->n_side[0] * product->n_side[1];
	uint64_t *set = arena_calloc(maker->arena, maker->n_words, sizeof(*set));
	const char *why = NULL;

	if (n > PRODUCT_PAIRS_MAX)
		return too_many_pairs(maker);
	maker->pair_rules = arena_calloc(maker->arena, n, sizeof(*maker->pair_rules));
	for (uint32_t i = 0; i < n && !why; i++) {
		const uint64_t *source =
			maker->side_rules[0] + i / product->n_side[1] * maker->n_words;
		const uint64_t *destination =
			maker->side_rules[1] + i % product->n_side[1] * maker->n_words;

		for (size_t w = 0; w < maker->n_words; w++)
			set[w] = source[w] & destination[w];
		prune(maker, set);
		maker->pair_rules[i] =
			intern_put(maker->shadowless, set, maker->n_words * sizeof(*set));
		why = check_sets(maker);
	}
	return why;
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
	uint32_t r = first + n;

	if (!n)
		return; /* there it says for ever that no rule does */
	for (uint32_t p = 0; p < maker->protocols->n_classes; p++)
		matched[p] = POLICY_NO_RULE;
	while ((r = bits_below(set, first, r)) != BITS_NONE)
		for (uint32_t i = maker->protocol_first[r]; i < maker->protocol_first[r + 1]; i++)
			matched[maker->protocol_list[i]] = rules->first + r;
}

/* What was asked lately, by the low bits of the rules' numbers: most rows ask for what others did. */
enum { LATELY = 1024 };

struct lately {
	uint32_t triple[TIER_COUNT];
	uint32_t outcome; /* and one; 0: nothing was asked */
};

struct row_maker {
	struct maker *maker;
	struct lately *lately;
	struct intern *triples;	   /* rules matched in the three tiers */
	uint16_t *triple_outcomes; /* the outcome of each */
	size_t room;
	struct intern *rows;
	uint32_t *matched[TIER_COUNT]; /* of each protocol class */
	uint16_t *outcomes;	       /* of each protocol class, filled up to whole blocks */
	uint16_t *before;	       /* those of the row before */
	uint32_t *row;
};

static uint16_t triple_outcome(struct row_maker *rows, const uint32_t triple[TIER_COUNT])
{
	struct maker *maker = rows->maker;
	uint32_t n = intern_len(rows->triples);
	uint32_t id = intern_put(rows->triples, triple, TIER_COUNT * sizeof(*triple));

	if (id >= n && id == rows->room) {
		rows->room = rows->room ? rows->room * 2 : 256;
		rows->triple_outcomes = mem_realloc(rows->triple_outcomes, rows->room,
						    sizeof(*rows->triple_outcomes));
	}
	assert(rows->triple_outcomes);
	if (id >= n)
		rows->triple_outcomes[id] = maker_outcome(maker, triple);
	return rows->triple_outcomes[id];
}

static uint16_t lately_outcome(struct row_maker *rows, const uint32_t triple[TIER_COUNT])
{
	struct lately *lately =
		&rows->lately[(triple[0] * 5 + triple[1] * 3 + triple[2]) & (LATELY - 1)];

	if (!lately->outcome || lately->triple[0] != triple[0] || lately->triple[1] != triple[1] ||
	    lately->triple[2] != triple[2]) {
		memcpy(lately->triple, triple, sizeof(lately->triple));
		lately->outcome = triple_outcome(rows, triple) + 1U;
	}
	return (uint16_t)(lately->outcome - 1);
}

/* The blocks of a row. Most are those that the row before has in their places. */
static void put_blocks(struct row_maker *rows)
{
	const size_t size = PRODUCT_BLOCK * sizeof(*rows->outcomes);
	bool first = !intern_len(rows->rows);
	uint16_t *before = rows->before;

	for (uint32_t b = 0; b < rows->maker->product->row_len; b++) {
		const uint16_t *block = rows->outcomes + (size_t)b * PRODUCT_BLOCK;

		if (first || memcmp(block, before + (size_t)b * PRODUCT_BLOCK, size))
			rows->row[b] = intern_put(rows->maker->tables->blocks, block, size);
	}
	rows->before = rows->outcomes;
	rows->outcomes = before;
}

/* The row of one set of rules, by number. */
static uint32_t make_row(struct row_maker *rows, const uint64_t *set)
{
	struct maker *maker = rows->maker;
	const uint32_t *const *matched = (const uint32_t *const *)rows->matched;
	uint16_t outcome = 0;

	for (int tier = 0; tier < TIER_COUNT; tier++)
		match_tier(maker, set, tier, rows->matched[tier]);
	for (uint32_t p = 0; p < maker->protocols->n_classes; p++) {
		const uint32_t triple[TIER_COUNT] = {matched[0][p], matched[1][p], matched[2][p]};

		/* Word by word: a comparison of what has just been put together waits for it. */
		if (!p || triple[0] != matched[0][p - 1] || triple[1] != matched[1][p - 1] ||
		    triple[2] != matched[2][p - 1])
			outcome = lately_outcome(rows, triple);
		rows->outcomes[p] = outcome;
	}
	put_blocks(rows);
	return intern_put(rows->rows, rows->row, maker->product->row_len * sizeof(*rows->row));
}

/* What has come to be after each row, so that the answer comes before it is large. */
static const char *check_rows(const struct maker *maker, uint32_t n_rows)
{
	const char *direction = policy_direction_name(maker->rules->direction);
	uint32_t n_blocks = intern_len(maker->tables->blocks);
	size_t n_ranges;

	if (n_blocks > PRODUCT_BLOCKS_MAX)
		return arena_printf(
			maker->arena,
			"%u ways in which %s rules combine by addresses, times %u classes "
			"of protocols and ports, need more than the %d blocks of outcomes "
			"that fit",
			intern_len(maker->shadowless), direction, maker->protocols->n_classes,
			PRODUCT_BLOCKS_MAX);
	if (n_rows > PRODUCT_ROWS_MAX)
		return arena_printf(maker->arena,
				    "%s rules tell apart %u classes of address pairs, and %d fit; "
				    "the largest source is that of rule '%s'",
				    direction, n_rows, PRODUCT_ROWS_MAX,
				    maker_largest(maker, 0, &n_ranges));
	return maker_check_outcomes(maker);
}

/* A row for each set of rules, then the pairs by their rows. */
static const char *make_rows(struct maker *maker)
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
	const char *why = NULL;

	product->row_len = (maker->protocols->n_classes + PRODUCT_BLOCK - 1) / PRODUCT_BLOCK;
	size = product->row_len * sizeof(*product->rows);
	for (int tier = 0; tier < TIER_COUNT; tier++) {
		rows.matched[tier] = arena_calloc(maker->arena, maker->protocols->n_classes,
						  sizeof(*rows.matched[tier]));
		for (uint32_t p = 0; p < maker->protocols->n_classes; p++)
			rows.matched[tier][p] = POLICY_NO_RULE;
	}
	rows.outcomes = arena_calloc(maker->arena, (size_t)product->row_len * PRODUCT_BLOCK,
				     sizeof(*rows.outcomes));
	rows.lately = arena_calloc(maker->arena, LATELY, sizeof(*rows.lately));
	rows.before = arena_calloc(maker->arena, (size_t)product->row_len * PRODUCT_BLOCK,
				   sizeof(*rows.before));
	rows.row = arena_alloc(maker->arena, size);
	for (uint32_t i = 0; i < n_sets && !why; i++) {
		row_of[i] = make_row(&rows, intern_get(maker->shadowless, i));
		why = check_rows(maker, intern_len(all));
	}
	triple_outcomes = rows.triple_outcomes;
	if (why)
		return why;
	product->n_pair = intern_len(all);
	product->pair = arena_calloc(maker->arena, n_pairs, sizeof(*product->pair));
	for (size_t i = 0; i < n_pairs; i++)
		product->pair[i] = row_of[maker->pair_rules[i]];
	product->rows = arena_alloc(maker->arena, product->n_pair * size);
	for (uint32_t i = 0; i < product->n_pair; i++)
		memcpy(product->rows + (size_t)i * product->row_len, intern_get(all, i), size);
	return NULL;
}

const char *product_pairs(struct maker *maker)
{
	const char *why;

	maker->product->kind = BH_PRODUCT_PAIRS;
	why = make_pairs(maker);
	if (why)
		return why;
	list_protocols(maker);
	return make_rows(maker);
}
