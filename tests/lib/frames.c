// SPDX-License-Identifier: GPL-2.0-only
/* Frames, layer by layer. */
#include "tests/lib/frames.h"

#include <assert.h>
#include <string.h>

enum {
	ETHERNET_SIZE = 14,
	TYPE_IPV4 = 0x0800,
	TYPE_IPV6 = 0x86dd,
	PROTO_ICMP = 1,
	PROTO_IGMP = 2,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_FRAGMENT = 44,
	PROTO_ICMPV6 = 58,
	PROTO_SCTP = 132,
	LATER_OFFSET = 1480,
};

static uint8_t *add(struct frame *frame, size_t size)
{
	uint8_t *at = frame->bytes + frame->size;

	assert(frame->size + size <= FRAME_SIZE_MAX);
	memset(at, 0, size);
	frame->size += size;
	return at;
}

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = value >> 8;
	at[1] = value & 0xff;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

void frame_put16(struct frame *frame, size_t at, uint16_t value)
{
	put16(frame->bytes + at, value);
}

void frame_start(struct frame *frame)
{
	static const uint8_t addresses[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};

	*frame = (struct frame){.next_at = 12, .next_is_type = true};
	memcpy(add(frame, ETHERNET_SIZE), addresses, sizeof(addresses));
}

void frame_to(struct frame *frame, const uint8_t destination[6])
{
	memcpy(frame->bytes, destination, 6);
}

void frame_type(struct frame *frame, uint16_t type)
{
	put16(frame->bytes + frame->next_at, type);
}

void frame_tag(struct frame *frame, uint16_t type)
{
	frame_type(frame, type);
	frame->next_at = frame->size + 2;
	put16(add(frame, 4), 100);
}

static void name_protocol(struct frame *frame, uint8_t protocol)
{
	frame->bytes[frame->next_at] = protocol;
}

void frame_ip(struct frame *frame, const struct addr *source, const struct addr *destination,
	      uint8_t hop_limit)
{
	bool v4 = source->family == ADDR_V4;
	size_t at = frame->size;
	uint8_t *ip;

	frame_type(frame, v4 ? TYPE_IPV4 : TYPE_IPV6);
	ip = add(frame, v4 ? 20 : 40);
	ip[0] = v4 ? 0x45 : 0x60;
	ip[v4 ? 8 : 7] = hop_limit;
	memcpy(ip + (v4 ? 12 : 8), source->bytes, v4 ? 4 : 16);
	memcpy(ip + (v4 ? 16 : 24), destination->bytes, v4 ? 4 : 16);
	frame->family = source->family;
	frame->ip_at = at;
	frame->l4_at = frame->size;
	frame->next_at = at + (v4 ? 9 : 6);
	frame->next_is_type = false;
}

void frame_options(struct frame *frame, const void *options, size_t size)
{
	size_t padded = (size + 3) & ~(size_t)3;

	memcpy(add(frame, padded), options, size);
	frame->bytes[frame->ip_at] += padded / 4;
	frame->l4_at = frame->size;
}

void frame_extension(struct frame *frame, uint8_t type, const void *body, size_t size)
{
	size_t padded = (2 + size + 7) & ~(size_t)7;
	size_t at = frame->size;
	uint8_t *header = add(frame, padded);

	name_protocol(frame, type);
	header[1] = padded / 8 - 1;
	memcpy(header + 2, body, size);
	frame->next_at = at;
	frame->l4_at = frame->size;
}

void frame_fragment(struct frame *frame, uint32_t id, uint32_t offset, bool more)
{
	uint8_t *ip = frame->bytes + frame->ip_at;
	size_t at = frame->size;
	uint8_t *header;

	frame->later = offset > 0;
	if (frame->family == ADDR_V4) {
		put16(ip + 4, id & 0xffff);
		put16(ip + 6, offset / 8 | (more ? 0x2000 : 0));
		return;
	}
	name_protocol(frame, PROTO_FRAGMENT);
	header = add(frame, 8);
	put16(header + 2, offset | more);
	put32(header + 4, id);
	frame->next_at = at;
	frame->l4_at = frame->size;
}

void frame_protocol(struct frame *frame, uint8_t protocol)
{
	name_protocol(frame, protocol);
	frame->protocol = protocol;
}

void frame_tcp(struct frame *frame, uint16_t source, uint16_t destination, unsigned flags)
{
	uint8_t *tcp = add(frame, 20);
	uint32_t acknowledged = flags & FRAME_TCP_STRAY ? 0x5aa5 : 1;

	frame_protocol(frame, PROTO_TCP);
	put16(tcp, source);
	put16(tcp + 2, destination);
	put32(tcp + 4, !(flags & FRAME_TCP_SYN));
	put32(tcp + 8, flags & FRAME_TCP_ACK ? acknowledged : 0);
	tcp[12] = 5 << 4;
	tcp[13] = (uint8_t)flags;
	put16(tcp + 14, 0xffff);
}

void frame_udp(struct frame *frame, uint16_t source, uint16_t destination)
{
	uint8_t *udp = add(frame, 8);

	frame_protocol(frame, PROTO_UDP);
	put16(udp, source);
	put16(udp + 2, destination);
}

void frame_sctp(struct frame *frame, uint16_t source, uint16_t destination)
{
	uint8_t *sctp = add(frame, 12);

	frame_protocol(frame, PROTO_SCTP);
	put16(sctp, source);
	put16(sctp + 2, destination);
}

void frame_icmp(struct frame *frame, uint8_t type, uint8_t code, uint16_t id)
{
	uint8_t *icmp = add(frame, 8);

	frame_protocol(frame, frame->family == ADDR_V4 ? PROTO_ICMP : PROTO_ICMPV6);
	icmp[0] = type;
	icmp[1] = code;
	put16(icmp + 4, id);
}

void frame_payload(struct frame *frame, const void *data, size_t size)
{
	memcpy(add(frame, size), data, size);
}

void frame_zeros(struct frame *frame, size_t size)
{
	(void)add(frame, size);
}

/* ---- the end ---- */

static uint32_t sum(const uint8_t *data, size_t size, uint32_t total)
{
	for (size_t i = 0; i < size; i++)
		total += i & 1 ? data[i] : (uint32_t)data[i] << 8;
	return total;
}

static uint16_t fold(uint32_t total)
{
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return ~total & 0xffff;
}

/* Where the checksum of the upper layer stands; 0: it has none that is filled in here. */
static size_t checksum_at(const struct frame *frame)
{
	if (frame->later)
		return 0;
	if (frame->protocol == PROTO_TCP)
		return 16;
	if (frame->protocol == PROTO_UDP)
		return 6;
	if (frame->protocol == (frame->family == ADDR_V4 ? PROTO_ICMP : PROTO_ICMPV6))
		return 2;
	return 0;
}

static void finish_upper(struct frame *frame)
{
	size_t len = frame->size - frame->l4_at;
	uint8_t *upper = frame->bytes + frame->l4_at;
	bool v4 = frame->family == ADDR_V4;
	size_t at = checksum_at(frame);
	uint32_t total = 0;

	if (!at)
		return;
	if (frame->protocol == PROTO_UDP)
		put16(upper + 4, len);
	if (frame->protocol != PROTO_ICMP)
		total = sum(frame->bytes + frame->ip_at + (v4 ? 12 : 8), v4 ? 8 : 32,
			    frame->protocol + (uint32_t)len);
	put16(upper + at, fold(sum(upper, len, total)));
}

void frame_finish(struct frame *frame)
{
	uint8_t *ip = frame->bytes + frame->ip_at;

	if (!frame->family)
		return;
	finish_upper(frame);
	if (frame->family == ADDR_V6) {
		put16(ip + 4, frame->size - frame->ip_at - 40);
		return;
	}
	put16(ip + 2, frame->size - frame->ip_at);
	put16(ip + 10, fold(sum(ip, (ip[0] & 15) * 4, 0)));
}

/* ---- tuples ---- */

uint8_t frame_hop_limit(const struct tuple *tuple)
{
	bool icmp6 = tuple->protocol == PROTO_ICMPV6 && tuple->source.family == ADDR_V6;
	uint8_t type = tuple->icmp_type;

	if (icmp6 && type >= 133 && type <= 136)
		return 255;
	if (icmp6 && ((type >= 130 && type <= 132) || type == 143))
		return 1;
	return tuple->protocol == PROTO_IGMP && tuple->source.family == ADDR_V4 ? 1 : 64;
}

void frame_upper(struct frame *frame, const struct tuple *tuple, unsigned tcp_flags)
{
	uint8_t icmp = tuple->source.family == ADDR_V4 ? PROTO_ICMP : PROTO_ICMPV6;

	if (tuple->fragment || (tuple->protocol != PROTO_TCP && tuple->protocol != PROTO_UDP &&
				tuple->protocol != PROTO_SCTP && tuple->protocol != icmp)) {
		frame_protocol(frame, tuple->protocol);
		frame_zeros(frame, 24);
	} else if (tuple->protocol == PROTO_TCP) {
		frame_tcp(frame, tuple->source_port, tuple->destination_port, tcp_flags);
	} else if (tuple->protocol == PROTO_UDP) {
		frame_udp(frame, tuple->source_port, tuple->destination_port);
	} else if (tuple->protocol == PROTO_SCTP) {
		frame_sctp(frame, tuple->source_port, tuple->destination_port);
	} else {
		frame_icmp(frame, tuple->icmp_type, tuple->icmp_code, 0x1234);
	}
}

void frame_of_tuple(struct frame *frame, const struct tuple *tuple, unsigned tcp_flags)
{
	frame_start(frame);
	frame_ip(frame, &tuple->source, &tuple->destination, frame_hop_limit(tuple));
	if (tuple->fragment)
		frame_fragment(frame, 0x77, LATER_OFFSET, false);
	frame_upper(frame, tuple, tcp_flags);
	frame_finish(frame);
}
