/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Before anything is timed: the programs do on every bed what the plain loop says, hits are
 * hits, and what was counted is what was sent. Whoever differs ends the benchmark.
 */
#ifndef TESTS_BENCH_VERIFY_H
#define TESTS_BENCH_VERIFY_H

#include "tests/bench/bed.h"

/* Rule, tiers and verdict of classify_only, classify_count and full, packet by packet. */
void verify_policy(struct bed *bed);

/* Two addresses have one class just when they lie in the same sets; the trie's longest match. */
void verify_prefixes(struct bed *bed);

/* Every packet of a stretch finds its flow, in our table and in the kernel's. */
void verify_flows(struct bed *bed, struct stretch stretch);

#endif
