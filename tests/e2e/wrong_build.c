// SPDX-License-Identifier: GPL-2.0-only
/*
 * A builder that makes a mistake, for the program bulkhead-wrong: the linker puts it in the place
 * of build. BULKHEAD_WRONG says which mistake: an outcome that allows instead of denying, or a
 * setting of host.yaml that is another one. Without it nothing is wrong.
 */
#include <stdlib.h>
#include <string.h>

#include "classify/build.h"

/* The names that the linker's --wrap=build gives to both. */
int real_build(struct arena *arena, const struct policy *policy,
	       const struct source *const *sources, size_t n_sources,
	       const struct build_limits *limits, struct diag *diag,
	       struct image *ret_image) __asm__("__real_build");
int wrong_build(struct arena *arena, const struct policy *policy,
		const struct source *const *sources, size_t n_sources,
		const struct build_limits *limits, struct diag *diag,
		struct image *ret_image) __asm__("__wrap_build");

static void allow_a_denied_one(struct image *image)
{
	struct bh_head *head = (void *)image->tables;
	struct bh_outcome *outcomes = (void *)(image->tables + head->outcomes);
	uint32_t i = 0;

	while (i + 1 < head->n_outcomes && outcomes[i].verdict != BH_DENY)
		i++;
	outcomes[i].verdict = BH_ALLOW;
}

/* NOLINTNEXTLINE(readability-function-size): as what it stands for */
int wrong_build(struct arena *arena, const struct policy *policy,
		const struct source *const *sources, size_t n_sources,
		const struct build_limits *limits, struct diag *diag, struct image *ret_image)
{
	const char *mistake = getenv("BULKHEAD_WRONG");
	int err = real_build(arena, policy, sources, n_sources, limits, diag, ret_image);

	if (err || !mistake)
		return err;
	if (!strcmp(mistake, "outcome"))
		allow_a_denied_one(ret_image);
	if (!strcmp(mistake, "setting"))
		((struct bh_head *)(void *)ret_image->tables)->config.tcp_pickup ^= 1;
	return 0;
}
