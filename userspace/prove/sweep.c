// SPDX-License-Identifier: GPL-2.0-only
#include "prove/sweep.h"

#include "prove/set.h"

void sweep_add(struct arena *arena, struct sweep *sweep, line_number first, line_number last,
	       uint32_t member)
{
	array_push(arena, &sweep->ends, (struct sweep_end){first, member, true});
	if (last < sweep->last)
		array_push(arena, &sweep->ends, (struct sweep_end){last + 1, member, false});
}

/* Who leaves stands before who enters, for a member whose ranges touch. */
static int compare_ends(const void *left, const void *right)
{
	const struct sweep_end *a = left;
	const struct sweep_end *b = right;

	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	return (int)a->enters - (int)b->enters;
}

/* A number of its own for each member: those of a set, put together, tell it from others. */
static uint64_t mark_of(uint32_t member)
{
	uint64_t mark = (member + 1) * 0xd6e8feb86659fd93U;

	mark = (mark ^ mark >> 32) * 0xd6e8feb86659fd93U;
	return mark ^ mark >> 32;
}

struct segments sweep_segments(struct arena *arena, struct sweep *sweep, struct pool *members)
{
	uint64_t *set = arena_calloc(arena, members->n_words, sizeof(*set));
	const struct sweep_end *ends = sweep->ends.at;
	size_t n = sweep->ends.len;
	struct segments segments = {.at = arena_calloc(arena, n + 1, sizeof(*segments.at))};
	line_number first = 0;
	uint64_t hash = 0;
	size_t i = 0;

	if (n)
		qsort(sweep->ends.at, n, sizeof(*sweep->ends.at), compare_ends);
	for (;;) {
		for (; i < n && ends[i].at == first; i++) {
			if (set_has(set, ends[i].member) != ends[i].enters)
				hash ^= mark_of(ends[i].member);
			set_put(set, ends[i].member, ends[i].enters);
		}
		segments.at[segments.len++] =
			(struct segment){first, pool_put_hashed(members, set, hash)};
		if (i == n)
			return segments;
		first = ends[i].at;
	}
}
