/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ICMP errors: they pass for what they quote. The quoted packet must have gone the other way, from
 * the address to which the error goes, and belong to a flow or be allowed by the policy now.
 * Who sends the error does not matter: any router on the way may.
 */
#ifndef BPF_ICMP_BPF_H
#define BPF_ICMP_BPF_H

#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/types.h>

#include <stdbool.h>

#include <bpf/bpf_endian.h>

#include "bpf/abi.h"
#include "bpf/frame.bpf.h"
#include "bpf/image.bpf.h"
#include "bpf/judge.bpf.h"
#include "bpf/maps.bpf.h"
#include "bpf/packet.bpf.h"
#include "bpf/parse.bpf.h"
#include "bpf/track.bpf.h"

static __always_inline enum bh_reason icmp_quote4(const struct frame *frame, struct packet *quoted,
						  __u32 *at)
{
	struct iphdr ip;

	if (!frame_read(frame, *at, &ip) || ip.version != 4 || ip.ihl < 5)
		return BH_REASON_ICMP_ERROR_UNKNOWN;
	if (ip.frag_off & bpf_htons(PARSE_IPV4_OFFSET))
		return BH_REASON_ICMP_ERROR_NESTED;
	quoted->family = 4;
	quoted->protocol = ip.protocol;
	quoted->source.word[2] = quoted->destination.word[2] = bpf_htonl(0xffff);
	quoted->source.word[3] = ip.saddr;
	quoted->destination.word[3] = ip.daddr;
	*at = frame_offset(*at + ip.ihl * 4);
	return BH_REASON_RULE;
}

static __always_inline enum bh_reason icmp_quote6(const struct frame *frame, struct packet *quoted,
						  __u32 *at)
{
	struct parse_extension extension;
	struct ipv6hdr ip;
	__u8 next;

	if (!frame_read(frame, *at, &ip) || ip.version != 6)
		return BH_REASON_ICMP_ERROR_UNKNOWN;
	quoted->family = 6;
	__builtin_memcpy(&quoted->source, &ip.saddr, sizeof(quoted->source));
	__builtin_memcpy(&quoted->destination, &ip.daddr, sizeof(quoted->destination));
	next = ip.nexthdr;
	*at += sizeof(ip);
#pragma clang loop unroll(disable)
	for (int i = 0; i < PARSE_HEADERS_MAX && parse_is_extension(next); i++) {
		if (!frame_read(frame, *at, &extension))
			return BH_REASON_ICMP_ERROR_UNKNOWN;
		if (next == IPPROTO_FRAGMENT && extension.offset & bpf_htons(PARSE_IPV6_OFFSET))
			return BH_REASON_ICMP_ERROR_NESTED;
		*at += next == IPPROTO_FRAGMENT ? 8 : extension.len * 8 + 8;
		if (*at > FRAME_OFFSET_MASK)
			return BH_REASON_ICMP_ERROR_UNKNOWN;
		*at = frame_offset(*at);
		next = extension.next;
	}
	if (parse_is_extension(next))
		return BH_REASON_ICMP_ERROR_UNKNOWN;
	quoted->protocol = next;
	return BH_REASON_RULE;
}

/* The first 8 bytes of layer 4, which every error must quote. */
static __always_inline enum bh_reason icmp_quote_upper(const struct frame *frame,
						       struct packet *quoted, __u32 at)
{
	struct parse_icmp upper;

	if (!frame_read(frame, at, &upper))
		return BH_REASON_ICMP_ERROR_UNKNOWN;
	switch (quoted->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		parse_ports(quoted, ((__be16 *)&upper)[0], ((__be16 *)&upper)[1]);
		return BH_REASON_RULE;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if ((quoted->family == 4) != (quoted->protocol == IPPROTO_ICMP))
			return BH_REASON_RULE;
		if (parse_is_icmp_error(quoted->family, upper.type))
			return BH_REASON_ICMP_ERROR_NESTED;
		quoted->class_destination_port = upper.type << 8 | upper.code;
		if (parse_is_echo(quoted->family, upper.type))
			quoted->echo_id = upper.id;
		return BH_REASON_RULE;
	}
	return BH_REASON_RULE;
}

static __always_inline enum bh_reason icmp_quote(const struct frame *frame,
						 const struct packet *packet, struct packet *quoted)
{
	__u32 at = frame_offset(packet->l4_offset) + PACKET_ICMP_HEADER;
	enum bh_reason reason;

	*quoted = (struct packet){
		.direction = packet->direction == BH_IN ? BH_OUT : BH_IN,
		.hook = packet->hook,
		.ifindex = packet->ifindex,
		.packets = 1,
	};
	reason = packet->family == 4 ? icmp_quote4(frame, quoted, &at)
				     : icmp_quote6(frame, quoted, &at);

	/* Behind the end of the packet the frame may hold anything. */
	if (reason == BH_REASON_RULE &&
	    at + sizeof(struct parse_icmp) > packet->l4_offset + packet->l4_size)
		return BH_REASON_ICMP_ERROR_UNKNOWN;
	if (reason == BH_REASON_RULE)
		reason = icmp_quote_upper(frame, quoted, frame_offset(at));
	if (reason == BH_REASON_RULE && (quoted->source.half[0] != packet->destination.half[0] ||
					 quoted->source.half[1] != packet->destination.half[1]))
		return BH_REASON_ICMP_ERROR_UNKNOWN;
	return reason;
}

/*
 * Reads what an ICMP error quotes; packet is as parse left it. BH_REASON_RULE: quoted is filled,
 * as a packet of the other direction; else why the error is denied.
 */
int icmp_quote_xdp(struct xdp_md *ctx, const struct packet *packet, struct packet *quoted);
int icmp_quote_xdp_far(struct xdp_md *ctx, const struct packet *packet, struct packet *quoted);
int icmp_quote_skb(struct __sk_buff *ctx, const struct packet *packet, struct packet *quoted);

__attribute__((noinline)) int icmp_quote_xdp(struct xdp_md *ctx, const struct packet *packet,
					     struct packet *quoted)
{
	const struct frame frame = frame_xdp(ctx, FRAME_XDP);

	return packet && quoted ? icmp_quote(&frame, packet, quoted) : BH_REASON_ICMP_ERROR_UNKNOWN;
}

__attribute__((noinline)) int icmp_quote_xdp_far(struct xdp_md *ctx, const struct packet *packet,
						 struct packet *quoted)
{
	const struct frame frame = frame_xdp(ctx, FRAME_XDP_FAR);

	return packet && quoted ? icmp_quote(&frame, packet, quoted) : BH_REASON_ICMP_ERROR_UNKNOWN;
}

__attribute__((noinline)) int icmp_quote_skb(struct __sk_buff *ctx, const struct packet *packet,
					     struct packet *quoted)
{
	const struct frame frame = frame_skb(ctx, FRAME_SKB_FAR);

	return packet && quoted ? icmp_quote(&frame, packet, quoted) : BH_REASON_ICMP_ERROR_UNKNOWN;
}

/*
 * What becomes of the error: BH_REASON_ICMP_ERRORS: it passes; what audit only reports does pass.
 * Quoting a flow that no packet has met since the flip, it passes if the next packet of the flow
 * would: by what the policy says of the opener, or because the flow is kept.
 */
static __always_inline enum bh_reason icmp_judge(struct packet *quoted, __u64 generation)
{
	__u32 said;
	int known;

	known = track_known(quoted, generation, track_carry(quoted, generation) & 1);
	if (known == TRACK_LIVE)
		return BH_REASON_ICMP_ERRORS;
	said = judge_other(quoted, generation);
	if (JUDGED_VERDICT(said) == BH_DENY && known & TRACK_REPLY) {
		flowkey_turn(quoted);
		said = judge_other(quoted, generation);
	}
	if (JUDGED_VERDICT(said) != BH_DENY ||
	    (known & TRACK_KEEPS && JUDGED_FLAGS(said) & BH_OUTCOME_KEEP))
		return BH_REASON_ICMP_ERRORS;
	return BH_REASON_ICMP_ERROR_UNKNOWN;
}

/* Room for the quoted packet, beside the stack, which is short. */
static __always_inline struct packet *icmp_quoted(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&bh_quoted, &key);
}

#endif
