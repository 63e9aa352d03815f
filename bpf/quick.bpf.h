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

/* What of a packet's flow is known before the policy is asked. */
struct quick {
	__u64 meta; /* of the way at position, as found */
	__u64 rest;
	int position; /* of an established flow whose answer the packet may be, FLOW_NONE, FLOW_ABSENT */
	__u32 zero;
};

/* What the tags of one table say of a key. */
struct quick_ways {
	const __u8 *page; /* NULL: it is missing */
	__u32 element;
	__u32 bucket[2]; /* offsets */
	__u64 same[2];	 /* bit 16 * way, the lowest one exact: the way has the key's tag */
};

/* Reads the tags; not before the value was. */
static __always_inline void quick_look(const struct image_view *view, __u64 hash, bool wide,
				       __u32 table, __u64 after, struct quick_ways *ways)
{
	const __u32 shift = wide ? 8 : 7;
	const __u32 mask = image_head(view)->config.tables[table].mask;

	ways->bucket[0] = flow_bucket(hash, mask, shift, false);
	ways->bucket[1] = flow_bucket(hash, mask, shift, true);
	ways->same[0] = ways->same[1] = 0;
	ways->element = flow_element(view, table, hash, shift);
	ways->page = flow_page(ways->element);
	if (!ways->page)
		return;
	ways->page += flow_after(after);
	for (int i = 0; i < 2; i++)
		ways->same[i] = flow_same(flow_tags(ways->page, ways->bucket[i] >> shift), hash);
}

/*
 * The live way of a key among those with its tag, and its two words; FLOW_NONE: it wants a closer look.
 * In which of the two buckets it lies is not branched on: that could only be guessed.
 */
static __always_inline int quick_seek(const struct quick_ways *ways, const __u64 *words, __u64 hash,
				      bool wide, struct quick *quick)
{
	__u64 want = flow_meta(hash, 0, 0);
	__u64 second = 0 - ((ways->same[0] - 1) >> 63);
	__u64 same = ways->same[0] | (ways->same[1] & second);
	__u64 lowest = same & (0 - same);
	__u32 way = (lowest >> 16 & 1) + (lowest >> 31 & 2) + (lowest >> 48) * 3;
	__u32 bucket = ways->bucket[0] ^ ((ways->bucket[0] ^ ways->bucket[1]) & second);
	const __u8 *state;
	const __u8 *key;
	__u64 differ;
	__u32 offset;

	if (!same || !ways->page)
		return FLOW_NONE;
	offset = bucket + way * (wide ? BH_WAY6_SIZE : BH_WAY4_SIZE);
	/* Or clang masks its parts, and Linux 6.1 forgets what it has spilled. */
	barrier_var(offset);
	offset &= BH_STATE_PAGE_SIZE - BH_WAY4_SIZE;
	state = ways->page + offset;
	key = state + FLOW_KEY + flow_after(flow_load(state));
	differ = flow_load(key + 8) ^ words[1];
	if (!wide)
		differ &= FLOW_LAST4;
	differ |= flow_load(key) ^ words[0];
	if (wide)
		differ |= (flow_load(key + 16) ^ words[2]) | (flow_load(key + 24) ^ words[3]) |
			  (flow_load(key + 32) ^ words[4]);
	quick->rest = flow_load(state + 8 + flow_after(differ));
	quick->meta = flow_load(state + flow_after(quick->rest));
	if (differ || flow_differs(quick->meta, want))
		return FLOW_NONE;
	return (int)(ways->element << BH_STATE_PAGE_BITS | offset);
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

/* A SYN, which is nobody's answer: denied by the policy, it passes with no flow. */
static __always_inline bool quick_opens(const struct packet *packet)
{
	return (packet->tcp_flags & (STATES_SYN | STATES_ACK)) == STATES_SYN;
}

/* In these flags nothing may be set but what is wanted, so that the packet changes none of them. */
#define QUICK_ESTABLISHED \
	(BH_FLOW_LIVE | BH_FLOW_ESTABLISHED | BH_FLOW_CLOSING | BH_FLOW_AUDIT | BH_FLOW_KEPT)
#define QUICK_HALF_OPEN \
	(QUICK_ESTABLISHED | BH_FLOW_FIN_OPENER | BH_FLOW_FIN_REPLIER | BH_FLOW_REPLIED)

/* Of the generation in force, within its time-out, and with these flags. */
static __always_inline bool quick_holds(const struct image_view *view, const struct quick *quick,
					__u32 flags, __u32 wanted, __u32 tick)
{
	return (flow_flags(quick->meta) & flags) == wanted &&
	       (__u32)quick->rest == (__u32)view->generation &&
	       (tick == (__u32)quick->meta || !flow_expired(view, quick->meta, tick));
}

/* Sets a flag of the way as it was found, and dates it; another CPU may have been faster. */
static __always_inline void quick_touch(const struct quick *quick, __u64 set, __u32 tick)
{
	__u64 meta = (quick->meta >> 32 | set) << 32 | tick;
	struct bh_flow_state *state;

	if (meta == quick->meta)
		return;
	state = flow_at(quick->position);
	if (state)
		flow_swap(state, quick->meta, meta);
}

/* The established flow of a packet goes on; else its position stays for those behind the policy. */
static __always_inline bool quick_established(const struct packet *packet,
					      const struct image_view *view, __u32 tick,
					      struct quick *quick)
{
	if (!quick_holds(view, quick, QUICK_ESTABLISHED, BH_FLOW_LIVE | BH_FLOW_ESTABLISHED,
			 tick)) {
		quick->position = FLOW_NONE;
		return false;
	}
	return flowkey_is_opener(packet, flow_flags(quick->meta)) ||
	       flow_flags(quick->meta) & BH_FLOW_ANSWERS;
}

static __always_inline bool quick_half_open(const struct packet *packet,
					    const struct image_view *view, __u32 tick,
					    struct quick *quick)
{
	if (quick->position != FLOW_NONE && flowkey_is_opener(packet, flow_flags(quick->meta)) &&
	    quick_holds(view, quick, QUICK_HALF_OPEN, BH_FLOW_LIVE, tick))
		return true;
	quick->position = FLOW_NONE;
	return false;
}

/*
 * Before the policy is asked: an opener's packet on its flow, which was judged by the policy in force
 * when it was opened or since the flip, and the answer to an established one that the policy is known
 * to deny for itself, need not be judged again. Settles the decision and says true, or leaves it as it
 * was and says in quick what there is. What is not quiet, and every other flag, is track's business.
 *
 * The half-open tags first: a flow that is just being established is in both tables or in the second,
 * never in none.
 */
static __always_inline bool quick_look_up(const struct packet *packet,
					  const struct image_view *view, bool wide,
					  struct decision *decision, struct quick *quick)
{
	struct quick_ways half_open, established;
	__u32 tick = clock_tick();
	__u64 words[FLOW_WORDS6];
	bool goes_on;
	__u64 hash;

	if (wide) {
		flowkey_words6(packet, flowkey_ports(packet), words);
		hash = flow_hash6(words);
	} else {
		flowkey_words4(packet, flowkey_ports(packet), words);
		hash = flow_hash4(words);
	}
	quick_look(view, hash, wide, BH_TABLE_HALF_OPEN4 + wide, 0, &half_open);
	quick_look(view, hash, wide, BH_TABLE_ESTABLISHED4 + wide,
		   half_open.same[0] | half_open.same[1], &established);
	quick->position = FLOW_ABSENT;
	if (!(half_open.same[0] | half_open.same[1] | established.same[0] | established.same[1]))
		return false;
	quick->position = FLOW_NONE;
	if (!quick_is_quiet(packet))
		return false;
	quick->position = quick_seek(&established, words, hash, wide, quick);
	if (quick->position != FLOW_NONE) {
		goes_on = quick_established(packet, view, tick, quick);
	} else {
		quick->position = quick_seek(&half_open, words, hash, wide, quick);
		goes_on = quick_half_open(packet, view, tick, quick);
	}
	if (!goes_on)
		return false;
	decision_by_row(decision, quick->rest >> 32, false);
	decision->by_flow = !flowkey_is_opener(packet, flow_flags(quick->meta));
	quick_touch(quick, 0, tick);
	return true;
}

/* A global function: what it has seen is of no interest behind it, and its stack is free again. */
int quick_goes_on(const struct packet *packet, struct decision *decision, struct quick *quick);

__attribute__((noinline)) int quick_goes_on(const struct packet *packet, struct decision *decision,
					    struct quick *quick)
{
	struct image_view view;

	if (!packet || !decision || !quick ||
	    image_open_at(&view, decision->generation) != BH_REASON_RULE)
		return 0;
	return packet->family == 4 ? quick_look_up(packet, &view, false, decision, quick)
				   : quick_look_up(packet, &view, true, decision, quick);
}

/* Whether a packet has lately passed without finding a way. */
static __always_inline bool quick_was_full(__u32 tick)
{
	const struct untracked *at = flow_untracked();

	return at && at->last && tick - (__u32)at->last <= clock_ticks(30);
}

/*
 * Neither table has an entry of the packet's. While flows may lie in the other slot that says
 * nothing; a packet that has looked before the last of them came is through when the word says so
 * no longer.
 */
static __always_inline bool quick_is_absent(const struct quick *quick)
{
	return quick->position == FLOW_ABSENT && !flow_is_carrying();
}

/*
 * Behind the policy: the answer to an established flow passes, or a denied packet has no flow. All is
 * settled then. False: look closer. What the policy denies passes with its flow until the next flip.
 */
static __always_inline bool quick_settles(const struct packet *packet, const struct quick *quick,
					  struct decision *decision)
{
	if (quick->position < 0)
		return decision->verdict == BH_DENY &&
		       (quick_opens(packet) ||
			(quick_is_absent(quick) && !quick_was_full(clock_tick())));
	if (decision->verdict == BH_ALLOW) {
		quick_touch(quick, 0, clock_tick());
		return true;
	}
	decision_by_row(decision, quick->rest >> 32, false);
	decision->by_flow = 1;
	quick_touch(quick, BH_FLOW_ANSWERS, clock_tick());
	return true;
}

#endif
