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
#include "bpf/never.bpf.h"
#include "bpf/packet.bpf.h"

/* The policy's word; a table that is missing denies. */
static __always_inline void judge_policy(const struct packet *packet, const struct image_view *view,
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
}

/*
 * Fills row, outcome, rule, verdict, reason and flags of the decision; by_flow and behind become 0.
 * What is never a rule's business but has state is decided here too. Under host.yaml's
 * audit nothing is denied.
 */
static __always_inline void judge(const struct packet *packet, const struct image_view *view,
				  struct decision *decision)
{
	const struct bh_config *config = &image_head(view)->config;
	enum bh_reason tracked = never_ip_tracked(packet, config);

	if (tracked != BH_REASON_RULE)
		decision_by_reason(decision, packet->direction, tracked, BH_ALLOW);
	else
		judge_policy(packet, view, decision);
	decision_audit(config, decision);
}

/*
 * The same for a tuple that is not the packet's own: what opened a flow, or what an ICMP error
 * quotes. In one word, since the stack is short: row, verdict, flags, and a bit that says that it
 * has been asked for. A global function, verified once and called where it is needed.
 */
#define JUDGED_ROW(judged)     ((__u16)(judged))
#define JUDGED_VERDICT(judged) ((judged) >> 16 & 0xf)
#define JUDGED_FLAGS(judged)   ((judged) >> 20 & 0xff)
#define JUDGED		       (1U << 28)

static __always_inline __u32 judged(const struct decision *decision)
{
	return JUDGED | (__u32)decision->flags << 20 | (__u32)(decision->verdict & 0xf) << 16 |
	       decision->row;
}

int judge_again(const struct packet *packet, __u64 generation);

__attribute__((noinline)) int judge_again(const struct packet *packet, __u64 generation)
{
	struct decision decision = {.verdict = BH_DENY};
	struct image_view view;

	if (packet && image_open_at(&view, generation) == BH_REASON_RULE)
		judge(packet, &view, &decision);
	return judged(&decision);
}

#endif
