/* SPDX-License-Identifier: GPL-2.0-only */
/* For tests of flows that come into tables of another size. */
#ifndef TESTS_CARRYING_H
#define TESTS_CARRYING_H

#include "tests/bpf/scene.h"

/* host.yaml with tables of other sizes than those of scene_apply. */
extern const char carrying_other_sizes[];

/* As scene_new; skips the test where no program can be loaded. */
struct scene *carrying_scene(void);

/* Says that flows move into the slot of the generation in force, or that they do not. */
void carrying_say(const struct scene *scene, bool on);

/* What a flip does, and nothing else of an apply. */
void carrying_put_in_force(const struct scene *scene, uint64_t generation);

#endif
