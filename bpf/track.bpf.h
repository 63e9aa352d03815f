/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * State: the policy judges the opening direction, a flow lets replies through. The entry calls
 * track() for every whole packet or first fragment that judge() has judged, track_later() for
 * later fragments, and track_known() for what an ICMP error quotes. docs/states.md is the table.
 */
#ifndef BPF_TRACK_BPF_H
#define BPF_TRACK_BPF_H

#include "bpf/clock.bpf.h"
#include "bpf/decision.bpf.h"
#include "bpf/image.bpf.h"
#include "bpf/judge.bpf.h"
#include "bpf/packet.bpf.h"

/*
 * Settles a decision that judge() has begun. Reads generation, row, verdict, reason, flags.
 *
 * Admitted (allow, would-deny): the flow is touched, promoted or opened; opened says so. A
 * would-deny that turns out to be the reply of a flow becomes what that flow says. A SYN for
 * which no way can be claimed is denied by flow-table-full.
 * Denied: if it is the reply of a live flow, it passes: verdict allow, or would-deny when audit
 * admitted the flow; by_flow 1, row the admitting one's, outcome, rule and reason accordingly. A flow that
 * existing_flows keeps counts as existing-flow. Otherwise the decision stays as it was.
 * First fragment: when it passes, its later ones may; when no way is left, fragment-full.
 *
 * packet->family is 4 or 6, the ports and tcp_flags are those of the packet, fragment is not
 * PACKET_LATER. Both structs are initialised to the last byte: separately verified functions
 * get them.
 */
static __always_inline void track(const struct packet *packet, const struct image_view *view,
				  struct decision *decision)
{
	(void)packet;
	(void)view;
	(void)decision;
}

/*
 * A PACKET_LATER: passes as its first one did and counts where that one counts, else is denied by
 * fragment-unknown or fragment-overlap. Fills the whole decision; the policy is not asked.
 */
static __always_inline void track_later(const struct packet *packet, const struct image_view *view,
					struct decision *decision)
{
	(void)view;
	decision_by_reason(decision, packet->direction, BH_REASON_FRAGMENT_UNKNOWN, BH_DENY);
}

/*
 * Whether a live flow has this tuple, in either orientation; for the packet that an ICMP error
 * quotes, in the direction in which that one went. Changes nothing. An entry of an older
 * generation counts if its opening tuple is allowed now, or it would be kept; one of audit
 * does not. A global function.
 */
int track_known(const struct packet *quoted, __u64 generation);

__attribute__((noinline)) int track_known(const struct packet *quoted, __u64 generation)
{
	return quoted && !generation ? 1 : 0;
}

#endif
