/* SPDX-License-Identifier: GPL-2.0-only */
/* Policies made by hand, rule by rule, for limits that no text of a sane size would reach. */
#ifndef TESTS_UNIT_CLASSIFY_MADE_H
#define TESTS_UNIT_CLASSIFY_MADE_H

#include "policy/policy.h"

/* One nic group "g" that allows nothing but what is added; to be freed with made_fini. */
struct made {
	struct arena *arena;
	struct diag *diag;
	struct policy policy;
};

void made_init(struct made *made);
void made_fini(struct made *made);

/* Adds a set without ranges, and ranges to it; both families, to be added in order. */
uint32_t made_set(struct made *made);
void made_range4(struct made *made, uint32_t set, uint32_t first, uint32_t last);
void made_range6(struct made *made, uint32_t set, const uint64_t first[2], const uint64_t last[2]);

/* An inbound rule for every protocol between two sets; set 0 is any. */
struct policy_rule *made_rule(struct made *made, uint32_t source, uint32_t destination);

/* The words of all messages, in the arena. */
const char *made_words(struct made *made);

#endif
