/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The order of things for one packet: a generation must be in force; what parse refuses; the
 * never-denied list; ICMP errors; later fragments; the policy; its flow. Every way ends in a
 * decision that is complete.
 */
#ifndef BPF_DECIDE_BPF_H
#define BPF_DECIDE_BPF_H

#include <stdbool.h>

#include "bpf/abi.h"
#include "bpf/decision.bpf.h"
#include "bpf/fragment.bpf.h"
#include "bpf/image.bpf.h"
#include "bpf/judge.bpf.h"
#include "bpf/never.bpf.h"
#include "bpf/packet.bpf.h"
#include "bpf/track.bpf.h"

/* Bit r: reason r is of the never-denied list. */
#define DECIDE_BITS_ALLOW(reason) 0ULL
#define DECIDE_BITS_DENY(reason)  0ULL
#define DECIDE_BITS_NEVER(reason) (1ULL << (reason))

static __always_inline bool decide_is_never(enum bh_reason reason)
{
#define X(kind, constant, name) DECIDE_BITS_##kind(BH_REASON_##constant) |
	return (BH_REASONS(X) 0) >> reason & 1;
#undef X
}

/* Reads, once, which generation judges the packet. */
static __always_inline __u64 decide_generation(void)
{
	__u32 key = 0;
	const struct bh_active *active = bpf_map_lookup_elem(&bh_active, &key);

	return active ? active->generation : 0;
}

/* By a reason alone; a reason of the never-denied list lets the packet pass. */
static __always_inline void decide_by_reason(const struct packet *packet,
					     const struct bh_config *config, enum bh_reason reason,
					     struct decision *decision)
{
	bool never = decide_is_never(reason);

	decision_by_reason(decision, packet->direction, reason, never ? BH_ALLOW : BH_DENY);
	decision_audit(config, decision);
}

/*
 * A first fragment of a lease, or of an ICMP error, is remembered for its later ones, which carry no ports and no
 * quote. What else is never denied comes whole, or its fragments are for nobody. It passes though no way
 * may be left. What an error quotes was judged: nothing may be written over it.
 */
static __always_inline void decide_first(struct packet *packet, const struct bh_config *config,
					 enum bh_reason reason, struct decision *decision)
{
	if (reason == BH_REASON_ICMP_ERRORS)
		packet->header_end += packet->l4_size - PACKET_ICMP_HEADER;
	else if (reason != BH_REASON_DHCP && reason != BH_REASON_DHCPV6)
		return;
	fragment_enter(packet, decision);
	decide_by_reason(packet, config, reason, decision);
}

/* The policy's word and the flow's, for what only they decide. */
static __always_inline void decide_by_policy(struct packet *packet, const struct image_view *view,
					     const struct bh_config *config,
					     struct decision *decision)
{
	struct quick quick = {.position = FLOW_NONE};

	if (packet->fragment == PACKET_LATER) {
		fragment_follow(packet, decision);
		decision_audit(config, decision);
		return;
	}
	/* A SYN is no packet of a flow that goes on: where it is denied, no table need be read. */
	if (!quick_has_ports(packet) || quick_opens(packet) ||
	    !quick_goes_on(packet, decision, &quick)) {
		judge(packet, view, decision);
		if (decision->reason != BH_REASON_IMAGE_FAULT)
			track(packet, &quick, decision);
	}
	if (packet->fragment == PACKET_FIRST && decision->verdict != BH_DENY)
		fragment_enter(packet, decision);
	decision_audit(config, decision);
}

/*
 * Which reason decides before the policy is asked; BH_REASON_RULE: none. reason is what parse, or
 * for an ICMP error what icmp found.
 */
static __always_inline enum bh_reason
decide_before(const struct packet *packet, const struct bh_config *config, enum bh_reason reason)
{
	if (packet->loopback && never_is_on(config, BH_REASON_LOOPBACK))
		return BH_REASON_LOOPBACK;
	if (!packet->family)
		return never_is_on(config, reason) ? reason : BH_REASON_NOT_IP;
	if (reason == BH_REASON_RULE)
		return never_ip(packet, config);
	if (packet->icmp_error && !never_is_on(config, BH_REASON_ICMP_ERRORS) &&
	    (reason == BH_REASON_ICMP_ERRORS || reason == BH_REASON_ICMP_ERROR_UNKNOWN ||
	     reason == BH_REASON_ICMP_ERROR_NESTED))
		return BH_REASON_RULE;
	return reason;
}

/* decision->generation is set. The only function that settles a packet. */
static __always_inline void decide(struct packet *packet, enum bh_reason reason,
				   struct decision *decision)
{
	const struct bh_config *config;
	struct image_view view;

	decision_by_reason(decision, packet->direction, BH_REASON_NO_POLICY, BH_DENY);
	if ((__s64)decision->generation <= 0) {
		if (decision->generation == BH_ACTIVE_OPEN) {
			decision->verdict = BH_ALLOW;
			decision->row = BH_NO_ROW;
		}
		return;
	}
	if (image_open_at(&view, decision->generation) != BH_REASON_RULE) {
		decision_by_reason(decision, packet->direction, BH_REASON_IMAGE_FAULT, BH_DENY);
		return;
	}
	config = &image_head(&view)->config;
	reason = decide_before(packet, config, reason);
	barrier(); /* the verifier forgets what led here, and looks at the rest once */
	if (reason == BH_REASON_RULE) {
		decide_by_policy(packet, &view, config, decision);
		return;
	}
	decide_by_reason(packet, config, reason, decision);
	if (packet->fragment == PACKET_FIRST)
		decide_first(packet, config, reason, decision);
}

#endif
