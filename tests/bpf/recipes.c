// SPDX-License-Identifier: GPL-2.0-only
/* Frames that are refused, one function each, and the list of them. */
#include "tests/bpf/recipes.h"

#include <criterion/criterion.h>

enum {
	TYPE_VLAN = 0x8100,
	TYPE_QINQ = 0x88a8,
	HOP_BY_HOP = 0,
	ROUTING = 43,
	DESTINATION = 60,
	FRAGMENT_ID = 0x4711,
};

static void send(struct scene *scene, enum enforcer_program program, const struct frame *frame,
		 const char *expected)
{
	wire_expect(scene, program, frame, expected, "a frame that goes before");
}

static const char *allowed(enum enforcer_program program)
{
	return wire_is_out(program) ? "allow wire/out" : "allow wire/in";
}

/* ---- truncated, bad-length, bad-header ---- */

/* Behind a tag, since BPF_PROG_RUN itself refuses one that stands first. */
static void cut_ip_header(struct scene *scene, enum enforcer_program program,
			  enum addr_family family, struct frame *frame)
{
	(void)scene;
	frame_start(frame);
	frame_tag(frame, TYPE_VLAN);
	wire_tcp(frame, family, wire_is_out(program), 443);
	frame_finish(frame);
	frame->size = frame->ip_at + 19;
}

static void cut_tcp_header(struct scene *scene, enum enforcer_program program,
			   enum addr_family family, struct frame *frame)
{
	(void)scene;
	wire_tcp(frame, family, wire_is_out(program), 443);
	frame->size = frame->l4_at + 19;
	frame_finish(frame);
}

static void cut_tag(struct scene *scene, enum enforcer_program program, enum addr_family family,
		    struct frame *frame)
{
	(void)scene;
	(void)program;
	(void)family;
	frame_start(frame);
	frame_tag(frame, TYPE_VLAN);
	frame->size -= 1;
}

static void cut_extension(struct scene *scene, enum enforcer_program program,
			  enum addr_family family, struct frame *frame)
{
	(void)scene;
	wire_ip(frame, family, wire_is_out(program));
	frame_extension(frame, DESTINATION, "\1\4", 6);
	frame->bytes[frame->size - 7] = 7; /* its length, which passes the end */
	frame_finish(frame);
}

static void longer_than_frame(struct scene *scene, enum enforcer_program program,
			      enum addr_family family, struct frame *frame)
{
	(void)scene;
	wire_tcp(frame, family, wire_is_out(program), 443);
	frame_finish(frame);
	frame->size--;
}

static void shorter_than_header(struct scene *scene, enum enforcer_program program,
				enum addr_family family, struct frame *frame)
{
	(void)scene;
	wire_tcp(frame, family, wire_is_out(program), 443);
	frame_finish(frame);
	frame_put16(frame, frame->ip_at + 2, 19);
}

static void tcp_offset_past_end(struct scene *scene, enum enforcer_program program,
				enum addr_family family, struct frame *frame)
{
	(void)scene;
	wire_ip(frame, family, wire_is_out(program));
	frame_tcp(frame, 40000, 443, FRAME_TCP_SYN);
	frame_zeros(frame, 36);
	frame->bytes[frame->l4_at + 12] = 15 << 4;
	frame_finish(frame);
}

/* A length of UDP that passes the packet, and one that does not hold the header. */
static void udp_length(struct scene *scene, enum enforcer_program program, enum addr_family family,
		       struct frame *frame)
{
	(void)scene;
	wire_udp(frame, family, wire_is_out(program), 443);
	frame_finish(frame);
	frame_put16(frame, frame->l4_at + 4, frame->size - frame->l4_at + 1);
}

static void udp_short(struct scene *scene, enum enforcer_program program, enum addr_family family,
		      struct frame *frame)
{
	(void)scene;
	wire_udp(frame, family, wire_is_out(program), 443);
	frame_finish(frame);
	frame_put16(frame, frame->l4_at + 4, 7);
}

/* A first fragment of a datagram that says it ends within it. */
static void udp_ends_in_first(struct scene *scene, enum enforcer_program program,
			      enum addr_family family, struct frame *frame)
{
	(void)scene;
	wire_ip(frame, family, wire_is_out(program));
	frame_fragment(frame, FRAGMENT_ID, 0, true);
	frame_udp(frame, 40000, 443);
	frame_zeros(frame, 64);
	frame_finish(frame);
	frame_put16(frame, frame->l4_at + 4, 71);
}

static void fragment_of_nothing(struct scene *scene, enum enforcer_program program,
				enum addr_family family, struct frame *frame)
{
	(void)scene;
	wire_ip(frame, family, wire_is_out(program));
	frame_fragment(frame, FRAGMENT_ID, 64, true);
	frame_protocol(frame, 17);
	frame_finish(frame);
}

static void fragment_past_64k(struct scene *scene, enum enforcer_program program,
			      enum addr_family family, struct frame *frame)
{
	(void)scene;
	wire_ip(frame, family, wire_is_out(program));
	frame_fragment(frame, FRAGMENT_ID, 65528, false);
	frame_protocol(frame, 17);
	frame_zeros(frame, 16);
	frame_finish(frame);
}

static void fragment_not_by_8(struct scene *scene, enum enforcer_program program,
			      enum addr_family family, struct frame *frame)
{
	(void)scene;
	wire_ip(frame, family, wire_is_out(program));
	frame_fragment(frame, FRAGMENT_ID, 64, true);
	frame_protocol(frame, 17);
	frame_zeros(frame, 17);
	frame_finish(frame);
}

static void version(struct scene *scene, enum enforcer_program program, enum addr_family family,
		    struct frame *frame)
{
	(void)scene;
	wire_tcp(frame, family, wire_is_out(program), 443);
	frame_finish(frame);
	frame->bytes[frame->ip_at] ^= 0x20; /* 4 becomes 6, and 6 becomes 4 */
}

static void short_header_length(struct scene *scene, enum enforcer_program program,
				enum addr_family family, struct frame *frame)
{
	(void)scene;
	wire_tcp(frame, family, wire_is_out(program), 443);
	frame_finish(frame);
	frame->bytes[frame->ip_at] = 0x44;
}

static void tcp_offset_short(struct scene *scene, enum enforcer_program program,
			     enum addr_family family, struct frame *frame)
{
	(void)scene;
	wire_tcp(frame, family, wire_is_out(program), 443);
	frame->bytes[frame->l4_at + 12] = 4 << 4;
	frame_finish(frame);
}

static void option_of_length_1(struct scene *scene, enum enforcer_program program,
			       enum addr_family family, struct frame *frame)
{
	(void)scene;
	wire_ip(frame, family, wire_is_out(program));
	frame_options(frame, "\x1\x7\x1\x1", 4);
	frame_udp(frame, 40000, 443);
	frame_finish(frame);
}

static void option_past_header(struct scene *scene, enum enforcer_program program,
			       enum addr_family family, struct frame *frame)
{
	(void)scene;
	wire_ip(frame, family, wire_is_out(program));
	frame_options(frame, "\x1\x7\x4\x4", 4);
	frame_udp(frame, 40000, 443);
	frame_finish(frame);
}

static void option6_past_header(struct scene *scene, enum enforcer_program program,
				enum addr_family family, struct frame *frame)
{
	(void)scene;
	wire_ip(frame, family, wire_is_out(program));
	frame_extension(frame, DESTINATION, "\x1\x5\0\0\0\0", 6);
	frame_udp(frame, 40000, 443);
	frame_finish(frame);
}

static void hop_by_hop_second(struct scene *scene, enum enforcer_program program,
			      enum addr_family family, struct frame *frame)
{
	(void)scene;
	wire_ip(frame, family, wire_is_out(program));
	frame_extension(frame, DESTINATION, "\x1\x4\0\0\0\0", 6);
	frame_extension(frame, HOP_BY_HOP, "\x1\x4\0\0\0\0", 6);
	frame_udp(frame, 40000, 443);
	frame_finish(frame);
}

static void two_fragment_headers(struct scene *scene, enum enforcer_program program,
				 enum addr_family family, struct frame *frame)
{
	(void)scene;
	wire_ip(frame, family, wire_is_out(program));
	frame_fragment(frame, FRAGMENT_ID, 0, false);
	frame_fragment(frame, FRAGMENT_ID, 0, false);
	frame_udp(frame, 40000, 443);
	frame_finish(frame);
}

/* ---- not-ip, tags, headers, source routes, jumbograms, martians, flags ---- */

static void mpls(struct scene *scene, enum enforcer_program program, enum addr_family family,
		 struct frame *frame)
{
	(void)scene;
	wire_tcp(frame, family, wire_is_out(program), 443);
	frame_finish(frame);
	frame_put16(frame, 12, 0x8847);
}

static void pppoe_behind_tag(struct scene *scene, enum enforcer_program program,
			     enum addr_family family, struct frame *frame)
{
	(void)scene;
	(void)program;
	(void)family;
	frame_start(frame);
	frame_tag(frame, TYPE_VLAN);
	frame_type(frame, 0x8864);
	frame_zeros(frame, 64);
}

/* IPv4 in a frame of IEEE 802.3 with SNAP: no host takes it as IP, and no rule speaks of it. */
static void snap(struct scene *scene, enum enforcer_program program, enum addr_family family,
		 struct frame *frame)
{
	(void)scene;
	(void)program;
	(void)family;
	frame_start(frame);
	frame_type(frame, 72);
	frame_payload(frame, "\xaa\xaa\x03\0\0\0\x08", 8);
	frame_zeros(frame, 64);
}

static void three_tags(struct scene *scene, enum enforcer_program program, enum addr_family family,
		       struct frame *frame)
{
	(void)scene;
	frame_start(frame);
	frame_tag(frame, TYPE_QINQ);
	frame_tag(frame, TYPE_VLAN);
	frame_tag(frame, TYPE_VLAN);
	wire_tcp(frame, family, wire_is_out(program), 443);
	frame_finish(frame);
}

static void nine_headers(struct scene *scene, enum enforcer_program program,
			 enum addr_family family, struct frame *frame)
{
	(void)scene;
	wire_ip(frame, family, wire_is_out(program));
	for (int i = 0; i < 9; i++)
		frame_extension(frame, DESTINATION, "\x1\x4\0\0\0\0", 6);
	frame_udp(frame, 40000, 443);
	frame_finish(frame);
}

static void source_route4(struct frame *frame, uint8_t option)
{
	uint8_t options[] = {1, option, 7, 4, 192, 0, 2, 77};

	frame_options(frame, options, sizeof(options));
	frame_udp(frame, 40000, 443);
	frame_finish(frame);
}

static void loose_source_route(struct scene *scene, enum enforcer_program program,
			       enum addr_family family, struct frame *frame)
{
	(void)scene;
	wire_ip(frame, family, wire_is_out(program));
	source_route4(frame, 131);
}

static void strict_source_route(struct scene *scene, enum enforcer_program program,
				enum addr_family family, struct frame *frame)
{
	(void)scene;
	wire_ip(frame, family, wire_is_out(program));
	source_route4(frame, 137);
}

static void segments_left(struct scene *scene, enum enforcer_program program,
			  enum addr_family family, struct frame *frame)
{
	static const uint8_t segment[22] = {4, 1};

	(void)scene;
	wire_ip(frame, family, wire_is_out(program));
	frame_extension(frame, ROUTING, segment, sizeof(segment));
	frame_udp(frame, 40000, 443);
	frame_finish(frame);
}

static void home_address(struct scene *scene, enum enforcer_program program,
			 enum addr_family family, struct frame *frame)
{
	static const uint8_t option[22] = {1, 2, 0, 0, 201, 16, 0x20, 1};

	(void)scene;
	wire_ip(frame, family, wire_is_out(program));
	frame_extension(frame, DESTINATION, option, sizeof(option));
	frame_udp(frame, 40000, 443);
	frame_finish(frame);
}

static void jumbo_option(struct scene *scene, enum enforcer_program program,
			 enum addr_family family, struct frame *frame)
{
	(void)scene;
	wire_ip(frame, family, wire_is_out(program));
	frame_extension(frame, HOP_BY_HOP, "\xc2\x4\0\1\0\0", 6);
	frame_udp(frame, 40000, 443);
	frame_finish(frame);
}

static void payload_length_0(struct scene *scene, enum enforcer_program program,
			     enum addr_family family, struct frame *frame)
{
	jumbo_option(scene, program, family, frame);
	frame_put16(frame, frame->ip_at + 4, 0);
}

static void from(struct frame *frame, const char *address)
{
	struct addr source, destination;

	cr_assert_eq(addr_parse(str_of(address), &source), 0);
	destination = wire_host(source.family);
	frame_start(frame);
	frame_ip(frame, &source, &destination, 64);
	frame_udp(frame, 40000, 443);
	frame_finish(frame);
}

#define MARTIANS(X)                     \
	X(loopback4, "127.0.0.1")       \
	X(multicast4, "224.0.0.9")      \
	X(this_network, "0.0.0.9")      \
	X(nobody4, "0.0.0.0")           \
	X(broadcast, "255.255.255.255") \
	X(loopback6, "::1")             \
	X(multicast6, "ff02::9")        \
	X(nobody6, "::")                \
	X(mapped, "::ffff:192.0.2.9")

#define X(name, address)                                                               \
	static void martian_##name(struct scene *scene, enum enforcer_program program, \
				   enum addr_family family, struct frame *frame)       \
	{                                                                              \
		(void)scene;                                                           \
		(void)program;                                                         \
		(void)family;                                                          \
		from(frame, address);                                                  \
	}
MARTIANS(X)
#undef X

static void with_flags(enum enforcer_program program, enum addr_family family, uint8_t flags,
		       struct frame *frame)
{
	wire_ip(frame, family, wire_is_out(program));
	frame_tcp(frame, 40000, 443, flags);
	frame_finish(frame);
}

#define FLAGS(X)                                                      \
	X(none, 0)                                                    \
	X(none_but_ecn, 0xc0)                                         \
	X(syn_fin, FRAME_TCP_SYN | FRAME_TCP_FIN)                     \
	X(syn_rst, FRAME_TCP_SYN | FRAME_TCP_RST)                     \
	X(syn_fin_ack, FRAME_TCP_SYN | FRAME_TCP_FIN | FRAME_TCP_ACK) \
	X(all, 0xff)

#define X(name, value)                                                               \
	static void flags_##name(struct scene *scene, enum enforcer_program program, \
				 enum addr_family family, struct frame *frame)       \
	{                                                                            \
		(void)scene;                                                         \
		with_flags(program, family, value, frame);                           \
	}
FLAGS(X)
#undef X

/* ---- fragments ---- */

static void later(enum enforcer_program program, enum addr_family family, uint32_t offset,
		  struct frame *frame)
{
	wire_ip(frame, family, wire_is_out(program));
	frame_fragment(frame, FRAGMENT_ID, offset, false);
	frame_protocol(frame, 6);
	frame_zeros(frame, 32);
	frame_finish(frame);
}

static void first(enum enforcer_program program, enum addr_family family, struct frame *frame)
{
	wire_ip(frame, family, wire_is_out(program));
	frame_fragment(frame, FRAGMENT_ID, 0, true);
	frame_tcp(frame, 40000, 443, FRAME_TCP_SYN);
	frame_zeros(frame, 4);
	frame_finish(frame);
}

static void later_alone(struct scene *scene, enum enforcer_program program, enum addr_family family,
			struct frame *frame)
{
	(void)scene;
	later(program, family, 24, frame);
}

static void tiny(struct scene *scene, enum enforcer_program program, enum addr_family family,
		 struct frame *frame)
{
	(void)scene;
	first(program, family, frame);
	frame->size = frame->l4_at + 16;
	frame_finish(frame);
}

/* The options of TCP are a part of its header. */
static void tiny_options(struct scene *scene, enum enforcer_program program,
			 enum addr_family family, struct frame *frame)
{
	(void)scene;
	first(program, family, frame);
	frame->bytes[frame->l4_at + 12] = 7 << 4;
	frame_finish(frame);
}

static void overlap(struct scene *scene, enum enforcer_program program, enum addr_family family,
		    struct frame *frame)
{
	struct frame before = {};

	first(program, family, &before);
	send(scene, program, &before, allowed(program));
	later(program, family, 16, frame);
}

static void full_of_fragments(struct scene *scene, enum enforcer_program program,
			      enum addr_family family, struct frame *frame)
{
	flows_occupy(scene->enforcer, scene_config(scene), BH_TABLE_FRAGMENTS);
	first(program, family, frame);
}

static void full_of_flows(struct scene *scene, enum enforcer_program program,
			  enum addr_family family, struct frame *frame)
{
	flows_occupy(scene->enforcer, scene_config(scene),
		     family == ADDR_V4 ? BH_TABLE_HALF_OPEN4 : BH_TABLE_HALF_OPEN6);
	wire_tcp(frame, family, wire_is_out(program), 443);
	frame_finish(frame);
}

/* ---- ICMP ---- */

static void redirect(struct scene *scene, enum enforcer_program program, enum addr_family family,
		     struct frame *frame)
{
	(void)scene;
	wire_ip(frame, family, wire_is_out(program));
	frame_icmp(frame, family == ADDR_V4 ? 5 : 137, 0, 0);
	frame_zeros(frame, 64);
	frame_finish(frame);
}

static void error_of_nothing(struct scene *scene, enum enforcer_program program,
			     enum addr_family family, struct frame *frame)
{
	(void)scene;
	wire_ip(frame, family, wire_is_out(program));
	frame_icmp(frame, family == ADDR_V4 ? 3 : 1, 0, 0);
	frame_finish(frame);
}

static void error_of_error(struct scene *scene, enum enforcer_program program,
			   enum addr_family family, struct frame *frame)
{
	struct frame quoted = {};

	(void)scene;
	wire_ip(&quoted, family, !wire_is_out(program));
	frame_icmp(&quoted, family == ADDR_V4 ? 11 : 3, 0, 0);
	frame_finish(&quoted);
	wire_ip(frame, family, wire_is_out(program));
	frame_icmp(frame, family == ADDR_V4 ? 3 : 1, 0, 0);
	frame_payload(frame, quoted.bytes + quoted.ip_at, quoted.size - quoted.ip_at);
	frame_finish(frame);
}

/* ---- the list ---- */

enum { V4 = RECIPE_V4, V6 = RECIPE_V6, BOTH = V4 | V6 };

const struct recipe recipes[] = {
	{BH_REASON_TRUNCATED, "an IP header that is cut", cut_ip_header, BOTH, WIRE_ALL},
	{BH_REASON_TRUNCATED, "a TCP header that is cut", cut_tcp_header, BOTH, WIRE_ALL},
	{BH_REASON_TRUNCATED, "a tag that is cut", cut_tag, V4, WIRE_ALL},
	{BH_REASON_TRUNCATED, "an extension header past the end", cut_extension, V6, WIRE_ALL},
	{BH_REASON_BAD_LENGTH, "IP longer than its frame", longer_than_frame, BOTH, WIRE_ALL},
	{BH_REASON_BAD_LENGTH, "IPv4 shorter than its header", shorter_than_header, V4, WIRE_ALL},
	{BH_REASON_BAD_LENGTH, "TCP options past the end", tcp_offset_past_end, BOTH, WIRE_ALL},
	{BH_REASON_BAD_LENGTH, "UDP past the end", udp_length, BOTH, WIRE_ALL},
	{BH_REASON_BAD_LENGTH, "UDP shorter than its header", udp_short, BOTH, WIRE_ALL},
	{BH_REASON_BAD_LENGTH, "UDP that ends in a first fragment", udp_ends_in_first, BOTH,
	 WIRE_ALL},
	{BH_REASON_BAD_LENGTH, "a fragment of nothing", fragment_of_nothing, BOTH, WIRE_ALL},
	{BH_REASON_BAD_LENGTH, "a fragment past 64 KB", fragment_past_64k, BOTH, WIRE_ALL},
	{BH_REASON_BAD_LENGTH, "17 bytes and more to come", fragment_not_by_8, BOTH, WIRE_ALL},
	{BH_REASON_BAD_HEADER, "the other version", version, BOTH, WIRE_ALL},
	{BH_REASON_BAD_HEADER, "an IPv4 header of 16 bytes", short_header_length, V4, WIRE_ALL},
	{BH_REASON_BAD_HEADER, "a TCP header of 16 bytes", tcp_offset_short, BOTH, WIRE_ALL},
	{BH_REASON_BAD_HEADER, "an option of 1 byte", option_of_length_1, V4, WIRE_ALL},
	{BH_REASON_BAD_HEADER, "an option past the header", option_past_header, V4, WIRE_ALL},
	{BH_REASON_BAD_HEADER, "an option past its header", option6_past_header, V6, WIRE_ALL},
	{BH_REASON_BAD_HEADER, "hop-by-hop that is not first", hop_by_hop_second, V6, WIRE_ALL},
	{BH_REASON_BAD_HEADER, "two fragment headers", two_fragment_headers, V6, WIRE_ALL},
	{BH_REASON_NOT_IP, "MPLS", mpls, BOTH, WIRE_ALL},
	{BH_REASON_NOT_IP, "PPPoE behind a tag", pppoe_behind_tag, V4, WIRE_ALL},
	{BH_REASON_NOT_IP, "IPv4 in SNAP", snap, V4, WIRE_ALL},
	{BH_REASON_TOO_MANY_TAGS, "three tags", three_tags, BOTH, WIRE_ALL},
	{BH_REASON_TOO_MANY_HEADERS, "nine extension headers", nine_headers, V6, WIRE_ALL},
	{BH_REASON_SOURCE_ROUTE, "a loose source route", loose_source_route, V4, WIRE_ALL},
	{BH_REASON_SOURCE_ROUTE, "a strict source route", strict_source_route, V4, WIRE_ALL},
	{BH_REASON_SOURCE_ROUTE, "segments left", segments_left, V6, WIRE_ALL},
	{BH_REASON_SOURCE_ROUTE, "a home address", home_address, V6, WIRE_ALL},
	{BH_REASON_JUMBOGRAM, "a jumbo option", jumbo_option, V6, WIRE_ALL},
	{BH_REASON_JUMBOGRAM, "a payload length of 0", payload_length_0, V6, WIRE_ALL},
#define X(name, address) \
	{BH_REASON_MARTIAN_SOURCE, "the source " address, martian_##name, V4, WIRE_IN},
	MARTIANS(X)
#undef X
#define X(name, value) {BH_REASON_TCP_FLAGS, "flags " #name, flags_##name, BOTH, WIRE_ALL},
		FLAGS(X)
#undef X
			{BH_REASON_FRAGMENT_UNKNOWN, "a later fragment alone", later_alone, BOTH,
			 WIRE_ALL},
	{BH_REASON_FRAGMENT_SHORT, "16 bytes of a TCP header", tiny, BOTH, WIRE_ALL},
	{BH_REASON_FRAGMENT_SHORT, "TCP options in the next one", tiny_options, BOTH, WIRE_ALL},
	{BH_REASON_FRAGMENT_OVERLAP, "one inside the header", overlap, BOTH, WIRE_ALL},
	{BH_REASON_FRAGMENT_FULL, "no way for fragments", full_of_fragments, BOTH, WIRE_ALL},
	{BH_REASON_ICMP_REDIRECT, "a redirect", redirect, BOTH, WIRE_ALL},
	{BH_REASON_ICMP_ERROR_UNKNOWN, "an error of nothing", error_of_nothing, BOTH, WIRE_ALL},
	{BH_REASON_ICMP_ERROR_NESTED, "an error of an error", error_of_error, BOTH, WIRE_ALL},
	{BH_REASON_FLOW_TABLE_FULL, "no way for flows", full_of_flows, BOTH, WIRE_ALL},
};

const size_t n_recipes = ARRAY_LEN(recipes);
