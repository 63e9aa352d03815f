// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hooks. Each program is parse, decide, report, return: one exit, so that nothing is decided
 * without being counted. Which generation judges is read once.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

#include "bpf/checksum.bpf.h"
#include "bpf/decide.bpf.h"
#include "bpf/flowcarry.bpf.h"
#include "bpf/frame.bpf.h"
#include "bpf/icmp.bpf.h"
#include "bpf/packet.bpf.h"
#include "bpf/parse.bpf.h"
#include "bpf/report.bpf.h"

/* What report says is added to the action that drops. */
_Static_assert(XDP_PASS == XDP_DROP + 1, "1 is to pass");

/* Denied where the linear part may have ended too early: far looks at the whole frame again. */
static __always_inline bool is_cut(enum bh_reason reason, __u32 linear, __u32 length)
{
	return linear < length && reason != BH_REASON_RULE && !decide_is_never(reason);
}

static __always_inline struct packet xdp_packet(const struct xdp_md *ctx, __u32 length)
{
	return (struct packet){
		.direction = BH_IN,
		.hook = BH_HOOK_XDP,
		.ifindex = ctx->ingress_ifindex,
		.length = length,
		.packets = 1,
	};
}

/* packets stays 0 where the stack does not say how many segments it holds: parse counts them. */
static __always_inline struct packet skb_packet(const struct __sk_buff *ctx, enum bh_hook hook,
						__u32 length)
{
	return (struct packet){
		.direction = hook == BH_HOOK_TC_IN ? BH_IN : BH_OUT,
		.hook = hook,
		.ifindex = ctx->ifindex,
		.length = length,
		.packets = ctx->gso_segs,
	};
}

/* Parses, and judges an ICMP error by what it quotes. */
static __always_inline enum bh_reason xdp_parse(struct xdp_md *ctx, __u64 generation,
						struct packet *packet)
{
	struct packet *quoted;
	enum bh_reason reason = parse_xdp(ctx, packet);

	if (reason != BH_REASON_RULE || !packet->icmp_error)
		return reason;
	quoted = icmp_quoted();
	reason = quoted ? icmp_quote_xdp(ctx, packet, quoted) : BH_REASON_ICMP_ERROR_UNKNOWN;
	return reason == BH_REASON_RULE ? icmp_judge(quoted, generation) : reason;
}

static __always_inline enum bh_reason frags_parse(struct xdp_md *ctx, __u64 generation,
						  struct packet *packet)
{
	struct packet *quoted;
	enum bh_reason reason = parse_xdp_near(ctx, packet);

	if (is_cut(reason, frame_xdp(ctx, FRAME_XDP).length, packet->length)) {
		*packet = xdp_packet(ctx, packet->length);
		reason = parse_xdp_far(ctx, packet);
	}
	if (reason != BH_REASON_RULE || !packet->icmp_error)
		return reason;
	quoted = icmp_quoted();
	reason = quoted ? icmp_quote_xdp_far(ctx, packet, quoted) : BH_REASON_ICMP_ERROR_UNKNOWN;
	return reason == BH_REASON_RULE ? icmp_judge(quoted, generation) : reason;
}

/*
 * What leaves may lie in memory that its sender has mapped and goes on writing to (PACKET_TX_RING; a guest
 * whose frames are not copied): all that is looked at becomes the kernel's own before. False: no memory.
 */
static __always_inline bool skb_hold(struct __sk_buff *ctx)
{
	__u32 most = FRAME_OFFSET_MASK + FRAME_HEADER_MAX;

	return !bpf_skb_pull_data(ctx, ctx->len < most ? ctx->len : most);
}

static __always_inline enum bh_reason skb_parse(struct __sk_buff *ctx, enum bh_hook hook,
						__u64 generation, struct packet *packet)
{
	struct packet *quoted;
	__u32 length = packet->length;
	__u32 linear = frame_linear((void *)(long)ctx->data, (void *)(long)ctx->data_end);
	enum bh_reason reason = parse_skb_near(ctx, packet);

	if (is_cut(reason, linear, ctx->len)) {
		if (hook == BH_HOOK_TC_OUT && !skb_hold(ctx))
			return reason;
		*packet = skb_packet(ctx, hook, length);
		reason = hook == BH_HOOK_TC_OUT ? parse_skb_near(ctx, packet)
						: parse_skb_far(ctx, packet);
	}
	if (reason != BH_REASON_RULE || !packet->icmp_error)
		return reason;
	if (hook == BH_HOOK_TC_OUT && !skb_hold(ctx))
		return BH_REASON_ICMP_ERROR_UNKNOWN;
	quoted = icmp_quoted();
	reason = quoted ? icmp_quote_skb(ctx, packet, quoted) : BH_REASON_ICMP_ERROR_UNKNOWN;
	return reason == BH_REASON_RULE ? icmp_judge(quoted, generation) : reason;
}

SEC("xdp")
int bh_xdp(struct xdp_md *ctx)
{
	struct packet packet = xdp_packet(ctx, frame_xdp(ctx, FRAME_XDP).length);
	struct decision decision = {.generation = decide_generation()};
	enum bh_reason reason = xdp_parse(ctx, decision.generation, &packet);

	decide(&packet, reason, &decision);
	return XDP_DROP + report(&packet, &decision);
}

/* For kernels from 5.18: frames of several buffers. */
SEC("xdp.frags")
int bh_xdp_frags(struct xdp_md *ctx)
{
	struct packet packet = xdp_packet(ctx, frame_xdp(ctx, FRAME_XDP_FAR).length);
	struct decision decision = {.generation = decide_generation()};
	enum bh_reason reason = frags_parse(ctx, decision.generation, &packet);

	decide(&packet, reason, &decision);
	return XDP_DROP + report(&packet, &decision);
}

SEC("tc")
int bh_tc_in(struct __sk_buff *ctx)
{
	struct packet packet = skb_packet(ctx, BH_HOOK_TC_IN, ctx->len);
	struct decision decision = {.generation = decide_generation()};
	enum bh_reason reason = skb_parse(ctx, BH_HOOK_TC_IN, decision.generation, &packet);

	decide(&packet, reason, &decision);
	return TC_ACT_SHOT + (TC_ACT_UNSPEC - TC_ACT_SHOT) * (int)report(&packet, &decision);
}

SEC("tc")
int bh_tc_out(struct __sk_buff *ctx)
{
	struct packet packet = skb_packet(ctx, BH_HOOK_TC_OUT, ctx->wire_len);
	struct decision decision = {.generation = decide_generation()};
	enum bh_reason reason = skb_parse(ctx, BH_HOOK_TC_OUT, decision.generation, &packet);
	enum bh_reason open = checksum_check(ctx, &packet);

	if (open != BH_REASON_RULE && (reason == BH_REASON_RULE || decide_is_never(reason)))
		reason = open;

	decide(&packet, reason, &decision);
	return TC_ACT_SHOT + (TC_ACT_UNSPEC - TC_ACT_SHOT) * (int)report(&packet, &decision);
}

/* On no hook: the loader runs it, with an order in the place of a frame. */
SEC("tc")
int bh_carry(struct __sk_buff *ctx)
{
	const struct bh_carry_order *order = (void *)(long)ctx->data;

	if ((void *)(order + 1) > (void *)(long)ctx->data_end)
		return 0;
	return flow_carry_obey(order);
}

char LICENSE[] SEC("license") = "GPL";
