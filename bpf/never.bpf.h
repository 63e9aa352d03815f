/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is never a rule's business: the one list, in the order in which it is asked. Each entry
 * is a reason of kind NEVER in bpf/abi.h and is switched off by its bit of never_off; the packet
 * is then judged by the rules, or denied where no rule can speak of it. The head of
 * userspace/policy/eval.c words the same cases.
 */
#ifndef BPF_NEVER_BPF_H
#define BPF_NEVER_BPF_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/types.h>

#include <stdbool.h>

#include <bpf/bpf_endian.h>

#include "bpf/abi.h"
#include "bpf/packet.bpf.h"

#define NEVER_LLC_BPDU 0x4242 /* both service access points of spanning tree */

/* 01:80:c2:00:00:0x: addresses that no bridge forwards. */
static __always_inline bool never_is_reserved(const __u8 *address)
{
	return address[0] == 0x01 && address[1] == 0x80 && address[2] == 0xc2 && !address[3] &&
	       !address[4] && address[5] < 0x10;
}

/*
 * Frames that carry no IP. type: host order; below 0x600 it is a length, and llc are the two
 * bytes behind it.
 */
static __always_inline enum bh_reason never_link(const __u8 *destination, __u16 type, __u16 llc)
{
	bool reserved = never_is_reserved(destination);

	if (type == ETH_P_ARP)
		return BH_REASON_ARP;
	if (type == ETH_P_PAE)
		return BH_REASON_EAPOL;
	if (type == ETH_P_SLOW && reserved)
		return BH_REASON_SLOW;
	if (type == ETH_P_LLDP && reserved)
		return BH_REASON_LLDP;
	if (type < ETH_P_802_3_MIN && llc == NEVER_LLC_BPDU && reserved)
		return BH_REASON_STP;
	return BH_REASON_NOT_IP;
}

static __always_inline __u8 never_icmp_type(const struct packet *packet)
{
	return packet->class_destination_port >> 8;
}

static __always_inline bool never_is_icmp6(const struct packet *packet)
{
	return packet->family == 6 && packet->protocol == IPPROTO_ICMPV6 &&
	       packet->fragment != PACKET_LATER;
}

/* Neighbour discovery and router discovery, from this link: nobody forwards a hop limit of 255. */
static __always_inline bool never_is_nd(const struct packet *packet)
{
	__u16 type_code = packet->class_destination_port;

	return never_is_icmp6(packet) && packet->hop_limit == 255 && !(type_code & 0xff) &&
	       type_code >= 133 << 8 && type_code <= 136 << 8;
}

static __always_inline bool never_is_mld(const struct packet *packet)
{
	__u8 type = never_icmp_type(packet);
	bool unspecified = !(packet->source.half[0] | packet->source.half[1]);
	bool link_local = (packet->source.word[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);

	return never_is_icmp6(packet) && packet->hop_limit == 1 && (unspecified || link_local) &&
	       ((type >= 130 && type <= 132) || type == 143);
}

static __always_inline bool never_is_igmp(const struct packet *packet)
{
	return packet->family == 4 && packet->protocol == IPPROTO_IGMP && packet->hop_limit == 1 &&
	       packet->fragment != PACKET_LATER;
}

/* UDP from one port to another, both in host order. */
static __always_inline bool never_is_udp(const struct packet *packet, __u16 from, __u16 to)
{
	return packet->protocol == IPPROTO_UDP && packet->fragment != PACKET_LATER &&
	       packet->class_source_port == from && packet->class_destination_port == to;
}

/* Azure's wire server with DNS, and its metadata service. */
static __always_inline bool never_is_platform(const struct packet *packet)
{
	__u16 port = packet->class_destination_port;
	bool tcp = packet->protocol == IPPROTO_TCP;
	bool udp = packet->protocol == IPPROTO_UDP;

	if (packet->family != 4 || packet->direction != BH_OUT || packet->fragment == PACKET_LATER)
		return false;
	if (packet->destination.word[3] == bpf_htonl(0xa83f8110)) /* 168.63.129.16 */
		return (tcp && (port == 53 || port == 80 || port == 32526)) || (udp && port == 53);
	if (packet->destination.word[3] == bpf_htonl(0xa9fea9fe)) /* 169.254.169.254 */
		return tcp && port == 80;
	return false;
}

static __always_inline bool never_is_on(const struct bh_config *config, enum bh_reason reason)
{
	return !(config->never_off >> reason & 1);
}

/* A lease of an address: UDP between a client's port at this host and a server's at the other end. */
static __always_inline enum bh_reason never_lease(const struct packet *packet,
						  const struct bh_config *config)
{
	const bool four = packet->family == 4;
	const enum bh_reason reason = four ? BH_REASON_DHCP : BH_REASON_DHCPV6;
	const __u16 client = four ? 68 : 546;
	const __u16 server = four ? 67 : 547;
	const bool out = packet->direction == BH_OUT;

	if (never_is_udp(packet, out ? client : server, out ? server : client) &&
	    never_is_on(config, reason))
		return reason;
	return BH_REASON_RULE;
}

/* The reason that lets an IP packet pass by the list; BH_REASON_RULE: the rules judge. */
static __always_inline enum bh_reason never_ip(const struct packet *packet,
					       const struct bh_config *config)
{
	/* Most packets first. */
	if (packet->protocol == IPPROTO_TCP)
		return BH_REASON_RULE;
	if (packet->protocol == IPPROTO_UDP)
		return never_lease(packet, config);
	if (never_is_on(config, BH_REASON_ND) && never_is_nd(packet))
		return BH_REASON_ND;
	if (never_is_on(config, BH_REASON_MLD) && never_is_mld(packet))
		return BH_REASON_MLD;
	if (never_is_on(config, BH_REASON_IGMP) && never_is_igmp(packet))
		return BH_REASON_IGMP;
	return BH_REASON_RULE;
}

/* The same for what passes with state, as if a rule allowed it. */
static __always_inline enum bh_reason never_ip_tracked(const struct packet *packet,
						       const struct bh_config *config)
{
	if (config->platform_azure && never_is_on(config, BH_REASON_PLATFORM) &&
	    never_is_platform(packet))
		return BH_REASON_PLATFORM;
	return BH_REASON_RULE;
}

#endif
