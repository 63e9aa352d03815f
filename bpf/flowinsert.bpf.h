/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How an entry gets into a state table: which of its eight ways it takes, who gives way for it, and
 * what becomes of two CPUs that enter one key at the same time. Claim, fill, publish, look again.
 */
#ifndef BPF_FLOWINSERT_BPF_H
#define BPF_FLOWINSERT_BPF_H

#include "bpf/decision.bpf.h"
#include "bpf/flowtable.bpf.h"
#include "bpf/image.bpf.h"

/* Of four bits: how many are set, the lowest, the highest one. Sixteen answers of a nibble each. */
static __always_inline __u32 flow_bits(__u32 bits)
{
	return 0x4332322132212110 >> bits * 4 & 15;
}

static __always_inline __u32 flow_lowest(__u32 bits)
{
	return 0x0102010301020100 >> bits * 4 & 15;
}

static __always_inline __u32 flow_highest(__u32 bits)
{
	return 0x3333333322221100 >> bits * 4 & 15;
}

/* What a claim looks at: where the two buckets are, and what of them is to be had. */
struct flow_ways {
	__u32 bucket[2]; /* offsets */
	__u32 usable;	 /* bit at: empty, or past its time-out */
	__u32 oldest;	 /* position of the oldest live one; FLOW_WAYS: none is live */
};

static __always_inline __u32 flow_bucket_of(const struct flow_ways *ways, __u32 at)
{
	__u32 second = 0 - (at >> 2 & 1);

	return (ways->bucket[0] & ~second) | (ways->bucket[1] & second);
}

static __always_inline __u32 flow_way_offset(const struct flow_query *query,
					     const struct flow_ways *ways, __u32 at)
{
	return (flow_bucket_of(ways, at) + (at & (BH_WAYS - 1)) * flow_way_size(query->wide)) &
	       (BH_STATE_PAGE_SIZE - BH_WAY4_SIZE);
}

/*
 * Where one of the two buckets begins. Masked, so that the verifier sees that all four ways lie in
 * the page or in the tags behind it.
 */
static __always_inline __u32 flow_bucket_at(const struct flow_ways *ways, int which)
{
	return ways->bucket[which] & (BH_STATE_PAGE_SIZE - BH_BUCKET4_SIZE);
}

/* In a walk through all ways, where the way at is: at is a constant, and way goes on by its size. */
static __always_inline const __u8 *flow_turn(const __u8 *page, const struct flow_ways *ways,
					     const __u8 *way, __u32 at)
{
	return at & (BH_WAYS - 1) ? way : page + flow_bucket_at(ways, at / BH_WAYS);
}

/* Of two numbers below 2^63, without a branch. */
static __always_inline __u64 flow_larger(__u64 one, __u64 other)
{
	__s64 less = one - other;
	__s64 negative = less >> 63;

	barrier_var(negative); /* or clang branches, and one in three is guessed wrongly */
	return one - (less & negative);
}

/* The same of the smaller one. */
static __always_inline __u64 flow_smaller(__u64 one, __u64 other)
{
	__s64 more = other - one;
	__s64 negative = more >> 63;

	barrier_var(negative);
	return one + (more & negative);
}

/*
 * Reads the tags of both buckets, of which one is written where the way is known: an atomic exchange
 * waits for all that is written before it, and so for a line that is in no cache; read here, it comes
 * along with those of the states.
 */
static __always_inline void flow_fetch(const struct flow_query *query, const __u8 *page,
				       const struct flow_ways *ways)
{
#pragma unroll
	for (int i = 0; i < 2; i++)
		(void)flow_tags(page, ways->bucket[i] >> flow_shift(query));
}

#define FLOW_AGES 0x40000000U /* of this very tick; the clock of another CPU may be behind */

/* Of all time-outs the shortest, in ticks: nothing that is no older is past its own. */
static __always_inline __u32 flow_patience(const struct image_view *view)
{
	const __u32 *timeouts = image_head(view)->config.timeouts;
	__u64 shortest = timeouts[0];

#pragma unroll
	for (int i = 1; i < BH_TIMEOUT_COUNT; i++)
		shortest = flow_smaller(shortest, timeouts[i]);
	return clock_ticks(shortest);
}

/*
 * Where all eight ways are taken by live entries: the oldest one, and its age above FLOW_AGES; else no
 * age there is. Of several that are equally old, the hash of the newcomer chooses: always the first one
 * would have a flood push out its own latest victim's successor and nobody else. Ages stand above
 * that choice, in the upper half of a word.
 */
static __always_inline __u64 flow_oldest(const struct flow_query *query, const __u8 *page,
					 struct flow_ways *ways)
{
	__u64 turn = query->hash >> 24 & 7;
	__u64 now = (__u64)(query->tick + FLOW_AGES) << 32 | turn;
	__u64 size = flow_way_size(query->wide);
	const __u8 *way = NULL;
	__u64 all = ~0ULL;
	__u64 best = 0;

	barrier_var(size); /* or clang reads wide anew for each way */
#pragma unroll
	for (__u32 at = 0; at < FLOW_WAYS; at++, way += size) {
		__u64 meta = flow_load(way = flow_turn(page, ways, way, at));

		all &= meta;
		best = flow_larger(best, (now - (meta << 32)) ^ at);
	}
	ways->oldest = (best ^ turn) & 7;
	return flow_flags(all) & BH_FLOW_LIVE ? best >> 32 : ~0ULL;
}

/* Sets usable, and oldest: reads all eight ways one after the other. */
static __always_inline void flow_survey(const struct image_view *view,
					const struct flow_query *query, const __u8 *page,
					struct flow_ways *ways)
{
	__u32 turn = query->hash >> 24;
	__u64 best = 0;

	ways->usable = 0;
#pragma clang loop unroll(disable)
	for (__u32 at = 0; at < FLOW_WAYS; at++) {
		__u64 meta = flow_load(page + flow_way_offset(query, ways, at));
		__u32 flags = flow_flags(meta);
		__u32 live = flags & BH_FLOW_LIVE;
		__u32 taken = ((flags & (BH_FLOW_LIVE | BH_FLOW_BUSY)) + 3) >> 2;
		__u32 age = query->tick - (__u32)meta + FLOW_AGES;
		__u64 score = ((0 - (__u64)live) & ((__u64)age << 3)) | ((at ^ turn) & 7);

		ways->usable |= (1 - taken | (live & flow_expired(view, meta, query->tick))) << at;
		best = flow_larger(best, score);
	}
	ways->oldest = best >> 3 ? (best ^ turn) & 7 : FLOW_WAYS;
}

/*
 * Which of the usable ways to take: in the bucket that has more of them, so that both of a key are
 * full as late as can be. Taking the first one until it is nearly full would end more searches
 * there, and leaves one flow in 60,000 without a way at a load of 0.38; this one in 10 million. Of
 * the established ways TCP takes the upper ones first, and others have the lower two of each bucket
 * alone: they never hold more than half. So it is with fragments, of which first ones of leases, which
 * need no rule, have the lower two.
 */
static __always_inline __u32 flow_choose(const struct flow_query *query, __u32 usable, __u32 table)
{
	__u32 other = (bh_flow_kind(flow_flags(query->meta)) + 7) >> 3;
	__u32 established = (1 << BH_TABLE_ESTABLISHED4 | 1 << BH_TABLE_ESTABLISHED6) >> table & 1;
	__u32 reason = (query->rest >> 32 & 0xffff) / BH_DIRECTION_COUNT;
	__u32 lease = reason == BH_REASON_DHCP || reason == BH_REASON_DHCPV6;
	__u32 lower = (established & other) | (lease & (table == BH_TABLE_FRAGMENTS));
	__u32 first, second, from;

	usable &= ~(0xcc & (0 - lower));
	first = usable & 15;
	second = usable >> 4 & 15;
	if (!usable)
		return FLOW_WAYS;
	from = first;
	if (flow_bits(first) < flow_bits(second))
		from = second | 0x10;
	return (from >> 2 & BH_WAYS) +
	       (established > other ? flow_highest(from & 15) : flow_lowest(from & 15));
}

/* Which way a newcomer takes that pushes nobody out; FLOW_WAYS: none, and oldest is set. */
static __always_inline __u32 flow_pick(const struct image_view *view,
				       const struct flow_query *query, const __u8 *page,
				       struct flow_ways *ways, __u32 table)
{
	__u64 age = flow_oldest(query, page, ways);

	if (age <= (__u64)FLOW_AGES + clock_ticks(1) || /* no time-out is shorter */
	    age <= (__u64)FLOW_AGES + flow_patience(view))
		return FLOW_WAYS;
	flow_survey(view, query, page, ways);
	return flow_choose(query, ways->usable, table);
}

/* Fills a claimed way and publishes it. Keys of any size, so that one copy serves both. */
static __always_inline void flow_fill(const struct flow_query *query, __u8 *page, __u32 own,
				      __u32 bucket)
{
	__u32 key = own + FLOW_KEY;
	struct bh_flow_state *state = (void *)(page + (own & (BH_STATE_PAGE_SIZE - 16)));
	__u32 tag = bh_state_tags(bucket >> flow_shift(query)) +
		    ((own - bucket) >> (flow_shift(query) - 2)) * 2;

	*(__u16 *)(page + BH_STATE_PAGE_SIZE + (tag & (BH_STATE_TAGS_SIZE - 2))) =
		query->meta >> 48;
	*(__u64 *)(page + (key & (BH_STATE_PAGE_SIZE - 8))) = query->word[0];
	*(__u64 *)(page + ((key + 8) & (BH_STATE_PAGE_SIZE - 8))) = query->word[1];
	if (query->wide) {
#pragma unroll
		for (unsigned int i = FLOW_WORDS4; i < FLOW_WORDS6; i++)
			*(__u64 *)(page + ((key + i * 8) & (BH_STATE_PAGE_SIZE - 8))) =
				query->word[i];
	}
	flow_set_opened(state, query->wide, query->tick >> BH_OPENED_SHIFT);
	*flow_rest_of(state) = query->rest;
	__sync_lock_test_and_set(&state->meta, query->meta);
}

/*
 * Whether more than one of the eight ways may have the tag of query's hash. By the tags apart from
 * the states: who publishes an entry has written its tag before.
 */
static __always_inline bool flow_has_namesakes(const struct flow_query *query, const __u8 *page,
					       const struct flow_ways *ways)
{
	__u32 shift = flow_shift(query);
	__u64 same = flow_same(flow_tags(page, ways->bucket[0] >> shift), query->hash) |
		     flow_same(flow_tags(page, ways->bucket[1] >> shift), query->hash) << 1;

	return same & (same - 1);
}

/*
 * Claims a way for query's key in one table, once, fills it and publishes it: the position,
 * FLOW_NONE when there is no way to be had, FLOW_LOST when another CPU was faster. A half-open
 * table gives up its oldest, which is noted. query->found is FLOW_ALONE where no other way can be
 * of the same key.
 */
int flow_enter(struct flow_query *query, __u32 table);

__attribute__((noinline)) int flow_enter(struct flow_query *query, __u32 table)
{
	struct bh_flow_state *state;
	struct image_view view;
	struct flow_ways ways;
	__u32 element, mask, at, own;
	__u32 evicts = 0;
	__u8 *page;
	__u64 old;

	if (!query || table >= BH_TABLE_COUNT ||
	    image_open_at(&view, query->generation) != BH_REASON_RULE)
		return FLOW_NONE;
	element = flow_element(&view, table, query->hash, flow_shift(query));
	page = flow_page(element);
	if (!page)
		return FLOW_NONE;
	mask = flow_place(&view, table)->mask;
	ways.bucket[0] = flow_bucket(query->hash, mask, flow_shift(query), false);
	ways.bucket[1] = flow_bucket(query->hash, mask, flow_shift(query), true);
	flow_fetch(query, page, &ways);
	at = flow_pick(&view, query, page, &ways, table);
	if (at >= FLOW_WAYS && table <= BH_TABLE_HALF_OPEN6) {
		at = ways.oldest;
		evicts = 1;
	}
	if (at >= FLOW_WAYS)
		return FLOW_NONE;
	own = flow_way_offset(query, &ways, at);
	state = (void *)(page + own);
	old = flow_load(&state->meta);
	if (flow_flags(old) & BH_FLOW_BUSY ||
	    ((flow_flags(old) & BH_FLOW_LIVE) > evicts && !flow_expired(&view, old, query->tick)) ||
	    !flow_swap(state, old, (__u64)BH_FLOW_BUSY << 32))
		return FLOW_LOST;
	if (evicts)
		note(BH_NOTE_HALF_OPEN_EVICTED);
	flow_fill(query, page, own, flow_bucket_of(&ways, at));
	query->found = flow_has_namesakes(query, page, &ways) ? FLOW_OURS : FLOW_ALONE;
	return element << BH_STATE_PAGE_BITS | own;
}

/* What TCP marks in an entry. */
#define FLOW_MARKS (BH_FLOW_SYN_ACK | BH_FLOW_CLOSING | BH_FLOW_FIN_OPENER | BH_FLOW_FIN_REPLIER)

/*
 * Of two entries of one flow one has been taken out: the other takes over its marks, and its date
 * where that is later. taken: its meta at last; 0: somebody else has taken it out.
 */
static __always_inline void flow_inherit(struct bh_flow_state *state, __u64 meta, __u64 taken,
					 __u32 marks)
{
	if (taken)
		flow_mark(state, meta, flow_flags(taken) & marks, 0, flow_later(meta, taken));
}

/*
 * CPUs that enter one flow at a time each look again after they have published: flow_enter at the
 * tags, and here, where another way has the same one, at the keys. All entries but the one at the
 * lowest offset are taken back, and what TCP has marked in them stays; query->found says which
 * stands. Its position, or FLOW_LOST: one has been taken back, and there may be more.
 */
int flow_settle(struct flow_query *query, __u32 table, int position);

FLOW_LOOPS int flow_settle(struct flow_query *query, __u32 table, int position)
{
	__u32 own = position & (BH_STATE_PAGE_SIZE - 16);
	struct image_view view;
	__u64 meta, taken;
	__u32 other;
	__u8 *page;
	int found;

	if (!query || image_open_at(&view, query->generation) != BH_REASON_RULE)
		return FLOW_NONE;
	page = flow_page((__u32)position >> BH_STATE_PAGE_BITS);
	if (!page)
		return FLOW_NONE;
	meta = query->meta;
	found = flow_scan(query, page, flow_place(&view, table)->mask, own);
	if (found < 0)
		return position;
	note(BH_NOTE_DUPLICATE);
	other = found & (BH_STATE_PAGE_SIZE - 16);
	if (other > own) {
		taken = flow_release((void *)(page + other), query->meta);
		flow_inherit((void *)(page + own), meta, taken, FLOW_MARKS);
		query->meta = meta;
		query->found = FLOW_OURS;
		return FLOW_LOST;
	}
	query->found = FLOW_THEIRS;
	taken = flow_release((void *)(page + own), meta);
	flow_inherit((void *)(page + other), query->meta, taken, FLOW_MARKS);
	return position - own + other;
}

/*
 * Enters query's key with its meta and rest into one table. The position, or FLOW_NONE: no way
 * could be claimed. One call after the other, because the stack is short.
 */
static __always_inline int flow_insert(struct flow_query *query, __u32 table)
{
	int position = FLOW_LOST;
	int stands = FLOW_LOST;

#pragma clang loop unroll(disable)
	for (int i = 0; i < FLOW_TRIES && position == FLOW_LOST; i++)
		position = flow_enter(query, table);
	if (position < 0)
		return FLOW_NONE;
	if (query->found == FLOW_ALONE)
		return position;
	query->found = FLOW_ALONE;
#pragma clang loop unroll(disable)
	for (int i = 0; i < FLOW_TRIES && stands == FLOW_LOST; i++)
		stands = flow_settle(query, table, position);
	return stands < 0 ? position : stands;
}

#endif
