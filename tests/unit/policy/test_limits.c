// SPDX-License-Identifier: GPL-2.0-only
/* How much of a file, or of what it becomes, is too much: each limit from both sides. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "tests/lib/policy_text.h"

/* A text that is written piece by piece. */
struct writing {
	FILE *out;
	char *text;
	size_t size;
};

static void writing_start(struct writing *writing, const char *head)
{
	*writing = (struct writing){};
	writing->out = open_memstream(&writing->text, &writing->size);
	fputs(head, writing->out);
}

/* Reads what was written as a policy. */
static void writing_load(struct writing *writing, struct loaded *loaded)
{
	fclose(writing->out);
	load_texts(loaded, NULL, (const char *const[]){writing->text, NULL});
	free(writing->text);
}

static const char set_head[] = "bulkhead: 1\nsets:\n  s: [10.0.0.1";

/* The file, its two keys and values, the name and the list: 7 nodes besides the items. */
static void many_items(struct loaded *loaded, int n)
{
	struct writing writing;

	writing_start(&writing, set_head);
	for (int i = 1; i < n - 7; i++)
		fputs(",10.0.0.1", writing.out);
	fputs("]\n", writing.out);
	writing_load(&writing, loaded);
}

Test(limits, items_of_a_file)
{
	struct loaded loaded;

	many_items(&loaded, 240000);
	cr_assert_eq(loaded.err, 0, "%s", loaded.messages);
	unload(&loaded);
	many_items(&loaded, 240001);
	cr_assert_eq(loaded.err, -EBADMSG);
	cr_assert(strstr(loaded.messages, "too many items; at most 240000 in a file\n"), "%s",
		  loaded.messages);
	unload(&loaded);
}

Test(limits, a_byte_order_mark_is_refused_for_itself_whatever_is_behind_it)
{
	static const char *const behind[] = {"", "%YAML 1.1\n---\n", "{}\n"};
	struct loaded loaded;
	char text[64];

	for (size_t i = 0; i < ARRAY_LEN(behind); i++) {
		(void)snprintf(text, sizeof(text), "\xef\xbb\xbf%sbulkhead: 1\n", behind[i]);
		load_texts(&loaded, NULL, (const char *const[]){text, NULL});
		cr_assert_eq(loaded.err, -EBADMSG, "%zu", i);
		cr_assert(strstr(loaded.messages,
				 "a.yaml:1:1: the file begins with a byte order mark"),
			  "%zu: %s", i, loaded.messages);
		unload(&loaded);
	}
}

Test(limits, a_directive_is_refused_behind_whatever_ends_a_line)
{
	static const char *const before[] = {"", "\n", "\r\n", "# a\n", "bulkhead: 1\n...\n"};
	struct loaded loaded;
	char text[64];

	for (size_t i = 0; i < ARRAY_LEN(before); i++) {
		(void)snprintf(text, sizeof(text), "%s%%YAML 1.1\n---\nbulkhead: 1\n", before[i]);
		load_texts(&loaded, NULL, (const char *const[]){text, NULL});
		cr_assert_eq(loaded.err, -EBADMSG, "%zu", i);
		cr_assert(strstr(loaded.messages, "'%' at the start of a line is a YAML directive"),
			  "%zu: %s", i, loaded.messages);
		unload(&loaded);
	}
}

Test(limits, what_changes_a_line_unseen_is_refused)
{
	static const struct {
		const char *text;
		const char *words;
	} unseen[] = {
		{"\r", "which ends a line in YAML"},
		{"\xc2\x85", "U+0085, which ends a line in YAML"},
		{"\xe2\x80\xa8", "U+2028, which ends a line in YAML"},
		{"\xe2\x80\xa9", "U+2029, which ends a line in YAML"},
		{"\xe2\x80\xaa", "U+202A, which changes the order"},
		{"\xe2\x80\xae", "U+202E, which changes the order"},
		{"\xe2\x81\xa6", "U+2066, which changes the order"},
		{"\xe2\x81\xa9", "U+2069, which changes the order"},
	};
	struct loaded loaded;
	char text[64];

	for (size_t i = 0; i < ARRAY_LEN(unseen); i++) {
		(void)snprintf(text, sizeof(text), "bulkhead: 1\ngroup: g # one%smode: audit\n",
			       unseen[i].text);
		load_texts(&loaded, NULL, (const char *const[]){text, NULL});
		cr_assert_eq(loaded.err, -EBADMSG, "%zu", i);
		cr_assert(strstr(loaded.messages, "a.yaml:2:15: ") &&
				  strstr(loaded.messages, unseen[i].words),
			  "%zu: %s", i, loaded.messages);
		unload(&loaded);
	}
}

Test(limits, a_percent_sign_elsewhere_is_none)
{
	struct loaded loaded;

	load_texts(
		&loaded, NULL,
		(const char *const[]){"bulkhead: 1 # 100% \n"
				      "group: g\n"
				      "rules:\n"
				      "  - {name: a, priority: 100, direction: inbound,\n"
				      "     access: allow, protocol: tcp, source: any,\n"
				      "     destination: any, description: \"%TAG \xc2\xa5%\"}\n",
				      NULL});
	cr_assert_eq(loaded.err, 0, "%s", loaded.messages);
	unload(&loaded);
}

/* Rules that differ in priority and direction, as many as there are such, and more. */
static void many_rules(struct loaded *loaded, int n)
{
	struct writing writing;

	writing_start(&writing, "bulkhead: 1\ngroup: g\ntier: admin\nrules:\n");
	for (int i = 0; i < n; i++)
		fprintf(writing.out,
			"  - {name: r%d, priority: %d, direction: %s, access: deny, protocol: tcp,\n"
			"     source: any, destination: any}\n",
			i, i % 4096 + 1, i < 4096 ? "inbound" : "outbound");
	writing_load(&writing, loaded);
}

Test(limits, rules_of_a_file)
{
	struct loaded loaded;

	many_rules(&loaded, 8192);
	cr_assert_eq(loaded.err, 0, "%.500s", loaded.messages);
	cr_assert_eq(loaded.policy.rules.len, 8192);
	unload(&loaded);
	many_rules(&loaded, 8193);
	cr_assert_eq(loaded.err, -EBADMSG);
	cr_assert(strstr(loaded.messages,
			 "a.yaml:16389:5: 8193 rules in one file; expected at most 8192, since a "
			 "group has so many priorities\n"),
		  "%.500s", loaded.messages);
	unload(&loaded);
}

/* n rules that each take the services of what was written. */
static void write_rules(struct writing *writing, int n, const char *service, const char *more)
{
	fputs("rules:\n", writing->out);
	for (int i = 0; i < n; i++)
		fprintf(writing->out,
			"  - {name: r%d, priority: %d, direction: inbound, access: allow,\n"
			"     services: %s, source: any, destination: any%s}\n",
			i, 100 + i, service, more);
}

static void write_types(struct writing *writing, int n)
{
	fputs("services:\n  s: [", writing->out);
	for (int i = 0; i < n; i++)
		fprintf(writing->out, "%sicmp/%d/%d", i ? "," : "", i >> 8, i & 255);
	fputs("]\n", writing->out);
}

Test(limits, protocols_and_types_of_a_rule)
{
	struct loaded loaded;

	for (int n = 1024; n < 1027; n++) {
		struct writing writing;

		writing_start(&writing, "bulkhead: 1\ngroup: g\n");
		write_types(&writing, n);
		write_rules(&writing, 1, "s", "");
		writing_load(&writing, &loaded);
		cr_assert_eq(loaded.err, n == 1024 ? 0 : -EBADMSG, "%d: %s", n, loaded.messages);
		if (n > 1024)
			cr_assert_eq(strstr(loaded.messages,
					    "the rule has more than 1024 different "
					    "protocols and ICMP types"),
				     strstr(loaded.messages, "the rule"), "said more than once: %s",
				     loaded.messages);
		unload(&loaded);
	}
}

Test(limits, protocols_and_types_of_all_rules)
{
	struct loaded loaded;

	for (int n = 200; n < 202; n++) {
		struct writing writing;

		writing_start(&writing, "bulkhead: 1\ngroup: g\n");
		write_types(&writing, 1000);
		write_rules(&writing, n, "s", "");
		writing_load(&writing, &loaded);
		cr_assert_eq(loaded.err, n == 200 ? 0 : -E2BIG, "%d: %s", n, loaded.messages);
		unload(&loaded);
	}
}

/* What a rule has already takes time, too: each use counts. */
Test(limits, protocols_said_again)
{
	static const char *const items[] = {"gre", "tcp", "icmp/8"};
	struct loaded loaded;

	for (size_t item = 0; item < ARRAY_LEN(items); item++)
		for (int n = 200; n < 202; n++) {
			struct writing writing;

			writing_start(&writing, "bulkhead: 1\ngroup: g\nservices:\n  s: [");
			for (int i = 0; i < 1000; i++)
				fprintf(writing.out, "%s%s", i ? "," : "", items[item]);
			fputs("]\n", writing.out);
			write_rules(&writing, n, "s", "");
			writing_load(&writing, &loaded);
			cr_assert_eq(loaded.err, n == 200 ? 0 : -E2BIG, "%d of %s: %s", n,
				     items[item], loaded.messages);
			unload(&loaded);
		}
}

Test(limits, ranges_of_ports_of_all_rules)
{
	struct loaded loaded;

	for (int n = 99; n < 101; n++) {
		struct writing writing;

		writing_start(&writing, "bulkhead: 1\ngroup: g\nservices:\n  s: [tcp/1");
		for (int i = 1; i < 20001; i++)
			fprintf(writing.out, ",tcp/%d", 2 * i + 1);
		fputs("]\n", writing.out);
		write_rules(&writing, n, "s", "");
		writing_load(&writing, &loaded);
		cr_assert_eq(loaded.err, n == 99 ? 0 : -E2BIG, "%d: %s", n, loaded.messages);
		if (n > 99)
			cr_assert_str_eq(
				loaded.messages,
				"the ranges of ports of the rules add up to 2000001 or "
				"more, those of a service counted where it is used; at most "
				"2000000 fit (the last rule is at a.yaml:204)\n");
		unload(&loaded);
	}
}

/* All clauses of a rule have the same source ports, and hold them once. */
Test(limits, source_ports_beside_very_many_services)
{
	struct writing writing;
	struct loaded loaded;

	writing_start(&writing, "bulkhead: 1\ngroup: g\nservices:\n  s: [tcp/1");
	for (int i = 0; i < 60000; i++)
		fprintf(writing.out, ",tcp/%d", i);
	fputs("]\n", writing.out);
	write_rules(&writing, 1, "s", ", source_ports: [1-2, 4-5, 7-8]");
	writing_load(&writing, &loaded);
	cr_assert_eq(loaded.err, 0, "%s", loaded.messages);
	cr_assert_eq(loaded.policy.rules.at[0].clauses.len, 1);
	cr_assert_eq(loaded.policy.rules.at[0].clauses.at[0].source_ports.len, 3);
	cr_assert_eq(loaded.policy.rules.at[0].clauses.at[0].destination_ports.len, 1);
	unload(&loaded);
}

/* Two sets of 10,000 ranges, and n rules over both and perhaps one more address, in one of them. */
static void many_joins(struct loaded *loaded, int n, bool with_address)
{
	struct writing writing;

	writing_start(&writing, "bulkhead: 1\ngroup: g\nsets:\n");
	for (int s = 0; s < 2; s++) {
		fprintf(writing.out, "  s%d: [10.%d.0.0", s, s);
		for (int i = 1; i < 10000; i++)
			fprintf(writing.out, ",10.%d.%d.%d", s, i >> 7, (i & 127) * 2);
		fputs("]\n", writing.out);
	}
	fputs("rules:\n", writing.out);
	for (int i = 0; i < n; i++) {
		fprintf(writing.out,
			"  - {name: r%d, priority: %d, direction: inbound, access: allow,\n"
			"     protocol: tcp, destination: any, source: [%s",
			i, 100 + i, i & 1 ? "s1, s0" : "s0, s1, s0");
		if (with_address)
			fprintf(writing.out, ", 10.0.%d.0", i % 70);
		fputs("]}\n", writing.out);
	}
	writing_load(&writing, loaded);
}

Test(limits, a_list_of_names_is_joined_once)
{
	struct loaded loaded;

	many_joins(&loaded, 3900, false);
	cr_assert_eq(loaded.err, 0, "%s", loaded.messages);
	cr_assert_eq(loaded.policy.rules.at[0].source, loaded.policy.rules.at[3899].source);
	cr_assert_eq(loaded.policy.sets.at[loaded.policy.rules.at[0].source].ranges.len, 20000);
	unload(&loaded);
}

Test(limits, lists_that_join_sets_again_and_again)
{
	struct loaded loaded;

	/* 20,000 for the sets, then 20,001 each: 20,000,000 are passed by the 999th. */
	many_joins(&loaded, 998, true);
	cr_assert_eq(loaded.err, 0, "%s", loaded.messages);
	unload(&loaded);
	many_joins(&loaded, 999, true);
	cr_assert_eq(loaded.err, -E2BIG);
	cr_assert(strstr(loaded.messages, "have 20000999 ranges or more, each counted where it is "
					  "used; at most 20000000 fit (the last one is at a.yaml:"),
		  "%s", loaded.messages);
	unload(&loaded);
}

Test(limits, a_long_cycle_is_cut_in_its_middle)
{
	struct writing writing;
	struct loaded loaded;

	writing_start(&writing, "bulkhead: 1\nsets:\n");
	for (int i = 0; i < 40; i++)
		fprintf(writing.out, "  a%02d: a%02d\n", i, (i + 1) % 40);
	writing_load(&writing, &loaded);
	cr_assert_eq(loaded.err, -EBADMSG);
	cr_assert(strstr(loaded.messages,
			 "set 'a00' contains itself: a00 -> a01 -> a02 -> a03 -> a04 "
			 "-> a05 -> ... -> a38 -> a39 -> a00; expected no cycle"),
		  "%s", loaded.messages);
	unload(&loaded);
}
