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

static __always_inline void judge_fault(const struct packet *packet, struct decision *decision)
{
	decision_by_reason(decision, packet->direction, BH_REASON_IMAGE_FAULT, BH_DENY);
}

/* The policy's word by its outcome. */
static __always_inline void judge_outcome(const struct packet *packet,
					  const struct image_view *view, __u32 id,
					  struct decision *decision)
{
	const struct bh_outcome *outcome = image_outcome(view, id);

	if (!outcome) {
		judge_fault(packet, decision);
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
 * The decision, or the classes for classify_by_bits where the image has bits. What is never a
 * rule's business but has state is decided here too; a table that is missing denies.
 */
static __always_inline __u64 judge_begin(const struct packet *packet, const struct image_view *view,
					 struct decision *decision)
{
	enum bh_reason tracked = never_ip_tracked(packet, &image_head(view)->config);
	__u64 outcome;

	if (tracked != BH_REASON_RULE) {
		decision_by_reason(decision, packet->direction, tracked, BH_ALLOW);
		return 0;
	}
	if (classify(view, packet, &outcome) != BH_REASON_RULE) {
		judge_fault(packet, decision);
		return 0;
	}
	if (outcome & CLASSIFY_BITS)
		return outcome;
	judge_outcome(packet, view, outcome, decision);
	return 0;
}

/*
 * Fills row, outcome, rule, verdict, reason and flags of the decision; by_flow and behind become 0.
 */
static __always_inline void judge_by(const struct packet *packet, const struct image_view *view,
				     struct decision *decision)
{
	__u64 classes = judge_begin(packet, view, decision);
	int outcome;

	if (classes) {
		outcome = classify_by_bits(view->generation, classes, packet->direction);
		if (outcome < 0)
			judge_fault(packet, decision);
		else
			judge_outcome(packet, view, outcome, decision);
	}
	decision_audit(&image_head(view)->config, decision);
}

/* The same for a packet that the hook has just parsed. view: of the decision's generation. */
#ifdef BH_SHORT_STACK
int judge_apart(const struct packet *packet, struct decision *decision);

__attribute__((noinline)) int judge_apart(const struct packet *packet, struct decision *decision)
{
	struct image_view view;

	if (!packet || !decision)
		return 0;
	if (image_open_at(&view, decision->generation) == BH_REASON_RULE)
		judge_by(packet, &view, decision);
	else
		judge_fault(packet, decision);
	return 0;
}
#define judge(packet, view, decision) ((void)(view), (void)judge_apart(packet, decision))
#else
#define judge(packet, view, decision) judge_by(packet, view, decision)
#endif

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

/*
 * outcome below 0: not asked for yet. Classes as judge_begin gives them are for the caller to turn
 * into an outcome and to call again with it: a call from here would be too deep for the stack.
 */
__u64 judge_again(const struct packet *packet, __u64 generation, int outcome);

__attribute__((noinline)) __u64 judge_again(const struct packet *packet, __u64 generation,
					    int outcome)
{
	struct decision decision = {.verdict = BH_DENY};
	struct image_view view;
	__u64 classes;

	if (packet && image_open_at(&view, generation) == BH_REASON_RULE) {
		if (outcome >= 0) {
			judge_outcome(packet, &view, outcome, &decision);
		} else {
			classes = judge_begin(packet, &view, &decision);
			if (classes)
				return classes;
		}
		decision_audit(&image_head(&view)->config, &decision);
	}
	return judged(&decision);
}

/* What the policy says of a tuple that is not the packet's own. */
static __always_inline __u32 judge_other(const struct packet *packet, __u64 generation)
{
	__u64 said = judge_again(packet, generation, -1);
	int outcome;

	if (said & CLASSIFY_BITS) {
		outcome = classify_by_bits(generation, said, packet->direction);
		if (outcome < 0) /* a page is missing: deny */
			return JUDGED |
			       decision_reason_row(BH_REASON_IMAGE_FAULT, packet->direction);
		said = judge_again(packet, generation, outcome);
	}
	return said;
}

#endif
