// SPDX-License-Identifier: GPL-2.0-only
/* What check says of an image's structures: bytes that add up, and the reason that holds. */
#include <criterion/criterion.h>
#include <string.h>

#include "classify/build.h"
#include "classify/costs.h"
#include "tests/lib/policy_text.h"

#define RULE(name, priority, source, destination)                                         \
	"  - {name: " name ", priority: " priority ", direction: inbound, access: allow," \
	" protocol: tcp, destination_ports: [80, 443], source: " source                   \
	", destination: " destination "}\n"

static const char two_families[] =
	"bulkhead: 1\n"
	"group: g\n"
	"rules:\n" RULE("a", "100", "[10.0.0.1, \"2001:db8::1\"]", "self")
		RULE("b", "110", "10.1.0.0/16", "10.2.3.0/28");

static const char no_address[] = "bulkhead: 1\n"
				 "group: g\n"
				 "rules:\n" RULE("a", "100", "any", "any");

struct costed {
	struct loaded loaded;
	struct image image;
	struct costs costs;
};

static void cost_text(struct costed *costed, const char *text, const struct build_limits *limits)
{
	struct loaded *loaded = &costed->loaded;

	load_texts(loaded, NULL, (const char *const[]){text, NULL});
	cr_assert_eq(loaded->err, 0, "%s", loaded->messages);
	cr_assert_eq(build(loaded->arena, &loaded->policy, NULL, 0, limits, loaded->diag,
			   &costed->image),
		     0);
	costs_make(loaded->arena, &costed->image, &costed->costs);
}

static const struct cost *find(const struct costed *costed, const char *name)
{
	for (size_t i = 0; i < costed->costs.parts.len; i++)
		if (!strcmp(costed->costs.parts.at[i].name, name))
			return &costed->costs.parts.at[i];
	cr_assert_fail("no structure '%s'", name);
	return NULL;
}

static void says(const struct cost *cost, const char *words)
{
	for (size_t i = 0; i < cost->reasons.len; i++)
		if (strstr(cost->reasons.at[i], words))
			return;
	cr_assert_fail("%s does not say '%s'", cost->name, words);
}

static void adds_up(const char *text, const struct build_limits *limits)
{
	struct costed costed;
	uint64_t size = 0;

	cost_text(&costed, text, limits);
	for (size_t i = 0; i < costed.costs.parts.len; i++) {
		const struct cost *cost = &costed.costs.parts.at[i];

		size += cost->of_image ? cost->size : 0;
		cr_assert_gt(cost->size, 0, "%s", cost->name);
		cr_assert_gt(cost->reasons.len, 0, "%s", cost->name);
		cr_assert_eq(cost->ns.hot > 0, cost->used, "%s", cost->name);
		cr_assert_geq(cost->ns.cold, cost->ns.hot, "%s", cost->name);
	}
	cr_assert_eq(size, costed.image.tables_size);
	unload(&costed.loaded);
}

Test(costs, the_bytes_of_all_structures_are_those_of_the_tables)
{
	struct build_limits limits = build_limits_default();

	adds_up(two_families, &limits);
	adds_up(no_address, &limits);
	limits.force_product = BH_PRODUCT_BITS;
	limits.force_address4 = BH_ADDRESS4_RANGES;
	limits.few_address6 = 0;
	adds_up(two_families, &limits);
	limits.near_size = 4096;
	adds_up(two_families, &limits);
}

Test(costs, addresses_say_what_either_form_takes_and_what_may_be_taken)
{
	struct build_limits limits = build_limits_default();
	struct costed costed;

	cost_text(&costed, two_families, &limits);
	cr_assert_str_eq(find(&costed, "IPv4 addresses")->form, "blocks");
	says(find(&costed, "IPv4 addresses"), "as blocks these tables take 128 bytes, and up to "
					      "33554432");
	says(find(&costed, "IPv4 addresses"), "ranges, which are searched in up to 16 loads, they "
					      "take 32 bytes");
	unload(&costed.loaded);
	limits.blocks_budget = 100;
	cost_text(&costed, two_families, &limits);
	cr_assert_str_eq(find(&costed, "IPv4 addresses")->form, "ranges");
	says(find(&costed, "IPv4 addresses"), "up to 100 ");
	unload(&costed.loaded);
}

Test(costs, a_product_says_what_the_other_kind_would_take)
{
	struct build_limits limits = build_limits_default();
	const struct cost *cost;
	struct costed costed;

	cost_text(&costed, two_families, &limits);
	cost = find(&costed, "inbound product");
	cr_assert_str_eq(cost->form, "pairs");
	/* a: two sources and self; b: a source and a destination */
	says(cost, "3 classes of sources times 4 of destinations: 12 pairs, and 8388608 fit");
	/* (3 + 4 + 2) * (1 word + its address) + 4 outcomes */
	says(cost, "at most 116 bytes, and 1 word of");
	unload(&costed.loaded);
	limits.force_product = BH_PRODUCT_BITS;
	cost_text(&costed, two_families, &limits);
	cr_assert_str_eq(find(&costed, "inbound product")->form, "bits");
	cr_assert_gt(find(&costed, "sets of rules")->size, 0);
	unload(&costed.loaded);
}

Test(costs, what_no_rule_asks_for_costs_nothing)
{
	struct build_limits limits = build_limits_default();
	struct costed costed;

	cost_text(&costed, no_address, &limits);
	cr_assert_not(find(&costed, "IPv4 addresses")->used);
	cr_assert_not(find(&costed, "IPv6 addresses")->used);
	cr_assert_not(find(&costed, "own addresses")->used);
	cr_assert_eq(costed.costs.packet[BH_IN][0].hot, costed.costs.packet[BH_IN][1].hot);
	unload(&costed.loaded);
	cost_text(&costed, two_families, &limits);
	cr_assert_gt(costed.costs.packet[BH_IN][1].hot, costed.costs.packet[BH_IN][0].hot);
	cr_assert_gt(costed.costs.packet[BH_IN][0].hot, costed.costs.packet[BH_OUT][0].hot);
	unload(&costed.loaded);
}
