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

/* ---- the first rule of each protocol class ---- */

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

/*
 * Of each protocol class the first rule that a tier has for it; BH_NO_RULE is the largest of all,
 * and the policy has no more rules than that.
 */
static void match_rule(const struct maker *maker, uint32_t r, uint16_t *matched)
{
	const uint32_t *class = maker->protocol_list + maker->protocol_first[r];
	const uint32_t *end = maker->protocol_list + maker->protocol_first[r + 1];
	const uint32_t n_classes = maker->protocols->n_classes;
	const uint16_t rule = (uint16_t)(maker->rules->first + r);

	if (bits_have(maker->protocols->wild, r)) {
		for (uint32_t p = 0; p < n_classes; p++)
			matched[p] = matched[p] < rule ? matched[p] : rule;
		return;
	}
	for (; class < end; class ++)
		if (rule < matched[*class])
			matched[*class] = rule;
}

static void match_tier(const struct maker *maker, const uint64_t *set, enum policy_tier tier,
		       uint16_t *matched)
{
	const struct direction_rules *rules = maker->rules;
	uint32_t first = rules->policy->first[rules->direction][tier] - rules->first;
	uint32_t r = first + rules->policy->n[rules->direction][tier];

	while ((r = bits_below(set, first, r)) != BITS_NONE)
		match_rule(maker, r, matched);
}

/* ---- what many rows begin with ---- */

/*
 * The rules that match every class of one side, with each class of the other: whichever set of
 * rules a pair of the latter comes to, these are among them, or stand behind a rule for every
 * protocol and port.
 */
struct base {
	uint64_t *rules;
	uint16_t *matched[TIER_COUNT];
	/* The last row that began with it: outcomes, and the numbers of their blocks, less one. */
	uint16_t *outcomes;
	uint32_t *row;
};

enum { BASES_MAX = 64 };

struct bases {
	int side; /* whose classes they are of */
	uint32_t n;
	struct base at[BASES_MAX];
};

static void make_base(const struct maker *maker, struct base *base)
{
	const uint32_t n_classes = maker->protocols->n_classes;

	for (int tier = 0; tier < TIER_COUNT; tier++) {
		base->matched[tier] =
			arena_alloc(maker->arena, n_classes * sizeof(*base->matched[tier]));
		for (uint32_t p = 0; p < n_classes; p++)
			base->matched[tier][p] = BH_NO_RULE;
		match_tier(maker, base->rules, tier, base->matched[tier]);
	}
}

/* Of the side with fewer classes; where that has many, one without rules for all. */
static void make_bases(const struct maker *maker, struct bases *ret_bases)
{
	const uint32_t *n_side = maker->product->n_side;
	struct bases bases = {.side = n_side[1] <= n_side[0]};
	uint64_t *always = arena_calloc(maker->arena, maker->n_words, sizeof(*always));
	bool few = n_side[bases.side] <= BASES_MAX;

	bases.n = few ? n_side[bases.side] : 1;
	assert(bases.n); /* each side has a class */
	if (few)
		memset(always, 0xff, maker->n_words * sizeof(*always));
	for (uint32_t c = 0; few && c < n_side[!bases.side]; c++)
		for (size_t w = 0; w < maker->n_words; w++)
			always[w] &= maker->side_rules[!bases.side][c * maker->n_words + w];
	for (uint32_t i = 0; i < bases.n; i++) {
		struct base *base = &bases.at[i];

		base->rules = arena_calloc(maker->arena, maker->n_words, sizeof(*base->rules));
		for (size_t w = 0; w < maker->n_words; w++)
			base->rules[w] =
				always[w] & maker->side_rules[bases.side][i * maker->n_words + w];
		prune(maker, base->rules);
		make_base(maker, base);
		base->row = arena_calloc(maker->arena, maker->product->row_len, sizeof(*base->row));
		base->outcomes =
			arena_calloc(maker->arena, (size_t)maker->product->row_len * PRODUCT_BLOCK,
				     sizeof(*base->outcomes));
	}
	*ret_bases = bases;
}

static struct base *base_of(const struct maker *maker, struct bases *bases, uint32_t pair)
{
	uint32_t n = maker->product->n_side[1];

	assert(n && bases->at[0].rules);
	if (bases->n == 1)
		return &bases->at[0];
	return &bases->at[bases->side ? pair % n : pair / n];
}

/* ---- rows ---- */

/* What was asked lately, by the low bits of the rules' numbers: most rows ask for what others did. */
enum { LATELY = 1024 };

struct lately {
	uint64_t triple;
	uint32_t outcome; /* and one; 0: nothing was asked */
};

struct row_maker {
	struct maker *maker;
	struct bases bases;
	uint64_t *beyond; /* of a set what its base has not */
	struct lately *lately;
	struct intern *triples;	   /* rules matched in the three tiers, in one word */
	uint16_t *triple_outcomes; /* the outcome of each */
	size_t room;
	struct intern *rows;
	uint16_t *matched[TIER_COUNT]; /* of each protocol class */
	uint16_t *outcomes;	       /* of each protocol class, filled up to whole blocks */
	uint32_t *row;
};

static uint16_t outcome_of_triple(struct maker *maker, uint64_t triple)
{
	uint32_t matched[TIER_COUNT];

	for (int tier = 0; tier < TIER_COUNT; tier++) {
		matched[tier] = triple >> 16 * tier & 0xffff;
		if (matched[tier] == BH_NO_RULE)
			matched[tier] = POLICY_NO_RULE;
	}
	return maker_outcome(maker, matched);
}

static uint16_t triple_outcome(struct row_maker *rows, uint64_t triple)
{
	uint32_t n = intern_len(rows->triples);
	uint32_t id = intern_put(rows->triples, &triple, sizeof(triple));

	if (id >= n && id == rows->room) {
		rows->room = rows->room ? rows->room * 2 : 256;
		rows->triple_outcomes = mem_realloc(rows->triple_outcomes, rows->room,
						    sizeof(*rows->triple_outcomes));
	}
	assert(rows->triple_outcomes);
	if (id >= n)
		rows->triple_outcomes[id] = outcome_of_triple(rows->maker, triple);
	return rows->triple_outcomes[id];
}

static uint16_t lately_outcome(struct row_maker *rows, uint64_t triple)
{
	struct lately *lately =
		&rows->lately[(triple + 3 * (triple >> 16) + 5 * (triple >> 32)) & (LATELY - 1)];

	if (!lately->outcome || lately->triple != triple)
		*lately = (struct lately){triple, triple_outcome(rows, triple) + 1U};
	return (uint16_t)(lately->outcome - 1);
}

/* The blocks of a row. Most are those that the last row with its base has in their places. */
static void put_blocks(struct row_maker *rows, struct base *base)
{
	const size_t size = PRODUCT_BLOCK * sizeof(*rows->outcomes);
	uint16_t *before = base->outcomes;

	for (uint32_t b = 0; b < rows->maker->product->row_len; b++) {
		const uint16_t *block = rows->outcomes + (size_t)b * PRODUCT_BLOCK;

		if (!base->row[b] || memcmp(block, before + (size_t)b * PRODUCT_BLOCK, size))
			base->row[b] = intern_put(rows->maker->tables->blocks, block, size) + 1;
		rows->row[b] = base->row[b] - 1;
	}
	base->outcomes = rows->outcomes;
	rows->outcomes = before;
}

static void match(struct row_maker *rows, const uint64_t *set, const struct base *base)
{
	const struct maker *maker = rows->maker;

	for (size_t w = 0; w < maker->n_words; w++)
		rows->beyond[w] = set[w] & ~base->rules[w];
	for (int tier = 0; tier < TIER_COUNT; tier++) {
		memcpy(rows->matched[tier], base->matched[tier],
		       maker->protocols->n_classes * sizeof(*rows->matched[tier]));
		match_tier(maker, rows->beyond, tier, rows->matched[tier]);
	}
}

/* The row of one set of rules, by number; pair: one that comes to the set. */
static uint32_t make_row(struct row_maker *rows, const uint64_t *set, uint32_t pair)
{
	struct maker *maker = rows->maker;
	struct base *base = base_of(maker, &rows->bases, pair);
	const uint16_t *admin = rows->matched[0];
	const uint16_t *subnet = rows->matched[1];
	const uint16_t *nic = rows->matched[2];
	const uint32_t n_classes = maker->protocols->n_classes;
	uint64_t last = UINT64_MAX; /* is no triple */
	uint16_t outcome = 0;

	match(rows, set, base);
	for (uint32_t p = 0; p < n_classes; p++) {
		uint64_t triple = admin[p] | (uint64_t)subnet[p] << 16 | (uint64_t)nic[p] << 32;

		if (triple != last)
			outcome = lately_outcome(rows, triple);
		last = triple;
		rows->outcomes[p] = outcome;
	}
	put_blocks(rows, base);
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
	make_bases(maker, &rows.bases);
	rows.beyond = arena_calloc(maker->arena, maker->n_words, sizeof(*rows.beyond));
	for (int tier = 0; tier < TIER_COUNT; tier++)
		rows.matched[tier] = arena_calloc(maker->arena, maker->protocols->n_classes,
						  sizeof(*rows.matched[tier]));
	rows.outcomes = arena_calloc(maker->arena, (size_t)product->row_len * PRODUCT_BLOCK,
				     sizeof(*rows.outcomes));
	rows.lately = arena_calloc(maker->arena, LATELY, sizeof(*rows.lately));
	rows.row = arena_alloc(maker->arena, size);
	/* Numbers of sets are in the order of their first pairs. */
	for (uint32_t i = 0, set = 0; set < n_sets && !why; i++) {
		if (maker->pair_rules[i] != set)
			continue;
		row_of[set] = make_row(&rows, intern_get(maker->shadowless, set), i);
		why = check_rows(maker, intern_len(all));
		set++;
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
