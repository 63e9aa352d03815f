/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The state tables: set-associative, in pages of flat bytes, with no kernel hash and no lock. Both
 * candidate buckets of a key lie in one page, so that a search costs one look-up. A way is claimed
 * by cmpxchg, filled, and published by an atomic exchange (bpf/flowinsert.bpf.h); a reader takes a
 * key for its own only when meta has its tag before and after. What a flow means is track's
 * business.
 */
#ifndef BPF_FLOWTABLE_BPF_H
#define BPF_FLOWTABLE_BPF_H

#include <linux/bpf.h>
#include <linux/types.h>

#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include "bpf/abi.h"
#include "bpf/clock.bpf.h"
#include "bpf/image.bpf.h"
#include "bpf/maps.bpf.h"

/* Words of a key; a sixth one of struct bh_flow_key6 holds nothing but opened. */
#define FLOW_WORDS4 2
#define FLOW_WORDS6 5
#define FLOW_KEY    sizeof(struct bh_flow_state) /* where a way's key begins */

/* Of the last word of struct bh_flow_key4 what is of the key; the rest says when it was opened. */
#define FLOW_OPENED_BIT 40
#define FLOW_LAST4	((1ULL << FLOW_OPENED_BIT) - 1)

#define FLOW_NONE   (-1)
#define FLOW_LOST   (-2)
#define FLOW_ABSENT (-3) /* of struct quick: neither table has its tag */
#define FLOW_ASK    (-4) /* of flow_enter: flow_survey has to say which way */

/* Ways of both buckets; position 0 is the first way of the first one. */
#define FLOW_WAYS (2 * BH_WAYS)

/* How often a lost race is tried again. */
#define FLOW_TRIES 4

/*
 * Of a function verified apart that loops: clang saves a jump by moving the end of a loop before
 * its beginning, and kernels before 6.7 refuse a loop that is closed by no jump ("back-edge from
 * insn"). Where code may not grow it leaves the order as it is.
 */
#define FLOW_LOOPS __attribute__((noinline, minsize))

/* Whether another CPU entered the same key at the same time, and whose entry stands. */
enum flow_rival {
	FLOW_ALONE,
	FLOW_THEIRS, /* meta and rest of the query are those of the entry that stands */
	FLOW_OURS,   /* rest is that of the one that was taken back */
};

/* What separately verified functions are asked about one key, and what they answer. */
struct flow_query {
	__u64 word[FLOW_WORDS6]; /* struct bh_flow_key4 or bh_flow_key6, else zero */
	__u64 hash;
	__u64 generation;
	__u64 meta; /* flow_find: as found; flow_insert: to be published */
	__u64 rest; /* the same: the second word of the state */
	__u32 tick; /* now */
	__u8 wide;  /* 1: bh_flow_key6 */
	__u8 found; /* flow_insert: enum flow_rival, nothing where it fails; track_look: 1, established */
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

	/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): of 64 bits */
	return (tag ? tag : 1) << 48 | (__u64)flags << 32 | tick;
}

/* The second word: generation, row, behind. */
static __always_inline __u64 flow_rest(__u32 generation, __u16 row, __u16 behind)
{
	return (__u64)behind << 48 | (__u64)row << 32 | generation;
}

/*
 * By numbers that nobody outside knows, so that nobody can aim at a bucket. The low bits number the first
 * bucket, bits 32 and up tell the second from it, the highest are the tag.
 */
static __always_inline __u64 flow_hash4(const __u64 *word)
{
	__u64 sum = bh_flow_add(bh_flow_add(0, word[0], machine.seed[0]), word[1], machine.seed[1]);

	return bh_flow_finish(sum, machine.seed[BH_SEEDS - 1]);
}

static __always_inline __u64 flow_hash6(const __u64 *word)
{
	__u64 sum = 0;

#pragma unroll
	for (unsigned int i = 0; i < FLOW_WORDS6; i++)
		sum = bh_flow_add(sum, word[i], machine.seed[i]);
	return bh_flow_finish(sum, machine.seed[BH_SEEDS - 1]);
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

/*
 * Where nothing depends on what was loaded: no load behind it is done before one that comes before
 * it. An exchange, because it fetches what was there: on arm64 an atomic that fetches nothing
 * orders nothing, and clang makes such a one of a fetch whose result nobody uses. Nothing where
 * loads keep their order.
 */
static __always_inline void flow_fence(__u64 *word)
{
	if (weak_order)
		*word = __sync_lock_test_and_set(word, *word);
}

static __always_inline struct untracked *flow_untracked(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&bh_untracked, &key);
}

/* Whether flows may still lie in the other slot. */
static __always_inline bool flow_is_carrying(void)
{
	const struct untracked *at = flow_untracked();

	return at && at->carrying;
}

static __always_inline __u64 flow_load(const void *at)
{
	return *(const volatile __u64 *)at;
}

/* The four tags of a bucket by its number in the page. */
static __always_inline __u64 flow_tags(const __u8 *page, __u32 bucket)
{
	return flow_load(page + BH_STATE_PAGE_SIZE +
			 (bh_state_tags(bucket) & (BH_STATE_TAGS_SIZE - 8)));
}

/*
 * Which of four tags are that of a hash: bit 16 * way. The lowest one is exact; borrows may run over
 * into higher ones.
 */
static __always_inline __u64 flow_same(__u64 tags, __u64 hash)
{
	const __u64 ones = 0x0001000100010001;
	__u64 differ = tags ^ (flow_meta(hash, 0, 0) >> 48) * ones;

	return ((differ - ones) & ~differ) >> 15 & ones;
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
	[BH_FLOW_CUT << 2 | 0] = BH_TIMEOUT_TCP_ESTABLISHED,
	[BH_FLOW_CUT << 2 | 2] = BH_TIMEOUT_TCP_ESTABLISHED,
};

/* 1: older than its time-out, else 0; without a branch. */
static __always_inline __u32 flow_expired(const struct image_view *view, __u64 meta, __u32 tick)
{
	__u32 flags = flow_flags(meta);
	__u32 which = bh_flow_kind(flags) << 2 | (flags & BH_FLOW_CLOSING) >> 5 |
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
static __always_inline __u32 flow_shift(__u32 wide)
{
	return 7 + (wide & 1);
}

static __always_inline __u64 flow_word(const __u8 *page, __u32 offset)
{
	return flow_load(page + (offset & (BH_STATE_PAGE_SIZE - 8)));
}

/* The size of a way. No shift of a constant: the verifier knows no bounds of that. */
static __always_inline __u32 flow_way_size(__u32 wide)
{
	return BH_WAY4_SIZE + (wide & 1) * (BH_WAY6_SIZE - BH_WAY4_SIZE);
}

/* 0: the key that lies there is the query's. */
static __always_inline __u64 flow_difference(const struct flow_query *query, const __u8 *page,
					     __u32 key)
{
	__u64 wide = 0 - (__u64)(query->wide & 1);
	__u64 last4 = wide | FLOW_LAST4;
	__u64 differ = (flow_word(page, key + 16) ^ query->word[2]) |
		       (flow_word(page, key + 24) ^ query->word[3]) |
		       (flow_word(page, key + 32) ^ query->word[4]);

	differ &= wide;
	differ |= flow_word(page, key) ^ query->word[0];
	differ |= (flow_word(page, key + 8) ^ query->word[1]) & last4;
	return differ;
}

/*
 * The live way of a page that holds the key, as its state's offset, and its two words in query;
 * else FLOW_NONE. skip is an offset that is not looked at.
 */
static __always_inline int flow_scan(struct flow_query *query, const __u8 *page, __u32 mask,
				     __u32 skip)
{
	__u64 want = flow_meta(query->hash, 0, 0);

#pragma clang loop unroll(disable)
	for (__u32 at = 0; at < FLOW_WAYS; at++) {
		__u32 bucket =
			flow_bucket(query->hash, mask, flow_shift(query->wide), at >= BH_WAYS);
		__u32 offset = bucket + (at & (BH_WAYS - 1)) * flow_way_size(query->wide);
		__u32 key = offset + FLOW_KEY;
		__u64 meta = flow_word(page, offset);
		__u64 differ;
		__u64 rest;
		__u32 after;

		if (flow_differs(meta, want) || offset == skip)
			continue;
		differ = flow_difference(query, page, key + flow_after(meta));
		/*
		 * Depends on all words. Computed before the branch: behind it clang knows that
		 * `differ` is 0.
		 */
		after = flow_after(differ);
		if (differ)
			continue;
		rest = flow_word(page, offset + 8 + after);
		meta = flow_word(page, offset + flow_after(rest));
		if (flow_differs(meta, want))
			continue;
		query->meta = meta;
		query->rest = rest;
		return offset & (BH_STATE_PAGE_SIZE - 16);
	}
	return FLOW_NONE;
}

/* Whether a way of either bucket may be query's: the tags are of far fewer lines than the states. */
static __always_inline bool flow_is_tagged(const struct flow_query *query, const __u8 *page,
					   __u32 mask)
{
	__u32 shift = flow_shift(query->wide);
	__u64 first = flow_tags(page, flow_bucket(query->hash, mask, shift, false) >> shift);
	__u64 second = flow_tags(page, flow_bucket(query->hash, mask, shift, true) >> shift);

	return flow_same(first, query->hash) | flow_same(second, query->hash);
}

/*
 * Searches one table for query's key. The position, and meta and rest in query, or FLOW_NONE. The
 * entry may be past its time-out; it may be gone when the caller looks at it. Where there is none,
 * it is looked for in another table, to which it may have gone: that one is not read before this
 * one.
 */
int flow_find(struct flow_query *query, __u32 table);

FLOW_LOOPS int flow_find(struct flow_query *query, __u32 table)
{
	struct image_view view;
	__u32 element, mask;
	const __u8 *page;
	int found;

	if (!query || table >= BH_TABLE_COUNT ||
	    image_open_at(&view, query->generation) != BH_REASON_RULE)
		return FLOW_NONE;
	element = flow_element(&view, table, query->hash, flow_shift(query->wide));
	page = flow_page(element);
	if (!page)
		return FLOW_NONE;
	mask = flow_place(&view, table)->mask;
	found = flow_is_tagged(query, page, mask) ? flow_scan(query, page, mask, ~0U) : FLOW_NONE;
	if (found >= 0)
		return (int)(element << BH_STATE_PAGE_BITS) | found;
	flow_fence(&query->generation);
	return FLOW_NONE;
}

/* ---- changing an entry ---- */

/*
 * Takes an entry out, whatever has been marked in it since meta was read: its meta at last, 0 if it was
 * gone. Not for one that is past its time-out: what has been marked since is then an entry of the same
 * key that another CPU has opened in its place.
 */
static __always_inline __u64 flow_release(struct bh_flow_state *state, __u64 meta)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < FLOW_TRIES; i++) {
		__u64 now = __sync_val_compare_and_swap(&state->meta, meta, 0);

		if (now == meta)
			return meta;
		if (flow_differs(now, meta))
			return 0;
		meta = now;
	}
	return 0;
}

/* The later one of two ticks, without a branch. */
static __always_inline __u32 flow_later(__u32 tick, __u32 other)
{
	__s32 ahead = other - tick;

	return tick + (ahead & ~(ahead >> 31));
}

/*
 * Sets and clears flags of an entry and dates it, but not back behind whoever was faster. False: it is
 * another one by now, or too many others are marking it.
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
		tick = flow_later(tick, now);
	}
	return false;
}

/*
 * When a flow was opened. By plain stores, also where a flow moves or begins anew in its way: of a way
 * that has become another's meanwhile they change the age and nothing else, since they are of no key.
 */
static __always_inline void flow_set_opened(struct bh_flow_state *state, __u32 wide, __u32 opened)
{
	__u8 *end = (__u8 *)state + flow_way_size(wide);

	*(volatile __u8 *)(end - 3) = opened;
	*(volatile __u16 *)(end - 2) = opened >> 8;
}

static __always_inline __u32 flow_opened(const struct bh_flow_state *state, __u32 wide)
{
	const __u8 *end = (const __u8 *)state + flow_way_size(wide);

	return flow_load(end - 8) >> FLOW_OPENED_BIT;
}

static __always_inline __u64 *flow_rest_of(struct bh_flow_state *state)
{
	return (__u64 *)((__u8 *)state + 8);
}

#endif
