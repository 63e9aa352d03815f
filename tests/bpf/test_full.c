// SPDX-License-Identifier: GPL-2.0-only
/*
 * What happens when a table of connection state is full: who gives way, who is refused, and what is
 * said about it. Established flows are never the price.
 */
#include <criterion/criterion.h>

#include "tests/bpf/cells.h"

enum { PROTO_TCP = 6, PROTO_UDP = 17 };

static const char established[] = ">SYN <SYN-ACK >ACK <ACK";

static struct scene *scene_with(const char *host)
{
	struct scene *scene;

	if (!enforcer_is_possible())
		cr_skip_test("loading programs needs root");
	scene = scene_new();
	scene_apply(scene, host, scene_policy);
	return scene;
}

static uint64_t note_of(const struct scene *scene, enum bh_note note)
{
	return enforcer_note(scene->enforcer, note);
}

static uint32_t count(const struct scene *scene, enum bh_table table)
{
	return flows_count(scene->enforcer, scene_config(scene), table);
}

static struct subject tcp_of(uint32_t number)
{
	return (struct subject){ADDR_V4, PROTO_TCP, false, false, (uint16_t)number};
}

static struct subject udp_of(uint32_t number)
{
	return (struct subject){ADDR_V4, PROTO_UDP, false, false, (uint16_t)number};
}

/* ---- half-open ---- */

Test(full, the_oldest_half_open_flow_gives_way_and_is_counted)
{
	scoped(scene_free) struct scene *scene =
		scene_with("bulkhead: 1\ntables: {flows: 1024, half_open: 1024}\n");
	struct flowtable_entry entry;
	const uint32_t n = 6000;
	uint32_t live;

	for (uint32_t i = 0; i < n; i++) {
		struct subject subject = tcp_of(i);

		enforcer_advance(scene->enforcer, i % 256 ? 0 : 128); /* a tick in 256 packets */
		cr_assert(play(scene, &subject, ">SYN"));
	}
	live = count(scene, BH_TABLE_HALF_OPEN4);
	cr_expect_eq(live, 1024, "%u of 1024 ways are taken", live);
	cr_expect_eq(note_of(scene, BH_NOTE_HALF_OPEN_EVICTED), n - live);
	for (uint32_t i = 0; i < 256; i++) {
		struct subject newest = tcp_of(n - 1 - i);
		struct subject oldest = tcp_of(i);

		cr_expect(scene_entry(scene, &newest, &entry), "number %u from the end is gone", i);
		cr_expect_not(scene_entry(scene, &oldest, &entry), "number %u is there", i);
	}
}

Test(full, half_open_flows_give_way_to_others_of_the_same_moment)
{
	scoped(scene_free) struct scene *scene =
		scene_with("bulkhead: 1\ntables: {flows: 1024, half_open: 1024}\n");
	const uint32_t n = 6000;

	for (uint32_t i = 0; i < n; i++) {
		struct subject subject = tcp_of(i);

		cr_assert(play(scene, &subject, ">SYN"));
	}
	cr_expect_eq(note_of(scene, BH_NOTE_HALF_OPEN_EVICTED), n - 1024);
}

Test(full, a_flow_past_its_time_out_gives_way_before_any_live_one)
{
	scoped(scene_free) struct scene *scene =
		scene_with("bulkhead: 1\ntables: {flows: 1024, half_open: 1024}\n");

	for (uint32_t i = 0; i < 3000; i++) {
		struct subject subject = tcp_of(i);

		play(scene, &subject, ">SYN");
	}
	scene_wait(scene, 31);
	for (uint32_t i = 3000; i < 3500; i++) {
		struct subject subject = tcp_of(i);
		uint64_t before = note_of(scene, BH_NOTE_HALF_OPEN_EVICTED);

		play(scene, &subject, ">SYN");
		cr_expect_eq(note_of(scene, BH_NOTE_HALF_OPEN_EVICTED), before);
	}
}

/* ---- established ---- */

/* Keys of the established table, to see that each of them stays. */
struct keys {
	struct bh_flow_key4 at[4096];
	uint32_t len;
};

static void take_key(void *data, const struct flowtable_entry *entry)
{
	struct keys *keys = data;

	cr_assert(keys->len < ARRAY_LEN(keys->at));
	keys->at[keys->len++] = entry->key.four;
}

static int compare_keys(const void *left, const void *right)
{
	return memcmp(left, right, sizeof(struct bh_flow_key4));
}

static void read_keys(const struct scene *scene, struct keys *ret_keys)
{
	ret_keys->len = 0;
	flows_walk(scene->enforcer, scene_config(scene), BH_TABLE_ESTABLISHED4, take_key, ret_keys);
	qsort(ret_keys->at, ret_keys->len, sizeof(*ret_keys->at), compare_keys);
}

Test(full, no_established_flow_gives_way_and_the_others_stay_half_open_and_pass)
{
	scoped(scene_free) struct scene *scene =
		scene_with("bulkhead: 1\ntables: {flows: 1024, half_open: 16384}\n");
	static struct keys before, after;
	const uint32_t n = 3000;

	for (uint32_t i = 0; i < n; i++) {
		struct subject subject = tcp_of(i);

		cr_assert(play(scene, &subject, established));
		if (i == n / 2)
			read_keys(scene, &before);
	}
	read_keys(scene, &after);
	cr_expect_eq(after.len, 1024, "%u of 1024 ways are taken", after.len);
	for (uint32_t i = 0; i < before.len; i++)
		cr_expect(bsearch(&before.at[i], after.at, after.len, sizeof(*after.at),
				  compare_keys),
			  "an established flow is gone");
	cr_expect_eq(note_of(scene, BH_NOTE_ESTABLISHED_FULL), n - after.len);
	cr_expect_eq(count(scene, BH_TABLE_HALF_OPEN4), n - after.len);
	for (uint32_t i = 0; i < n; i++) {
		struct subject subject = tcp_of(i);

		cr_expect(play(scene, &subject, ">data"));
		cr_expect(play(scene, &subject, "<data"));
	}
}

Test(full, a_flow_that_stayed_half_open_is_established_when_there_is_room)
{
	scoped(scene_free) struct scene *scene =
		scene_with("bulkhead: 1\ntables: {flows: 1024, half_open: 16384}\n"
			   "timeouts: {tcp_closing: 10}\n");
	const uint32_t n = 3000;

	for (uint32_t i = 0; i < n; i++) {
		struct subject subject = tcp_of(i);

		play(scene, &subject, established);
		if (i < n / 2)
			play(scene, &subject, ">RST");
	}
	scene_wait(scene, 11);
	for (uint32_t i = n / 2; i < n; i++) {
		struct subject subject = tcp_of(i);

		cr_expect(play(scene, &subject, "<data"));
	}
	cr_expect_eq(count(scene, BH_TABLE_ESTABLISHED4), 1024);
}

/* Flows that become streams: a reply, and another query 3 s later. */
static void make_streams(const struct scene *scene, uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++) {
		struct subject subject = udp_of(i);

		cr_assert(scene_send(scene, &subject, false, 0));
		cr_assert(scene_send(scene, &subject, true, 0));
	}
	scene_wait(scene, 3);
	for (uint32_t i = first; i < first + n; i++) {
		struct subject subject = udp_of(i);

		cr_assert(scene_send(scene, &subject, false, 0));
	}
}

Test(full, what_is_not_tcp_holds_half_of_the_established_ways_at_most)
{
	scoped(scene_free) struct scene *scene =
		scene_with("bulkhead: 1\ntables: {flows: 2048, half_open: 32768}\n");
	const uint32_t n_udp = 6000;
	const uint32_t n_tcp = 100;

	make_streams(scene, 0, n_udp);
	cr_expect_eq(count(scene, BH_TABLE_ESTABLISHED4), 1024);
	cr_expect_eq(note_of(scene, BH_NOTE_ESTABLISHED_FULL), n_udp - 1024);
	for (uint32_t i = 0; i < n_udp; i++) {
		struct subject subject = udp_of(i);

		cr_expect(scene_send(scene, &subject, true, 0));
	}
	for (uint32_t i = 0; i < n_tcp; i++) {
		struct subject subject = tcp_of(i);

		play(scene, &subject, established);
	}
	cr_expect_eq(count(scene, BH_TABLE_ESTABLISHED4), 1024 + n_tcp, "TCP finds its half");
}

/* ---- no way at all ---- */

static const char small[] = SCENE_HOST;

static struct scene *scene_without_ways(const char *host)
{
	struct scene *scene = scene_with(host);

	flows_occupy(scene->enforcer, scene_config(scene), BH_TABLE_HALF_OPEN4);
	flows_occupy(scene->enforcer, scene_config(scene), BH_TABLE_HALF_OPEN6);
	return scene;
}

Test(full, a_syn_for_which_no_way_can_be_claimed_is_denied)
{
	scoped(scene_free) struct scene *scene = scene_without_ways(small);

	for (int i = 0; i < 4; i++) {
		struct subject subject = {i & 1 ? ADDR_V6 : ADDR_V4, PROTO_TCP, i & 2, false, 1};
		struct bh_row by;

		(void)scene_counted(scene, &by);
		cr_expect_not(play(scene, &subject, ">SYN"));
		cr_expect_str_eq(scene_counted(scene, &by), "flow-table-full");
		cr_expect_eq(by.packets, 1);
		cr_expect_eq(by.flows, 0);
	}
	cr_expect_eq(note_of(scene, BH_NOTE_UNTRACKED), 0);
}

Test(full, others_pass_and_their_replies_are_denied_and_both_are_counted)
{
	scoped(scene_free) struct scene *scene = scene_without_ways(small);
	struct subject udp = {ADDR_V4, PROTO_UDP, false, false, 1};
	struct subject tcp = {ADDR_V6, PROTO_TCP, true, false, 2};
	struct subject stranger = {ADDR_V4, PROTO_UDP, true, false, 3};
	struct tuple alien = subject_opener(&stranger);
	struct bh_row by;

	(void)scene_counted(scene, &by);
	cr_expect(scene_send(scene, &udp, false, 0));
	cr_expect_str_eq(scene_counted(scene, &by), "scene/in");
	cr_expect_eq(by.flows, 0);
	cr_expect(play(scene, &tcp, ">data"));
	cr_expect_eq(note_of(scene, BH_NOTE_UNTRACKED), 2);
	cr_expect_not(scene_send(scene, &udp, true, 0));
	cr_expect_not(play(scene, &tcp, "<data"));
	cr_expect_eq(note_of(scene, BH_NOTE_REPLY_UNTRACKED), 2);
	alien.destination = addr_v4(0x0a630001); /* a peer of nobody */
	cr_expect_not(scene_send_tuple(scene, &alien, 0));
	cr_expect_eq(note_of(scene, BH_NOTE_REPLY_UNTRACKED), 2, "it answers nothing");
	scene_wait(scene, 31);
	cr_expect_not(scene_send(scene, &udp, true, 0));
	cr_expect_eq(note_of(scene, BH_NOTE_REPLY_UNTRACKED), 2, "too late");
}

Test(full, under_audit_nothing_is_denied_for_want_of_a_way)
{
	scoped(scene_free) struct scene *scene = scene_without_ways(SCENE_HOST "mode: audit\n");
	struct subject subject = tcp_of(1);
	struct bh_row by;

	(void)scene_counted(scene, &by);
	cr_expect(play(scene, &subject, ">SYN"));
	cr_expect_str_eq(scene_counted(scene, &by), "flow-table-full");
	cr_expect_eq(by.would_denied, 1);
}

Test(full, a_syn_that_audit_alone_lets_through_is_untracked)
{
	scoped(scene_free) struct scene *scene = scene_with(small);
	struct subject subject = tcp_of(1);
	struct bh_row by;

	scene_apply(scene, small, scene_denying(scene, "recheck", "audit"));
	flows_occupy(scene->enforcer, scene_config(scene), BH_TABLE_HALF_OPEN4);
	(void)scene_counted(scene, &by);
	cr_expect(play(scene, &subject, ">SYN"));
	cr_expect_str_eq(scene_counted(scene, &by), "scene/in");
	cr_expect_eq(by.would_denied, 1);
	cr_expect_eq(note_of(scene, BH_NOTE_UNTRACKED), 1);
}
