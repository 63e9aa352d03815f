/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fragments: a first one that passes lets its later ones pass, within the time-out and as long as a
 * way is left. Nothing is held back, so a later one that comes before its first is denied.
 */
#ifndef BPF_FRAGMENT_BPF_H
#define BPF_FRAGMENT_BPF_H

#include "bpf/clock.bpf.h"
#include "bpf/decision.bpf.h"
#include "bpf/flowcarry.bpf.h"
#include "bpf/flowinsert.bpf.h"
#include "bpf/flowtable.bpf.h"
#include "bpf/image.bpf.h"
#include "bpf/packet.bpf.h"

/* The words of struct bh_flow_key6 with the direction, family and id of a fragment. */
static __always_inline void fragment_query(const struct packet *packet, __u64 generation,
					   struct flow_query *query)
{
	query->word[0] = packet->source.half[0];
	query->word[1] = packet->source.half[1];
	query->word[2] = packet->destination.half[0];
	query->word[3] = packet->destination.half[1];
	query->word[4] = packet->fragment_id | (__u64)packet->fragment_protocol << 32 |
			 (__u64)(packet->direction + 1) << 40 | (__u64)packet->family << 48;
	query->hash = flow_hash6(query->word);
	query->generation = generation;
	query->tick = clock_tick();
	query->wide = 1;
}

/* The live entry of the packet, its meta and rest in query; NULL: there is none. */
static __always_inline struct bh_flow_state *fragment_find(struct flow_query *query)
{
	int position = flow_find(query, BH_TABLE_FRAGMENTS);
	struct bh_flow_state *state;
	struct image_view view;

	if (position < 0 || image_open_at(&view, query->generation) != BH_REASON_RULE)
		return NULL;
	state = flow_at(position);
	if (!state || !flow_expired(&view, query->meta, query->tick))
		return state;
	flow_swap(state, query->meta, 0);
	return NULL;
}

/* rest, with a header end that is not below that of another first fragment of the same datagram. */
static __always_inline __u64 fragment_rest(__u64 rest, __u64 other)
{
	return other >> 48 > rest >> 48 ? rest << 16 >> 16 | other >> 48 << 48 : rest;
}

/*
 * Makes an entry that another first fragment has left speak for this one, too: of two with one id
 * the host takes either. False: it has changed meanwhile.
 */
static __always_inline bool fragment_join(struct bh_flow_state *state,
					  const struct flow_query *query, __u64 rest, __u32 flags)
{
	__u64 old = query->rest;

	return __sync_val_compare_and_swap(flow_rest_of(state), old, fragment_rest(rest, old)) ==
		       old &&
	       flow_mark(state, query->meta, flags, BH_FLOW_AUDIT | BH_FLOW_REPLIED, query->tick);
}

/*
 * Enters a first fragment that passes; counts later ones as the decision counts it. One that finds
 * no way is denied. slot: as fragment_carry says, here and below.
 */
int fragment_remember(const struct packet *packet, struct decision *decision, __u32 slot);

FLOW_LOOPS int fragment_remember(const struct packet *packet, struct decision *decision, __u32 slot)
{
	__u32 flags = BH_FLOW_LIVE | BH_FLOW_FRAGMENT << BH_FLOW_KIND_SHIFT;
	struct flow_query query = {};
	struct bh_flow_state *state;
	__u64 rest;

	if (!packet || !decision)
		return 0;
	fragment_query(packet, slot, &query);
	if (decision->verdict == BH_WOULD_DENY)
		flags |= BH_FLOW_AUDIT;
	if (decision->by_flow)
		flags |= BH_FLOW_REPLIED;
	rest = flow_rest(decision->generation, decision->row, packet->header_end);
#pragma clang loop unroll(disable)
	for (int i = 0; i < FLOW_TRIES; i++) {
		state = fragment_find(&query);
		if (state && fragment_join(state, &query, rest, flags))
			return 0;
		if (state)
			continue;
		query.meta = flow_meta(query.hash, flags, query.tick);
		query.rest = rest;
		if (flow_insert(&query, BH_TABLE_FRAGMENTS) < 0)
			break;
		if (query.found == FLOW_ALONE)
			return 0;
		rest = fragment_rest(rest, query.rest);
	}
	decision_by_reason(decision, packet->direction, BH_REASON_FRAGMENT_FULL, BH_DENY);
	return 0;
}

/*
 * A later fragment passes as its first one did and counts where that one counts, else is denied by
 * fragment-unknown or fragment-overlap. After a flip it counts as existing-flow: what it completes
 * was admitted before; what audit alone admitted was not. Fills the whole decision; the policy is
 * not asked.
 */
int fragment_recall(const struct packet *packet, struct decision *decision, __u32 slot);

__attribute__((noinline)) int fragment_recall(const struct packet *packet,
					      struct decision *decision, __u32 slot)
{
	struct flow_query query = {};
	struct bh_flow_state *state;
	__u32 flags;
	bool now;

	if (!packet || !decision)
		return 0;
	decision_by_reason(decision, packet->direction, BH_REASON_FRAGMENT_UNKNOWN, BH_DENY);
	fragment_query(packet, slot, &query);
	state = fragment_find(&query);
	flags = flow_flags(query.meta);
	now = (__u32)query.rest == (__u32)decision->generation;
	if (!state || (flags & BH_FLOW_AUDIT && !now))
		return 0;
	if (packet->fragment_offset < query.rest >> 48) {
		decision_by_reason(decision, packet->direction, BH_REASON_FRAGMENT_OVERLAP,
				   BH_DENY);
		return 0;
	}
	if (!now) {
		decision_by_reason(decision, packet->direction, BH_REASON_EXISTING_FLOW, BH_ALLOW);
		return 0;
	}
	decision_by_row(decision, query.rest >> 32, flags & BH_FLOW_AUDIT);
	decision->by_flow = (flags & BH_FLOW_REPLIED) != 0;
	return 0;
}

/* What track_carry is for flows; by itself, because the stack is short. The slot in which to look. */
int fragment_carry(const struct packet *packet, __u64 generation);

__attribute__((noinline)) int fragment_carry(const struct packet *packet, __u64 generation)
{
	struct flow_query query = {};
	int moves = flow_moves(generation);

	if (!packet || moves == FLOW_STAYS)
		return generation & 1;
	fragment_query(packet, generation + (moves == FLOW_GOES), &query);
	flow_carry(&query, BH_TABLE_FRAGMENTS);
	return query.generation & 1;
}

static __always_inline void fragment_enter(const struct packet *packet, struct decision *decision)
{
	fragment_remember(packet, decision, fragment_carry(packet, decision->generation) & 1);
}

static __always_inline void fragment_follow(const struct packet *packet, struct decision *decision)
{
	fragment_recall(packet, decision, fragment_carry(packet, decision->generation) & 1);
}

#endif
