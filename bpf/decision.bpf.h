/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What became of one packet: begun by the entry, settled by whoever decides (parse, never,
 * fragment, icmp, track), counted by report. It lives on the stack of the program and holds no
 * pointers, so that separately verified functions can be handed it.
 */
#ifndef BPF_DECISION_BPF_H
#define BPF_DECISION_BPF_H

#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include "bpf/maps.bpf.h"

#define DECISION_NO_OUTCOME 0xffff

struct decision {
	__u64 generation; /* read once; everything about this packet is of this generation */
	__u16 row;	  /* where it is counted, in the generation less behind */
	__u16 outcome;	  /* id of the policy's outcome; DECISION_NO_OUTCOME: by reason */
	__u16 rule;	  /* the deciding rule, for events; BH_NO_RULE */
	__u16 behind;	  /* kept flows: generations since the admitting one */
	__u8 verdict;	  /* enum bh_verdict */
	__u8 reason;	  /* enum bh_reason */
	__u8 flags;	  /* BH_OUTCOME_* of the outcome */
	__u8 by_flow;	  /* 1: passes as reply of a flow that row admitted */
	__u8 opened;	  /* 1: opened a flow */
	__u8 alone;	  /* 1: allowed, though it is of no flow and opens none */
	__u8 zero[2];
};

/* The row of a reason that has one of its own. */
static __always_inline __u16 decision_reason_row(__u8 reason, __u8 direction)
{
	return reason * BH_DIRECTION_COUNT + direction;
}

/* Decided by a reason of the never-denied list, or refused by one that no rule can change. */
static __always_inline void decision_by_reason(struct decision *decision, __u8 direction,
					       enum bh_reason reason, enum bh_verdict verdict)
{
	decision->row = decision_reason_row(reason, direction);
	decision->outcome = DECISION_NO_OUTCOME;
	decision->rule = BH_NO_RULE;
	decision->behind = 0;
	decision->verdict = verdict;
	decision->reason = reason;
	decision->flags = 0;
	decision->by_flow = 0;
}

/* Passes as what the row has admitted before: later fragments, replies. */
static __always_inline void decision_by_row(struct decision *decision, __u16 row, bool audit)
{
	bool outcome = row >= BH_FIXED_ROWS;

	decision->row = row;
	decision->outcome = outcome ? row - BH_FIXED_ROWS : DECISION_NO_OUTCOME;
	decision->rule = BH_NO_RULE;
	decision->behind = 0;
	decision->verdict = audit ? BH_WOULD_DENY : BH_ALLOW;
	decision->reason = outcome ? BH_REASON_RULE : row / BH_DIRECTION_COUNT;
	decision->flags = 0;
}

/* Under host.yaml's audit (0 or 1) nothing is denied. Without a branch: see flowkey_in. */
static __always_inline void decision_audit(const struct bh_config *config,
					   struct decision *decision)
{
	__u64 verdict = decision->verdict;
	__u64 denied;

	_Static_assert(BH_DENY == 0 && BH_WOULD_DENY == 2, "0 becomes audit's 1, shifted");
	barrier_var(verdict);
	denied = (verdict - 1) >> 63;
	decision->verdict = verdict | (denied & config->audit) << 1;
}

/*
 * 1: the packet passes, else 0. Without a branch: which way it went would be guessed, and a wrong
 * guess costs as much as all look-ups that led to the verdict.
 */
static __always_inline __u32 decision_passes(const struct decision *decision)
{
	__u64 verdict = decision->verdict;

	barrier_var(verdict);
	return (0 - verdict) >> 63;
}

static __always_inline void note(enum bh_note which)
{
	__u32 key = which;
	__u64 *n = bpf_map_lookup_elem(&bh_notes, &key);

	if (n)
		*n += 1;
}

#endif
