/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What parse hands to the rest: one packet, all that any later step needs to know of its bytes.
 * It lives on the stack of the program; everybody passes it by pointer.
 */
#ifndef BPF_PACKET_BPF_H
#define BPF_PACKET_BPF_H

#include <linux/types.h>

#include "bpf/abi.h"

/*
 * A function that stands where it is called. BH_SHORT_STACK: or apart from it, and takes nothing but pointers
 * to memory then: compilers newer than clang 14 need more stack (bpf/meson.build), and what a function keeps
 * there stays at every call of another one.
 */
#ifdef BH_SHORT_STACK
#define IN_PLACE __attribute__((noinline))
#else
#define IN_PLACE static __always_inline
#endif

#define PACKET_ICMP_HEADER 8 /* bytes; behind them an error quotes */

enum packet_fragment {
	PACKET_WHOLE, /* atomic fragments are whole */
	PACKET_FIRST,
	PACKET_LATER, /* has no ports */
};

/* IPv4 as ::ffff:a.b.c.d; network order as in memory. */
union packet_address {
	__be32 word[4];
	__u64 half[2];
};

struct packet {
	union packet_address source;
	union packet_address destination;
	__be16 source_port; /* TCP, UDP, SCTP, network order; else 0 */
	__be16 destination_port;
	__u16 class_source_port;      /* what classify looks up, host order; ICMP: 0 */
	__u16 class_destination_port; /* ICMP and ICMPv6: type << 8 | code */
	__u8 family;		      /* 4, 6; 0: not IP, and decided by parse */
	__u8 protocol;		      /* of the upper layer, behind extension headers */
	__u8 direction;		      /* enum bh_direction */
	__u8 hook;		      /* enum bh_hook */
	__u8 tcp_flags;		      /* the flags byte of the TCP header */
	__u8 fragment;		      /* enum packet_fragment */
	__u8 hop_limit;
	__u8 icmp_error; /* 1: an ICMP error that may pass for what it quotes */
	union {
		__be16 echo_id;	    /* echo request and reply */
		__u16 acknowledges; /* TCP: low 16 bits of the acknowledgment number */
	};
	__be16 ether_type;
	__be32 fragment_id;
	__u16 fragment_offset; /* bytes, PACKET_LATER */
	__u16 header_end;      /* PACKET_FIRST: bytes of the fragment's payload that the layer-4
				* header takes, from the start of the fragmentable part; of an
				* ICMP error that passes, all of them */
	__u32 l4_offset;       /* from the start of the frame */
	__u32 length;	       /* bytes on the wire, from the Ethernet header on */
	__u32 packets;	       /* GSO segments, at least 1 */
	__u32 ifindex;
	__u8 fragment_protocol; /* PACKET_FIRST and LATER: what both say, for the key of fragments;
				 * IPv6: the fragment header's next header */
	__u8 loopback;		/* 1: the host's own looped multicast */
	union {
		__u16 l4_size; /* ICMP: bytes from l4_offset to the end of the IP packet */
		__u16 expects; /* TCP: low 16 bits of the number by which the other end acknowledges it all */
	};
};
_Static_assert(sizeof(struct packet) == 80, "no padding: separately verified functions read it");

#endif
