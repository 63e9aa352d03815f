// SPDX-License-Identifier: GPL-2.0-only
/*
 * An image as text, one fact a line. Tables are printed by what they mean (where a class begins,
 * not where its bytes lie), so that a golden file changes when the meaning or the choice of a
 * structure does.
 */
#include <inttypes.h>

#include "classify/image.h"

struct printer {
	const struct image *image;
	const struct bh_head *head;
	FILE *out;
	uint32_t last; /* the class, or outcome, of the run being printed; UINT32_MAX: none */
};

static const char *const directions[] = {"inbound", "outbound"};
static const char *const tiers[] = {"admin", "subnet", "nic"};
static const char *const verdicts[] = {"deny", "allow", "would-deny"};
static const char *const accesses[] = {"allow", "deny", "always-allow"};

static uint16_t read16(const struct printer *printer, uint32_t address)
{
	uint16_t number;

	memcpy(&number, printer->image->tables + address, sizeof(number));
	return number;
}

static uint32_t read32(const struct printer *printer, uint32_t address)
{
	uint32_t number;

	memcpy(&number, printer->image->tables + address, sizeof(number));
	return number;
}

static uint64_t read64(const struct printer *printer, uint32_t address)
{
	uint64_t number;

	memcpy(&number, printer->image->tables + address, sizeof(number));
	return number;
}

/* ---- notes ---- */

/* A path may have any bytes in it. */
static const char *path_of(struct arena *arena, const struct printer *printer, size_t source)
{
	return str_make_visible(
		str_dup(arena, str_of(printer->image->notes.sources.at[source].path)));
}

static void print_place(const struct printer *printer, uint32_t source, uint32_t line)
{
	scoped(arena_free) struct arena *arena = arena_new();

	if (source != IMAGE_NO_SOURCE)
		fprintf(printer->out, " at %s:%u", path_of(arena, printer, source), line);
	fputc('\n', printer->out);
}

static void print_ranges(const struct printer *printer, const addr_ranges *ranges)
{
	char text[ADDR_RANGE_TEXT_SIZE];

	for (size_t i = 0; i < ranges->len; i++)
		fprintf(printer->out, " %s", addr_range_print(&ranges->at[i], text));
}

static void print_sources(const struct printer *printer)
{
	const struct image_notes *notes = &printer->image->notes;
	scoped(arena_free) struct arena *arena = arena_new();
	char text[IMAGE_DIGEST_TEXT_SIZE];

	for (size_t i = 0; i < notes->sources.len; i++)
		fprintf(printer->out, "source %s sha256 %s\n", path_of(arena, printer, i),
			image_digest_print(&notes->sources.at[i].digest, text));
}

static void print_groups(const struct printer *printer)
{
	const struct image_notes *notes = &printer->image->notes;

	for (size_t i = 0; i < notes->groups.len; i++) {
		const struct image_group *group = &notes->groups.at[i];

		fprintf(printer->out, "group %zu %s tier %s order %" PRIu64 "%s%s%s", i,
			group->name, tiers[group->tier], group->order, group->audit ? " audit" : "",
			group->keep ? " keep" : "", group->defaults_azure ? " defaults azure" : "");
		print_place(printer, group->source, group->line);
	}
}

static void print_sets(const struct printer *printer)
{
	const struct image_notes *notes = &printer->image->notes;

	for (size_t i = 0; i < notes->sets.len; i++) {
		const struct image_set *set = &notes->sets.at[i];

		fprintf(printer->out, "set %zu%s%s", i, set->any ? " any" : "",
			set->self ? " self" : "");
		print_ranges(printer, &set->ranges);
		fputc('\n', printer->out);
	}
}

static void print_ports(const struct printer *printer, const char *name,
			const struct port_range *ports, size_t len)
{
	if (len)
		fprintf(printer->out, " %s", name);
	for (size_t i = 0; i < len; i++)
		fprintf(printer->out, "%c%u-%u", i ? ',' : ' ', ports[i].first, ports[i].last);
}

static void print_clauses(const struct printer *printer, const struct image_rule *rule)
{
	for (size_t i = 0; i < rule->clauses.len; i++) {
		const struct image_clause *clause = &rule->clauses.at[i];

		if (clause->protocol < 0)
			fputs("  protocol any", printer->out);
		else
			fprintf(printer->out, "  protocol %d", clause->protocol);
		if (clause->icmp_type >= 0)
			fprintf(printer->out, " type %d", clause->icmp_type);
		if (clause->icmp_code >= 0)
			fprintf(printer->out, " code %d", clause->icmp_code);
		print_ports(printer, "from", clause->source_ports.at, clause->source_ports.len);
		print_ports(printer, "to", clause->destination_ports.at,
			    clause->destination_ports.len);
		fputc('\n', printer->out);
	}
}

static void print_rules(const struct printer *printer)
{
	const struct image_notes *notes = &printer->image->notes;

	for (size_t i = 0; i < notes->rules.len; i++) {
		const struct image_rule *rule = &notes->rules.at[i];

		fprintf(printer->out, "rule %zu %s/%s %s %s priority %u set %u to set %u%s%s%s", i,
			notes->groups.at[rule->group].name, rule->name, directions[rule->direction],
			accesses[rule->access], rule->priority, rule->source_set,
			rule->destination_set, rule->log ? " log" : "", rule->audit ? " audit" : "",
			rule->is_default ? " default" : "");
		print_place(printer, rule->source, rule->line);
		print_clauses(printer, rule);
	}
}

static void print_notes(const struct printer *printer)
{
	const struct image_notes *notes = &printer->image->notes;

	print_sources(printer);
	print_groups(printer);
	print_sets(printer);
	print_rules(printer);
	for (size_t i = 0; i < notes->disabled.len; i++) {
		const struct image_disabled *rule = &notes->disabled.at[i];

		fprintf(printer->out, "disabled %s/%s %s priority %u",
			notes->groups.at[rule->group].name, rule->name, directions[rule->direction],
			rule->priority);
		print_place(printer, rule->source, rule->line);
	}
	if (notes->virtual_network.len) {
		fputs("virtual network", printer->out);
		print_ranges(printer, &notes->virtual_network);
		fputc('\n', printer->out);
	}
	fprintf(printer->out, "no group %s\n", notes->no_group_allow ? "allow" : "deny");
}

/* ---- addresses ---- */

/* A class begins at an address, unless it was there before. */
static void begin4(struct printer *printer, uint32_t address, uint32_t class)
{
	struct addr addr = addr_v4(address);
	char text[ADDR_TEXT_SIZE];

	if (class != printer->last)
		fprintf(printer->out, "  from %s class %u\n", addr_print(&addr, text), class);
	printer->last = class;
}

static void print_block(struct printer *printer, const struct bh_block4 *block, uint32_t address)
{
	begin4(printer, address, block->class[0]);
	for (int i = 0; i + 1 < BH_BLOCK4_RANGES; i++) {
		uint32_t key = block->keys[i / 4] >> i % 4 * 16 & 0xffff;

		if (key)
			begin4(printer, address | (0x8000 - key), block->class[i + 1]);
	}
}

static void print_blocks(struct printer *printer, uint32_t subtree, uint32_t address)
{
	uint32_t width = subtree & BH_SUBTREE_WIDTH;
	const struct bh_block4 *blocks =
		(const void *)(printer->image->tables + subtree - width + (2U << width));

	for (uint32_t i = 0; i < 1U << width; i++) {
		uint32_t element = read16(printer, subtree - width + i * 2);
		uint32_t first = address | i << (16 - width);

		if (element < 0x8000)
			begin4(printer, first, element);
		else
			print_block(printer, &blocks[element & 0x7fff], first);
	}
}

static void print_address4(struct printer *printer)
{
	bool blocks = printer->head->address4_kind == BH_ADDRESS4_BLOCKS;

	fprintf(printer->out, "address4 %s\n", blocks ? "blocks" : "ranges");
	printer->last = UINT32_MAX;
	for (uint32_t i = 0; i < 65536; i++) {
		uint32_t element = read32(printer, printer->head->address4 + i * 4);
		uint32_t chunk = element & ~BH_DEEP;

		if (!(element & BH_DEEP))
			begin4(printer, i << 16, element);
		else if (blocks)
			print_blocks(printer, chunk, i << 16);
		for (uint32_t j = 0; element & BH_DEEP && !blocks && j < read32(printer, chunk);
		     j++) {
			uint32_t entry = read32(printer, chunk + 4 + j * 4);

			begin4(printer, i << 16 | entry >> 16, entry & 0xffff);
		}
	}
}

static void begin6(struct printer *printer, uint64_t high, uint64_t low, uint32_t class)
{
	struct addr addr = {.family = ADDR_V6};
	char text[ADDR_TEXT_SIZE];

	for (int i = 0; i < 8; i++) {
		addr.bytes[i] = high >> (56 - i * 8);
		addr.bytes[8 + i] = low >> (56 - i * 8);
	}
	if (class != printer->last)
		fprintf(printer->out, "  from %s class %u\n", addr_print(&addr, text), class);
	printer->last = class;
}

static void print_low6(struct printer *printer, uint64_t high, uint32_t chunk)
{
	uint32_t n = read32(printer, chunk);

	for (uint32_t i = 0; i < n; i++)
		begin6(printer, high, read64(printer, chunk + 8 + i * 8),
		       read32(printer, chunk + 8 + n * 8 + i * 4));
}

static void print_element6(struct printer *printer, uint64_t first, uint32_t element);

static void print_chunk6(struct printer *printer, uint32_t chunk)
{
	uint32_t n = read32(printer, chunk);

	for (uint32_t i = 0; i < n; i++)
		print_element6(printer, read64(printer, chunk + 8 + i * 8),
			       read32(printer, chunk + 8 + n * 8 + i * 4));
}

static void print_leaf6(struct printer *printer, uint64_t first, uint32_t at)
{
	const struct bh_leaf6 *leaf = (const void *)(printer->image->tables + at);
	uint64_t top = first & ~(BH_LEAF_NONE - 1);

	print_element6(printer, first, leaf->value[0]);
	for (int i = 0; i < BH_LEAF_KEYS && leaf->first[i] != BH_LEAF_NONE; i++)
		print_element6(printer, top + leaf->first[i], leaf->value[i + 1]);
}

static void print_fan6(struct printer *printer, uint64_t first, uint32_t element)
{
	uint32_t width = bh_fan_width(element);
	uint32_t shift = 64 - (element & BH_FAN_START) - width;

	for (uint64_t i = 0; i < (uint64_t)1 << width; i++)
		print_element6(printer, first + (i << shift),
			       read32(printer, bh_deep(element) + i * 4));
}

/*
 * What an element leads to; first:: is the first address that has it.
 * NOLINTNEXTLINE(misc-no-recursion): as deep as BH_DEPTH6
 */
static void print_element6(struct printer *printer, uint64_t first, uint32_t element)
{
	if (!(element & BH_DEEP))
		begin6(printer, first, 0, element);
	else if (element & BH_FAN)
		print_fan6(printer, first, element);
	else if (element & BH_LEAF)
		print_leaf6(printer, first, bh_deep(element));
	else if (element & BH_LOW)
		print_low6(printer, first, bh_deep(element));
	else
		print_chunk6(printer, bh_deep(element));
}

static void print_address6(struct printer *printer)
{
	uint32_t bits = printer->head->address6_bits;
	uint32_t n = 1U << bits;

	fprintf(printer->out, "address6 index of %u bits\n", bits);
	printer->last = UINT32_MAX;
	for (uint64_t top = 0; top < 8; top++) {
		if (top != 1)
			print_element6(printer, top << 61,
				       read32(printer, printer->head->address6 + (n + top) * 4));
		for (uint64_t i = 0; top == 1 && i < n; i++)
			print_element6(printer, (top << 61) + (i << (61 - bits)),
				       read32(printer, printer->head->address6 + i * 4));
	}
}

/* ---- one direction ---- */

static void print_side(const struct printer *printer, const struct bh_direction_head *tables,
		       int side)
{
	fprintf(printer->out, "  %s classes%s%s\n", side ? "destination" : "source",
		tables->sides_address >> side & 1 ? " by address" : "",
		tables->sides_self >> side & 1 ? " by self" : "");
	for (uint32_t class = 0; class < printer->head->n_classes; class ++)
		fprintf(printer->out, "    class %u: %u, self %u\n", class,
			read16(printer, tables->side[side] + class * 4),
			read16(printer, tables->side[side] + class * 4 + 2));
}

/* Where classes of ports begin; returns how many there are. */
static uint32_t print_root(const struct printer *printer, const char *name, uint32_t root)
{
	uint32_t last = UINT32_MAX;
	uint32_t n = 1;

	for (uint32_t port = 0; root && port < 65536; port++) {
		uint32_t block = read32(printer, root + (port >> 8) * 4);
		uint32_t class = read16(printer, block + (port & 0xff) * 2);

		if (class != last)
			fprintf(printer->out, "    %s from %u class %u\n", name, port, class);
		last = class;
		if (class >= n)
			n = class + 1;
	}
	return n;
}

static void print_slot(const struct printer *printer, const struct bh_direction_head *tables,
		       uint32_t number)
{
	struct bh_proto_slot slot;
	uint32_t n_source;

	memcpy(&slot, printer->image->tables + tables->slots + number * sizeof(slot), sizeof(slot));
	fprintf(printer->out, "  slot %u:", number);
	for (uint32_t i = 0; number && i < 512; i++)
		if (read16(printer, tables->slot_of + i * 2) == number)
			fprintf(printer->out, " %s/%u", i < 256 ? "ipv4" : "ipv6", i & 0xff);
	fputs(number ? "\n" : " all others\n", printer->out);
	n_source = print_root(printer, "source port", slot.source_root);
	(void)print_root(printer, "destination port", slot.destination_root);
	for (uint32_t cell = 0; cell < n_source * slot.n_destination; cell++)
		fprintf(printer->out, "    cell %u %u: protocol class %u\n",
			cell / slot.n_destination, cell % slot.n_destination,
			read16(printer, slot.cells + cell * 2));
}

static void print_row(const struct printer *printer, const struct bh_direction_head *tables,
		      uint32_t pair)
{
	uint32_t last = UINT32_MAX;

	fprintf(printer->out, "  pair class %u:", pair);
	for (uint32_t i = 0; i < tables->row_len * 32; i++) {
		uint32_t block =
			read32(printer, tables->row + (pair * tables->row_len + i / 32) * 4);
		uint32_t outcome = read16(printer, block + i % 32 * 2);

		if (outcome != last)
			fprintf(printer->out, " %u:%u", i, outcome);
		last = outcome;
	}
	fputc('\n', printer->out);
}

static void print_pairs(const struct printer *printer, const struct bh_direction_head *tables)
{
	for (uint32_t i = 0; i < tables->n_source; i++) {
		fprintf(printer->out, "  pairs of source class %u:", i);
		for (uint32_t j = 0; j < tables->n_destination; j++)
			fprintf(printer->out, " %u",
				read16(printer,
				       tables->pair + (i * tables->n_destination + j) * 2));
		fputc('\n', printer->out);
	}
	for (uint32_t i = 0; i < tables->n_pair; i++)
		print_row(printer, tables, i);
}

/* The rules of a class, as tier and place in it. */
static void print_set(const struct printer *printer, const struct bh_direction_head *tables,
		      uint32_t number)
{
	uint32_t set = read32(printer, tables->pair + number * 4);
	uint32_t word = 0;

	for (int tier = 0; tier < BH_TIER_COUNT; tier++) {
		for (uint32_t i = 0; i < tables->tier_rules[tier]; i++)
			if (read64(printer, set + (word + i / 64) * 8) >> i % 64 & 1)
				fprintf(printer->out, " %s/%u", tiers[tier], i);
		word = tables->tier_end[tier];
	}
	fputc('\n', printer->out);
}

static void print_bits(const struct printer *printer, const struct bh_direction_head *tables)
{
	uint32_t n_row = 1;

	for (uint32_t i = 0; i < tables->n_source + tables->n_destination + tables->n_pair; i++) {
		if (i < tables->n_source)
			fprintf(printer->out, "  rules of source class %u:", i);
		else if (i < tables->n_source + tables->n_destination)
			fprintf(printer->out,
				"  rules of destination class %u:", i - tables->n_source);
		else
			fprintf(printer->out, "  rules of protocol class %u:",
				i - tables->n_source - tables->n_destination);
		print_set(printer, tables, i);
	}
	for (int tier = 0; tier < BH_TIER_COUNT; tier++)
		n_row *= tables->tier_rules[tier] + 1U;
	fputs("  outcomes by first rules:", printer->out);
	for (uint32_t i = 0; i < n_row; i++)
		fprintf(printer->out, " %u", read16(printer, tables->row + i * 2));
	fputc('\n', printer->out);
}

static void print_direction(const struct printer *printer, enum bh_direction direction)
{
	const struct bh_direction_head *tables = &printer->head->direction[direction];

	fprintf(printer->out, "%s\n", directions[direction]);
	print_side(printer, tables, 0);
	print_side(printer, tables, 1);
	for (uint32_t i = 0; i < tables->n_slots; i++)
		print_slot(printer, tables, i);
	if (tables->product == BH_PRODUCT_BITS)
		print_bits(printer, tables);
	else
		print_pairs(printer, tables);
}

/* ---- outcomes and the rest ---- */

static void print_rule_name(const struct printer *printer, const char *what, uint16_t rule)
{
	const struct image_notes *notes = &printer->image->notes;

	if (rule != BH_NO_RULE)
		fprintf(printer->out, "%s %s/%s", what,
			notes->groups.at[notes->rules.at[rule].group].name,
			notes->rules.at[rule].name);
}

static void print_outcome(const struct printer *printer, uint32_t number)
{
	const struct bh_outcome *outcome = image_outcome(printer->image, number);

	fprintf(printer->out, "outcome %u %s %s", number, directions[outcome->direction],
		verdicts[outcome->verdict]);
	if (outcome->reason == BH_REASON_NO_GROUP)
		fputs(" by no group", printer->out);
	print_rule_name(printer, " by", outcome->rule);
	for (int tier = 0; tier < BH_TIER_COUNT; tier++) {
		char what[16];

		(void)snprintf(what, sizeof(what), ", %s", tiers[tier]);
		print_rule_name(printer, what, outcome->tier_rule[tier]);
	}
	fprintf(printer->out, "%s%s%s\n", outcome->flags & BH_OUTCOME_LOG ? ", log" : "",
		outcome->flags & BH_OUTCOME_KEEP ? ", keep" : "",
		outcome->flags & BH_OUTCOME_NO_STATE ? ", no state" : "");
}

static void print_config(const struct printer *printer)
{
	static const char *const timeouts[BH_TIMEOUT_COUNT] = {
		[BH_TIMEOUT_TCP_ESTABLISHED] = "tcp_established",
		[BH_TIMEOUT_TCP_HALF_OPEN] = "tcp_half_open",
		[BH_TIMEOUT_TCP_CLOSING] = "tcp_closing",
		[BH_TIMEOUT_UDP] = "udp",
		[BH_TIMEOUT_UDP_STREAM] = "udp_stream",
		[BH_TIMEOUT_ICMP] = "icmp",
		[BH_TIMEOUT_OTHER] = "other",
		[BH_TIMEOUT_FRAGMENT] = "fragment",
	};
	static const char *const reasons[BH_REASON_COUNT] = {
#define X(kind, constant, name) [BH_REASON_##constant] = name,
		BH_REASONS(X)
#undef X
	};
	static const char *const tables[BH_TABLE_COUNT] = {
		[BH_TABLE_HALF_OPEN4] = "half-open4",	  [BH_TABLE_HALF_OPEN6] = "half-open6",
		[BH_TABLE_ESTABLISHED4] = "established4", [BH_TABLE_ESTABLISHED6] = "established6",
		[BH_TABLE_FRAGMENTS] = "fragments",
	};
	const struct bh_config *config = &printer->head->config;

	fprintf(printer->out, "config%s%s%s%s log limit %u\n", config->audit ? " audit" : "",
		config->tcp_pickup ? " tcp pickup" : "", config->keep ? " keep" : "",
		config->platform_azure ? " azure" : "", config->log_limit);
	for (int i = 0; i < BH_REASON_COUNT; i++)
		if (config->never_off >> i & 1)
			fprintf(printer->out, "  never denied off %s\n", reasons[i]);
	for (int i = 0; i < BH_TIMEOUT_COUNT; i++)
		fprintf(printer->out, "  timeout %s %u\n", timeouts[i], config->timeouts[i]);
	for (int i = 0; i < BH_TABLE_COUNT; i++)
		fprintf(printer->out, "  table %s page %u buckets %u\n", tables[i],
			config->tables[i].first_page, config->tables[i].mask + 1);
}

void image_print(const struct image *image, FILE *out)
{
	struct printer printer = {.image = image, .head = image_head(image), .out = out};

	print_notes(&printer);
	print_config(&printer);
	fprintf(out, "tables abi %u, %u pages, %" PRIu64 " bytes\n", printer.head->abi,
		printer.head->n_pages, image->tables_size);
	print_address4(&printer);
	print_address6(&printer);
	for (int d = 0; d < BH_DIRECTION_COUNT; d++)
		print_direction(&printer, d);
	for (uint32_t i = 0; i < printer.head->n_outcomes; i++)
		print_outcome(&printer, i);
}
