/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An image by bits, shown without going through what its sets combine to: where each set holds the
 * very rules that the policy has for all points of its class, the first rule that stands in three
 * of them is the first one that matches, whichever three they are.
 */
#ifndef PROVE_BITS_H
#define PROVE_BITS_H

#include "prove/services.h"
#include "prove/sides.h"

/*
 * Whether the direction is by bits, and all of its sets and all rows of outcomes are as the policy has
 * them. False does not say that the image is wrong: the classes of some set may never meet, and then
 * what it holds does not matter.
 */
bool bits_hold(const struct rules *rules, const struct image *image, const struct side sides[2],
	       const struct service_points *services);

#endif
