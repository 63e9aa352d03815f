// SPDX-License-Identifier: GPL-2.0-only
/* Verdict tables: what they say, what is refused, and that a wrong row is seen. */
#include <criterion/criterion.h>
#include <errno.h>

#include "tests/lib/policy_text.h"

static const char *const web =
	"bulkhead: 1\n"
	"group: web\n"
	"rules:\n"
	"  - {name: https, priority: 100, direction: inbound, access: allow,\n"
	"     services: [tcp/443], source: any, destination: any}\n"
	"  - {name: nd, priority: 110, direction: inbound, access: allow,\n"
	"     services: [tcp/80], source: any, destination: any}\n"
	"  - {name: off, priority: 120, direction: inbound, access: allow,\n"
	"     services: [tcp/80], source: any, destination: any, enabled: false}\n";
static const char *const site = "bulkhead: 1\ngroup: site\ntier: subnet\n";

/* The table over the groups web and site; the messages are those of the table alone. */
static int read_table(struct loaded *loaded, const char *text)
{
	struct source *source;
	int err;

	load_texts(loaded, NULL, (const char *const[]){web, site, NULL});
	cr_assert_eq(loaded->err, 0, "%s", loaded->messages);
	source = arena_alloc(loaded->arena, sizeof(*source));
	*source = (struct source){.path = "t.table", .text = str_of(text)};
	err = table_parse(loaded->arena, source, loaded->diag, &loaded->table);
	if (!err)
		err = table_bind(loaded->arena, &loaded->policy, &loaded->table, loaded->diag);
	return err;
}

static void refused(const char *text, const char *messages)
{
	char *printed = NULL;
	struct loaded loaded;
	size_t size = 0;
	int err = read_table(&loaded, text);
	FILE *out = open_memstream(&printed, &size);

	cr_assert_eq(err, -EBADMSG, "taken: %s", text);
	diag_print(loaded.diag, out);
	fclose(out);
	cr_assert_str_eq(printed, messages);
	free(printed);
	unload(&loaded);
}

Test(table, rows_name_rules_and_reasons)
{
	struct loaded loaded;

	cr_assert_eq(read_table(&loaded,
				"# a comment\r\n"
				"\r\n"
				"in tcp 10.0.0.1:1 10.0.0.2:443 = allow HTTPS # and another\r\n"
				"  in tcp 10.0.0.1:1 10.0.0.2:80 =deny site/DenyAllInBound\n"
				"in icmpv6 ::2 ::3 type 132 code 0=allow mld\n"
				"in tcp 10.0.0.1:1 10.0.0.2:80 = allow web/nd"),
		     0);
	cr_assert_eq(loaded.table.rows.len, 4);
	cr_assert_eq(loaded.table.rows.at[0].rule, find_rule(&loaded, "web/https"));
	cr_assert(loaded.table.rows.at[0].allow);
	cr_assert_eq(loaded.table.rows.at[0].mark.line, 3);
	cr_assert_eq(loaded.table.rows.at[1].rule, find_rule(&loaded, "site/DenyAllInBound"));
	cr_assert_not(loaded.table.rows.at[1].allow);
	cr_assert_eq(loaded.table.rows.at[1].mark.column, 3);
	cr_assert_eq(loaded.table.rows.at[2].reason, EVAL_MLD);
	cr_assert_eq(loaded.table.rows.at[2].rule, (uint32_t)POLICY_NO_RULE);
	cr_assert_eq(loaded.table.rows.at[3].rule, find_rule(&loaded, "web/nd"));
	cr_assert_not(loaded.table.has_self);
	unload(&loaded);
}

Test(table, a_row_agrees_with_its_verdict_alone)
{
	struct table_row row = {.allow = true, .rule = 3};
	struct verdict verdict = {.allow = true, .outcome.rule = 3};

	cr_assert(table_row_agrees(&row, &verdict));
	verdict.allow = false;
	cr_assert_not(table_row_agrees(&row, &verdict));
	verdict = (struct verdict){.allow = true, .outcome.rule = 2};
	cr_assert_not(table_row_agrees(&row, &verdict));
	verdict = (struct verdict){.allow = true, .reason = EVAL_ND, .outcome.rule = 3};
	cr_assert_not(table_row_agrees(&row, &verdict));
	row = (struct table_row){.allow = true, .rule = POLICY_NO_RULE, .reason = EVAL_ND};
	verdict.outcome.rule = POLICY_NO_RULE;
	cr_assert(table_row_agrees(&row, &verdict));
}

Test(table, self_and_network_stand_before_the_packets)
{
	struct loaded loaded;
	struct addr one;
	addr_list self;

	cr_assert_eq(read_table(&loaded, "self 2001:db8::4 10.0.0.4\n"
					 "network 10.0.0.0/16 10.9.0.0-10.9.0.7\n"
					 "in tcp 10.0.0.1:1 10.0.0.2:443 = allow https\n"),
		     0);
	self = table_self(&loaded.table, &loaded.table.rows.at[0], &one);
	cr_assert_eq(self.len, 2);
	cr_assert_eq(self.at[0].family, ADDR_V4);
	table_set_network(&loaded.table, &loaded.host);
	cr_assert_eq(loaded.host.virtual_network.len, 2);
	unload(&loaded);
	cr_assert_eq(read_table(&loaded, "in tcp 10.0.0.1:1 10.0.0.2:443 = allow https\n"), 0);
	self = table_self(&loaded.table, &loaded.table.rows.at[0], &one);
	cr_assert_eq(self.len, 1);
	cr_assert_eq(addr_to_v4(&self.at[0]), 0x0a000002);
	unload(&loaded);
}

Test(table, what_is_wrong_in_a_line_is_told_with_its_place)
{
	refused("in tcp 10.0.0.1:1 10.0.0.2:443 allow https\n"
		"in tcp 10.0.0.1:1 10.0.0.2:443 =\n"
		"in tcp 10.0.0.1:1 10.0.0.2:443 = pass https\n"
		"in tcp 10.0.0.1:1 10.0.0.2:443 = allow\n"
		"in tcp 10.0.0.1:1 10.0.0.2:443 = allow https here\n"
		"\tin tpc 10.0.0.1:1 10.0.0.2:443 = allow https\n"
		"= allow https\n",
		"t.table:1:1: no '='; expected PACKET = allow|deny RULE, or first self or network\n"
		"  in tcp 10.0.0.1:1 10.0.0.2:443 allow https\n"
		"  ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n"
		"t.table:2:33: no verdict; expected allow or deny, and what decides\n"
		"  in tcp 10.0.0.1:1 10.0.0.2:443 =\n"
		"                                  ^\n"
		"t.table:3:34: 'pass' is no verdict; expected allow or deny\n"
		"  in tcp 10.0.0.1:1 10.0.0.2:443 = pass https\n"
		"                                   ^~~~\n"
		"t.table:4:39: nothing says what decides; expected a rule, as name or group/name, "
		"or a reason such as nd\n"
		"  in tcp 10.0.0.1:1 10.0.0.2:443 = allow\n"
		"                                        ^\n"
		"t.table:5:46: 'here' is one word too many; expected nothing behind the rule but a comment\n"
		"  in tcp 10.0.0.1:1 10.0.0.2:443 = allow https here\n"
		"                                               ^~~~\n"
		"t.table:6:5: 'tpc' is no protocol; did you mean 'tcp'?\n"
		"   in tpc 10.0.0.1:1 10.0.0.2:443 = allow https\n"
		"      ^~~\n"
		"t.table:7:1: no packet; expected DIRECTION PROTOCOL SOURCE DESTINATION\n"
		"  = allow https\n"
		"  ^\n");
}

Test(table, what_is_wrong_with_self_and_network_is_told)
{
	refused("self\nnetwork 10.0.0.1/8 # no\nself 10.0.0.1\nself 10.0.0.x\n",
		"t.table:1:5: nothing behind 'self'; expected the host's own addresses\n"
		"  self\n"
		"      ^\n"
		"t.table:2:9: '10.0.0.1/8' is no prefix; expected one like 10.0.0.0/16, without "
		"host bits\n"
		"  network 10.0.0.1/8 # no\n"
		"          ^~~~~~~~~~\n"
		"t.table:3:1: 'self' stands twice; expected once\n"
		"  self 10.0.0.1\n"
		"  ^~~~\n"
		"t.table:1:1: note: first here\n"
		"  self\n"
		"  ^~~~\n"
		"t.table:4:1: 'self' stands twice; expected once\n"
		"  self 10.0.0.x\n"
		"  ^~~~\n"
		"t.table:1:1: note: first here\n"
		"  self\n"
		"  ^~~~\n");
	refused("self 10.0.0.x\n"
		"in tcp 10.0.0.1:1 10.0.0.2:443 = allow https\n"
		"network 10.0.0.0/8\n",
		"t.table:1:6: '10.0.0.x' is no address; expected one like 10.0.0.4 or 2001:db8::4\n"
		"  self 10.0.0.x\n"
		"       ^~~~~~~~\n"
		"t.table:3:1: 'network' behind a packet; expected it before the first\n"
		"  network 10.0.0.0/8\n"
		"  ^~~~~~~\n");
}

Test(table, a_table_without_packets_is_refused)
{
	refused("# nothing\n",
		"t.table: no packet in the table; expected PACKET = allow|deny RULE\n");
}

Test(table, what_is_the_name_of_a_rule_and_of_a_reason_is_refused)
{
	refused("in icmpv6 fe80::2 ::3 type 135 code 0 = allow nd\n"
		"in icmpv6 fe80::2 ::3 type 132 code 0 = allow mld\n"
		"in tcp 10.0.0.1:1 10.0.0.2:80 = allow nd\n"
		"in tcp 10.0.0.1:1 10.0.0.2:80 = allow ND\n"
		"in tcp 10.0.0.1:1 10.0.0.2:80 = allow web/nd\n",
		"t.table:1:47: 'nd' is the name of a reason and of a rule; expected 'web/nd' for "
		"the rule\n"
		"  in icmpv6 fe80::2 ::3 type 135 code 0 = allow nd\n"
		"                                                ^~\n"
		"t.table:3:39: 'nd' is the name of a reason and of a rule; expected 'web/nd' for "
		"the rule\n"
		"  in tcp 10.0.0.1:1 10.0.0.2:80 = allow nd\n"
		"                                        ^~\n");
}

Test(table, names_that_cannot_be_bound_are_told)
{
	refused("in tcp 10.0.0.1:1 10.0.0.2:443 = deny DenyAllInBound\n"
		"in tcp 10.0.0.1:1 10.0.0.2:443 = deny htps\n"
		"in tcp 10.0.0.1:1 10.0.0.2:443 = deny site/https\n"
		"in tcp 10.0.0.1:1 10.0.0.2:443 = deny marshan-source\n"
		"in tcp 10.0.0.1:1 10.0.0.2:443 = deny off\n"
		"in tcp 10.0.0.1:1 10.0.0.2:443 = deny rule\n",
		"t.table:1:39: 'DenyAllInBound' is not unique; expected 'site/DenyAllInBound' or "
		"'web/DenyAllInBound'\n"
		"  in tcp 10.0.0.1:1 10.0.0.2:443 = deny DenyAllInBound\n"
		"                                        ^~~~~~~~~~~~~~\n"
		"t.table:2:39: no rule or reason 'htps'; did you mean 'https'?\n"
		"  in tcp 10.0.0.1:1 10.0.0.2:443 = deny htps\n"
		"                                        ^~~~\n"
		"t.table:3:39: no rule or reason 'site/https'; did you mean 'https'?\n"
		"  in tcp 10.0.0.1:1 10.0.0.2:443 = deny site/https\n"
		"                                        ^~~~~~~~~~\n"
		"t.table:4:39: no rule or reason 'marshan-source'; did you mean 'martian-source'?\n"
		"  in tcp 10.0.0.1:1 10.0.0.2:443 = deny marshan-source\n"
		"                                        ^~~~~~~~~~~~~~\n"
		"t.table:5:39: rule 'off' is disabled; expected one that is not, or a reason\n"
		"  in tcp 10.0.0.1:1 10.0.0.2:443 = deny off\n"
		"                                        ^~~\n"
		"t.table:6:39: no rule or reason 'rule'; expected a rule, as name or group/name, or a reason such as nd\n"
		"  in tcp 10.0.0.1:1 10.0.0.2:443 = deny rule\n"
		"                                        ^~~~\n");
}
