// SPDX-License-Identifier: GPL-2.0-only
/*
 * What verdict tables cannot say about verdicts: would-deny, by-flow and the rules behind them;
 * and that judges who differ are found out.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include "tests/lib/policy_text.h"
#include "tests/lib/tables.h"

static const char *const open_in =
	"bulkhead: 1\ngroup: web\nrules:\n"
	"  - {name: all-in, priority: 100, direction: inbound, access: allow, protocol: any,\n"
	"     source: any, destination: any}\n";

/* "packet: verdict" for one packet under these files and host settings. */
static void verdict_is(const char *host, const char *text, const char *packet, const char *expected)
{
	struct loaded loaded;
	struct verdict verdict;
	struct tuple tuple;
	struct addr one;
	addr_list self = {.at = &one};

	load_texts(&loaded, host, (const char *const[]){text, NULL});
	cr_assert_eq(loaded.err, 0, "%s", loaded.messages);
	cr_assert_eq(tuple_parse(str_of(packet), (struct mark){}, loaded.diag, &tuple), 0);
	self.len = tuple_local(&tuple, &one);
	verdict = eval(&loaded.policy, &tuple, &self);
	cr_assert_str_eq(verdict_text(loaded.arena, &loaded.policy, &verdict), expected, "%s",
			 packet);
	unload(&loaded);
}

Test(eval, under_the_hosts_audit_nothing_is_denied_and_all_that_would_be_is_said)
{
	static const char *const audit = "bulkhead: 1\nmode: audit\n";

	verdict_is(audit, open_in, "in tcp 127.0.0.1:1 10.0.0.4:2",
		   "allow martian-source would-deny");
	verdict_is(audit, open_in, "in tcp 192.0.2.1 10.0.0.4 frag",
		   "allow fragment-unknown would-deny");
	verdict_is(audit, open_in, "in icmp 192.0.2.1 10.0.0.4 type 5",
		   "allow icmp-redirect would-deny");
	verdict_is(audit, open_in, "in icmpv6 fe80::1 ff02::1 type 134", "allow nd");
	verdict_is(audit, open_in, "in tcp 192.0.2.1:1 10.0.0.4:2", "allow web/all-in");
	verdict_is(audit, open_in, "out tcp 10.0.0.4:2 192.0.2.1:1",
		   "allow web/DenyAllOutBound would-deny");
	verdict_is(audit, open_in, "out tcp 10.0.0.4:2 192.0.2.1:1 established",
		   "allow web/all-in by-flow");
	verdict_is("bulkhead: 1\nmode: audit\nno_group: deny\n",
		   "bulkhead: 1\nsets:\n  a: [10.0.0.1]\n", "in tcp 192.0.2.1:1 10.0.0.4:2",
		   "allow no-group would-deny");
}

Test(eval, of_icmp_echo_replies_alone_pass_by_flow)
{
	verdict_is(NULL, open_in, "out icmp 10.0.0.4 192.0.2.1 type 0 established",
		   "allow web/all-in by-flow");
	verdict_is(NULL, open_in, "out icmp 10.0.0.4 192.0.2.1 type 8 established",
		   "deny web/DenyAllOutBound");
	verdict_is(NULL, open_in, "out icmp 10.0.0.4 192.0.2.1 type 14 established",
		   "deny web/DenyAllOutBound");
	verdict_is(NULL, open_in, "out icmp 10.0.0.4 192.0.2.1 type 129 established",
		   "deny web/DenyAllOutBound");
	verdict_is(NULL, open_in, "out icmpv6 2001:db8::4 2001:db8::1 type 129 established",
		   "allow web/all-in by-flow");
	verdict_is(NULL, open_in, "out icmpv6 2001:db8::4 2001:db8::1 type 128 established",
		   "deny web/DenyAllOutBound");
	verdict_is(NULL, open_in, "out icmpv6 2001:db8::4 2001:db8::1 type 0 established",
		   "deny web/DenyAllOutBound");
	verdict_is(NULL, open_in, "out 58 10.0.0.4 192.0.2.1 established",
		   "allow web/all-in by-flow");
}

Test(eval, what_is_decided_before_the_rules_opens_no_flow_but_the_platforms)
{
	static const char *const closed = "bulkhead: 1\ngroup: web\n";
	static const char *const azure = "bulkhead: 1\nplatform: azure\n";

	verdict_is(azure, closed, "in udp 168.63.129.16:53 10.0.0.4:1 established",
		   "allow platform by-flow");
	verdict_is(azure, closed, "in udp 168.63.129.16:53 10.0.0.4:1", "deny web/DenyAllInBound");
	/* Audit passes the martian, but its answer is no reply of a flow. */
	verdict_is("bulkhead: 1\nmode: audit\n", closed,
		   "out tcp 10.0.0.4:1 127.0.0.1:2 established",
		   "allow web/DenyAllOutBound would-deny");
}

Test(eval, a_flow_of_an_audited_deny_passes_replies_that_an_enforced_one_would_stop)
{
	static const char *const trial =
		"bulkhead: 1\ngroup: web\nrules:\n"
		"  - {name: trial, priority: 100, direction: inbound, access: deny, mode: audit,\n"
		"     protocol: tcp, source: any, destination: any}\n";

	verdict_is(NULL, trial, "in tcp 192.0.2.1:1 10.0.0.4:2", "allow web/trial would-deny");
	verdict_is(NULL, trial, "out tcp 10.0.0.4:2 192.0.2.1:1 established",
		   "allow web/trial would-deny by-flow");
	verdict_is(NULL, trial, "out tcp 10.0.0.4:2 192.0.2.1:1", "deny web/DenyAllOutBound");
}

Test(eval, reasons_have_names_that_differ)
{
	for (int i = 0; i < EVAL_REASON_COUNT; i++)
		for (int j = 0; j < i; j++)
			cr_assert_str_neq(eval_reason_name(i), eval_reason_name(j));
	cr_assert_str_eq(eval_reason_name(EVAL_MARTIAN), "martian-source");
}

/* Wrong for one kind of packet in many. */
static int judge_wrongly(const struct policy *policy, const struct tuple *tuple,
			 const addr_list *self, struct verdict *ret_verdict)
{
	*ret_verdict = eval(policy, tuple, self);
	if (tuple->protocol == 132)
		ret_verdict->allow = !ret_verdict->allow;
	return 0;
}

Test(eval, a_judge_that_differs_is_found_out)
{
	static const struct judge judges[] = {
		{.name = "eval", .judge = judge_by_eval},
		{.name = "wrong", .judge = judge_wrongly},
	};
	static const struct judge same[] = {
		{.name = "eval", .judge = judge_by_eval},
		{.name = "eval", .judge = judge_by_eval},
	};
	struct random_run run = {.first_seed = 1, .n_policies = 20, .n_packets = 100};

	cr_redirect_stdout();
	cr_assert_eq(random_compare(&run, judges, ARRAY_LEN(judges)), 1);
	cr_assert_eq(random_compare(&run, same, ARRAY_LEN(same)), 0);
}

Test(eval, a_table_that_cannot_be_found_fails)
{
	static const struct judge judges[] = {{.name = "eval", .judge = judge_by_eval}};

	cr_redirect_stdout();
	cr_assert_eq(tables_run("/nonexistent", judges, 1), 1);
}
