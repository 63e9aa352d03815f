/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Options of IPv4, and those in IPv6 hop-by-hop and destination headers: looked at only for what
 * changes whom the packet is from or to. Rare, and loops: global functions, verified once.
 */
#ifndef BPF_OPTIONS_BPF_H
#define BPF_OPTIONS_BPF_H

#include <linux/ip.h>
#include <linux/types.h>

#include "bpf/abi.h"
#include "bpf/frame.bpf.h"

#define OPTIONS4_MAX 40 /* bytes */
#define OPTIONS6_MAX 32 /* paddings included; the stack takes 8 options */

#define OPTION6_PAD1	     0
#define OPTION6_JUMBO	     0xc2
#define OPTION6_HOME_ADDRESS 0xc9 /* replaces the source address */

struct option {
	__u8 type;
	__u8 len;
};

/* Byte by byte: offsets that depend on lengths would each be looked at by the verifier. */
static __always_inline enum bh_reason options4_scan(const struct frame *frame, __u32 at, __u32 end)
{
	bool is_len = false; /* the byte is the length of an option */
	__u32 skip = 0;	     /* bytes of the option that are left */
	__u8 byte;

#pragma clang loop unroll(disable)
	for (int i = 0; i < OPTIONS4_MAX && at < end; i++, at++) {
		if (!frame_read(frame, at, &byte))
			return BH_REASON_TRUNCATED;
		if (skip) {
			skip--;
		} else if (is_len) {
			if (byte < sizeof(struct option))
				return BH_REASON_BAD_HEADER;
			skip = byte - sizeof(struct option);
			is_len = false;
		} else if (byte == IPOPT_LSRR || byte == IPOPT_SSRR) {
			return BH_REASON_SOURCE_ROUTE;
		} else if (byte == IPOPT_END) {
			return BH_REASON_RULE;
		} else {
			is_len = byte != IPOPT_NOOP;
		}
	}
	return skip || is_len ? BH_REASON_BAD_HEADER : BH_REASON_RULE;
}

static __always_inline enum bh_reason options6_scan(const struct frame *frame, __u32 at, __u32 end)
{
	struct option option;

#pragma clang loop unroll(disable)
	for (int i = 0; i < OPTIONS6_MAX && at < end; i++, at = frame_offset(at)) {
		if (!frame_read(frame, at, &option.type))
			return BH_REASON_TRUNCATED;
		if (option.type == OPTION6_PAD1) {
			at++;
			continue;
		}
		if (option.type == OPTION6_JUMBO)
			return BH_REASON_JUMBOGRAM;
		if (option.type == OPTION6_HOME_ADDRESS)
			return BH_REASON_SOURCE_ROUTE;
		if (!frame_read(frame, at, &option))
			return BH_REASON_TRUNCATED;
		at += sizeof(option) + option.len;
	}
	return at == end ? BH_REASON_RULE : BH_REASON_BAD_HEADER;
}

/*
 * Offsets of the first option and of the byte behind the last, both within the frame.
 * BH_REASON_RULE, or what denies the packet. Where the kernel has the helper, it reads them all.
 */
int options4_xdp(struct xdp_md *ctx, __u32 at, __u32 end);
int options6_xdp(struct xdp_md *ctx, __u32 at, __u32 end);
int options4_xdp_far(struct xdp_md *ctx, __u32 at, __u32 end);
int options6_xdp_far(struct xdp_md *ctx, __u32 at, __u32 end);
int options4_skb(struct __sk_buff *ctx, __u32 at, __u32 end);
int options6_skb(struct __sk_buff *ctx, __u32 at, __u32 end);

__attribute__((noinline)) int options4_xdp(struct xdp_md *ctx, __u32 at, __u32 end)
{
	const struct frame frame = frame_xdp(ctx, FRAME_XDP);

	return options4_scan(&frame, frame_offset(at), frame_offset(end));
}

__attribute__((noinline)) int options6_xdp(struct xdp_md *ctx, __u32 at, __u32 end)
{
	const struct frame frame = frame_xdp(ctx, FRAME_XDP);

	return options6_scan(&frame, frame_offset(at), frame_offset(end));
}

__attribute__((noinline)) int options4_xdp_far(struct xdp_md *ctx, __u32 at, __u32 end)
{
	const struct frame frame = frame_xdp(ctx, FRAME_XDP_FAR);

	return options4_scan(&frame, frame_offset(at), frame_offset(end));
}

__attribute__((noinline)) int options6_xdp_far(struct xdp_md *ctx, __u32 at, __u32 end)
{
	const struct frame frame = frame_xdp(ctx, FRAME_XDP_FAR);

	return options6_scan(&frame, frame_offset(at), frame_offset(end));
}

__attribute__((noinline)) int options4_skb(struct __sk_buff *ctx, __u32 at, __u32 end)
{
	const struct frame frame = frame_skb(ctx, FRAME_SKB_FAR);

	return options4_scan(&frame, frame_offset(at), frame_offset(end));
}

__attribute__((noinline)) int options6_skb(struct __sk_buff *ctx, __u32 at, __u32 end)
{
	const struct frame frame = frame_skb(ctx, FRAME_SKB_FAR);

	return options6_scan(&frame, frame_offset(at), frame_offset(end));
}

static __always_inline enum bh_reason options4(const struct frame *frame, __u32 at, __u32 end)
{
	switch (frame->kind) {
	case FRAME_XDP:
		return options4_xdp(frame->ctx, at, end);
	case FRAME_XDP_NEAR:
	case FRAME_XDP_FAR:
		return options4_xdp_far(frame->ctx, at, end);
	case FRAME_SKB_NEAR:
	case FRAME_SKB_FAR:
		return options4_skb(frame->ctx, at, end);
	}
	return BH_REASON_BAD_HEADER;
}

static __always_inline enum bh_reason options6(const struct frame *frame, __u32 at, __u32 end)
{
	switch (frame->kind) {
	case FRAME_XDP:
		return options6_xdp(frame->ctx, at, end);
	case FRAME_XDP_NEAR:
	case FRAME_XDP_FAR:
		return options6_xdp_far(frame->ctx, at, end);
	case FRAME_SKB_NEAR:
	case FRAME_SKB_FAR:
		return options6_skb(frame->ctx, at, end);
	}
	return BH_REASON_BAD_HEADER;
}

#endif
