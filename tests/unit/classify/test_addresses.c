// SPDX-License-Identifier: GPL-2.0-only
/* Segments in order, each of the class that says which sets hold it; both families. */
#include <criterion/criterion.h>

#include "classify/addresses.h"
#include "classify/bits.h"
#include "tests/lib/rng.h"
#include "tests/unit/classify/made.h"

enum { SETS = 90, RANGES = 60 }; /* more than one word of sets */

/* Ranges that differ in any of the sixteen bytes, in order and apart. */
static void draw_set(struct made *made, struct rng *rng)
{
	uint32_t set = made_set(made);
	uint64_t next[2] = {rng_next(rng) >> rng_below(rng, 60), rng_next(rng)};
	uint32_t next4 = rng_below(rng, 1U << 31);

	for (int i = 0; i < RANGES; i++) {
		const uint32_t last4 = next4 + rng_below(rng, 1U << 20);

		made_range4(made, set, next4, last4);
		next4 = last4 + 2 + rng_below(rng, 1U << 12);
	}
	for (int i = 0; i < RANGES; i++) {
		const uint64_t first[2] = {next[0], next[1]};
		bool over = rng_chance(rng, 50);
		const uint64_t last[2] = {first[0] + (over ? 1 + (rng_next(rng) >> 20) : 0),
					  over ? rng_next(rng) : first[1] | 0xff};

		made_range6(made, set, first, last);
		next[0] = last[0] + (rng_chance(rng, 50) ? 1 : 1 + (rng_next(rng) >> 30));
		next[1] = rng_chance(rng, 30) ? 0 : rng_next(rng);
		if (next[0] < last[0] || next[0] > UINT64_MAX - (1ULL << 50))
			return;
	}
}

static struct addr addr_of(uint64_t high, uint64_t low)
{
	struct addr addr = {.family = ADDR_V6};

	for (int i = 0; i < 16; i++)
		addr.bytes[i] = (i < 8 ? high : low) >> (56 - i % 8 * 8);
	return addr;
}

static void expect_class(const struct made *made, const struct addresses *addresses,
			 const struct addr *addr, uint32_t class)
{
	const uint64_t *sets = addresses->sets + class * addresses->n_words;

	for (size_t i = 0; i < made->policy.sets.len; i++)
		cr_assert_eq(bits_have(sets, i),
			     addr_ranges_have(&made->policy.sets.at[i].ranges, addr), "set %zu", i);
}

Test(addresses, every_segment_has_the_class_of_its_sets)
{
	struct rng rng = {7};
	struct addresses addresses;
	struct made made;
	struct addr addr;

	made_init(&made);
	for (int i = 0; i < SETS; i++)
		draw_set(&made, &rng);
	cr_assert_eq(addresses_classify(made.arena, &made.policy, made.diag, &addresses), 0);
	cr_assert_gt(addresses.n_v4, SETS);
	cr_assert_gt(addresses.n_v6, SETS);
	for (size_t i = 0; i < addresses.n_v4; i++) {
		const struct segment4 *segment = &addresses.v4[i];

		cr_assert(i ? segment->first > segment[-1].first : !segment->first);
		addr = addr_v4(segment->first);
		expect_class(&made, &addresses, &addr, segment->class);
		addr = addr_v4(i + 1 < addresses.n_v4 ? segment[1].first - 1 : UINT32_MAX);
		expect_class(&made, &addresses, &addr, segment->class);
	}
	for (size_t i = 0; i < addresses.n_v6; i++) {
		const struct segment6 *segment = &addresses.v6[i];

		if (i)
			cr_assert(segment->high > segment[-1].high ||
				  (segment->high == segment[-1].high &&
				   segment->low > segment[-1].low));
		else
			cr_assert(!segment->high && !segment->low);
		addr = addr_of(segment->high, segment->low);
		expect_class(&made, &addresses, &addr, segment->class);
	}
	addresses_fini(&addresses);
	made_fini(&made);
}

/* As many classes as there are, and no more, however often one comes back. */
Test(addresses, one_set_of_sets_is_one_class)
{
	struct addresses addresses;
	struct made made;
	uint32_t one, other;

	made_init(&made);
	one = made_set(&made);
	other = made_set(&made);
	for (uint64_t i = 0; i < 1000; i++) {
		const uint64_t first[2] = {i << 8, i}, last[2] = {(i << 8) + 9, 0};
		const uint64_t inside[2] = {(i << 8) + 4, i}, until[2] = {(i << 8) + 4, i + 5};

		made_range6(&made, one, first, last);
		made_range6(&made, other, inside, until);
		made_range4(&made, one, (uint32_t)i << 8, ((uint32_t)i << 8) + 9);
	}
	cr_assert_eq(addresses_classify(made.arena, &made.policy, made.diag, &addresses), 0);
	cr_assert_eq(addresses.n_classes, 3);
	cr_assert_eq(addresses.n_v6, 4 * 1000);
	addresses_fini(&addresses);
	made_fini(&made);
}
