/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a packet is worth by itself: the policy's word, as the decision of the image's outcome.
 * The entry asks it for the packet, track for the tuple that opened a flow.
 */
#ifndef BPF_JUDGE_BPF_H
#define BPF_JUDGE_BPF_H

#include "bpf/classify.bpf.h"
#include "bpf/decision.bpf.h"
#include "bpf/image.bpf.h"
#include "bpf/packet.bpf.h"

/*
 * Fills row, outcome, rule, verdict, reason and flags of the decision; by_flow, opened and
 * behind become 0. A table that is missing denies.
 */
static __always_inline void judge(const struct packet *packet, const struct image_view *view,
				  struct decision *decision)
{
	const struct bh_outcome *outcome = NULL;
	__u32 id;

	if (classify(view, packet, &id) == BH_REASON_RULE)
		outcome = image_outcome(view, id);
	if (!outcome) {
		decision_by_reason(decision, packet->direction, BH_REASON_IMAGE_FAULT, BH_DENY);
		return;
	}
	decision->row = BH_FIXED_ROWS + id;
	decision->outcome = id;
	decision->rule = outcome->rule;
	decision->behind = 0;
	decision->verdict = outcome->verdict & 0xf;
	decision->reason = outcome->reason;
	decision->flags = outcome->flags;
	decision->by_flow = 0;
	decision->opened = 0;
}

#endif
