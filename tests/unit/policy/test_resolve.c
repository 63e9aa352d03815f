// SPDX-License-Identifier: GPL-2.0-only
/* What resolve makes: order, groups, sets, clauses, default rules, flags, limits. */
#include <criterion/criterion.h>
#include <errno.h>

#include "policy/resolve.h"
#include "tests/lib/policy_text.h"
#include "tests/lib/random_policy.h"

#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define ANY	   "protocol: any, source: any, destination: any"

static void good(struct loaded *loaded, const char *host, const char *const *texts)
{
	load_texts(loaded, host, texts);
	cr_assert_eq(loaded->err, 0, "%s", loaded->messages);
}

/* "group/name ..." of all rules, in order. */
static void rules_are(struct loaded *loaded, const char *expected)
{
	const char *text = "";

	for (uint32_t i = 0; i < loaded->policy.rules.len; i++) {
		cr_assert_eq(loaded->policy.rules.at[i].id, i);
		text = arena_printf(loaded->arena, "%s%s\n", text,
				    policy_rule_path(loaded->arena, &loaded->policy, i));
	}
	cr_assert_str_eq(text, expected);
}

static const char *set_text(struct loaded *loaded, uint32_t id)
{
	const struct policy_set *set = &loaded->policy.sets.at[id];
	const char *text = set->any ? "any" : set->self ? "self" : "";
	char range[ADDR_RANGE_TEXT_SIZE];

	for (size_t i = 0; i < set->ranges.len; i++)
		text = arena_printf(loaded->arena, "%s%s%s", text, *text ? " " : "",
				    addr_range_print(&set->ranges.at[i], range));
	return text;
}

static const char *ports_text(struct arena *arena, const char *key, const port_ranges *ports)
{
	const char *text = ports->len ? key : "";

	for (size_t i = 0; i < ports->len; i++)
		text = arena_printf(arena, "%s%s%u-%u", text, i ? "," : "", ports->at[i].first,
				    ports->at[i].last);
	return text;
}

static void clauses_are(struct loaded *loaded, const char *path, const char *expected)
{
	const struct policy_rule *rule = &loaded->policy.rules.at[find_rule(loaded, path)];
	const char *text = "";

	for (size_t i = 0; i < rule->clauses.len; i++) {
		const struct policy_clause *clause = &rule->clauses.at[i];

		text = arena_printf(loaded->arena, "%s%s%d", text, i ? "; " : "", clause->protocol);
		text = arena_printf(loaded->arena, "%s%s%s", text,
				    ports_text(loaded->arena, " from ", &clause->source_ports),
				    ports_text(loaded->arena, " to ", &clause->destination_ports));
		if (clause->icmp_type >= 0)
			text = arena_printf(loaded->arena, "%s type %d code %d", text,
					    clause->icmp_type, clause->icmp_code);
	}
	cr_assert_str_eq(text, expected, "%s has %s", path, text);
}

Test(resolve, rules_stand_in_order_of_evaluation)
{
	static const char *const nic =
		"bulkhead: 1\ngroup: nic\nrules:\n"
		"  - {name: z, priority: 300, direction: inbound, access: deny, " ANY "}\n"
		"  - {name: out, priority: 100, direction: outbound, access: deny, " ANY "}\n"
		"  - {name: a, priority: 4096, direction: inbound, access: deny, " ANY "}\n"
		"  - {name: m, priority: 100, direction: inbound, access: deny, " ANY "}\n";
	static const char *const subnet = "bulkhead: 1\ngroup: subnet\ntier: subnet\n";
	static const char *const late =
		"bulkhead: 1\ngroup: a-late\ntier: admin\norder: 10\nrules:\n"
		"  - {name: x, priority: 1, direction: inbound, access: deny, " ANY "}\n";
	static const char *const early =
		"bulkhead: 1\ngroup: z-early\ntier: admin\norder: 9\nrules:\n"
		"  - {name: x, priority: 4096, direction: inbound, access: deny, " ANY "}\n"
		"  - {name: w, priority: 1, direction: outbound, access: deny, " ANY "}\n";
	struct loaded loaded;
	const struct policy *policy = &loaded.policy;

	good(&loaded, NULL, TEXTS(nic, subnet, late, early));
	rules_are(&loaded, "z-early/x\na-late/x\nsubnet/DenyAllInBound\nnic/m\nnic/z\nnic/a\n"
			   "nic/DenyAllInBound\nz-early/w\nsubnet/DenyAllOutBound\nnic/out\n"
			   "nic/DenyAllOutBound\n");
	cr_assert_eq(policy->first[DIRECTION_IN][TIER_ADMIN], 0);
	cr_assert_eq(policy->n[DIRECTION_IN][TIER_ADMIN], 2);
	cr_assert_eq(policy->first[DIRECTION_IN][TIER_NIC], 3);
	cr_assert_eq(policy->n[DIRECTION_IN][TIER_NIC], 4);
	cr_assert_eq(policy->first[DIRECTION_OUT][TIER_SUBNET], 8);
	cr_assert_eq(policy->n[DIRECTION_OUT][TIER_SUBNET], 1);
	cr_assert(policy->has_group[TIER_ADMIN] && policy->has_group[TIER_SUBNET] &&
		  policy->has_group[TIER_NIC]);
	cr_assert_eq(policy->groups.len, 4);
	cr_assert(str_eq(policy->groups.at[0].name, STR("z-early")));
	unload(&loaded);
}

Test(resolve, the_default_rules_are_two_or_azures_six_and_none_in_admin)
{
	static const char *const host = "bulkhead: 1\nvirtual_network: [10.0.0.0/16]\n"
					"platform: azure\n";
	struct loaded loaded;
	const struct policy_rule *rule;

	good(&loaded, host,
	     TEXTS("bulkhead: 1\ngroup: nic\ndefaults: azure\n",
		   "bulkhead: 1\ngroup: guard\ntier: admin\n",
		   "bulkhead: 1\ngroup: site\ntier: subnet\n"));
	rules_are(&loaded, "site/DenyAllInBound\nnic/AllowVnetInBound\n"
			   "nic/AllowAzureLoadBalancerInBound\nnic/DenyAllInBound\n"
			   "site/DenyAllOutBound\nnic/AllowVnetOutBound\n"
			   "nic/AllowInternetOutBound\nnic/DenyAllOutBound\n");
	rule = &loaded.policy.rules.at[find_rule(&loaded, "nic/AllowVnetInBound")];
	cr_assert_eq(rule->priority, 65000);
	cr_assert(rule->is_default);
	cr_assert_str_eq(set_text(&loaded, rule->source), "10.0.0.0/16 168.63.129.16");
	cr_assert_eq(rule->source, rule->destination);
	cr_assert_str_eq(rule->mark.source->path, "a.yaml");
	cr_assert_eq(rule->mark.line, 2);
	rule = &loaded.policy.rules.at[find_rule(&loaded, "nic/AllowAzureLoadBalancerInBound")];
	cr_assert_eq(rule->priority, 65001);
	cr_assert_str_eq(set_text(&loaded, rule->source), "168.63.129.16");
	cr_assert_str_eq(set_text(&loaded, rule->destination), "any");
	rule = &loaded.policy.rules.at[find_rule(&loaded, "nic/DenyAllOutBound")];
	cr_assert_eq(rule->priority, 65500);
	cr_assert_eq(rule->access, ACCESS_DENY);
	unload(&loaded);
}

Test(resolve, self_is_a_source_of_what_goes_out_alone)
{
	static const char *const text =
		"bulkhead: 1\ngroup: web\n"
		"rules:\n"
		"  - {name: a, priority: 100, direction: inbound, access: allow, protocol: tcp,\n"
		"     source: [self, 10.0.0.0/8], destination: self}\n"
		"  - {name: b, priority: 101, direction: inbound, access: deny, protocol: tcp,\n"
		"     source: [10.0.0.0/8, self], destination: any}\n"
		"  - {name: c, priority: 100, direction: outbound, access: allow, protocol: tcp,\n"
		"     source: [self, 10.0.0.0/8], destination: self}\n";
	struct loaded loaded;
	const struct policy_rule *in, *also, *out;

	good(&loaded, NULL, TEXTS(text));
	in = &loaded.policy.rules.at[find_rule(&loaded, "web/a")];
	also = &loaded.policy.rules.at[find_rule(&loaded, "web/b")];
	out = &loaded.policy.rules.at[find_rule(&loaded, "web/c")];
	cr_assert(!loaded.policy.sets.at[in->source].self);
	cr_assert_eq(loaded.policy.sets.at[in->source].ranges.len, 1);
	cr_assert_eq(also->source, in->source);
	cr_assert(loaded.policy.sets.at[in->destination].self);
	cr_assert(loaded.policy.sets.at[out->source].self);
	cr_assert(loaded.policy.sets.at[out->destination].self);
	unload(&loaded);
}

Test(resolve, equal_sets_are_one_and_unused_ones_are_dropped)
{
	static const char *const text =
		"bulkhead: 1\ngroup: web\n"
		"sets:\n  unused: [192.0.2.0/24]\n  pair: [10.0.0.0/25, 10.0.0.128/25]\n"
		"  again: [pair]\n"
		"rules:\n"
		"  - {name: a, priority: 100, direction: inbound, access: allow, protocol: tcp,\n"
		"     source: pair, destination: self}\n"
		"  - {name: b, priority: 101, direction: inbound, access: allow, protocol: tcp,\n"
		"     source: 10.0.0.0/24, destination: [self]}\n"
		"  - {name: c, priority: 102, direction: inbound, access: allow, protocol: tcp,\n"
		"     source: [again, 10.0.0.7, 10.0.0.1-10.0.0.9], destination: [any, self]}\n"
		"  - {name: d, priority: 103, direction: inbound, access: allow, protocol: tcp,\n"
		"     source: [\"2001:db8::/32\", 10.0.0.7], destination: [self, 10.0.0.7]}\n";
	struct loaded loaded;
	const struct policy_rule *rules;

	good(&loaded, NULL, TEXTS(text));
	rules = loaded.policy.rules.at;
	cr_assert_eq(rules[0].source, 0);
	cr_assert_eq(rules[0].destination, 1);
	cr_assert_eq(rules[1].source, 0);
	cr_assert_eq(rules[1].destination, 1);
	cr_assert_eq(rules[2].source, 0);
	cr_assert_str_eq(set_text(&loaded, 0), "10.0.0.0/24");
	cr_assert_str_eq(set_text(&loaded, rules[2].destination), "any");
	cr_assert_str_eq(set_text(&loaded, rules[3].source), "10.0.0.7 2001:db8::/32");
	cr_assert_str_eq(set_text(&loaded, rules[3].destination), "self 10.0.0.7");
	cr_assert_eq(loaded.policy.sets.len, 5);
	unload(&loaded);
}

/* Many items, so that sets are joined by sorting, too; the result must be the same. */
Test(resolve, a_list_of_many_sets_is_their_union)
{
	const char *text = "bulkhead: 1\ngroup: web\nsets:\n", *list = "", *range;
	scoped(arena_free) struct arena *arena = arena_new();
	struct loaded loaded;

	for (int i = 0; i < 20; i++) {
		text = arena_printf(arena, "%s  s%d: [10.0.%d.0/25, 10.0.%d.64-10.0.%d.255]\n",
				    text, i, 40 - 2 * i, 40 - 2 * i, 40 - 2 * i);
		list = arena_printf(arena, "%s%ss%d", list, i ? ", " : "", i);
	}
	text = arena_printf(
		arena,
		"%srules:\n"
		"  - {name: few, priority: 100, direction: inbound, access: allow,\n"
		"     protocol: tcp, source: [s2, s1, 10.0.37.0/24], destination: any}\n"
		"  - {name: many, priority: 101, direction: inbound, access: allow,\n"
		"     protocol: tcp, source: [%s], destination: any}\n",
		text, list);
	good(&loaded, NULL, TEXTS(text));
	cr_assert_str_eq(set_text(&loaded, loaded.policy.rules.at[0].source),
			 "10.0.36.0-10.0.38.255");
	range = set_text(&loaded, loaded.policy.rules.at[1].source);
	cr_assert_eq(loaded.policy.sets.at[loaded.policy.rules.at[1].source].ranges.len, 20);
	cr_assert_eq(strncmp(range, "10.0.2.0/24 10.0.4.0/24 10.0.6.0/24", 35), 0, "%s", range);
	unload(&loaded);
}

Test(resolve, protocols_ports_and_services_become_clauses)
{
	static const char *const text =
		"bulkhead: 1\ngroup: web\n"
		"services:\n  web: [tcp/443, tcp/80-90, udp/443, tcp/91, icmp/8, icmp/8]\n"
		"rules:\n"
		"  - {name: svc, priority: 100, direction: inbound, access: allow,\n"
		"     services: [web, tcp/85, gre], source: any, destination: any}\n"
		"  - {name: any-port, priority: 101, direction: inbound, access: allow,\n"
		"     protocol: any, destination_ports: 53, source: any, destination: any}\n"
		"  - {name: any, priority: 102, direction: inbound, access: allow,\n"
		"     protocol: any, destination_ports: [1-9, any], source: any, destination: any}\n"
		"  - {name: list, priority: 103, direction: inbound, access: allow,\n"
		"     protocol: [tcp, udp, 6], source_ports: [1024-2000, 2001-65535, 7],\n"
		"     destination_ports: [0-100, 50-200], source: any, destination: any}\n"
		"  - {name: all-tcp, priority: 104, direction: inbound, access: allow,\n"
		"     services: [tcp/80, tcp, tcp/443], source: any, destination: any}\n"
		"  - {name: two-halves, priority: 105, direction: inbound, access: allow,\n"
		"     services: [udp/0-32767, udp/32768-65535], source: any, destination: any}\n"
		"  - {name: icmp, priority: 106, direction: inbound, access: allow,\n"
		"     protocol: icmp, icmp_type: 3, icmp_code: 0, source: any, destination: any}\n"
		"  - {name: svc-from, priority: 107, direction: inbound, access: allow,\n"
		"     services: [udp/123], source_ports: 123, source: any, destination: any}\n";
	struct loaded loaded;

	good(&loaded, NULL, TEXTS(text));
	clauses_are(&loaded, "web/svc", "6 to 80-91,443-443; 17 to 443-443; 1 type 8 code -1; 47");
	clauses_are(&loaded, "web/any-port", "6 to 53-53; 17 to 53-53; 132 to 53-53");
	clauses_are(&loaded, "web/any", "-1");
	clauses_are(&loaded, "web/list",
		    "6 from 7-7,1024-65535 to 0-200; 17 from 7-7,1024-65535 to 0-200");
	clauses_are(&loaded, "web/all-tcp", "6");
	clauses_are(&loaded, "web/two-halves", "17");
	clauses_are(&loaded, "web/icmp", "1 type 3 code 0");
	clauses_are(&loaded, "web/svc-from", "17 from 123-123 to 123-123");
	unload(&loaded);
}

Test(resolve, audit_and_keep_come_from_rule_group_and_host)
{
	static const char *const rules =
		"rules:\n"
		"  - {name: deny, priority: 100, direction: inbound, access: deny, " ANY "}\n"
		"  - {name: trial, priority: 101, direction: inbound, access: deny, mode: audit, " ANY
		"}\n"
		"  - {name: allow, priority: 102, direction: inbound, access: allow, log: true, " ANY
		"}\n";
	scoped(arena_free) struct arena *arena = arena_new();
	const char *enforce = arena_printf(arena, "bulkhead: 1\ngroup: web\n%s", rules);
	const char *audit = arena_printf(
		arena, "bulkhead: 1\ngroup: web\nmode: audit\nexisting_flows: keep\n%s", rules);
	struct loaded loaded;

	good(&loaded, NULL, TEXTS(enforce));
	cr_assert_not(loaded.policy.rules.at[0].audit);
	cr_assert(loaded.policy.rules.at[1].audit);
	cr_assert_not(loaded.policy.rules.at[2].audit);
	cr_assert(loaded.policy.rules.at[2].log);
	cr_assert_not(loaded.policy.rules.at[3].audit);
	cr_assert_not(loaded.policy.groups.at[0].keep);
	unload(&loaded);
	good(&loaded, NULL, TEXTS(audit));
	cr_assert(loaded.policy.rules.at[0].audit);
	cr_assert_not(loaded.policy.rules.at[2].audit);
	cr_assert(loaded.policy.rules.at[3].audit);
	cr_assert(loaded.policy.groups.at[0].audit && loaded.policy.groups.at[0].keep);
	unload(&loaded);
	good(&loaded, "bulkhead: 1\nmode: audit\nexisting_flows: keep\n", TEXTS(enforce));
	cr_assert(loaded.policy.rules.at[0].audit);
	cr_assert(loaded.policy.rules.at[3].audit);
	cr_assert(loaded.policy.groups.at[0].keep);
	unload(&loaded);
}

Test(resolve, a_part_may_leave_unsaid_what_another_says)
{
	struct loaded loaded;

	good(&loaded, NULL,
	     TEXTS("bulkhead: 1\ngroup: web\n", "bulkhead: 1\ngroup: web\ntier: subnet\n"
						"existing_flows: keep\nmode: audit\n"));
	cr_assert_eq(loaded.policy.groups.len, 1);
	cr_assert_eq(loaded.policy.groups.at[0].tier, TIER_SUBNET);
	cr_assert(loaded.policy.groups.at[0].keep && loaded.policy.groups.at[0].audit);
	cr_assert_str_eq(loaded.policy.groups.at[0].mark.source->path, "a.yaml");
	unload(&loaded);
}

Test(resolve, disabled_rules_are_listed_and_are_no_rules)
{
	struct loaded loaded;

	good(&loaded, NULL,
	     TEXTS("bulkhead: 1\ngroup: web\nrules:\n"
		   "  - {name: b, priority: 200, direction: inbound, access: deny,\n"
		   "     enabled: false, " ANY "}\n"
		   "  - {name: a, priority: 100, direction: inbound, access: deny,\n"
		   "     enabled: false, " ANY "}\n"));
	rules_are(&loaded, "web/DenyAllInBound\nweb/DenyAllOutBound\n");
	cr_assert_eq(loaded.policy.disabled.len, 2);
	cr_assert(str_eq(loaded.policy.disabled.at[0].name, STR("a")));
	cr_assert_eq(loaded.policy.disabled.at[0].priority, 100);
	cr_assert_eq(loaded.policy.disabled.at[1].mark.line, 4);
	unload(&loaded);
}

Test(resolve, files_without_a_group_and_no_files_are_an_empty_policy)
{
	struct loaded loaded;

	good(&loaded, NULL, TEXTS("bulkhead: 1\nsets:\n  a: [10.0.0.1]\n"));
	cr_assert_eq(loaded.policy.rules.len, 0);
	cr_assert_eq(loaded.policy.groups.len, 0);
	cr_assert_eq(loaded.policy.sets.len, 0);
	unload(&loaded);
	good(&loaded, NULL, ((const char *const[]){NULL}));
	cr_assert_eq(loaded.policy.groups.len, 0);
	unload(&loaded);
}

/* s0 names s1, s1 names s2 and so on; in the other order of names the answer is the same. */
static int depth_of(int n, bool turned)
{
	scoped(arena_free) struct arena *arena = arena_new();
	const char *text = "bulkhead: 1\nsets:\n";
	struct loaded loaded;
	int err;

	for (int i = 0; i < n; i++) {
		int name = turned ? 1999 - i : 1000 + i;

		if (i == n - 1)
			text = arena_printf(arena, "%s  s%d: [10.0.0.1]\n", text, name);
		else
			text = arena_printf(arena, "%s  s%d: [s%d]\n", text, name,
					    turned ? name - 1 : name + 1);
	}
	load_texts(&loaded, NULL, TEXTS(text));
	err = loaded.err;
	if (err)
		cr_assert_not_null(
			strstr(loaded.messages,
			       "sets in sets go deeper here; expected at most 64 levels"),
			"%s", loaded.messages);
	unload(&loaded);
	return err;
}

Test(resolve, sets_in_sets_have_a_depth_that_does_not_depend_on_names)
{
	cr_assert_eq(depth_of(64, false), 0);
	cr_assert_eq(depth_of(64, true), 0);
	cr_assert_eq(depth_of(65, false), -EBADMSG);
	cr_assert_eq(depth_of(65, true), -EBADMSG);
	cr_assert_eq(depth_of(500, false), -EBADMSG);
	cr_assert_eq(depth_of(500, true), -EBADMSG);
}

/* n_groups admin groups of the same 4,000 rules each. */
static int many_rules(struct loaded *loaded, int n_groups)
{
	struct random_policy made;
	ARRAY(struct ast_file *) files = {};

	*loaded = (struct loaded){.arena = arena_new(), .diag = diag_new()};
	random_nsg_policy(loaded->arena, 1, 3900, 100, RANDOM_V4, &made);
	for (int i = 0; i < n_groups; i++) {
		struct ast_file *file = arena_alloc(loaded->arena, sizeof(*file));

		*file = *made.files.at[0];
		file->group.text = str_of(arena_printf(loaded->arena, "g%d", i));
		file->tier.value = AST_TIER_ADMIN;
		file->order = (struct ast_number){file->group.mark, (uint64_t)i};
		array_push(loaded->arena, &files, file);
	}
	return resolve(loaded->arena, files.at, files.len, &made.host, loaded->diag,
		       &loaded->policy);
}

Test(resolve, too_many_rules_are_refused_with_the_arithmetic)
{
	struct loaded loaded;
	size_t n = 0;

	cr_assert_eq(many_rules(&loaded, 16), 0);
	cr_assert_eq(loaded.policy.rules.len, 62400);
	unload(&loaded);
	cr_assert_eq(many_rules(&loaded, 17), -E2BIG);
	cr_assert_eq(loaded.policy.rules.len, 0);
	cr_assert_str_eq(diag_messages(loaded.diag, &n)[0].text,
			 "66300 rules, default rules included; at most 65534 fit (the largest "
			 "group, 'g0', has 3900)");
	cr_assert_eq(n, 1);
	unload(&loaded);
}

/* A set of 20,000 ranges, and n rules that each take it with one more address. */
static const char *many_ranges(struct arena *arena, int n)
{
	char *text = NULL;
	const char *copy;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	fprintf(out, "bulkhead: 1\ngroup: web\nsets:\n  big: [10.0.0.1");
	for (int i = 1; i < 20000; i++)
		fprintf(out, ", 10.%d.%d.%d", i >> 14, i >> 6 & 255, (i & 63) * 4);
	fprintf(out, "]\nrules:\n");
	for (int i = 0; i < n; i++)
		fprintf(out,
			"  - {name: r%d, priority: %d, direction: inbound, access: allow,\n"
			"     protocol: tcp, source: [big, 192.0.2.%d], destination: any}\n",
			i, 100 + i, i);
	fclose(out);
	copy = arena_copy(arena, text, size);
	free(text);
	return copy;
}

Test(resolve, too_many_ranges_are_refused_with_the_arithmetic)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct loaded loaded;

	load_texts(&loaded, NULL, TEXTS(many_ranges(arena, 98)));
	cr_assert_eq(loaded.err, 0, "%s", loaded.messages);
	unload(&loaded);
	load_texts(&loaded, NULL, TEXTS(many_ranges(arena, 99)));
	cr_assert_eq(loaded.err, -E2BIG);
	cr_assert_str_eq(loaded.messages,
			 "the different address sets of the policy add up to 2000099 ranges or "
			 "more; at most 2000000 fit (the largest, at a.yaml:7, has 20001)\n");
	unload(&loaded);
}
