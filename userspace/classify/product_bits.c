// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bits: for each class of sources, of destinations and of protocols the rules that match it, and
 * an outcome for each combination of the first rules of the tiers. Its size is that of classes
 * times rules, however they combine.
 */
#include "classify/bits.h"
#include "classify/product_maker.h"

/* Where the rules of a tier stand among those of the direction. */
static uint32_t first_of(const struct maker *maker, int tier)
{
	const struct direction_rules *rules = maker->rules;

	return rules->policy->first[rules->direction][tier] - rules->first;
}

static uint32_t n_of(const struct maker *maker, int tier)
{
	return maker->rules->policy->n[maker->rules->direction][tier];
}

static const char *place_tiers(struct maker *maker)
{
	struct product *product = maker->product;
	uint32_t n_words = 0;
	uint64_t n_row = 1;

	for (int tier = 0; tier < BH_TIER_COUNT; tier++) {
		n_words += (n_of(maker, tier) + 63) / 64;
		n_row *= n_of(maker, tier) + 1;
		product->tier_end[tier] = n_words;
		product->tier_rules[tier] = n_of(maker, tier);
	}
	product->row_len = n_words ? n_words : 1;
	if (n_words > BH_BITS_WORDS)
		return arena_printf(maker->arena, "%u %s rules need sets of %u words, and %d fit",
				    maker->rules->n, policy_direction_name(maker->rules->direction),
				    n_words, BH_BITS_WORDS);
	if (n_row > PRODUCT_ROW_MAX)
		return arena_printf(
			maker->arena,
			"%s rules of admin, subnet and nic (%u, %u, %u) combine in %llu "
			"ways, and %d fit",
			policy_direction_name(maker->rules->direction), n_of(maker, 0),
			n_of(maker, 1), n_of(maker, 2), (unsigned long long)n_row, PRODUCT_ROW_MAX);
	product->n_row = n_row;
	return NULL;
}

/* A set of rules with each tier at the beginning of a word. */
static uint32_t put_set(struct maker *maker, const uint64_t *rules, uint64_t *set)
{
	const struct product *product = maker->product;

	memset(set, 0, product->row_len * sizeof(*set));
	for (int tier = 0; tier < BH_TIER_COUNT; tier++) {
		uint32_t bit = tier ? product->tier_end[tier - 1] * 64 : 0;
		uint32_t first = first_of(maker, tier);
		uint32_t r = first + n_of(maker, tier);

		while ((r = bits_below(rules, first, r)) != BITS_NONE)
			bits_add(set, bit + r - first);
	}
	return intern_put(maker->tables->sets, set, product->row_len * sizeof(*set));
}

static void make_sets(struct maker *maker)
{
	const struct protocols *protocols = maker->protocols;
	struct product *product = maker->product;
	uint64_t *set = arena_calloc(maker->arena, product->row_len, sizeof(*set));
	uint32_t *to;

	product->n_pair = protocols->n_classes;
	product->set_of = arena_calloc(maker->arena,
				       product->n_side[0] + product->n_side[1] + product->n_pair,
				       sizeof(*product->set_of));
	to = product->set_of;
	for (int side = 0; side < 2; side++)
		for (uint32_t i = 0; i < product->n_side[side]; i++)
			*to++ = put_set(maker, maker->side_rules[side] + i * maker->n_words, set);
	for (uint32_t i = 0; i < product->n_pair; i++)
		*to++ = put_set(maker, protocols->rules + i * protocols->n_words, set);
}

/* The policy's id of what a tier matched: 0 none, else 1 + the rule within the tier. */
static uint32_t rule_id(const struct maker *maker, int tier, uint32_t matched)
{
	if (!matched)
		return POLICY_NO_RULE;
	return maker->rules->policy->first[maker->rules->direction][tier] + matched - 1;
}

static const char *make_row(struct maker *maker)
{
	struct product *product = maker->product;
	const char *why = NULL;

	product->row = arena_calloc(maker->arena, product->n_row, sizeof(*product->row));
	for (uint32_t i = 0; i < product->n_row && !why; i++) {
		uint32_t rest = i;
		uint32_t matched[BH_TIER_COUNT];

		for (int tier = BH_TIER_COUNT - 1; tier >= 0; tier--) {
			matched[tier] = rule_id(maker, tier, rest % (n_of(maker, tier) + 1));
			rest /= n_of(maker, tier) + 1;
		}
		product->row[i] = maker_outcome(maker, matched);
		why = maker_check_outcomes(maker);
	}
	return why;
}

const char *product_bits(struct maker *maker)
{
	const char *why;

	maker->product->kind = BH_PRODUCT_BITS;
	why = place_tiers(maker);
	if (why)
		return why;
	make_sets(maker);
	return make_row(maker);
}
