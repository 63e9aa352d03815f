/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What tests of single frames share: two stations, 10.0.0.4 and 2001:db8::4 being this host,
 * 192.0.2.9 and 2001:db8:9::9 the other one; a policy that lets only port 443 pass and another
 * that lets everything; and what became of a frame, in words.
 */
#ifndef TESTS_BPF_WIRE_H
#define TESTS_BPF_WIRE_H

#include "tests/bpf/scene.h"

/* A scene with a policy in force. A caller who may not load programs has the test skipped. */
struct scene *wire_scene(const char *host, const char *policy);

/* Every program is tried; XDP with frags only where the kernel has it. */
#define WIRE_ALL 0xfU
#define WIRE_IN	 (1U << ENFORCER_XDP | 1U << ENFORCER_XDP_FRAGS | 1U << ENFORCER_TC_IN)
#define WIRE_OUT (1U << ENFORCER_TC_OUT)
#define WIRE_TC	 (1U << ENFORCER_TC_IN | 1U << ENFORCER_TC_OUT)

extern const char *const wire_program_names[ENFORCER_PROGRAM_COUNT];

/* The programs of a set that are there. */
unsigned wire_programs(const struct scene *scene, unsigned programs);

static inline bool wire_is_out(enum enforcer_program program)
{
	return program == ENFORCER_TC_OUT;
}

/* Rules "wire/in" and "wire/out" let everything pass. */
extern const char wire_open[];

/* tcp, udp and sctp to port 443 and pings of code 0 alone, by "wire/in" and "wire/out". */
extern const char wire_https[];

struct addr wire_host(enum addr_family family);
struct addr wire_peer(enum addr_family family);

/* Ethernet and IP: from the peer to the host, or with out the other way; hop limit 64. */
void wire_ip(struct frame *frame, enum addr_family family, bool out);

/* TCP with SYN, or UDP, from port 40000 to this one, with some payload; not finished. */
void wire_tcp(struct frame *frame, enum addr_family family, bool out, uint16_t port);
void wire_udp(struct frame *frame, enum addr_family family, bool out, uint16_t port);

/*
 * Sends a frame. The answer is "allow", "deny" or "would-deny", a blank, and the rule or reason at
 * which it was counted, with " reply" behind it where it was counted as one. A frame that was counted
 * nowhere, twice or with another verdict than it met ends the test.
 */
const char *wire_answer(struct scene *scene, enum enforcer_program program,
			const struct frame *frame, const struct enforcer_context *context);

/* Fails with the case, the program and both answers when they differ. */
void wire_expect(struct scene *scene, enum enforcer_program program, const struct frame *frame,
		 const char *expected, const char *what);

#endif
