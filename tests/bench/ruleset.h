/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The inbound rules of a resolved policy in the languages of its peers, for one family: each rule with
 * its counter, a list of addresses as a named set, at the first hook that the peer has. Only policies
 * whose first match decides: rules of the admin tier that end the evaluation, then one nic group.
 */
#ifndef TESTS_BENCH_RULESET_H
#define TESTS_BENCH_RULESET_H

#include <stdio.h>

#include "policy/eval.h"

struct ruleset {
	const struct policy *policy;
	const addr_list *self;
	enum addr_family family;
};

/* nft -f: rules in order, sets as interval sets. */
void ruleset_nft(const struct ruleset *ruleset, FILE *out);

/*
 * nft -f: one map from source and port of TCP to a verdict. False, and nothing written, when a rule
 * says more than that.
 */
bool ruleset_nft_map(const struct ruleset *ruleset, FILE *out);

/* ipset restore, and iptables-restore of the rules that use those sets. */
void ruleset_ipset(const struct ruleset *ruleset, FILE *out);
void ruleset_iptables(const struct ruleset *ruleset, FILE *out);

/* The denied addresses, one a line, when denying single sources is all that the policy does. */
bool ruleset_denied_hosts(const struct ruleset *ruleset, FILE *out);

#endif
