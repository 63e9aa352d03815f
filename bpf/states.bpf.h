/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The state machine: what a packet does to the entry that it has met. Flags in, flags out, no
 * memory. docs/datapath.md holds the table of it, and tests/bpf/test_states.c walks through every
 * cell.
 */
#ifndef BPF_STATES_BPF_H
#define BPF_STATES_BPF_H

#include <linux/types.h>

#include "bpf/abi.h"
#include "bpf/clock.bpf.h"

#define STATES_FIN 0x01
#define STATES_SYN 0x02
#define STATES_RST 0x04
#define STATES_ACK 0x10

/* What a packet does to the entry that it has met; the flags that it sets stand in the low half. */
#define STATES_PASSES	   0x10000  /* a reply: it may pass by the flow alone */
#define STATES_DATES	   0x20000  /* it keeps the flow from growing old */
#define STATES_ESTABLISHES 0x40000  /* the flow moves to the established table */
#define STATES_REOPENS	   0x80000  /* a SYN on an ended flow: a new one, its sender the opener */
#define STATES_LIFTS	   0x100000 /* no longer closing */

/* Whether a SYN begins a flow anew: it is closing, or its own opener has seen it end before it began. */
static __always_inline bool states_is_over(__u32 flags, bool opener)
{
	const __u32 ends = BH_FLOW_FIN_OPENER | BH_FLOW_FIN_REPLIER;

	return flags & BH_FLOW_CLOSING ||
	       (opener && flags & ends && !(flags & BH_FLOW_ESTABLISHED));
}

/* A segment that may carry data: it acknowledges, and begins and ends nothing. */
static __always_inline bool states_is_plain(__u32 tcp)
{
	return (tcp & (STATES_SYN | STATES_FIN | STATES_RST | STATES_ACK)) == STATES_ACK;
}

/*
 * What a packet of one end of a flow that is not established does besides. The replier's tell what the
 * opener has to acknowledge; whoever does has seen them, and is no stranger who forges the opener's address.
 */
static __always_inline __u32 states_shake(__u32 flags, __u32 tcp, bool opener, __u16 unseen,
					  __u32 step)
{
	const __u32 ends = BH_FLOW_FIN_OPENER | BH_FLOW_FIN_REPLIER;

	if ((tcp & (STATES_RST | STATES_ACK)) != STATES_ACK)
		return step;
	if (!opener && (flags | step) & (BH_FLOW_SYN_ACK | BH_FLOW_PICKED_UP))
		return step | BH_FLOW_REPLIED;
	if (!opener || tcp & STATES_SYN || !(flags & BH_FLOW_REPLIED) || unseen)
		return step;
	if ((flags | step) & ends)
		step |= BH_FLOW_CLOSING;
	return step | STATES_ESTABLISHES | BH_FLOW_ESTABLISHED;
}

/* unseen: 0 where the packet acknowledges the last one of the replier that has passed. */
static __always_inline __u32 states_step_tcp(__u32 flags, __u32 tcp, bool opener, __u16 unseen)
{
	__u32 side = opener ? BH_FLOW_FIN_OPENER : BH_FLOW_FIN_REPLIER;
	bool established = flags & BH_FLOW_ESTABLISHED;
	bool answered = flags & (BH_FLOW_ESTABLISHED | BH_FLOW_PICKED_UP | BH_FLOW_SYN_ACK);
	__u32 step = STATES_DATES;

	if ((tcp & (STATES_SYN | STATES_ACK)) == STATES_SYN) {
		if (states_is_over(flags, opener))
			return STATES_REOPENS;
		return opener && !established ? STATES_DATES : 0;
	}
	/* An old connection of the replier answers a SYN so, and its opener resets it: RFC 9293, 3.5.1. */
	if (!opener && !answered && states_is_plain(tcp))
		return STATES_PASSES;
	if (flags & (BH_FLOW_ESTABLISHED | BH_FLOW_PICKED_UP) || tcp & (STATES_SYN | STATES_RST) ||
	    (answered && tcp & STATES_ACK))
		step |= STATES_PASSES;
	if (!opener && !established && tcp & STATES_SYN)
		step |= BH_FLOW_SYN_ACK;
	if (tcp & (STATES_FIN | STATES_RST))
		step |= side | (established ? BH_FLOW_CLOSING : 0);
	else if (!(flags & side))
		step |= STATES_LIFTS;
	return established ? step : states_shake(flags, tcp, opener, unseen, step);
}

/* since: ticks since the first reply. */
static __always_inline __u32 states_step_other(__u32 flags, __u16 since, bool opener)
{
	if (flags & BH_FLOW_ESTABLISHED)
		return STATES_DATES | STATES_PASSES;
	if (!opener)
		return STATES_DATES | STATES_PASSES | BH_FLOW_REPLIED;
	if (flags & BH_FLOW_REPLIED && since > clock_ticks(2))
		return STATES_DATES | STATES_ESTABLISHES | BH_FLOW_ESTABLISHED;
	return STATES_DATES;
}

/*
 * The whole state table: what a packet with these TCP flags, from the opener or not, does to an
 * entry with these flags. since: what has become of the behind of its BH_FLOW_REPLIED, ticks or unseen.
 * A global function, because its many ways would multiply what comes behind it.
 */
int states_step(__u32 flags, __u32 tcp, __u32 opener, __u32 since);

__attribute__((noinline)) int states_step(__u32 flags, __u32 tcp, __u32 opener, __u32 since)
{
	if (bh_flow_kind(flags) == BH_FLOW_TCP)
		return states_step_tcp(flags, tcp, opener, since);
	return states_step_other(flags, since, opener);
}

#endif
