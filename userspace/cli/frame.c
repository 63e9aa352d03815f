// SPDX-License-Identifier: GPL-2.0-only
/* struct tuple → Ethernet frame; see cli/frame.h. */
#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>

#include "cli/frame.h"

enum {
	SCTP_HEADER_SIZE = 12,
	ICMP_SIZE = 8,
	OTHER_SIZE = 8,
	HOP_LIMIT = 64,
	ECHO_ID = 1,
	FRAGMENT_OFFSET = 1480, /* a multiple of 8, behind any header */
	FRAGMENT_ID = 1,
	MLD_QUERY = 130,
	MLD_REPORT = 131,
	MLD_DONE = 132,
	ND_FIRST = 133,
	ND_LAST = 137,
	MLD2_REPORT = 143,
};

static bool is_mld(const struct tuple *tuple)
{
	return tuple->protocol == IPPROTO_ICMPV6 &&
	       ((tuple->icmp_type >= MLD_QUERY && tuple->icmp_type <= MLD_DONE) ||
		tuple->icmp_type == MLD2_REPORT);
}

static uint8_t hop_limit(const struct tuple *tuple)
{
	if (tuple->protocol == IPPROTO_IGMP || is_mld(tuple))
		return 1;
	if (tuple->protocol == IPPROTO_ICMPV6 && tuple->icmp_type >= ND_FIRST &&
	    tuple->icmp_type <= ND_LAST)
		return 255;
	return HOP_LIMIT;
}

static size_t put_tcp(const struct tuple *tuple, enum frame_tcp kind, uint8_t *at)
{
	static const uint8_t flags[] = {
		[FRAME_SYN] = TH_SYN,
		[FRAME_SYN_ACK] = TH_SYN | TH_ACK,
		[FRAME_ACK] = TH_ACK,
	};
	struct tcphdr header = {
		.th_sport = htons(tuple->source_port),
		.th_dport = htons(tuple->destination_port),
		/* As both ends count that begin with 0: by these a handshake is known for complete. */
		.th_seq = htonl(!(flags[kind] & TH_SYN)),
		.th_ack = htonl(!!(flags[kind] & TH_ACK)),
		.th_off = sizeof(header) / 4,
		.th_flags = flags[kind],
		.th_win = htons(65535),
	};

	memcpy(at, &header, sizeof(header));
	return sizeof(header);
}

static size_t put_udp(const struct tuple *tuple, uint8_t *at)
{
	struct udphdr header = {
		.uh_sport = htons(tuple->source_port),
		.uh_dport = htons(tuple->destination_port),
		.uh_ulen = htons(sizeof(header)),
	};

	memcpy(at, &header, sizeof(header));
	return sizeof(header);
}

/* Ports, verification tag and checksum; nothing looks behind the ports. */
static size_t put_sctp(const struct tuple *tuple, uint8_t *at)
{
	uint16_t ports[2] = {htons(tuple->source_port), htons(tuple->destination_port)};

	memset(at, 0, SCTP_HEADER_SIZE);
	memcpy(at, ports, sizeof(ports));
	return SCTP_HEADER_SIZE;
}

static size_t put_icmp(const struct tuple *tuple, uint8_t *at)
{
	uint16_t id = htons(ECHO_ID);

	memset(at, 0, ICMP_SIZE);
	at[0] = tuple->icmp_type;
	at[1] = tuple->icmp_code;
	memcpy(at + 4, &id, sizeof(id));
	return ICMP_SIZE;
}

static size_t put_payload(const struct tuple *tuple, enum frame_tcp kind, uint8_t *at)
{
	if (tuple->fragment) {
		memset(at, 0, OTHER_SIZE);
		return OTHER_SIZE;
	}
	switch (tuple->protocol) {
	case IPPROTO_TCP:
		return put_tcp(tuple, kind, at);
	case IPPROTO_UDP:
		return put_udp(tuple, at);
	case IPPROTO_SCTP:
		return put_sctp(tuple, at);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return put_icmp(tuple, at);
	default:
		memset(at, 0, OTHER_SIZE);
		return OTHER_SIZE;
	}
}

static size_t build4(const struct tuple *tuple, enum frame_tcp kind, uint8_t *at)
{
	size_t payload = put_payload(tuple, kind, at + sizeof(struct ip));
	struct ip header = {
		.ip_v = 4,
		.ip_hl = sizeof(header) / 4,
		.ip_len = htons((uint16_t)(sizeof(header) + payload)),
		.ip_ttl = hop_limit(tuple),
		.ip_p = tuple->protocol,
	};

	if (tuple->fragment) {
		header.ip_id = htons(FRAGMENT_ID);
		header.ip_off = htons(FRAGMENT_OFFSET / 8);
	}
	memcpy(&header.ip_src, tuple->source.bytes, 4);
	memcpy(&header.ip_dst, tuple->destination.bytes, 4);
	memcpy(at, &header, sizeof(header));
	return sizeof(header) + payload;
}

static size_t put_fragment6(const struct tuple *tuple, uint8_t *at)
{
	struct ip6_frag header = {
		.ip6f_nxt = tuple->protocol,
		.ip6f_offlg = htons(FRAGMENT_OFFSET),
		.ip6f_ident = htonl(FRAGMENT_ID),
	};

	memcpy(at, &header, sizeof(header));
	return sizeof(header);
}

static size_t build6(const struct tuple *tuple, enum frame_tcp kind, uint8_t *at)
{
	size_t size = sizeof(struct ip6_hdr);
	struct ip6_hdr header = {};

	if (tuple->fragment)
		size += put_fragment6(tuple, at + size);
	size += put_payload(tuple, kind, at + size);
	header.ip6_flow = htonl(6U << 28);
	header.ip6_plen = htons((uint16_t)(size - sizeof(header)));
	header.ip6_nxt = tuple->fragment ? IPPROTO_FRAGMENT : tuple->protocol;
	header.ip6_hlim = hop_limit(tuple);
	memcpy(&header.ip6_src, tuple->source.bytes, 16);
	memcpy(&header.ip6_dst, tuple->destination.bytes, 16);
	memcpy(at, &header, sizeof(header));
	return size;
}

size_t frame_build(const struct tuple *tuple, enum frame_tcp tcp, uint8_t *buffer)
{
	bool v4 = tuple->source.family == ADDR_V4;
	struct ether_header header = {
		.ether_dhost = {2, 0, 0, 0, 0, 1},
		.ether_shost = {2, 0, 0, 0, 0, 2},
		.ether_type = htons(v4 ? ETHERTYPE_IP : ETHERTYPE_IPV6),
	};
	size_t size = sizeof(header);

	memset(buffer, 0, FRAME_MAX_SIZE);
	memcpy(buffer, &header, sizeof(header));
	size += v4 ? build4(tuple, tcp, buffer + size) : build6(tuple, tcp, buffer + size);
	/* The shortest frame on the wire, behind what the lengths say. */
	return size < 60 ? 60 : size;
}
