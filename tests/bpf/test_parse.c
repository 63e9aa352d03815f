// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the parser makes of frames that are cut, altered, tagged and chained: the policy lets only
 * port 443 pass, and whatever is done to a packet for another port, it does not.
 */
#include <criterion/criterion.h>

#include "tests/bpf/recipes.h"
#include "tests/lib/dress.h"

enum { TCP = 6, UDP = 17, ICMP = 1, ICMPV6 = 58, SCTP = 132 };
enum { HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT = 44, ESP = 50, AH = 51, DESTINATION = 60 };
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

/* Port 443, and pings with code 0. */
static const char policy[] =
	"bulkhead: 1\ngroup: wire\nrules:\n"
	"  - {name: in, priority: 100, direction: inbound, access: allow,\n"
	"     services: [tcp/443, udp/443, sctp/443, icmp/8/0, icmpv6/128/0],\n"
	"     source: any, destination: any}\n"
	"  - {name: out, priority: 100, direction: outbound, access: allow,\n"
	"     services: [tcp/443, udp/443, sctp/443, icmp/8/0, icmpv6/128/0],\n"
	"     source: any, destination: any}\n";

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
	scoped(scene_free) struct scene *scene = wire_scene(NULL, policy);

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
	scoped(scene_free) struct scene *scene = wire_scene(NULL, policy);

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
	scoped(scene_free) struct scene *scene = wire_scene(NULL, policy);

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
	scoped(scene_free) struct scene *scene = wire_scene(NULL, policy);

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
	scoped(scene_free) struct scene *scene = wire_scene(NULL, policy);

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
	scoped(scene_free) struct scene *scene = wire_scene(NULL, policy);
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
	scoped(scene_free) struct scene *scene = wire_scene(NULL, policy);
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

/* ---- options and extension headers ---- */

/* Sends to every hook; of each pair of answers the one of its direction is expected. */
static void expect_both(struct scene *scene, void (*build)(struct frame *, bool, const void *),
			const void *argument, const char *in, const char *out, const char *what)
{
	unsigned there = wire_programs(scene, WIRE_ALL);

	for (int program = 0; program < ENFORCER_PROGRAM_COUNT; program++) {
		struct frame frame = {};

		if (!(there & 1U << program))
			continue;
		build(&frame, wire_is_out(program), argument);
		wire_expect(scene, program, &frame, wire_is_out(program) ? out : in, what);
	}
}

#define ALLOWED	 "allow wire/in", "allow wire/out"
#define REFUSED	 "deny wire/DenyAllInBound", "deny wire/DenyAllOutBound"
#define BOTH(it) (it), (it)

struct options {
	const void *bytes;
	size_t size;
};

static void with_options(struct frame *frame, bool out, const void *argument)
{
	const struct options *options = argument;

	wire_ip(frame, ADDR_V4, out);
	frame_options(frame, options->bytes, options->size);
	frame_udp(frame, 40000, OPEN);
	frame_finish(frame);
}

Test(parse, a_source_route_is_found_at_every_place_among_the_options)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, policy);

	for (size_t at = 0; at <= 33; at++) {
		uint8_t bytes[40];
		struct options options = {bytes, sizeof(bytes)};

		memset(bytes, 1, sizeof(bytes));
		memcpy(bytes + at, "\x83\x7\x4\xc0\x0\x2\x4d", 7);
		expect_both(scene, with_options, &options, BOTH("deny source-route"), "loose");
		bytes[at] = 0x89;
		expect_both(scene, with_options, &options, BOTH("deny source-route"), "strict");
		bytes[at] = 0x07;
		expect_both(scene, with_options, &options, ALLOWED, "record route");
		if (at)
			bytes[at - 1] = 0;
		bytes[at] = 0x83;
		if (at)
			expect_both(scene, with_options, &options, ALLOWED, "behind the end");
	}
}

/* A route that looks like the data of another option is none. */
Test(parse, data_of_an_option_is_no_option)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, policy);
	static const uint8_t bytes[] = {0x9e, 8, 0x83, 7, 4, 0x89, 0x83, 7};
	const struct options options = {bytes, sizeof(bytes)};

	expect_both(scene, with_options, &options, ALLOWED, "an unknown option");
}

struct chain {
	int n;
	uint8_t type[DRESS_EXTENSIONS_MAX + 1];
	uint8_t last; /* 0: UDP */
	uint16_t port;
};

static void with_chain(struct frame *frame, bool out, const void *argument)
{
	static const uint8_t body[6] = {1, 4};
	static const uint8_t routing[6] = {4, 0};
	const struct chain *chain = argument;

	wire_ip(frame, ADDR_V6, out);
	for (int i = 0; i < chain->n; i++) {
		if (chain->type[i] == FRAGMENT)
			frame_fragment(frame, 5, 0, false);
		else
			frame_extension(frame, chain->type[i],
					chain->type[i] == ROUTING ? routing : body, 6);
	}
	frame_udp(frame, 40000, chain->port);
	frame_finish(frame);
	if (chain->last)
		frame->bytes[frame->next_at] = chain->last;
}

/* Every sequence of up to three headers, and of up to eight with the rest being destination ones. */
Test(parse, up_to_eight_extension_headers_are_walked_in_any_order)
{
	static const uint8_t types[] = {DESTINATION, ROUTING, FRAGMENT};
	scoped(scene_free) struct scene *scene = wire_scene(NULL, policy);

	for (int n = 1; n <= DRESS_EXTENSIONS_MAX; n++) {
		for (int order = 0; order < 27; order++) {
			struct chain chain = {.n = n, .port = OPEN};
			int fragments = 0;

			memset(chain.type, DESTINATION, sizeof(chain.type));
			for (int i = 0, rest = order; i < 3 && i < n; i++, rest /= 3) {
				chain.type[i] = types[rest % 3];
				fragments += chain.type[i] == FRAGMENT;
			}
			if (fragments > 1)
				continue;
			expect_both(scene, with_chain, &chain, ALLOWED, "headers");
			chain.port = SHUT;
			expect_both(scene, with_chain, &chain, REFUSED, "headers");
			chain.type[0] = HOP_BY_HOP;
			expect_both(scene, with_chain, &chain, REFUSED, "hop-by-hop, headers");
			chain.port = OPEN;
			expect_both(scene, with_chain, &chain, ALLOWED, "hop-by-hop, headers");
		}
	}
}

/* ---- where the walk ends ---- */

/*
 * AH, ESP and what Linux does not walk through are protocols, and the port behind them is not
 * looked for. Upper-layer protocols of the other family are protocols without a type, and
 * UDP-Lite and DCCP ones without ports.
 */
static const uint8_t ends[] = {4,   33,	 41,  47,  AH,	ESP, 59,  89,  103, 94,
			       108, 115, 135, 136, 137, 139, 140, 253, 255};

#define PROTOCOL_POLICY                                                        \
	"bulkhead: 1\ngroup: wire\nrules:\n"                                   \
	"  - {name: in, priority: 100, direction: inbound, access: allow,\n"   \
	"     services: [%u], source: any, destination: any}\n"                \
	"  - {name: out, priority: 100, direction: outbound, access: allow,\n" \
	"     services: [%u], source: any, destination: any}\n"

static void other4(struct frame *frame, bool out, const void *argument)
{
	wire_udp(frame, ADDR_V4, out, OPEN);
	frame->bytes[frame->next_at] = *(const uint8_t *)argument;
	frame_finish(frame);
}

static void other6(struct frame *frame, bool out, const void *argument)
{
	const struct chain chain = {
		.n = 1, .type = {DESTINATION}, .port = OPEN, .last = *(const uint8_t *)argument};

	with_chain(frame, out, &chain);
}

Test(parse, what_is_no_extension_header_ends_the_walk)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, policy);

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		char text[512];

		scene_apply(scene, NULL, policy);
		expect_both(scene, other4, &ends[i], REFUSED, "another protocol with port 443");
		expect_both(scene, other6, &ends[i], REFUSED, "another protocol with port 443");
		snprintf(text, sizeof(text), PROTOCOL_POLICY, ends[i], ends[i]);
		scene_apply(scene, NULL, text);
		expect_both(scene, other4, &ends[i], ALLOWED, "the protocol allowed");
		expect_both(scene, other6, &ends[i], ALLOWED, "the protocol allowed");
	}
}

/* Types of the other family's ICMP mean nothing: neither a redirect nor an error nor a ping. */
Test(parse, icmp_over_the_other_family_has_no_type)
{
	static const uint8_t icmpv6 = ICMPV6, icmp = ICMP;
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_open);

	for (unsigned type = 0; type < 256; type++) {
		for (int program = 0; program < ENFORCER_PROGRAM_COUNT; program++) {
			bool out = wire_is_out(program);
			struct frame frame = {};

			if (!(wire_programs(scene, WIRE_ALL) & 1U << program))
				continue;
			other4(&frame, out, &icmpv6);
			frame.bytes[frame.l4_at] = type;
			wire_expect(scene, program, &frame,
				    out ? "allow wire/out" : "allow wire/in", "58 over IPv4");
			frame = (struct frame){};
			other6(&frame, out, &icmp);
			frame.bytes[frame.l4_at] = type;
			wire_expect(scene, program, &frame,
				    out ? "allow wire/out" : "allow wire/in", "1 over IPv6");
		}
	}
}

/* ---- flags ---- */

static void with_flags(struct frame *frame, bool out, const void *argument)
{
	wire_ip(frame, ADDR_V4, out);
	frame_tcp(frame, 40000, OPEN, *(const uint8_t *)argument);
	frame_finish(frame);
}

Test(parse, of_all_tcp_flags_those_that_contradict_are_denied)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, policy);

	for (unsigned i = 0; i < 256; i++) {
		uint8_t flags = i;
		bool syn = flags & FRAME_TCP_SYN;
		bool ends_too = flags & (FRAME_TCP_FIN | FRAME_TCP_RST);

		if (!(flags & 0x3f) || (syn && ends_too))
			expect_both(scene, with_flags, &flags, BOTH("deny tcp-flags"), "flags");
		else
			expect_both(scene, with_flags, &flags, ALLOWED, "flags");
	}
}

/* Port 0 is a port as any other. */
Test(parse, port_0_is_judged)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, policy);
	const struct chain chain = {.port = 0};

	expect_both(scene, with_chain, &chain, REFUSED, "port 0");
	scene_apply(scene, NULL, wire_open);
	expect_both(scene, with_chain, &chain, ALLOWED, "port 0");
}
