// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hooks. Each program is parse, judge, report, return: one exit, so that nothing is decided
 * without being counted. A program without a generation denies.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

#include "bpf/decision.bpf.h"
#include "bpf/maps.bpf.h"
#include "bpf/packet.bpf.h"
#include "bpf/report.bpf.h"

static __always_inline void begin(struct packet *packet, struct decision *decision)
{
	__u32 key = 0;
	const struct bh_active *active = bpf_map_lookup_elem(&bh_active, &key);

	if (active)
		decision->generation = active->generation;
	decision_by_reason(decision, packet->direction, BH_REASON_NO_POLICY, BH_DENY);
}

/* Bytes of the linear part; a difference of packet pointers has to be taken in 64 bits. */
static __always_inline __u64 xdp_linear(const struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u64 len = end - data;

	barrier_var(len);
	return len;
}

SEC("xdp")
int bh_xdp(struct xdp_md *ctx)
{
	struct packet packet = {
		.direction = BH_IN,
		.hook = BH_HOOK_XDP,
		.ifindex = ctx->ingress_ifindex,
		.length = xdp_linear(ctx),
		.packets = 1,
	};
	struct decision decision = {};

	begin(&packet, &decision);
	return report(&packet, &decision) ? XDP_PASS : XDP_DROP;
}

SEC("xdp.frags")
int bh_xdp_frags(struct xdp_md *ctx)
{
	struct packet packet = {
		.direction = BH_IN,
		.hook = BH_HOOK_XDP,
		.ifindex = ctx->ingress_ifindex,
		.length = bpf_xdp_get_buff_len(ctx),
		.packets = 1,
	};
	struct decision decision = {};

	begin(&packet, &decision);
	return report(&packet, &decision) ? XDP_PASS : XDP_DROP;
}

SEC("tc")
int bh_tc_in(struct __sk_buff *ctx)
{
	struct packet packet = {
		.direction = BH_IN,
		.hook = BH_HOOK_TC_IN,
		.ifindex = ctx->ifindex,
		.length = ctx->len,
		.packets = 1,
	};
	struct decision decision = {};

	begin(&packet, &decision);
	return report(&packet, &decision) ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

SEC("tc")
int bh_tc_out(struct __sk_buff *ctx)
{
	struct packet packet = {
		.direction = BH_OUT,
		.hook = BH_HOOK_TC_OUT,
		.ifindex = ctx->ifindex,
		.length = ctx->len,
		.packets = 1,
	};
	struct decision decision = {};

	begin(&packet, &decision);
	return report(&packet, &decision) ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

char LICENSE[] SEC("license") = "GPL";
