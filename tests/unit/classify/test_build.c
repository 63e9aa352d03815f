// SPDX-License-Identifier: GPL-2.0-only
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "classify/build.h"
#include "classify/lookup.h"
#include "classify/verify.h"
#include "tests/lib/policy_text.h"
#include "tests/unit/classify/made.h"

static const char web[] = "bulkhead: 1\n"
			  "group: web\n"
			  "rules:\n"
			  "  - name: allow-web\n"
			  "    priority: 100\n"
			  "    direction: inbound\n"
			  "    access: allow\n"
			  "    protocol: tcp\n"
			  "    destination_ports: [80, 443]\n"
			  "    source: [10.0.0.0/8, \"2001:db8::/32\"]\n"
			  "    destination: self\n";

static void build_made(struct made *made, const struct build_limits *limits, int expected,
		       const char *words)
{
	struct image image;

	cr_assert_eq(build(made->arena, &made->policy, NULL, 0, limits, made->diag, &image),
		     expected, "%s", made_words(made));
	cr_assert(strstr(made_words(made), words), "%s", made_words(made));
}

static void build_text(struct loaded *loaded, const struct build_limits *limits,
		       struct image *image)
{
	cr_assert_eq(loaded->err, 0, "%s", loaded->messages);
	cr_assert_eq(build(loaded->arena, &loaded->policy, NULL, 0, limits, loaded->diag, image),
		     0);
}

Test(build, a_small_policy_lies_in_one_page)
{
	struct build_limits limits = build_limits_default();
	struct loaded loaded;
	struct image image;

	load_texts(&loaded, NULL, (const char *const[]){web, NULL});
	build_text(&loaded, &limits, &image);
	cr_assert_eq(image.n_pages, 1);
	cr_assert_eq(image_head(&image)->address4_kind, BH_ADDRESS4_BLOCKS);
	cr_assert_eq(image_head(&image)->address6_bits, 10);
	cr_assert_eq(image.figures.n_rules, 3);
	cr_assert_eq(image.figures.n_prefixes, 2);
	unload(&loaded);
}

Test(build, the_same_policy_gives_the_same_bytes)
{
	struct build_limits limits = build_limits_default();
	struct loaded first, second;
	struct image a, b;

	load_texts(&first, NULL, (const char *const[]){web, NULL});
	load_texts(&second, NULL, (const char *const[]){web, NULL});
	build_text(&first, &limits, &a);
	build_text(&second, &limits, &b);
	cr_assert(image_tables_equal(&a, &b));
	unload(&first);
	unload(&second);
}

Test(build, tables_that_may_not_stand_in_page_0_stand_behind_it)
{
	struct build_limits limits = build_limits_default();
	const struct bh_head *head;
	struct loaded loaded;
	struct image image;

	limits.near_size = 256;
	load_texts(&loaded, NULL, (const char *const[]){web, NULL});
	build_text(&loaded, &limits, &image);
	head = image_head(&image);
	cr_assert_geq(head->outcomes, BH_PAGE_SIZE);
	cr_assert_geq(head->address4, BH_PAGE_SIZE);
	cr_assert_geq(head->direction[BH_IN].row, BH_PAGE_SIZE);
	cr_assert_gt(image.n_pages, 1);
	unload(&loaded);
}

Test(build, blocks_over_their_budget_become_ranges)
{
	struct build_limits limits = build_limits_default();
	struct loaded loaded;
	struct image image;

	limits.blocks_budget = 63; /* 16 elements of two bytes, and one block */
	load_texts(&loaded, NULL,
		   (const char *const[]){"bulkhead: 1\n"
					 "group: web\n"
					 "rules:\n"
					 "  - {name: a, priority: 100, direction: inbound,\n"
					 "     access: allow, protocol: tcp, source: 10.0.0.1,\n"
					 "     destination: any}\n",
					 NULL});
	build_text(&loaded, &limits, &image);
	cr_assert_eq(image_head(&image)->address4_kind, BH_ADDRESS4_RANGES);
	limits.blocks_budget = 64;
	build_text(&loaded, &limits, &image);
	cr_assert_eq(image_head(&image)->address4_kind, BH_ADDRESS4_BLOCKS);
	unload(&loaded);
}

Test(build, the_index_of_ipv6_widens_with_the_prefixes)
{
	struct build_limits limits = build_limits_default();
	struct image image;
	struct made made;
	uint32_t set;

	made_init(&made);
	set = made_set(&made);
	(void)made_rule(&made, set, 0);
	for (uint64_t i = 0; i < 5000; i++) {
		uint64_t high = (uint64_t)1 << 61 | i << 42;

		made_range6(&made, set, (uint64_t[]){high, 0}, (uint64_t[]){high, UINT64_MAX});
	}
	cr_assert_eq(build(made.arena, &made.policy, NULL, 0, &limits, made.diag, &image), 0);
	cr_assert_eq(image_head(&image)->address6_bits, 13);
	made_fini(&made);
}

/* Every other /48 below one /32 is of the set. */
static void build_crowd(struct made *made, const struct build_limits *limits, struct image *image)
{
	uint32_t set;

	made_init(made);
	set = made_set(made);
	(void)made_rule(made, set, 0);
	for (uint64_t i = 0; i < 1000; i++) {
		uint64_t high = 0x20010db800000000 | i << 17;

		made_range6(made, set, (uint64_t[]){high, 0},
			    (uint64_t[]){high | 0xffff, UINT64_MAX});
	}
	cr_assert_eq(build(made->arena, &made->policy, NULL, 0, limits, made->diag, image), 0);
}

static uint32_t element_of_crowd(const struct image *image)
{
	const struct bh_head *head = image_head(image);
	const uint32_t *index = (const void *)(image->tables + head->address6);

	return index[0x0010db8U >>
		     (29 - head->address6_bits)]; /* of 2001:db8::, behind its first three bits */
}

/* The bits that all of them have in common are those of a leaf, which leads to the fan. */
Test(build, prefixes_that_crowd_below_one_are_told_apart_by_a_fan)
{
	struct build_limits limits = build_limits_default();
	const struct bh_leaf6 *leaf;
	struct image image;
	struct made made;
	uint32_t element;

	build_crowd(&made, &limits, &image);
	element = element_of_crowd(&image);
	cr_assert_eq(element & (BH_DEEP | BH_FAN | BH_LEAF | BH_LOW), BH_DEEP | BH_LEAF);
	leaf = (const void *)(image.tables + bh_deep(element));
	cr_assert(leaf->value[1] & BH_DEEP && leaf->value[1] & BH_FAN);
	cr_assert_geq(leaf->value[1] & BH_FAN_START, 32);
	made_fini(&made);
}

Test(build, tables_of_addresses_that_lead_to_themselves_are_refused)
{
	struct build_limits limits = build_limits_default();
	struct bh_leaf6 *leaf;
	struct image image;
	struct made made;
	uint32_t *fan;

	build_crowd(&made, &limits, &image);
	cr_assert_null(verify_tables(&image));
	leaf = (void *)(image.tables + bh_deep(element_of_crowd(&image)));
	fan = (void *)(image.tables + bh_deep(leaf->value[1]));
	fan[7] = leaf->value[1];
	cr_assert_not_null(verify_tables(&image));
	for (uint32_t i = 0; i < 1U << bh_fan_width(leaf->value[1]); i++)
		fan[i] = leaf->value[1];
	cr_assert_not_null(verify_tables(&image), "and without going all their ways");
	made_fini(&made);
}

Test(build, host_settings_come_into_the_image)
{
	struct build_limits limits = build_limits_default();
	const struct bh_config *config;
	struct bh_config state = {};
	struct loaded loaded;
	struct image image;

	load_texts(&loaded,
		   "bulkhead: 1\n"
		   "mode: audit\n"
		   "existing_flows: keep\n"
		   "platform: azure\n"
		   "tcp_pickup: false\n"
		   "log_limit: 77\n"
		   "timeouts: {udp: 31}\n"
		   "tables: {flows: 4096, half_open: 1024, fragments: 1024}\n"
		   "never_denied: {lldp: false}\n",
		   (const char *const[]){web, NULL});
	build_text(&loaded, &limits, &image);
	config = &image_head(&image)->config;
	cr_assert(config->audit && config->keep && config->platform_azure && !config->tcp_pickup);
	cr_assert_eq(config->log_limit, 77);
	cr_assert_eq(config->timeouts[BH_TIMEOUT_UDP], 31);
	cr_assert_eq(config->timeouts[BH_TIMEOUT_ICMP], 30);
	cr_assert_eq(config->never_off, (uint64_t)1 << BH_REASON_LLDP);
	cr_assert_eq(config->tables[BH_TABLE_ESTABLISHED4].mask, 4096 / BH_WAYS - 1);
	cr_assert_eq(config->tables[BH_TABLE_HALF_OPEN6].mask, 1024 / BH_WAYS - 1);
	cr_assert_eq(config->tables[BH_TABLE_FRAGMENTS].mask, 1024 / BH_WAYS - 1);
	/* 1024 half-open and 4096 flows in pages of 256 KB: 32, 64, 128, 256 KB. */
	cr_assert_eq(config->tables[BH_TABLE_HALF_OPEN4].first_page, 0);
	cr_assert_eq(config->tables[BH_TABLE_HALF_OPEN6].first_page, 1);
	cr_assert_eq(config->tables[BH_TABLE_ESTABLISHED4].first_page, 2);
	cr_assert_eq(config->tables[BH_TABLE_ESTABLISHED6].first_page, 3);
	cr_assert_eq(config->tables[BH_TABLE_FRAGMENTS].first_page, 4);
	cr_assert_eq(build_state(&loaded.policy.host, &state), 5, "part of a page is a page");
	cr_assert(!memcmp(state.tables, config->tables, sizeof(state.tables)));
	unload(&loaded);
}

/* Sets in which address i lies when bit b of i is set: every address has a class of its own. */
static void add_bit_sets(struct made *made, uint32_t n_bits, uint32_t base, uint32_t *ret_first)
{
	*ret_first = made->policy.sets.len;
	for (uint32_t bit = 0; bit < n_bits; bit++) {
		uint32_t set = made_set(made);

		for (uint32_t i = 0; i < 1U << n_bits; i += 2U << bit)
			made_range4(made, set, base + i + (1U << bit), base + i + (2U << bit) - 1);
	}
}

Test(build, too_many_classes_of_addresses_are_refused_with_the_largest_set)
{
	struct build_limits limits = build_limits_default();
	struct made made;
	uint32_t first;

	made_init(&made);
	add_bit_sets(&made, 16, 0x0a000000, &first);
	for (uint32_t bit = 0; bit < 16; bit++)
		(void)made_rule(&made, first + bit, 0);
	build_made(&made, &limits, -E2BIG,
		   "overlap in more than the 32768 classes of addresses that fit; the largest set "
		   "has 32768 ranges, rule 'g/r0' uses it");
	made_fini(&made);
}

Test(build, as_many_classes_of_addresses_as_fit_are_taken)
{
	struct build_limits limits = build_limits_default();
	struct image image;
	struct made made;
	uint32_t first;

	made_init(&made);
	add_bit_sets(&made, 15, 0x0a000000, &first);
	for (uint32_t bit = 0; bit < 15; bit++)
		(void)made_rule(&made, first + bit, 0);
	cr_assert_eq(build(made.arena, &made.policy, NULL, 0, &limits, made.diag, &image), 0);
	cr_assert_eq(image.figures.n_classes, 32768);
	made_fini(&made);
}

/* 4096 classes of sources and as many of destinations, of 12 rules. */
static void made_many_pairs(struct made *made)
{
	uint32_t sources, destinations;

	made_init(made);
	add_bit_sets(made, 12, 0x0a000000, &sources);
	add_bit_sets(made, 12, 0x0b000000, &destinations);
	for (uint32_t bit = 0; bit < 12; bit++)
		(void)made_rule(made, sources + bit, destinations + bit);
}

Test(build, too_many_pairs_are_refused_with_the_arithmetic)
{
	struct build_limits limits = build_limits_default();
	struct made made;

	made_many_pairs(&made);
	limits.force_product = BH_PRODUCT_PAIRS;
	build_made(&made, &limits, -E2BIG,
		   "4096 classes of sources and 4096 of destinations: 16777216 pairs, and 8388608 "
		   "fit; the largest source is that of rule 'g/r0', with 2048 ranges");
	made_fini(&made);
}

/*
 * Rule r matches where bit r is in the source and in the destination; so the lowest common bit
 * decides.
 */
Test(build, where_pairs_are_too_many_bits_decide)
{
	struct build_limits limits = build_limits_default();
	struct tuple tuple = {.direction = DIRECTION_IN, .protocol = 6};
	const addr_list nobody = {};
	struct made made;
	struct image image;

	made_many_pairs(&made);
	cr_assert_eq(build(made.arena, &made.policy, NULL, 0, &limits, made.diag, &image), 0, "%s",
		     made_words(&made));
	cr_assert_eq(image.figures.product[BH_IN], BH_PRODUCT_BITS);
	cr_assert_eq(image.figures.product[BH_OUT], BH_PRODUCT_PAIRS);
	for (uint32_t i = 1; i < 4096; i++) {
		uint32_t other = i * 2654435761U >> 20;
		uint32_t common = i & other;

		tuple.source = addr_v4(0x0a000000 + i);
		tuple.destination = addr_v4(0x0b000000 + other);
		cr_assert_eq(lookup(&image, &tuple, &nobody)->rule,
			     common ? __builtin_ctz(common) : BH_NO_RULE, "%u and %u", i, other);
	}
	made_fini(&made);
}

Test(build, what_is_too_large_for_both_kinds_is_refused_with_both_reasons)
{
	struct build_limits limits = build_limits_default();
	struct made made;

	made_many_pairs(&made);
	for (uint32_t i = 0; i < BH_BITS_WORDS * 64; i++)
		(void)made_rule(&made, 0, 0);
	build_made(&made, &limits, -E2BIG, "16777216 pairs, and 8388608 fit");
	cr_assert(strstr(made_words(&made),
			 "; and by a bit for each rule, 16396 inbound rules need "
			 "sets of 257 words, and 256 fit"),
		  "%s", made_words(&made));
	made_fini(&made);
}

static void add_ports(struct made *made, bool destination, uint16_t port)
{
	struct policy_clause *clause = made_rule(made, 0, 0)->clauses.at;
	port_ranges *ports = destination ? &clause->destination_ports : &clause->source_ports;

	clause->protocol = 6;
	array_push(made->arena, ports, (struct port_range){port, port});
}

Test(build, too_many_cells_of_ports_are_refused_with_the_arithmetic)
{
	struct build_limits limits = build_limits_default();
	struct made made;

	made_init(&made);
	for (uint16_t i = 0; i < 2100; i++) {
		add_ports(&made, false, i);
		add_ports(&made, true, i);
	}
	build_made(
		&made, &limits, -E2BIG,
		"inbound rules of protocol 6 tell apart 2101 classes of source ports and 2101 of "
		"destination ports: 4414201 cells, and 4194304 fit");
	made_fini(&made);
}

Test(build, too_many_rules_are_refused)
{
	struct build_limits limits = build_limits_default();
	struct made made;

	made_init(&made);
	for (uint32_t i = 0; i < 65536; i++)
		(void)made_rule(&made, 0, 0);
	build_made(&made, &limits, -E2BIG, "the policy has 65536 rules, and 65535 fit");
	made_fini(&made);
}

Test(build, tables_over_the_limit_of_pages_are_refused_with_the_arithmetic)
{
	struct build_limits limits = build_limits_default();
	struct made made;
	uint32_t set;

	made_init(&made);
	set = made_set(&made);
	(void)made_rule(&made, set, 0);
	for (uint32_t i = 0; i < 60000; i++)
		made_range4(&made, set, i << 16 | i, i << 16 | i);
	limits.pages = 1;
	build_made(&made, &limits, -E2BIG,
		   "the tables need 4 MB, of which 4 MB find the classes of 60000 prefixes, and "
		   "1 MB fit");
	made_fini(&made);
}

Test(build, too_many_ranges_in_one_64_are_refused)
{
	struct build_limits limits = build_limits_default();
	struct made made;
	uint32_t set;

	made_init(&made);
	set = made_set(&made);
	(void)made_rule(&made, set, 0);
	for (uint64_t i = 1; i < 100000; i += 2)
		made_range6(&made, set, (uint64_t[]){1, i}, (uint64_t[]){1, i});
	build_made(&made, &limits, -E2BIG,
		   "100001 IPv6 ranges begin or end in one piece of the index or one /64; 87380 "
		   "fit, of 100001 in all");
	made_fini(&made);
}

Test(build, flow_tables_over_the_limit_are_refused_with_the_arithmetic)
{
	struct build_limits limits = build_limits_default();
	struct made made;

	made_init(&made);
	made.policy.host.table_flows = 1 << 24;
	build_made(&made, &limits, -E2BIG, "tables of 16777216 flows, 65536 half-open and 4096");
	made_fini(&made);
}
