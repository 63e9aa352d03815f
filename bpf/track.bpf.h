/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * State: the policy judges the opening direction, a flow lets replies through. The entry calls
 * track() for every whole packet or first fragment that judge() has judged, and track_known() for
 * what an ICMP error quotes. What a packet does to an entry is bpf/states.bpf.h's, how a
 * packet finds its entry bpf/flowkey.bpf.h's.
 */
#ifndef BPF_TRACK_BPF_H
#define BPF_TRACK_BPF_H

#include <linux/in.h>

#include "bpf/clock.bpf.h"
#include "bpf/decision.bpf.h"
#include "bpf/flowcarry.bpf.h"
#include "bpf/flowinsert.bpf.h"
#include "bpf/flowkey.bpf.h"
#include "bpf/flowtable.bpf.h"
#include "bpf/image.bpf.h"
#include "bpf/judge.bpf.h"
#include "bpf/packet.bpf.h"
#include "bpf/quick.bpf.h"
#include "bpf/states.bpf.h"

enum track_met {
	TRACK_NOT_MET, /* there is no entry, or no longer */
	TRACK_MET,
	TRACK_ASKS, /* the opener has to be judged first */
};

/* What track_known answers: one of the first three; what a stale flow is besides. */
enum track_known {
	TRACK_UNKNOWN,
	TRACK_LIVE,
	TRACK_STALE,	 /* live, and not judged since the flip: ask the policy about its opener */
	TRACK_REPLY = 4, /* asked about was a reply of it: the opener is that one turned around */
	TRACK_KEEPS = 8, /* a deny that keeps existing flows does not end it */
};

/* ---- after a flip ---- */

/* Whether existing_flows: keep speaks of a flow: it is established, and not by audit alone. */
static __always_inline bool track_keeps(__u32 flags)
{
	return (flags & (BH_FLOW_ESTABLISHED | BH_FLOW_AUDIT)) == BH_FLOW_ESTABLISHED;
}

/*
 * Meta and rest of an entry of another generation as the verdict on its opening tuple makes
 * them. False: its flow is denied.
 */
static __always_inline bool track_rejudged(__u32 opening, __u32 generation,
					   struct flow_query *query)
{
	__u32 flags = flow_flags(query->meta);
	__u64 set = 0;
	__u16 row = JUDGED_ROW(opening);
	__u32 behind = flags & BH_FLOW_ESTABLISHED ? 0 : query->rest >> 48;

	if (JUDGED_VERDICT(opening) != BH_ALLOW && JUDGED_FLAGS(opening) & BH_OUTCOME_KEEP &&
	    track_keeps(flags)) {
		set = BH_FLOW_KEPT;
		row = query->rest >> 32;
		behind = (query->rest >> 48) + (generation - (__u32)query->rest);
		if (behind > 0xffff)
			behind = 0xffff;
	} else if (JUDGED_VERDICT(opening) == BH_WOULD_DENY) {
		set = BH_FLOW_AUDIT;
	} else if (JUDGED_VERDICT(opening) != BH_ALLOW) {
		return false;
	}
	query->meta &= ~((__u64)(BH_FLOW_AUDIT | BH_FLOW_KEPT | BH_FLOW_ANSWERS) << 32);
	query->meta |= set << 32;
	query->rest = flow_rest(generation, row, behind);
	return true;
}

/*
 * Ends a flow that the policy denies by now. That of a TCP connection stays as one that is cut: were
 * it forgotten, the next segment of its replier, which a rule of the other direction may well allow,
 * would be picked up as if that had opened it, and all that the opener sends would pass as its answer.
 */
static __always_inline void track_end(const struct flow_query *query, struct bh_flow_state *state)
{
	const __u32 kinds = 7 << BH_FLOW_KIND_SHIFT;
	const __u32 clear = 0xffff & ~(BH_FLOW_LIVE | BH_FLOW_OUT);

	_Static_assert(BH_FLOW_KIND_COUNT <= 8, "three bits");
	if (flow_flags(query->meta) & kinds)
		flow_release(state, query->meta);
	else
		flow_mark(state, query->meta, BH_FLOW_CLOSING | BH_FLOW_CUT << BH_FLOW_KIND_SHIFT,
			  clear, query->tick);
	note(BH_NOTE_FLOW_ENDED);
}

/*
 * Brings an entry of another generation up to date. False: its flow has ended. A packet that
 * began before the flip judges a newer entry for itself and leaves it alone.
 */
static __always_inline bool track_renew(__u32 opening, __u32 generation, struct flow_query *query,
					struct bh_flow_state *state)
{
	const __u64 marks = (__u64)(BH_FLOW_AUDIT | BH_FLOW_KEPT | BH_FLOW_ANSWERS) << 32;
	bool newer = (__s32)((__u32)query->rest - generation) > 0;
	__u64 meta = query->meta;
	__u64 rest = query->rest;
	__u64 marked, found;

	if (!track_rejudged(opening, generation, query)) {
		if (!newer)
			track_end(query, state);
		return false;
	}
	/*
	 * Marks first: under the old generation the next packet judges the entry again, also where
	 * another has just touched it. Where a newer one has judged it meanwhile they go back, unless
	 * that one has found them there and wants the same; of its own generation all want the same.
	 */
	marked = (meta & ~marks) | (query->meta & marks);
	if (newer || (marked != meta && !flow_swap(state, meta, marked)))
		return true;
	found = __sync_val_compare_and_swap(flow_rest_of(state), rest, query->rest);
	if (found != rest && (__s32)((__u32)found - generation) > 0)
		flow_swap(state, marked, meta);
	return true;
}

/* ---- a packet that meets an entry ---- */

/*
 * Whether a packet that the policy does not plainly admit passes because of the entry; then,
 * and for an opener whose flow is audit's, it also acts on it.
 */
static __always_inline bool track_passes(const struct packet *packet, struct decision *decision,
					 const struct flow_query *query, __u32 step)
{
	__u32 flags = flow_flags(query->meta);
	bool opener = flowkey_is_opener(packet, flags);

	if (flags & BH_FLOW_KEPT && step & (opener ? STATES_DATES : STATES_PASSES)) {
		decision_by_reason(decision, packet->direction, BH_REASON_EXISTING_FLOW, BH_ALLOW);
		return true;
	}
	if (!opener && step & STATES_PASSES) {
		decision_by_row(decision, query->rest >> 32, flags & BH_FLOW_AUDIT);
		decision->by_flow = 1;
		return true;
	}
	return decision->verdict == BH_WOULD_DENY && (opener || step & STATES_REOPENS);
}

/* A new flow in the place of one that has ended. */
static __always_inline void track_reopen(const struct packet *packet, struct decision *decision,
					 const struct flow_query *query,
					 struct bh_flow_state *state, __u32 flags)
{
	if (packet->direction == BH_OUT)
		flags |= BH_FLOW_OUT;
	if (decision->verdict == BH_WOULD_DENY)
		flags |= BH_FLOW_AUDIT;
	if (!flow_swap(state, query->meta, flow_meta(query->hash, flags, query->tick)))
		return;
	flow_set_opened(state, query->wide, query->tick >> BH_OPENED_SHIFT);
	__sync_lock_test_and_set(flow_rest_of(state),
				 flow_rest(decision->generation, decision->row, 0));
	decision->opened = 1;
}

/*
 * What a SYN begins anew. Two forged packets, RST and SYN, may have led here: the replier of a flow that
 * was answered may go on speaking to the same opener, which establishes it again.
 */
static __always_inline __u32 track_anew(const struct packet *packet, __u32 flags)
{
	const __u32 answered = BH_FLOW_CLOSING | BH_FLOW_SYN_ACK | BH_FLOW_PICKED_UP;

	if (flowkey_is_opener(packet, flags) && flags & answered)
		return BH_FLOW_LIVE | BH_FLOW_SYN_ACK;
	return BH_FLOW_LIVE;
}

_Static_assert(BH_FLOW_TCP == 0, "no flag says so");

/* Moves a flow from its half-open way to the established table; 0: it is full. */
static __always_inline bool track_establish(struct flow_query *query, __u32 step,
					    const struct bh_flow_state *from)
{
	__u32 clear = BH_FLOW_SYN_ACK | BH_FLOW_PICKED_UP | BH_FLOW_REPLIED;
	__u32 flags = (flow_flags(query->meta) & ~clear) | (step & 0xffff);
	__u32 opened = flow_opened(from, query->wide);
	struct bh_flow_state *state;
	int position;

	query->meta = flow_meta(query->hash, flags, query->tick);
	query->rest = flow_rest(query->rest, query->rest >> 32, 0);
	position = flow_insert(query, BH_TABLE_ESTABLISHED4 + (query->wide & 1));
	if (position < 0)
		return false;
	state = flow_at(position);
	if (state)
		flow_set_opened(state, query->wide, opened);
	return true;
}

/*
 * Of the first reply its tick, of TCP of each one what acknowledges it; before the flag says that it is there.
 * A flow that is established in its place has none.
 */
static __always_inline void track_note_reply(const struct packet *packet,
					     const struct flow_query *query,
					     struct bh_flow_state *state, __u32 step)
{
	bool tcp = bh_flow_kind(flow_flags(query->meta)) == BH_FLOW_TCP;
	__u16 behind = 0;

	if (step & BH_FLOW_REPLIED) {
		if (!tcp && flow_flags(query->meta) & BH_FLOW_REPLIED)
			return;
		behind = tcp ? packet->expects : query->tick;
	}
	__sync_val_compare_and_swap(flow_rest_of(state), query->rest,
				    flow_rest(query->rest, query->rest >> 32, behind));
}

static __always_inline void track_act(const struct packet *packet, struct decision *decision,
				      struct flow_query *query, struct bh_flow_state *state,
				      __u32 step)
{
	__u64 meta = query->meta;
	__u32 tick = query->tick;

	if (step & STATES_REOPENS) {
		track_reopen(packet, decision, query, state, track_anew(packet, flow_flags(meta)));
		return;
	}
	if (step & STATES_ESTABLISHES && !query->found) {
		if (track_establish(query, step, state)) {
			flow_release(state, meta);
			return;
		}
		note(BH_NOTE_ESTABLISHED_FULL);
		step &= ~(BH_FLOW_ESTABLISHED | BH_FLOW_CLOSING);
	} else if (step & (BH_FLOW_REPLIED | STATES_ESTABLISHES)) {
		track_note_reply(packet, query, state, step);
	}
	if (step & STATES_DATES)
		flow_mark(state, meta, step & 0xffff, step & STATES_LIFTS ? BH_FLOW_CLOSING : 0,
			  tick);
}

/* The flags of the entry that the packet opens; 0: it opens none. */
static __always_inline __u32 track_opens(const struct packet *packet, const struct image_view *view,
					 __u32 kind)
{
	__u32 flags = BH_FLOW_LIVE | kind << BH_FLOW_KIND_SHIFT;

	if (packet->direction == BH_OUT)
		flags |= BH_FLOW_OUT;
	if (kind == BH_FLOW_ECHO)
		return flowkey_is_request(packet) ? flags : 0;
	if (kind != BH_FLOW_TCP)
		return flags;
	if ((packet->tcp_flags & (STATES_SYN | STATES_ACK)) == STATES_SYN)
		return flags;
	if (packet->tcp_flags & (STATES_SYN | STATES_FIN | STATES_RST) ||
	    !image_head(view)->config.tcp_pickup)
		return 0;
	return flags | BH_FLOW_PICKED_UP;
}

/*
 * A packet of a connection that was cut. What the policy allows passes by that alone and opens nothing, as
 * does what it denies; but a SYN begins a new one, and the opener, if it is allowed again, is picked up.
 */
static __always_inline void track_meet_cut(const struct packet *packet,
					   const struct image_view *view, struct decision *decision,
					   const struct flow_query *query,
					   struct bh_flow_state *state)
{
	__u32 flags = track_opens(packet, view, BH_FLOW_TCP);

	if (decision->verdict == BH_DENY)
		return;
	if (flags & BH_FLOW_PICKED_UP && !flowkey_is_opener(packet, flow_flags(query->meta)))
		flags = 0;
	if (flags)
		track_reopen(packet, decision, query, state, flags);
	else
		flow_mark(state, query->meta, 0, 0, query->tick);
}

static __always_inline bool track_is_cut(const struct flow_query *query)
{
	return bh_flow_kind(flow_flags(query->meta)) == BH_FLOW_CUT;
}

/* What the behind of an entry that a reply has passed is compared with. */
static __always_inline __u16 track_behind(const struct packet *packet,
					  const struct flow_query *query)
{
	return bh_flow_kind(flow_flags(query->meta)) == BH_FLOW_TCP ? packet->acknowledges
								    : query->tick;
}

/*
 * What became of a packet and the entry that it has met. opening is what judge_other says of it, or
 * 0. query->found: in the established table.
 */
static __always_inline enum track_met
track_meet(const struct packet *packet, const struct image_view *view, struct decision *decision,
	   __u32 opening, struct flow_query *query, struct bh_flow_state *state)
{
	bool opener = flowkey_is_opener(packet, flow_flags(query->meta));
	__u32 step;

	if (track_is_cut(query)) {
		track_meet_cut(packet, view, decision, query, state);
		return TRACK_MET;
	}
	if ((__u32)query->rest != (__u32)decision->generation) {
		if (!opener && !opening)
			return TRACK_ASKS;
		if (!track_renew(opener ? judged(decision) : opening, decision->generation, query,
				 state))
			return bh_flow_kind(flow_flags(query->meta)) ? TRACK_NOT_MET : TRACK_MET;
	}
	step = states_step(flow_flags(query->meta), packet->tcp_flags, opener,
			   (__u16)(track_behind(packet, query) - (query->rest >> 48)));
	if (decision->verdict == BH_ALLOW || track_passes(packet, decision, query, step))
		track_act(packet, decision, query, state, step);
	return TRACK_MET;
}

/*
 * Searches both tables, drops what is past its time-out, and meets what is not. Half-open entries
 * first: a flow that is just being established is in both tables or in the second, never in none.
 */
static __always_inline enum track_met track_look(const struct packet *packet,
						 struct decision *decision, __u32 opening,
						 struct flow_query *query)
{
	enum track_met met = TRACK_NOT_MET;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < 2 && met == TRACK_NOT_MET; i++) {
		__u32 table = (query->wide & 1) + (i ? BH_TABLE_ESTABLISHED4 : BH_TABLE_HALF_OPEN4);
		int position = flow_find(query, table);
		struct bh_flow_state *state;
		struct image_view view;

		if (position < 0 || image_open_at(&view, query->generation) != BH_REASON_RULE)
			continue;
		state = flow_at(position);
		if (!state)
			continue;
		query->found = i;
		if (flow_expired(&view, query->meta, query->tick))
			flow_swap(state, query->meta, 0);
		else
			met = track_meet(packet, &view, decision, opening, query, state);
	}
	return met;
}

/* ---- a packet that meets none ---- */

/* No way could be claimed: a SYN is refused; others pass, and their replies will be missed. */
static __always_inline void track_full(const struct packet *packet, const struct image_view *view,
				       struct decision *decision, __u32 tick)
{
	struct untracked *at;

	if (decision->verdict == BH_ALLOW && packet->protocol == IPPROTO_TCP &&
	    packet->tcp_flags & STATES_SYN) {
		decision_by_reason(decision, packet->direction, BH_REASON_FLOW_TABLE_FULL,
				   image_head(view)->config.audit ? BH_WOULD_DENY : BH_DENY);
		return;
	}
	note(BH_NOTE_UNTRACKED);
	decision->alone = 1;
	at = flow_untracked();
	if (at)
		at->last = 1ULL << 32 | tick;
}

/*
 * A denied packet without a flow. Within half a minute of one that found no way, if the policy
 * allows its answer, it is likely the reply of such a one, and is noted.
 */
static __always_inline enum track_met track_miss(__u32 opening, __u32 tick)
{
	if (!quick_was_full(tick))
		return TRACK_NOT_MET;
	if (!opening)
		return TRACK_ASKS;
	if (JUDGED_VERDICT(opening) == BH_ALLOW)
		note(BH_NOTE_REPLY_UNTRACKED);
	return TRACK_NOT_MET;
}

static __always_inline void track_open(const struct packet *packet, const struct image_view *view,
				       struct decision *decision, struct flow_query *query,
				       __u32 flags)
{
	struct bh_flow_state *state;
	int position;
	__u64 meta;

	if (decision->verdict == BH_WOULD_DENY)
		flags |= BH_FLOW_AUDIT;
	meta = flow_meta(query->hash, flags, query->tick);
	query->meta = meta;
	query->rest = flow_rest(decision->generation, decision->row, 0);
	position = flow_insert(query, BH_TABLE_HALF_OPEN4 + (query->wide & 1));
	if (position < 0) {
		track_full(packet, view, decision, query->tick);
		return;
	}
	if (query->found == FLOW_THEIRS)
		return;
	/* Another CPU may have established this very flow between our two searches. */
	if (flow_find(query, BH_TABLE_ESTABLISHED4 + (query->wide & 1)) >= 0) {
		state = flow_at(position);
		if (state)
			flow_release(state, meta);
		return;
	}
	decision->opened = 1;
}

/*
 * Everything but the hot path. 1: wants to know what judge_other says of the packet turned around,
 * and to be called again. TRACK_ABSENT in opening: quick has seen that there is no entry.
 * TRACK_MOVED: flows lie in the other slot than the packet's.
 */
#define TRACK_ABSENT (1U << 29)
#define TRACK_MOVED  (1U << 30)
int track_slow(struct packet *packet, struct decision *decision, __u32 opening);

FLOW_LOOPS int track_slow(struct packet *packet, struct decision *decision, __u32 opening)
{
	struct flow_query query = {};
	struct image_view view;
	enum track_met met;
	__u32 kind;

	if (!packet || !decision)
		return 0;
	kind = flowkey_kind(packet);
	if (kind == FLOWKEY_STATELESS) {
		decision->alone = decision->verdict != BH_DENY;
		return 0;
	}
	flowkey_query(packet, kind, decision->generation + (opening / TRACK_MOVED & 1), &query);
	met = TRACK_NOT_MET;
	if (!(opening & TRACK_ABSENT))
		met = track_look(packet, decision, opening, &query);
	opening &= ~(TRACK_ABSENT | TRACK_MOVED);
	if (met == TRACK_NOT_MET && decision->verdict == BH_DENY)
		met = track_miss(opening, query.tick);
	if (met != TRACK_NOT_MET || decision->verdict == BH_DENY)
		return met == TRACK_ASKS;
	if (image_open_at(&view, decision->generation) != BH_REASON_RULE)
		return 0;
	kind = track_opens(packet, &view, kind);
	if (kind)
		track_open(packet, &view, decision, &query, kind);
	else
		decision->alone = 1;
	return 0;
}

/*
 * Before a packet looks for its flow: from the other slot, if it still lies there, it comes to that
 * of the generation in force. 1: that is not the packet's own, which has begun before the flip; it
 * looks there, too. Nothing but at the time of an apply that changes the size of tables. A global
 * function.
 */
int track_carry(const struct packet *packet, __u64 generation);

FLOW_LOOPS int track_carry(const struct packet *packet, __u64 generation)
{
	struct flow_query query = {};
	__u32 moves = flow_moves(generation);
	__u32 kind;

	if (!packet || (__s64)generation <= 0 || !moves)
		return 0;
	moves = moves == FLOW_GOES;
	kind = flowkey_kind(packet);
	if (kind == FLOWKEY_STATELESS)
		return 0;
	flowkey_query(packet, kind, generation + moves, &query);
	flow_carry(&query, BH_TABLE_HALF_OPEN4 + (query.wide & 1));
	flow_carry(&query, BH_TABLE_ESTABLISHED4 + (query.wide & 1));
	return moves;
}

/*
 * Settles a decision that judge() has begun. Reads generation, row, verdict, reason, flags.
 *
 * Admitted (allow, would-deny): the flow is touched, promoted or opened; opened says so. A
 * would-deny that turns out to be the reply of a flow becomes what that flow says. A SYN for
 * which no way can be claimed is denied by flow-table-full.
 * Denied: if it is the reply of a live flow, it passes: verdict allow, or would-deny when audit
 * admitted the flow; by_flow 1, row the admitting one's, outcome, rule and reason accordingly. A
 * flow that existing_flows keeps counts as existing-flow. Otherwise the decision stays as it was.
 *
 * packet->family is 4 or 6, the ports and tcp_flags are those of the packet, fragment is not
 * PACKET_LATER. Both structs are initialised to the last byte: separately verified functions
 * get them, and may turn the packet around for a while.
 */
static __always_inline void track(struct packet *packet, struct quick *quick,
				  struct decision *decision)
{
	bool stateless = decision->verdict == BH_ALLOW && decision->flags & BH_OUTCOME_NO_STATE;
	__u32 opening, known;
	__u16 code;

	if (stateless)
		return;
	if (quick_opens(packet) && decision->verdict != BH_DENY)
		(void)quick_goes_on(packet, decision, quick); /* whether it has an entry already */
	if (quick_has_ports(packet) && quick_settles(packet, quick, decision))
		return;
	known = quick_is_absent(quick) ? TRACK_ABSENT : 0;
	known |= (track_carry(packet, decision->generation) & 1) * TRACK_MOVED;
	if (!track_slow(packet, decision, known))
		return;
	code = packet->class_destination_port;
	flowkey_turn(packet);
	opening = judge_other(packet, decision->generation);
	flowkey_turn(packet);
	packet->class_destination_port = code;
	track_slow(packet, decision, opening | known);
}

/* What is known of a quoted packet by the live entry that query has found. */
static __always_inline int track_known_by(const struct packet *quoted, __u64 generation,
					  const struct flow_query *query)
{
	__u32 flags = flow_flags(query->meta);
	int known = TRACK_STALE;

	if (track_is_cut(query))
		return TRACK_UNKNOWN;
	if ((__u32)query->rest == (__u32)generation)
		return TRACK_LIVE;
	if (!flowkey_is_opener(quoted, flags))
		known |= TRACK_REPLY;
	if (track_keeps(flags))
		known |= TRACK_KEEPS;
	return known;
}

/*
 * Whether a live flow has this tuple, in either orientation: enum track_known. For the packet
 * that an ICMP error quotes, in the direction in which that one went. Changes nothing. moved: what
 * track_carry has said. A global function.
 */
int track_known(const struct packet *quoted, __u64 generation, __u32 moved);

FLOW_LOOPS int track_known(const struct packet *quoted, __u64 generation, __u32 moved)
{
	struct flow_query query = {};
	struct image_view view;
	__u32 kind;

	if (!quoted || image_open_at(&view, generation + moved) != BH_REASON_RULE)
		return TRACK_UNKNOWN;
	kind = flowkey_kind(quoted);
	if (kind == FLOWKEY_STATELESS)
		return TRACK_UNKNOWN;
	flowkey_query(quoted, kind, generation + moved, &query);
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < 2; i++) {
		__u32 table = (query.wide & 1) + (i ? BH_TABLE_ESTABLISHED4 : BH_TABLE_HALF_OPEN4);

		if (flow_find(&query, table) >= 0 && !flow_expired(&view, query.meta, query.tick))
			return track_known_by(quoted, generation, &query);
	}
	return TRACK_UNKNOWN;
}

#endif
