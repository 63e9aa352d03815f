// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every reason for which a packet is denied whatever the rules say: a frame that meets it at each
 * hook, under a policy that lets everything pass. A reason of bpf/abi.h that no frame here meets
 * fails.
 */
#include <criterion/criterion.h>

#include <bpf/bpf.h>

#include "tests/bpf/recipes.h"

static const struct {
	const char *name;
	bool denies;
} reasons[BH_REASON_COUNT] = {
#define X(kind, constant, name) [BH_REASON_##constant] = {name, #kind[0] == 'D'},
	BH_REASONS(X)
#undef X
};

/* One recipe at one hook, in both families. */
static void cook(struct scene *scene, const struct recipe *recipe, enum enforcer_program program)
{
	static const enum addr_family families[] = {ADDR_V4, ADDR_V6};
	const char *expected =
		arena_printf(scene->loaded.arena, "deny %s", reasons[recipe->reason].name);

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		struct frame frame = {};

		if (!(recipe->families & (families[i] == ADDR_V4 ? RECIPE_V4 : RECIPE_V6)))
			continue;
		enforcer_forget(scene->enforcer);
		recipe->make(scene, program, families[i], &frame);
		wire_expect(scene, program, &frame, expected, recipe->what);
	}
}

Test(reason, each_reason_denies_its_frames_at_each_hook_and_counts_them)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_open);
	unsigned there = wire_programs(scene, WIRE_ALL);

	for (size_t i = 0; i < n_recipes; i++)
		for (int program = 0; program < ENFORCER_PROGRAM_COUNT; program++)
			if (recipes[i].programs & there & 1U << program)
				cook(scene, &recipes[i], program);
}

/* Under audit of the host nothing is denied, and everything is told. */
Test(reason, under_audit_of_the_host_the_same_frames_pass_and_are_counted_there)
{
	scoped(scene_free) struct scene *scene = wire_scene(SCENE_HOST "mode: audit\n", wire_open);

	for (size_t i = 0; i < n_recipes; i++) {
		enum enforcer_program program =
			recipes[i].programs & WIRE_OUT ? ENFORCER_TC_OUT : ENFORCER_XDP;
		enum addr_family family = recipes[i].families & RECIPE_V6 ? ADDR_V6 : ADDR_V4;
		struct frame frame = {};

		enforcer_forget(scene->enforcer);
		recipes[i].make(scene, program, family, &frame);
		wire_expect(scene, program, &frame,
			    arena_printf(scene->loaded.arena, "would-deny %s",
					 reasons[recipes[i].reason].name),
			    recipes[i].what);
	}
}

/* Those that say that something is amiss with what the loader has put have tests of their own. */
static bool is_of_loader(enum bh_reason reason)
{
	return reason == BH_REASON_NO_POLICY || reason == BH_REASON_IMAGE_FAULT;
}

/* Where BPF_PROG_RUN makes a packet, no checksum of it is left open: tests/unit/bpf and test_network.py have it. */
static unsigned met_at(enum bh_reason reason)
{
	switch (reason) {
	case BH_REASON_MARTIAN_SOURCE:
		return WIRE_IN;
	case BH_REASON_OPEN_CHECKSUM:
		return 0;
	default:
		return WIRE_ALL;
	}
}

Test(reason, no_reason_is_left_out_at_any_hook_where_it_can_occur)
{
	for (int reason = 0; reason < BH_REASON_COUNT; reason++) {
		unsigned programs = 0;
		unsigned wanted = met_at((enum bh_reason)reason);

		if (!reasons[reason].denies || is_of_loader(reason))
			continue;
		for (size_t i = 0; i < n_recipes; i++)
			if (recipes[i].reason == (enum bh_reason)reason)
				programs |= recipes[i].programs;
		cr_assert_eq(programs, wanted, "%s: met at hooks %#x only", reasons[reason].name,
			     programs);
	}
}

/* ---- what the loader has put, or not ---- */

static void drop_page(const struct scene *scene, uint32_t page)
{
	uint32_t element = (enforcer_generation(scene->enforcer) & 1) * BH_IMAGE_PAGES + page;

	cr_assert_eq(bpf_map_delete_elem(enforcer_map(scene->enforcer, "bh_image"), &element), 0);
}

Test(reason, without_a_generation_everything_is_denied_and_noted)
{
	if (!enforcer_is_possible())
		cr_skip_test("loading programs needs root");
	scoped(scene_free) struct scene *scene = scene_new();
	unsigned there = wire_programs(scene, WIRE_ALL);

	for (int program = 0; program < ENFORCER_PROGRAM_COUNT; program++) {
		uint64_t before = enforcer_note(scene->enforcer, BH_NOTE_UNCOUNTED);
		struct frame frame = {};

		if (!(there & 1U << program))
			continue;
		wire_tcp(&frame, ADDR_V4, wire_is_out(program), 443);
		frame_finish(&frame);
		cr_assert_not(
			enforcer_run(scene->enforcer, program, frame.bytes, frame.size, NULL));
		cr_assert_eq(enforcer_note(scene->enforcer, BH_NOTE_UNCOUNTED), before + 1);
	}
}

/* As while the first programs are put on the links, and while they are taken off. */
Test(reason, where_the_word_says_open_everything_passes_and_is_not_counted)
{
	scoped(scene_free) struct scene *scene = wire_scene(SCENE_HOST, wire_open);
	unsigned there = wire_programs(scene, WIRE_ALL);
	const struct bh_active open = {.generation = BH_ACTIVE_OPEN};
	struct bh_active policy = {.generation = enforcer_generation(scene->enforcer)};
	int word = enforcer_map(scene->enforcer, "bh_active");
	uint32_t key = 0;

	for (int program = 0; program < ENFORCER_PROGRAM_COUNT; program++) {
		uint64_t before = enforcer_note(scene->enforcer, BH_NOTE_UNCOUNTED);
		struct frame frame = {};

		if (!(there & 1U << program))
			continue;
		frame_start(&frame);
		frame_type(&frame, 0x9999);
		frame_finish(&frame);
		cr_assert_not(
			enforcer_run(scene->enforcer, program, frame.bytes, frame.size, NULL));
		cr_assert_eq(bpf_map_update_elem(word, &key, &open, 0), 0);
		cr_assert(enforcer_run(scene->enforcer, program, frame.bytes, frame.size, NULL));
		cr_assert_eq(enforcer_note(scene->enforcer, BH_NOTE_UNCOUNTED), before);
		cr_assert_eq(bpf_map_update_elem(word, &key, &policy, 0), 0);
	}
}

Test(reason, an_image_without_its_first_page_denies_everything)
{
	scoped(scene_free) struct scene *scene = wire_scene(SCENE_HOST "mode: audit\n", wire_open);
	unsigned there = wire_programs(scene, WIRE_ALL);

	drop_page(scene, 0);
	for (int program = 0; program < ENFORCER_PROGRAM_COUNT; program++) {
		struct frame frame = {};

		if (!(there & 1U << program))
			continue;
		frame_start(&frame);
		frame_type(&frame, 0x0806);
		frame_zeros(&frame, 28);
		wire_expect(scene, program, &frame, "deny image-fault", "ARP");
	}
}
