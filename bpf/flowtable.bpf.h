/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The state tables: set-associative, in pages of flat bytes, with no kernel hash and no lock. Both
 * candidate buckets of a key lie in one page, so that a search costs one look-up. A way is claimed by
 * cmpxchg, filled, and published by an atomic exchange; a reader takes a key for its own only when meta
 * is the same before and after. What a flow means is track's business.
 */
#ifndef BPF_FLOWTABLE_BPF_H
#define BPF_FLOWTABLE_BPF_H

#include <linux/bpf.h>
#include <linux/types.h>

#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include "bpf/abi.h"
#include "bpf/clock.bpf.h"
#include "bpf/decision.bpf.h"
#include "bpf/image.bpf.h"
#include "bpf/maps.bpf.h"

/* Words of a key; the last one of struct bh_flow_key6 is always zero. */
#define FLOW_WORDS4 2
#define FLOW_WORDS6 5
#define FLOW_KEYS   (BH_WAYS * sizeof(struct bh_flow_state)) /* where a bucket's keys begin */

#define FLOW_NONE (-1)
#define FLOW_LOST (-2)

/* Ways of both buckets; position 0 is the first way of the first one. */
#define FLOW_WAYS (2 * BH_WAYS)

/* How often a lost race is tried again. */
#define FLOW_TRIES 4

/*
 * Of a function verified apart that loops: clang saves a jump by moving the end of a loop before its
 * beginning, and kernels before 6.7 refuse a loop that is closed by no jump ("back-edge from insn").
 * Where code may not grow it leaves the order as it is.
 */
#define FLOW_LOOPS __attribute__((noinline, minsize))

/* What separately verified functions are asked about one key, and what they answer. */
struct flow_query {
	__u64 word[FLOW_WORDS6]; /* struct bh_flow_key4 or bh_flow_key6, else zero */
	__u64 hash;
	__u64 generation;
	__u64 meta; /* flow_find: as found; flow_insert: to be published */
	__u64 rest; /* the same: the second word of the state */
	__u32 tick; /* now */
	__u8 wide;  /* 1: bh_flow_key6 */
	__u8 found; /* flow_insert: somebody else's entry stands; track_look: established */
	__u8 zero[2];
};
_Static_assert(sizeof(struct flow_query) == 80, "no padding");

/* The flags of a meta word, and a meta word made of its parts. */
static __always_inline __u32 flow_flags(__u64 meta)
{
	return (meta >> 32) & 0xffff;
}

static __always_inline __u64 flow_meta(__u64 hash, __u32 flags, __u32 tick)
{
	__u64 tag = hash >> 48;

	return (tag ? tag : 1) << 48 | (__u64)flags << 32 | tick;
}

/* The second word: generation, row, behind. */
static __always_inline __u64 flow_rest(__u32 generation, __u16 row, __u16 behind)
{
	return (__u64)behind << 48 | (__u64)row << 32 | generation;
}

/*
 * Two rounds a word with multipliers that nobody outside knows, so that nobody can aim at a bucket.
 * The low bits number the first bucket, bits 32 and up tell the second from it, the highest are the
 * tag.
 */
static __always_inline __u64 flow_mix(__u64 hash, __u64 word)
{
	return bh_flow_mix(hash, word, machine.seed[1] | 1);
}

static __always_inline __u64 flow_hash4(const __u64 *word)
{
	return bh_flow_finish(flow_mix(flow_mix(machine.seed[0], word[0]), word[1]));
}

static __always_inline __u64 flow_hash6(const __u64 *word)
{
	__u64 hash = machine.seed[0];

#pragma unroll
	for (unsigned int i = 0; i < FLOW_WORDS6; i++)
		hash = flow_mix(hash, word[i]);
	return bh_flow_finish(hash);
}

/* The byte offsets of the two buckets in their page; sizes are 1 << shift. */
static __always_inline __u32 flow_bucket(__u64 hash, __u32 mask, __u32 shift, bool second)
{
	__u32 number = hash & mask;

	if (second)
		number ^= (hash >> 32 | 1) & mask & ((BH_STATE_PAGE_SIZE >> shift) - 1);
	return (number << shift) & (BH_STATE_PAGE_SIZE - 1);
}

/* Masked, for the sake of kernels that forget a bound when they spill it. */
static __always_inline const struct bh_table_place *flow_place(const struct image_view *view,
							       __u32 table)
{
	barrier_var(table);
	return image_head(view)->config.tables + (table & 7);
}

/* The element of bh_state in which the buckets of a hash lie. */
static __always_inline __u32 flow_element(const struct image_view *view, __u32 table, __u64 hash,
					  __u32 shift)
{
	const struct bh_table_place *place = flow_place(view, table);
	__u32 page =
		place->first_page + ((__u32)(hash & place->mask) >> (BH_STATE_PAGE_BITS - shift));

	return (view->generation & 1) * BH_STATE_PAGES + (page & (BH_STATE_PAGES - 1));
}

static __always_inline __u8 *flow_page(__u32 element)
{
	__u32 zero = 0;
	void *inner = bpf_map_lookup_elem(&bh_state, &element);

	return inner ? bpf_map_lookup_elem(inner, &zero) : NULL;
}

/*
 * An address that depends on a value loaded before, so that a machine which reorders loads does
 * not take this one first. Nothing where loads keep their order.
 */
static __always_inline __u32 flow_after(__u64 value)
{
	if (!weak_order)
		return 0;
	asm volatile("%0 &= 0" : "+r"(value));
	return value;
}

static __always_inline __u64 flow_load(const void *at)
{
	return *(const volatile __u64 *)at;
}

static __always_inline bool flow_swap(struct bh_flow_state *state, __u64 old, __u64 new)
{
	return __sync_val_compare_and_swap(&state->meta, old, new) == old;
}

/* 0 when the tags are the same, else 1; without a branch, which would multiply what is verified. */
static __always_inline __u32 flow_differs(__u64 meta, __u64 want)
{
	return (((meta ^ want) >> 48) + 0xffff) >> 16;
}

/*
 * The first way of a bucket whose tag is that of want, else BH_WAYS. Tags of live entries are
 * not 0 and those of claimed ways are.
 */
static __always_inline __u32 flow_match(const __u8 *bucket, __u64 want)
{
	__u32 none = flow_differs(flow_load(bucket), want);
	__u32 way = none;

	none &= flow_differs(flow_load(bucket + 16), want);
	way += none;
	none &= flow_differs(flow_load(bucket + 32), want);
	way += none;
	none &= flow_differs(flow_load(bucket + 48), want);
	way += none;
	barrier_var(way);
	return way;
}

/* ---- time-outs ---- */

/*
 * enum bh_timeout by kind, closing, established. Volatile, because clang would put it in a
 * section for constants that can be merged, of which the BTF is refused.
 */
static const volatile __u8 flow_timeouts[32] = {
	[BH_FLOW_TCP << 2 | 0] = BH_TIMEOUT_TCP_HALF_OPEN,
	[BH_FLOW_TCP << 2 | 1] = BH_TIMEOUT_TCP_ESTABLISHED,
	[BH_FLOW_TCP << 2 | 2] = BH_TIMEOUT_TCP_CLOSING,
	[BH_FLOW_TCP << 2 | 3] = BH_TIMEOUT_TCP_CLOSING,
	[BH_FLOW_UDP << 2 | 0] = BH_TIMEOUT_UDP,
	[BH_FLOW_UDP << 2 | 1] = BH_TIMEOUT_UDP_STREAM,
	[BH_FLOW_ECHO << 2 | 0] = BH_TIMEOUT_ICMP,
	[BH_FLOW_ECHO << 2 | 1] = BH_TIMEOUT_ICMP,
	[BH_FLOW_OTHER << 2 | 0] = BH_TIMEOUT_OTHER,
	[BH_FLOW_OTHER << 2 | 1] = BH_TIMEOUT_OTHER,
	[BH_FLOW_FRAGMENT << 2 | 0] = BH_TIMEOUT_FRAGMENT,
};

/* 1: older than its time-out, else 0; without a branch. */
static __always_inline __u32 flow_expired(const struct image_view *view, __u64 meta, __u32 tick)
{
	__u32 flags = flow_flags(meta);
	__u32 which = (flags >> BH_FLOW_KIND_SHIFT & 7) << 2 | (flags & BH_FLOW_CLOSING) >> 5 |
		      (flags & BH_FLOW_ESTABLISHED) >> 3;
	__s64 age = (__s32)(tick - (__u32)meta);
	__u32 seconds;

	/* Kernels before 6.10 know nothing of what is made by |; clang would drop the mask. */
	barrier_var(which);
	seconds = image_head(view)->config.timeouts[flow_timeouts[which & 31] & 7];
	return (__u64)((__s64)clock_ticks(seconds) - age) >> 63;
}

/* ---- functions verified once, for what is not the hot path ---- */

/*
 * A position names a way: its element of bh_state and its state's offset in the page. Stale
 * ones are harmless: what is done there is a cmpxchg from what was seen.
 */
static __always_inline struct bh_flow_state *flow_at(int position)
{
	__u8 *page = flow_page((__u32)position >> BH_STATE_PAGE_BITS);

	if (!page)
		return NULL;
	return (struct bh_flow_state *)(page + (position & (BH_STATE_PAGE_SIZE - 16)));
}

/*
 * What follows serves both sizes of keys without branching on them: each branch would double what
 * is verified behind it. So every word is masked into the page by itself.
 */
static __always_inline __u32 flow_shift(const struct flow_query *query)
{
	return 7 + (query->wide & 1);
}

static __always_inline __u64 flow_word(const __u8 *page, __u32 offset)
{
	return flow_load(page + (offset & (BH_STATE_PAGE_SIZE - 8)));
}

/* The offset of the key of a way of the bucket at an offset. */
static __always_inline __u32 flow_key_offset(const struct flow_query *query, __u32 bucket,
					     __u32 way)
{
	return bucket + FLOW_KEYS + way * (16 + (query->wide & 1) * 32);
}

static __always_inline bool flow_same(const struct flow_query *query, const __u8 *page, __u32 key)
{
	__u64 wide = 0 - (__u64)(query->wide & 1);
	__u64 differ = (flow_word(page, key + 16) ^ query->word[2]) |
		       (flow_word(page, key + 24) ^ query->word[3]) |
		       (flow_word(page, key + 32) ^ query->word[4]);

	differ &= wide;
	differ |= flow_word(page, key) ^ query->word[0];
	differ |= flow_word(page, key + 8) ^ query->word[1];
	return !differ;
}

/*
 * The live way of a page that holds the key, as its state's offset, and its two words in query; else
 * FLOW_NONE. skip is an offset that is not looked at.
 */
static __always_inline int flow_scan(struct flow_query *query, const __u8 *page, __u32 mask,
				     __u32 skip)
{
	__u64 want = flow_meta(query->hash, 0, 0);

#pragma clang loop unroll(disable)
	for (__u32 at = 0; at < FLOW_WAYS; at++) {
		__u32 bucket = flow_bucket(query->hash, mask, flow_shift(query), at >= BH_WAYS);
		__u32 way = at & (BH_WAYS - 1);
		__u32 offset = bucket + way * 16;
		__u32 key = flow_key_offset(query, bucket, way);
		__u64 meta = flow_word(page, offset);
		__u64 rest;

		if (flow_differs(meta, want) || offset == skip)
			continue;
		if (!flow_same(query, page, key + flow_after(meta)))
			continue;
		rest = flow_word(page, offset + 8 + flow_after(flow_word(page, key)));
		meta = flow_word(page, offset + flow_after(rest));
		if (flow_differs(meta, want))
			continue;
		query->meta = meta;
		query->rest = rest;
		return offset & (BH_STATE_PAGE_SIZE - 16);
	}
	return FLOW_NONE;
}

/*
 * Searches one table for query's key. The position, and meta and rest in query, or FLOW_NONE. The entry may
 * be past its time-out; it may be gone when the caller looks at it.
 */
int flow_find(struct flow_query *query, __u32 table);

FLOW_LOOPS int flow_find(struct flow_query *query, __u32 table)
{
	struct image_view view;
	__u32 element;
	const __u8 *page;
	int found;

	if (!query || table >= BH_TABLE_COUNT ||
	    image_open_at(&view, query->generation) != BH_REASON_RULE)
		return FLOW_NONE;
	element = flow_element(&view, table, query->hash, flow_shift(query));
	page = flow_page(element);
	if (!page)
		return FLOW_NONE;
	found = flow_scan(query, page, flow_place(&view, table)->mask, ~0U);
	return found < 0 ? FLOW_NONE : (int)(element << BH_STATE_PAGE_BITS) | found;
}

/* ---- claiming a way ---- */

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

static __always_inline __u32 flow_way_offset(const struct flow_ways *ways, __u32 at)
{
	return (flow_bucket_of(ways, at) + (at & (BH_WAYS - 1)) * 16) & (BH_STATE_PAGE_SIZE - 16);
}

/*
 * Reads all eight ways. Of several that are equally old, the hash of the newcomer chooses: always the
 * first one would have a flood push out its own latest victim's successor and nobody else.
 */
static __always_inline void flow_survey(const struct image_view *view,
					const struct flow_query *query, const __u8 *page,
					__u32 mask, struct flow_ways *ways)
{
	__u32 turn = query->hash >> 24;
	__u64 best = 0;

	ways->bucket[0] = flow_bucket(query->hash, mask, flow_shift(query), false);
	ways->bucket[1] = flow_bucket(query->hash, mask, flow_shift(query), true);
	ways->usable = 0;
#pragma clang loop unroll(disable)
	for (__u32 at = 0; at < FLOW_WAYS; at++) {
		__u64 meta = flow_load(page + flow_way_offset(ways, at));
		__u32 flags = flow_flags(meta);
		__u32 live = flags & BH_FLOW_LIVE;
		__u32 taken = ((flags & (BH_FLOW_LIVE | BH_FLOW_BUSY)) + 3) >> 2;
		__u32 age = query->tick - (__u32)meta + 0x40000000;
		__u64 score = ((0 - (__u64)live) & ((__u64)age << 3)) | ((at + turn) & 7);
		__u64 less = (best - score) >> 63;

		ways->usable |= (1 - taken | (live & flow_expired(view, meta, query->tick))) << at;
		best = (best & (less - 1)) | (score & (0 - less));
	}
	ways->oldest = best >> 3 ? (best - turn) & 7 : FLOW_WAYS;
}

/*
 * Which of the usable ways to take: in the bucket that has more of them, so that both of a key are full
 * as late as can be. Taking the first one until it is nearly full would end more searches there, and
 * leaves one flow in 60,000 without a way at a load of 0.38; this one in 10 million. Of the established ways TCP takes the upper ones first, and others have the
 * lower two of each bucket alone: they never hold more than half.
 */
static __always_inline __u32 flow_choose(const struct flow_query *query, __u32 usable, __u32 table)
{
	__u32 other = ((flow_flags(query->meta) >> BH_FLOW_KIND_SHIFT & 7) + 7) >> 3;
	__u32 established = (1 << BH_TABLE_ESTABLISHED4 | 1 << BH_TABLE_ESTABLISHED6) >> table & 1;
	__u32 first, second, from;

	usable &= ~(0xcc & (0 - (established & other)));
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

/*
 * Takes an entry out, whatever has been marked in it since meta was read. Not for one that is past its
 * time-out: what has been marked since is then an entry of the same key that another CPU has opened in
 * its place.
 */
static __always_inline void flow_release(struct bh_flow_state *state, __u64 meta)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < FLOW_TRIES; i++) {
		__u64 now = __sync_val_compare_and_swap(&state->meta, meta, 0);

		if (now == meta || flow_differs(now, meta))
			return;
		meta = now;
	}
}

/*
 * Sets and clears flags of an entry and dates it. False: it is another one by now, or too many
 * others are marking it.
 */
static __always_inline bool flow_mark(struct bh_flow_state *state, __u64 meta, __u64 set,
				      __u64 clear, __u32 tick)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < FLOW_TRIES; i++) {
		__u64 flags = (meta >> 32 & ~clear) | set;
		__u64 now;

		if ((flags << 32 | tick) == meta)
			return true;
		now = __sync_val_compare_and_swap(&state->meta, meta, flags << 32 | tick);
		if (now == meta)
			return true;
		if (flow_differs(now, meta))
			return false;
		meta = now;
	}
	return false;
}

static __always_inline __u64 *flow_rest_of(struct bh_flow_state *state)
{
	return (__u64 *)((__u8 *)state + 8);
}

/*
 * Claims a way for query's key in one table, once: the position, FLOW_NONE when there is no way to be
 * had, FLOW_LOST when another CPU was faster. A half-open table gives up its oldest, which is noted.
 */
int flow_claim(const struct flow_query *query, __u32 table);

__attribute__((noinline)) int flow_claim(const struct flow_query *query, __u32 table)
{
	struct bh_flow_state *state;
	struct image_view view;
	struct flow_ways ways;
	__u32 element, at;
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
	flow_survey(&view, query, page, flow_place(&view, table)->mask, &ways);
	at = flow_choose(query, ways.usable, table);
	if (at >= FLOW_WAYS && table <= BH_TABLE_HALF_OPEN6) {
		at = ways.oldest;
		evicts = 1;
	}
	if (at >= FLOW_WAYS)
		return FLOW_NONE;
	at = flow_way_offset(&ways, at);
	state = (void *)(page + at);
	old = flow_load(&state->meta);
	if (flow_flags(old) & BH_FLOW_BUSY ||
	    ((flow_flags(old) & BH_FLOW_LIVE) > evicts && !flow_expired(&view, old, query->tick)) ||
	    !flow_swap(state, old, (__u64)BH_FLOW_BUSY << 32))
		return FLOW_LOST;
	if (evicts)
		note(BH_NOTE_HALF_OPEN_EVICTED);
	return element << BH_STATE_PAGE_BITS | at;
}

/* Fills a claimed way and publishes it. Keys of any size, so that one copy serves both. */
static __always_inline void flow_fill(const struct flow_query *query, __u8 *page, __u32 own,
				      __u32 bucket)
{
	__u32 key = flow_key_offset(query, bucket, (own - bucket) >> 4);
	struct bh_flow_state *state = (void *)(page + (own & (BH_STATE_PAGE_SIZE - 16)));

	*(__u64 *)(page + (key & (BH_STATE_PAGE_SIZE - 8))) = query->word[0];
	*(__u64 *)(page + ((key + 8) & (BH_STATE_PAGE_SIZE - 8))) = query->word[1];
	if (query->wide) {
#pragma unroll
		for (unsigned int i = FLOW_WORDS4; i < FLOW_WORDS6; i++)
			*(__u64 *)(page + ((key + i * 8) & (BH_STATE_PAGE_SIZE - 8))) =
				query->word[i];
	}
	*flow_rest_of(state) = query->rest;
	__sync_lock_test_and_set(&state->meta, query->meta);
}

/* Fills the way that flow_claim has claimed and publishes it. */
int flow_publish(const struct flow_query *query, int position);

__attribute__((noinline)) int flow_publish(const struct flow_query *query, int position)
{
	__u32 own = position & (BH_STATE_PAGE_SIZE - 16);
	__u8 *page = flow_page((__u32)position >> BH_STATE_PAGE_BITS);

	if (query && page)
		flow_fill(query, page, own, own & ~((1U << flow_shift(query)) - 1));
	return 0;
}

/*
 * CPUs that enter one flow at a time each look again after they have published, and all entries but
 * the one at the lowest offset are taken back. The position that stands: query->found is 1 when
 * it is another CPU's, whose meta and rest query then has. FLOW_LOST: one has been taken back, and there may
 * be more.
 */
int flow_settle(struct flow_query *query, __u32 table, int position);

FLOW_LOOPS int flow_settle(struct flow_query *query, __u32 table, int position)
{
	__u32 own = position & (BH_STATE_PAGE_SIZE - 16);
	struct image_view view;
	__u32 other;
	__u64 meta;
	__u8 *page;
	int found;

	if (!query || image_open_at(&view, query->generation) != BH_REASON_RULE)
		return FLOW_NONE;
	page = flow_page((__u32)position >> BH_STATE_PAGE_BITS);
	if (!page)
		return FLOW_NONE;
	query->found = 0;
	meta = query->meta;
	found = flow_scan(query, page, flow_place(&view, table)->mask, own);
	if (found < 0)
		return position;
	note(BH_NOTE_DUPLICATE);
	other = found & (BH_STATE_PAGE_SIZE - 16);
	if (other > own) {
		flow_release((void *)(page + other), query->meta);
		query->meta = meta;
		return FLOW_LOST;
	}
	query->found = 1;
	flow_release((void *)(page + own), meta);
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
		position = flow_claim(query, table);
	if (position < 0)
		return FLOW_NONE;
	flow_publish(query, position);
#pragma clang loop unroll(disable)
	for (int i = 0; i < FLOW_TRIES && stands == FLOW_LOST; i++)
		stands = flow_settle(query, table, position);
	return stands < 0 ? position : stands;
}

#endif
