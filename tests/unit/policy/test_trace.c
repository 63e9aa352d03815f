// SPDX-License-Identifier: GPL-2.0-only
/* What explain is told: tiers, rules tried, the five matches, and the opener of a reply. */
#include <criterion/criterion.h>

#include "policy/trace.h"
#include "tests/lib/policy_text.h"
#include "tests/lib/random_policy.h"

static const char *const admin =
	"bulkhead: 1\ngroup: guard\ntier: admin\nrules:\n"
	"  - {name: telnet, priority: 1, direction: inbound, access: deny,\n"
	"     services: [tcp/23], source: any, destination: any}\n";
static const char *const nic =
	"bulkhead: 1\ngroup: web\nrules:\n"
	"  - {name: dns, priority: 100, direction: inbound, access: allow, protocol: udp,\n"
	"     source: any, source_ports: 53, destination: any}\n"
	"  - {name: two-ways, priority: 110, direction: inbound, access: allow,\n"
	"     services: [tcp/443, udp/53], source: 10.0.0.0/8, destination: self}\n"
	"  - {name: ping, priority: 120, direction: inbound, access: allow, protocol: icmp,\n"
	"     icmp_type: 8, source: any, destination: any}\n";

static void load(struct loaded *loaded)
{
	load_texts(loaded, NULL, (const char *const[]){admin, nic, NULL});
	cr_assert_eq(loaded->err, 0, "%s", loaded->messages);
}

static const struct trace *trace_of(struct loaded *loaded, const char *text)
{
	struct addr *one = arena_alloc(loaded->arena, sizeof(*one));
	struct tuple tuple;
	addr_list self = {.at = one};

	cr_assert_eq(tuple_parse(str_of(text), (struct mark){}, loaded->diag, &tuple), 0);
	self.len = tuple_local(&tuple, one);
	return trace_packet(loaded->arena, &loaded->policy, &tuple, &self);
}

/* One line a tier: its rules with the five answers as letters, a dot for no. */
static const char *steps_text(struct loaded *loaded, const struct trace *trace)
{
	const char *text = "";

	for (int i = 0; i < TIER_COUNT; i++) {
		const struct trace_tier *tier = &trace->tiers[i];

		text = arena_printf(loaded->arena, "%s%s:%s", text, policy_tier_name(tier->tier),
				    !tier->has_group ? " no group"
				    : !tier->reached ? " not reached"
						     : "");
		for (size_t j = 0; j < tier->steps.len; j++) {
			const struct trace_step *step = &tier->steps.at[j];
			const struct rule_match *match = &step->match;

			text = arena_printf(
				loaded->arena, "%s %s %c%c%c%c%c%s", text,
				loaded->policy.rules.at[step->rule].name.at,
				match->protocol ? 'p' : '.', match->source ? 's' : '.',
				match->source_port ? 'q' : '.', match->destination ? 'd' : '.',
				match->destination_port ? 'r' : '.', step->matched ? "!" : "");
			cr_assert_eq(step->matched, tier->matched == step->rule);
		}
		text = arena_printf(loaded->arena, "%s\n", text);
	}
	return text;
}

/* Names of the parser are slices; here they end where the YAML's text ends. */
static void end_names(struct loaded *loaded)
{
	for (size_t i = 0; i < loaded->policy.rules.len; i++) {
		struct str *name = &loaded->policy.rules.at[i].name;

		name->at = str_dup(loaded->arena, *name);
	}
}

static void steps_are(const char *packet, const char *expected)
{
	struct loaded loaded;

	load(&loaded);
	end_names(&loaded);
	cr_assert_str_eq(steps_text(&loaded, trace_of(&loaded, packet)), expected);
	unload(&loaded);
}

Test(trace, every_rule_up_to_the_match_is_told_with_five_answers)
{
	steps_are("in tcp 10.0.0.1:1 10.0.0.2:443", "admin: telnet psqd.\n"
						    "subnet: no group\n"
						    "nic: dns .s.dr two-ways psqdr!\n");
	steps_are("in udp 192.0.2.1:54 10.0.0.2:53", "admin: telnet .sqd.\n"
						     "subnet: no group\n"
						     "nic: dns ps.dr two-ways p.qdr ping .sqd. "
						     "DenyAllInBound psqdr!\n");
	/* The first clause has the protocol, the second the port: the first comes nearer. */
	steps_are("in tcp 10.0.0.1:1 10.0.0.2:53", "admin: telnet psqd.\n"
						   "subnet: no group\n"
						   "nic: dns .s.dr two-ways psqd. ping .sqd. "
						   "DenyAllInBound psqdr!\n");
	steps_are("in icmp 192.0.2.1 10.0.0.2 type 13", "admin: telnet .sqd.\n"
							"subnet: no group\n"
							"nic: dns .s.dr two-ways ..qd. ping psqd. "
							"DenyAllInBound psqdr!\n");
	steps_are("in tcp 10.0.0.1:1 224.0.0.1:443", "admin: telnet psqd.\n"
						     "subnet: no group\n"
						     "nic: dns .s.dr two-ways psq.r ping .sqd. "
						     "DenyAllInBound psqdr!\n");
}

Test(trace, where_the_protocol_alone_is_another_that_alone_is_told)
{
	steps_are("in udp 192.0.2.1:53 10.0.0.2:23", "admin: telnet .sqdr\n"
						     "subnet: no group\n"
						     "nic: dns psqdr!\n");
	/* And the source port alone. */
	steps_are("in udp 192.0.2.1:54 10.0.0.2:23", "admin: telnet .sqdr\n"
						     "subnet: no group\n"
						     "nic: dns ps.dr two-ways p.qd. ping .sqd. "
						     "DenyAllInBound psqdr!\n");
	/* A packet without ports has none that is named, and any. */
	steps_are("in gre 192.0.2.1 10.0.0.2", "admin: telnet .sqd.\n"
					       "subnet: no group\n"
					       "nic: dns .s.dr two-ways ..qd. ping .sqd. "
					       "DenyAllInBound psqdr!\n");
}

Test(trace, tiers_behind_an_end_are_not_reached)
{
	steps_are("in tcp 10.0.0.1:1 10.0.0.2:23", "admin: telnet psqdr!\n"
						   "subnet: no group\n"
						   "nic: not reached\n");
	steps_are("out udp 10.0.0.1:1 10.0.0.2:23", "admin:\n"
						    "nic: DenyAllOutBound psqdr!\n"
						    "subnet: no group\n");
}

Test(trace, what_is_decided_before_any_rule_reaches_no_tier)
{
	struct loaded loaded;
	const struct trace *trace;

	load(&loaded);
	trace = trace_of(&loaded, "in udp 127.0.0.1:53 10.0.0.2:5");
	cr_assert(trace->before_rules);
	cr_assert_eq(trace->verdict.reason, EVAL_MARTIAN);
	for (int i = 0; i < TIER_COUNT; i++)
		cr_assert_not(trace->tiers[i].reached);
	unload(&loaded);
}

Test(trace, a_reply_is_told_with_what_would_have_opened_its_flow)
{
	struct loaded loaded;
	const struct trace *trace;

	load(&loaded);
	trace = trace_of(&loaded, "out tcp 10.0.0.2:443 10.0.0.1:1 established");
	cr_assert(trace->verdict.by_flow);
	cr_assert_not_null(trace->opener);
	cr_assert_eq(trace->opener->tuple.direction, DIRECTION_IN);
	cr_assert(trace->opener->verdict.allow);
	cr_assert_null(trace->opener->opener);
	cr_assert_eq(trace->tiers[1].matched, find_rule(&loaded, "web/DenyAllOutBound"));
	trace = trace_of(&loaded, "out tcp 10.0.0.2:443 192.0.2.1:1 established");
	cr_assert_not(trace->verdict.by_flow);
	cr_assert_not_null(trace->opener);
	cr_assert_not(trace->opener->verdict.allow);
	trace = trace_of(&loaded, "out tcp 10.0.0.2:443 10.0.0.1:1");
	cr_assert_null(trace->opener);
	trace = trace_of(&loaded, "in tcp 10.0.0.1:1 10.0.0.2:443 established");
	cr_assert_null(trace->opener, "a packet that the policy allows asks no flow");
	unload(&loaded);
}
