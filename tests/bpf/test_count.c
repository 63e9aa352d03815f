// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters: every packet in exactly one row, with its bytes on the wire, whatever becomes of it; the
 * columns of replies, flows and would-denied; the time of the last hit; links.
 */
#include <criterion/criterion.h>

#include "tests/bpf/recipes.h"
#include "tests/lib/random_policy.h"

enum { TCP = 6, UDP = 17, OPEN = 443, SHUT = 22 };

static const enum addr_family families[] = {ADDR_V4, ADDR_V6};

static void make_udp(struct frame *frame, enum addr_family family, bool out, uint16_t port)
{
	*frame = (struct frame){};
	wire_udp(frame, family, out, port);
	frame_finish(frame);
}

/* The answer to a packet from port 40000. */
static void make_answer(struct frame *frame, enum addr_family family, bool out, uint16_t port)
{
	*frame = (struct frame){};
	wire_ip(frame, family, out);
	frame_udp(frame, port, 40000);
	frame_finish(frame);
}

/* The row of the one outcome of a direction that a rule has; NULL: of the default rule. */
static struct bh_row row_of(const struct scene *scene, const char *path)
{
	uint32_t rule = find_rule(&scene->loaded, path);
	const struct bh_head *head = image_head(&scene->image);

	for (uint32_t i = 0; i < head->n_outcomes; i++)
		if (image_outcome(&scene->image, i)->rule == rule)
			return enforcer_row(scene->enforcer, 0, BH_FIXED_ROWS + i);
	cr_assert_fail("%s has no outcome", path);
	return (struct bh_row){};
}

static struct bh_row row_of_reason(const struct scene *scene, enum bh_reason reason,
				   enum bh_direction direction)
{
	return enforcer_row(scene->enforcer, 0, enforcer_reason_row(reason, direction));
}

/* ---- the sum ---- */

/* What was sent, to hold against what was counted. */
struct sent {
	uint64_t packets;
	uint64_t bytes;
};

static void send(struct scene *scene, enum enforcer_program program, const struct frame *frame,
		 struct sent *sent)
{
	(void)wire_answer(scene, program, frame, NULL);
	sent->packets++;
	sent->bytes += frame->size;
}

static void send_recipes(struct scene *scene, enum enforcer_program program, struct sent *sent)
{
	for (size_t i = 0; i < n_recipes; i++) {
		enum addr_family family = recipes[i].families & RECIPE_V6 ? ADDR_V6 : ADDR_V4;
		struct bh_row before = enforcer_total(scene->enforcer, 0);
		struct frame frame = {};
		struct bh_row after;

		if (!(recipes[i].programs & 1U << program))
			continue;
		enforcer_forget(scene->enforcer);
		recipes[i].make(scene, program, family, &frame);
		after = enforcer_total(scene->enforcer, 0);
		sent->packets += after.packets - before.packets; /* what had to go before */
		sent->bytes += after.bytes - before.bytes;
		send(scene, program, &frame, sent);
	}
}

/* Packets at the edges of the policy in force, and answers to them. */
static void send_random(struct scene *scene, enum enforcer_program ingress, struct sent *sent)
{
	struct rng rng = {ingress};
	const addr_list self = {};

	enforcer_forget(scene->enforcer);
	for (int i = 0; i < 1000; i++) {
		struct tuple tuple = random_packet(&rng, &scene->loaded.policy, &self);
		struct frame frame;

		frame_of_tuple(&frame, &tuple, FRAME_TCP_SYN);
		send(scene, tuple.direction == DIRECTION_IN ? ingress : ENFORCER_TC_OUT, &frame,
		     sent);
		tuple = tuple_turn(&tuple);
		frame_of_tuple(&frame, &tuple, FRAME_TCP_SYN | FRAME_TCP_ACK);
		send(scene, tuple.direction == DIRECTION_IN ? ingress : ENFORCER_TC_OUT, &frame,
		     sent);
	}
}

static void check_sum(const char *host)
{
	scoped(scene_free) struct scene *scene = wire_scene(host, wire_https);
	unsigned there = wire_programs(scene, WIRE_ALL);

	for (int program = 0; program < ENFORCER_PROGRAM_COUNT; program++) {
		struct sent sent = {};
		struct bh_row total;

		if (!(there & 1U << program))
			continue;
		scene_apply(scene, host, wire_open);
		send_recipes(scene, program, &sent);
		if (!wire_is_out(program))
			send_random(scene, program, &sent);
		total = enforcer_total(scene->enforcer, 0);
		cr_assert_gt(sent.packets, 30);
		cr_assert_eq(total.packets + total.reply_packets, sent.packets, "%s: %llu of %llu",
			     wire_program_names[program],
			     (unsigned long long)(total.packets + total.reply_packets),
			     (unsigned long long)sent.packets);
		cr_assert_eq(total.bytes + total.reply_bytes, sent.bytes);
		cr_assert_eq(enforcer_note(scene->enforcer, BH_NOTE_UNCOUNTED), 0);
	}
}

Test(count, rules_list_and_reasons_add_up_to_all_that_was_sent)
{
	check_sum(NULL);
}

Test(count, they_add_up_under_audit_too)
{
	check_sum(SCENE_HOST "mode: audit\n");
}

/* ---- segments ---- */

/* How a frame of TCP with 2,800 bytes of payload behind 54 or 74 of headers is counted. */
static void expect_segments(struct scene *scene, enum enforcer_program program,
			    enum addr_family family, const struct enforcer_context *context,
			    struct sent expected)
{
	struct frame frame = {};
	struct bh_row by;

	wire_ip(&frame, family, wire_is_out(program));
	frame_tcp(&frame, 40000, OPEN, FRAME_TCP_ACK);
	frame_zeros(&frame, 2800);
	frame_finish(&frame);
	cr_assert(enforcer_run(scene->enforcer, program, frame.bytes, frame.size, context));
	cr_assert_str_eq(scene_counted(scene, &by), wire_is_out(program) ? "wire/out" : "wire/in");
	cr_assert_eq(by.packets, expected.packets, "%s: %llu packets", wire_program_names[program],
		     (unsigned long long)by.packets);
	cr_assert_eq(by.bytes, expected.bytes, "%s: %llu bytes", wire_program_names[program],
		     (unsigned long long)by.bytes);
}

Test(count, segments_count_singly_with_their_headers)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		uint64_t headers = families[i] == ADDR_V4 ? 54 : 74;
		uint64_t frame = headers + 2800;
		const struct enforcer_context two = {.gso_segments = 2, .gso_size = 1400};
		const struct enforcer_context unsaid = {.gso_size = 1000};
		const struct enforcer_context out = {
			.gso_segments = 3, .gso_size = 1000, .wire_length = frame + 2 * headers};

		expect_segments(scene, ENFORCER_TC_IN, families[i], NULL, (struct sent){1, frame});
		expect_segments(scene, ENFORCER_TC_IN, families[i], &two,
				(struct sent){2, frame + headers});
		expect_segments(scene, ENFORCER_TC_IN, families[i], &unsaid,
				(struct sent){3, frame + 2 * headers});
		expect_segments(scene, ENFORCER_TC_OUT, families[i], NULL, (struct sent){1, frame});
		expect_segments(scene, ENFORCER_TC_OUT, families[i], &out,
				(struct sent){3, frame + 2 * headers});
		expect_segments(scene, ENFORCER_XDP, families[i], NULL, (struct sent){1, frame});
	}
}

/* The padding of short frames and tags are on the wire, and no part of the packet. */
Test(count, bytes_are_those_of_the_frame)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);
	struct frame frame = {};
	struct bh_row by;

	frame_start(&frame);
	frame_tag(&frame, 0x8100);
	wire_ip(&frame, ADDR_V4, false);
	frame_udp(&frame, 40000, OPEN);
	frame_finish(&frame);
	frame_zeros(&frame, 18);
	cr_assert(enforcer_run(scene->enforcer, ENFORCER_XDP, frame.bytes, frame.size, NULL));
	cr_assert_str_eq(scene_counted(scene, &by), "wire/in");
	cr_assert_eq(by.bytes, 64);
}

/* ---- columns ---- */

Test(count, a_reply_counts_at_the_rule_that_admitted_its_flow_and_not_at_the_deny)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		struct bh_row before = row_of(scene, "wire/in"), row;
		struct frame query, answer;

		make_udp(&query, families[i], false, OPEN);
		make_answer(&answer, families[i], true, OPEN);
		wire_expect(scene, ENFORCER_TC_OUT, &answer, "deny wire/DenyAllOutBound",
			    "an answer before its query");
		wire_expect(scene, ENFORCER_XDP, &query, "allow wire/in", "a query");
		wire_expect(scene, ENFORCER_TC_OUT, &answer, "allow wire/in reply", "an answer");
		wire_expect(scene, ENFORCER_TC_OUT, &answer, "allow wire/in reply", "another");
		row = row_of(scene, "wire/in");
		cr_assert_eq(row.packets - before.packets, 1);
		cr_assert_eq(row.bytes - before.bytes, query.size);
		cr_assert_eq(row.reply_packets - before.reply_packets, 2);
		cr_assert_eq(row.reply_bytes - before.reply_bytes, 2 * answer.size);
		cr_assert_eq(row_of(scene, "wire/DenyAllOutBound").packets, i + 1);
		cr_assert_eq(row_of(scene, "wire/DenyAllOutBound").reply_packets, 0);
	}
}

Test(count, each_new_flow_counts_once)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);
	struct frame frame;

	for (int i = 0; i < 3; i++) {
		for (int packets = 0; packets < 4; packets++) {
			make_udp(&frame, ADDR_V4, false, OPEN);
			frame_put16(&frame, frame.l4_at, 50000 + i);
			wire_expect(scene, ENFORCER_XDP, &frame, "allow wire/in", "a packet");
		}
	}
	cr_assert_eq(row_of(scene, "wire/in").flows, 3);
	make_udp(&frame, ADDR_V4, false, SHUT);
	wire_expect(scene, ENFORCER_XDP, &frame, "deny wire/DenyAllInBound", "a packet");
	cr_assert_eq(enforcer_total(scene->enforcer, 0).flows, 3);
}

Test(count, what_audit_lets_pass_counts_as_would_denied_of_its_rule)
{
	static const char policy[] = "bulkhead: 1\ngroup: wire\nrules:\n"
				     "  - {name: watched, priority: 100, direction: inbound,\n"
				     "     access: deny, mode: audit, services: [udp/22],\n"
				     "     source: any, destination: any}\n";
	scoped(scene_free) struct scene *scene = wire_scene(NULL, policy);
	struct frame query, answer;
	struct bh_row row;

	make_udp(&query, ADDR_V4, false, SHUT);
	make_answer(&answer, ADDR_V4, true, SHUT);
	wire_expect(scene, ENFORCER_XDP, &query, "would-deny wire/watched", "a query");
	wire_expect(scene, ENFORCER_XDP, &query, "would-deny wire/watched", "a query");
	wire_expect(scene, ENFORCER_TC_OUT, &answer, "would-deny wire/watched reply", "an answer");
	row = row_of(scene, "wire/watched");
	cr_assert_eq(row.packets, 2);
	cr_assert_eq(row.reply_packets, 1);
	cr_assert_eq(row.would_denied, 3);
	cr_assert_eq(row.flows, 1);
	make_udp(&query, ADDR_V4, false, OPEN);
	wire_expect(scene, ENFORCER_XDP, &query, "deny wire/DenyAllInBound", "another");
	cr_assert_eq(row_of(scene, "wire/DenyAllInBound").would_denied, 0);
}

Test(count, the_last_hit_is_the_time_of_the_last_packet_or_reply)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);
	struct frame query, answer;
	uint64_t time;

	make_udp(&query, ADDR_V4, false, OPEN);
	make_answer(&answer, ADDR_V4, true, OPEN);
	cr_assert_eq(row_of(scene, "wire/in").last, 0);
	wire_expect(scene, ENFORCER_XDP, &query, "allow wire/in", "a query");
	time = enforcer_jiffies(scene->enforcer);
	cr_assert_eq(row_of(scene, "wire/in").last, time);
	scene_wait(scene, 3);
	wire_expect(scene, ENFORCER_TC_OUT, &answer, "allow wire/in reply", "an answer");
	cr_assert_eq(row_of(scene, "wire/in").last, time + 3000);
	scene_wait(scene, 3);
	make_udp(&query, ADDR_V4, false, SHUT);
	wire_expect(scene, ENFORCER_XDP, &query, "deny wire/DenyAllInBound", "another");
	cr_assert_eq(row_of(scene, "wire/in").last, time + 3000);
	cr_assert_eq(row_of(scene, "wire/DenyAllInBound").last, time + 6000);
}

/* ---- rows ---- */

Test(count, a_reason_has_a_row_for_each_direction)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);
	struct frame frame = {};

	frame_start(&frame);
	frame_type(&frame, 0x0806);
	frame_zeros(&frame, 46);
	wire_expect(scene, ENFORCER_XDP, &frame, "allow arp", "ARP");
	wire_expect(scene, ENFORCER_TC_IN, &frame, "allow arp", "ARP");
	wire_expect(scene, ENFORCER_TC_OUT, &frame, "allow arp", "ARP");
	cr_assert_eq(row_of_reason(scene, BH_REASON_ARP, BH_IN).packets, 2);
	cr_assert_eq(row_of_reason(scene, BH_REASON_ARP, BH_OUT).packets, 1);
	cr_assert_eq(row_of_reason(scene, BH_REASON_ARP, BH_OUT).bytes, frame.size);
}

Test(count, a_generation_begins_at_nothing)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);
	struct frame frame;

	make_udp(&frame, ADDR_V4, false, OPEN);
	for (int i = 0; i < 3; i++) {
		wire_expect(scene, ENFORCER_XDP, &frame, "allow wire/in", "a packet");
		cr_assert_eq(enforcer_total(scene->enforcer, 0).packets, 1);
		scene_apply(scene, NULL, wire_https);
		cr_assert_eq(enforcer_total(scene->enforcer, 0).packets, 0);
	}
}

/* BPF_PROG_RUN shows lo, number 1, to every program. */
Test(count, each_link_counts_for_itself_and_one_that_is_not_listed_as_number_0)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);
	unsigned there = wire_programs(scene, WIRE_ALL);
	uint64_t n = 0;

	for (int program = 0; program < ENFORCER_PROGRAM_COUNT; program++) {
		struct frame frame;

		if (!(there & 1U << program))
			continue;
		make_udp(&frame, ADDR_V4, wire_is_out(program), OPEN);
		enforcer_set_link(scene->enforcer, 2, 1);
		(void)enforcer_run(scene->enforcer, program, frame.bytes, frame.size, NULL);
		enforcer_set_link(scene->enforcer, 1, 1);
		(void)enforcer_run(scene->enforcer, program, frame.bytes, frame.size, NULL);
		n++;
		cr_assert_eq(enforcer_total(scene->enforcer, 0).packets, n);
		cr_assert_eq(enforcer_total(scene->enforcer, 1).packets, n, "%s: link 1",
			     wire_program_names[program]);
	}
}
