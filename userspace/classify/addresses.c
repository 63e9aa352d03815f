// SPDX-License-Identifier: GPL-2.0-only
/*
 * One sweep over the ends of all ranges of all sets: at each the set is toggled in the state,
 * and each state that comes to stand between two ends is a class.
 */
#include "classify/addresses.h"

#include <errno.h>
#include <inttypes.h>

#include "classify/bits.h"
#include "classify/intern.h"

/* The first address of a range, or the one behind its last. */
struct end6 {
	uint64_t high;
	uint64_t low;
	uint32_t set;
};

struct ends {
	uint64_t *v4; /* address << 32 | set */
	size_t n_v4;
	struct end6 *v6;
	size_t n_v6;
};

struct sweep {
	struct intern *classes;
	uint64_t *state;
	uint64_t hash; /* of state: all its sets' numbers, each mixed by itself */
	size_t n_words;
};

static uint64_t big_endian(const uint8_t *bytes)
{
	uint64_t number = 0;

	for (int i = 0; i < 8; i++)
		number = number << 8 | bytes[i];
	return number;
}

static void add_end(struct ends *ends, const struct addr *addr, uint32_t set)
{
	if (addr->family == ADDR_V4)
		ends->v4[ends->n_v4++] = (uint64_t)addr_to_v4(addr) << 32 | set;
	else
		ends->v6[ends->n_v6++] =
			(struct end6){big_endian(addr->bytes), big_endian(addr->bytes + 8), set};
}

/* Both ends of every range; what would lie behind the last address of a family has none. */
static void collect(struct arena *arena, const struct policy *policy, struct ends *ret_ends)
{
	struct ends ends = {};
	size_t n = 0;

	for (size_t i = 0; i < policy->sets.len; i++)
		n += policy->sets.at[i].ranges.len;
	ends.v4 = arena_calloc(arena, n * 2 + 1, sizeof(*ends.v4));
	ends.v6 = arena_calloc(arena, n * 2 + 1, sizeof(*ends.v6));
	for (size_t i = 0; i < policy->sets.len; i++) {
		const addr_ranges *ranges = &policy->sets.at[i].ranges;

		for (size_t j = 0; j < ranges->len; j++) {
			struct addr behind;

			add_end(&ends, &ranges->at[j].first, i);
			if (addr_next(&ranges->at[j].last, &behind))
				add_end(&ends, &behind, i);
		}
	}
	*ret_ends = ends;
}

/* By address, the sets of one address in no order: toggling has none. */
static void sort4(struct arena *arena, uint64_t *ends, size_t n)
{
	uint64_t *from = ends;
	uint64_t *to = arena_calloc(arena, n + 1, sizeof(*to));

	for (int shift = 32; shift < 64; shift += 8) {
		size_t starts[257] = {};
		uint64_t *swap = from;

		for (size_t i = 0; i < n; i++)
			starts[(from[i] >> shift & 0xff) + 1]++;
		for (int i = 0; i < 256; i++)
			starts[i + 1] += starts[i];
		for (size_t i = 0; i < n; i++)
			to[starts[from[i] >> shift & 0xff]++] = from[i];
		from = to;
		to = swap;
	}
}

/* Byte i of an address, from the last one on. */
static uint32_t byte6(const struct end6 *end, int i)
{
	return (i < 8 ? end->low >> i * 8 : end->high >> (i - 8) * 8) & 0xff;
}

/* The same; a byte that all have in common moves nothing. Where they are then. */
static struct end6 *sort6(struct arena *arena, struct end6 *ends, size_t n)
{
	struct end6 *to = arena_calloc(arena, n + 1, sizeof(*to));
	size_t counts[16][256] = {};

	for (size_t i = 0; i < n; i++)
		for (int byte = 0; byte < 16; byte++)
			counts[byte][byte6(&ends[i], byte)]++;
	for (int byte = 0; n && byte < 16; byte++) {
		struct end6 *swap = ends;
		size_t start = 0;

		if (counts[byte][byte6(ends, byte)] == n)
			continue;
		for (int i = 0; i < 256; i++) {
			size_t count = counts[byte][i];

			counts[byte][i] = start;
			start += count;
		}
		for (size_t i = 0; i < n; i++)
			to[counts[byte][byte6(&ends[i], byte)]++] = ends[i];
		ends = to;
		to = swap;
	}
	return ends;
}

static bool is_at(const struct end6 *end, const struct end6 *other)
{
	return end->high == other->high && end->low == other->low;
}

static void toggle(struct sweep *sweep, uint32_t set)
{
	uint64_t mixed = (set + 1) * 0x9e3779b97f4a7c15U;

	mixed = (mixed ^ mixed >> 32) * 0xff51afd7ed558ccdU;
	sweep->hash ^= mixed ^ mixed >> 29;
	bits_toggle(sweep->state, set);
}

static uint32_t class_of(struct sweep *sweep)
{
	return intern_put_hashed(sweep->classes, sweep->state,
				 sweep->n_words * sizeof(*sweep->state), sweep->hash);
}

static bool is_full(const struct sweep *sweep)
{
	return intern_len(sweep->classes) > ADDRESSES_CLASSES_MAX;
}

static void sweep4(struct sweep *sweep, const struct ends *ends, struct addresses *addresses)
{
	size_t i = 0;

	addresses->v4[addresses->n_v4++] = (struct segment4){};
	while (i < ends->n_v4 && !is_full(sweep)) {
		uint32_t first = ends->v4[i] >> 32;
		uint32_t class;

		for (; i < ends->n_v4 && ends->v4[i] >> 32 == first; i++)
			toggle(sweep, (uint32_t)ends->v4[i]);
		class = class_of(sweep);
		if (!first)
			addresses->n_v4--;
		else if (addresses->v4[addresses->n_v4 - 1].class == class)
			continue;
		addresses->v4[addresses->n_v4++] = (struct segment4){first, class};
	}
}

static void sweep6(struct sweep *sweep, const struct ends *ends, struct addresses *addresses)
{
	size_t i = 0;

	addresses->v6[addresses->n_v6++] = (struct segment6){};
	while (i < ends->n_v6 && !is_full(sweep)) {
		struct end6 first = ends->v6[i];
		uint32_t class;

		for (; i < ends->n_v6 && is_at(&ends->v6[i], &first); i++)
			toggle(sweep, ends->v6[i].set);
		class = class_of(sweep);
		if (!first.high && !first.low)
			addresses->n_v6--;
		else if (addresses->v6[addresses->n_v6 - 1].class == class)
			continue;
		addresses->v6[addresses->n_v6++] = (struct segment6){first.high, first.low, class};
	}
}

static uint32_t count_prefixes(const struct policy *policy)
{
	uint64_t n = 0;

	for (size_t i = 0; i < policy->sets.len; i++)
		for (size_t j = 0; j < policy->sets.at[i].ranges.len; j++)
			n += addr_range_n_prefixes(&policy->sets.at[i].ranges.at[j]);
	return n > UINT32_MAX ? UINT32_MAX : n;
}

/* The set with the most ranges, and a rule that uses it. */
static int too_many(struct arena *arena, const struct policy *policy, struct diag *diag)
{
	size_t large = 0;
	size_t n = 0;
	uint32_t rule = 0;

	for (size_t i = 0; i < policy->sets.len; i++) {
		n += policy->sets.at[i].ranges.len;
		if (policy->sets.at[i].ranges.len > policy->sets.at[large].ranges.len)
			large = i;
	}
	while (rule + 1 < policy->rules.len && policy->rules.at[rule].source != large &&
	       policy->rules.at[rule].destination != large)
		rule++;
	return diag_refuse(
		diag, -E2BIG,
		"%zu sets with %zu address ranges overlap in more than the %d classes "
		"of addresses that fit; the largest set has %zu ranges, rule '%s' uses it",
		policy->sets.len, n, ADDRESSES_CLASSES_MAX, policy->sets.at[large].ranges.len,
		policy_rule_path(arena, policy, rule));
}

int addresses_classify(struct arena *arena, const struct policy *policy, struct diag *diag,
		       struct addresses *ret_addresses)
{
	struct addresses addresses = {.n_words = bits_words(policy->sets.len)};
	scoped(arena_free) struct arena *scratch = arena_new();
	scoped(arena_free) struct arena *segments = arena_new();
	scoped(intern_free) struct intern *classes = intern_new();
	struct sweep sweep = {
		.classes = classes,
		.state = arena_calloc(arena, addresses.n_words, sizeof(*sweep.state)),
		.n_words = addresses.n_words,
	};
	struct ends ends;
	size_t size;

	collect(scratch, policy, &ends);
	sort4(scratch, ends.v4, ends.n_v4);
	ends.v6 = sort6(scratch, ends.v6, ends.n_v6);
	addresses.v4 = arena_calloc(segments, ends.n_v4 + 1, sizeof(*addresses.v4));
	addresses.v6 = arena_calloc(segments, ends.n_v6 + 1, sizeof(*addresses.v6));

	(void)class_of(&sweep); /* in no set: class 0 */
	sweep4(&sweep, &ends, &addresses);
	memset(sweep.state, 0, sweep.n_words * sizeof(*sweep.state));
	sweep.hash = 0;
	sweep6(&sweep, &ends, &addresses);
	if (is_full(&sweep))
		return too_many(arena, policy, diag);

	addresses.n_classes = intern_len(classes);
	addresses.n_prefixes = count_prefixes(policy);
	size = addresses.n_words * sizeof(*addresses.sets);
	addresses.sets = arena_alloc(arena, addresses.n_classes * size);
	for (uint32_t i = 0; i < addresses.n_classes; i++)
		memcpy(addresses.sets + i * addresses.n_words, intern_get(classes, i), size);
	addresses.segments = take(segments);
	*ret_addresses = addresses;
	return 0;
}

void addresses_fini(struct addresses *addresses)
{
	arena_free(take(addresses->segments));
	addresses->v4 = NULL;
	addresses->v6 = NULL;
}
