/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Policies, rules and verdicts in the words that views show. Texts live in the arena.
 */
#ifndef CLI_DESCRIBE_H
#define CLI_DESCRIBE_H

#include "cli/view.h"
#include "host/facts.h"
#include "host/senders.h"
#include "policy/trace.h"

struct view_place describe_place(const struct mark *mark);

/* Everything of a rule but its counters. */
struct view_rule describe_rule(struct arena *arena, const struct policy *policy,
			       const struct policy_rule *rule);

/* A disabled one. */
struct view_rule describe_disabled(const struct policy *policy, const struct policy_disabled *rule);

/* What decided: "group/rule", or the name of a reason. */
const char *describe_decider(struct arena *arena, const struct policy *policy,
			     const struct verdict *verdict);

/* The mode of the host, enforce or audit. */
struct view_explain describe_trace(struct arena *arena, const struct policy *policy,
				   const struct trace *trace);

/*
 * Which sockets can send past egress, as the end of a sentence about it: "; open: lldpd (pid 4, packet
 * socket)". "" when there are none.
 */
const char *describe_senders(struct arena *arena, const host_senders *senders);

/*
 * What comes to this host and is in no table of own addresses (local of host/facts.h), as the end of a
 * sentence about it; NULL where there is none.
 */
const char *describe_local(struct arena *arena, const struct host_facts *facts);

#endif
