// SPDX-License-Identifier: GPL-2.0-only
/* What resolve refuses: every message whole, with its places. */
#include <criterion/criterion.h>
#include <errno.h>

#include "tests/lib/policy_text.h"

#define RULE(name, priority, rest)                                                          \
	"  - {name: " name ", priority: " priority ", direction: inbound, access: allow,\n" \
	"     " rest "}\n"
#define WEB   "bulkhead: 1\ngroup: web\n"
#define RULES WEB "rules:\n"

/* Nothing but these messages. */
static void refused(const char *host, const char *const *texts, const char *messages)
{
	struct loaded loaded;

	load_texts(&loaded, host, texts);
	cr_assert_eq(loaded.err, -EBADMSG, "err is %d", loaded.err);
	cr_assert_str_eq(loaded.messages, messages);
	unload(&loaded);
}

#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

Test(resolve_refusals, a_second_group_of_a_tier_is_refused_naming_both_files)
{
	refused(NULL, TEXTS("bulkhead: 1\ngroup: one\n", "bulkhead: 1\ngroup: two\ntier: nic\n"),
		"b.yaml:2:8: a second group in tier nic, 'two' of b.yaml beside 'one' of a.yaml; expected one\n"
		"  group: two\n"
		"         ^~~\n"
		"a.yaml:2:8: note: the first is here\n"
		"  group: one\n"
		"         ^~~\n");
}

Test(resolve_refusals, parts_of_a_group_have_to_agree)
{
	refused(NULL,
		TEXTS(WEB "tier: nic\nmode: audit\nexisting_flows: keep\ndefaults: deny\n", WEB
		      "tier: subnet\nmode: enforce\nexisting_flows: recheck\ndefaults: azure\n"),
		"b.yaml:3:7: 'tier' differs from what another file of this group says; expected the same\n"
		"  tier: subnet\n"
		"        ^~~~~~\n"
		"a.yaml:3:7: note: said here\n"
		"  tier: nic\n"
		"        ^~~\n"
		"b.yaml:4:7: 'mode' differs from what another file of this group says; expected the same\n"
		"  mode: enforce\n"
		"        ^~~~~~~\n"
		"a.yaml:4:7: note: said here\n"
		"  mode: audit\n"
		"        ^~~~~\n"
		"b.yaml:5:17: 'existing_flows' differs from what another file of this group says; expected the same\n"
		"  existing_flows: recheck\n"
		"                  ^~~~~~~\n"
		"a.yaml:5:17: note: said here\n"
		"  existing_flows: keep\n"
		"                  ^~~~\n"
		"b.yaml:6:11: 'defaults' differs from what another file of this group says; expected the same\n"
		"  defaults: azure\n"
		"            ^~~~~\n"
		"a.yaml:6:11: note: said here\n"
		"  defaults: deny\n"
		"            ^~~~\n");
}

Test(resolve_refusals, parts_of_an_admin_group_have_to_agree_on_its_order)
{
	refused(NULL, TEXTS(WEB "tier: admin\norder: 1\n", WEB "order: 2\n"),
		"b.yaml:3:8: 'order' differs from what another file of this group says; expected the same\n"
		"  order: 2\n"
		"         ^\n"
		"a.yaml:4:8: note: said here\n"
		"  order: 1\n"
		"         ^\n");
}

Test(resolve_refusals, a_group_is_spelt_one_way)
{
	refused(NULL, TEXTS(WEB, "bulkhead: 1\ngroup: Web\n"),
		"b.yaml:2:8: group 'Web' is written 'web' elsewhere; expected one spelling, since names are compared without regard to case\n"
		"  group: Web\n"
		"         ^~~\n"
		"a.yaml:2:8: note: first written here\n"
		"  group: web\n"
		"         ^~~\n");
}

Test(resolve_refusals, several_admin_groups_need_orders_that_differ)
{
	refused(NULL,
		TEXTS(WEB "tier: admin\norder: 3\n", "bulkhead: 1\ngroup: two\ntier: admin\n",
		      "bulkhead: 1\ngroup: three\ntier: admin\norder: 3\n"),
		"b.yaml:2:8: group 'two' has no 'order'; expected 'order: N', since there is more than one group of tier admin\n"
		"  group: two\n"
		"         ^~~\n"
		"c.yaml:4:8: 'order' is 3, as that of group 'web'; expected another number\n"
		"  order: 3\n"
		"         ^\n"
		"a.yaml:4:8: note: given here\n"
		"  order: 3\n"
		"         ^\n");
}

Test(resolve_refusals, order_is_for_admin_groups_and_defaults_for_the_others)
{
	refused(NULL,
		TEXTS(WEB "order: 3\n", "bulkhead: 1\ngroup: two\ntier: admin\ndefaults: deny\n"),
		"a.yaml:3:8: 'order' in tier nic, which holds one group; expected it in tier admin\n"
		"  order: 3\n"
		"         ^\n"
		"b.yaml:4:11: 'defaults' in tier admin; expected it in subnet or nic, since what no rule of admin matches goes on to them\n"
		"  defaults: deny\n"
		"            ^~~~\n");
}

Test(resolve_refusals, the_azure_defaults_need_virtual_network)
{
	refused(NULL, TEXTS(WEB "defaults: azure\n"),
		"a.yaml:3:11: 'defaults: azure' uses VirtualNetwork; expected 'virtual_network' in host.yaml\n"
		"  defaults: azure\n"
		"            ^~~~~\n");
}

Test(resolve_refusals, the_tag_needs_virtual_network_also_on_azure)
{
	refused("bulkhead: 1\nplatform: azure\n",
		TEXTS(RULES RULE("a", "100",
				 "protocol: any, source: VirtualNetwork, destination: any")),
		"a.yaml:5:29: tag 'VirtualNetwork' is not known here; expected 'virtual_network' in host.yaml\n"
		"       protocol: any, source: VirtualNetwork, destination: any}\n"
		"                              ^~~~~~~~~~~~~~\n");
}

Test(resolve_refusals, a_name_stands_once_without_regard_to_case_also_against_shared_ones)
{
	refused(NULL,
		TEXTS(WEB "sets:\n  corp: [10.0.0.0/8]\nservices:\n  Web: [tcp/80]\nrules:\n" RULE(
			      "a", "100", "protocol: any, source: any, destination: any")
			      RULE("A", "101", "protocol: any, source: any, destination: any"),
		      "bulkhead: 1\nsets:\n  Corp: [10.0.0.0/8]\nservices:\n  web: [tcp/443]\n",
		      WEB "sets:\n  CORP: [10.0.0.1]\n"),
		"a.yaml:4:3: set 'corp' stands twice; expected another name, since names are compared without regard to case\n"
		"    corp: [10.0.0.0/8]\n"
		"    ^~~~\n"
		"b.yaml:3:3: note: 'Corp' first stands here\n"
		"    Corp: [10.0.0.0/8]\n"
		"    ^~~~\n"
		"a.yaml:6:3: service 'Web' stands twice; expected another name, since names are compared without regard to case\n"
		"    Web: [tcp/80]\n"
		"    ^~~\n"
		"b.yaml:5:3: note: 'web' first stands here\n"
		"    web: [tcp/443]\n"
		"    ^~~\n"
		"a.yaml:10:12: rule 'A' stands twice; expected another name, since names are compared without regard to case\n"
		"    - {name: A, priority: 101, direction: inbound, access: allow,\n"
		"             ^\n"
		"a.yaml:8:12: note: 'a' first stands here\n"
		"    - {name: a, priority: 100, direction: inbound, access: allow,\n"
		"             ^\n"
		"c.yaml:4:3: set 'CORP' stands twice; expected another name, since names are compared without regard to case\n"
		"    CORP: [10.0.0.1]\n"
		"    ^~~~\n"
		"a.yaml:4:3: note: 'corp' first stands here\n"
		"    corp: [10.0.0.0/8]\n"
		"    ^~~~\n");
}

Test(resolve_refusals, a_priority_is_used_once_in_a_direction_over_all_parts)
{
	refused(NULL,
		TEXTS(RULES RULE("a", "100", "protocol: any, source: any, destination: any")
			      RULE("b", "99", "protocol: any, source: any, destination: any"),
		      RULES RULE("c", "100",
				 "protocol: any, enabled: false, source: any, destination: any")),
		"a.yaml:6:25: 'priority' is 99; expected 100 to 4096 in tier nic\n"
		"    - {name: b, priority: 99, direction: inbound, access: allow,\n"
		"                          ^~\n"
		"b.yaml:4:25: 'priority' is 100, as that of rule 'a'; expected another among the inbound rules of the group\n"
		"    - {name: c, priority: 100, direction: inbound, access: allow,\n"
		"                          ^~~\n"
		"a.yaml:4:25: note: the other is here\n"
		"    - {name: a, priority: 100, direction: inbound, access: allow,\n"
		"                          ^~~\n");
}

Test(resolve_refusals, always_allow_is_for_the_admin_tier)
{
	refused(NULL,
		TEXTS(RULES
		      "  - {name: a, priority: 100, direction: inbound, access: always-allow,\n"
		      "     protocol: any, source: any, destination: any}\n"),
		"a.yaml:4:58: 'always-allow' in tier nic; expected allow or deny, since it is for rules of tier admin\n"
		"    - {name: a, priority: 100, direction: inbound, access: always-allow,\n"
		"                                                           ^~~~~~~~~~~~\n");
}

Test(resolve_refusals, an_unknown_name_is_told_with_the_nearest_one)
{
	refused(NULL,
		TEXTS(WEB
		      "sets:\n  corp: [10.0.0.0/8, crop]\nservices:\n  web: [tcp/80]\nrules:\n" RULE(
			      "a", "100", "services: [wbe], source: corpp, destination: Internt")
			      RULE("b", "101",
				   "services: [far-off], source: virtualnetwrk, destination: slef")),
		"a.yaml:4:22: no set or tag 'crop'; did you mean 'corp'?\n"
		"    corp: [10.0.0.0/8, crop]\n"
		"                       ^~~~\n"
		"a.yaml:9:17: no service 'wbe'; did you mean 'web'?\n"
		"       services: [wbe], source: corpp, destination: Internt}\n"
		"                  ^~~\n"
		"a.yaml:9:31: no set or tag 'corpp'; did you mean 'corp'?\n"
		"       services: [wbe], source: corpp, destination: Internt}\n"
		"                                ^~~~~\n"
		"a.yaml:9:51: no set or tag 'Internt'; did you mean 'Internet'?\n"
		"       services: [wbe], source: corpp, destination: Internt}\n"
		"                                                    ^~~~~~~\n"
		"a.yaml:11:17: no service 'far-off'; expected a service of this group or of all files, or PROTOCOL/PORTS such as tcp/443\n"
		"       services: [far-off], source: virtualnetwrk, destination: slef}\n"
		"                  ^~~~~~~\n"
		"a.yaml:11:35: no set or tag 'virtualnetwrk'; did you mean 'VirtualNetwork'?\n"
		"       services: [far-off], source: virtualnetwrk, destination: slef}\n"
		"                                    ^~~~~~~~~~~~~\n"
		"a.yaml:11:63: no set or tag 'slef'; did you mean 'self'?\n"
		"       services: [far-off], source: virtualnetwrk, destination: slef}\n"
		"                                                                ^~~~\n");
}

Test(resolve_refusals, a_name_of_another_group_is_told_as_such)
{
	refused(NULL,
		TEXTS(WEB "sets:\n  corp: [10.0.0.0/8]\nservices:\n  http: [tcp/80]\n",
		      "bulkhead: 1\ngroup: two\ntier: subnet\nrules:\n" RULE(
			      "a", "100", "services: [http], source: corp, destination: any")),
		"b.yaml:6:17: no service 'http' here; expected it in this group or in a file without a group, since that of group 'web' is seen there alone\n"
		"       services: [http], source: corp, destination: any}\n"
		"                  ^~~~\n"
		"b.yaml:6:32: no set 'corp' here; expected it in this group or in a file without a group, since that of group 'web' is seen there alone\n"
		"       services: [http], source: corp, destination: any}\n"
		"                                 ^~~~\n");
}

Test(resolve_refusals, a_shared_set_sees_shared_names_only)
{
	refused(NULL,
		TEXTS(WEB "sets:\n  corp: [10.0.0.0/8]\n", "bulkhead: 1\nsets:\n  all: [corp]\n"),
		"b.yaml:3:9: no set 'corp' here; expected it in this group or in a file without a group, since that of group 'web' is seen there alone\n"
		"    all: [corp]\n"
		"          ^~~~\n");
}

Test(resolve_refusals, a_cycle_of_sets_is_told_once_with_its_way)
{
	refused(NULL,
		TEXTS("bulkhead: 1\nsets:\n  a: [b]\n  b: [10.0.0.1, c]\n  c: [A]\n  me: [me]\n  uses: [a, me]\n"),
		"a.yaml:5:7: set 'a' contains itself: a -> b -> c -> a; expected no cycle\n"
		"    c: [A]\n"
		"        ^\n"
		"a.yaml:6:8: set 'me' contains itself: me -> me; expected no cycle\n"
		"    me: [me]\n"
		"         ^~\n");
}

Test(resolve_refusals, a_rule_that_no_packet_can_match_is_refused)
{
	refused(NULL,
		TEXTS(WEB "sets:\n  v6: [\"2001:db8::/32\"]\nrules:\n" RULE(
			"a", "100", "protocol: tcp, source: 10.0.0.1, destination: v6")
			      RULE("b", "101", "protocol: icmp, source: v6, destination: any") RULE(
				      "c", "102",
				      "services: [icmpv6/128], source: 10.0.0.0/8, destination: any")),
		"a.yaml:7:52: no packet can match: the source has IPv4 addresses only, the destination IPv6 addresses only; expected one family on both sides\n"
		"       protocol: tcp, source: 10.0.0.1, destination: v6}\n"
		"                                                     ^~\n"
		"a.yaml:9:16: no packet can match: the protocol is icmp, which is IPv4's, and the addresses are IPv6; expected icmpv6\n"
		"       protocol: icmp, source: v6, destination: any}\n"
		"                 ^~~~\n"
		"a.yaml:11:17: no packet can match: the protocol is icmpv6, which is IPv6's, and the addresses are IPv4; expected icmp\n"
		"       services: [icmpv6/128], source: 10.0.0.0/8, destination: any}\n"
		"                  ^~~~~~~~~~\n");
}

Test(resolve_refusals, a_rule_over_a_tag_without_addresses_is_refused)
{
	refused("bulkhead: 1\nvirtual_network: [\"0.0.0.0/0\", \"::/0\"]\n",
		TEXTS(RULES RULE("a", "100", "protocol: tcp, source: any, destination: Internet")),
		"a.yaml:5:47: no packet can match: the destination has no address; expected at least one\n"
		"       protocol: tcp, source: any, destination: Internet}\n"
		"                                                ^~~~~~~~\n");
}

Test(resolve_refusals, a_rule_may_not_take_the_name_of_a_default_rule_of_its_group)
{
	refused(NULL,
		TEXTS(RULES RULE("denyallinbound", "100",
				 "protocol: tcp, source: any, destination: any")
			      RULE("AllowVnetInBound", "101",
				   "protocol: tcp, source: any, destination: any")),
		"a.yaml:4:12: rule 'denyallinbound' has the name of a default rule of this group; expected another\n"
		"    - {name: denyallinbound, priority: 100, direction: inbound, access: allow,\n"
		"             ^~~~~~~~~~~~~~\n");
}

Test(resolve_refusals, source_ports_go_with_services_that_have_ports)
{
	refused(NULL,
		TEXTS(WEB "services:\n  ping: [icmp/8]\nrules:\n" RULE(
			"a", "100",
			"services: [ping, gre, tcp/80], source_ports: 53,\n      source: any, destination: any")),
		"a.yaml:7:17: 'icmp' has no ports; expected no 'source_ports' beside it\n"
		"       services: [ping, gre, tcp/80], source_ports: 53,\n"
		"                  ^~~~\n"
		"a.yaml:7:23: 'gre' has no ports; expected no 'source_ports' beside it\n"
		"       services: [ping, gre, tcp/80], source_ports: 53,\n"
		"                        ^~~\n");
}

Test(resolve_refusals, a_disabled_rule_is_checked_like_any_other)
{
	refused(NULL,
		TEXTS(RULES RULE("a", "100",
				 "protocol: tcp, enabled: false, source: corp, destination: any")),
		"a.yaml:5:45: no set or tag 'corp'; expected a set of this group or of all files, Internet, VirtualNetwork or AzureLoadBalancer\n"
		"       protocol: tcp, enabled: false, source: corp, destination: any}\n"
		"                                              ^~~~\n");
}
