/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * policy → image. The algorithm lives here and only here: equivalence classes of addresses and of
 * protocols with ports, their products, deduplicated (docs/datapath.md).
 */
#ifndef CLASSIFY_BUILD_H
#define CLASSIFY_BUILD_H

#include "classify/image.h"
#include "policy/policy.h"

/* What this kernel and machine allow, and what tests force. */
struct build_limits {
	uint32_t pages;		      /* at most BH_IMAGE_PAGES */
	uint64_t blocks_budget;	      /* bytes of IPv4 blocks before ranges are chosen; 32 MB */
	int force_address4;	      /* -1, or enum bh_address4 */
	uint32_t force_address6_bits; /* 0, or 10 to 19 */
	uint32_t few_address6;	      /* segments without a fan; TREE6_FEW */
	int force_product;	      /* -1, or enum bh_product */
	uint32_t near_size;	      /* bytes of page 0 that tables may take; all of it */
};

struct build_limits build_limits_default(void);

/*
 * -E2BIG, with the arithmetic in words (asked for, what fits, which set or rule is the large one),
 * when a limit is passed. sources are named in the notes, in the order of their paths.
 * The image lives in the arena; its notes point into the policy and live as long as that does.
 */
int build(struct arena *arena, const struct policy *policy, const struct source *const *sources,
	  size_t n_sources, const struct build_limits *limits, struct diag *diag,
	  struct image *ret_image);

/* Where the state tables of host.yaml lie, in config; returns how many pages hold them. */
uint32_t build_state(const struct hostconf *host, struct bh_config *config);

/*
 * The resolved policy back out of the notes, so that explain and rules can speak of the policy
 * in force. Marks point to sources without text.
 */
void image_policy(struct arena *arena, const struct image *image, struct policy *ret_policy);

#endif
