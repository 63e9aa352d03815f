// SPDX-License-Identifier: GPL-2.0-only
/*
 * A table of measured look-ups by form and by the bytes that they go through, and the sentences that
 * say why a form was chosen. A packet's way is the sum of what it uses.
 */
#include "classify/costs.h"

#include <inttypes.h>

#include "classify/product.h"
#include "classify/trees.h"

enum { MB = 1 << 20, FAMILIES = 2, INDEX4_SIZE = TREE4_ROOT * sizeof(uint32_t) };

/*
 * Measured, see "What it costs" in docs/datapath.md: one look-up in up to so many bytes. What lies
 * in the second cache, in the third, and behind it.
 */
struct step {
	uint64_t up_to;
	struct cost_ns ns;
};

enum { STEPS = 4, INDEX_ALONE = 320 << 10 };

static const struct step blocks4[STEPS] = {
	{INDEX_ALONE, {7, 9}}, {MB, {10, 13}}, {32 * MB, {12, 24}}, {UINT64_MAX, {13, 55}}};
static const struct step ranges4[STEPS] = {
	{INDEX_ALONE, {8, 12}}, {MB, {12, 39}}, {8 * MB, {12, 45}}, {UINT64_MAX, {13, 70}}};
static const struct step fans6[STEPS] = {
	{INDEX_ALONE, {15, 17}}, {4 * MB, {21, 30}}, {32 * MB, {27, 55}}, {UINT64_MAX, {30, 90}}};
static const struct step load[STEPS] = {
	{INDEX_ALONE, {1, 1}}, {4 * MB, {2, 3}}, {32 * MB, {2, 8}}, {UINT64_MAX, {2, 41}}};

static const struct cost_ns own_address = {4, 4};
static const struct cost_ns opened_and_counted = {5, 6};
static const struct cost_ns one_word = {1.5, 3.2};		      /* of three sets of rules */
static const struct cost_ns flows[FAMILIES] = {{39, 145}, {45, 180}}; /* all, and counted */

static struct cost_ns look_up(const struct step *steps, uint64_t size)
{
	while (size > steps->up_to)
		steps++;
	return steps->ns;
}

static struct cost_ns times(struct cost_ns ns, double n)
{
	return (struct cost_ns){ns.hot * n, ns.cold * n};
}

static void add(struct cost_ns *sum, struct cost_ns ns)
{
	sum->hot += ns.hot;
	sum->cold += ns.cold;
}

/* What the parts are made of and into. */
struct maker {
	struct arena *arena;
	const struct image *image;
	const struct image_figures *figures;
	const struct bh_head *head;
	struct costs *costs;
	struct cost_ns address[FAMILIES]; /* one look-up */
};

#define TEXT(maker, ...) arena_printf((maker)->arena, __VA_ARGS__)

static void reason(struct maker *maker, struct cost *cost, const char *sentence)
{
	array_push(maker->arena, &cost->reasons, sentence);
}

/* "1 fan", "2 fans", "2 classes". */
static const char *amount(struct maker *maker, uint32_t n, const char *one)
{
	size_t len = strlen(one);

	return TEXT(maker, "%u %s%s", n, one, n == 1 ? "" : one[len - 1] == 's' ? "es" : "s");
}

static void put(struct maker *maker, struct cost cost)
{
	if (!cost.used)
		cost.ns = (struct cost_ns){};
	array_push(maker->arena, &maker->costs->parts, cost);
}

/* ---- what both directions use ---- */

/* Whether rules of either direction name addresses, or self, on either side. */
static bool addresses_used(const struct bh_head *head)
{
	return head->direction[BH_IN].sides_address | head->direction[BH_OUT].sides_address;
}

static bool self_used(const struct bh_head *head)
{
	return head->direction[BH_IN].sides_self | head->direction[BH_OUT].sides_self;
}

static void put_addresses4(struct maker *maker)
{
	const struct image_choice4 *choice = &maker->figures->choice4;
	bool blocks = maker->head->address4_kind == BH_ADDRESS4_BLOCKS;
	struct cost cost = {
		.name = "IPv4 addresses",
		.form = blocks ? "blocks" : "ranges",
		.size = maker->figures->sizes.address4,
		.of_image = true,
		.used = addresses_used(maker->head),
	};

	cost.ns = look_up(blocks ? blocks4 : ranges4, cost.size);
	maker->address[0] = cost.ns;
	if (!cost.used) {
		reason(maker, &cost, "no rule names an address: no packet looks here");
	} else if (!choice->n_deep) {
		reason(maker, &cost,
		       TEXT(maker,
			    "every /16 is of one class: the index of %u bytes "
			    "is all",
			    INDEX4_SIZE));
	} else {
		reason(maker, &cost,
		       TEXT(maker,
			    "the rules cut IPv4 into %s; behind the index of %u bytes, a /16 "
			    "that is not of one class (%u different ones) has a table of its own",
			    amount(maker, choice->n_ranges, "range"), INDEX4_SIZE, choice->n_deep));
		reason(maker, &cost,
		       TEXT(maker,
			    "as blocks these tables take %" PRIu64 " bytes, and up to %" PRIu64
			    " they are chosen: two loads find any class",
			    choice->blocks_size, choice->blocks_budget));
		reason(maker, &cost,
		       TEXT(maker,
			    "as ranges, which are searched in up to 16 loads, they take %" PRIu64
			    " bytes",
			    choice->ranges_size));
	}
	put(maker, cost);
}

static void reason_ranges6(struct maker *maker, struct cost *cost)
{
	const struct image_choice6 *choice = &maker->figures->choice6;
	unsigned steps = 1;

	while (choice->n_ranges >> steps)
		steps++;
	reason(maker, cost,
	       TEXT(maker,
		    "the rules cut IPv6 into %s; one sorted list of them would take %u bytes and %u "
		    "loads, each of which waits for the one before",
		    amount(maker, choice->n_ranges, "range"), choice->n_ranges * 12, steps));
	reason(maker, cost,
	       TEXT(maker,
		    "the index has 2^%u elements behind 2000::/3, half as many as ranges, 2^%u to "
		    "2^%u where no list needs more",
		    choice->bits, TREE6_BITS_MIN, TREE6_BITS_CHOSEN));
	reason(maker, cost,
	       TEXT(maker,
		    "below an element more than %u ranges get a fan that cuts them again (%s), fewer "
		    "a leaf of one cache line (%u)",
		    TREE6_FEW, amount(maker, choice->n_fans, "fan"), choice->n_leaves));
	if (choice->n_lists)
		reason(maker, cost,
		       TEXT(maker,
			    "%s searched, behind three fans or inside a /64; the longest has %u "
			    "entries",
			    choice->n_lists == 1 ? "1 list is"
						 : TEXT(maker, "%u lists are", choice->n_lists),
			    choice->longest));
}

static void put_addresses6(struct maker *maker)
{
	const struct image_choice6 *choice = &maker->figures->choice6;
	struct cost cost = {
		.name = "IPv6 addresses",
		.form = choice->n_fans	   ? "index and fans"
			: choice->n_leaves ? "index and leaves"
			: choice->n_lists  ? "index and lists"
					   : "index",
		.size = maker->figures->sizes.address6,
		.of_image = true,
		.used = addresses_used(maker->head),
	};

	cost.ns = look_up(fans6, cost.size);
	maker->address[1] = cost.ns;
	if (!cost.used)
		reason(maker, &cost, "no rule names an address: no packet looks here");
	else if (choice->n_ranges == 1)
		reason(maker, &cost,
		       TEXT(maker,
			    "no rule names an IPv6 address: the index, by %u "
			    "bits behind 2000::/3, is all",
			    choice->bits));
	else
		reason_ranges6(maker, &cost);
	put(maker, cost);
}

static void put_own(struct maker *maker)
{
	struct cost cost = {
		.name = "own addresses",
		.form = TEXT(maker, "%u places", BH_SELF_BUCKETS * BH_SELF_WAYS),
		.size = sizeof(struct bh_self),
		.used = self_used(maker->head),
		.ns = own_address,
	};

	reason(maker, &cost,
	       cost.used ? "rules say self: an exact match on the host's addresses, which are not "
			   "part of the image, so that a new address needs no new image"
			 : "no rule says self: no packet looks here");
	put(maker, cost);
}

static void put_shared(struct maker *maker)
{
	const struct image_sizes *sizes = &maker->figures->sizes;
	struct cost ports = {
		.name = "ports",
		.form = "bytes of a port",
		.size = sizes->ports,
		.of_image = true,
		.used = sizes->ports > 0,
		.ns = times(look_up(load, sizes->ports), 2),
	};
	struct cost outcomes = {
		.name = "outcomes",
		.form = amount(maker, maker->figures->n_outcomes, "outcome"),
		.size = sizes->outcomes,
		.of_image = true,
		.used = true,
		.ns = look_up(load, sizes->outcomes),
	};
	struct cost head = {
		.name = "head and counting",
		.form = "head",
		.size = sizes->head,
		.of_image = true,
		.used = true,
		.ns = opened_and_counted,
	};

	reason(maker, &ports,
	       ports.used ? "a class by the high byte of a port, then by the low one; equal tables "
			    "of all protocols and both directions are kept once"
			  : "no rule names a port or an ICMP type");
	reason(maker, &outcomes,
	       "verdict, deciding rule and the rule of each tier, 16 bytes for each way in which "
	       "they come together");
	reason(maker, &head,
	       "where the tables are, and host.yaml's settings; the time is that of finding the "
	       "image and of counting the packet");
	put(maker, ports);
	put(maker, outcomes);
	put(maker, head);
}

/* ---- a direction ---- */

static const char *const direction_names[BH_DIRECTION_COUNT] = {"inbound", "outbound"};

/* What tells the classes of a side apart. */
static const char *side_form(struct maker *maker, const struct bh_direction_head *tables, int side,
			     uint32_t n)
{
	bool address = tables->sides_address & 1 << side;
	bool self = tables->sides_self & 1 << side;

	return TEXT(maker, "%s%s", amount(maker, n, "class"),
		    address && self ? " by address and self"
		    : address	    ? " by address"
		    : self	    ? " by self"
				    : "");
}

/* Classes of addresses → those of one side. */
static void put_side(struct maker *maker, int direction, int side)
{
	const struct bh_direction_head *tables = &maker->head->direction[direction];
	uint64_t size = maker->figures->sizes.side[direction][side];
	struct cost cost = {
		.name = TEXT(maker, "%s %s", direction_names[direction],
			     side ? "destinations" : "sources"),
		.form = side_form(maker, tables, side,
				  side ? tables->n_destination : tables->n_source),
		.size = size,
		.of_image = true,
		.used = true,
		.ns = look_up(load, size),
	};
	bool address = tables->sides_address & 1 << side;
	bool self = tables->sides_self & 1 << side;

	reason(maker, &cost,
	       TEXT(maker,
		    "%s of addresses over all rules, and %u for the rules of this side; a packet "
		    "asks %s%s%s for it",
		    amount(maker, maker->figures->n_classes, "class"),
		    side ? tables->n_destination : tables->n_source,
		    address ? "the table of addresses" : "", address && self ? " and " : "",
		    self      ? "the own addresses"
		    : address ? ""
			      : "nothing"));
	for (int family = 0; family < FAMILIES; family++) {
		struct cost_ns *sum = &maker->costs->packet[direction][family];

		add(sum, cost.ns);
		if (address)
			add(sum, maker->address[family]);
		if (self)
			add(sum, own_address);
	}
	put(maker, cost);
}

static struct cost_ns put_services(struct maker *maker, int direction)
{
	const struct image_choice_product *choice = &maker->figures->choice[direction];
	uint64_t size = maker->figures->sizes.services[direction];
	struct cost cost = {
		.name = TEXT(maker, "%s services", direction_names[direction]),
		.form = amount(maker, maker->figures->n_protocol_classes[direction], "class"),
		.size = size,
		.of_image = true,
		.used = true,
		.ns = times(look_up(load, size), 3),
	};

	reason(maker, &cost,
	       TEXT(maker,
		    "rules name %s; where the classes of ports multiply most, it is %u of "
		    "sources times %u of destinations, and %u cells fit",
		    amount(maker, choice->n_slots - 1, "protocol"), choice->n_ports[0],
		    choice->n_ports[1], PROTOCOLS_CELLS_MAX));
	put(maker, cost);
	return cost.ns;
}

static void reason_pairs(struct maker *maker, int direction, struct cost *cost)
{
	const struct image_figures *figures = maker->figures;
	const struct image_choice_product *choice = &figures->choice[direction];
	uint64_t n = (uint64_t)figures->n_source_classes[direction] *
		     figures->n_destination_classes[direction];

	reason(maker, cost,
	       TEXT(maker,
		    "%s of sources times %u of destinations: %" PRIu64
		    " pairs, and %u fit, so a table of all of them, the fastest form",
		    amount(maker, figures->n_source_classes[direction], "class"),
		    figures->n_destination_classes[direction], n, PRODUCT_PAIRS_MAX));
	reason(maker, cost,
	       TEXT(maker,
		    "they come to %s of outcomes by service; blocks of %d outcomes that are "
		    "equal are kept once for both directions, in 'rows of outcomes'",
		    amount(maker, figures->n_pair_classes[direction], "row"), PRODUCT_BLOCK));
	reason(maker, cost,
	       TEXT(maker,
		    "a bit for each rule would take at most %" PRIu64
		    " bytes, and %s of three sets to look through",
		    choice->bits_size, amount(maker, choice->n_words, "word")));
}

static void reason_bits(struct maker *maker, int direction, struct cost *cost)
{
	const struct image_choice_product *choice = &maker->figures->choice[direction];

	if (choice->why_bits[0])
		reason(maker, cost,
		       TEXT(maker, "a table of all pairs of classes does not fit: %s",
			    choice->why_bits));
	reason(maker, cost,
	       TEXT(maker,
		    "in its place, each class of sources, destinations and services has its rules as "
		    "%s of bits (the table 'sets of rules'); a packet looks through three of "
		    "them, to the first rule that is in all",
		    amount(maker, choice->n_words, "word")));
	reason(maker, cost, "the time is that of a packet that only the last rule matches");
}

static struct cost_ns put_product(struct maker *maker, int direction)
{
	const struct image_figures *figures = maker->figures;
	bool bits = figures->product[direction] == BH_PRODUCT_BITS;
	uint64_t size = figures->sizes.product[direction];
	struct cost cost = {
		.name = TEXT(maker, "%s product", direction_names[direction]),
		.form = bits ? "bits" : "pairs",
		.size = size,
		.of_image = true,
		.used = true,
		.ns = times(look_up(load, size + (bits ? 0 : figures->sizes.blocks)), 3),
	};

	if (bits) {
		add(&cost.ns, times(one_word, figures->choice[direction].n_words));
		reason_bits(maker, direction, &cost);
	} else {
		reason_pairs(maker, direction, &cost);
	}
	put(maker, cost);
	return cost.ns;
}

static void put_direction(struct maker *maker, int direction)
{
	const struct image_sizes *sizes = &maker->figures->sizes;
	struct cost_ns all = opened_and_counted;

	for (int side = 0; side < 2; side++)
		put_side(maker, direction, side);
	add(&all, put_services(maker, direction));
	if (sizes->ports)
		add(&all, times(look_up(load, sizes->ports), 2));
	add(&all, put_product(maker, direction));
	add(&all, look_up(load, sizes->outcomes));
	for (int family = 0; family < FAMILIES; family++)
		add(&maker->costs->packet[direction][family], all);
}

/* What products of both directions have in common; its time is in theirs. */
static void put_products(struct maker *maker)
{
	const struct image_sizes *sizes = &maker->figures->sizes;
	struct cost blocks = {
		.name = "rows of outcomes",
		.form = "blocks",
		.size = sizes->blocks,
		.of_image = true,
	};
	struct cost sets = {
		.name = "sets of rules",
		.form = "bits",
		.size = sizes->sets,
		.of_image = true,
	};

	reason(maker, &blocks, "what the products by pairs lead to; its time is in theirs");
	reason(maker, &sets, "what the products by bits look through; its time is in theirs");
	if (blocks.size)
		put(maker, blocks);
	if (sets.size)
		put(maker, sets);
}

/* ---- state ---- */

static uint64_t table_size(const struct bh_config *config, enum bh_table table, uint64_t bucket)
{
	return ((uint64_t)config->tables[table].mask + 1) * (bucket + BH_WAYS * sizeof(uint16_t));
}

static void put_flows(struct maker *maker, int family)
{
	const struct bh_config *config = &maker->head->config;
	enum bh_table half_open = family ? BH_TABLE_HALF_OPEN6 : BH_TABLE_HALF_OPEN4;
	enum bh_table established = family ? BH_TABLE_ESTABLISHED6 : BH_TABLE_ESTABLISHED4;
	uint32_t bucket = family ? BH_BUCKET6_SIZE : BH_BUCKET4_SIZE;
	uint32_t n[2] = {(config->tables[established].mask + 1) * BH_WAYS,
			 (config->tables[half_open].mask + 1) * BH_WAYS};
	struct cost cost = {
		.name = family ? "IPv6 flows" : "IPv4 flows",
		.form = TEXT(maker, "%u + %u half-open", n[0], n[1]),
		.size = table_size(config, established, bucket) +
			table_size(config, half_open, bucket),
		.used = true,
		.ns = flows[family],
	};

	reason(maker, &cost,
	       TEXT(maker,
		    "host.yaml's table sizes: buckets of %u flows in %u bytes, made with the first "
		    "apply whether they fill or not; the times are those of 1,000 flows and of 100,000",
		    BH_WAYS, bucket));
	maker->costs->flow[family] = cost.ns;
	put(maker, cost);
}

static void put_fragments(struct maker *maker)
{
	const struct bh_config *config = &maker->head->config;
	struct cost cost = {
		.name = "fragments",
		.form = TEXT(maker, "%u fragmented packets",
			     (config->tables[BH_TABLE_FRAGMENTS].mask + 1) * BH_WAYS),
		.size = table_size(config, BH_TABLE_FRAGMENTS, BH_BUCKET6_SIZE),
	};

	reason(maker, &cost, "host.yaml's table size; only fragments look here");
	put(maker, cost);
}

void costs_make(struct arena *arena, const struct image *image, struct costs *ret_costs)
{
	struct costs costs = {};
	struct maker maker = {
		.arena = arena,
		.image = image,
		.figures = &image->figures,
		.head = image_head(image),
		.costs = &costs,
	};

	put_addresses4(&maker);
	put_addresses6(&maker);
	put_own(&maker);
	for (int direction = 0; direction < BH_DIRECTION_COUNT; direction++)
		put_direction(&maker, direction);
	put_products(&maker);
	put_shared(&maker);
	for (int family = 0; family < FAMILIES; family++)
		put_flows(&maker, family);
	put_fragments(&maker);
	*ret_costs = costs;
}
