/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Each pair of addresses with each service of one direction: the first rule of each tier by plain
 * order, and what the image has for the classes.
 */
#ifndef PROVE_VERDICTS_H
#define PROVE_VERDICTS_H

#include "prove/pairs.h"
#include "prove/prove.h"
#include "prove/services.h"

/* All that is known of one direction. */
struct verdicts {
	const struct rules *rules;
	const struct image *image;
	const struct address_points *addresses;
	const struct service_points *services;
	const struct side *sides; /* 2 */
	const struct pair_points *pairs;
};

/*
 * Adds to n_combinations and n_differ of the result, and keeps in it the worst difference. Where none
 * is seen by a packet that is left to the rules, the answer is PROVE_FAULT, without words, and packet
 * is one that differs.
 */
void verdicts_compare(struct arena *arena, const struct verdicts *verdicts,
		      struct prove_result *result);

#endif
