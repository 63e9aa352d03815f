// SPDX-License-Identifier: GPL-2.0-only
/*
 * The steps one after the other: classes, their products, places, bytes. A limit is checked as
 * soon as the step that may pass it has counted, and nothing of the image is written before all
 * have been.
 */
#include "classify/build.h"

#include <errno.h>

#include "classify/addresses.h"
#include "classify/layout.h"
#include "classify/notes.h"
#include "classify/product.h"
#include "classify/protocols.h"
#include "classify/trees.h"

/* Places of one direction's tables, beside those in its head. */
struct direction_build {
	struct protocols protocols;
	struct product product;
	uint32_t *cells; /* of each slot */
};

struct builder {
	struct arena *scratch;
	const struct policy *policy;
	const struct build_limits *limits;
	struct diag *diag;
	struct addresses addresses;
	struct port_tables ports;
	struct product_tables products;
	struct direction_build direction[DIRECTION_COUNT];
	struct tree4 tree4;
	struct tree6 tree6;
	struct layout layout;
	uint64_t counted; /* of the layout, in sizes */
	struct image_sizes sizes;
	struct bh_head head;
	uint32_t roots_place;  /* of all roots of ports, u32[256] each */
	uint32_t ports_place;  /* of all their blocks, u16[256] each */
	uint32_t blocks_place; /* of all blocks of rows */
	uint32_t *set_places;  /* of each set of rules */
};

enum {
	ROOT_SIZE = PROTOCOLS_PORTS * sizeof(uint32_t),
	PORT_BLOCK_SIZE = PROTOCOLS_PORTS * sizeof(uint16_t),
	ROW_BLOCK_SIZE = PRODUCT_BLOCK * sizeof(uint16_t),
	CACHE_LINE = 64,
	MB = 1 << 20,
};

struct build_limits build_limits_default(void)
{
	return (struct build_limits){
		.pages = BH_IMAGE_PAGES,
		.blocks_budget = 32ULL * MB,
		.force_address4 = -1,
		.few_address6 = TREE6_FEW,
		.force_product = -1,
		.near_size = BH_PAGE_SIZE,
	};
}

static void builder_init(struct builder *builder)
{
	builder->ports = (struct port_tables){intern_new(), intern_new()};
	builder->products = (struct product_tables){intern_new(), intern_new(), intern_new()};
	builder->layout.near_end = builder->limits->near_size;
}

static void builder_fini(struct builder *builder)
{
	intern_free(builder->ports.blocks);
	intern_free(builder->ports.roots);
	intern_free(builder->products.outcomes);
	intern_free(builder->products.blocks);
	intern_free(builder->products.sets);
	tree4_fini(&builder->tree4);
	tree6_fini(&builder->tree6);
	addresses_fini(&builder->addresses);
}

/* ---- classes and products ---- */

static int check_rules(const struct builder *builder)
{
	size_t n = builder->policy->rules.len;

	if (n > BH_NO_RULE)
		return diag_refuse(builder->diag, -E2BIG, "the policy has %zu rules, and %d fit", n,
				   BH_NO_RULE);
	return 0;
}

static int make_direction(struct builder *builder, enum policy_direction direction)
{
	struct direction_rules rules = direction_rules_of(builder->policy, direction);
	struct direction_build *made = &builder->direction[direction];
	const struct product_input input = {
		.rules = &rules,
		.addresses = &builder->addresses,
		.protocols = &made->protocols,
		.tables = &builder->products,
		.force = builder->limits->force_product,
	};
	int r = protocols_classify(builder->scratch, &rules, &builder->ports, builder->diag,
				   &made->protocols);

	if (r)
		return r;
	return product_make(builder->scratch, &input, builder->diag, &made->product);
}

static int make_tables(struct builder *builder)
{
	int r = check_rules(builder);

	if (!r)
		r = addresses_classify(builder->scratch, builder->policy, builder->diag,
				       &builder->addresses);
	for (int d = 0; d < DIRECTION_COUNT && !r; d++)
		r = make_direction(builder, d);
	if (!r)
		r = tree6_make(builder->scratch, &builder->addresses,
			       builder->limits->force_address6_bits, builder->limits->few_address6,
			       builder->diag, &builder->tree6);
	if (r)
		return r;
	tree4_make(builder->scratch, &builder->addresses, &builder->tree4);
	addresses_fini(&builder->addresses);
	if (builder->limits->force_address4 >= 0)
		builder->tree4.kind = builder->limits->force_address4;
	else if (tree4_blocks_size(&builder->tree4) > builder->limits->blocks_budget)
		builder->tree4.kind = BH_ADDRESS4_RANGES;
	return 0;
}

/* ---- places ---- */

/* Classes of bits; n_pair are those of protocols. */
static uint32_t n_sets(const struct product *product)
{
	return product->n_side[0] + product->n_side[1] + product->n_pair;
}

static uint64_t pair_size(const struct product *product)
{
	if (product->kind == BH_PRODUCT_BITS)
		return n_sets(product) * sizeof(uint32_t);
	return (uint64_t)product->n_side[0] * product->n_side[1] * sizeof(uint16_t);
}

static uint64_t row_size(const struct product *product)
{
	if (product->kind == BH_PRODUCT_BITS)
		return product->n_row * sizeof(uint16_t);
	return (uint64_t)product->n_pair * product->row_len * sizeof(uint32_t);
}

/* What has been placed since the last call is counted as that structure's. */
static void count(struct builder *builder, uint64_t *size)
{
	*size += builder->layout.end - builder->counted;
	builder->counted = builder->layout.end;
}

/* What every packet of the direction reads, besides the address tables. */
static void place_direction(struct builder *builder, enum policy_direction direction)
{
	struct direction_build *made = &builder->direction[direction];
	struct bh_direction_head *head = &builder->head.direction[direction];
	struct layout *layout = &builder->layout;
	const struct product *product = &made->product;

	head->slot_of = layout_take(layout, PROTOCOLS_SLOT_OF * sizeof(uint16_t), CACHE_LINE);
	head->n_slots = made->protocols.slots.len;
	head->slots = layout_take(layout, head->n_slots * sizeof(struct bh_proto_slot),
				  sizeof(struct bh_proto_slot));
	made->cells = arena_calloc(builder->scratch, head->n_slots, sizeof(*made->cells));
	for (uint32_t i = 0; i < head->n_slots; i++) {
		const struct proto_slot *slot = &made->protocols.slots.at[i];

		made->cells[i] =
			layout_take(layout, (uint64_t)slot->n[0] * slot->n[1] * sizeof(uint16_t),
				    sizeof(uint16_t));
	}
	count(builder, &builder->sizes.services[direction]);
	for (int side = 0; side < 2; side++) {
		head->side[side] =
			layout_take(layout, product->side_len * sizeof(uint16_t), CACHE_LINE);
		count(builder, &builder->sizes.side[direction][side]);
	}
	head->sides_address = product->sides_address;
	head->sides_self = product->sides_self;
	head->product = product->kind;
	head->n_source = product->n_side[0];
	head->n_destination = product->n_side[1];
	head->n_pair = product->n_pair;
	head->row_len = product->row_len;
	memcpy(head->tier_end, product->tier_end, sizeof(head->tier_end));
	memcpy(head->tier_rules, product->tier_rules, sizeof(head->tier_rules));
	head->pair = layout_take(layout, pair_size(product), CACHE_LINE);
	count(builder, &builder->sizes.product[direction]);
}

static void place_rows(struct builder *builder, enum policy_direction direction)
{
	struct bh_direction_head *head = &builder->head.direction[direction];

	head->row = layout_take(&builder->layout, row_size(&builder->direction[direction].product),
				CACHE_LINE);
	count(builder, &builder->sizes.product[direction]);
}

static void place_sets(struct builder *builder)
{
	uint32_t n = intern_len(builder->products.sets);

	builder->set_places = arena_calloc(builder->scratch, n, sizeof(*builder->set_places));
	for (uint32_t i = 0; i < n; i++)
		builder->set_places[i] = layout_take_whole(
			&builder->layout, intern_size(builder->products.sets, i), sizeof(uint64_t));
}

/* In the order of use; what comes first lies in page 0. */
static void place_all(struct builder *builder)
{
	struct layout *layout = &builder->layout;
	struct image_sizes *sizes = &builder->sizes;

	(void)layout_take(layout, sizeof(struct bh_head), CACHE_LINE);
	count(builder, &sizes->head);
	for (int d = 0; d < DIRECTION_COUNT; d++)
		place_direction(builder, d);
	builder->roots_place = layout_take(
		layout, (uint64_t)intern_len(builder->ports.roots) * ROOT_SIZE, CACHE_LINE);
	builder->ports_place = layout_take(
		layout, (uint64_t)intern_len(builder->ports.blocks) * PORT_BLOCK_SIZE, CACHE_LINE);
	count(builder, &sizes->ports);
	builder->head.outcomes = layout_take(layout,
					     (uint64_t)intern_len(builder->products.outcomes) *
						     sizeof(struct bh_outcome),
					     sizeof(struct bh_outcome));
	count(builder, &sizes->outcomes);
	for (int d = 0; d < DIRECTION_COUNT; d++)
		place_rows(builder, d);
	tree4_place_root(&builder->tree4, layout);
	count(builder, &sizes->address4);
	builder->blocks_place =
		layout_take(layout, (uint64_t)intern_len(builder->products.blocks) * ROW_BLOCK_SIZE,
			    ROW_BLOCK_SIZE);
	count(builder, &sizes->blocks);
	place_sets(builder);
	count(builder, &sizes->sets);
	tree6_place_root(&builder->tree6, layout);
	tree6_place(builder->scratch, &builder->tree6, layout);
	count(builder, &sizes->address6);
	tree4_place(builder->scratch, &builder->tree4, layout);
	count(builder, &sizes->address4);
}

static int check_size(const struct builder *builder)
{
	uint64_t size = builder->layout.end;
	uint64_t fits = (uint64_t)builder->limits->pages * BH_PAGE_SIZE;
	uint64_t addresses = builder->sizes.address4 + builder->sizes.address6;

	if (size <= fits)
		return 0;
	return diag_refuse(builder->diag, -E2BIG,
			   "the tables need %llu MB, of which %llu MB find the classes of %u "
			   "prefixes, and %llu MB fit",
			   (unsigned long long)(size + MB - 1) / MB,
			   (unsigned long long)(addresses + MB - 1) / MB,
			   builder->addresses.n_prefixes, (unsigned long long)fits / MB);
}

/* ---- host.yaml ---- */

static uint32_t place_table(struct bh_config *config, enum bh_table table, uint32_t entries,
			    uint32_t bucket_size, uint32_t first_page)
{
	uint64_t n_buckets = entries > BH_WAYS ? entries / BH_WAYS : 1;
	uint64_t size = n_buckets * bucket_size;

	config->tables[table] = (struct bh_table_place){first_page, (uint32_t)n_buckets - 1};
	return first_page + (size + BH_STATE_PAGE_SIZE - 1) / BH_STATE_PAGE_SIZE;
}

uint32_t build_state(const struct hostconf *host, struct bh_config *config)
{
	uint32_t flows = host->table_flows;
	uint32_t half_open = host->table_half_open;
	uint32_t page = 0;

	page = place_table(config, BH_TABLE_HALF_OPEN4, half_open, BH_BUCKET4_SIZE, page);
	page = place_table(config, BH_TABLE_HALF_OPEN6, half_open, BH_BUCKET6_SIZE, page);
	page = place_table(config, BH_TABLE_ESTABLISHED4, flows, BH_BUCKET4_SIZE, page);
	page = place_table(config, BH_TABLE_ESTABLISHED6, flows, BH_BUCKET6_SIZE, page);
	return place_table(config, BH_TABLE_FRAGMENTS, host->table_fragments, BH_BUCKET6_SIZE,
			   page);
}

static int place_state(const struct builder *builder, struct bh_config *config)
{
	const struct hostconf *host = &builder->policy->host;
	uint32_t pages = build_state(host, config);

	if (pages <= BH_STATE_PAGES)
		return 0;
	return diag_refuse(builder->diag, -E2BIG,
			   "tables of %u flows, %u half-open and %u fragments need %u pages of "
			   "%u KB, and %d fit",
			   host->table_flows, host->table_half_open, host->table_fragments, pages,
			   BH_STATE_VALUE_SIZE / 1024, BH_STATE_PAGES);
}

static int make_config(struct builder *builder)
{
	const struct hostconf *host = &builder->policy->host;
	struct bh_config *config = &builder->head.config;

	config->log_limit = host->log_limit;
	config->audit = host->mode == AST_AUDIT;
	config->tcp_pickup = host->tcp_pickup;
	config->keep = host->existing_flows == AST_KEEP;
	config->platform_azure = host->platform_azure;
#define X(constant, name, seconds) \
	config->timeouts[BH_TIMEOUT_##constant] = host->timeouts[TIMEOUT_##constant];
	HOSTCONF_TIMEOUTS(X)
#undef X
#define X(constant, name)                          \
	if (!host->never_denied[NEVER_##constant]) \
		config->never_off |= (uint64_t)1 << BH_REASON_##constant;
	HOSTCONF_NEVER_DENIED(X)
#undef X
	return place_state(builder, config);
}

/* ---- bytes ---- */

static uint32_t root_address(const struct builder *builder, uint32_t root)
{
	return root ? builder->roots_place + (root - 1) * ROOT_SIZE : 0;
}

static void write_pairs(const struct builder *builder, const struct product *product,
			const struct bh_direction_head *head, uint8_t *tables)
{
	uint32_t *row = (void *)(tables + head->row);

	memcpy(tables + head->pair, product->pair, pair_size(product));
	for (size_t i = 0; i < (size_t)head->n_pair * head->row_len; i++)
		row[i] = builder->blocks_place + product->rows[i] * ROW_BLOCK_SIZE;
}

static void write_bits(const struct builder *builder, const struct product *product,
		       const struct bh_direction_head *head, uint8_t *tables)
{
	uint32_t *addresses = (void *)(tables + head->pair);

	for (uint32_t i = 0; i < n_sets(product); i++)
		addresses[i] = builder->set_places[product->set_of[i]];
	memcpy(tables + head->row, product->row, row_size(product));
}

static void write_sets(const struct builder *builder, uint8_t *tables)
{
	for (uint32_t i = 0; i < intern_len(builder->products.sets); i++)
		memcpy(tables + builder->set_places[i], intern_get(builder->products.sets, i),
		       intern_size(builder->products.sets, i));
}

static void write_direction(const struct builder *builder, enum policy_direction direction,
			    uint8_t *tables)
{
	const struct direction_build *made = &builder->direction[direction];
	const struct bh_direction_head *head = &builder->head.direction[direction];
	const struct product *product = &made->product;
	struct bh_proto_slot *slots = (void *)(tables + head->slots);

	memcpy(tables + head->slot_of, made->protocols.slot_of, sizeof(made->protocols.slot_of));
	for (uint32_t i = 0; i < head->n_slots; i++) {
		const struct proto_slot *slot = &made->protocols.slots.at[i];

		slots[i] = (struct bh_proto_slot){
			.source_root = root_address(builder, slot->root[0]),
			.destination_root = root_address(builder, slot->root[1]),
			.cells = made->cells[i],
			.n_destination = slot->n[1],
		};
		memcpy(tables + made->cells[i], slot->cells,
		       (size_t)slot->n[0] * slot->n[1] * sizeof(*slot->cells));
	}
	for (int side = 0; side < 2; side++)
		memcpy(tables + head->side[side], product->side[side],
		       product->side_len * sizeof(*product->side[side]));
	if (product->kind == BH_PRODUCT_BITS)
		write_bits(builder, product, head, tables);
	else
		write_pairs(builder, product, head, tables);
}

static void write_ports(const struct builder *builder, uint8_t *tables)
{
	for (uint32_t i = 0; i < intern_len(builder->ports.roots); i++) {
		const uint32_t *blocks = intern_get(builder->ports.roots, i);
		uint32_t *root = (void *)(tables + root_address(builder, i + 1));

		for (uint32_t high = 0; high < PROTOCOLS_PORTS; high++)
			root[high] = builder->ports_place + blocks[high] * PORT_BLOCK_SIZE;
	}
	for (uint32_t i = 0; i < intern_len(builder->ports.blocks); i++)
		memcpy(tables + builder->ports_place + (size_t)i * PORT_BLOCK_SIZE,
		       intern_get(builder->ports.blocks, i), PORT_BLOCK_SIZE);
}

static void write_all(struct builder *builder, uint8_t *tables, uint32_t n_pages)
{
	struct bh_head *head = &builder->head;

	head->magic = BH_IMAGE_MAGIC;
	head->abi = BH_ABI_VERSION;
	head->n_pages = n_pages;
	head->n_outcomes = intern_len(builder->products.outcomes);
	head->n_classes = builder->addresses.n_classes;
	head->address4 = builder->tree4.root_place;
	head->address4_kind = builder->tree4.kind;
	head->address6 = builder->tree6.root_place;
	head->address6_bits = builder->tree6.bits;
	memcpy(tables, head, sizeof(*head));
	for (int d = 0; d < DIRECTION_COUNT; d++)
		write_direction(builder, d, tables);
	write_ports(builder, tables);
	write_sets(builder, tables);
	for (uint32_t i = 0; i < head->n_outcomes; i++)
		memcpy(tables + head->outcomes + i * sizeof(struct bh_outcome),
		       intern_get(builder->products.outcomes, i), sizeof(struct bh_outcome));
	for (uint32_t i = 0; i < intern_len(builder->products.blocks); i++)
		memcpy(tables + builder->blocks_place + (size_t)i * ROW_BLOCK_SIZE,
		       intern_get(builder->products.blocks, i), ROW_BLOCK_SIZE);
	tree4_write(&builder->tree4, tables);
	tree6_write(&builder->tree6, tables);
}

static struct image_choice4 choice4_of(const struct builder *builder)
{
	return (struct image_choice4){
		.blocks_size = tree4_blocks_size(&builder->tree4),
		.ranges_size = tree4_ranges_size(&builder->tree4),
		.blocks_budget = builder->limits->blocks_budget,
		.n_ranges = builder->addresses.n_v4,
		.n_deep = intern_len(builder->tree4.chunks),
	};
}

static struct image_choice6 choice6_of(const struct builder *builder)
{
	const struct tree6 *tree = &builder->tree6;

	return (struct image_choice6){
		.bits = tree->bits,
		.n_ranges = builder->addresses.n_v6,
		.n_fans = intern_len(tree->fans),
		.n_leaves = intern_len(tree->leaves),
		.n_lists = intern_len(tree->chunks),
		.longest = tree->longest,
	};
}

/* Sets that are equal are kept once, which is not known before they are made. */
static void count_bits(const struct builder *builder, enum policy_direction direction,
		       struct image_choice_product *choice)
{
	const struct product *product = &builder->direction[direction].product;
	uint64_t n_classes = product->n_side[0] + product->n_side[1] +
			     builder->direction[direction].protocols.n_classes;
	uint64_t n_outcomes = 1;

	for (int tier = 0; tier < TIER_COUNT; tier++) {
		uint32_t n = builder->policy->n[direction][tier];

		choice->n_words += (n + 63) / 64;
		n_outcomes *= n + 1;
	}
	choice->bits_size = n_classes * (choice->n_words * sizeof(uint64_t) + sizeof(uint32_t)) +
			    n_outcomes * sizeof(uint16_t);
}

static struct image_choice_product choice_of(struct arena *arena, const struct builder *builder,
					     enum policy_direction direction)
{
	const struct direction_build *made = &builder->direction[direction];
	struct image_choice_product choice = {
		.why_bits = made->product.why_bits
				    ? arena_printf(arena, "%s", made->product.why_bits)
				    : NULL,
		.n_slots = made->protocols.slots.len,
	};

	for (size_t i = 0; i < made->protocols.slots.len; i++) {
		const uint32_t *n = made->protocols.slots.at[i].n;

		if ((uint64_t)n[0] * n[1] > (uint64_t)choice.n_ports[0] * choice.n_ports[1])
			memcpy(choice.n_ports, n, sizeof(choice.n_ports));
	}
	count_bits(builder, direction, &choice);
	return choice;
}

static struct image_figures figures_of(struct arena *arena, const struct builder *builder)
{
	struct image_figures figures = {
		.n_rules = builder->policy->rules.len,
		.n_prefixes = builder->addresses.n_prefixes,
		.n_classes = builder->addresses.n_classes,
		.n_outcomes = intern_len(builder->products.outcomes),
		.tables_size = builder->layout.end,
		.sizes = builder->sizes,
		.choice4 = choice4_of(builder),
		.choice6 = choice6_of(builder),
	};

	for (int d = 0; d < DIRECTION_COUNT; d++) {
		const struct direction_build *made = &builder->direction[d];

		figures.n_source_classes[d] = made->product.n_side[0];
		figures.n_destination_classes[d] = made->product.n_side[1];
		figures.product[d] = made->product.kind;
		figures.n_pair_classes[d] = made->product.n_pair;
		figures.n_protocol_classes[d] = made->protocols.n_classes;
		figures.choice[d] = choice_of(arena, builder, d);
	}
	return figures;
}

static int build_tables(struct arena *arena, struct builder *builder, struct image *ret_image)
{
	struct image image = {};
	int r = make_config(builder);

	if (!r)
		r = make_tables(builder);
	if (r)
		return r;
	place_all(builder);
	r = check_size(builder);
	if (r)
		return r;
	image.tables_size = builder->layout.end;
	image.n_pages = (image.tables_size + BH_PAGE_SIZE - 1) / BH_PAGE_SIZE;
	image.tables = arena_calloc(arena, image.n_pages, BH_PAGE_SIZE);
	write_all(builder, image.tables, image.n_pages);
	image.figures = figures_of(arena, builder);
	*ret_image = image;
	return 0;
}

/* NOLINTNEXTLINE(readability-function-size): seven things make an image, and none is optional */
int build(struct arena *arena, const struct policy *policy, const struct source *const *sources,
	  size_t n_sources, const struct build_limits *limits, struct diag *diag,
	  struct image *ret_image)
{
	scoped(arena_free) struct arena *scratch = arena_new();
	struct builder builder = {
		.scratch = scratch,
		.policy = policy,
		.limits = limits,
		.diag = diag,
	};
	struct image image;
	int r;

	builder_init(&builder);
	r = build_tables(arena, &builder, &image);
	builder_fini(&builder);
	if (r)
		return r;
	notes_make(arena, policy, sources, n_sources, &image.notes);
	*ret_image = image;
	return 0;
}
