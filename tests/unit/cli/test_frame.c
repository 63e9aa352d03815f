// SPDX-License-Identifier: GPL-2.0-only
/* Frames out of described packets, byte by byte where it matters. */
#include <criterion/criterion.h>
#include <string.h>

#include "cli/frame.h"

enum { ETHER = 14, IPV4 = 20, IPV6 = 40 };

struct frame {
	uint8_t bytes[FRAME_MAX_SIZE];
	size_t size;
};

static struct frame built(const char *text, enum frame_tcp tcp)
{
	scoped(diag_free) struct diag *diag = diag_new();
	struct frame frame;
	struct tuple tuple;

	cr_assert_eq(tuple_parse(str_of(text), (struct mark){}, diag, &tuple), 0, "%s", text);
	memset(frame.bytes, 0xa5, sizeof(frame.bytes));
	frame.size = frame_build(&tuple, tcp, frame.bytes);
	cr_assert_leq(frame.size, FRAME_MAX_SIZE);
	cr_assert_geq(frame.size, 60, "shorter than a frame can be");
	return frame;
}

static unsigned at16(const struct frame *frame, size_t offset)
{
	return (unsigned)frame->bytes[offset] << 8 | frame->bytes[offset + 1];
}

/* The bytes at offset are those of the list. */
static void has(const struct frame *frame, size_t offset, const uint8_t *bytes, size_t n)
{
	cr_assert_arr_eq(frame->bytes + offset, bytes, n, "at %zu", offset);
}

#define HAS(frame, offset, ...) \
	has(frame, offset, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

Test(frame, tcp_over_ipv4)
{
	struct frame frame = built("in tcp 192.0.2.1:40000 10.0.0.4:443", FRAME_SYN);

	HAS(&frame, ETHER - 2, 0x08, 0x00);
	HAS(&frame, ETHER, 0x45);
	cr_assert_eq(at16(&frame, ETHER + 2), 40, "total length");
	HAS(&frame, ETHER + 8, 64, 6);
	HAS(&frame, ETHER + 12, 192, 0, 2, 1, 10, 0, 0, 4);
	cr_assert_eq(at16(&frame, ETHER + IPV4), 40000);
	cr_assert_eq(at16(&frame, ETHER + IPV4 + 2), 443);
	HAS(&frame, ETHER + IPV4 + 12, 0x50, 0x02);
}

Test(frame, the_kinds_of_a_tcp_packet_are_its_flags)
{
	const char *text = "out tcp [2001:db8::4]:1 [2001:db8::1]:2";
	const size_t flags = ETHER + IPV6 + 13;

	cr_assert_eq(built(text, FRAME_SYN).bytes[flags], 0x02);
	cr_assert_eq(built(text, FRAME_SYN_ACK).bytes[flags], 0x12);
	cr_assert_eq(built(text, FRAME_ACK).bytes[flags], 0x10);
}

Test(frame, a_handshake_has_the_numbers_by_which_it_is_complete)
{
	static const uint8_t zero[4], one[4] = {0, 0, 0, 1};
	const char *text = "out tcp [2001:db8::4]:1 [2001:db8::1]:2";
	const size_t sequence = ETHER + IPV6 + 4, acknowledged = ETHER + IPV6 + 8;
	struct frame answer = built(text, FRAME_SYN_ACK);
	struct frame last = built(text, FRAME_ACK);

	cr_assert_arr_eq(&answer.bytes[sequence], zero, 4);
	cr_assert_arr_eq(&last.bytes[sequence], one, 4);
	cr_assert_arr_eq(&last.bytes[acknowledged], one, 4);
}

Test(frame, udp_and_sctp_over_ipv6)
{
	struct frame udp = built("in udp [2001:db8::1]:5000 [2001:db8::4]:53", FRAME_SYN);
	struct frame sctp = built("in sctp [2001:db8::1]:1 [2001:db8::4]:65535", FRAME_SYN);

	HAS(&udp, ETHER - 2, 0x86, 0xdd, 0x60);
	cr_assert_eq(at16(&udp, ETHER + 4), 8, "payload length");
	HAS(&udp, ETHER + 6, 17, 64, 0x20, 0x01, 0x0d, 0xb8);
	cr_assert_eq(at16(&udp, ETHER + IPV6), 5000);
	cr_assert_eq(at16(&udp, ETHER + IPV6 + 2), 53);
	cr_assert_eq(at16(&udp, ETHER + IPV6 + 4), 8, "UDP length");
	cr_assert_eq(at16(&sctp, ETHER + 4), 12);
	cr_assert_eq(sctp.bytes[ETHER + 6], 132);
	cr_assert_eq(at16(&sctp, ETHER + IPV6 + 2), 65535);
}

Test(frame, icmp_has_type_code_and_an_id)
{
	struct frame four = built("in icmp 192.0.2.1 10.0.0.4 type 3 code 4", FRAME_SYN);
	struct frame six = built("in icmpv6 2001:db8::1 2001:db8::4", FRAME_SYN);

	HAS(&four, ETHER + 9, 1);
	HAS(&four, ETHER + IPV4, 3, 4);
	HAS(&six, ETHER + 6, 58);
	HAS(&six, ETHER + IPV6, 128, 0);
	cr_assert_neq(at16(&six, ETHER + IPV6 + 4), 0, "echo goes by its id");
}

Test(frame, what_the_hop_limit_makes_genuine_gets_it)
{
	cr_assert_eq(built("in icmpv6 fe80::1 fe80::2 type 135", FRAME_SYN).bytes[ETHER + 7], 255);
	cr_assert_eq(built("in icmpv6 fe80::1 fe80::2 type 137", FRAME_SYN).bytes[ETHER + 7], 255);
	cr_assert_eq(built("in icmpv6 fe80::1 ff02::1 type 130", FRAME_SYN).bytes[ETHER + 7], 1);
	cr_assert_eq(built("in icmpv6 fe80::1 ff02::16 type 143", FRAME_SYN).bytes[ETHER + 7], 1);
	cr_assert_eq(built("in icmpv6 fe80::1 fe80::2 type 128", FRAME_SYN).bytes[ETHER + 7], 64);
	cr_assert_eq(built("in 2 192.0.2.1 224.0.0.22", FRAME_SYN).bytes[ETHER + 8], 1, "IGMP");
}

Test(frame, a_fragment_is_a_later_one)
{
	struct frame four = built("in tcp 192.0.2.1 10.0.0.4 frag", FRAME_SYN);
	struct frame six = built("in udp 2001:db8::1 2001:db8::4 frag", FRAME_SYN);

	cr_assert_neq(at16(&four, ETHER + 6) & 0x1fff, 0, "offset");
	cr_assert_eq(four.bytes[ETHER + 9], 6);
	cr_assert_eq(six.bytes[ETHER + 6], 44, "a fragment header");
	HAS(&six, ETHER + IPV6, 17, 0);
	cr_assert_neq(at16(&six, ETHER + IPV6 + 2) & 0xfff8, 0, "offset");
	cr_assert_eq(at16(&six, ETHER + 4), 16, "payload length");
}

Test(frame, other_protocols_carry_eight_bytes_of_nothing)
{
	struct frame frame = built("in gre 192.0.2.1 10.0.0.4", FRAME_SYN);

	cr_assert_eq(at16(&frame, ETHER + 2), IPV4 + 8);
	HAS(&frame, ETHER + IPV4, 0, 0, 0, 0, 0, 0, 0, 0);
}
