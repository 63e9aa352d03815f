// SPDX-License-Identifier: GPL-2.0-only
#include "tests/bpf/carrying.h"

#include <criterion/criterion.h>

#include <bpf/bpf.h>

const char carrying_other_sizes[] =
	"bulkhead: 1\ntables: {flows: 16384, half_open: 2048, fragments: 2048}\n";

struct scene *carrying_scene(void)
{
	if (!enforcer_is_possible())
		cr_skip_test("loading programs needs root");
	return scene_new();
}

void carrying_say(const struct scene *scene, bool on)
{
	cr_assert_eq(enforcer_carry(scene->enforcer, on ? BH_CARRY_ON : BH_CARRY_OFF, 0, 0), 1);
	cr_assert_eq(enforcer_carry(scene->enforcer, BH_CARRY_IS_ON, 0, 0), on);
}

void carrying_put_in_force(const struct scene *scene, uint64_t generation)
{
	const struct bh_active active = {.generation = generation};
	uint32_t key = 0;

	cr_assert_eq(
		bpf_map_update_elem(enforcer_map(scene->enforcer, "bh_active"), &key, &active, 0),
		0);
}
