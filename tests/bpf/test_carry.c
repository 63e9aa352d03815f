// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tables of another size: a flow that is in those of the generation before alone is found there while
 * that is said, judged as after any change of policy, and moved; and none is lost on its way.
 */
#include <criterion/criterion.h>

#include <bpf/bpf.h>

#include "tests/bpf/carrying.h"
#include "tests/bpf/cells.h"

enum { PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_ICMPV6 = 58, PROTO_GRE = 47 };
enum { ECHO = 0 }; /* as a protocol: the family's own ICMP */

/* What the loader does: all that is left in the other slot. */
static uint32_t move_all(const struct scene *scene)
{
	uint32_t n = 0;

	for (uint32_t table = 0; table < BH_TABLE_COUNT; table++) {
		uint32_t ways = enforcer_carry(scene->enforcer, BH_CARRY_COUNT, table, 0);

		cr_assert_gt(ways, 0);
		for (uint32_t way = 0; way < ways; way += BH_CARRY_STEP)
			n += enforcer_carry(scene->enforcer, BH_CARRY_MOVE, table, way);
	}
	return n;
}

/* ---- flows of every kind ---- */

struct kept_case {
	const char *name;
	const char *packets; /* that open it; TCP alone has flags */
	const char *answer;
	uint8_t protocol;
	bool established;
};

static const struct kept_case flows[] = {
	{"half-open", ">SYN", "<SYN-ACK", PROTO_TCP, false},
	{"answered", ">SYN <SYN-ACK", "<ACK", PROTO_TCP, false},
	{"established", ">SYN <SYN-ACK >ACK <ACK", "<data", PROTO_TCP, true},
	{"udp", ">data", "<data", PROTO_UDP, false},
	{"udp that was answered", ">data <data", "<data", PROTO_UDP, false},
	{"gre", ">data", "<data", PROTO_GRE, false},
	{"echo", ">data", NULL, ECHO, false},
};

enum { SUBJECTS = ARRAY_LEN(flows) * 4 };

static const struct kept_case *case_of(uint32_t i)
{
	return &flows[i / 4];
}

static struct subject subject_of(uint32_t i)
{
	enum addr_family family = i & 1 ? ADDR_V6 : ADDR_V4;
	uint8_t protocol = case_of(i)->protocol;

	if (protocol == ECHO)
		protocol = family == ADDR_V4 ? PROTO_ICMP : PROTO_ICMPV6;
	return (struct subject){family, protocol, i & 2, false, (uint16_t)(i + 1)};
}

static bool answer(const struct scene *scene, uint32_t i)
{
	struct subject subject = subject_of(i);
	struct tuple reply = subject_opener(&subject);

	if (case_of(i)->answer)
		return play(scene, &subject, case_of(i)->answer);
	reply = tuple_turn(&reply);
	return scene_send_tuple(scene, &reply, 0);
}

static uint32_t moment; /* of open_all */

static void open_all(const struct scene *scene)
{
	moment = scene_moment(scene);
	for (uint32_t i = 0; i < SUBJECTS; i++) {
		struct subject subject = subject_of(i);

		cr_assert(play(scene, &subject, case_of(i)->packets), "%s", case_of(i)->name);
	}
}

static struct scene *scene_of_flows(void)
{
	struct scene *scene = carrying_scene();

	scene_apply(scene, NULL, scene_policy);
	open_all(scene);
	scene_wait(scene, 5);
	return scene;
}

static void check_moved(const struct scene *scene, uint32_t i, bool met)
{
	struct subject subject = subject_of(i);
	struct flowtable_entry entry = {};

	cr_assert(scene_entry(scene, &subject, &entry), "%s %u", case_of(i)->name, i);
	cr_expect_eq(entry.opened, moment, "%s %u is of another age", case_of(i)->name, i);
	if (met)
		cr_expect_eq(entry.state.generation, enforcer_generation(scene->enforcer), "%s %u",
			     case_of(i)->name, i);
	if (case_of(i)->established)
		cr_expect(flows_flags(&entry) & BH_FLOW_ESTABLISHED, "%s %u", case_of(i)->name, i);
}

Test(carry, a_reply_passes_by_a_flow_of_the_other_slot_while_that_is_said)
{
	scoped(scene_free) struct scene *scene = scene_of_flows();
	struct flowtable_entry entry;

	scene_apply_apart(scene, carrying_other_sizes, scene_policy);
	for (uint32_t i = 0; i < SUBJECTS; i++) {
		struct subject subject = subject_of(i);

		cr_expect_not(answer(scene, i), "%s %u, not said yet", case_of(i)->name, i);
		cr_expect_not(scene_entry(scene, &subject, &entry), "%s %u", case_of(i)->name, i);
	}
	carrying_say(scene, true);
	for (uint32_t i = 0; i < SUBJECTS; i++) {
		cr_expect(answer(scene, i), "%s %u", case_of(i)->name, i);
		check_moved(scene, i, true);
	}
	cr_expect_eq(move_all(scene), 0, "what has moved is still in the other slot");
	carrying_say(scene, false);
	for (uint32_t i = 0; i < SUBJECTS; i++)
		cr_expect(answer(scene, i), "%s %u, after it", case_of(i)->name, i);
}

Test(carry, the_loader_moves_what_no_packet_wanted)
{
	scoped(scene_free) struct scene *scene = scene_of_flows();

	scene_apply_apart(scene, carrying_other_sizes, scene_policy);
	carrying_say(scene, true);
	for (uint32_t i = 0; i < SUBJECTS; i += 2)
		cr_expect(answer(scene, i), "%s %u", case_of(i)->name, i);
	cr_expect_eq(move_all(scene), SUBJECTS / 2);
	carrying_say(scene, false);
	for (uint32_t i = 0; i < SUBJECTS; i++)
		check_moved(scene, i, i % 2 == 0);
	for (uint32_t i = 0; i < SUBJECTS; i++)
		cr_expect(answer(scene, i), "%s %u", case_of(i)->name, i);
}

/* And not a second entry: tcp_pickup would open one. */
Test(carry, the_opener_goes_on_with_its_flow)
{
	scoped(scene_free) struct scene *scene = scene_of_flows();
	struct bh_row by;

	scene_apply_apart(scene, carrying_other_sizes, scene_policy);
	carrying_say(scene, true);
	for (uint32_t i = 0; i < SUBJECTS; i++) {
		struct subject subject = subject_of(i);

		(void)scene_counted(scene, &by);
		cr_expect(play(scene, &subject, ">data"));
		cr_expect_str_neq(scene_counted(scene, &by), "");
		cr_expect_eq(by.flows, 0, "%s %u opened another one", case_of(i)->name, i);
		check_moved(scene, i, true);
	}
	cr_expect_eq(move_all(scene), 0);
}

Test(carry, a_flow_that_the_new_policy_denies_ends)
{
	scoped(scene_free) struct scene *scene = scene_of_flows();
	uint64_t ended = enforcer_note(scene->enforcer, BH_NOTE_FLOW_ENDED);

	scene_apply_apart(scene, carrying_other_sizes, scene_denying(scene, "recheck", "enforce"));
	carrying_say(scene, true);
	for (int again = 0; again < 2; again++)
		for (uint32_t i = 0; i < SUBJECTS; i++)
			cr_expect_not(answer(scene, i), "%s %u", case_of(i)->name, i);
	cr_expect_eq(enforcer_note(scene->enforcer, BH_NOTE_FLOW_ENDED) - ended, SUBJECTS,
		     "each ends once");
	cr_expect_eq(move_all(scene), 0, "a flow that has ended comes back");
}

Test(carry, what_existing_flows_keep_says_holds_for_them)
{
	scoped(scene_free) struct scene *scene = scene_of_flows();
	struct bh_row by;

	scene_apply_apart(scene, carrying_other_sizes, scene_denying(scene, "keep", "enforce"));
	carrying_say(scene, true);
	for (uint32_t i = 0; i < SUBJECTS; i++) {
		(void)scene_counted(scene, &by);
		cr_expect_eq(answer(scene, i), case_of(i)->established, "%s %u", case_of(i)->name,
			     i);
		cr_expect_eq(!strcmp(scene_counted(scene, &by), "existing-flow"),
			     case_of(i)->established, "%s %u", case_of(i)->name, i);
	}
}

static void play_all(const struct scene *scene, struct subject subject, uint16_t n,
		     const char *packets)
{
	for (subject.number = 1; subject.number <= n; subject.number++)
		cr_assert(play(scene, &subject, packets), "flow %u", subject.number);
}

/* Established flows that the smaller tables have no ways for. */
static void shrink(uint8_t protocol, const char *opening)
{
	enum { N = 1500 };
	scoped(scene_free) struct scene *scene = carrying_scene();
	struct subject subject = {ADDR_V4, protocol, true, false, 0};
	uint32_t n_established;

	scene_apply(scene, NULL, scene_policy);
	play_all(scene, subject, N, opening);
	if (protocol == PROTO_UDP) {
		scene_wait(scene, 3);
		play_all(scene, subject, N, ">data");
	}
	/* Known from here on as flows whose answers the policy denies. */
	play_all(scene, subject, N, "<ACK");
	n_established = flows_count(scene->enforcer, scene_config(scene), BH_TABLE_ESTABLISHED4);
	cr_assert_gt(n_established, N - N / 20);
	scene_apply_apart(scene,
			  "bulkhead: 1\ntables: {flows: 1024, half_open: 8192, fragments: 1024}\n",
			  scene_policy);
	carrying_say(scene, true);
	for (uint32_t i = 2; i <= N; i += 2) {
		subject.number = (uint16_t)i;
		cr_assert(play(scene, &subject, "<ACK"), "flow %u, moved by its answer", i);
	}
	cr_expect_eq(move_all(scene), N / 2);
	carrying_say(scene, false);
	n_established = flows_count(scene->enforcer, scene_config(scene), BH_TABLE_ESTABLISHED4);
	cr_expect(n_established > 400 && n_established <= 1024, "%u established", n_established);
	play_all(scene, subject, N, "<ACK");
}

Test(carry, an_established_flow_that_finds_no_way_goes_on_half_open)
{
	shrink(PROTO_TCP, ">SYN <SYN-ACK >ACK <ACK");
	shrink(PROTO_UDP, ">data <data");
}

/* ---- no flow ---- */

Test(carry, what_has_no_flow_in_either_slot_is_denied)
{
	scoped(scene_free) struct scene *scene = scene_of_flows();
	struct flowtable_entry entry;

	scene_apply_apart(scene, carrying_other_sizes, scene_policy);
	carrying_say(scene, true);
	for (uint32_t i = 0; i < SUBJECTS; i++) {
		struct subject subject = subject_of(i);

		subject.number += SUBJECTS;
		cr_expect_not(scene_send(scene, &subject, true, FRAME_TCP_ACK));
		cr_expect_not(scene_entry(scene, &subject, &entry));
	}
}

Test(carry, a_flow_past_its_time_out_is_none)
{
	scoped(scene_free) struct scene *scene = scene_of_flows();

	scene_apply_apart(scene, carrying_other_sizes, scene_policy);
	carrying_say(scene, true);
	scene_wait(scene, 7440 + 1);
	for (uint32_t i = 0; i < SUBJECTS / 2; i++)
		cr_expect_not(answer(scene, i), "%s %u", case_of(i)->name, i);
	cr_expect_eq(move_all(scene), 0);
}

/* What has been left of an older flow with the same tuple does not stand in its way. */
Test(carry, a_flow_takes_the_place_of_one_past_its_time_out)
{
	scoped(scene_free) struct scene *scene = carrying_scene();
	uint64_t generation;

	scene_apply(scene, NULL, scene_policy);
	scene_apply_apart(scene, carrying_other_sizes, scene_policy);
	generation = enforcer_generation(scene->enforcer);
	open_all(scene);
	scene_wait(scene, 7440 + 1);
	carrying_put_in_force(scene, generation - 1);
	open_all(scene);
	carrying_put_in_force(scene, generation);
	carrying_say(scene, true);
	for (uint32_t i = 0; i < SUBJECTS; i += 2) {
		cr_expect(answer(scene, i), "%s %u", case_of(i)->name, i);
		check_moved(scene, i, true);
	}
	cr_expect_eq(move_all(scene), SUBJECTS / 2);
}

/* A page that is not there any more: an element of a map of the other slot, taken out and put back. */
static void deny_without(const struct scene *scene, const char *map, uint32_t per_slot)
{
	uint32_t index = (uint32_t)(~enforcer_generation(scene->enforcer) & 1) * per_slot;
	int outer = enforcer_map(scene->enforcer, map);
	scoped(close) int page = -1;
	uint32_t id;

	cr_assert_eq(bpf_map_lookup_elem(outer, &index, &id), 0);
	page = bpf_map_get_fd_by_id(id);
	cr_assert_geq(page, 0);
	cr_assert_eq(bpf_map_delete_elem(outer, &index), 0);
	cr_expect_not(answer(scene, 0), "without a page of %s", map);
	cr_assert_eq(bpf_map_update_elem(outer, &index, &page, 0), 0);
}

Test(carry, without_the_other_slot_s_pages_it_is_denied)
{
	scoped(scene_free) struct scene *scene = scene_of_flows();

	scene_apply_apart(scene, carrying_other_sizes, scene_policy);
	carrying_say(scene, true);
	deny_without(scene, "bh_image", BH_IMAGE_PAGES);
	deny_without(scene, "bh_state", BH_STATE_PAGES);
	cr_expect(answer(scene, 0));
}

/* What a loader that died could leave, were it said too long. */
Test(carry, where_both_slots_have_the_same_tables_nothing_moves)
{
	scoped(scene_free) struct scene *scene = scene_of_flows();

	scene_apply(scene, NULL, scene_policy);
	carrying_say(scene, true);
	cr_expect_eq(move_all(scene), 0);
	for (uint32_t i = 0; i < SUBJECTS; i++) {
		cr_expect(answer(scene, i), "%s %u", case_of(i)->name, i);
		check_moved(scene, i, true);
	}
	carrying_say(scene, false);
}

/* ---- fragments, and errors about flows ---- */

static void make_fragment(struct frame *frame, const struct subject *subject, bool first)
{
	struct tuple tuple = subject_opener(subject);

	*frame = (struct frame){};
	frame_start(frame);
	frame_ip(frame, &tuple.source, &tuple.destination, 64);
	frame_fragment(frame, 77, first ? 0 : 64, first);
	if (first)
		frame_tcp(frame, tuple.source_port, tuple.destination_port, FRAME_TCP_ACK);
	else
		frame_protocol(frame, PROTO_TCP);
	frame_zeros(frame, 44);
	frame_finish(frame);
}

static bool send(const struct scene *scene, const struct frame *frame)
{
	return enforcer_run(scene->enforcer, ENFORCER_XDP, frame->bytes, frame->size, NULL);
}

Test(carry, the_rest_of_a_datagram_passes)
{
	scoped(scene_free) struct scene *scene = carrying_scene();
	struct frame frame;

	scene_apply(scene, NULL, scene_policy);
	for (uint16_t i = 0; i < 4; i++) {
		const struct subject subject = {i & 1 ? ADDR_V6 : ADDR_V4, PROTO_TCP, false, false,
						(uint16_t)(i + 1)};

		make_fragment(&frame, &subject, true);
		cr_assert(send(scene, &frame));
	}
	scene_apply_apart(scene, carrying_other_sizes, scene_policy);
	for (uint16_t i = 0; i < 2; i++) {
		const struct subject subject = {i & 1 ? ADDR_V6 : ADDR_V4, PROTO_TCP, false, false,
						(uint16_t)(i + 1)};

		make_fragment(&frame, &subject, false);
		carrying_say(scene, false);
		cr_expect_not(send(scene, &frame));
		carrying_say(scene, true);
		cr_expect(send(scene, &frame));
	}
	/* Four flows, and the two datagrams of which nothing more has come. */
	cr_expect_eq(move_all(scene), 6);
}

Test(carry, an_error_about_a_flow_passes)
{
	scoped(scene_free) struct scene *scene = carrying_scene();
	const struct subject subject = {ADDR_V4, PROTO_UDP, false, false, 1};
	struct tuple opener = subject_opener(&subject);
	struct tuple back = tuple_turn(&opener);
	struct frame reply, error = {};

	scene_apply(scene, NULL, scene_policy);
	cr_assert(scene_send_tuple(scene, &opener, 0));
	frame_of_tuple(&reply, &back, 0);
	frame_start(&error);
	frame_ip(&error, &opener.source, &opener.destination, 64);
	frame_icmp(&error, 3, 1, 0);
	frame_payload(&error, reply.bytes + reply.ip_at, reply.size - reply.ip_at);
	frame_finish(&error);
	scene_apply_apart(scene, carrying_other_sizes, scene_policy);
	cr_expect_not(send(scene, &error));
	carrying_say(scene, true);
	cr_expect(send(scene, &error));
}
