// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the parser makes of frames that are cut and altered: the policy lets only port 443 pass,
 * and whatever is done to a packet for another port, it does not.
 */
#include <criterion/criterion.h>

#include "tests/bpf/recipes.h"
#include "tests/lib/dress.h"

enum { TCP = 6, UDP = 17, ICMP = 1, ICMPV6 = 58, SCTP = 132 };
enum { HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT = 44, DESTINATION = 60 };
enum { OPEN = 443, SHUT = 22 };

/* At tc BPF_PROG_RUN refuses shorter ones: an IP header where no tag stands before it. */
enum { SHORTEST = 14, SHORTEST_TC4 = 34, SHORTEST_TC6 = 54 };

/* ---- shapes of packets ---- */

static const struct shape {
	const char *what;
	enum addr_family family;
	uint8_t protocol;
	struct dress dress;
} shapes[] = {
	{"tcp", ADDR_V4, TCP, {.payload = 20}},
	{"tcp", ADDR_V6, TCP, {.payload = 20}},
	{"udp", ADDR_V4, UDP, {.payload = 20}},
	{"udp", ADDR_V6, UDP, {.payload = 20}},
	{"sctp", ADDR_V4, SCTP, {.payload = 20}},
	{"sctp", ADDR_V6, SCTP, {.payload = 20}},
	{"icmp", ADDR_V4, ICMP, {.payload = 20}},
	{"icmpv6", ADDR_V6, ICMPV6, {.payload = 20}},
	{"tcp with options", ADDR_V4, TCP, {.n_tcp_options = 10, .payload = 9}},
	{"tcp with options", ADDR_V6, TCP, {.n_tcp_options = 10, .payload = 9}},
	{"tcp behind options", ADDR_V4, TCP, {.n_options = 24, .n_tcp_options = 3, .seed = 5}},
	{"udp behind options", ADDR_V4, UDP, {.n_options = 40, .payload = 9, .seed = 7}},
	{"tcp behind a tag", ADDR_V4, TCP, {.n_tags = 1, .payload = 9}},
	{"tcp behind a tag", ADDR_V6, TCP, {.n_tags = 1, .payload = 9}},
	{"udp behind two tags", ADDR_V4, UDP, {.n_tags = 2, .payload = 9}},
	{"udp behind two tags", ADDR_V6, UDP, {.n_tags = 2, .payload = 9}},
	{"tcp behind headers",
	 ADDR_V6,
	 TCP,
	 {.n_extensions = 3,
	  .extension = {HOP_BY_HOP, ROUTING, DESTINATION},
	  .n_blocks = {0, 2, 1}}},
	{"udp behind a fragment header",
	 ADDR_V6,
	 UDP,
	 {.n_tags = 1, .n_extensions = 2, .extension = {DESTINATION, FRAGMENT}, .payload = 9}},
	{"a first fragment of tcp", ADDR_V4, TCP, {.first = true, .payload = 16, .id = 1}},
	{"a first fragment of tcp",
	 ADDR_V6,
	 TCP,
	 {.first = true, .n_extensions = 1, .extension = {FRAGMENT}, .payload = 16, .id = 2}},
};

static void make(const struct shape *shape, bool out, uint16_t port, struct frame *frame)
{
	struct tuple tuple = {
		.direction = out ? DIRECTION_OUT : DIRECTION_IN,
		.protocol = shape->protocol,
		.source = out ? wire_host(shape->family) : wire_peer(shape->family),
		.destination = out ? wire_peer(shape->family) : wire_host(shape->family),
		.source_port = 40000,
		.destination_port = port,
		.icmp_type = shape->protocol == ICMP ? 8 : 128,
		.icmp_code = port == OPEN ? 0 : 1,
	};

	dress_frame(frame, &tuple, &shape->dress, FRAME_TCP_SYN);
}

static size_t shortest(enum enforcer_program program, const struct frame *frame)
{
	if (!(WIRE_TC & 1U << program) || frame->ip_at != 14)
		return SHORTEST;
	return frame->family == ADDR_V4 ? SHORTEST_TC4 : SHORTEST_TC6;
}

static const char *whole(enum enforcer_program program, uint16_t port)
{
	bool out = wire_is_out(program);

	if (port == OPEN)
		return out ? "allow wire/out" : "allow wire/in";
	return out ? "deny wire/DenyAllOutBound" : "deny wire/DenyAllInBound";
}

typedef void shape_fn(struct scene *scene, enum enforcer_program program, const struct shape *shape,
		      uint16_t port);

/* Every shape to the open and to a shut port, at every hook. */
static void for_each_shape(struct scene *scene, shape_fn *check)
{
	unsigned there = wire_programs(scene, WIRE_ALL);

	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		for (int program = 0; program < ENFORCER_PROGRAM_COUNT; program++) {
			if (!(there & 1U << program))
				continue;
			check(scene, program, &shapes[i], OPEN);
			check(scene, program, &shapes[i], SHUT);
		}
	}
}

static void check_whole(struct scene *scene, enum enforcer_program program,
			const struct shape *shape, uint16_t port)
{
	struct frame frame;

	make(shape, wire_is_out(program), port, &frame);
	wire_expect(scene, program, &frame, whole(program, port), shape->what);
}

Test(parse, the_port_is_found_in_every_shape_of_packet)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

	for_each_shape(scene, check_whole);
}

/* ---- cut ---- */

static void check_cut(struct scene *scene, enum enforcer_program program, const struct shape *shape,
		      uint16_t port)
{
	struct frame frame;

	make(shape, wire_is_out(program), port, &frame);
	for (size_t size = frame.size - 1; size >= shortest(program, &frame); size--) {
		const char *answer;

		frame.size = size;
		answer = wire_answer(scene, program, &frame, NULL);
		cr_assert(!strncmp(answer, "deny ", 5), "%s at %s, cut to %zu bytes: %s",
			  shape->what, wire_program_names[program], size, answer);
	}
}

Test(parse, a_frame_cut_at_any_byte_is_denied)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

	for_each_shape(scene, check_cut);
}

/* Bytes of the layer-4 header that must be there. */
static size_t header_size(const struct shape *shape)
{
	switch (shape->protocol) {
	case TCP:
		return 20 + shape->dress.n_tcp_options * 4;
	case SCTP:
		return 12;
	default:
		return 8;
	}
}

/* The IP packet ends where the frame does, whatever is in it. */
static void shorten(struct frame *frame, size_t size)
{
	frame->size = size;
	if (frame->family == ADDR_V4)
		frame_put16(frame, frame->ip_at + 2, size - frame->ip_at);
	else
		frame_put16(frame, frame->ip_at + 4, size - frame->ip_at - 40);
	if (frame->protocol == UDP)
		frame_put16(frame, frame->l4_at + 4, size - frame->l4_at);
}

static void check_shortened(struct scene *scene, enum enforcer_program program,
			    const struct shape *shape, uint16_t port)
{
	struct frame frame;
	size_t full;

	make(shape, wire_is_out(program), port, &frame);
	full = frame.size;
	for (size_t size = frame.l4_at; size < full; size++) {
		bool holds = size >= frame.l4_at + header_size(shape);
		const char *answer;

		if (size < shortest(program, &frame))
			continue;
		shorten(&frame, size);
		answer = wire_answer(scene, program, &frame, NULL);
		if (shape->dress.first && (size - frame.l4_at) % 8)
			holds = false; /* more follows, and it is not a multiple of 8 */
		if (holds)
			cr_assert_str_eq(answer, whole(program, port));
		else
			cr_assert(!strncmp(answer, "deny ", 5), "%s at %s, %zu bytes: %s",
				  shape->what, wire_program_names[program], size, answer);
	}
}

Test(parse, a_packet_that_ends_within_its_header_is_denied_and_a_short_one_is_judged)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

	for_each_shape(scene, check_shortened);
}

/* ---- lengths that lie ---- */

static void check_lengths(struct scene *scene, enum enforcer_program program,
			  const struct shape *shape, uint16_t port)
{
	struct frame frame;
	size_t at, base, most;

	make(shape, wire_is_out(program), port, &frame);
	at = frame.ip_at + (shape->family == ADDR_V4 ? 2 : 4);
	base = shape->family == ADDR_V4 ? 0 : 40;
	most = frame.size - frame.ip_at - base;
	for (size_t length = 0; length <= 0xffff; length += length > most + 70 ? 4801 : 1) {
		const char *answer;

		frame_put16(&frame, at, length);
		answer = wire_answer(scene, program, &frame, NULL);
		if (length > most)
			cr_assert_str_eq(answer, "deny bad-length");
		else
			cr_assert(!strncmp(answer, "deny ", 5) ||
					  !strcmp(answer, whole(program, port)),
				  "%s at %s, length %zu: %s", shape->what,
				  wire_program_names[program], length, answer);
	}
}

Test(parse, a_length_that_lies_lets_nothing_pass)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

	for_each_shape(scene, check_lengths);
}

/* ---- altered ---- */

/* A type of Ethernet that makes the frame ARP or 802.1X, which pass by the list. */
static bool is_type_byte(const struct frame *frame, size_t at)
{
	return at >= 12 && at < frame->ip_at;
}

static void check_altered(struct scene *scene, enum enforcer_program program,
			  const struct shape *shape, uint16_t port)
{
	struct frame frame;

	if (port == OPEN)
		return;
	make(shape, wire_is_out(program), port, &frame);
	for (size_t at = 0; at < frame.size; at++) {
		uint8_t original = frame.bytes[at];

		if (is_type_byte(&frame, at))
			continue;
		/* One that makes ICMP of code 1 one of code 0 is another packet, which may pass. */
		if (at == frame.l4_at + 1 && (shape->protocol == ICMP || shape->protocol == ICMPV6))
			continue;
		for (unsigned value = 0; value < 256; value++) {
			frame.bytes[at] = value;
			cr_assert_not(enforcer_run(scene->enforcer, program, frame.bytes,
						   frame.size, NULL),
				      "%s at %s passes with %#x as byte %zu", shape->what,
				      wire_program_names[program], value, at);
		}
		frame.bytes[at] = original;
	}
}

Test(parse, no_altered_byte_lets_a_denied_packet_pass)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

	for_each_shape(scene, check_altered);
}

/* ---- several buffers ---- */

static void check_split(struct scene *scene, enum enforcer_program program,
			const struct frame *frame, const char *expected, const char *what)
{
	for (uint32_t linear = SHORTEST; linear < frame->size; linear++) {
		const struct enforcer_context context = {.linear = linear};
		const char *answer = wire_answer(scene, program, frame, &context);

		cr_assert_str_eq(answer, expected, "%s, cut behind byte %u: %s, and not %s", what,
				 linear, answer, expected);
	}
}

/* Which reason it is, is the same wherever the first buffer ends. */
static void check_split_recipe(struct scene *scene, const struct recipe *recipe,
			       enum addr_family family)
{
	struct frame frame = {};
	const char *expected;

	enforcer_forget(scene->enforcer);
	recipe->make(scene, ENFORCER_XDP_FRAGS, family, &frame);
	expected = wire_answer(scene, ENFORCER_XDP_FRAGS, &frame, NULL);
	check_split(scene, ENFORCER_XDP_FRAGS, &frame, expected, recipe->what);
}

Test(parse, where_a_buffer_of_a_frame_ends_changes_nothing)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);
	struct frame frame;

	if (!enforcer_can_cut(scene->enforcer))
		cr_skip_test("this kernel cuts no frames for BPF_PROG_RUN");
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		make(&shapes[i], false, OPEN, &frame);
		check_split(scene, ENFORCER_XDP_FRAGS, &frame, "allow wire/in", shapes[i].what);
		make(&shapes[i], false, SHUT, &frame);
		check_split(scene, ENFORCER_XDP_FRAGS, &frame, "deny wire/DenyAllInBound",
			    shapes[i].what);
	}
	scene_apply(scene, NULL, wire_open);
	for (size_t i = 0; i < n_recipes; i++) {
		if (!(recipes[i].programs & 1U << ENFORCER_XDP_FRAGS))
			continue;
		check_split_recipe(scene, &recipes[i],
				   recipes[i].families & RECIPE_V6 ? ADDR_V6 : ADDR_V4);
	}
}

/* Headers of 9 KB lie over three buffers. */
Test(parse, a_jumbo_frame_is_read_to_the_end_of_its_headers)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);
	const struct shape shape = {
		.family = ADDR_V6,
		.protocol = TCP,
		.dress = {.n_extensions = 5,
			  .extension = {HOP_BY_HOP, DESTINATION, DESTINATION, ROUTING, DESTINATION},
			  .n_blocks = {230, 230, 230, 230, 230},
			  .payload = 100}};
	struct frame frame;

	if (!enforcer_has(scene->enforcer, ENFORCER_XDP_FRAGS))
		cr_skip_test("this kernel knows no XDP with frags");
	make(&shape, false, OPEN, &frame);
	cr_assert_gt(frame.size, 9000);
	wire_expect(scene, ENFORCER_XDP_FRAGS, &frame, "allow wire/in", "a jumbo frame");
	make(&shape, false, SHUT, &frame);
	wire_expect(scene, ENFORCER_XDP_FRAGS, &frame, "deny wire/DenyAllInBound", "a jumbo frame");
}
