// SPDX-License-Identifier: GPL-2.0-only
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "classify/build.h"
#include "classify/lookup.h"
#include "prove/bits.h"
#include "prove/prove.h"
#include "tests/lib/policy_text.h"

static const char policy_text[] = "bulkhead: 1\n"
				  "group: web\n"
				  "existing_flows: keep\n"
				  "rules:\n"
				  "  - name: allow-web\n"
				  "    priority: 100\n"
				  "    direction: inbound\n"
				  "    access: allow\n"
				  "    protocol: tcp\n"
				  "    destination_ports: [80, 443]\n"
				  "    source: [10.0.0.0/8, \"2001:db8::1\"]\n"
				  "    destination: self\n"
				  "    log: true\n"
				  "  - name: ping\n"
				  "    priority: 110\n"
				  "    direction: inbound\n"
				  "    access: allow\n"
				  "    services: [icmp/8, icmpv6/128/0]\n"
				  "    source: any\n"
				  "    destination: any\n";

static const char admin_text[] = "bulkhead: 1\n"
				 "group: first\n"
				 "tier: admin\n"
				 "rules:\n"
				 "  - name: no-telnet\n"
				 "    priority: 1\n"
				 "    direction: outbound\n"
				 "    access: deny\n"
				 "    protocol: tcp\n"
				 "    destination_ports: 23\n"
				 "    source: any\n"
				 "    destination: any\n";

struct proof {
	struct loaded loaded;
	struct image image;
	struct prove_result result;
};

static void proof_load(struct proof *proof)
{
	struct build_limits limits = build_limits_default();

	load_texts(&proof->loaded, NULL, (const char *const[]){policy_text, admin_text, NULL});
	cr_assert_eq(proof->loaded.err, 0, "%s", proof->loaded.messages);
	cr_assert_eq(build(proof->loaded.arena, &proof->loaded.policy, NULL, 0, &limits,
			   proof->loaded.diag, &proof->image),
		     0);
}

static enum prove_answer proof_make(struct proof *proof)
{
	prove(proof->loaded.arena, &proof->loaded.policy, &proof->image, &proof->result);
	return proof->result.answer;
}

static struct bh_head *head_of(struct proof *proof)
{
	return (void *)proof->image.tables;
}

static uint16_t *words16(struct proof *proof, uint32_t address)
{
	return (void *)(proof->image.tables + address);
}

static const char *packet_text(const struct proof *proof)
{
	return tuple_print(&proof->result.packet,
			   arena_alloc(proof->loaded.arena, TUPLE_TEXT_SIZE));
}

Test(prove, an_image_that_says_what_its_policy_says_is_proven)
{
	struct proof proof;

	proof_load(&proof);
	cr_assert_eq(proof_make(&proof), PROVE_HOLDS);
	cr_assert_eq(proof.result.n_differ, 0);
	/* IPv4 below, in and above 10/8; IPv6 below, at and above the one address. */
	cr_assert_eq(proof.result.n_segments, 6);
	/*
	 * In: tcp 80 and 443, ICMP 8, ICMPv6 128/0 and the rest match three sets of rules. Out: 23
	 * and not.
	 */
	cr_assert_eq(proof.result.n_services, 3 + 2);
	unload(&proof.loaded);
}

/* The outcome by which the image lets web traffic in. */
static struct bh_outcome *web_outcome(struct proof *proof)
{
	struct bh_outcome *outcomes = (void *)(proof->image.tables + head_of(proof)->outcomes);
	uint32_t rule = find_rule(&proof->loaded, "web/allow-web");

	for (uint32_t i = 0; i < head_of(proof)->n_outcomes; i++)
		if (outcomes[i].rule == rule)
			return &outcomes[i];
	cr_assert_fail("no outcome");
	return NULL;
}

Test(prove, each_field_of_an_outcome_counts)
{
	static const struct {
		size_t at;
		uint8_t flip;
	} fields[] = {
		{offsetof(struct bh_outcome, verdict), BH_ALLOW},
		{offsetof(struct bh_outcome, verdict), BH_ALLOW ^ BH_WOULD_DENY},
		{offsetof(struct bh_outcome, flags), BH_OUTCOME_LOG},
		{offsetof(struct bh_outcome, flags), BH_OUTCOME_KEEP},
		{offsetof(struct bh_outcome, flags), BH_OUTCOME_NO_STATE},
		{offsetof(struct bh_outcome, direction), 1},
		{offsetof(struct bh_outcome, reason), BH_REASON_NO_GROUP},
		{offsetof(struct bh_outcome, rule), 1},
		{offsetof(struct bh_outcome, tier_rule[BH_TIER_NIC]), 1},
	};
	struct bh_outcome sound;
	struct proof proof;
	uint8_t *bytes;

	proof_load(&proof);
	sound = *web_outcome(&proof);
	bytes = (void *)web_outcome(&proof);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		bytes[fields[i].at] ^= fields[i].flip;
		cr_assert_eq(proof_make(&proof), PROVE_DIFFERS, "field %zu", i);
		cr_assert(!memcmp(&proof.result.expected, &sound, sizeof(sound)));
		cr_assert(!memcmp(&proof.result.found, bytes, sizeof(sound)));
		bytes[fields[i].at] ^= fields[i].flip;
	}
	cr_assert_eq(proof_make(&proof), PROVE_HOLDS);
	unload(&proof.loaded);
}

Test(prove, a_difference_names_a_packet_and_whose_addresses_are_the_hosts)
{
	struct proof proof;
	char self[ADDR_TEXT_SIZE];

	proof_load(&proof);
	web_outcome(&proof)->verdict = BH_DENY;
	cr_assert_eq(proof_make(&proof), PROVE_DIFFERS);
	cr_assert_str_eq(packet_text(&proof), "in tcp 10.0.0.0:0 1.0.0.0:80");
	cr_assert_eq(proof.result.n_self, 1);
	cr_assert_str_eq(addr_print(&proof.result.self[0], self), "1.0.0.0");
	unload(&proof.loaded);
}

Test(prove, what_is_wrong_over_ipv6_alone_names_a_packet_of_ipv6)
{
	struct proof proof;
	uint16_t *slot_of;

	proof_load(&proof);
	slot_of = words16(&proof, head_of(&proof)->direction[BH_IN].slot_of);
	slot_of[256 + 58] = slot_of[256 + 59];
	cr_assert_eq(proof_make(&proof), PROVE_DIFFERS);
	cr_assert_str_eq(packet_text(&proof), "in icmpv6 2000:: 2000::1 type 128 code 0");
	unload(&proof.loaded);
}

Test(prove, a_protocol_that_no_rule_names_counts_too)
{
	struct proof proof;
	uint16_t *slot_of;

	proof_load(&proof);
	slot_of = words16(&proof, head_of(&proof)->direction[BH_IN].slot_of);
	slot_of[132] = slot_of[6];
	cr_assert_eq(proof_make(&proof), PROVE_DIFFERS);
	cr_assert_eq(proof.result.packet.protocol, 132);
	unload(&proof.loaded);
}

/*
 * Of the protocols that no rule names the first is an extension header, which no packet has over
 * IPv6.
 */
Test(prove, an_extension_header_of_ipv6_is_no_packet)
{
	struct proof proof;
	uint16_t *slot_of;

	proof_load(&proof);
	slot_of = words16(&proof, head_of(&proof)->direction[BH_IN].slot_of) + 256;
	for (int protocol = 0; protocol < 256; protocol++)
		if (protocol != 58)
			slot_of[protocol] = slot_of[6];
	cr_assert_eq(proof_make(&proof), PROVE_DIFFERS);
	cr_assert_str_eq(packet_text(&proof), "in udp [2001:db8::1]:0 [2000::]:80");
	unload(&proof.loaded);
}

/* The image takes redirects, which are denied before any rule, for pings; then type 7, too. */
Test(prove, a_packet_is_named_that_is_left_to_the_rules)
{
	const struct bh_proto_slot *slots;
	struct proof proof;
	uint32_t *types;

	proof_load(&proof);
	slots = (void *)words16(&proof, head_of(&proof)->direction[BH_IN].slots);
	slots += words16(&proof, head_of(&proof)->direction[BH_IN].slot_of)[1];
	types = (void *)words16(&proof, slots->destination_root);
	types[5] = types[8];
	cr_assert_eq(proof_make(&proof), PROVE_FAULT);
	cr_assert_str_eq(proof.result.fault,
			 "of packets that are decided before any rule, such as 'in icmp 1.0.0.0 "
			 "1.0.0.1 type 5 code 0', the image has not what the rules add up to");
	types[7] = types[8];
	cr_assert_eq(proof_make(&proof), PROVE_DIFFERS);
	cr_assert_str_eq(packet_text(&proof), "in icmp 1.0.0.0 1.0.0.1 type 7 code 0");
	unload(&proof.loaded);
}

static const char ends_text[] =
	"bulkhead: 1\n"
	"group: ends\n"
	"rules:\n"
	"  - {name: a, priority: 100, direction: outbound, access: allow, protocol: tcp,\n"
	"     source: 10.0.0.1, destination: 10.0.0.1}\n"
	"  - {name: b, priority: 110, direction: outbound, access: allow, protocol: udp,\n"
	"     source: self, destination: any}\n"
	"  - {name: c, priority: 120, direction: outbound, access: allow, protocol: sctp,\n"
	"     source: any, destination: self}\n";

/* The class that the image gives the source, and the destination, where that is the host's own. */
static void classes_of(const struct proof *proof, const char *text, const char *own,
		       uint32_t ret_classes[2])
{
	scoped(diag_free) struct diag *diag = diag_new();
	struct lookup_steps steps;
	struct tuple tuple;
	struct addr addr;

	cr_assert_eq(tuple_parse(str_of(text), (struct mark){}, diag, &tuple), 0);
	cr_assert_eq(addr_parse(str_of(own), &addr), 0);
	lookup_steps(&proof->image, &tuple, &(addr_list){.at = &addr, .len = 1}, &steps);
	ret_classes[0] = steps.side_class[0];
	ret_classes[1] = steps.side_class[1];
}

Test(prove, one_address_is_not_at_once_the_hosts_own_and_anothers)
{
	struct build_limits limits = build_limits_default();
	uint32_t own[2], foreign[2];
	struct proof proof;
	uint16_t *pair;

	load_texts(&proof.loaded, NULL, (const char *const[]){ends_text, NULL});
	cr_assert_eq(proof.loaded.err, 0, "%s", proof.loaded.messages);
	cr_assert_eq(build(proof.loaded.arena, &proof.loaded.policy, NULL, 0, &limits,
			   proof.loaded.diag, &proof.image),
		     0);
	classes_of(&proof, "out tcp 10.0.0.1:1 10.0.0.2:1", "10.0.0.1", own);
	classes_of(&proof, "out tcp 10.0.0.2:1 10.0.0.1:1", "10.0.0.2", foreign);
	pair = words16(&proof, head_of(&proof)->direction[BH_OUT].pair);
	pair += own[0] * head_of(&proof)->direction[BH_OUT].n_destination;
	/* No packet has both classes; to another address many have. */
	pair[foreign[1]] = !pair[foreign[1]];
	cr_assert_eq(proof_make(&proof), PROVE_HOLDS);
	pair[own[1]] = !pair[own[1]];
	cr_assert_eq(proof_make(&proof), PROVE_DIFFERS);
	unload(&proof.loaded);
}

Test(prove, a_verdict_that_differs_is_named_before_a_flag_that_does)
{
	struct bh_outcome *outcomes;
	struct proof proof;

	proof_load(&proof);
	outcomes = (void *)(proof.image.tables + head_of(&proof)->outcomes);
	for (uint32_t i = 0; i < head_of(&proof)->n_outcomes; i++)
		outcomes[i].flags ^= BH_OUTCOME_NO_STATE;
	web_outcome(&proof)->verdict = BH_DENY;
	cr_assert_eq(proof_make(&proof), PROVE_DIFFERS);
	cr_assert_eq(proof.result.expected.verdict, BH_ALLOW);
	cr_assert_eq(proof.result.found.verdict, BH_DENY);
	cr_assert_gt(proof.result.n_differ, 1);
	unload(&proof.loaded);
}

static void expect_other_setting(struct proof *proof, const char *key)
{
	cr_assert_eq(proof_make(proof), PROVE_FAULT, "%s", key);
	cr_assert_str_eq(proof->result.fault,
			 arena_printf(proof->loaded.arena,
				      "the image has another '%s' than host.yaml", key));
}

Test(prove, settings_are_those_of_the_host_file)
{
	static const struct {
		size_t at;
		const char *key;
	} settings[] = {
		{offsetof(struct bh_config, never_off), "never_denied"},
		{offsetof(struct bh_config, timeouts[BH_TIMEOUT_FRAGMENT]), "timeouts"},
		{offsetof(struct bh_config, log_limit), "log_limit"},
		{offsetof(struct bh_config, audit), "mode"},
		{offsetof(struct bh_config, tcp_pickup), "tcp_pickup"},
		{offsetof(struct bh_config, keep), "existing_flows"},
		{offsetof(struct bh_config, platform_azure), "platform"},
	};
	struct proof proof;
	uint8_t *bytes;

	proof_load(&proof);
	bytes = (void *)&head_of(&proof)->config;
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		bytes[settings[i].at] ^= 1;
		expect_other_setting(&proof, settings[i].key);
		bytes[settings[i].at] ^= 1;
	}
	cr_assert_eq(proof_make(&proof), PROVE_HOLDS);
	unload(&proof.loaded);
}

Test(prove, tables_of_flows_are_as_large_as_was_asked_for_and_apart)
{
	struct bh_table_place *fragments;
	struct bh_table_place sound;
	struct proof proof;

	proof_load(&proof);
	fragments = &head_of(&proof)->config.tables[BH_TABLE_FRAGMENTS];
	sound = *fragments;
	fragments->mask >>= 1;
	expect_other_setting(&proof, "tables");
	*fragments = sound;
	fragments->first_page = head_of(&proof)->config.tables[BH_TABLE_ESTABLISHED6].first_page;
	expect_other_setting(&proof, "tables");
	*fragments = sound;
	cr_assert_eq(proof_make(&proof), PROVE_HOLDS);
	unload(&proof.loaded);
}

Test(prove, tables_that_lead_nowhere_are_not_gone_through)
{
	struct proof proof;

	proof_load(&proof);
	cr_assert_gt(prove_estimate(&proof.loaded.policy, &proof.image), 0);
	head_of(&proof)->direction[BH_OUT].row = UINT32_MAX & ~3U;
	cr_assert_eq(prove_estimate(&proof.loaded.policy, &proof.image), 0);
	cr_assert_eq(proof_make(&proof), PROVE_FAULT);
	cr_assert_str_eq(proof.result.fault,
			 "the tables are not sound: a table of pairs points nowhere");
	unload(&proof.loaded);
}

/* The one low chunk of the image is put under each of some 2^40 high halves. */
Test(prove, more_addresses_than_can_be_told_apart_are_a_fault_and_no_endless_walk)
{
	struct proof proof;
	struct bh_leaf6 *leaf;
	uint32_t element;

	proof_load(&proof);
	/* 2001:db8::/32 lies under the index 0 of 1024. */
	memcpy(&element, proof.image.tables + head_of(&proof)->address6, sizeof(element));
	cr_assert_eq(element & (BH_DEEP | BH_FAN | BH_LEAF), BH_DEEP | BH_LEAF);
	leaf = (void *)(proof.image.tables + bh_deep(element));
	cr_assert(leaf->value[1] & BH_DEEP && leaf->value[1] & BH_LOW);
	leaf->value[2] = leaf->value[1];
	cr_assert_eq(proof_make(&proof), PROVE_FAULT);
	cr_assert_str_eq(proof.result.fault,
			 "the image tells apart more addresses than any policy could");
	unload(&proof.loaded);
}

/* Rules for one port each, so that a row has several blocks, between addresses that overlap. */
static const char *many_services(struct arena *arena)
{
	static const char *const sources[] = {"any", "10.0.0.0/8", "10.1.0.0/16", "any"};
	static const char *const destinations[] = {"any", "self", "10.0.0.0/24"};
	const char *text = "bulkhead: 1\ngroup: many\nrules:\n";

	for (size_t i = 0; i < 80; i++)
		text = arena_printf(
			arena,
			"%s  - {name: r%zu, priority: %zu, direction: inbound, access: %s, "
			"protocol: tcp, destination_ports: %zu, source: %s, destination: %s}\n",
			text, i, 100 + i + (i >= 40), i % 3 ? "allow" : "deny", 1000 + i * 2,
			sources[i % ARRAY_LEN(sources)], destinations[i % ARRAY_LEN(destinations)]);
	return arena_printf(
		arena,
		"%s  - {name: all, priority: 140, direction: outbound, access: deny, "
		"protocol: any, source: any, destination: any}\n"
		"  - {name: from-two, priority: 4000, direction: inbound, access: allow, "
		"protocol: any, source: 10.2.0.0/16, destination: any}\n",
		text);
}

/* Another outcome in that place of a block is found. */
static void cell_counts(struct proof *proof, uint16_t *cell)
{
	uint16_t before = *cell;

	*cell = (uint16_t)((before + 1) % head_of(proof)->n_outcomes);
	cr_assert_eq(proof_make(proof), PROVE_DIFFERS);
	*cell = before;
}

Test(prove, each_outcome_of_a_row_counts)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct build_limits limits = build_limits_default();
	const struct bh_direction_head *tables;
	const uint32_t *row;
	struct proof proof;
	uint32_t n_services;

	load_texts(&proof.loaded, NULL, (const char *const[]){many_services(arena), NULL});
	cr_assert_eq(proof.loaded.err, 0, "%s", proof.loaded.messages);
	cr_assert_eq(build(proof.loaded.arena, &proof.loaded.policy, NULL, 0, &limits,
			   proof.loaded.diag, &proof.image),
		     0);
	cr_assert_eq(proof_make(&proof), PROVE_HOLDS);
	tables = &head_of(&proof)->direction[BH_IN];
	row = (const void *)(proof.image.tables + tables->row);
	n_services = proof.image.figures.n_protocol_classes[BH_IN];
	cr_assert_eq(n_services, 81); /* 80 ports, and the rest */
	cr_assert_gt(tables->n_pair, 4);
	for (uint32_t pair = 0; pair < tables->n_pair; pair++)
		for (uint32_t s = 0; s < n_services; s++)
			cell_counts(&proof,
				    words16(&proof, row[pair * tables->row_len + s / 32]) + s % 32);
	cr_assert_eq(proof_make(&proof), PROVE_HOLDS);
	unload(&proof.loaded);
}

Test(prove, no_rule_at_all_is_proven_too)
{
	struct build_limits limits = build_limits_default();
	struct proof proof;

	load_texts(&proof.loaded, "bulkhead: 1\nno_group: allow\n",
		   (const char *const[]){"bulkhead: 1\nsets:\n  a: 10.0.0.1\n", NULL});
	cr_assert_eq(proof.loaded.err, 0, "%s", proof.loaded.messages);
	cr_assert_eq(build(proof.loaded.arena, &proof.loaded.policy, NULL, 0, &limits,
			   proof.loaded.diag, &proof.image),
		     0);
	cr_assert_eq(proof_make(&proof), PROVE_HOLDS);
	unload(&proof.loaded);
}

/* Of a direction all that its sets and rows are compared with. */
struct by_bits {
	struct rules rules;
	struct address_points addresses;
	struct service_points services;
	struct side sides[2];
};

static void by_bits_init(struct by_bits *known, struct proof *proof,
			 enum policy_direction direction)
{
	struct arena *arena = proof->loaded.arena;

	*known = (struct by_bits){.rules = rules_of(&proof->loaded.policy, direction)};
	cr_assert(address_points(arena, &proof->loaded.policy, &proof->image, &known->addresses));
	service_points(arena, &known->rules, &proof->image, &known->services);
	for (int side = 0; side < 2; side++)
		side_find(arena, &known->rules, &proof->image, &known->addresses, side,
			  &known->sides[side]);
}

static void by_bits_fini(struct by_bits *known)
{
	for (int side = 0; side < 2; side++)
		side_fini(&known->sides[side]);
	service_points_fini(&known->services);
	address_points_fini(&known->addresses);
}

static bool holds(const struct by_bits *known, const struct proof *proof)
{
	return bits_hold(&known->rules, &proof->image, known->sides, &known->services);
}

/* Each bit of a set, those behind the last rule of a tier too. */
static void each_bit_counts(const struct by_bits *known, struct proof *proof, uint32_t address,
			    uint32_t n_words)
{
	for (uint32_t bit = 0; bit < n_words * 64; bit++) {
		proof->image.tables[address + bit / 8] ^= 1 << bit % 8;
		cr_assert_not(holds(known, proof), "bit %u at %u", bit, address);
		proof->image.tables[address + bit / 8] ^= 1 << bit % 8;
	}
}

static void each_row_counts(const struct by_bits *known, struct proof *proof,
			    const struct bh_direction_head *tables)
{
	uint16_t *rows = words16(proof, tables->row);
	uint32_t n = 1;

	for (int tier = 0; tier < BH_TIER_COUNT; tier++)
		n *= tables->tier_rules[tier] + 1U;
	for (uint32_t row = 0; row < n; row++) {
		uint16_t before = rows[row];

		rows[row] = (uint16_t)((before + 1) % head_of(proof)->n_outcomes);
		cr_assert_not(holds(known, proof), "row %u of %u", row, n);
		rows[row] = before;
	}
}

Test(prove, by_bits_each_bit_of_a_set_counts_and_each_row)
{
	struct build_limits limits = build_limits_default();
	struct proof proof;

	limits.force_product = BH_PRODUCT_BITS;
	load_texts(&proof.loaded, NULL, (const char *const[]){policy_text, admin_text, NULL});
	cr_assert_eq(build(proof.loaded.arena, &proof.loaded.policy, NULL, 0, &limits,
			   proof.loaded.diag, &proof.image),
		     0);
	for (int d = 0; d < DIRECTION_COUNT; d++) {
		const struct bh_direction_head *tables = &head_of(&proof)->direction[d];
		const uint32_t *sets = (const void *)(proof.image.tables + tables->pair);
		uint32_t n_sets = tables->n_source + tables->n_destination + tables->n_pair;
		struct by_bits known;

		by_bits_init(&known, &proof, (enum policy_direction)d);
		cr_assert(holds(&known, &proof), "direction %d", d);
		for (uint32_t i = 0; i < n_sets; i++)
			each_bit_counts(&known, &proof, sets[i],
					tables->tier_end[BH_TIER_COUNT - 1]);
		each_row_counts(&known, &proof, tables);
		by_bits_fini(&known);
	}
	cr_assert_eq(proof_make(&proof), PROVE_HOLDS);
	unload(&proof.loaded);
}

Test(prove, what_is_not_by_bits_is_not_shown_by_them)
{
	struct by_bits known;
	struct proof proof;

	proof_load(&proof);
	by_bits_init(&known, &proof, DIRECTION_IN);
	cr_assert_not(holds(&known, &proof));
	by_bits_fini(&known);
	unload(&proof.loaded);
}
