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

/* Where the two buckets are. */
struct flow_ways {
	__u32 bucket[2]; /* offsets */
};

static __always_inline __u32 flow_bucket_of(const struct flow_ways *ways, __u32 at)
{
	__u32 second = 0 - (at >> 2 & 1);

	return (ways->bucket[0] & ~second) | (ways->bucket[1] & second);
}

static __always_inline __u32 flow_way_offset(const struct flow_ways *ways, __u32 at, bool wide)
{
	__u32 offset = flow_bucket_of(ways, at) + (at & (BH_WAYS - 1)) * flow_way_size(wide);

	barrier_var(offset); /* or clang leaves out the mask, which Linux before 6.10 has to see */
	return offset & (BH_STATE_PAGE_SIZE - flow_way_size(wide));
}

/*
 * Where a bucket begins. Masked: the verifier sees that all four ways lie in the page. Found anew each time:
 * clang would keep it, and the stack is short.
 */
static __always_inline const __u8 *flow_bucket_at(const __u8 *page, const struct flow_ways *ways,
						  __u32 which, bool wide)
{
	__u32 bucket = ways->bucket[which];

	barrier_var(bucket);
	return page + (bucket & (BH_STATE_PAGE_SIZE - BH_WAYS * flow_way_size(wide)));
}

/* The tags of a bucket by where that begins, found anew as well. */
static __always_inline __u64 flow_tags_of(const __u8 *page, const struct flow_ways *ways,
					  __u32 which, bool wide)
{
	__u32 bucket = ways->bucket[which];

	barrier_var(bucket);
	return flow_tags(page, bucket >> flow_shift(wide));
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
static __always_inline void flow_fetch(const __u8 *page, const struct flow_ways *ways, bool wide)
{
	(void)flow_tags_of(page, ways, 0, wide);
	(void)flow_tags_of(page, ways, 1, wide);
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

/* Whether all eight ways are taken by live entries. */
static __always_inline bool flow_is_full(const __u8 *page, const struct flow_ways *ways, bool wide)
{
	__u64 all = ~0ULL;

#pragma unroll
	for (__u32 i = 0; i < 2; i++) {
		const __u8 *bucket = flow_bucket_at(page, ways, i, wide);

#pragma unroll
		for (__u32 way = 0; way < BH_WAYS; way++)
			all &= flow_load(bucket + way * flow_way_size(wide));
	}
	return flow_flags(all) & BH_FLOW_LIVE;
}

/* The age of a way in a bucket, and below it which one it is, turned. */
static __always_inline __u64 flow_aged(const __u8 *bucket, __u64 now, __u32 first, __u32 way,
				       bool wide)
{
	return (now - (flow_load(bucket + way * flow_way_size(wide)) << 32)) ^ (first + way);
}

/*
 * Of eight live ways the oldest: its age above FLOW_AGES in the upper half of a word, and which one it is
 * in the lowest three bits, turned by the hash of the newcomer. So that chooses among several that are equally
 * old: always the first one would have a flood push out its own latest victim's successor and nobody else.
 */
static __always_inline __u64 flow_oldest(const struct flow_query *query, const __u8 *page,
					 const struct flow_ways *ways, bool wide)
{
	__u64 turn = query->hash >> 24 & 7;
	__u64 now = (__u64)(query->tick + FLOW_AGES) << 32 | turn;
	__u64 best[2];

	_Static_assert(BH_WAYS == 4, "two pairs");
#pragma unroll
	for (__u32 i = 0; i < 2; i++) {
		const __u8 *way = flow_bucket_at(page, ways, i, wide);

		/* In pairs: one behind the other, each would wait for the one before. */
		best[i] = flow_larger(flow_larger(flow_aged(way, now, i * BH_WAYS, 0, wide),
						  flow_aged(way, now, i * BH_WAYS, 1, wide)),
				      flow_larger(flow_aged(way, now, i * BH_WAYS, 2, wide),
						  flow_aged(way, now, i * BH_WAYS, 3, wide)));
	}
	return flow_larger(best[0], best[1]);
}

/*
 * Bit at: the way may be had. Nothing lives there and nothing is being written, or what lives there has been
 * silent for longer than so many ticks.
 */
static __always_inline __u32 flow_usable(const __u8 *page, const struct flow_ways *ways, __u32 tick,
					 __u32 ticks, bool wide)
{
	__u32 usable = 0;

	_Static_assert(BH_FLOW_LIVE == 1 && BH_FLOW_BUSY == 2, "the lowest two bits");
#pragma unroll
	for (__u32 i = 0; i < 2; i++) {
		const __u8 *bucket = flow_bucket_at(page, ways, i, wide);

#pragma unroll
		for (__u32 way = 0; way < BH_WAYS; way++) {
			__u64 meta = flow_load(bucket + way * flow_way_size(wide));
			__u32 flags = meta >> 32;
			__u64 left = (__s64)ticks - (__s32)(tick - (__u32)meta);

			barrier_var(left); /* or clang branches on its sign */
			usable |= (((left >> 63) | ~flags) & ~(flags >> 1) & 1)
				  << (i * BH_WAYS + way);
			barrier_var(usable); /* or it loads all first, and the stack is short */
		}
	}
	return usable;
}

/* Ways of a table of established flows, and of others. */
static __always_inline bool flow_is_established(__u32 table)
{
	return (1 << BH_TABLE_ESTABLISHED4 | 1 << BH_TABLE_ESTABLISHED6) >> table & 1;
}

/* 1 for what is not TCP, else 0. */
static __always_inline __u32 flow_is_other(const struct flow_query *query)
{
	return (bh_flow_kind(flow_flags(query->meta)) + 7) >> 3;
}

/*
 * Bit at: the way is closed to query. Of the established ways all but TCP has the lower two of each bucket
 * alone, and never holds more than half; so it is with first fragments of leases and of ICMP errors, which
 * need no rule.
 */
static __always_inline __u32 flow_closed(const struct flow_query *query, __u32 table)
{
	__u32 reason = (query->rest >> 32 & 0xffff) / BH_DIRECTION_COUNT;
	__u32 free = reason == BH_REASON_DHCP || reason == BH_REASON_DHCPV6 ||
		     reason == BH_REASON_ICMP_ERRORS;

	return 0xcc & (0 - ((flow_is_established(table) & flow_is_other(query)) |
			    (free & (table == BH_TABLE_FRAGMENTS))));
}

/*
 * Which of the usable ways to take: in the bucket that has more of them, so that both of a key are
 * full as late as can be. Taking the first one until it is nearly full would end more searches
 * there, and leaves one flow in 60,000 without a way at a load of 0.38; this one in 10 million. Of
 * the established ways TCP takes the upper ones first.
 */
static __always_inline __u32 flow_choose(const struct flow_query *query, __u32 usable, __u32 table)
{
	__u32 first, second, from;

	usable &= ~flow_closed(query, table);
	first = usable & 15;
	second = usable >> 4 & 15;
	if (!usable)
		return FLOW_WAYS;
	from = first;
	if (flow_bits(first) < flow_bits(second))
		from = second | 0x10;
	return (from >> 2 & BH_WAYS) + (flow_is_established(table) > flow_is_other(query)
						? flow_highest(from & 15)
						: flow_lowest(from & 15));
}

/* Beside a way from 0 to 7: which one has to give way, that all have to be asked one by one, none. */
#define FLOW_EVICTS FLOW_WAYS
#define FLOW_UNSURE (2 * FLOW_WAYS)
#define FLOW_NO_WAY (2 * FLOW_WAYS + 1)

/* The oldest gives way, where that may be; else there is none. */
static __always_inline __u32 flow_evict(__u32 oldest, __u32 table)
{
	return table <= BH_TABLE_HALF_OPEN6 ? FLOW_EVICTS + oldest : FLOW_NO_WAY;
}

/*
 * Which way a newcomer takes: one that is empty or whose time may be over, which is for whoever claims it
 * to see; where all are live and none of them was silent for longer than the shortest time-out, that of the
 * oldest, which has to give way. FLOW_UNSURE where that does not tell.
 */
static __always_inline __u32 flow_pick(const struct image_view *view,
				       const struct flow_query *query, const __u8 *page,
				       const struct flow_ways *ways, __u32 table, bool wide)
{
	__u32 at, age;
	__u64 oldest;

	if (flow_is_full(page, ways, wide)) {
		oldest = flow_oldest(query, page, ways, wide);
		age = oldest >> 32;
		if (age <= FLOW_AGES + clock_ticks(1) || /* no time-out is shorter */
		    age <= FLOW_AGES + flow_patience(view)) {
			barrier(); /* the hash is read anew: see below */
			return flow_evict((oldest ^ query->hash >> 24) & 7, table);
		}
	}
	barrier(); /* or clang keeps what it has read, and the stack is short */
	at = flow_usable(page, ways, query->tick, flow_patience(view), wide);
	at = flow_choose(query, at, table);
	return at < FLOW_WAYS ? at : FLOW_UNSURE;
}

/*
 * The same where flow_pick is unsure: all eight ways are asked, one after the other, whether they are empty
 * or past their time-out.
 */
int flow_survey(const struct flow_query *query, __u32 table);

FLOW_LOOPS int flow_survey(const struct flow_query *query, __u32 table)
{
	struct image_view view;
	struct flow_ways ways;
	__u32 usable = 0;
	__u64 best = 0;
	__u32 turn, mask;
	const __u8 *page;
	__u32 at;

	if (!query || table >= BH_TABLE_COUNT ||
	    image_open_at(&view, query->generation) != BH_REASON_RULE)
		return FLOW_NO_WAY;
	page = flow_page(flow_element(&view, table, query->hash, flow_shift(query->wide)));
	if (!page)
		return FLOW_NO_WAY;
	mask = flow_place(&view, table)->mask;
	ways.bucket[0] = flow_bucket(query->hash, mask, flow_shift(query->wide), false);
	ways.bucket[1] = flow_bucket(query->hash, mask, flow_shift(query->wide), true);
	turn = query->hash >> 24;
#pragma clang loop unroll(disable)
	for (at = 0; at < FLOW_WAYS; at++) {
		__u64 meta = flow_load(page + flow_way_offset(&ways, at, query->wide));
		__u32 flags = flow_flags(meta);
		__u32 live = flags & BH_FLOW_LIVE;
		__u32 taken = ((flags & (BH_FLOW_LIVE | BH_FLOW_BUSY)) + 3) >> 2;
		__u32 age = query->tick - (__u32)meta + FLOW_AGES;
		__u64 score = ((0 - (__u64)live) & ((__u64)age << 3)) | ((at ^ turn) & 7);

		usable |= (1 - taken | (live & flow_expired(&view, meta, query->tick))) << at;
		best = flow_larger(best, score);
	}
	at = flow_choose(query, usable, table);
	if (at < FLOW_WAYS)
		return at;
	return best >> 3 ? flow_evict((best ^ turn) & 7, table) : FLOW_NO_WAY;
}

/* Fills a claimed way and publishes it: the one at own, of the bucket. */
static __always_inline void flow_fill(const struct flow_query *query, __u8 *page, __u32 own,
				      __u32 bucket, bool wide)
{
	__u8 *way = page + (own & (BH_STATE_PAGE_SIZE - flow_way_size(wide)));
	__u32 tag = bh_state_tags(bucket >> flow_shift(wide)) +
		    ((own - bucket) >> (flow_shift(wide) - 2)) * 2;

	*(__u16 *)(page + BH_STATE_PAGE_SIZE + (tag & (BH_STATE_TAGS_SIZE - 2))) =
		query->meta >> 48;
#pragma unroll
	for (unsigned int i = 0; i < (wide ? FLOW_WORDS6 : FLOW_WORDS4); i++)
		*(__u64 *)(way + FLOW_KEY + i * 8) = query->word[i];
	flow_set_opened((void *)way, wide, query->tick >> BH_OPENED_SHIFT);
	*flow_rest_of((void *)way) = query->rest;
	__sync_lock_test_and_set(&((struct bh_flow_state *)way)->meta, query->meta);
}

/*
 * Whether more than one of the eight ways may have the tag of query's hash. By the tags apart from
 * the states: who publishes an entry has written its tag before.
 */
static __always_inline bool flow_has_namesakes(const struct flow_query *query, const __u8 *page,
					       const struct flow_ways *ways, bool wide)
{
	__u64 same = flow_same(flow_tags_of(page, ways, 0, wide), query->hash) |
		     flow_same(flow_tags_of(page, ways, 1, wide), query->hash) << 1;

	return same & (same - 1);
}

/* flow_enter4 and flow_enter6: wide is known, so that nothing is asked twice. */
static __always_inline int flow_enter(struct flow_query *query, __u32 table, __u32 way, bool wide)
{
	struct bh_flow_state *state;
	struct image_view view;
	struct flow_ways ways;
	__u32 element, mask, evicts, own;
	__u8 *page;
	__u64 old;

	if (!query || table >= BH_TABLE_COUNT ||
	    image_open_at(&view, query->generation) != BH_REASON_RULE)
		return FLOW_NONE;
	element = flow_element(&view, table, query->hash, flow_shift(wide));
	page = flow_page(element);
	if (!page)
		return FLOW_NONE;
	mask = flow_place(&view, table)->mask;
	ways.bucket[0] = flow_bucket(query->hash, mask, flow_shift(wide), false);
	ways.bucket[1] = flow_bucket(query->hash, mask, flow_shift(wide), true);
	flow_fetch(page, &ways, wide);
	if (way == FLOW_UNSURE)
		query->found = flow_pick(&view, query, page, &ways, table, wide);
	else
		query->found = way;
	barrier(); /* read anew, of what led here the verifier knows nothing, and looks at the rest once */
	way = query->found;
	if (way >= FLOW_UNSURE)
		return way == FLOW_UNSURE ? FLOW_ASK : FLOW_NONE;
	evicts = way >= FLOW_EVICTS;
	way &= FLOW_WAYS - 1;
	own = flow_way_offset(&ways, way, wide);
	state = (void *)(page + own);
	old = flow_load(&state->meta);
	if (flow_flags(old) & BH_FLOW_BUSY ||
	    ((flow_flags(old) & BH_FLOW_LIVE) > evicts && !flow_expired(&view, old, query->tick)))
		return FLOW_ASK;
	if (!flow_swap(state, old, (__u64)BH_FLOW_BUSY << 32))
		return FLOW_LOST;
	if (evicts & flow_flags(old) & BH_FLOW_LIVE)
		note(BH_NOTE_HALF_OPEN_EVICTED);
	flow_fill(query, page, own, flow_bucket_of(&ways, way), wide);
	query->found = flow_has_namesakes(query, page, &ways, wide) ? FLOW_OURS : FLOW_ALONE;
	/* Found anew: to keep it all the way takes room on the stack, which is short. */
	view.generation = query->generation;
	element = flow_element(&view, table, query->hash, flow_shift(wide));
	return element << BH_STATE_PAGE_BITS | own;
}

/*
 * Claims a way for query's key in one table, once, fills it and publishes it: the position,
 * FLOW_NONE when there is no way to be had, FLOW_LOST when another CPU was faster, FLOW_ASK when
 * flow_survey has to say which way. Before that way is FLOW_UNSURE. A half-open table gives up its
 * oldest, which is noted. query->found is FLOW_ALONE where no other way can be
 * of the same key. Two, for keys of either size.
 */
int flow_enter4(struct flow_query *query, __u32 table, __u32 way);
int flow_enter6(struct flow_query *query, __u32 table, __u32 way);

__attribute__((noinline)) int flow_enter4(struct flow_query *query, __u32 table, __u32 way)
{
	return flow_enter(query, table, way, false);
}

__attribute__((noinline)) int flow_enter6(struct flow_query *query, __u32 table, __u32 way)
{
	return flow_enter(query, table, way, true);
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
 * could be claimed.
 */
int flow_insert(struct flow_query *query, __u32 table);

FLOW_LOOPS int flow_insert(struct flow_query *query, __u32 table)
{
	int position = FLOW_LOST;
	int stands = FLOW_LOST;
	__u32 way = FLOW_UNSURE;

	if (!query)
		return FLOW_NONE;
#pragma clang loop unroll(disable)
	for (int i = 0; i <= FLOW_TRIES && (position == FLOW_LOST || position == FLOW_ASK); i++) {
		if (position == FLOW_ASK || way != FLOW_UNSURE)
			way = flow_survey(query, table);
		position = query->wide ? flow_enter6(query, table, way)
				       : flow_enter4(query, table, way);
	}
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
