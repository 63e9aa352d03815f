/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The judges that look a packet up in an image in userspace, one for each structure that the
 * image can have. What is decided before any rule, and what a flow lets through, they take
 * from policy/eval, as the image does not speak of it.
 */
#ifndef TESTS_JUDGE_LOOKUP_H
#define TESTS_JUDGE_LOOKUP_H

#include "classify/build.h"
#include "tests/lib/judges.h"

/* The image as build chooses it. */
extern const struct judge judge_lookup;

/* Every structure forced: IPv4 blocks and ranges, IPv6 indexes of 10 to 19 bits, far pages, bits. */
enum { JUDGES_LOOKUP_FORCED = 10 };
extern const struct judge judges_lookup_forced[JUDGES_LOOKUP_FORCED];

/* The same structures by number, 0 being what build chooses, for those who build images themselves. */
enum { JUDGES_LOOKUP_STRUCTURES = 1 + JUDGES_LOOKUP_FORCED };
struct build_limits judge_lookup_limits(size_t structure);

/* An outcome of an image as a verdict of the policy that it was made of. */
struct verdict verdict_of_outcome(const struct bh_outcome *outcome);

#endif
