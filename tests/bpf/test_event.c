// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events: which packets make one, how many a second, what stands in them, and what is counted when
 * they are lost.
 */
#include <criterion/criterion.h>

#include <time.h>

#include "tests/bpf/wire.h"

enum { UDP = 17, OPEN = 443, SHUT = 22, LIMIT = 10 };
enum { MANY = 12000 }; /* more than the ring holds */

/* Rules 0 to 3 of the image: quiet, told, refused, watched; then the default rules. */
static const char policy[] =
	"bulkhead: 1\ngroup: wire\nrules:\n"
	"  - {name: quiet, priority: 100, direction: inbound, access: allow,\n"
	"     services: [udp/80], source: any, destination: any}\n"
	"  - {name: told, priority: 110, direction: inbound, access: allow, log: true,\n"
	"     services: [tcp/443, udp/443, icmp/8], source: any, destination: any}\n"
	"  - {name: refused, priority: 120, direction: inbound, access: deny, log: true,\n"
	"     services: [udp/22], source: any, destination: any}\n"
	"  - {name: watched, priority: 130, direction: inbound, access: deny, log: true,\n"
	"     mode: audit, services: [udp/23], source: any, destination: any}\n"
	"  - {name: out, priority: 100, direction: outbound, access: allow, log: true,\n"
	"     services: [tcp/443, icmpv6/128], source: any, destination: any}\n";

static struct scene *scene_with(uint32_t limit)
{
	char host[128];

	snprintf(host, sizeof(host), SCENE_HOST "log_limit: %u\n", limit);
	return wire_scene(host, policy);
}

static void send_udp(struct scene *scene, uint16_t from, uint16_t to)
{
	struct frame frame = {};

	wire_udp(&frame, ADDR_V4, false, to);
	frame_put16(&frame, frame.l4_at, from);
	frame_finish(&frame);
	(void)enforcer_run(scene->enforcer, ENFORCER_XDP, frame.bytes, frame.size, NULL);
}

static void send_answer(struct scene *scene, uint16_t from)
{
	struct frame frame = {};

	wire_ip(&frame, ADDR_V4, true);
	frame_udp(&frame, from, 40000);
	frame_finish(&frame);
	cr_assert(enforcer_run(scene->enforcer, ENFORCER_TC_OUT, frame.bytes, frame.size, NULL));
}

static size_t n_events(struct scene *scene)
{
	struct bh_event event;

	return enforcer_events(scene->enforcer, &event, 1);
}

static void expect_events(struct scene *scene, size_t expected, const char *what)
{
	size_t n = n_events(scene);

	cr_assert_eq(n, expected, "%s: %zu events, and not %zu", what, n, expected);
}

/* ---- which packets ---- */

Test(event, the_first_packet_of_each_flow_that_a_rule_with_log_allows_makes_one)
{
	scoped(scene_free) struct scene *scene = scene_with(LIMIT);

	send_udp(scene, 40000, OPEN);
	expect_events(scene, 1, "the first packet");
	send_udp(scene, 40000, OPEN);
	send_answer(scene, OPEN);
	send_udp(scene, 40000, OPEN);
	expect_events(scene, 0, "the rest of the flow");
	send_udp(scene, 40001, OPEN);
	expect_events(scene, 1, "another flow");
	send_udp(scene, 40000, 80);
	expect_events(scene, 0, "a rule without log");
}

static void send_tcp(struct scene *scene, uint16_t from, uint8_t flags)
{
	struct frame frame = {};

	wire_ip(&frame, ADDR_V4, false);
	frame_tcp(&frame, from, OPEN, flags);
	frame_finish(&frame);
	(void)enforcer_run(scene->enforcer, ENFORCER_XDP, frame.bytes, frame.size, NULL);
}

/* What a scan of resets leaves behind. */
Test(event, each_allowed_packet_of_no_flow_makes_one)
{
	static const uint8_t alone[] = {FRAME_TCP_RST, FRAME_TCP_FIN, FRAME_TCP_FIN | FRAME_TCP_ACK,
					FRAME_TCP_SYN | FRAME_TCP_ACK};
	scoped(scene_free) struct scene *scene = scene_with(LIMIT);

	for (size_t i = 0; i < ARRAY_LEN(alone); i++) {
		send_tcp(scene, 40000, alone[i]);
		expect_events(scene, 1, "allowed, and opens nothing");
	}
	send_tcp(scene, 40000, FRAME_TCP_SYN);
	expect_events(scene, 1, "the first packet");
	for (size_t i = 0; i < ARRAY_LEN(alone); i++) {
		send_tcp(scene, 40000, alone[i]);
		expect_events(scene, 0, "of the flow");
	}
	send_tcp(scene, 40001, FRAME_TCP_ACK);
	expect_events(scene, 1, "picked up");
}

Test(event, each_packet_that_a_rule_with_log_denies_makes_one)
{
	scoped(scene_free) struct scene *scene = scene_with(LIMIT);

	for (int i = 0; i < 3; i++)
		send_udp(scene, 40000, SHUT);
	expect_events(scene, 3, "denied packets");
	send_udp(scene, 40000, 21);
	expect_events(scene, 0, "denied by the default rule, which has no log");
}

Test(event, each_packet_that_would_be_denied_makes_one)
{
	scoped(scene_free) struct scene *scene = scene_with(LIMIT);
	struct bh_event events[4];

	for (int i = 0; i < 3; i++)
		send_udp(scene, 40000, 23);
	cr_assert_eq(enforcer_events(scene->enforcer, events, ARRAY_LEN(events)), 3);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(events[i].verdict, BH_WOULD_DENY);
}

/* ---- a watcher ---- */

Test(event, while_somebody_watches_every_deny_makes_one)
{
	scoped(scene_free) struct scene *scene = scene_with(LIMIT);
	uint64_t tick = enforcer_jiffies(scene->enforcer) >> 7;
	struct frame frame = {};

	frame_start(&frame);
	frame_type(&frame, 0x8847);
	frame_zeros(&frame, 46);
	enforcer_watch(scene->enforcer, tick + 8);
	send_udp(scene, 40000, 21);
	(void)enforcer_run(scene->enforcer, ENFORCER_XDP, frame.bytes, frame.size, NULL);
	expect_events(scene, 2, "denied by the default rule and by a reason");
	send_udp(scene, 40000, 80);
	expect_events(scene, 0, "allowed without log");
	enforcer_advance(scene->enforcer, 8 << 7);
	send_udp(scene, 40000, 21);
	expect_events(scene, 1, "in the last tick");
	enforcer_advance(scene->enforcer, 1 << 7);
	send_udp(scene, 40000, 21);
	expect_events(scene, 0, "after it");
	enforcer_watch(scene->enforcer, tick + 100);
	send_udp(scene, 40000, 21);
	expect_events(scene, 1, "once it is renewed");
	enforcer_watch(scene->enforcer, 0);
	send_udp(scene, 40000, 21);
	expect_events(scene, 0, "once it is over");
}

/* ---- limits ---- */

/* Events and limited ones of so many packets. */
static void expect_limited(struct scene *scene, uint16_t port, uint32_t n_sent, uint32_t n_told)
{
	uint64_t before = enforcer_note(scene->enforcer, BH_NOTE_EVENTS_LIMITED);

	for (uint32_t i = 0; i < n_sent; i++)
		send_udp(scene, 40000, port);
	expect_events(scene, n_told, "within the limit");
	cr_assert_eq(enforcer_note(scene->enforcer, BH_NOTE_EVENTS_LIMITED) - before,
		     n_sent - n_told);
}

Test(event, a_rule_has_so_many_a_second_and_what_is_over_is_counted)
{
	scoped(scene_free) struct scene *scene = scene_with(LIMIT);

	enforcer_advance(scene->enforcer, 1000 - enforcer_jiffies(scene->enforcer) % 1000);
	expect_limited(scene, SHUT, 25, LIMIT);
	expect_limited(scene, 23, 25, LIMIT);
	enforcer_advance(scene->enforcer, 999);
	expect_limited(scene, SHUT, 5, 0);
	enforcer_advance(scene->enforcer, 1);
	expect_limited(scene, SHUT, 5, 5);
	expect_limited(scene, SHUT, 25, LIMIT - 5);
	cr_assert_eq(enforcer_note(scene->enforcer, BH_NOTE_EVENTS_LOST), 0);
}

Test(event, reasons_have_limits_of_their_own_while_somebody_watches)
{
	scoped(scene_free) struct scene *scene = scene_with(LIMIT);
	struct frame cut = {}, foreign = {};

	wire_udp(&cut, ADDR_V4, false, OPEN);
	frame_finish(&cut);
	frame_put16(&cut, cut.ip_at + 2, 2000);
	frame_start(&foreign);
	frame_type(&foreign, 0x8847);
	frame_zeros(&foreign, 46);
	enforcer_watch(scene->enforcer, enforcer_jiffies(scene->enforcer));
	for (int i = 0; i < 25; i++) {
		(void)enforcer_run(scene->enforcer, ENFORCER_XDP, cut.bytes, cut.size, NULL);
		(void)enforcer_run(scene->enforcer, ENFORCER_XDP, foreign.bytes, foreign.size,
				   NULL);
	}
	expect_events(scene, 2 * LIMIT, "of two reasons");
	expect_limited(scene, SHUT, 25, LIMIT);
}

Test(event, a_limit_of_0_tells_nothing)
{
	scoped(scene_free) struct scene *scene = scene_with(0);

	expect_limited(scene, SHUT, 5, 0);
}

/* ---- losses ---- */

Test(event, what_finds_no_room_in_the_ring_is_counted)
{
	scoped(scene_free) struct scene *scene = scene_with(1000000);
	size_t n;

	for (int i = 0; i < MANY; i++)
		send_udp(scene, 40000, SHUT);
	n = n_events(scene);
	cr_assert(n > MANY / 2 && n < MANY, "%zu of %d", n, MANY);
	cr_assert_eq(enforcer_note(scene->enforcer, BH_NOTE_EVENTS_LOST), MANY - n);
	cr_assert_eq(enforcer_note(scene->enforcer, BH_NOTE_EVENTS_LIMITED), 0);
	send_udp(scene, 40000, SHUT);
	expect_events(scene, 1, "once it was read");
}

/* ---- what stands in them ---- */

static uint64_t boot_time(void)
{
	struct timespec now;

	cr_assert_eq(clock_gettime(CLOCK_BOOTTIME, &now), 0);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The one event of a frame; its time is checked here. */
static struct bh_event event_of(struct scene *scene, enum enforcer_program program,
				const struct frame *frame, const struct enforcer_context *context)
{
	uint64_t before = boot_time();
	struct bh_event event;

	(void)enforcer_run(scene->enforcer, program, frame->bytes, frame->size, context);
	cr_assert_eq(enforcer_events(scene->enforcer, &event, 1), 1);
	cr_assert(event.time >= before && event.time <= boot_time());
	event.time = 0;
	return event;
}

static void put_address(uint8_t bytes[16], const struct addr *addr)
{
	if (addr->family == ADDR_V6) {
		memcpy(bytes, addr->bytes, 16);
		return;
	}
	bytes[10] = bytes[11] = 0xff;
	memcpy(bytes + 12, addr->bytes, 4);
}

/* What all events of a hook between the two stations have. */
static struct bh_event expected_event(const struct scene *scene, enum enforcer_program program,
				      enum addr_family family)
{
	static const enum bh_hook hooks[] = {
		[ENFORCER_XDP] = BH_HOOK_XDP,
		[ENFORCER_XDP_FRAGS] = BH_HOOK_XDP,
		[ENFORCER_TC_IN] = BH_HOOK_TC_IN,
		[ENFORCER_TC_OUT] = BH_HOOK_TC_OUT,
	};
	bool out = wire_is_out(program);
	struct addr host = wire_host(family), peer = wire_peer(family);
	struct bh_event event = {
		.version = BH_EVENT_VERSION,
		.size = sizeof(event),
		.ifindex = 1,
		.generation = enforcer_generation(scene->enforcer),
		.reason = BH_REASON_RULE,
		.direction = out ? BH_OUT : BH_IN,
		.hook = hooks[program],
		.packets = 1,
		.family = family == ADDR_V4 ? 4 : 6,
		.ether_type = __builtin_bswap16(family == ADDR_V4 ? 0x0800 : 0x86dd),
	};

	put_address(event.source, out ? &host : &peer);
	put_address(event.destination, out ? &peer : &host);
	return event;
}

static void put_rule(const struct scene *scene, struct bh_event *event, const char *path)
{
	uint32_t rule = find_rule(&scene->loaded, path);

	cr_assert_neq(rule, POLICY_NO_RULE);
	event->rule = rule;
	event->outcome = 0;
	while (image_outcome(&scene->image, event->outcome)->rule != rule)
		event->outcome++;
}

static void expect_event(const struct bh_event *event, const struct bh_event *expected,
			 const char *what)
{
	const uint8_t *is = (const uint8_t *)event, *should = (const uint8_t *)expected;

	for (size_t i = 0; i < sizeof(*event); i++)
		cr_assert_eq(is[i], should[i], "%s: byte %zu is %u, and not %u", what, i, is[i],
			     should[i]);
}

static void check_tcp(struct scene *scene, enum enforcer_program program, enum addr_family family)
{
	struct bh_event event, expected = expected_event(scene, program, family);
	struct frame frame = {};

	wire_tcp(&frame, family, wire_is_out(program), OPEN);
	frame_put16(&frame, frame.l4_at, 41000 + program);
	frame.bytes[frame.l4_at + 13] |= 0xc0; /* with ECN */
	frame_finish(&frame);
	event = event_of(scene, program, &frame, NULL);
	put_rule(scene, &expected, wire_is_out(program) ? "wire/out" : "wire/told");
	expected.verdict = BH_ALLOW;
	expected.length = frame.size;
	expected.source_port = __builtin_bswap16(41000 + program);
	expected.destination_port = __builtin_bswap16(OPEN);
	expected.protocol = 6;
	expected.tcp_flags = 0xc2;
	expect_event(&event, &expected, wire_program_names[program]);
}

Test(event, every_field_says_what_the_packet_was_at_each_hook)
{
	scoped(scene_free) struct scene *scene = scene_with(1000);
	unsigned there = wire_programs(scene, WIRE_ALL);

	scene_apply(scene, SCENE_HOST, policy); /* not the first generation */
	for (int program = 0; program < ENFORCER_PROGRAM_COUNT; program++) {
		if (!(there & 1U << program))
			continue;
		check_tcp(scene, program, ADDR_V4);
		check_tcp(scene, program, ADDR_V6);
	}
}

Test(event, of_icmp_type_and_code_stand_where_the_destination_port_does)
{
	scoped(scene_free) struct scene *scene = scene_with(LIMIT);
	struct bh_event event, expected = expected_event(scene, ENFORCER_TC_OUT, ADDR_V6);
	struct frame frame = {};

	wire_ip(&frame, ADDR_V6, true);
	frame_icmp(&frame, 128, 7, 1);
	frame_finish(&frame);
	event = event_of(scene, ENFORCER_TC_OUT, &frame, NULL);
	put_rule(scene, &expected, "wire/out");
	expected.verdict = BH_ALLOW;
	expected.length = frame.size;
	expected.destination_port = __builtin_bswap16(128 << 8 | 7);
	expected.protocol = 58;
	expect_event(&event, &expected, "a ping");
}

Test(event, segments_are_told_as_they_are_counted)
{
	scoped(scene_free) struct scene *scene = scene_with(LIMIT);
	struct bh_event event, expected = expected_event(scene, ENFORCER_TC_IN, ADDR_V4);
	const struct enforcer_context context = {.gso_segments = 2, .gso_size = 1000};
	struct frame frame = {};

	wire_ip(&frame, ADDR_V4, false);
	frame_tcp(&frame, 40000, OPEN, FRAME_TCP_ACK);
	frame_zeros(&frame, 2000);
	frame_finish(&frame);
	event = event_of(scene, ENFORCER_TC_IN, &frame, &context);
	put_rule(scene, &expected, "wire/told");
	expected.verdict = BH_ALLOW;
	expected.packets = 2;
	expected.length = 2000 + 2 * 54;
	expected.source_port = __builtin_bswap16(40000);
	expected.destination_port = __builtin_bswap16(OPEN);
	expected.protocol = 6;
	expected.tcp_flags = FRAME_TCP_ACK;
	expect_event(&event, &expected, "two segments");
}

Test(event, what_a_reason_denies_has_no_rule)
{
	scoped(scene_free) struct scene *scene = scene_with(LIMIT);
	struct bh_event event, expected;
	struct frame frame = {};

	enforcer_watch(scene->enforcer, enforcer_jiffies(scene->enforcer));
	frame_start(&frame);
	frame_type(&frame, 0x8847);
	frame_zeros(&frame, 46);
	expected = (struct bh_event){
		.version = BH_EVENT_VERSION,
		.size = sizeof(event),
		.ifindex = 1,
		.generation = enforcer_generation(scene->enforcer),
		.rule = BH_NO_RULE,
		.outcome = 0xffff,
		.reason = BH_REASON_NOT_IP,
		.verdict = BH_DENY,
		.direction = BH_IN,
		.hook = BH_HOOK_XDP,
		.length = frame.size,
		.packets = 1,
		.ether_type = __builtin_bswap16(0x8847),
	};
	event = event_of(scene, ENFORCER_XDP, &frame, NULL);
	expect_event(&event, &expected, "MPLS");

	frame = (struct frame){};
	wire_ip(&frame, ADDR_V4, false);
	frame_fragment(&frame, 5, 64, false);
	frame_protocol(&frame, UDP);
	frame_zeros(&frame, 32);
	frame_finish(&frame);
	expected = expected_event(scene, ENFORCER_XDP, ADDR_V4);
	expected.rule = BH_NO_RULE;
	expected.outcome = 0xffff;
	expected.reason = BH_REASON_FRAGMENT_UNKNOWN;
	expected.verdict = BH_DENY;
	expected.length = frame.size;
	expected.protocol = UDP;
	expected.later_fragment = 1;
	event = event_of(scene, ENFORCER_XDP, &frame, NULL);
	expect_event(&event, &expected, "a later fragment");
}

Test(event, a_reply_that_would_be_denied_says_that_a_flow_let_it_pass)
{
	scoped(scene_free) struct scene *scene = scene_with(LIMIT);
	struct bh_event event, expected = expected_event(scene, ENFORCER_TC_OUT, ADDR_V4);
	struct frame frame = {};

	send_udp(scene, 40000, 23);
	expect_events(scene, 1, "the opener");
	wire_ip(&frame, ADDR_V4, true);
	frame_udp(&frame, 23, 40000);
	frame_finish(&frame);
	enforcer_watch(scene->enforcer, enforcer_jiffies(scene->enforcer));
	event = event_of(scene, ENFORCER_TC_OUT, &frame, NULL);
	put_rule(scene, &expected, "wire/watched");
	expected.rule = BH_NO_RULE; /* of the row that counts it, which outcome names */
	expected.verdict = BH_WOULD_DENY;
	expected.by_flow = 1;
	expected.length = frame.size;
	expected.source_port = __builtin_bswap16(23);
	expected.destination_port = __builtin_bswap16(40000);
	expected.protocol = UDP;
	expect_event(&event, &expected, "a reply");
}
