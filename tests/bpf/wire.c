// SPDX-License-Identifier: GPL-2.0-only
/* Frames between two stations, and what became of them. */
#include "tests/bpf/wire.h"

#include <criterion/criterion.h>

#define RULE(name, direction, traffic)                                           \
	"  - {name: " name ", priority: 100, direction: " direction ", " traffic \
	",\n     access: allow, source: any, destination: any}\n"

#define HTTPS "services: [tcp/443, udp/443, sctp/443, icmp/8/0, icmpv6/128/0]"

const char wire_open[] = "bulkhead: 1\ngroup: wire\nrules:\n" RULE("in", "inbound", "protocol: any")
	RULE("out", "outbound", "protocol: any");
const char wire_https[] = "bulkhead: 1\ngroup: wire\nrules:\n" RULE("in", "inbound", HTTPS)
	RULE("out", "outbound", HTTPS);

const char *const wire_program_names[ENFORCER_PROGRAM_COUNT] = {
	[ENFORCER_XDP] = "bh_xdp",
	[ENFORCER_XDP_FRAGS] = "bh_xdp_frags",
	[ENFORCER_TC_IN] = "bh_tc_in",
	[ENFORCER_TC_OUT] = "bh_tc_out",
};

struct scene *wire_scene(const char *host, const char *policy)
{
	struct scene *scene;

	if (!enforcer_is_possible())
		cr_skip_test("loading programs needs root");
	scene = scene_new();
	scene_apply(scene, host, policy);
	return scene;
}

unsigned wire_programs(const struct scene *scene, unsigned programs)
{
	for (int program = 0; program < ENFORCER_PROGRAM_COUNT; program++)
		if (!enforcer_has(scene->enforcer, program))
			programs &= ~(1U << program);
	return programs;
}

struct addr wire_host(enum addr_family family)
{
	if (family == ADDR_V4)
		return addr_v4(0x0a000004);
	return (struct addr){.family = ADDR_V6, .bytes = {0x20, 0x01, 0x0d, 0xb8, [15] = 4}};
}

struct addr wire_peer(enum addr_family family)
{
	if (family == ADDR_V4)
		return addr_v4(0xc0000209);
	return (struct addr){.family = ADDR_V6, .bytes = {0x20, 0x01, 0x0d, 0xb8, 0, 9, [15] = 9}};
}

void wire_ip(struct frame *frame, enum addr_family family, bool out)
{
	struct addr host = wire_host(family), peer = wire_peer(family);

	if (!frame->size)
		frame_start(frame);
	frame_ip(frame, out ? &host : &peer, out ? &peer : &host, 64);
}

static const char payload[] = "0123456789abcdef0123456";

void wire_tcp(struct frame *frame, enum addr_family family, bool out, uint16_t port)
{
	wire_ip(frame, family, out);
	frame_tcp(frame, 40000, port, FRAME_TCP_SYN);
	frame_payload(frame, payload, sizeof(payload));
}

void wire_udp(struct frame *frame, enum addr_family family, bool out, uint16_t port)
{
	wire_ip(frame, family, out);
	frame_udp(frame, 40000, port);
	frame_payload(frame, payload, sizeof(payload));
}

const char *wire_answer(struct scene *scene, enum enforcer_program program,
			const struct frame *frame, const struct enforcer_context *context)
{
	bool passes = enforcer_run(scene->enforcer, program, frame->bytes, frame->size, context);
	struct bh_row by = {};
	const char *counted = scene_counted(scene, &by);
	uint64_t n = by.packets + by.reply_packets;
	const char *verdict = by.would_denied ? "would-deny" : passes ? "allow" : "deny";

	cr_assert(counted[0], "%s: not counted in one row", wire_program_names[program]);
	cr_assert(!by.packets != !by.reply_packets, "%s: counted as packet and reply",
		  wire_program_names[program]);
	cr_assert(!by.would_denied || (passes && by.would_denied == n),
		  "%s: would be denied, and %s", wire_program_names[program],
		  passes ? "counted otherwise" : "is");
	return arena_printf(scene->loaded.arena, "%s %s%s", verdict, counted,
			    by.reply_packets ? " reply" : "");
}

void wire_expect(struct scene *scene, enum enforcer_program program, const struct frame *frame,
		 const char *expected, const char *what)
{
	const char *answer = wire_answer(scene, program, frame, NULL);

	cr_assert_str_eq(answer, expected, "%s at %s: %s, and not %s", what,
			 wire_program_names[program], answer, expected);
}
