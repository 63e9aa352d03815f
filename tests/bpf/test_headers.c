// SPDX-License-Identifier: GPL-2.0-only
/*
 * Options of IPv4, chains of IPv6 extension headers, what ends them, and flags of TCP: the port is
 * found behind all that the stack walks through, and behind nothing else.
 */
#include <criterion/criterion.h>

#include "tests/bpf/wire.h"
#include "tests/lib/dress.h"

enum { ICMP = 1, ICMPV6 = 58, OPEN = 443, SHUT = 22 };
enum { HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT = 44, ESP = 50, AH = 51, DESTINATION = 60 };

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

Test(headers, a_source_route_is_found_at_every_place_among_the_options)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

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
Test(headers, data_of_an_option_is_no_option)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);
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
Test(headers, up_to_eight_extension_headers_are_walked_in_any_order)
{
	static const uint8_t types[] = {DESTINATION, ROUTING, FRAGMENT};
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

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
	"     protocol: %u, source: any, destination: any}\n"                  \
	"  - {name: out, priority: 100, direction: outbound, access: allow,\n" \
	"     protocol: %u, source: any, destination: any}\n"

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

Test(headers, what_is_no_extension_header_ends_the_walk)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		char text[512];

		scene_apply(scene, NULL, wire_https);
		expect_both(scene, other4, &ends[i], REFUSED, "another protocol with port 443");
		expect_both(scene, other6, &ends[i], REFUSED, "another protocol with port 443");
		snprintf(text, sizeof(text), PROTOCOL_POLICY, ends[i], ends[i]);
		scene_apply(scene, NULL, text);
		expect_both(scene, other4, &ends[i], ALLOWED, "the protocol allowed");
		expect_both(scene, other6, &ends[i], ALLOWED, "the protocol allowed");
	}
}

/* Types of the other family's ICMP mean nothing: neither a redirect nor an error nor a ping. */
Test(headers, icmp_over_the_other_family_has_no_type)
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

Test(headers, of_all_tcp_flags_those_that_contradict_are_denied)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

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
Test(headers, port_0_is_judged)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);
	const struct chain chain = {.port = 0};

	expect_both(scene, with_chain, &chain, REFUSED, "port 0");
	scene_apply(scene, NULL, wire_open);
	expect_both(scene, with_chain, &chain, ALLOWED, "port 0");
}
