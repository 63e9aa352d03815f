/* SPDX-License-Identifier: GPL-2.0-only */
/* policy → the notes of its image; the way back is image_policy of classify/build.h. */
#ifndef CLASSIFY_NOTES_H
#define CLASSIFY_NOTES_H

#include "classify/image.h"
#include "policy/policy.h"

void notes_make(struct arena *arena, const struct policy *policy,
		const struct source *const *sources, size_t n_sources,
		struct image_notes *ret_notes);

#endif
