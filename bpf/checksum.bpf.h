/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checksums that are left open (CHECKSUM_PARTIAL): behind the hook the stack or the card writes two
 * bytes where the packet says. Sockets of the kernel's own say where TCP and UDP have theirs; a
 * packet socket with PACKET_VNET_HDR and a guest behind a tap say what they like, and choose by the
 * payload what is written: a port, an address, an Ethernet type that nobody has judged.
 */
#ifndef BPF_CHECKSUM_BPF_H
#define BPF_CHECKSUM_BPF_H

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/tcp.h>
#include <linux/types.h>
#include <linux/udp.h>

#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_helpers.h>

#include "bpf/abi.h"
#include "bpf/packet.bpf.h"

/* Set by the loader before the load. */
const volatile struct bh_skb skb_layout = {};

#define CHECKSUM_PARTIAL 3	    /* ip_summed; inside the kernel, linux/skbuff.h */
#define CHECKSUM_NOWHERE 0x7fffffff /* nothing is written */
#define CHECKSUM_UNKNOWN (-1)

/* Where two bytes will be written, from the start of the frame; before it: below 0. */
static __always_inline int checksum_at(struct __sk_buff *ctx)
{
	const __u8 *skb = (const void *)ctx;
	__u16 checksum[2];
	__u64 ends[2];
	__u8 summed;

	if (!skb_layout.known)
		return CHECKSUM_NOWHERE;
	if (bpf_probe_read_kernel(&summed, sizeof(summed), skb + skb_layout.summed))
		return CHECKSUM_UNKNOWN;
	if ((summed >> (skb_layout.shift & 7) & 3) != CHECKSUM_PARTIAL)
		return CHECKSUM_NOWHERE;
	if (bpf_probe_read_kernel(checksum, sizeof(checksum), skb + skb_layout.checksum) ||
	    bpf_probe_read_kernel(ends, sizeof(ends), skb + skb_layout.ends))
		return CHECKSUM_UNKNOWN;
	return (int)(checksum[0] + checksum[1]) - (int)(ends[1] - ends[0]);
}

/*
 * Whether what is written so far into the upper layer changes nothing that was judged: it is that
 * layer's own checksum or stands behind its header. What has no ports is judged by what comes before.
 */
static __always_inline bool checksum_is_apart(const struct packet *packet, __u32 into)
{
	if (!packet->family)
		return into >= 2; /* of 802.2 the first two bytes are looked at */
	if (packet->fragment == PACKET_LATER)
		return true;
	switch (packet->protocol) {
	case IPPROTO_TCP:
		return into == offsetof(struct tcphdr, check) || into >= sizeof(struct tcphdr);
	case IPPROTO_UDP:
		return into >= offsetof(struct udphdr, check);
	case IPPROTO_SCTP:
		return into >= 8; /* RFC 9260, section 3.1 */
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return into == 2 || (into >= 8 && !packet->icmp_error);
	default:
		return true;
	}
}

/* BH_REASON_OPEN_CHECKSUM, or BH_REASON_RULE: it is none or harmless. packet is parsed. */
int checksum_check(struct __sk_buff *ctx, const struct packet *packet);

__attribute__((noinline)) int checksum_check(struct __sk_buff *ctx, const struct packet *packet)
{
	int at = checksum_at(ctx);

	if (!packet)
		return BH_REASON_TRUNCATED;
	if (at == CHECKSUM_NOWHERE)
		return BH_REASON_RULE;
	if (at < (int)packet->l4_offset || !checksum_is_apart(packet, at - packet->l4_offset))
		return BH_REASON_OPEN_CHECKSUM;
	return BH_REASON_RULE;
}

#endif
