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

static struct subject tcp_over(enum addr_family family, uint32_t number)
{
	return (struct subject){family, PROTO_TCP, false, false, (uint16_t)number};
}

static struct subject tcp_of(uint32_t number)
{
	return tcp_over(ADDR_V4, number);
}

static const enum addr_family families[] = {ADDR_V4, ADDR_V6};

static enum bh_table half_open_of(enum addr_family family)
{
	return family == ADDR_V4 ? BH_TABLE_HALF_OPEN4 : BH_TABLE_HALF_OPEN6;
}

static enum bh_table established_of(enum addr_family family)
{
	return family == ADDR_V4 ? BH_TABLE_ESTABLISHED4 : BH_TABLE_ESTABLISHED6;
}

/* So many flows from first on, each as far as the words say. */
static void play_all(const struct scene *scene, enum addr_family family, uint32_t first, uint32_t n,
		     const char *words)
{
	for (uint32_t i = first; i < first + n; i++) {
		struct subject subject = tcp_over(family, i);

		cr_assert(play(scene, &subject, words));
	}
}

static bool is_established(const struct scene *scene, enum addr_family family, uint32_t number)
{
	struct subject subject = tcp_over(family, number);
	struct flowtable_entry entry;

	return scene_entry(scene, &subject, &entry) && entry.state.meta >> 32 & BH_FLOW_ESTABLISHED;
}

static struct subject udp_of(uint32_t number)
{
	return (struct subject){ADDR_V4, PROTO_UDP, false, false, (uint16_t)number};
}

/* ---- half-open ---- */

static void push_out(enum addr_family family)
{
	scoped(scene_free) struct scene *scene =
		scene_with("bulkhead: 1\ntables: {flows: 1024, half_open: 1024}\n");
	struct flowtable_entry entry;
	const uint32_t n = 6000;
	uint32_t live;

	for (uint32_t i = 0; i < n; i++) {
		enforcer_advance(scene->enforcer, i % 256 ? 0 : 128); /* a tick in 256 packets */
		play_all(scene, family, i, 1, ">SYN");
	}
	live = count(scene, half_open_of(family));
	cr_expect_eq(live, 1024, "%u of 1024 ways are taken", live);
	cr_expect_eq(note_of(scene, BH_NOTE_HALF_OPEN_EVICTED), n - live);
	for (uint32_t i = 0; i < 256; i++) {
		struct subject newest = tcp_over(family, n - 1 - i);
		struct subject oldest = tcp_over(family, i);

		cr_expect(scene_entry(scene, &newest, &entry), "number %u from the end is gone", i);
		cr_expect_not(scene_entry(scene, &oldest, &entry), "number %u is there", i);
	}
}

Test(full, the_oldest_half_open_flow_gives_way_and_is_counted)
{
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		push_out(families[i]);
}

Test(full, half_open_flows_give_way_to_others_of_the_same_moment)
{
	scoped(scene_free) struct scene *scene =
		scene_with("bulkhead: 1\ntables: {flows: 1024, half_open: 1024}\n");
	const uint32_t n = 6000;

	play_all(scene, ADDR_V4, 0, n, ">SYN");
	cr_expect_eq(note_of(scene, BH_NOTE_HALF_OPEN_EVICTED), n - 1024);
}

Test(full, nobody_gives_way_while_half_of_the_ways_are_empty)
{
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		scoped(scene_free) struct scene *scene =
			scene_with("bulkhead: 1\ntables: {flows: 1024, half_open: 1024}\n");

		play_all(scene, families[i], 0, 512, ">SYN");
		cr_expect_eq(count(scene, half_open_of(families[i])), 512);
		cr_expect_eq(note_of(scene, BH_NOTE_HALF_OPEN_EVICTED), 0);
	}
}

Test(full, a_flow_past_its_time_out_gives_way_before_any_live_one)
{
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		scoped(scene_free) struct scene *scene =
			scene_with("bulkhead: 1\ntables: {flows: 1024, half_open: 1024}\n");
		uint64_t before;

		play_all(scene, families[i], 0, 3000, ">SYN");
		scene_wait(scene, 31);
		before = note_of(scene, BH_NOTE_HALF_OPEN_EVICTED);
		play_all(scene, families[i], 3000, 500, ">SYN");
		cr_expect_eq(note_of(scene, BH_NOTE_HALF_OPEN_EVICTED), before);
	}
}

/* Silent for longer than the shortest time-out there is, and not for as long as their own. */
Test(full, half_open_flows_that_wait_longer_than_others_may_give_way_like_all)
{
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		scoped(scene_free) struct scene *scene =
			scene_with("bulkhead: 1\ntables: {flows: 1024, half_open: 1024}\n"
				   "timeouts: {icmp: 1}\n");
		uint64_t before;

		play_all(scene, families[i], 0, 6000, ">SYN");
		scene_wait(scene, 5);
		before = note_of(scene, BH_NOTE_HALF_OPEN_EVICTED);
		play_all(scene, families[i], 6000, 100, ">SYN");
		cr_expect_eq(note_of(scene, BH_NOTE_HALF_OPEN_EVICTED), before + 100);
		cr_expect_eq(count(scene, half_open_of(families[i])), 1024);
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

enum fate { HALF_OPEN, STANDS, ENDED };

/* As many as there are ways, of which some have ended; then time passes, and others come. */
static void outlive(enum addr_family family, uint32_t n_ended, uint32_t seconds)
{
	scoped(scene_free) struct scene *scene =
		scene_with("bulkhead: 1\ntables: {flows: 1024, half_open: 16384}\n");
	const uint32_t n = 3000;
	enum fate fates[3000];
	uint32_t left = n_ended;
	uint32_t found = 0;

	play_all(scene, family, 0, n, established);
	cr_assert_eq(count(scene, established_of(family)), 1024);
	for (uint32_t i = 0; i < n; i++) {
		fates[i] = is_established(scene, family, i) ? STANDS : HALF_OPEN;
		if (fates[i] == STANDS && left) {
			play_all(scene, family, i, 1, ">RST");
			fates[i] = ENDED;
			left--;
		}
	}
	scene_wait(scene, seconds);
	/* Most of as many as have ended find one of them among their eight. */
	play_all(scene, family, n, n_ended, established);
	for (uint32_t i = n; i < n + n_ended; i++)
		found += is_established(scene, family, i);
	cr_expect_geq(found, n_ended * 2 / 3, "%u of %u", found, n_ended);
	play_all(scene, family, n + n_ended, n, established);
	for (uint32_t i = 0; i < n; i++)
		cr_expect(fates[i] == HALF_OPEN ||
				  is_established(scene, family, i) == (fates[i] == STANDS),
			  "number %u is %s", i, fates[i] == STANDS ? "gone" : "there");
}

Test(full, no_established_flow_gives_way_however_long_it_is_silent)
{
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		outlive(families[i], 0, 3600);
}

Test(full, of_silent_flows_those_that_have_ended_alone_give_way)
{
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		outlive(families[i], 300, 61);
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

Test(full, streams_that_are_over_give_way_to_others_while_the_half_of_tcp_is_empty)
{
	scoped(scene_free) struct scene *scene =
		scene_with("bulkhead: 1\ntables: {flows: 2048, half_open: 32768}\n");
	uint64_t before;

	make_streams(scene, 0, 6000);
	scene_wait(scene, 181);
	before = note_of(scene, BH_NOTE_ESTABLISHED_FULL);
	make_streams(scene, 6000, 200);
	cr_expect_eq(note_of(scene, BH_NOTE_ESTABLISHED_FULL), before);
}

Test(full, tcp_leaves_the_half_of_others_alone_as_long_as_it_can)
{
	scoped(scene_free) struct scene *scene =
		scene_with("bulkhead: 1\ntables: {flows: 2048, half_open: 32768}\n");
	const uint32_t n = 250;

	for (uint32_t turn = 0; turn < 2; turn++) {
		/* Once into empty ways, and once into such as connections have left behind. */
		play_all(scene, ADDR_V4, turn * n, n, established);
		make_streams(scene, turn * n, n);
		cr_expect_eq(note_of(scene, BH_NOTE_ESTABLISHED_FULL), 0, "turn %u", turn);
		scene_wait(scene, 7441);
	}
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
