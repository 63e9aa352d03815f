/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Policies and packets by seed: trees as the parser would make them, so that they can be
 * resolved without YAML and printed as YAML to become a regression case. The same seed gives
 * the same policy and, over the same policy, the same packets.
 */
#ifndef TESTS_RANDOM_POLICY_H
#define TESTS_RANDOM_POLICY_H

#include <stdio.h>

#include "policy/eval.h"
#include "tests/lib/rng.h"

struct random_policy {
	ARRAY(struct ast_file *) files; /* without a mistake: resolve takes them */
	struct hostconf host;
	addr_list self; /* sorted; two of each family */
};

/*
 * 2 to 40 rules over all tiers out of small pools, so that they overlap: prefixes, ranges,
 * self, any, sets in sets, tags, services, ICMP types, ports at the ends of their range, audit,
 * always-allow, disabled rules, keys of never_denied, a group of two files.
 */
void random_policy(struct arena *arena, uint64_t seed, struct random_policy *ret_policy);

enum random_family {
	RANDOM_V4,
	RANDOM_V6,
	RANDOM_BOTH, /* each list of addresses has both */
};

/*
 * A policy like that of a large host: one nic group, inbound rules whose sources are large sets
 * as service tags are (each a third of the one before, n_prefixes in all), subnets, lists of
 * addresses or any; destinations any, own addresses or the own subnet; ports as lists and
 * ranges. n_rules is at most 3900, default rules not counted.
 */
void random_nsg_policy(struct arena *arena, uint64_t seed, uint32_t n_rules, uint32_t n_prefixes,
		       enum random_family family, struct random_policy *ret_policy);

/*
 * A packet at the edges of a policy: first and last address of a range, one below and above,
 * the same for ports, types and codes; own addresses; now and then a reply, a fragment, or one
 * of the packets that are decided before any rule.
 */
struct tuple random_packet(struct rng *rng, const struct policy *policy, const addr_list *self);

/* One file as YAML, and host.yaml; the parser reads the same policy back. */
void random_policy_print_file(const struct ast_file *file, FILE *out);
void random_policy_print_host(const struct hostconf *host, FILE *out);

/* All of it, each file behind a comment that names it, and the own addresses. */
void random_policy_print(const struct random_policy *policy, FILE *out);

#endif
