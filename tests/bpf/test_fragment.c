// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fragments, of both families at every hook: a first one that passes lets its later ones pass, and
 * nothing else does.
 */
#include <criterion/criterion.h>

#include "tests/bpf/wire.h"

enum { ICMP = 1, TCP = 6, UDP = 17, GRE = 47, ICMPV6 = 58, DESTINATION = 60 };
enum { OPEN = 443, SHUT = 22 };

/* One family at one hook. */
struct place {
	struct scene *scene;
	enum enforcer_program program;
	enum addr_family family;
	bool out;
	const char *allow; /* what the open port is answered */
	const char *deny;
};

static void for_each_place(struct scene *scene, void (*check)(const struct place *))
{
	unsigned there = wire_programs(scene, WIRE_ALL);

	for (int program = 0; program < ENFORCER_PROGRAM_COUNT; program++) {
		bool out = wire_is_out(program);
		struct place place = {
			.scene = scene,
			.program = program,
			.out = out,
			.allow = out ? "allow wire/out" : "allow wire/in",
			.deny = out ? "deny wire/DenyAllOutBound" : "deny wire/DenyAllInBound",
		};

		for (int v6 = 0; v6 < 2 && there & 1U << program; v6++) {
			place.family = v6 ? ADDR_V6 : ADDR_V4;
			enforcer_forget(scene->enforcer);
			check(&place);
		}
	}
}

/* A first fragment of 64 bytes, of TCP with so many bytes of header. */
static void make_first(struct frame *frame, const struct place *place, uint32_t id, size_t header,
		       uint16_t port)
{
	*frame = (struct frame){};
	wire_ip(frame, place->family, place->out);
	frame_fragment(frame, id, 0, true);
	frame_tcp(frame, 40000, port, FRAME_TCP_ACK);
	frame_zeros(frame, 44);
	frame->bytes[frame->l4_at + 12] = header / 4 << 4;
	frame_finish(frame);
}

static void make_later(struct frame *frame, const struct place *place, uint32_t id, uint32_t offset,
		       uint8_t protocol)
{
	*frame = (struct frame){};
	wire_ip(frame, place->family, place->out);
	frame_fragment(frame, id, offset, false);
	frame_protocol(frame, protocol);
	frame_zeros(frame, 32);
	frame_finish(frame);
}

static void expect(const struct place *place, const struct frame *frame, const char *expected,
		   const char *what)
{
	wire_expect(place->scene, place->program, frame, expected, what);
}

static void first(const struct place *place, uint32_t id, size_t header, uint16_t port,
		  const char *expected)
{
	struct frame frame;

	make_first(&frame, place, id, header, port);
	expect(place, &frame, expected, "a first fragment");
}

static void later(const struct place *place, uint32_t id, uint32_t offset, const char *expected)
{
	struct frame frame;

	make_later(&frame, place, id, offset, TCP);
	expect(place, &frame, expected, "a later fragment");
}

static uint32_t n_entries(const struct scene *scene)
{
	return flows_count(scene->enforcer, scene_config(scene), BH_TABLE_FRAGMENTS);
}

/* ---- first and later ---- */

static void check_pair(const struct place *place)
{
	first(place, 1, 20, OPEN, place->allow);
	later(place, 1, 64, place->allow);
	later(place, 1, 65000, place->allow);
	first(place, 2, 20, SHUT, place->deny);
	later(place, 2, 64, "deny fragment-unknown");
	cr_assert_eq(n_entries(place->scene), 1);
}

Test(fragment, later_ones_of_an_admitted_first_pass_and_count_with_it)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

	for_each_place(scene, check_pair);
}

static void check_order(const struct place *place)
{
	later(place, 1, 64, "deny fragment-unknown");
	first(place, 1, 20, OPEN, place->allow);
	later(place, 1, 64, place->allow);
}

Test(fragment, one_that_comes_before_its_first_is_denied)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

	for_each_place(scene, check_order);
}

/* Addresses, protocol, identification: each belongs to the key. */
static void check_key(const struct place *place)
{
	size_t source = place->family == ADDR_V4 ? 15 : 23, destination = source + 4;
	struct frame frame;

	if (place->family == ADDR_V6)
		destination = 39;
	first(place, 0x10001, 20, OPEN, place->allow);
	later(place, 0x10002, 64, "deny fragment-unknown");
	make_later(&frame, place, 0x10001, 64, UDP);
	expect(place, &frame, "deny fragment-unknown", "of another protocol");
	make_later(&frame, place, 0x10001, 64, TCP);
	frame.bytes[frame.ip_at + source]++;
	expect(place, &frame, "deny fragment-unknown", "from another source");
	make_later(&frame, place, 0x10001, 64, TCP);
	frame.bytes[frame.ip_at + destination]++;
	expect(place, &frame, "deny fragment-unknown", "to another destination");
	if (place->family == ADDR_V6)
		later(place, 0x20001, 64, "deny fragment-unknown");
	later(place, 0x10001, 64, place->allow);
}

Test(fragment, one_of_another_datagram_is_denied)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

	for_each_place(scene, check_key);
}

/* The very same addresses, the other way. */
Test(fragment, one_of_the_other_direction_is_denied)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

	for (int v6 = 0; v6 < 2; v6++) {
		struct place in = {
			.scene = scene, .program = ENFORCER_XDP, .family = v6 ? ADDR_V6 : ADDR_V4};
		struct frame frame;

		first(&in, 1, 20, OPEN, "allow wire/in");
		make_later(&frame, &in, 1, 64, TCP);
		wire_expect(scene, ENFORCER_TC_OUT, &frame, "deny fragment-unknown", "out");
		wire_expect(scene, ENFORCER_XDP, &frame, "allow wire/in", "in");
		wire_expect(scene, ENFORCER_TC_IN, &frame, "allow wire/in", "in by another hook");
	}
}

/* ---- the header ---- */

static void check_overlap(const struct place *place)
{
	first(place, 1, 40, OPEN, place->allow);
	for (uint32_t offset = 8; offset < 40; offset += 8)
		later(place, 1, offset, "deny fragment-overlap");
	later(place, 1, 40, place->allow);
	first(place, 2, 20, OPEN, place->allow);
	later(place, 2, 16, "deny fragment-overlap");
	later(place, 2, 24, place->allow);
}

Test(fragment, one_that_begins_inside_the_header_is_denied)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

	for_each_place(scene, check_overlap);
}

/* Extension headers behind that of the fragment are a part of what must not be written over. */
static void check_headers(const struct place *place)
{
	struct frame frame = {};

	if (place->family == ADDR_V4)
		return;
	wire_ip(&frame, place->family, place->out);
	frame_fragment(&frame, 1, 0, true);
	frame_extension(&frame, DESTINATION, "\x1\xc", 14);
	frame_tcp(&frame, 40000, OPEN, FRAME_TCP_SYN);
	frame_zeros(&frame, 4);
	frame_finish(&frame);
	expect(place, &frame, place->allow, "a first fragment with a header");
	for (uint32_t offset = 8; offset < 36; offset += 8) {
		make_later(&frame, place, 1, offset, DESTINATION);
		expect(place, &frame, "deny fragment-overlap", "inside the headers");
	}
	make_later(&frame, place, 1, 40, DESTINATION);
	expect(place, &frame, place->allow, "behind the headers");
	later(place, 1, 40, "deny fragment-unknown");
}

Test(fragment, one_that_begins_inside_extension_headers_is_denied)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

	for_each_place(scene, check_headers);
}

static void check_tiny(const struct place *place)
{
	struct frame frame;

	for (size_t size = 8; size < 40; size += 8) {
		make_first(&frame, place, 1, 40, OPEN);
		frame.size = frame.l4_at + size;
		frame_finish(&frame);
		expect(place, &frame, "deny fragment-short", "a header that is cut");
	}
	later(place, 1, 40, "deny fragment-unknown");
	cr_assert_eq(n_entries(place->scene), 0);
}

Test(fragment, a_first_without_the_whole_header_is_denied_and_not_remembered)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

	for_each_place(scene, check_tiny);
}

static void check_protocols(const struct place *place)
{
	struct frame frame = {};

	wire_ip(&frame, place->family, place->out);
	frame_fragment(&frame, 1, 0, true);
	frame_udp(&frame, 40000, OPEN);
	frame_finish(&frame);
	expect(place, &frame, place->allow, "eight bytes of UDP");
	make_later(&frame, place, 1, 8, UDP);
	expect(place, &frame, place->allow, "right behind them");
	frame = (struct frame){};
	wire_ip(&frame, place->family, place->out);
	frame_fragment(&frame, 2, 0, true);
	frame_protocol(&frame, GRE);
	frame_zeros(&frame, 8);
	frame_finish(&frame);
	expect(place, &frame, place->allow, "a protocol without ports");
	make_later(&frame, place, 2, 8, GRE);
	expect(place, &frame, place->allow, "its next one");
}

Test(fragment, of_other_protocols_the_header_is_as_long_as_it_is_read)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_open);

	for_each_place(scene, check_protocols);
}

/* ---- atomic ---- */

static void check_atomic(const struct place *place)
{
	struct frame frame = {};

	if (place->family == ADDR_V4)
		return;
	wire_ip(&frame, place->family, place->out);
	frame_fragment(&frame, 1, 0, false);
	frame_tcp(&frame, 40000, OPEN, FRAME_TCP_SYN);
	frame_finish(&frame);
	expect(place, &frame, place->allow, "an atomic fragment");
	later(place, 1, 64, "deny fragment-unknown");
	frame.size -= 1;
	frame_finish(&frame);
	expect(place, &frame, "deny truncated", "an atomic one that is cut");
	cr_assert_eq(n_entries(place->scene), 0);
}

Test(fragment, an_atomic_one_is_a_whole_packet)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

	for_each_place(scene, check_atomic);
}

/* ---- two first ones ---- */

static void check_two(const struct place *place)
{
	first(place, 1, 40, OPEN, place->allow);
	first(place, 1, 20, SHUT, place->deny);
	later(place, 1, 40, place->allow);
	first(place, 1, 20, OPEN, place->allow);
	later(place, 1, 24, "deny fragment-overlap");
	later(place, 1, 40, place->allow);
	first(place, 2, 20, OPEN, place->allow);
	first(place, 2, 40, OPEN, place->allow);
	later(place, 2, 24, "deny fragment-overlap");
	cr_assert_eq(n_entries(place->scene), 2);
}

Test(fragment, of_two_first_ones_the_longer_header_holds)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

	for_each_place(scene, check_two);
}

/* ---- time and room ---- */

static void check_time(const struct place *place)
{
	first(place, 1, 20, OPEN, place->allow);
	for (int i = 0; i < 3; i++) {
		scene_wait(place->scene, 10);
		later(place, 1, 64, place->allow);
	}
	enforcer_advance(place->scene->enforcer, 300);
	later(place, 1, 64, "deny fragment-unknown");
	first(place, 1, 20, OPEN, place->allow);
	scene_wait(place->scene, 20);
	first(place, 1, 20, OPEN, place->allow);
	scene_wait(place->scene, 20);
	later(place, 1, 64, place->allow);
}

Test(fragment, a_first_holds_for_30_seconds_and_later_ones_do_not_renew_it)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

	for_each_place(scene, check_time);
}

Test(fragment, the_time_out_is_a_setting)
{
	scoped(scene_free) struct scene *scene =
		wire_scene(SCENE_HOST "timeouts: {fragment: 5}\n", wire_https);
	struct place place = {.scene = scene, .program = ENFORCER_XDP, .family = ADDR_V4};

	first(&place, 1, 20, OPEN, "allow wire/in");
	scene_wait(scene, 5);
	later(&place, 1, 64, "allow wire/in");
	enforcer_advance(scene->enforcer, 300);
	later(&place, 1, 64, "deny fragment-unknown");
}

static void make_lease(struct frame *frame, const struct place *place, uint32_t id)
{
	bool v6 = place->family == ADDR_V6;
	uint16_t client = v6 ? 546 : 68, server = v6 ? 547 : 67;

	*frame = (struct frame){};
	wire_ip(frame, place->family, place->out);
	frame_fragment(frame, id, 0, true);
	frame_udp(frame, place->out ? client : server, place->out ? server : client);
	frame_zeros(frame, 64);
	frame_finish(frame);
}

static void check_full(const struct place *place)
{
	uint32_t id = 1;
	struct frame frame;
	const char *answer;

	do {
		make_first(&frame, place, id++, 20, OPEN);
		answer = wire_answer(place->scene, place->program, &frame, NULL);
	} while (!strcmp(answer, place->allow) && id < 5000);
	cr_assert_str_eq(answer, "deny fragment-full");
	cr_assert_gt(id, 256, "after %u", id);
	later(place, id - 1, 64, "deny fragment-unknown");
	later(place, 1, 64, place->allow);
	frame = (struct frame){};
	wire_tcp(&frame, place->family, place->out, OPEN);
	frame_finish(&frame);
	expect(place, &frame, place->allow, "a whole packet");
	make_lease(&frame, place, id);
	expect(place, &frame, place->family == ADDR_V6 ? "allow dhcpv6" : "allow dhcp", "a lease");
	scene_wait(place->scene, 31);
	first(place, id - 1, 20, OPEN, place->allow);
	later(place, id - 1, 64, place->allow);
}

/* None that lives gives way. */
Test(fragment, when_no_way_is_left_first_ones_are_denied_until_others_have_aged)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

	for_each_place(scene, check_full);
}

/* ---- flips ---- */

static void check_flip(const struct place *place)
{
	scene_apply(place->scene, NULL, wire_https);
	first(place, 1, 20, OPEN, place->allow);
	scene_apply(place->scene, NULL, "bulkhead: 1\ngroup: wire\n");
	later(place, 1, 64, "allow existing-flow");
	later(place, 1, 16, "deny fragment-overlap");
	first(place, 1, 20, OPEN, place->deny);
	later(place, 1, 64, "allow existing-flow");
	scene_apply(place->scene, NULL, wire_https);
	first(place, 1, 20, OPEN, place->allow);
	later(place, 1, 64, place->allow);
}

Test(fragment, what_was_admitted_before_a_flip_is_completed)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

	for_each_place(scene, check_flip);
}

/* ---- audit ---- */

static const char audit[] = "bulkhead: 1\ngroup: wire\nmode: audit\n";
static const char nothing[] = "bulkhead: 1\ngroup: wire\n";

static void check_audit(const struct place *place)
{
	const char *would =
		place->out ? "would-deny wire/DenyAllOutBound" : "would-deny wire/DenyAllInBound";

	scene_apply(place->scene, NULL, audit);
	later(place, 1, 64, "deny fragment-unknown");
	first(place, 1, 20, OPEN, would);
	later(place, 1, 64, would);
	scene_apply(place->scene, NULL, nothing);
	later(place, 1, 64, "deny fragment-unknown");
}

Test(fragment, what_audit_lets_pass_is_completed_and_is_worth_nothing_under_enforce)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, audit);

	for_each_place(scene, check_audit);
}

static void check_audit_host(const struct place *place)
{
	later(place, 1, 64, "would-deny fragment-unknown");
	first(place, 1, 40, OPEN, place->allow);
	later(place, 1, 64, place->allow);
	later(place, 1, 16, "would-deny fragment-overlap");
}

Test(fragment, under_audit_of_the_host_every_fragment_passes)
{
	scoped(scene_free) struct scene *scene = wire_scene(SCENE_HOST "mode: audit\n", wire_https);

	for_each_place(scene, check_audit_host);
}

/* ---- with other things that let packets pass ---- */

Test(fragment, those_of_a_reply_count_as_replies)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

	for (int v6 = 0; v6 < 2; v6++) {
		struct place out = {.scene = scene,
				    .program = ENFORCER_TC_OUT,
				    .out = true,
				    .family = v6 ? ADDR_V6 : ADDR_V4};
		struct frame frame = {};

		wire_udp(&frame, out.family, false, OPEN);
		frame_finish(&frame);
		wire_expect(scene, ENFORCER_XDP, &frame, "allow wire/in", "a query");
		frame = (struct frame){};
		wire_ip(&frame, out.family, true);
		frame_fragment(&frame, 1, 0, true);
		frame_udp(&frame, OPEN, 40000);
		frame_zeros(&frame, 64);
		frame_finish(&frame);
		expect(&out, &frame, "allow wire/in reply", "its answer");
		make_later(&frame, &out, 1, 72, UDP);
		expect(&out, &frame, "allow wire/in reply", "the rest of it");
	}
}

/* ---- the never-denied list ---- */

/* Of what the policy lets go the other way it quotes IP and at least 8 bytes. */
static void make_error(struct frame *frame, const struct place *place, uint32_t id)
{
	bool v6 = place->family == ADDR_V6;
	struct frame quoted = {};

	wire_tcp(&quoted, place->family, !place->out, OPEN);
	frame_finish(&quoted);
	*frame = (struct frame){};
	wire_ip(frame, place->family, place->out);
	frame_fragment(frame, id, 0, true);
	frame_icmp(frame, v6 ? 1 : 3, 0, 0);
	frame_payload(frame, quoted.bytes + quoted.ip_at, v6 ? 56 : 40);
	frame_finish(frame);
}

typedef void maker(struct frame *frame, const struct place *place,
		   uint32_t id); /* of a first one */

static void pair(const struct place *place, maker *make, int protocol, int end, const char *allow)
{
	struct frame frame;

	make(&frame, place, protocol);
	expect(place, &frame, allow, "a first one");
	make_later(&frame, place, protocol, end, protocol);
	expect(place, &frame, allow, "a later one");
	make_later(&frame, place, 2, end, protocol);
	expect(place, &frame, "deny fragment-unknown", "a later one of another");
}

static void check_never_denied(const struct place *place)
{
	bool v6 = place->family == ADDR_V6;
	uint8_t icmp = v6 ? ICMPV6 : ICMP;
	struct frame frame;

	pair(place, make_lease, UDP, 72, v6 ? "allow dhcpv6" : "allow dhcp");
	pair(place, make_error, icmp, v6 ? 64 : 48, "allow icmp-errors");
	make_later(&frame, place, icmp, v6 ? 56 : 40, icmp);
	expect(place, &frame, "deny fragment-overlap", "one over what was judged");
}

Test(fragment, later_ones_of_the_never_denied_pass_and_count_with_their_first)
{
	scoped(scene_free) struct scene *scene = wire_scene(SCENE_HOST, wire_open);

	for_each_place(scene, check_never_denied);
}

/* Whom no rule lets in sends first ones of leases and errors; those that a rule allows find ways. */
static void crowd(const struct place *place, maker *make)
{
	struct frame frame;

	for (uint32_t id = 0; id < 4100; id++) {
		if (id < 4000)
			make(&frame, place, id);
		else
			make_first(&frame, place, id, 20, OPEN);
		cr_assert(enforcer_run(place->scene->enforcer, place->program, frame.bytes,
				       frame.size, NULL));
	}
}

static void check_crowds(const struct place *place)
{
	crowd(place, make_lease);
	enforcer_forget(place->scene->enforcer);
	crowd(place, make_error);
}

Test(fragment, leases_and_errors_leave_others_half_of_the_ways)
{
	scoped(scene_free) struct scene *scene = wire_scene(SCENE_HOST, wire_open);

	for_each_place(scene, check_crowds);
}

/* Nobody puts neighbour discovery together (RFC 6980). */
Test(fragment, later_ones_of_neighbour_discovery_are_denied)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_open);
	struct place in = {.scene = scene, .program = ENFORCER_XDP, .family = ADDR_V6};
	struct frame frame = {};

	wire_ip(&frame, ADDR_V6, false);
	frame.bytes[frame.ip_at + 7] = 255; /* the hop limit */
	frame_fragment(&frame, 1, 0, true);
	frame_icmp(&frame, 136, 0, 0);
	frame_zeros(&frame, 64);
	frame_finish(&frame);
	expect(&in, &frame, "allow nd", "a first one");
	make_later(&frame, &in, 1, 72, 58);
	expect(&in, &frame, "deny fragment-unknown", "a later one");
}
