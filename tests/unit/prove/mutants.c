// SPDX-License-Identifier: GPL-2.0-only
/*
 * mutants N: corrupts single words of images until N corruptions have changed a verdict, which is
 * found by looking packets up, and demands that the proof catches each; and that every packet
 * that it names is one that explain reads, and is answered as it says by the plain loop, with what
 * stands before any rule, and by the image.
 */
#include <stdio.h>
#include <stdlib.h>

#include "classify/lookup.h"
#include "classify/verify.h"
#include "policy/eval.h"
#include "policy/resolve.h"
#include "prove/prove.h"
#include "tests/lib/judge_lookup.h"
#include "tests/lib/random_policy.h"

enum { N_PACKETS = 600, PER_POLICY = 40, TRIES_MAX = 100000, PROVED_ANYWAY = 16 };

/* Where a word may lie: all tables that a look-up reads. */
struct region {
	const char *name;
	uint32_t address;
	uint32_t size;
	uint32_t step; /* of the elements, 2 or 4 */
};

enum { REGIONS_MAX = 48 };

struct subject {
	struct arena *arena;
	struct rng rng;
	struct random_policy made;
	struct policy policy;
	struct image image;
	struct tuple packets[N_PACKETS];
	const struct bh_outcome *answers[N_PACKETS]; /* of the sound image; they are copies */
	struct region regions[REGIONS_MAX];
	size_t n_regions;
};

struct tally {
	unsigned n_tried;
	unsigned n_unsound; /* found by the structure alone */
	unsigned n_changed; /* a packet of ours got another verdict */
	unsigned n_missed;
	unsigned n_claims; /* packets named by the proof */
	unsigned n_unseen; /* differences that it says no packet shows */
	unsigned n_false;  /* and not answered as it says */
};

/* ---- an image and packets ---- */

static void add_region(struct subject *subject, const char *name, uint32_t address, uint32_t size,
		       uint32_t step)
{
	if (subject->n_regions < REGIONS_MAX && address && size)
		subject->regions[subject->n_regions++] = (struct region){name, address, size, step};
}

static uint32_t word_at(const struct image *image, uint32_t address)
{
	uint32_t word;

	memcpy(&word, image->tables + address, sizeof(word));
	return word;
}

/* The first 64 bits of an address; of IPv4 32, in front. */
static uint64_t high_of(const struct addr *addr)
{
	uint64_t high = 0;

	for (int i = 0; i < 8; i++)
		high = high << 8 | (addr->family == ADDR_V6 || i < 4 ? addr->bytes[i] : 0);
	return high;
}

/* The subtree of an IPv4 address, and the block that its element leads to. */
static void add_subtree4(struct subject *subject, uint32_t root, uint32_t low)
{
	uint32_t width = root & BH_SUBTREE_WIDTH;
	uint32_t subtree = root & ~(BH_DEEP | 63);
	uint32_t at = subtree + (low >> (16 - width)) * 2;
	uint32_t number = word_at(&subject->image, at) & 0xffff;

	add_region(subject, "subtree", at, 2, 2);
	if (number & 0x8000)
		add_region(subject, "block",
			   subtree + (2U << width) +
				   (number & 0x7fff) * (uint32_t)sizeof(struct bh_block4),
			   sizeof(struct bh_block4), 2);
}

/* Every table that an IPv4 address goes through. */
static void add_address4(struct subject *subject, const struct addr *addr)
{
	const struct bh_head *head = image_head(&subject->image);
	uint32_t at = head->address4 + (uint32_t)(high_of(addr) >> 48) * 4;
	uint32_t element = word_at(&subject->image, at);

	add_region(subject, "root of addresses", at, 4, 4);
	if (!(element & BH_DEEP))
		return;
	if (head->address4_kind == BH_ADDRESS4_BLOCKS)
		add_subtree4(subject, element, (uint32_t)(high_of(addr) >> 32) & 0xffff);
	else
		add_region(subject, "chunk of ranges", element & ~BH_DEEP,
			   4 + word_at(&subject->image, element & ~BH_DEEP) * 4, 4);
}

/* The element that a look-up finds in a table below the root; the table is a region. */
static uint32_t add_table6(struct subject *subject, uint32_t element, const struct addr *addr)
{
	const struct image *image = &subject->image;
	uint32_t at = bh_deep(element);
	uint64_t high = high_of(addr);
	uint32_t n, i;

	if (element & BH_FAN) {
		at += bh_fan_index(element, high) * 4;
		add_region(subject, "fan", at, 4, 4);
		return word_at(image, at);
	}
	if (element & BH_LEAF) {
		const struct bh_leaf6 *leaf = (const void *)(image->tables + at);

		add_region(subject, "leaf", at, sizeof(*leaf), 4);
		for (i = 0; i < BH_LEAF_KEYS && leaf->first[i] <= (high & (BH_LEAF_NONE - 1));)
			i++;
		return leaf->value[i];
	}
	n = word_at(image, at);
	add_region(subject, element & BH_LOW ? "low chunk" : "chunk", at, 8 + n * 12, 4);
	return word_at(image, at + 8 + n * 8 + rng_below(&subject->rng, n) * 4);
}

/* Every table that an IPv6 address goes through; behind a chunk one of its values, whichever. */
static void add_address6(struct subject *subject, const struct addr *addr)
{
	const struct bh_head *head = image_head(&subject->image);
	uint32_t bits = head->address6_bits;
	uint64_t high = high_of(addr);
	uint64_t index = high >> 61 == 1 ? high << 3 >> (64 - bits) : (1U << bits) + (high >> 61);
	uint32_t at = head->address6 + (uint32_t)index * 4;
	uint32_t element = word_at(&subject->image, at);

	add_region(subject, "root of addresses", at, 4, 4);
	while (element & BH_DEEP)
		element = add_table6(subject, element, addr);
}

static void add_product(struct subject *subject, const struct bh_direction_head *head)
{
	uint32_t n_sets = head->n_source + head->n_destination + head->n_pair;

	if (head->product == BH_PRODUCT_PAIRS) {
		add_region(subject, "pair", head->pair, head->n_source * head->n_destination * 2,
			   2);
		add_region(subject, "rows", head->row, head->n_pair * head->row_len * 4, 4);
		add_region(subject, "block of a row", word_at(&subject->image, head->row), 64, 2);
		return;
	}
	add_region(subject, "places of sets", head->pair, n_sets * 4, 4);
	add_region(subject, "a set",
		   word_at(&subject->image, head->pair + rng_below(&subject->rng, n_sets) * 4),
		   head->row_len * 8, 4);
	add_region(subject, "outcomes of first rules", head->row,
		   (head->tier_rules[0] + 1U) * (head->tier_rules[1] + 1U) *
			   (head->tier_rules[2] + 1U) * 2,
		   2);
}

static void add_direction(struct subject *subject, const struct bh_direction_head *head)
{
	const struct bh_proto_slot *slot = (const void *)(subject->image.tables + head->slots);

	slot += rng_below(&subject->rng, head->n_slots);
	for (int side = 0; side < 2; side++)
		add_region(subject, "side", head->side[side],
			   image_head(&subject->image)->n_classes * 4, 2);
	add_product(subject, head);
	add_region(subject, "slot of a protocol", head->slot_of, 1024, 2);
	add_region(subject, "slot", head->slots, head->n_slots * sizeof(*slot), 4);
	add_region(subject, "cells", slot->cells, slot->n_destination * 2, 2);
	add_region(subject, "root of ports", slot->destination_root, 1024, 4);
	if (slot->destination_root)
		add_region(subject, "ports",
			   word_at(&subject->image,
				   slot->destination_root + rng_below(&subject->rng, 256) * 4),
			   512, 2);
}

/* The head's words that say where tables lie are words like others. */
static void find_regions(struct subject *subject)
{
	const struct bh_head *head = image_head(&subject->image);

	subject->n_regions = 0;
	add_region(subject, "head", offsetof(struct bh_head, address4), 16, 4);
	add_region(subject, "head of directions", offsetof(struct bh_head, direction),
		   sizeof(head->direction), 4);
	add_region(subject, "outcomes", head->outcomes,
		   head->n_outcomes * sizeof(struct bh_outcome), 2);
	for (int d = 0; d < BH_DIRECTION_COUNT; d++)
		add_direction(subject, &head->direction[d]);
	for (int i = 0; i < 2; i++) {
		const struct tuple *packet = &subject->packets[rng_below(&subject->rng, N_PACKETS)];

		const struct addr *addr = i ? &packet->destination : &packet->source;

		(addr->family == ADDR_V4 ? add_address4 : add_address6)(subject, addr);
	}
}

static const struct bh_outcome *answer(const struct subject *subject, const struct tuple *packet)
{
	return lookup(&subject->image, packet, &subject->made.self);
}

static bool subject_make(struct subject *subject, uint64_t seed)
{
	scoped(diag_free) struct diag *diag = diag_new();
	struct build_limits limits = judge_lookup_limits(seed % JUDGES_LOOKUP_STRUCTURES);

	*subject = (struct subject){.arena = arena_new(), .rng = {seed}};
	random_policy(subject->arena, seed, &subject->made);
	if (resolve(subject->arena, subject->made.files.at, subject->made.files.len,
		    &subject->made.host, diag, &subject->policy) ||
	    build(subject->arena, &subject->policy, NULL, 0, &limits, diag, &subject->image)) {
		diag_print(diag, stdout);
		return false;
	}
	for (size_t i = 0; i < N_PACKETS; i++) {
		subject->packets[i] =
			random_packet(&subject->rng, &subject->policy, &subject->made.self);
		subject->answers[i] =
			arena_copy(subject->arena, answer(subject, &subject->packets[i]),
				   sizeof(struct bh_outcome));
	}
	return true;
}

/* ---- the packet that a proof names, as explain takes it and answers ---- */

/* What people are shown is read back as the packet: explain takes it. */
static bool packet_is_read_back(const struct prove_result *result)
{
	scoped(diag_free) struct diag *diag = diag_new();
	char text[TUPLE_TEXT_SIZE], again[TUPLE_TEXT_SIZE];
	struct tuple read;

	tuple_print(&result->packet, text);
	return !tuple_parse(str_of(text), (struct mark){}, diag, &read) &&
	       !strcmp(text, tuple_print(&read, again));
}

/* The plain loop, with all that is decided before any rule, answers as the proof says. */
static bool policy_says(const struct subject *subject, const struct prove_result *result,
			const addr_list *self)
{
	struct verdict said = verdict_of_outcome(&result->expected);
	struct verdict answered = eval(&subject->policy, &result->packet, self);
	const struct policy_outcome *outcome = &answered.outcome;

	return answered.reason == said.reason && answered.allow == said.allow &&
	       answered.would_deny == said.would_deny &&
	       !memcmp(outcome->tier_rule, said.outcome.tier_rule, sizeof(outcome->tier_rule)) &&
	       outcome->rule == said.outcome.rule && outcome->log == said.outcome.log &&
	       outcome->keep == said.outcome.keep && outcome->no_group == said.outcome.no_group;
}

/* The proof's packet is answered by the image and by the policy as it says, and not alike. */
static bool claim_is_true(const struct subject *subject, const struct prove_result *result)
{
	struct addr own[2] = {result->self[0], result->self[1]};
	addr_list self = {.at = own, .len = result->n_self};
	const struct bh_outcome *found = lookup(&subject->image, &result->packet, &self);

	return !memcmp(found, &result->found, sizeof(*found)) &&
	       memcmp(found, &result->expected, sizeof(*found)) != 0 &&
	       packet_is_read_back(result) && policy_says(subject, result, &self);
}

/* ---- corruptions ---- */

/* Another value for a word: a bit, a neighbour's value, one more, or anything. */
static uint32_t other_value(struct subject *subject, const struct region *region, uint32_t word)
{
	uint32_t neighbour = rng_below(&subject->rng, region->size / region->step) * region->step;

	switch (rng_below(&subject->rng, 4)) {
	case 0:
		return word ^ 1U << rng_below(&subject->rng, region->step * 8);
	case 1:
		return word_at(&subject->image, region->address + neighbour);
	case 2:
		return word + 1;
	default:
		return (uint32_t)rng_next(&subject->rng);
	}
}

static bool changes_a_verdict(const struct subject *subject)
{
	for (size_t i = 0; i < N_PACKETS; i++)
		if (answer(subject, &subject->packets[i])->verdict != subject->answers[i]->verdict)
			return true;
	return false;
}

static void judge(struct subject *subject, const struct region *region, struct tally *tally)
{
	const char *unsound = verify_tables(&subject->image);
	bool changed = !unsound && changes_a_verdict(subject);
	struct prove_result result;
	bool caught;

	tally->n_tried++;
	tally->n_unsound += unsound != NULL;
	tally->n_changed += changed;
	if (!changed && tally->n_tried % PROVED_ANYWAY)
		return;
	prove(subject->arena, &subject->policy, &subject->image, &result);
	caught = result.answer != PROVE_HOLDS;
	if ((changed || unsound) && !caught) {
		tally->n_missed++;
		printf("# missed in %s\n", region->name);
	}
	tally->n_unseen += result.answer == PROVE_FAULT && !unsound;
	if (result.answer != PROVE_DIFFERS)
		return;
	tally->n_claims++;
	if (!claim_is_true(subject, &result)) {
		char text[TUPLE_TEXT_SIZE];

		printf("# a packet is not answered as the proof says, in %s: %s, %zu own\n",
		       region->name, tuple_print(&result.packet, text), result.n_self);
		tally->n_false++;
	}
}

static void mutate(struct subject *subject, struct tally *tally)
{
	const struct region *region;
	uint32_t address, word, value;

	find_regions(subject);
	region = &subject->regions[rng_below(&subject->rng, subject->n_regions)];
	address = region->address +
		  rng_below(&subject->rng, region->size / region->step) * region->step;
	if (address + 4 > subject->image.tables_size)
		return;
	word = word_at(&subject->image, address);
	value = other_value(subject, region, word);
	memcpy(subject->image.tables + address, &value, region->step);
	judge(subject, region, tally);
	memcpy(subject->image.tables + address, &word, sizeof(word));
}

int main(int argc, char **argv)
{
	unsigned n = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
	struct tally tally = {};

	if (!n) {
		fprintf(stderr, "usage: mutants N\n");
		return 2;
	}
	for (uint64_t seed = 1; tally.n_changed < n && tally.n_tried < TRIES_MAX; seed++) {
		struct subject subject;
		bool made = subject_make(&subject, seed);
		unsigned end = tally.n_tried + PER_POLICY;

		while (made && tally.n_changed < n && tally.n_tried < end)
			mutate(&subject, &tally);
		arena_free(subject.arena);
		if (!made)
			break;
	}
	printf("1..2\n");
	printf("# %u words tried, %u of them unsound; %u packets named, %u differences that none shows\n",
	       tally.n_tried, tally.n_unsound, tally.n_claims, tally.n_unseen);
	printf("%s 1 - %u corruptions that change a verdict are caught\n",
	       tally.n_missed || tally.n_changed < n ? "not ok" : "ok", tally.n_changed);
	printf("%s 2 - each packet that a proof names is read back and answered as it says\n",
	       tally.n_false || !tally.n_claims ? "not ok" : "ok");
	return tally.n_missed || tally.n_false || tally.n_changed < n;
}
