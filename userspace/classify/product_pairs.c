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

/*
 * Turns the sets of rules of protocol classes round. Without runs it counts into next those of each
 * rule, else next is where the next one of each rule belongs.
 */
static void find_runs(const struct maker *maker, const uint64_t *none, uint32_t *next,
		      struct run *runs)
{
	const struct protocols *protocols = maker->protocols;
	const uint64_t *before = none;

	for (uint32_t p = 0; p <= protocols->n_classes; p++) {
		const uint64_t *now =
			p < protocols->n_classes ? protocols->rules + p * protocols->n_words : none;

		for (size_t w = 0; w < protocols->n_words; w++)
			for (uint64_t set = now[w] ^ before[w]; set; set &= set - 1) {
				size_t r = w * 64 + (size_t)__builtin_ctzll(set);
				bool begins = bits_have(now, r);

				if (!runs)
					next[r] += begins;
				else if (begins)
					runs[next[r]].first = p;
				else
					runs[next[r]++].end = p;
			}
		before = now;
	}
}

static void list_runs(struct maker *maker)
{
	uint32_t n = maker->rules->n;
	uint32_t *first = arena_calloc(maker->arena, n + 2, sizeof(*first));
	const uint64_t *none = arena_calloc(maker->arena, maker->n_words, sizeof(*none));

	find_runs(maker, none, first + 2, NULL);
	for (uint32_t r = 0; r < n; r++)
		first[r + 2] += first[r + 1];
	maker->runs = arena_calloc(maker->arena, first[n + 1], sizeof(*maker->runs));
	find_runs(maker, none, first + 1, maker->runs);
	maker->runs_first = first;
}

/* ---- what many rows begin with ---- */

/*
 * The rules that match every class of one side, with each class of the other: whichever set of
 * rules a pair of the latter comes to, these are among them, or stand behind a rule for every
 * protocol and port. A row is what they lead to, but for what other rules take before them.
 */
struct base {
	uint64_t *rules;
	uint16_t *own[TIER_COUNT]; /* of each protocol class the first rule, filled up to blocks */
	uint16_t *now[TIER_COUNT]; /* of the row in the making; the same between two rows */
	uint32_t *row;		   /* the numbers of own blocks, and one; 0: no row has had it */
};

enum { BASES_MAX = 64 };

struct bases {
	int side; /* whose classes they are of */
	uint32_t n;
	struct base at[BASES_MAX];
};

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
	uint32_t *row;

	/* The blocks that are not as those of the base. */
	uint32_t *changed;
	uint32_t n_changed;
	bool *is_changed;
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

static void change(struct row_maker *rows, uint32_t block)
{
	if (!rows->is_changed[block])
		rows->changed[rows->n_changed++] = block;
	rows->is_changed[block] = true;
}

/*
 * The rule takes what no rule before it in its tier has taken; whether that is any. Without a branch:
 * of a length that the compiler knows, it becomes a few wide instructions.
 */
static inline bool take_columns(uint16_t *matched, size_t n, uint16_t rule)
{
	uint16_t taken = 0;

	for (size_t p = 0; p < n; p++) {
		uint16_t least = matched[p] < rule ? matched[p] : rule;

		taken |= matched[p] ^ least;
		matched[p] = least;
	}
	return taken;
}

static bool take_of_block(uint16_t *matched, size_t n, uint16_t rule)
{
	if (n == PRODUCT_BLOCK)
		return take_columns(matched, PRODUCT_BLOCK, rule);
	return take_columns(matched, n, rule);
}

/* BH_NO_RULE is the largest of all, and the policy has no more rules than that. */
static void match_rule(struct row_maker *rows, uint32_t r, uint16_t *matched)
{
	const struct maker *maker = rows->maker;
	const struct run *run = maker->runs + maker->runs_first[r];
	const struct run *end = maker->runs + maker->runs_first[r + 1];
	const uint16_t rule = (uint16_t)(maker->rules->first + r);

	for (; run < end; run++)
		for (uint32_t p = run->first, next; p < run->end; p = next) {
			next = (p / PRODUCT_BLOCK + 1) * PRODUCT_BLOCK;
			if (next > run->end)
				next = run->end;
			if (take_of_block(matched + p, next - p, rule))
				change(rows, p / PRODUCT_BLOCK);
		}
}

static void match(struct row_maker *rows, const uint64_t *set, uint16_t *matched[TIER_COUNT])
{
	const struct direction_rules *rules_of = rows->maker->rules;

	rows->n_changed = 0;
	memset(rows->is_changed, 0, rows->maker->product->row_len);
	for (int tier = 0; tier < TIER_COUNT; tier++) {
		uint32_t first =
			rules_of->policy->first[rules_of->direction][tier] - rules_of->first;
		uint32_t r = first + rules_of->policy->n[rules_of->direction][tier];

		while ((r = bits_below(set, first, r)) != BITS_NONE)
			match_rule(rows, r, matched[tier]);
	}
}

_Static_assert(BH_NO_RULE == UINT16_MAX, "all bits set, for memset");

static void fill_base(struct row_maker *rows, struct base *base)
{
	const struct maker *maker = rows->maker;
	size_t size = (size_t)maker->product->row_len * PRODUCT_BLOCK * sizeof(uint16_t);

	for (int tier = 0; tier < TIER_COUNT; tier++) {
		base->own[tier] = arena_alloc(maker->arena, size);
		memset(base->own[tier], 0xff, size);
	}
	match(rows, base->rules, base->own);
	for (int tier = 0; tier < TIER_COUNT; tier++)
		base->now[tier] = arena_copy(maker->arena, base->own[tier], size);
	base->row = arena_calloc(maker->arena, maker->product->row_len, sizeof(*base->row));
}

/* A block of outcomes; those behind the last protocol class are 0. */
static uint32_t make_block(struct row_maker *rows, uint16_t *const matched[TIER_COUNT], uint32_t b)
{
	uint32_t n_classes = rows->maker->protocols->n_classes;
	uint16_t outcomes[PRODUCT_BLOCK] = {};
	uint64_t last = UINT64_MAX; /* is no triple */
	uint32_t first = b * PRODUCT_BLOCK;

	for (uint32_t i = 0; i < PRODUCT_BLOCK && first + i < n_classes; i++) {
		uint64_t triple = matched[0][first + i] | (uint64_t)matched[1][first + i] << 16 |
				  (uint64_t)matched[2][first + i] << 32;

		outcomes[i] = triple == last ? outcomes[i - 1] : lately_outcome(rows, triple);
		last = triple;
	}
	return intern_put(rows->maker->tables->blocks, outcomes, sizeof(outcomes));
}

/* The number of a block of the row in the making: most are those of its base. */
static uint32_t block_of(struct row_maker *rows, struct base *base, uint32_t b)
{
	if (rows->is_changed[b])
		return make_block(rows, base->now, b);
	if (!base->row[b])
		base->row[b] = make_block(rows, base->own, b) + 1;
	return base->row[b] - 1;
}

static void put_back(struct base *base, uint32_t b)
{
	const size_t at = (size_t)b * PRODUCT_BLOCK;

	for (int tier = 0; tier < TIER_COUNT; tier++)
		memcpy(base->now[tier] + at, base->own[tier] + at,
		       PRODUCT_BLOCK * sizeof(*base->now[tier]));
}

/* The row of one set of rules, by number; pair: one that comes to the set. */
static uint32_t make_row(struct row_maker *rows, const uint64_t *set, uint32_t pair)
{
	const struct maker *maker = rows->maker;
	struct base *base = base_of(maker, &rows->bases, pair);

	for (size_t w = 0; w < maker->n_words; w++)
		rows->beyond[w] = set[w] & ~base->rules[w];
	match(rows, rows->beyond, base->now);
	for (uint32_t b = 0; b < maker->product->row_len; b++)
		rows->row[b] = block_of(rows, base, b);
	for (uint32_t i = 0; i < rows->n_changed; i++)
		put_back(base, rows->changed[i]);
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

static void rows_init(struct row_maker *rows)
{
	const struct maker *maker = rows->maker;
	uint32_t row_len = maker->product->row_len;

	rows->beyond = arena_calloc(maker->arena, maker->n_words, sizeof(*rows->beyond));
	rows->lately = arena_calloc(maker->arena, LATELY, sizeof(*rows->lately));
	rows->row = arena_calloc(maker->arena, row_len, sizeof(*rows->row));
	rows->changed = arena_calloc(maker->arena, row_len, sizeof(*rows->changed));
	rows->is_changed = arena_calloc(maker->arena, row_len, sizeof(*rows->is_changed));
	make_bases(maker, &rows->bases);
	for (uint32_t i = 0; i < rows->bases.n; i++)
		fill_base(rows, &rows->bases.at[i]);
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
	rows_init(&rows);
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
	list_runs(maker);
	return make_rows(maker);
}
