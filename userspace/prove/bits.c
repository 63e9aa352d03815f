// SPDX-License-Identifier: GPL-2.0-only
/* The sets are laid out as bpf/abi.h says, from the policy's own, and compared word by word. */
#include "prove/bits.h"

#include "prove/expected.h"
#include "prove/runs.h"
#include "prove/set.h"

struct checker {
	const struct rules *rules;
	const struct image *image;
	const struct bh_direction_head *tables;
	uint32_t from[TIER_COUNT]; /* rules of each tier, as rules_of_tier has them */
	uint32_t end[TIER_COUNT];
};

/* The image has the policy's numbers of rules, and room for them. */
static bool same_tiers(struct checker *checker)
{
	uint32_t begin = 0;

	for (int tier = 0; tier < TIER_COUNT; tier++) {
		uint32_t n;

		rules_of_tier(checker->rules, tier, &checker->from[tier], &checker->end[tier]);
		n = checker->end[tier] - checker->from[tier];
		if (checker->tables->tier_rules[tier] != n ||
		    (checker->tables->tier_end[tier] - begin) * 64 < n)
			return false;
		begin = checker->tables->tier_end[tier];
	}
	return true;
}

/* 64 rules from that one on, those from end on left out. */
static uint64_t word_of(const uint64_t *rules, uint32_t from, uint32_t end)
{
	uint64_t word;

	if (from >= end)
		return 0;
	word = rules[from / 64] >> from % 64;
	if (from % 64 && from / 64 < (end - 1) / 64)
		word |= rules[from / 64 + 1] << (64 - from % 64);
	if (end - from < 64)
		word &= ~(uint64_t)0 >> (64 - (end - from));
	return word;
}

/* Whether the set of the image holds these rules and no others. */
static bool is_set(const struct checker *checker, enum runs_set kind, uint32_t class,
		   const uint64_t *rules)
{
	const uint8_t *set =
		runs_set(checker->image, (enum bh_direction)checker->rules->direction, kind, class);
	uint32_t word = 0;

	for (int tier = 0; tier < TIER_COUNT; tier++) {
		uint32_t from = checker->from[tier];

		for (; word < checker->tables->tier_end[tier]; word++, from += 64) {
			uint64_t expected = word_of(rules, from, checker->end[tier]);

			if (memcmp(set + word * sizeof(expected), &expected, sizeof(expected)) != 0)
				return false;
		}
	}
	return true;
}

static bool same_side(const struct checker *checker, enum runs_set kind, const struct side *side)
{
	for (size_t i = 0; i < side->points.len; i++)
		if (!is_set(checker, kind, side->points.at[i].class,
			    pool_at(side->rules, side->points.at[i].rules)))
			return false;
	return true;
}

static bool same_services(const struct checker *checker, const struct service_points *services)
{
	for (size_t i = 0; i < services->all.len; i++)
		if (!is_set(checker, RUNS_SET_SERVICE, services->all.at[i].class,
			    pool_at(services->rules, services->all.at[i].rules)))
			return false;
	return true;
}

/* Each row: the policy's word on the first rule of each tier, or none of it. */
static bool same_rows(const struct checker *checker)
{
	uint32_t n[TIER_COUNT];
	uint64_t n_rows = 1;

	for (int tier = 0; tier < TIER_COUNT; tier++) {
		n[tier] = checker->tables->tier_rules[tier] + 1U;
		n_rows *= n[tier];
	}
	for (uint64_t row = 0; row < n_rows; row++) {
		uint32_t matched[TIER_COUNT];
		uint64_t rest = row;
		struct bh_outcome expected;

		for (int tier = TIER_COUNT - 1; tier >= 0; tier--) {
			uint32_t rule = (uint32_t)(rest % n[tier]);

			matched[tier] =
				rule ? checker->rules->first + checker->from[tier] + rule - 1
				     : POLICY_NO_RULE;
			rest /= n[tier];
		}
		expected = expected_outcome(checker->rules, matched);
		if (memcmp(image_outcome(checker->image,
					 runs_row(checker->image,
						  (enum bh_direction)checker->rules->direction,
						  (uint32_t)row)),
			   &expected, sizeof(expected)) != 0)
			return false;
	}
	return true;
}

bool bits_hold(const struct rules *rules, const struct image *image, const struct side sides[2],
	       const struct service_points *services)
{
	struct checker checker = {
		.rules = rules,
		.image = image,
		.tables = &image_head(image)->direction[rules->direction],
	};

	return checker.tables->product == BH_PRODUCT_BITS && same_tiers(&checker) &&
	       same_side(&checker, RUNS_SET_SOURCE, &sides[0]) &&
	       same_side(&checker, RUNS_SET_DESTINATION, &sides[1]) &&
	       same_services(&checker, services) && same_rows(&checker);
}
