// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rows of pairs, which begin with the rules that match every class of one side: policies in which
 * such rules stand before and behind others and behind one for every protocol and port, against the
 * plain loop.
 */
#include <criterion/criterion.h>

#include <string.h>

#include "classify/bits.h"
#include "classify/build.h"
#include "classify/lookup.h"
#include "policy/eval.h"
#include "tests/lib/policy_text.h"

enum { N = 70, N_PORTS = 5, PROTO_TCP = 6 };

static const uint16_t ports[N_PORTS] = {1, 35, N, N + 1, 443};

/* What ends in a dot is a network for each number. */
static const char *network(struct arena *arena, const char *words, uint32_t number)
{
	if (words[strlen(words) - 1] != '.')
		return words;
	return arena_printf(arena, "%s%u.0/24", words, number);
}

struct many {
	const char *name;
	uint32_t priority; /* of the first */
	uint32_t n;
	const char *source;
	const char *destination;
	bool port; /* each has one of its own; else all protocols and ports */
};

/* Appends so many rules, which deny and allow in turn. */
static const char *add_rules(struct arena *arena, const char *text, struct many many)
{
	for (uint32_t i = 0; i < many.n; i++)
		text = arena_printf(
			arena,
			"%s  - {name: %s%u, priority: %u, direction: inbound, access: %s, "
			"source: %s, destination: %s, protocol: %s}\n",
			text, many.name, i, many.priority + i, i & 1 ? "allow" : "deny",
			network(arena, many.source, i), network(arena, many.destination, i),
			many.port ? arena_printf(arena, "tcp, destination_ports: %u", i + 1)
				  : "any");
	return text;
}

static uint16_t expected_rule(const struct policy *policy, const struct tuple *tuple)
{
	const addr_list nobody = {};
	struct verdict verdict = eval(policy, tuple, &nobody);

	return verdict.outcome.rule == POLICY_NO_RULE ? BH_NO_RULE : (uint16_t)verdict.outcome.rule;
}

static void check_all(const struct loaded *loaded, const struct image *image)
{
	const addr_list nobody = {};

	for (uint32_t i = 0; i < (N + 2) * (N + 2) * N_PORTS; i++) {
		const struct tuple tuple = {
			.direction = DIRECTION_IN,
			.protocol = PROTO_TCP,
			.source = addr_v4(0x0a010001 | i / N_PORTS / (N + 2) << 8),
			.destination = addr_v4(0x0a020001 | i / N_PORTS % (N + 2) << 8),
			.source_port = 40000,
			.destination_port = ports[i % N_PORTS],
		};

		cr_assert_eq(lookup(image, &tuple, &nobody)->rule,
			     expected_rule(&loaded->policy, &tuple), "packet %u", i);
	}
}

/* Whether the smaller side has more classes than are begun apart. */
static void check_policy(struct arena *arena, const char *text, bool many)
{
	struct build_limits limits = build_limits_default();
	const struct bh_direction_head *head;
	struct loaded loaded;
	struct image image;

	load_texts(
		&loaded, NULL,
		(const char *const[]){
			arena_printf(arena, "bulkhead: 1\ngroup: pairs\nrules:\n%s", text), NULL});
	cr_assert_eq(loaded.err, 0, "%s", loaded.messages);
	limits.force_product = BH_PRODUCT_PAIRS;
	cr_assert_eq(build(loaded.arena, &loaded.policy, NULL, 0, &limits, loaded.diag, &image), 0);
	head = &image_head(&image)->direction[BH_IN];
	cr_assert_gt(head->n_source, 64);
	cr_assert_eq(head->n_destination > 64, many, "%u", head->n_destination);
	check_all(&loaded, &image);
	unload(&loaded);
}

Test(pairs, rules_for_every_source_stand_before_and_behind_others)
{
	scoped(arena_free) struct arena *arena = arena_new();
	const char *text = "";

	text = add_rules(arena, text, (struct many){"early", 100, N, "any", "any", true});
	text = add_rules(arena, text, (struct many){"one", 200, N, "10.1.", "10.2.0.0/17", true});
	text = add_rules(arena, text, (struct many){"late", 300, N, "any", "10.2.8.0/24", true});
	check_policy(arena, text, false);
}

Test(pairs, what_stands_behind_a_rule_for_everything_does_not_come_to_the_fore)
{
	scoped(arena_free) struct arena *arena = arena_new();
	const char *text = "";

	text = add_rules(arena, text, (struct many){"one", 100, N, "10.1.", "any", true});
	text = add_rules(arena, text, (struct many){"all", 200, 1, "any", "10.2.8.0/24", false});
	text = add_rules(arena, text, (struct many){"wide", 210, 1, "10.1.64.0/18", "any", false});
	text = add_rules(arena, text, (struct many){"late", 300, N, "any", "any", true});
	check_policy(arena, text, false);
}

Test(pairs, both_sides_have_many_classes)
{
	scoped(arena_free) struct arena *arena = arena_new();
	const char *text = "";

	text = add_rules(arena, text, (struct many){"pair", 100, N, "10.1.", "10.2.", true});
	text = add_rules(arena, text, (struct many){"some", 200, N, "any", "10.2.", true});
	text = add_rules(arena, text, (struct many){"wide", 300, 1, "10.1.32.0/19", "any", false});
	text = add_rules(arena, text, (struct many){"late", 310, N, "any", "any", true});
	check_policy(arena, text, true);
}

Test(bits, the_largest_below_is_found_at_every_edge)
{
	static const uint32_t edges[] = {0, 1, 62, 63, 64, 65, 127, 128, 190, 191};
	const uint64_t none[3] = {};

	cr_expect_eq(bits_below(none, 0, 0), BITS_NONE);
	cr_expect_eq(bits_below(none, 0, 192), BITS_NONE);
	cr_expect_eq(bits_below(none, UINT32_MAX - 7, UINT32_MAX - 7), BITS_NONE);
	for (size_t at = 0; at < ARRAY_LEN(edges); at++) {
		uint64_t set[3] = {};

		bits_add(set, edges[at]);
		for (uint32_t first = 0; first <= 192; first++)
			for (uint32_t end = 0; end <= 192; end++) {
				bool in = first <= edges[at] && edges[at] < end;

				cr_assert_eq(bits_below(set, first, end),
					     in ? edges[at] : BITS_NONE, "%u in %u to %u",
					     edges[at], first, end);
			}
	}
}
