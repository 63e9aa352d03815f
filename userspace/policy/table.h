/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Verdict tables: packets, and what must become of them. Plain text, for operators and for our
 * own tests.
 *
 *	# the site is open to all
 *	self 10.0.0.4 2001:db8::4
 *	network 10.0.0.0/16
 *	in tcp 203.0.113.9:40000 10.0.0.4:443 = allow web/allow-https
 *	in udp 203.0.113.9:40000 10.0.0.4:443 = deny DenyAllInBound
 *
 * self (the host's own addresses) and network (in place of virtual_network of host.yaml) stand
 * before the first packet, each at most once. Without self the local end of each packet counts
 * as self. Behind "allow" or "deny" stands what decided: "group/name", the name of a rule alone
 * where one rule of the policy has it, or a reason of eval_reason_name other than "rule", unless
 * a rule has its name. '#' begins a comment anywhere. A would-deny is an "allow" by the rule that
 * would have denied; a reply let through by a flow is an "allow" by what admitted the flow.
 */
#ifndef POLICY_TABLE_H
#define POLICY_TABLE_H

#include "policy/eval.h"

struct table_row {
	struct mark mark; /* of the packet */
	struct tuple tuple;
	bool allow;
	struct ast_name decider; /* as written */
	uint32_t rule;		 /* POLICY_NO_RULE: reason decides; good after table_bind */
	enum eval_reason reason;
};

struct table {
	bool flawed; /* parts of it were refused: what seems unsaid may have been meant */
	bool has_self;
	addr_list self; /* sorted */
	bool has_network;
	ast_peers network;
	struct mark network_mark;
	ARRAY(struct table_row) rows; /* never empty */
};

/* Every mistake goes into diag, -EBADMSG if there was one; *ret_table is then untouched. */
int table_parse(struct arena *arena, const struct source *source, struct diag *diag,
		struct table *ret_table);

/*
 * Puts the table's network, if it has one, in place of host.yaml's: before resolve. host is flawed when
 * the table is.
 */
void table_set_network(const struct table *table, struct hostconf *host);

/*
 * Looks up in the policy what the rows name. -EBADMSG, every mistake with its place and the
 * nearest name, when a row names what is not there, is disabled, or is not unique: the name of two
 * rules, or of a rule and a reason.
 */
int table_bind(struct arena *arena, const struct policy *policy, struct table *table,
	       struct diag *diag);

/* The own addresses for a row's packet: the table's, else the packet's local end, put in *one. */
addr_list table_self(const struct table *table, const struct table_row *row, struct addr *one);

/* Whether a verdict is what the row says. */
bool table_row_agrees(const struct table_row *row, const struct verdict *verdict);

#endif
