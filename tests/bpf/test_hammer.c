// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two CPUs at one entry: pairs of packets that race, each pair of threads that are pinned and
 * wait for each other before every packet. Whoever wins, there is one entry for each flow, none is
 * lost, and what either packet has marked in it is there.
 */
#include <criterion/criterion.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "tests/bpf/cells.h"

enum {
	FLOWS = 64,	 /* of one round */
	SHOT_SIZE = 160, /* bytes of a frame */
	ROUNDS_MAX = 400,
	SPINS = 2000,	   /* before the processor is given to somebody else */
	SECOND_TENTHS = 6, /* that one duel takes at most; a loaded machine does fewer rounds */
};

enum { PROTO_TCP = 6, PROTO_UDP = 17 };

/* ---- two threads ---- */

struct shot {
	enum enforcer_program program;
	uint8_t bytes[SHOT_SIZE];
	size_t size;
};

struct duel {
	struct scene *scene;
	int n_shots; /* of each side; FLOWS at most */
	struct shot shots[2][FLOWS];
	atomic_uint ready[FLOWS];
	atomic_uint n_denied;
};

struct side {
	struct duel *duel;
	int which;
	int cpu;
};

/* Neither goes on before both are here. */
static void meet(atomic_uint *ready)
{
	uint32_t spins = 0;

	atomic_fetch_add(ready, 1);
	while (atomic_load(ready) < 2)
		if (++spins % SPINS == 0)
			(void)sched_yield();
}

static void *shoot(void *data)
{
	const struct side *side = data;
	struct duel *duel = side->duel;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(side->cpu, &cpus);
	(void)pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
	for (int i = 0; i < duel->n_shots; i++) {
		const struct shot *shot = &duel->shots[side->which][i];

		meet(&duel->ready[i]);
		if (!enforcer_run(duel->scene->enforcer, shot->program, shot->bytes, shot->size,
				  NULL))
			atomic_fetch_add(&duel->n_denied, 1);
	}
	return NULL;
}

/* The first two processors that this process may use; false: there is one alone. */
static bool find_cpus(int *ret_cpus)
{
	cpu_set_t cpus;
	int n = 0;

	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		return false;
	for (int cpu = 0; cpu < CPU_SETSIZE && n < 2; cpu++)
		if (CPU_ISSET(cpu, &cpus))
			ret_cpus[n++] = cpu;
	return n == 2;
}

static void fight(struct duel *duel)
{
	struct side sides[2] = {{duel, 0, 0}, {duel, 1, 0}};
	pthread_t threads[2];
	int cpus[2];

	cr_assert(find_cpus(cpus));
	for (int i = 0; i < FLOWS; i++)
		atomic_store(&duel->ready[i], 0);
	for (int i = 0; i < 2; i++) {
		sides[i].cpu = cpus[i];
		cr_assert_eq(pthread_create(&threads[i], NULL, shoot, &sides[i]), 0);
	}
	for (int i = 0; i < 2; i++)
		(void)pthread_join(threads[i], NULL);
}

static void load(struct shot *shot, const struct frame *frame, bool out)
{
	cr_assert(frame->size <= SHOT_SIZE);
	shot->program = out ? ENFORCER_TC_OUT : ENFORCER_XDP;
	shot->size = frame->size;
	memcpy(shot->bytes, frame->bytes, frame->size);
}

/* The packet that one side sends of a flow. */
static void aim(struct duel *duel, int which, int i, const struct subject *subject,
		const char *packet)
{
	struct tuple tuple = subject_opener(subject);
	bool reply = packet[0] == '<';
	struct frame frame;

	if (reply)
		tuple = tuple_turn(&tuple);
	frame_of_tuple(&frame, &tuple, flags_of(str_of(packet + 1)));
	load(&duel->shots[which][i], &frame, subject->out != reply);
}

/* ---- rounds ---- */

static struct duel *duel_new(const char *host)
{
	struct duel *duel;
	int cpus[2];

	if (!enforcer_is_possible())
		cr_skip_test("loading programs needs root");
	if (!find_cpus(cpus))
		cr_skip_test("it takes two processors");
	duel = mem_calloc(1, sizeof(*duel));
	duel->n_shots = FLOWS;
	duel->scene = scene_new();
	scene_apply(duel->scene, host, scene_policy);
	return duel;
}

static void duel_free(struct duel *duel)
{
	scene_free(duel->scene);
	free(duel);
}
SCOPED(struct duel *, duel_free);

/* Goes on until the time is up, and once at least. */
struct rounds {
	struct timespec end;
	uint32_t n;
};

static bool more(struct rounds *rounds)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	if (!rounds->n) {
		rounds->end = now;
		rounds->end.tv_nsec += SECOND_TENTHS * 100000000L;
		rounds->end.tv_sec += rounds->end.tv_nsec / 1000000000L;
		rounds->end.tv_nsec %= 1000000000L;
	}
	rounds->n++;
	return rounds->n == 1 ||
	       (rounds->n <= ROUNDS_MAX &&
		(now.tv_sec < rounds->end.tv_sec ||
		 (now.tv_sec == rounds->end.tv_sec && now.tv_nsec < rounds->end.tv_nsec)));
}

static struct subject subject_of(enum addr_family family, int i)
{
	return (struct subject){family, PROTO_TCP, i & 1, false, (uint16_t)(i + 1)};
}

/* The one entry that each flow of the round has left, in the table where it belongs. */
static uint32_t flags_after(const struct duel *duel, const struct subject *subject,
			    bool established)
{
	struct flowtable_entry entry = {};

	cr_assert(scene_entry(duel->scene, subject, &entry), "flow %u is lost", subject->number);
	cr_assert_eq(entry.table >= BH_TABLE_ESTABLISHED4, established, "flow %u", subject->number);
	return flows_flags(&entry);
}

/* Both sides send a packet of the same flow, after the same packets before. */
static void race(struct duel *duel, enum addr_family family, const char *before, const char *left,
		 const char *right)
{
	for (int i = 0; i < FLOWS; i++) {
		struct subject subject = subject_of(family, i);

		(void)play(duel->scene, &subject, before);
		aim(duel, i & 2 ? 1 : 0, i, &subject, left);
		aim(duel, i & 2 ? 0 : 1, i, &subject, right);
	}
	fight(duel);
}

/* Everything is past every time-out, so that the next round finds dead entries of the same flows. */
static void let_die(const struct duel *duel)
{
	scene_wait(duel->scene, 10000);
}

static void check_flags(const struct duel *duel, enum addr_family family, uint32_t set,
			uint32_t clear)
{
	for (int i = 0; i < FLOWS; i++) {
		struct subject subject = subject_of(family, i);
		uint32_t flags = flags_after(duel, &subject, set & BH_FLOW_ESTABLISHED);

		cr_assert_eq(flags & (set | clear), set, "flow %d, IPv%d: flags %#x", i, family,
			     flags);
	}
}

/*
 * Races until the time is up; all flags of set, and none of clear, are in each entry then. No
 * packet of a flow that was there before is denied, in whichever table it lies just then.
 */
static void race_on(const char *before, const char *left, const char *right, uint32_t set,
		    uint32_t clear)
{
	scoped(duel_free) struct duel *duel = duel_new(NULL);

	for (struct rounds rounds = {}; more(&rounds); let_die(duel)) {
		enum addr_family family = rounds.n & 1 ? ADDR_V4 : ADDR_V6;

		race(duel, family, before, left, right);
		check_flags(duel, family, set, clear);
		cr_assert(!before[0] || !atomic_load(&duel->n_denied), "%u denied",
			  atomic_load(&duel->n_denied));
	}
	cr_log_info("%llu entries taken back",
		    (unsigned long long)enforcer_note(duel->scene->enforcer, BH_NOTE_DUPLICATE));
}

Test(hammer, two_that_open_one_flow_leave_one_entry)
{
	race_on("", ">SYN", ">SYN", 0, 0);
}

Test(hammer, an_answer_that_comes_too_late_does_not_take_the_new_flow_along)
{
	race_on("", ">SYN", "<ACK", 0, 0);
}

Test(hammer, two_that_establish_one_flow_leave_one_entry)
{
	race_on(">SYN <SYN-ACK", ">ACK", ">data", BH_FLOW_ESTABLISHED, BH_FLOW_CLOSING);
}

Test(hammer, an_opener_that_speaks_while_its_flow_is_established_opens_no_other)
{
	race_on(">SYN <SYN-ACK", ">ACK", "<data", BH_FLOW_ESTABLISHED, 0);
}

Test(hammer, the_marks_of_both_sides_are_in_the_entry)
{
	race_on(">data <data >data", ">FIN-ACK", "<FIN-ACK",
		BH_FLOW_ESTABLISHED | BH_FLOW_CLOSING | BH_FLOW_FIN_OPENER | BH_FLOW_FIN_REPLIER,
		0);
}

Test(hammer, a_kept_flow_is_marked_so_whoever_meets_it_first)
{
	scoped(duel_free) struct duel *duel = duel_new(NULL);

	for (struct rounds rounds = {}; more(&rounds); let_die(duel)) {
		bool ends = rounds.n & 1; /* else nothing but the marks of the renewal changes */

		scene_apply(duel->scene, NULL, scene_policy);
		for (int i = 0; i < FLOWS; i++) {
			struct subject subject = subject_of(ADDR_V4, i);

			(void)play(duel->scene, &subject, ">data <data >data");
		}
		scene_apply(duel->scene, NULL, scene_denying(duel->scene, "keep", "enforce"));
		race(duel, ADDR_V4, "", ">data", ends ? "<FIN-ACK" : "<data");
		for (int i = 0; i < FLOWS; i++) {
			struct subject subject = subject_of(ADDR_V4, i);
			uint32_t flags = flags_after(duel, &subject, true);

			cr_assert(flags & BH_FLOW_KEPT, "flags %#x", flags);
			cr_assert(!ends || flags & BH_FLOW_FIN_REPLIER, "flags %#x", flags);
		}
	}
}

/* ---- different flows in the same eight ways ---- */

/* Two buckets are left of a table: every key has both. */
static void make_narrow(struct scene *scene, enum bh_table table)
{
	struct bh_head *head = (void *)scene->image.tables;

	head->config.tables[table].mask = 1;
	enforcer_apply(scene->enforcer, &scene->image);
}

/* Four flows of each side, eight ways: there is one for each of them. */
static void crowd(enum bh_table table, const char *before, const char *packet, bool established)
{
	scoped(duel_free) struct duel *duel = duel_new(NULL);

	make_narrow(duel->scene, table);
	duel->n_shots = BH_WAYS;
	for (struct rounds rounds = {}; more(&rounds); let_die(duel)) {
		for (int i = 0; i < 2 * BH_WAYS; i++) {
			struct subject subject = subject_of(ADDR_V4, i);

			(void)play(duel->scene, &subject, before);
			aim(duel, i & 1, i / 2, &subject, packet);
		}
		fight(duel);
		for (int i = 0; i < 2 * BH_WAYS; i++) {
			struct subject subject = subject_of(ADDR_V4, i);

			(void)flags_after(duel, &subject, established);
		}
	}
}

Test(hammer, flows_that_collide_find_a_way_each)
{
	crowd(BH_TABLE_HALF_OPEN4, "", ">SYN", false);
	crowd(BH_TABLE_ESTABLISHED4, ">SYN <SYN-ACK", ">ACK", true);
}

/* ---- first fragments ---- */

/* A TCP header with so many bytes of options, in the first fragment of a datagram. */
static void aim_fragment(struct duel *duel, int which, int i, uint8_t options)
{
	const struct subject subject = {ADDR_V4, PROTO_TCP, false, false, 1};
	struct tuple tuple = subject_opener(&subject);
	struct frame frame;

	frame_start(&frame);
	frame_ip(&frame, &tuple.source, &tuple.destination, 64);
	frame_fragment(&frame, (uint32_t)i, 0, true);
	frame_tcp(&frame, tuple.source_port, tuple.destination_port, FRAME_TCP_ACK);
	frame_zeros(&frame, options);
	frame.bytes[frame.l4_at + 12] = (uint8_t)((5 + options / 4) << 4);
	memset(frame.bytes + frame.l4_at + 20, 1, options); /* no operation */
	frame_zeros(&frame, 44 - options);
	frame_finish(&frame);
	load(&duel->shots[which][i], &frame, false);
}

struct fragments {
	uint32_t n;
	uint32_t n_wrong; /* whose header end is not the larger one */
	uint32_t tick;
};

static void take_fragment(void *data, const struct flowtable_entry *entry)
{
	struct fragments *fragments = data;

	if ((uint32_t)entry->state.meta != fragments->tick)
		return; /* of an earlier round */
	fragments->n++;
	fragments->n_wrong += entry->state.behind != 60;
}

Test(hammer, two_first_fragments_of_one_datagram_leave_one_entry_with_the_larger_header)
{
	scoped(duel_free) struct duel *duel = duel_new(NULL);
	const struct scene *scene = duel->scene;

	for (struct rounds rounds = {}; more(&rounds); let_die(duel)) {
		struct fragments fragments = {
			.tick = (uint32_t)(enforcer_jiffies(scene->enforcer) >> 7)};

		for (int i = 0; i < FLOWS; i++) {
			aim_fragment(duel, i & 1, i, 0);
			aim_fragment(duel, !(i & 1), i, 40);
		}
		fight(duel);
		flows_walk(scene->enforcer, scene_config(scene), BH_TABLE_FRAGMENTS, take_fragment,
			   &fragments);
		cr_assert_eq(fragments.n, FLOWS, "%u entries of %d datagrams", fragments.n, FLOWS);
		cr_assert_eq(fragments.n_wrong, 0, "%u have the smaller header end",
			     fragments.n_wrong);
	}
	cr_log_info("%llu entries taken back",
		    (unsigned long long)enforcer_note(scene->enforcer, BH_NOTE_DUPLICATE));
}
