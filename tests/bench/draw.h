/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Packets as a host under a policy meets them: most of them from the addresses, to the addresses
 * and ports that a rule speaks of, wherever in its ranges; some from anywhere.
 */
#ifndef TESTS_BENCH_DRAW_H
#define TESTS_BENCH_DRAW_H

#include "policy/eval.h"
#include "tests/lib/rng.h"

/* An inbound TCP or UDP packet that reaches the rules. */
struct tuple draw_packet(struct rng *rng, const struct policy *policy, const addr_list *self,
			 enum addr_family family);

#endif
