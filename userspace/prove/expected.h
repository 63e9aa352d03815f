/* SPDX-License-Identifier: GPL-2.0-only */
/* What the rules that matched add up to, as an image has it. */
#ifndef PROVE_EXPECTED_H
#define PROVE_EXPECTED_H

#include "bpf/abi.h"
#include "prove/rules.h"

/*
 * The outcome of the rule that matched in each tier, by its id, or POLICY_NO_RULE. None may carry
 * BH_OUTCOME_NO_STATE: whether the turned tuple of a whole class is allowed is not looked into here, so
 * an image that says so is not proven.
 */
struct bh_outcome expected_outcome(const struct rules *rules, const uint32_t matched[TIER_COUNT]);

#endif
