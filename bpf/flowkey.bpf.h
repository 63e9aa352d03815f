/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From a packet to the key of its flow: the kind, the words of the key, the query that
 * bpf/flowtable.bpf.h searches with, and who of the two ends opened it.
 */
#ifndef BPF_FLOWKEY_BPF_H
#define BPF_FLOWKEY_BPF_H

#include <linux/in.h>
#include <linux/in6.h>

#include "bpf/clock.bpf.h"
#include "bpf/flowtable.bpf.h"
#include "bpf/packet.bpf.h"

/* A packet of this kind opens nothing and is the reply of nothing: ICMP that is not an echo. */
#define FLOWKEY_STATELESS BH_FLOW_KIND_COUNT

static __always_inline bool flowkey_is_request(const struct packet *packet)
{
	return packet->class_destination_port >> 8 == (packet->family == 4 ? 8 : 128);
}

/* enum bh_flow_kind, or FLOWKEY_STATELESS. */
static __always_inline __u32 flowkey_kind(const struct packet *packet)
{
	__u32 type = packet->class_destination_port >> 8;

	if (packet->protocol == IPPROTO_TCP)
		return BH_FLOW_TCP;
	if (packet->protocol == IPPROTO_UDP || packet->protocol == IPPROTO_SCTP)
		return BH_FLOW_UDP;
	if (packet->protocol != (packet->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		return BH_FLOW_OTHER; /* each over its own family alone */
	if (packet->family == 4)
		return type == 8 || type == 0 ? BH_FLOW_ECHO : FLOWKEY_STATELESS;
	return type == 128 || type == 129 ? BH_FLOW_ECHO : FLOWKEY_STATELESS;
}

/*
 * All ones for a packet that comes in, else 0: what chooses between its ends without a branch,
 * which would double what is verified behind it.
 */
static __always_inline __u64 flowkey_in(const struct packet *packet)
{
	_Static_assert(BH_IN == 0 && BH_OUT == 1, "less one: a mask");
	return (__u64)packet->direction - 1;
}

/*
 * The packet as its answer would be; twice is as before, but for the code of an echo: that of the
 * other one is not known, and 0 is what there is (RFC 792, RFC 4443 section 4).
 */
static __always_inline void flowkey_turn(struct packet *packet)
{
	union packet_address address = packet->source;
	__u16 port = packet->class_source_port;
	__be16 port_be = packet->source_port;

	packet->source = packet->destination;
	packet->destination = address;
	packet->source_port = packet->destination_port;
	packet->destination_port = port_be;
	packet->direction = !packet->direction;
	if (flowkey_kind(packet) == BH_FLOW_ECHO) {
		packet->class_destination_port ^= packet->family == 4 ? 8 << 8 : 1 << 8;
		packet->class_destination_port &= 0xff00;
		return;
	}
	packet->class_source_port = packet->class_destination_port;
	packet->class_destination_port = port;
}

/*
 * The words of struct bh_flow_key4 and bh_flow_key6, by shifts, as they lie in memory on the only
 * byte order there is: stores of halves that are read as a whole would stall.
 */
static __always_inline __u64 flowkey_ports(const struct packet *packet)
{
	__u64 source = packet->source_port;
	__u64 destination = packet->destination_port;
	__u64 differ = (source ^ destination) & flowkey_in(packet);

	return (source ^ differ) | (destination ^ differ) << 16 | (__u64)packet->protocol << 32;
}

/* The ends of an echo: the identifier, and the direction in which the request went. */
static __always_inline __u64 flowkey_echo(const struct packet *packet)
{
	__u64 opened = (packet->direction == BH_IN) == flowkey_is_request(packet) ? 1 : 2;

	return packet->echo_id | opened << 16 | (__u64)packet->protocol << 32;
}

static __always_inline void flowkey_words4(const struct packet *packet, __u64 ports, __u64 *words)
{
	__u64 source = packet->source.word[3];
	__u64 destination = packet->destination.word[3];
	__u64 differ = (source ^ destination) & flowkey_in(packet);

	words[0] = (source ^ differ) | (destination ^ differ) << 32;
	words[1] = ports;
}

static __always_inline void flowkey_words6(const struct packet *packet, __u64 ports, __u64 *words)
{
	__u64 in = flowkey_in(packet);

	for (int i = 0; i < 2; i++) {
		__u64 source = packet->source.half[i];
		__u64 differ = source ^ packet->destination.half[i];

		words[i] = source ^ (differ & in);
		words[2 + i] = source ^ (differ & ~in);
	}
	words[4] = ports;
}

/* All that a search for the packet's flow needs; query is all zero before. */
static __always_inline void flowkey_query(const struct packet *packet, __u32 kind, __u64 generation,
					  struct flow_query *query)
{
	__u64 ports = kind == BH_FLOW_ECHO ? flowkey_echo(packet) : flowkey_ports(packet);

	query->generation = generation;
	query->tick = clock_tick();
	query->wide = packet->family == 6;
	if (query->wide) {
		flowkey_words6(packet, ports, query->word);
		query->hash = flow_hash6(query->word);
	} else {
		flowkey_words4(packet, ports, query->word);
		query->hash = flow_hash4(query->word);
	}
}

static __always_inline bool flowkey_is_opener(const struct packet *packet, __u32 flags)
{
	return !(flags & BH_FLOW_OUT) == (packet->direction == BH_IN);
}

#endif
