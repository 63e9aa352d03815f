/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Builds Ethernet frames layer by layer. Each layer names itself in the one before it; the end,
 * frame_finish, fills in lengths and checksums. What must be wrong is made wrong afterwards, by
 * the offsets that the frame remembers.
 */
#ifndef TESTS_FRAMES_H
#define TESTS_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "policy/tuple.h"

enum { FRAME_SIZE_MAX = 16384 };

struct frame {
	uint8_t bytes[FRAME_SIZE_MAX];
	size_t size;
	size_t next_at;	   /* where the layer that comes next writes what it is */
	bool next_is_type; /* as an Ethernet type, else as a protocol */
	size_t ip_at;	   /* the IP header */
	size_t l4_at;	   /* behind IP header, options and extension headers */
	uint8_t family;	   /* enum addr_family */
	uint8_t protocol;
	bool later; /* a later fragment: its payload is no header */
};

#define FRAME_TCP_FIN 0x01
#define FRAME_TCP_SYN 0x02
#define FRAME_TCP_RST 0x04
#define FRAME_TCP_PSH 0x08
#define FRAME_TCP_ACK 0x10

/* Beside the flags of the header: it acknowledges what nobody has sent. Of others the numbers fit. */
#define FRAME_TCP_STRAY 0x100

/* An Ethernet header, to an address of a station. */
void frame_start(struct frame *frame);

/* The six bytes of the destination. */
void frame_to(struct frame *frame, const uint8_t destination[6]);

void frame_tag(struct frame *frame, uint16_t type);

/* An Ethernet type without a layer of its own here. */
void frame_type(struct frame *frame, uint16_t type);

/* IPv4 or IPv6, by the family of the addresses. */
void frame_ip(struct frame *frame, const struct addr *source, const struct addr *destination,
	      uint8_t hop_limit);

/* IPv4 options right behind frame_ip; padded with end-of-options to 4 bytes. */
void frame_options(struct frame *frame, const void *options, size_t size);

/* An IPv6 extension header whose bytes behind next header and length are body, padded to 8. */
void frame_extension(struct frame *frame, uint8_t type, const void *body, size_t size);

/* A fragment: the header of IPv6, or the fields of IPv4. offset in bytes. */
void frame_fragment(struct frame *frame, uint32_t id, uint32_t offset, bool more);

void frame_tcp(struct frame *frame, uint16_t source, uint16_t destination, unsigned flags);
void frame_udp(struct frame *frame, uint16_t source, uint16_t destination);
void frame_sctp(struct frame *frame, uint16_t source, uint16_t destination);
void frame_icmp(struct frame *frame, uint8_t type, uint8_t code, uint16_t id);

/* Any other protocol, or the payload of a later fragment: what follows is payload. */
void frame_protocol(struct frame *frame, uint8_t protocol);

void frame_payload(struct frame *frame, const void *data, size_t size);
void frame_zeros(struct frame *frame, size_t size);

/* Lengths of IP and UDP, checksums of IPv4, TCP, UDP, ICMP and ICMPv6. */
void frame_finish(struct frame *frame);

void frame_put16(struct frame *frame, size_t at, uint16_t value);

/* The layers of a tuple: its hop limit, and its upper header, or payload of a later fragment. */
uint8_t frame_hop_limit(const struct tuple *tuple);
void frame_upper(struct frame *frame, const struct tuple *tuple, unsigned tcp_flags);

/*
 * The packet that a tuple describes: genuine ND, MLD and IGMP by their hop limit, TCP with these
 * flags, a later fragment where the tuple says so.
 */
void frame_of_tuple(struct frame *frame, const struct tuple *tuple, unsigned tcp_flags);

#endif
