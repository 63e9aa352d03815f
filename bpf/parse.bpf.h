/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bytes → struct packet. Knows headers, knows no rule. Denies on doubt: what the stack would
 * deliver with a port is seen with that port or refused, each refusal with its reason.
 */
#ifndef BPF_PARSE_BPF_H
#define BPF_PARSE_BPF_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/types.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>

#include "bpf/abi.h"
#include "bpf/frame.bpf.h"
#include "bpf/never.bpf.h"
#include "bpf/options.bpf.h"
#include "bpf/packet.bpf.h"

#define PARSE_TAGS_MAX	  2
#define PARSE_HEADERS_MAX 8

#define PARSE_IPV4_MORE	  0x2000
#define PARSE_IPV4_OFFSET 0x1fff
#define PARSE_IPV6_MORE	  0x0001
#define PARSE_IPV6_OFFSET 0xfff8 /* in bytes as it stands */

#define PARSE_TCP_FIN 0x01
#define PARSE_TCP_SYN 0x02
#define PARSE_TCP_RST 0x04
#define PARSE_TCP_ALL 0x3f

struct parse_tag {
	__be16 tci;
	__be16 type;
};

/* Any IPv6 extension header: none is shorter. */
struct parse_extension {
	__u8 next;
	__u8 len;      /* beyond the first 8 bytes, in 8 bytes; fragment header: nothing */
	__be16 offset; /* fragment header */
	__be32 id;     /* fragment header */
};

struct parse_sctp {
	__be16 source;
	__be16 destination;
	__be32 tag;
	__be32 checksum;
};

struct parse_icmp {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be16 id;
	__be16 sequence;
};

/* How far the parser is. */
struct parse {
	__u32 at;	   /* offset of the next header */
	__u32 end;	   /* of the IP packet */
	__u32 fragment_at; /* of what was cut into fragments */
	__u16 type;	   /* of the network header, host order */
	__u8 next;	   /* protocol of the header at at */
};

/*
 * The verifier forgets by which way the parser came here, since it cannot follow values through
 * the memory of a caller, and looks at what follows once.
 */
static __always_inline void parse_forget(struct frame *frame, struct packet *packet,
					 struct parse *parse)
{
	packet->l4_offset = parse->at;
	frame_reload(frame);
	parse->at = packet->l4_offset & FRAME_OFFSET_MASK;
}

static __always_inline bool parse_is_tag(__u16 type)
{
	return type == ETH_P_8021Q || type == ETH_P_8021AD;
}

/* Ethernet and tags, up to the network header. */
static __always_inline enum bh_reason parse_link(struct frame *frame, struct packet *packet,
						 struct parse *parse)
{
	__u32 tags = frame->tags;
	struct ethhdr eth = {.h_proto = frame->type};
	struct parse_tag tag;
	__be16 llc = 0;

	if (!frame->bare) {
		if (!frame_read(frame, 0, &eth))
			return BH_REASON_TRUNCATED;
		parse->at = sizeof(eth);
	}
	parse->type = bpf_ntohs(eth.h_proto);
#pragma unroll
	for (int i = 0; i <= PARSE_TAGS_MAX && parse_is_tag(parse->type); i++) {
		if (tags++ >= PARSE_TAGS_MAX)
			return BH_REASON_TOO_MANY_TAGS;
		if (!frame_read(frame, parse->at, &tag))
			return BH_REASON_TRUNCATED;
		parse->at += sizeof(tag);
		parse->type = bpf_ntohs(tag.type);
	}
	parse_forget(frame, packet, parse);
	packet->ether_type = bpf_htons(parse->type);
	if (parse->type == ETH_P_IP || parse->type == ETH_P_IPV6)
		return BH_REASON_RULE;
	if (parse->type < ETH_P_802_3_MIN && !frame_read(frame, parse->at, &llc))
		return BH_REASON_TRUNCATED;
	return never_link(eth.h_dest, parse->type, bpf_ntohs(llc));
}

/*
 * The fragment that begins at parse->at, offset in bytes. None is several segments together: the
 * stack would cut that anew behind the hook, and number its fragments from 0.
 */
static __always_inline enum bh_reason parse_fragment(const struct frame *frame,
						     struct packet *packet, struct parse *parse,
						     __u32 offset, bool more)
{
	__u32 len = parse->end - parse->at;

	if (frame->gso)
		return BH_REASON_BAD_LENGTH;
	if (!len || offset + len > 0xffff || (more && len & 7))
		return BH_REASON_BAD_LENGTH;
	parse->fragment_at = parse->at;
	packet->fragment_protocol = parse->next;
	packet->fragment = offset ? PACKET_LATER : PACKET_FIRST;
	packet->fragment_offset = offset;
	return BH_REASON_RULE;
}

static __always_inline enum bh_reason parse_ipv4(const struct frame *frame, struct packet *packet,
						 struct parse *parse)
{
	__u32 header, total, fragment;
	enum bh_reason reason;
	struct iphdr ip;

	if (!frame_read(frame, parse->at, &ip))
		return BH_REASON_TRUNCATED;
	header = ip.ihl * 4;
	total = bpf_ntohs(ip.tot_len);
	if (ip.version != 4 || header < sizeof(ip))
		return BH_REASON_BAD_HEADER;
	if (!total && frame->gso && ip.protocol == IPPROTO_TCP) /* the stack's own, over 64 KB */
		total = frame->length - parse->at;
	if (total < header || total > frame->length - parse->at)
		return BH_REASON_BAD_LENGTH;
	packet->family = 4;
	packet->source.word[2] = packet->destination.word[2] = bpf_htonl(0xffff);
	packet->source.word[3] = ip.saddr;
	packet->destination.word[3] = ip.daddr;
	packet->protocol = ip.protocol;
	packet->hop_limit = ip.ttl;
	if (header > sizeof(ip)) {
		reason = options4(frame, parse->at + sizeof(ip), parse->at + header);
		if (reason != BH_REASON_RULE)
			return reason;
	}
	parse->end = parse->at + total;
	parse->at += header;
	parse->next = ip.protocol;
	fragment = bpf_ntohs(ip.frag_off);
	if (!(fragment & (PARSE_IPV4_MORE | PARSE_IPV4_OFFSET)))
		return BH_REASON_RULE;
	packet->fragment_id = bpf_htonl(bpf_ntohs(ip.id));
	return parse_fragment(frame, packet, parse, (fragment & PARSE_IPV4_OFFSET) * 8,
			      fragment & PARSE_IPV4_MORE);
}

static __always_inline bool parse_is_extension(__u8 next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_FRAGMENT ||
	       next == IPPROTO_DSTOPTS;
}

/* What is wrong with one extension header of a size; BH_REASON_RULE: nothing. */
static __always_inline enum bh_reason parse_extension(const struct frame *frame,
						      struct packet *packet, struct parse *parse,
						      const struct parse_extension *extension,
						      __u32 size)
{
	__u32 offset = bpf_ntohs(extension->offset);
	__u8 type = parse->next;
	__u32 at = parse->at;

	parse->next = extension->next;
	parse->at += size;
	if (parse->at > parse->end)
		return BH_REASON_TRUNCATED;
	if (type == IPPROTO_ROUTING) /* the low byte of offset stands where segments left does */
		return offset & 0xff ? BH_REASON_SOURCE_ROUTE : BH_REASON_RULE;
	if (type != IPPROTO_FRAGMENT)
		return options6(frame, at + 2, parse->at);
	if (packet->fragment_protocol)
		return BH_REASON_BAD_HEADER; /* a second one */
	packet->fragment_protocol = parse->next;
	packet->fragment_id = extension->id;
	if (!(offset & (PARSE_IPV6_MORE | PARSE_IPV6_OFFSET)))
		return BH_REASON_RULE;
	return parse_fragment(frame, packet, parse, offset & PARSE_IPV6_OFFSET,
			      offset & PARSE_IPV6_MORE);
}

/* The chain of extension headers, up to the upper layer or the payload of a later fragment. */
static __always_inline enum bh_reason parse_extensions(struct frame *frame, struct packet *packet,
						       struct parse *parse)
{
	struct parse_extension extension;
	enum bh_reason reason;

#pragma clang loop unroll(disable)
	for (int i = 0; i < PARSE_HEADERS_MAX; i++) {
		if (!parse_is_extension(parse->next) || packet->fragment == PACKET_LATER)
			return BH_REASON_RULE;
		if (parse->next == IPPROTO_HOPOPTS && i)
			return BH_REASON_BAD_HEADER; /* stands first or nowhere */
		if (parse->at + sizeof(extension) > parse->end ||
		    !frame_read(frame, parse->at, &extension))
			return BH_REASON_TRUNCATED;
		reason = parse_extension(frame, packet, parse, &extension,
					 parse->next == IPPROTO_FRAGMENT ? 8
									 : extension.len * 8 + 8);
		if (reason != BH_REASON_RULE)
			return reason;
		parse_forget(frame, packet, parse);
	}
	if (parse_is_extension(parse->next) && packet->fragment != PACKET_LATER)
		return BH_REASON_TOO_MANY_HEADERS;
	return BH_REASON_RULE;
}

/*
 * The payload's length. A segment that the stack holds together may be longer than the field
 * can say: that is 0 then, and stacks up to 6.18 put a jumbo header of 8 bytes in front of TCP.
 */
static __always_inline __u32 parse_payload6(const struct frame *frame, const struct ipv6hdr *ip,
					    struct parse *parse)
{
	__u32 payload = bpf_ntohs(ip->payload_len);
	struct parse_extension jumbo;

	if (payload || !frame->gso)
		return payload;
	if (parse->next == IPPROTO_HOPOPTS && frame_read(frame, parse->at, &jumbo) && !jumbo.len) {
		parse->at += sizeof(jumbo);
		parse->next = jumbo.next;
	}
	return parse->next == IPPROTO_TCP ? frame->length - parse->at : 0;
}

static __always_inline enum bh_reason parse_ipv6(struct frame *frame, struct packet *packet,
						 struct parse *parse)
{
	enum bh_reason reason = BH_REASON_RULE;
	struct ipv6hdr ip;
	__u32 payload;

	if (!frame_read(frame, parse->at, &ip))
		return BH_REASON_TRUNCATED;
	if (ip.version != 6)
		return BH_REASON_BAD_HEADER;
	parse->at += sizeof(ip);
	parse->next = ip.nexthdr;
	payload = parse_payload6(frame, &ip, parse);
	if (!payload)
		return BH_REASON_JUMBOGRAM;
	if (payload > frame->length - parse->at)
		return BH_REASON_BAD_LENGTH;
	packet->family = 6;
	__builtin_memcpy(&packet->source, &ip.saddr, sizeof(packet->source));
	__builtin_memcpy(&packet->destination, &ip.daddr, sizeof(packet->destination));
	packet->hop_limit = ip.hop_limit;
	parse->end = parse->at + payload;
	if (parse_is_extension(parse->next))
		reason = parse_extensions(frame, packet, parse);
	packet->protocol = parse->next;
	return reason;
}

static __always_inline void parse_ports(struct packet *packet, __be16 source, __be16 destination)
{
	packet->source_port = source;
	packet->destination_port = destination;
	packet->class_source_port = bpf_ntohs(source);
	packet->class_destination_port = bpf_ntohs(destination);
}

static __always_inline enum bh_reason parse_tcp(const struct frame *frame, struct packet *packet,
						const struct parse *parse, __u32 *ret_size)
{
	struct tcphdr tcp;

	if (!frame_read(frame, parse->at, &tcp))
		return BH_REASON_TRUNCATED;
	parse_ports(packet, tcp.source, tcp.dest);
	packet->tcp_flags = ((const __u8 *)&tcp)[13];
	*ret_size = tcp.doff * 4;
	packet->acknowledges = bpf_ntohl(tcp.ack_seq);
	packet->expects =
		bpf_ntohl(tcp.seq) + parse->end - parse->at - *ret_size + tcp.syn + tcp.fin;
	if (*ret_size < sizeof(tcp))
		return BH_REASON_BAD_HEADER;
	if (parse->at + sizeof(tcp) > parse->end || packet->fragment == PACKET_FIRST)
		return BH_REASON_RULE;
	return parse->at + *ret_size > parse->end ? BH_REASON_BAD_LENGTH : BH_REASON_RULE;
}

static __always_inline enum bh_reason parse_udp(const struct frame *frame, struct packet *packet,
						const struct parse *parse, __u32 *ret_size)
{
	__u32 room = parse->end - parse->at;
	struct udphdr udp;
	__u32 len;

	if (!frame_read(frame, parse->at, &udp))
		return BH_REASON_TRUNCATED;
	parse_ports(packet, udp.source, udp.dest);
	*ret_size = sizeof(udp);
	len = bpf_ntohs(udp.len);
	if (len < sizeof(udp) || (len > room && packet->fragment == PACKET_WHOLE) ||
	    (len < room && packet->fragment == PACKET_FIRST))
		return BH_REASON_BAD_LENGTH;
	return BH_REASON_RULE;
}

static __always_inline enum bh_reason parse_sctp(const struct frame *frame, struct packet *packet,
						 const struct parse *parse, __u32 *ret_size)
{
	struct parse_sctp sctp;

	if (!frame_read(frame, parse->at, &sctp))
		return BH_REASON_TRUNCATED;
	parse_ports(packet, sctp.source, sctp.destination);
	*ret_size = sizeof(sctp);
	return BH_REASON_RULE;
}

/* ICMP and ICMPv6, each over its own family. */
static __always_inline bool parse_is_icmp_error(__u8 family, __u8 type)
{
	if (family == 4)
		return type == 3 || type == 11 || type == 12;
	return type >= 1 && type <= 4;
}

static __always_inline bool parse_is_echo(__u8 family, __u8 type)
{
	return family == 4 ? type == 8 || type == 0 : type == 128 || type == 129;
}

static __always_inline enum bh_reason parse_icmp(const struct frame *frame, struct packet *packet,
						 const struct parse *parse, __u32 *ret_size)
{
	struct parse_icmp icmp;

	if (!frame_read(frame, parse->at, &icmp))
		return BH_REASON_TRUNCATED;
	packet->class_destination_port = icmp.type << 8 | icmp.code;
	if (parse_is_echo(packet->family, icmp.type))
		packet->echo_id = icmp.id;
	packet->icmp_error = parse_is_icmp_error(packet->family, icmp.type);
	packet->l4_size = parse->end - parse->at;
	*ret_size = sizeof(icmp);
	return BH_REASON_RULE;
}

/* The header of the upper layer; of other protocols none is looked at. */
static __always_inline enum bh_reason parse_upper(const struct frame *frame, struct packet *packet,
						  const struct parse *parse, __u32 *ret_size)
{
	if (packet->protocol == IPPROTO_TCP)
		return parse_tcp(frame, packet, parse, ret_size);
	if (packet->protocol == IPPROTO_UDP)
		return parse_udp(frame, packet, parse, ret_size);
	if (packet->protocol == (packet->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		return parse_icmp(frame, packet, parse, ret_size);
	if (packet->protocol == IPPROTO_SCTP)
		return parse_sctp(frame, packet, parse, ret_size);
	return BH_REASON_RULE;
}

/*
 * What the upper layer says of itself must lie within the packet, and in a first fragment the
 * whole header must, since a later one could rewrite it.
 */
static __always_inline enum bh_reason parse_check_upper(const struct packet *packet,
							const struct parse *parse,
							enum bh_reason reason, __u32 size)
{
	__u8 flags = packet->tcp_flags;

	if (reason == BH_REASON_RULE && parse->at + size > parse->end)
		reason = BH_REASON_TRUNCATED;
	if (reason == BH_REASON_TRUNCATED && packet->fragment == PACKET_FIRST)
		return BH_REASON_FRAGMENT_SHORT;
	if (reason != BH_REASON_RULE || packet->protocol != IPPROTO_TCP ||
	    packet->fragment == PACKET_LATER)
		return reason;
	if (!(flags & PARSE_TCP_ALL) ||
	    (flags & PARSE_TCP_SYN && flags & (PARSE_TCP_FIN | PARSE_TCP_RST)))
		return BH_REASON_TCP_FLAGS;
	return BH_REASON_RULE;
}

/* IPv4 sources that nobody can have (RFC 1122), as host order. */
static __always_inline bool parse_is_martian4(const struct packet *packet)
{
	__u32 source = bpf_ntohl(packet->source.word[3]);

	if (!source) /* a host that asks for its address */
		return !never_is_igmp(packet) &&
		       !(never_is_udp(packet, 68, 67) && packet->destination.word[3] == ~0U);
	return source >> 24 == 0 || source >> 24 == 127 || source >> 28 == 0xe || source == ~0U;
}

static __always_inline bool parse_is_martian6(const struct packet *packet)
{
	const union packet_address *source = &packet->source;

	if (source->word[0] & bpf_htonl(0xff000000))
		return (source->word[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000);
	if (source->half[0])
		return false;
	if (source->word[2] == bpf_htonl(0xffff)) /* ::ffff:0:0/96 */
		return true;
	if (source->word[2])
		return false;
	if (!source->word[3])
		return !never_is_nd(packet) && !never_is_mld(packet);
	return source->word[3] == bpf_htonl(1);
}

static __always_inline bool parse_is_redirect(const struct packet *packet)
{
	__u8 type = packet->class_destination_port >> 8;

	if (packet->fragment == PACKET_LATER)
		return false;
	return packet->family == 4 ? packet->protocol == IPPROTO_ICMP && type == 5
				   : packet->protocol == IPPROTO_ICMPV6 && type == 137;
}

/* What is refused whatever the rules say, once the packet is understood. */
static __always_inline enum bh_reason parse_refuse(const struct packet *packet)
{
	if (packet->direction == BH_IN &&
	    (packet->family == 4 ? parse_is_martian4(packet) : parse_is_martian6(packet)))
		return BH_REASON_MARTIAN_SOURCE;
	return parse_is_redirect(packet) ? BH_REASON_ICMP_REDIRECT : BH_REASON_RULE;
}

/* IP and what it carries. */
static __always_inline enum bh_reason parse_network(struct frame *frame, struct packet *packet,
						    struct parse *parse, __u32 *ret_size)
{
	enum bh_reason reason = parse->type == ETH_P_IP ? parse_ipv4(frame, packet, parse)
							: parse_ipv6(frame, packet, parse);

	parse_forget(frame, packet, parse);
	if (reason == BH_REASON_RULE && packet->fragment != PACKET_LATER)
		reason = parse_upper(frame, packet, parse, ret_size);
	packet->header_end = *ret_size;
	barrier();
	*ret_size = packet->header_end;
	reason = parse_check_upper(packet, parse, reason, *ret_size);
	if (packet->fragment == PACKET_FIRST)
		packet->header_end = parse->at + *ret_size - parse->fragment_at;
	return reason != BH_REASON_RULE ? reason : parse_refuse(packet);
}

/*
 * Segments that the stack holds together count singly, each with its headers. On the way out the
 * stack has summed their lengths itself.
 */
static __always_inline void parse_segments(const struct frame *frame, struct packet *packet,
					   __u32 headers)
{
	if (!frame->gso)
		return;
	if (!packet->packets && frame->length > headers)
		packet->packets = (frame->length - headers + frame->gso - 1) / frame->gso;
	if (packet->packets > 1 && packet->hook != BH_HOOK_TC_OUT)
		packet->length += (packet->packets - 1) * headers;
}

/*
 * Fills what packet says of the bytes; the caller has set the rest. BH_REASON_RULE: it is IP,
 * and the never-denied list and the rules judge. A reason of that list: it is no IP, and passes
 * unless the reason is switched off. Else the packet is denied for this reason.
 */
static __always_inline enum bh_reason parse(struct frame *frame, struct packet *packet)
{
	struct parse parse = {};
	__u32 size = 0;
	enum bh_reason reason;

	packet->loopback = frame->bare;
	reason = parse_link(frame, packet, &parse);
	if (reason == BH_REASON_RULE)
		reason = parse_network(frame, packet, &parse, &size);
	parse_segments(frame, packet, packet->l4_offset + size);
	if (!packet->packets)
		packet->packets = 1;
	return reason;
}

/*
 * The same for each kind of hook: verified once each, and called. Where the linear part is not the whole
 * frame and near denies, far has the last word, on a fresh packet.
 */
int parse_xdp(struct xdp_md *ctx, struct packet *packet);
IN_PLACE int parse_xdp_near(struct xdp_md *ctx, struct packet *packet);
int parse_xdp_far(struct xdp_md *ctx, struct packet *packet);
int parse_skb_near(struct __sk_buff *ctx, struct packet *packet);
int parse_skb_far(struct __sk_buff *ctx, struct packet *packet);

__attribute__((noinline)) int parse_xdp(struct xdp_md *ctx, struct packet *packet)
{
	struct frame frame = frame_xdp(ctx, FRAME_XDP);

	return packet ? parse(&frame, packet) : BH_REASON_TRUNCATED;
}

/*
 * In place, for the hook that most packets come to: a call is three to five in a hundred of a denied
 * packet's whole way (docs/decisions/0019). The verifier has no room for it in the others.
 * packet->length is that of the whole frame: a helper tells it, and is asked once.
 */
IN_PLACE int parse_xdp_near(struct xdp_md *ctx, struct packet *packet)
{
	struct frame frame;

	if (!packet)
		return BH_REASON_TRUNCATED;
	frame = frame_xdp_of(ctx, FRAME_XDP_NEAR, packet->length);
	return parse(&frame, packet);
}

__attribute__((noinline)) int parse_xdp_far(struct xdp_md *ctx, struct packet *packet)
{
	struct frame frame = frame_xdp(ctx, FRAME_XDP_FAR);

	return packet ? parse(&frame, packet) : BH_REASON_TRUNCATED;
}

/* A looped packet that a multicast router sends on keeps its type, but has a header again. */
static __always_inline int parse_skb(struct frame *frame, struct packet *packet)
{
	if (!packet)
		return BH_REASON_TRUNCATED;
	frame->bare &= packet->direction == BH_IN;
	return parse(frame, packet);
}

__attribute__((noinline)) int parse_skb_near(struct __sk_buff *ctx, struct packet *packet)
{
	struct frame frame = frame_skb(ctx, FRAME_SKB_NEAR);

	return parse_skb(&frame, packet);
}

__attribute__((noinline)) int parse_skb_far(struct __sk_buff *ctx, struct packet *packet)
{
	struct frame frame = frame_skb(ctx, FRAME_SKB_FAR);

	return parse_skb(&frame, packet);
}

#endif
