// SPDX-License-Identifier: GPL-2.0-only
/* Two at a time want one flow of the generation before: a packet and the loader, or two packets. */
#include <criterion/criterion.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "tests/bpf/carrying.h"
#include "tests/bpf/cells.h"

enum { PROTO_TCP = 6 };

enum { ROUNDS = 256, BATCHES_MAX = 100, SPINS = 2000, UNMARKED_MAX = 2 };

#define RACE_NS 800000000

/* Two threads and the test's own, which wait for each other around each round. */
struct race {
	struct scene *scene;
	struct subject subject;
	bool loader; /* the second one moves what it finds; else it answers, too */
	bool late;   /* answers have begun before the flip, and may be denied */
	bool over;
	atomic_uint met;
	atomic_uint n_denied;
	uint32_t n_unmarked;
};

static void meet(struct race *race, uint32_t meeting)
{
	uint32_t spins = 0;

	atomic_fetch_add(&race->met, 1);
	while (atomic_load(&race->met) < 3 * meeting)
		if (++spins % SPINS == 0)
			(void)sched_yield();
}

static uint64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The body of a thread: does its part in each round. */
static void run_rounds(struct race *race, bool loader)
{
	bool wide = race->subject.family == ADDR_V6;

	for (uint32_t meeting = 1;; meeting += 2) {
		meet(race, meeting);
		if (race->over)
			return;
		if (loader)
			enforcer_carry(race->scene->enforcer, BH_CARRY_MOVE,
				       wide ? BH_TABLE_HALF_OPEN6 : BH_TABLE_HALF_OPEN4, 0);
		else if (!scene_send(race->scene, &race->subject, true,
				     FRAME_TCP_SYN | FRAME_TCP_ACK))
			atomic_fetch_add(&race->n_denied, 1);
		meet(race, meeting + 1);
	}
}

static void *answer_rounds(void *race)
{
	run_rounds(race, false);
	return NULL;
}

static void *other_rounds(void *data)
{
	struct race *race = data;

	run_rounds(race, race->loader);
	return NULL;
}

/* A flow of the generation before, of which nobody knows in this one. */
static void open_before(const struct race *race)
{
	uint64_t generation = enforcer_generation(race->scene->enforcer);

	carrying_put_in_force(race->scene, generation - 1);
	cr_assert(scene_send(race->scene, &race->subject, false, FRAME_TCP_SYN));
	if (!race->late)
		carrying_put_in_force(race->scene, generation);
}

/*
 * Each has one entry, in which its answer is marked. One that is interrupted between finding and
 * marking it may pass unmarked (decision 0029): so do a few of a million.
 */
static void check_rounds(struct race *race)
{
	struct flowtable_entry entry;

	cr_assert(race->late || !race->n_denied, "%u answers are denied", race->n_denied);
	for (uint32_t i = 1; i <= ROUNDS; i++) {
		race->subject.number = (uint16_t)i;
		cr_assert(scene_entry(race->scene, &race->subject, &entry), "flow %u is lost", i);
		race->n_unmarked += !race->late && !(flows_flags(&entry) & BH_FLOW_SYN_ACK);
	}
	cr_assert(race->n_unmarked <= UNMARKED_MAX, "%u flows are not marked", race->n_unmarked);
}

/* How many rounds there were. */
static uint32_t race_rounds(struct race *race)
{
	uint64_t generation = enforcer_generation(race->scene->enforcer);
	uint64_t start = now_ns();
	uint32_t n = 0;

	while (n < ROUNDS * BATCHES_MAX && now_ns() - start < RACE_NS) {
		enforcer_forget(race->scene->enforcer);
		for (uint32_t i = 1; i <= ROUNDS; i++, n++) {
			race->subject.number = (uint16_t)i;
			open_before(race);
			meet(race, 2 * n + 1);
			meet(race, 2 * n + 2);
			carrying_put_in_force(race->scene, generation);
		}
		check_rounds(race);
	}
	race->over = true;
	meet(race, 2 * n + 1);
	return n;
}

static void race_one(enum addr_family family, bool loader, bool late)
{
	scoped(scene_free) struct scene *scene = carrying_scene();
	/* Where an assertion ends the test, its threads go on, and what they use stays. */
	scoped(free) struct race *race = mem_calloc(1, sizeof(*race));
	pthread_t threads[2];

	*race = (struct race){
		.scene = scene,
		.subject = {family, PROTO_TCP, true, false, 1},
		.loader = loader,
		.late = late,
	};
	scene_apply(scene, NULL, scene_policy);
	scene_apply_apart(scene, carrying_other_sizes, scene_policy);
	carrying_say(scene, true);
	cr_assert_eq(pthread_create(&threads[0], NULL, answer_rounds, race), 0);
	cr_assert_eq(pthread_create(&threads[1], NULL, other_rounds, race), 0);
	cr_log_info("%u rounds", race_rounds(race));
	for (int i = 0; i < 2; i++)
		(void)pthread_join(threads[i], NULL);
}

static void race_both(bool loader, bool late)
{
	race_one(ADDR_V4, loader, late);
	race_one(ADDR_V6, loader, late);
}

Test(carryrace, a_packet_and_the_loader_that_move_one_flow_lose_nothing)
{
	race_both(true, false);
}

Test(carryrace, two_packets_that_move_one_flow_lose_nothing)
{
	race_both(false, false);
}

Test(carryrace, a_packet_that_began_before_the_flip_moves_nothing_back)
{
	race_both(true, true);
}
