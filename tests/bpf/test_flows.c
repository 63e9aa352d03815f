// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the tables of states leave open: how long a flow lives, what forged packets can do to it, what
 * audit lets through, and outcomes that need no state.
 */
#include <stdio.h>

#include <criterion/criterion.h>

#include <bpf/bpf.h>

#include "tests/bpf/cells.h"
#include "tests/bpf/wire.h"

enum { PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_GRE = 47, PROTO_SCTP = 132 };

static const char established[] = ">SYN <SYN-ACK >ACK <ACK";

static struct scene *scene_of_flows(void)
{
	struct scene *scene;

	if (!enforcer_is_possible())
		cr_skip_test("loading programs needs root");
	scene = scene_new();
	scene_apply(scene, NULL, scene_policy);
	return scene;
}

/* ---- time-outs ---- */

/* A flow of a kind, brought to a state, and after how many seconds of silence it must be gone. */
struct silence {
	const char *state;
	const char *packets; /* TCP */
	uint32_t seconds;
	uint8_t protocol;
	bool replied; /* others: a reply, and 3 s later one more from the opener */
};

/* All different, so that no state can borrow the time-out of another. */
static const char all_timeouts[] =
	SCENE_HOST "timeouts: {tcp_established: 1000, tcp_half_open: 41, tcp_closing: 83,\n"
		   "  udp: 37, udp_stream: 211, icmp: 53, other: 401, fragment: 29}\n";

static const struct silence silences[] = {
	{"half-open", ">SYN", 41, PROTO_TCP, false},
	{"half-open ended", ">SYN >RST", 41, PROTO_TCP, false},
	{"answered", ">SYN <SYN-ACK", 41, PROTO_TCP, false},
	{"picked-up", ">data", 41, PROTO_TCP, false},
	{"established", established, 1000, PROTO_TCP, false},
	{"closing", ">data <data >data <FIN-ACK", 83, PROTO_TCP, false},
	{"closing", ">data <data >data >RST", 83, PROTO_TCP, false},
	{"established", ">data <data >data <RST >ACK", 1000, PROTO_TCP, false},
	{"half-open", NULL, 37, PROTO_UDP, false},
	{"established", NULL, 211, PROTO_UDP, true},
	{"half-open", NULL, 37, PROTO_SCTP, false},
	{"established", NULL, 211, PROTO_SCTP, true},
	{"half-open", NULL, 53, PROTO_ICMP, false},
	{"established", NULL, 53, PROTO_ICMP, true},
	{"half-open", NULL, 401, PROTO_GRE, false},
	{"established", NULL, 401, PROTO_GRE, true},
};

static void begin_flow(const struct scene *scene, const struct subject *subject,
		       const struct silence *silence)
{
	if (silence->packets) {
		play(scene, subject, silence->packets);
		return;
	}
	(void)scene_send(scene, subject, false, 0);
	if (!silence->replied)
		return;
	(void)scene_send(scene, subject, true, 0);
	scene_wait(scene, 3);
	(void)scene_send(scene, subject, false, 0);
}

/* What the replier may send in any state: a reset passes from half-open on. */
static bool reply_passes(const struct scene *scene, const struct subject *subject)
{
	return scene_send(scene, subject, true, FRAME_TCP_RST);
}

Test(flows, each_lives_as_long_as_its_time_out_and_not_a_second_longer)
{
	scoped(scene_free) struct scene *scene = scene_of_flows();
	struct flowtable_entry entry;
	char name[STATE_NAME_SIZE];

	scene_apply(scene, all_timeouts, scene_policy);
	for (uint32_t i = 0; i < ARRAY_LEN(silences) * 4; i++) {
		const struct silence *silence = &silences[i / 4];
		struct subject subject = {i & 1 ? ADDR_V6 : ADDR_V4, silence->protocol, i & 2,
					  false, (uint16_t)(2 * i)};

		if (subject.protocol == PROTO_ICMP && subject.family == ADDR_V6)
			subject.protocol = 58;
		begin_flow(scene, &subject, silence);
		cr_assert(scene_entry(scene, &subject, &entry));
		cr_expect_str_eq(state_name(&subject, &entry, name), silence->state);
		scene_wait(scene, silence->seconds);
		cr_expect(reply_passes(scene, &subject), "%s of protocol %u: gone after %u s",
			  silence->state, subject.protocol, silence->seconds);
		subject.number++;
		begin_flow(scene, &subject, silence);
		scene_wait(scene, silence->seconds + 1);
		cr_expect_not(reply_passes(scene, &subject), "%s of protocol %u: there after %u s",
			      silence->state, subject.protocol, silence->seconds + 1);
		cr_expect_not(scene_entry(scene, &subject, &entry), "found dead and left there");
	}
}

Test(flows, ticks_may_pass_over_the_end_of_their_32_bits)
{
	scoped(scene_free) struct scene *scene = scene_of_flows();
	const uint64_t end = 1ULL << (32 + 7); /* a tick is 128 jiffies */
	struct subject tcp = {ADDR_V4, PROTO_TCP, true, false, 1};
	struct subject udp = {ADDR_V6, PROTO_UDP, false, false, 2};

	enforcer_advance(scene->enforcer, end - enforcer_jiffies(scene->enforcer) - 5000);
	play(scene, &tcp, established);
	(void)scene_send(scene, &udp, false, 0);
	scene_wait(scene, 20);
	cr_expect(play(scene, &tcp, "<data"));
	cr_expect(scene_send(scene, &udp, true, 0));
	scene_wait(scene, 31);
	cr_expect(play(scene, &tcp, "<data"));
	cr_expect_not(scene_send(scene, &udp, true, 0));
	scene_wait(scene, 7441);
	cr_expect_not(play(scene, &tcp, "<data"));
}

Test(flows, each_says_when_it_was_opened_until_it_is_opened_anew)
{
	scoped(scene_free) struct scene *scene = scene_of_flows();
	struct flowtable_entry entry;

	for (uint16_t i = 0; i < 4; i++) {
		struct subject subject = {i & 1 ? ADDR_V6 : ADDR_V4, PROTO_TCP, i & 2, false, i};
		uint32_t moment = scene_moment(scene);

		(void)play(scene, &subject, ">SYN");
		scene_wait(scene, 10);
		(void)play(scene, &subject, ">SYN <SYN-ACK");
		cr_assert(scene_entry(scene, &subject, &entry));
		cr_expect_eq(entry.opened, moment, "half-open: %u, not %u", entry.opened, moment);
		(void)play(scene, &subject, ">ACK <ACK >ACK");
		scene_wait(scene, 100);
		cr_expect(play(scene, &subject, "<data"));
		cr_assert(scene_entry(scene, &subject, &entry));
		cr_expect(flows_flags(&entry) & BH_FLOW_ESTABLISHED);
		cr_expect_eq(entry.opened, moment, "established: %u, not %u", entry.opened, moment);
		(void)play(scene, &subject, ">FIN-ACK <FIN-ACK");
		scene_wait(scene, 10);
		moment = scene_moment(scene);
		(void)play(scene, &subject, ">SYN");
		cr_assert(scene_entry(scene, &subject, &entry));
		cr_expect_eq(entry.opened, moment, "anew: %u, not %u", entry.opened, moment);
		/* What is kept of the moment begins again. */
		enforcer_advance(scene->enforcer, (BH_OPENED_MASK - scene_moment(scene)) *
							  (128ULL << BH_OPENED_SHIFT));
	}
}

static const char of_self[] =
	"  - {name: to-self, priority: 4000, direction: inbound, access: deny, protocol: gre,\n"
	"     source: any, destination: self}\n"
	"  - {name: of-self, priority: 4000, direction: outbound, access: deny, protocol: gre,\n"
	"     source: self, destination: any}\n";

/* Without the table of own addresses the policy has no word: who asks it is denied. */
Test(flows, a_packet_on_its_flow_asks_no_policy)
{
	scoped(scene_free) struct scene *scene = scene_of_flows();
	int outer = enforcer_map(scene->enforcer, "bh_self");
	scoped(close) int inner = -1;
	struct flowtable_entry entry;
	uint32_t zero = 0, id = 0;
	const addr_list self = {};
	char text[8192];

	(void)snprintf(text, sizeof(text), "%s%s", scene_policy, of_self);
	enforcer_set_self(scene->enforcer, &self);
	scene_apply(scene, NULL, text);
	scene_wait(scene, 20);
	for (uint16_t i = 0; i < 4; i++) {
		struct subject subject = {i & 1 ? ADDR_V6 : ADDR_V4, PROTO_TCP, i & 2, false, i};

		(void)play(scene, &subject, established);
		cr_assert(scene_entry(scene, &subject, &entry));
		cr_assert_neq(entry.opened, 0, "of which the look-up has to look away");
	}
	cr_assert_eq(bpf_map_lookup_elem(outer, &zero, &id), 0);
	inner = bpf_map_get_fd_by_id(id);
	cr_assert_geq(inner, 0);
	cr_assert_eq(bpf_map_delete_elem(outer, &zero), 0);
	for (uint16_t i = 0; i < 4; i++) {
		struct subject subject = {i & 1 ? ADDR_V6 : ADDR_V4, PROTO_TCP, i & 2, false, i};
		struct subject other = subject;

		cr_expect(play(scene, &subject, ">data"), "%u asks", i);
		other.number += 4;
		cr_expect_not(play(scene, &other, ">SYN"), "%u does not ask", i);
	}
	cr_assert_eq(bpf_map_update_elem(outer, &zero, &inner, BPF_ANY), 0);
}

Test(flows, a_reply_alone_does_not_make_a_stream_and_neither_does_a_burst)
{
	scoped(scene_free) struct scene *scene = scene_of_flows();
	struct subject subject = {ADDR_V4, PROTO_UDP, true, false, 1};
	struct flowtable_entry entry;

	(void)scene_send(scene, &subject, false, 0);
	(void)scene_send(scene, &subject, true, 0);
	enforcer_advance(scene->enforcer, 1999);
	(void)scene_send(scene, &subject, false, 0);
	cr_assert(scene_entry(scene, &subject, &entry));
	cr_expect_not(flows_flags(&entry) & BH_FLOW_ESTABLISHED);
	scene_wait(scene, 29);
	(void)scene_send(scene, &subject, true, 0);
	cr_assert(scene_entry(scene, &subject, &entry));
	cr_expect_not(flows_flags(&entry) & BH_FLOW_ESTABLISHED);
	(void)scene_send(scene, &subject, false, 0);
	cr_assert(scene_entry(scene, &subject, &entry));
	cr_expect(flows_flags(&entry) & BH_FLOW_ESTABLISHED);
	cr_expect_eq(entry.table, BH_TABLE_ESTABLISHED4);
}

/* ---- forged packets: nobody looks at sequence numbers here ---- */

Test(flows, a_forged_reset_ends_no_flow_that_goes_on)
{
	static const char *const resets[] = {">RST", "<RST", ">FIN", "<FIN-ACK"};
	scoped(scene_free) struct scene *scene = scene_of_flows();
	struct subject subject = {ADDR_V4, PROTO_TCP, false, false, 0};

	for (size_t i = 0; i < ARRAY_LEN(resets); i++) {
		subject.number++;
		play(scene, &subject, established);
		play(scene, &subject, resets[i]);
		cr_expect(play(scene, &subject, ">data"), "%s", resets[i]);
		cr_expect(play(scene, &subject, "<data"), "%s", resets[i]);
		scene_wait(scene, 61); /* longer than a closing flow lives */
		cr_expect(play(scene, &subject, "<data"), "%s", resets[i]);
	}
}

Test(flows, a_forged_reset_with_a_forged_syn_behind_it_ends_none_either)
{
	scoped(scene_free) struct scene *scene = scene_of_flows();
	struct subject subject = {ADDR_V4, PROTO_TCP, false, false, 0};
	struct flowtable_entry entry;

	for (int i = 0; i < 4; i++) {
		subject.number++;
		subject.out = i & 1;
		play(scene, &subject, established);
		play(scene, &subject, i & 2 ? "<RST >SYN" : ">RST >SYN");
		cr_expect(play(scene, &subject, "<data"), "what the replier sends is denied");
		cr_expect(play(scene, &subject, ">data"));
		scene_wait(scene, 61);
		cr_expect(play(scene, &subject, "<data"));
		cr_assert(scene_entry(scene, &subject, &entry));
		cr_expect(flows_flags(&entry) & BH_FLOW_ESTABLISHED);
	}
}

Test(flows, many_syns_of_one_flow_are_one_entry_and_keep_nobody_alive)
{
	scoped(scene_free) struct scene *scene = scene_of_flows();
	struct subject subject = {ADDR_V4, PROTO_TCP, false, false, 1};
	struct bh_row row;

	play(scene, &subject, established);
	for (int i = 0; i < 7; i++) {
		scene_wait(scene, 1000);
		cr_expect(play(scene, &subject, ">SYN"));
	}
	scene_wait(scene, 441);
	cr_expect_not(play(scene, &subject, "<data"), "alive by another's SYNs alone");
	(void)scene_counted(scene, &row);
	for (int i = 0; i < 100; i++) {
		play(scene, &subject, ">SYN");
		cr_expect_str_eq(scene_counted(scene, &row), "scene/in");
		cr_expect_eq(row.flows, i == 0);
	}
}

Test(flows, the_answer_of_a_flow_is_no_answer_to_another)
{
	scoped(scene_free) struct scene *scene = scene_of_flows();
	struct subject subject = {ADDR_V4, PROTO_TCP, true, false, 1};
	struct tuple opener = subject_opener(&subject);
	struct tuple answer = tuple_turn(&opener);

	play(scene, &subject, established);
	cr_expect(scene_send_tuple(scene, &answer, FRAME_TCP_ACK));
	answer.source_port++;
	cr_expect_not(scene_send_tuple(scene, &answer, FRAME_TCP_ACK));
	answer.source_port--;
	answer.destination_port--;
	cr_expect_not(scene_send_tuple(scene, &answer, FRAME_TCP_ACK));
	answer.destination_port++;
	answer.protocol = PROTO_UDP;
	cr_expect_not(scene_send_tuple(scene, &answer, 0));
}

/* ---- audit ---- */

/* Every packet passes; the opener's and its replies count as would-deny of the opener's rule. */
static void check_audited(struct scene *scene, const char *packets, const char *rule)
{
	static uint16_t number;
	struct subject subject = {ADDR_V4, PROTO_TCP, true, false, ++number};
	struct flowtable_entry entry;
	struct str rest = str_of(packets);
	struct str word;

	while (str_word(&rest, &word)) {
		const char *text = str_dup(scene->arena, word);
		bool reply = text[0] == '<';
		struct bh_row by;

		scene_wait(scene, 1);
		(void)scene_counted(scene, &by);
		cr_expect(play(scene, &subject, text), "%s of %s is denied", text, packets);
		cr_expect_str_eq(scene_counted(scene, &by), rule, "%s of %s", text, packets);
		cr_expect_eq(by.would_denied, 1, "%s of %s", text, packets);
		cr_expect_eq(by.reply_packets, reply, "%s of %s", text, packets);
		cr_assert(scene_entry(scene, &subject, &entry), "%s of %s", text, packets);
		cr_expect(flows_flags(&entry) & BH_FLOW_AUDIT, "%s of %s", text, packets);
		cr_expect_eq((uint32_t)entry.state.meta,
			     (uint32_t)(enforcer_jiffies(scene->enforcer) >> 7),
			     "%s of %s: not dated", text, packets);
	}
}

Test(flows, what_audit_lets_through_counts_as_would_deny_with_its_replies)
{
	static const char *const packets[] = {
		">SYN <SYN-ACK >ACK <data >data <FIN-ACK >FIN-ACK <ACK",
		">SYN <RST-ACK",
		">data <data <RST >SYN <SYN-ACK <data",
	};
	scoped(scene_free) struct scene *scene = scene_of_flows();

	for (size_t i = 0; i < ARRAY_LEN(packets); i++) {
		scene_apply(scene, NULL, scene_denying(scene, "recheck", "audit"));
		check_audited(scene, packets[i], "scene/out");
		scene_apply(scene, SCENE_HOST "mode: audit\n",
			    scene_denying(scene, "recheck", "enforce"));
		check_audited(scene, packets[i], "scene/out");
	}
}

/* ---- outcomes that need no state ---- */

/* Marks the outcome of a rule, as a builder may for pairs that the policy allows both ways. */
static void mark_no_state(const struct scene *scene, const char *name)
{
	const struct bh_head *head = image_head(&scene->image);
	uint32_t rule = find_rule(&scene->loaded, name);

	for (uint32_t i = 0; i < head->n_outcomes; i++) {
		struct bh_outcome *outcome =
			(void *)(scene->image.tables + head->outcomes + i * sizeof(*outcome));

		if (outcome->rule == rule)
			outcome->flags |= BH_OUTCOME_NO_STATE;
	}
}

Test(flows, an_allow_that_needs_no_state_opens_no_flow_and_meets_none)
{
	scoped(scene_free) struct scene *scene = scene_of_flows();
	struct subject both = {ADDR_V4, PROTO_TCP, false, true, 1};
	struct subject in = {ADDR_V6, PROTO_UDP, false, false, 2};
	struct flowtable_entry entry;

	mark_no_state(scene, "scene/in");
	mark_no_state(scene, "scene/out");
	mark_no_state(scene, "scene/DenyAllOutBound");
	enforcer_apply(scene->enforcer, &scene->image);
	cr_expect(play(scene, &both, ">SYN"));
	cr_expect(play(scene, &both, "<data"));
	cr_expect_not(scene_entry(scene, &both, &entry));
	cr_expect(scene_send(scene, &in, false, 0));
	cr_expect_not(scene_send(scene, &in, true, 0), "a reply without a flow");
}

Test(flows, a_deny_that_says_so_still_looks_for_the_flow)
{
	scoped(scene_free) struct scene *scene = scene_of_flows();
	struct subject subject = {ADDR_V4, PROTO_TCP, false, false, 1};

	mark_no_state(scene, "scene/DenyAllOutBound");
	enforcer_apply(scene->enforcer, &scene->image);
	cr_expect(play(scene, &subject, ">SYN"));
	cr_expect(play(scene, &subject, "<SYN-ACK"));
}

/* ---- forged ones ---- */

/* The code of a reply is its sender's: what opened the flow is judged without it. */
Test(flows, a_forged_reply_of_another_code_ends_no_ping)
{
	static const char pings[] =
		"bulkhead: 1\n"
		"group: g\n"
		"rules:\n"
		"  - {name: ping, priority: 100, direction: outbound, access: allow,\n"
		"     services: [icmp/8/0, icmpv6/128/0], source: any, destination: any}\n";
	scoped(scene_free) struct scene *scene = scene_of_flows();

	for (int v6 = 0; v6 < 2; v6++) {
		struct frame frames[3] = {};

		scene_apply(scene, NULL, pings);
		for (int i = 0; i < 3; i++) { /* a request, a forged reply and its own */
			wire_ip(&frames[i], v6 ? ADDR_V6 : ADDR_V4, !i);
			frame_icmp(&frames[i], (v6 ? 129 : 0) + (i ? 0 : v6 ? -1 : 8), i == 1, 7);
			frame_zeros(&frames[i], 16);
			frame_finish(&frames[i]);
		}
		wire_expect(scene, ENFORCER_TC_OUT, &frames[0], "allow g/ping", "a request");
		wire_expect(scene, ENFORCER_XDP, &frames[2], "allow g/ping reply", "its reply");
		scene_apply(scene, NULL, pings);
		wire_expect(scene, ENFORCER_XDP, &frames[1], "allow g/ping reply", "a forged one");
		wire_expect(scene, ENFORCER_XDP, &frames[2], "allow g/ping reply", "its reply");
	}
}

/*
 * Addresses which differ in highest bits alone, of bytes that the sender has to itself: groups of sixteen
 * had one hash when its rounds carried upwards alone.
 */
static struct tuple aimed(uint8_t subnet, uint8_t high)
{
	struct tuple tuple = {
		.direction = DIRECTION_IN,
		.protocol = PROTO_TCP,
		.source = {.family = ADDR_V6, .bytes = {0x20, 0x01, 0x0d, 0xb8, 0, 1, [15] = 7}},
		.destination = {.family = ADDR_V6, .bytes = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}},
		.source_port = 40000,
		.destination_port = 443,
	};

	tuple.source.bytes[7] = subnet;
	tuple.source.bytes[11] = high;
	tuple.source.bytes[15] ^= high;
	return tuple;
}

Test(flows, nobody_can_aim_at_the_bucket_of_another)
{
	scoped(scene_free) struct scene *scene = scene_of_flows();
	struct tuple tuple = aimed(0, 0);

	cr_assert(scene_send_tuple(scene, &tuple, FRAME_TCP_SYN));
	enforcer_advance(scene->enforcer, 200);
	for (int subnet = 1; subnet < 16; subnet++)
		for (int high = 0; high < 16; high++) {
			tuple = aimed(subnet << 4, high << 4);
			cr_assert(scene_send_tuple(scene, &tuple, FRAME_TCP_SYN));
		}
	cr_assert_eq(enforcer_note(scene->enforcer, BH_NOTE_HALF_OPEN_EVICTED), 0);
}

/* ---- who establishes ---- */

/* A segment with numbers of its own and so many bytes. Whether it passes. */
static bool send_segment(const struct scene *scene, const struct subject *subject, bool reply,
			 unsigned flags, const uint32_t numbers[2], size_t size)
{
	struct tuple tuple = subject_opener(subject);
	struct frame frame;

	if (reply)
		tuple = tuple_turn(&tuple);
	frame_of_tuple(&frame, &tuple, flags);
	frame_zeros(&frame, size);
	for (size_t i = 0; i < 2; i++) {
		frame_put16(&frame, frame.l4_at + 4 + i * 4, (uint16_t)(numbers[i] >> 16));
		frame_put16(&frame, frame.l4_at + 6 + i * 4, (uint16_t)numbers[i]);
	}
	frame_finish(&frame);
	return enforcer_run(scene->enforcer,
			    tuple.direction == DIRECTION_OUT ? ENFORCER_TC_OUT : ENFORCER_XDP,
			    frame.bytes, frame.size, NULL);
}

/* Whether the flow is established once its opener has acknowledged up to a number. */
static bool establishes(const struct scene *scene, const struct subject *subject, uint32_t number)
{
	struct flowtable_entry entry;

	cr_assert(send_segment(scene, subject, false, FRAME_TCP_ACK, (uint32_t[2]){1, number}, 3));
	cr_assert(scene_entry(scene, subject, &entry));
	return flows_flags(&entry) & BH_FLOW_ESTABLISHED;
}

Test(flows, none_is_established_but_by_who_has_seen_the_last_answer)
{
	static const uint32_t firsts[] = {0, 77, 0xfff0, 0xffff, 0xfffffff0, 0xffffffff};
	scoped(scene_free) struct scene *scene = scene_of_flows();
	const unsigned syn_ack = FRAME_TCP_SYN | FRAME_TCP_ACK;
	const unsigned last = FRAME_TCP_FIN | FRAME_TCP_PSH | FRAME_TCP_ACK;

	scene_apply(scene, NULL, scene_policy);
	for (uint32_t i = 0; i < ARRAY_LEN(firsts) * 4; i++) {
		struct subject subject = {i & 1 ? ADDR_V6 : ADDR_V4, PROTO_TCP, i & 2, false,
					  (uint16_t)(i + 1)};
		uint32_t answer[2] = {firsts[i / 4], 1};
		uint32_t other[2] = {answer[0] + 0x3000, 1};

		cr_assert(play(scene, &subject, ">SYN"));
		cr_expect_not(establishes(scene, &subject, 0), "%u: nothing was answered", i);
		cr_assert(send_segment(scene, &subject, true, syn_ack, answer, 0));
		cr_expect_not(establishes(scene, &subject, answer[0]), "%u: one less", i);
		cr_expect_not(establishes(scene, &subject, answer[0] + 2), "%u: one more", i);
		/* Another one, as of a SYN cookie of the next minute, and what belongs to the first. */
		cr_assert(send_segment(scene, &subject, true, syn_ack, other, 5));
		cr_expect_not(establishes(scene, &subject, answer[0] + 1), "%u: of the first", i);
		other[0] += 6;
		cr_assert(send_segment(scene, &subject, true, last, other, 100));
		cr_expect_not(establishes(scene, &subject, other[0]), "%u: not the last", i);
		cr_expect_not(establishes(scene, &subject, other[0] + 100), "%u: not all of it", i);
		cr_expect(establishes(scene, &subject, other[0] + 101), "%u: all of it", i);
	}
}
