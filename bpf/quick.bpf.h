/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What most packets are, seen without a closer look: one of an established flow on which nothing
 * happens, or one that is denied and has no flow. All others are track's.
 */
#ifndef BPF_QUICK_BPF_H
#define BPF_QUICK_BPF_H

#include <linux/in.h>

#include "bpf/clock.bpf.h"
#include "bpf/decision.bpf.h"
#include "bpf/flowkey.bpf.h"
#include "bpf/flowtable.bpf.h"
#include "bpf/image.bpf.h"
#include "bpf/packet.bpf.h"
#include "bpf/states.bpf.h"

/* The live established way of a key, and its two words; NULL: it wants a closer look. */
static __always_inline struct bh_flow_state *quick_seek(const struct image_view *view,
							const __u64 *words, __u64 hash, bool wide,
							__u64 *ret_state)
{
	const __u32 shift = wide ? 8 : 7;
	const __u32 table = wide ? BH_TABLE_ESTABLISHED6 : BH_TABLE_ESTABLISHED4;
	const __u32 mask = image_head(view)->config.tables[table].mask;
	__u64 want = flow_meta(hash, 0, 0);
	__u8 *page = flow_page(flow_element(view, table, hash, shift));
	__u32 first = flow_bucket(hash, mask, shift, false);
	__u32 second = flow_bucket(hash, mask, shift, true);
	__u64 differ;
	__u8 *state;
	__u8 *key;
	__u32 way;

	if (!page)
		return NULL;
	way = flow_match(page + first, page + second, want);
	if (way >= FLOW_WAYS)
		return NULL;
	first ^= (first ^ second) & (0 - (way >> 2 & 1));
	page += first & (BH_STATE_PAGE_SIZE - (1U << shift));
	way &= BH_WAYS - 1;
	state = page + way * 16;
	key = page + FLOW_KEYS + way * (wide ? 48 : 16) + flow_after(flow_load(state));
	differ = (flow_load(key) ^ words[0]) | (flow_load(key + 8) ^ words[1]);
	if (wide)
		differ |= (flow_load(key + 16) ^ words[2]) | (flow_load(key + 24) ^ words[3]) |
			  (flow_load(key + 32) ^ words[4]);
	ret_state[1] = flow_load(state + 8 + flow_after(differ));
	ret_state[0] = flow_load(state + flow_after(ret_state[1]));
	if (differ || flow_differs(ret_state[0], want))
		return NULL;
	return (struct bh_flow_state *)state;
}

/*
 * TCP and UDP; quiet: nothing that opens or ends. Without a branch on the protocol: the verifier
 * would know it, and look at all that follows for each.
 */
static __always_inline bool quick_has_ports(const struct packet *packet)
{
	const __u64 kinds = 1ULL << IPPROTO_TCP | 1ULL << IPPROTO_UDP;
	__u64 protocol = packet->protocol;

	return kinds >> (protocol & 63) & ((protocol >> 6) - 1) >> 63;
}

static __always_inline bool quick_is_quiet(const struct packet *packet)
{
	return !(packet->tcp_flags & (STATES_SYN | STATES_FIN | STATES_RST));
}

/* Settles the decision and says true, or leaves everything as it was. */
static __always_inline bool quick_established(const struct packet *packet,
					      const struct image_view *view, const __u64 *words,
					      __u64 hash, bool wide, struct decision *decision)
{
	struct bh_flow_state *state;
	__u64 found[2];
	__u32 tick;

	state = quick_seek(view, words, hash, wide, found);
	if (!state || (__u32)found[1] != (__u32)view->generation ||
	    (flow_flags(found[0]) & (BH_FLOW_LIVE | BH_FLOW_ESTABLISHED | BH_FLOW_CLOSING |
				     BH_FLOW_AUDIT | BH_FLOW_KEPT)) !=
		    (BH_FLOW_LIVE | BH_FLOW_ESTABLISHED))
		return false;
	tick = clock_tick();
	if (tick != (__u32)found[0] && flow_expired(view, found[0], tick))
		return false;
	if (decision->verdict != BH_ALLOW) {
		if (flowkey_is_opener(packet, flow_flags(found[0])))
			return false;
		decision_by_row(decision, found[1] >> 32, false);
		decision->by_flow = 1;
	}
	if (tick != (__u32)found[0])
		flow_swap(state, found[0], (found[0] >> 32) << 32 | tick);
	return true;
}

/* Whether a packet has lately passed without finding a way. */
static __always_inline bool quick_was_full(__u32 tick)
{
	__u32 key = 0;
	const __u64 *untracked = bpf_map_lookup_elem(&bh_untracked, &key);

	return untracked && *untracked && tick - (__u32)*untracked <= clock_ticks(30);
}

/*
 * 1: no way of either table has the tag of this hash, so that track_slow would find nothing, nor has
 * anything to note. The half-open table first, as there. A flood of what is denied ends here: four
 * lines of the cache, all under way at a time. A global function, since what it has seen is of no
 * interest behind it.
 */
int quick_absent(__u64 generation, __u64 hash, __u32 wide);

__attribute__((noinline)) int quick_absent(__u64 generation, __u64 hash, __u32 wide)
{
	__u64 want = flow_meta(hash, 0, 0);
	__u32 shift = 7 + (wide & 1);
	struct image_view view;
	__u32 none = 1;

	if (image_open_at(&view, generation) != BH_REASON_RULE || quick_was_full(clock_tick()))
		return 0;
#pragma unroll
	for (int i = 0; i < 2; i++) {
		__u32 table = (wide & 1) + (i ? BH_TABLE_ESTABLISHED4 : BH_TABLE_HALF_OPEN4);
		__u32 mask = flow_place(&view, table)->mask;
		const __u8 *page = flow_page(flow_element(&view, table, hash, shift));
		__u32 first = flow_bucket(hash, mask, shift, false);
		__u32 second = flow_bucket(hash, mask, shift, true);

		if (!page)
			return 0;
		page += flow_after(none);
		barrier_var(first); /* or clang joins the masks to one with too many bits */
		barrier_var(second);
		none &= flow_match(page + (first & (BH_STATE_PAGE_SIZE - 128)),
				   page + (second & (BH_STATE_PAGE_SIZE - 128)), want) >>
			3;
	}
	return none;
}

/* An established flow goes on, or a denied packet has none: all is settled. False: look closer. */
static __always_inline bool quick_settles(const struct packet *packet,
					  const struct image_view *view, bool wide,
					  struct decision *decision)
{
	__u64 words[FLOW_WORDS6];
	__u64 hash;

	if (wide) {
		flowkey_words6(packet, flowkey_ports(packet), words);
		hash = flow_hash6(words);
	} else {
		flowkey_words4(packet, flowkey_ports(packet), words);
		hash = flow_hash4(words);
	}
	if (quick_is_quiet(packet) && quick_established(packet, view, words, hash, wide, decision))
		return true;
	return decision->verdict == BH_DENY && quick_absent(view->generation, hash, wide);
}

#endif
