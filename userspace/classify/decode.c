// SPDX-License-Identifier: GPL-2.0-only
/*
 * An encoded form → image. A checksum tells what an accident has altered; what somebody has made
 * on purpose is read as strictly as a policy file: no count, index or address is believed.
 */
#include <errno.h>
#include <string.h>

#include <zlib.h>

#include "classify/encoded.h"
#include "classify/image.h"
#include "classify/verify.h"

struct reader {
	struct arena *arena;
	const uint8_t *at;
	size_t left;
	bool bad; /* once set, everything that is read is 0 */
	struct image_notes notes;
};

static void get(struct reader *reader, void *ret_data, size_t size)
{
	if (reader->bad || size > reader->left) {
		reader->bad = true;
		memset(ret_data, 0, size);
		return;
	}
	memcpy(ret_data, reader->at, size);
	reader->at += size;
	reader->left -= size;
}

static uint16_t get_u16(struct reader *reader)
{
	uint16_t number;

	get(reader, &number, sizeof(number));
	return number;
}

static uint32_t get_u32(struct reader *reader)
{
	uint32_t number;

	get(reader, &number, sizeof(number));
	return number;
}

static uint64_t get_u64(struct reader *reader)
{
	uint64_t number;

	get(reader, &number, sizeof(number));
	return number;
}

/* A byte below limit. */
static uint8_t get_u8(struct reader *reader, unsigned limit)
{
	uint8_t number;

	get(reader, &number, sizeof(number));
	if (number < limit)
		return number;
	reader->bad = true;
	return 0;
}

/* An index below limit. */
static uint32_t get_index(struct reader *reader, size_t limit)
{
	uint32_t number = get_u32(reader);

	if (number < limit)
		return number;
	reader->bad = true;
	return 0;
}

/* A count of things of at least size bytes each. */
static uint32_t get_count(struct reader *reader, size_t size)
{
	uint32_t number = get_u32(reader);

	if (number <= reader->left / size)
		return number;
	reader->bad = true;
	return 0;
}

static const char *get_text(struct reader *reader)
{
	uint32_t len = get_count(reader, 1);
	char *text = arena_copy(reader->arena, reader->at, len);

	reader->at += len;
	reader->left -= len;
	if (strlen(text) != len)
		reader->bad = true;
	return text;
}

static uint32_t get_source(struct reader *reader)
{
	uint32_t source = get_u32(reader);

	if (source != IMAGE_NO_SOURCE && source >= reader->notes.sources.len) {
		reader->bad = true;
		return IMAGE_NO_SOURCE;
	}
	return source;
}

static void get_addr(struct reader *reader, uint8_t family, struct addr *ret_addr)
{
	struct addr addr = {.family = family};

	get(reader, addr.bytes, family == ADDR_V4 ? 4 : 16);
	*ret_addr = addr;
}

/* Sorted, and with a gap between neighbours, as addr_ranges_normalize leaves them. */
static bool follows(const struct addr_range *before, const struct addr_range *range)
{
	struct addr next;

	if (addr_compare(&before->last, &range->first) >= 0)
		return false;
	return !addr_next(&before->last, &next) || addr_compare(&next, &range->first) < 0;
}

/* sorted: they must be normalized. */
static void get_ranges(struct reader *reader, bool sorted, addr_ranges *ranges)
{
	uint32_t n = get_count(reader, 9);

	for (uint32_t i = 0; i < n && !reader->bad; i++) {
		struct addr_range *range = array_add(reader->arena, ranges);
		uint8_t family = get_u8(reader, ADDR_V6 + 1);

		if (family != ADDR_V4 && family != ADDR_V6)
			reader->bad = true;
		get_addr(reader, family, &range->first);
		get_addr(reader, family, &range->last);
		if (addr_compare(&range->first, &range->last) > 0 ||
		    (sorted && i && !follows(range - 1, range)))
			reader->bad = true;
	}
}

static struct port_range *get_ports(struct reader *reader, size_t *ret_len)
{
	uint32_t n = get_count(reader, 4);
	struct port_range *ports = arena_calloc(reader->arena, n, sizeof(*ports));

	for (uint32_t i = 0; i < n; i++) {
		ports[i].first = get_u16(reader);
		ports[i].last = get_u16(reader);
		if (ports[i].first > ports[i].last ||
		    (i && ports[i].first <= ports[i - 1].last + 1))
			reader->bad = true;
	}
	*ret_len = n;
	return ports;
}

/* From -1 to 255. */
static int16_t get_choice(struct reader *reader)
{
	int16_t number = (int16_t)get_u16(reader);

	if (number >= -1 && number <= 255)
		return number;
	reader->bad = true;
	return -1;
}

static void get_group(struct reader *reader)
{
	struct image_group *group = array_add(reader->arena, &reader->notes.groups);
	uint8_t flags;

	group->name = get_text(reader);
	group->tier = get_u8(reader, BH_TIER_COUNT);
	group->order = get_u64(reader);
	flags = get_u8(reader, ENCODED_DEFAULTS_AZURE * 2);
	group->audit = flags & ENCODED_AUDIT;
	group->keep = flags & ENCODED_KEEP;
	group->defaults_azure = flags & ENCODED_DEFAULTS_AZURE;
	group->source = get_source(reader);
	group->line = get_u32(reader);
}

static void get_set(struct reader *reader)
{
	struct image_set *set = array_add(reader->arena, &reader->notes.sets);
	uint8_t flags = get_u8(reader, ENCODED_SELF * 2);

	set->any = flags & ENCODED_ANY;
	set->self = flags & ENCODED_SELF;
	get_ranges(reader, true, &set->ranges);
	if (set->any && (set->self || set->ranges.len))
		reader->bad = true;
}

static void get_clause(struct reader *reader, struct image_clause *clause)
{
	clause->protocol = get_choice(reader);
	clause->icmp_type = get_choice(reader);
	clause->icmp_code = get_choice(reader);
	clause->source_ports.at = get_ports(reader, &clause->source_ports.len);
	clause->destination_ports.at = get_ports(reader, &clause->destination_ports.len);
}

/* Order of evaluation: by direction, then by tier. */
static unsigned stage(const struct reader *reader, const struct image_rule *rule)
{
	return rule->direction * BH_TIER_COUNT + reader->notes.groups.at[rule->group].tier;
}

static void get_rule(struct reader *reader)
{
	struct image_rule *rule = array_add(reader->arena, &reader->notes.rules);
	uint8_t flags;
	uint32_t n;

	rule->name = get_text(reader);
	rule->description = get_text(reader);
	rule->group = get_index(reader, reader->notes.groups.len);
	rule->source = get_source(reader);
	rule->line = get_u32(reader);
	rule->column = get_u32(reader);
	rule->direction = get_u8(reader, BH_DIRECTION_COUNT);
	rule->access = get_u8(reader, IMAGE_ALWAYS_ALLOW + 1);
	rule->priority = get_u32(reader);
	flags = get_u8(reader, ENCODED_IS_DEFAULT * 2);
	rule->audit = flags & ENCODED_AUDIT;
	rule->log = flags & ENCODED_LOG;
	rule->is_default = flags & ENCODED_IS_DEFAULT;
	rule->source_set = get_index(reader, reader->notes.sets.len);
	rule->destination_set = get_index(reader, reader->notes.sets.len);
	n = get_count(reader, 14);
	for (uint32_t i = 0; i < n && !reader->bad; i++)
		get_clause(reader, array_add(reader->arena, &rule->clauses));
	if (reader->bad ||
	    (reader->notes.rules.len > 1 && stage(reader, rule) < stage(reader, rule - 1)))
		reader->bad = true;
}

static void get_disabled(struct reader *reader)
{
	struct image_disabled *disabled = array_add(reader->arena, &reader->notes.disabled);

	disabled->name = get_text(reader);
	disabled->group = get_index(reader, reader->notes.groups.len);
	disabled->source = get_source(reader);
	disabled->line = get_u32(reader);
	disabled->direction = get_u8(reader, BH_DIRECTION_COUNT);
	disabled->priority = get_u32(reader);
}

static void get_source_note(struct reader *reader)
{
	struct image_source *source = array_add(reader->arena, &reader->notes.sources);

	source->path = get_text(reader);
	get(reader, &source->digest, sizeof(source->digest));
}

/* A list: its count, then its members. */
static void get_list(struct reader *reader, void (*get_member)(struct reader *reader))
{
	uint32_t n = get_count(reader, 1);

	for (uint32_t i = 0; i < n && !reader->bad; i++)
		get_member(reader);
}

/* Whether the notes were well formed and nothing is left. */
static bool get_notes(struct reader *reader)
{
	uint8_t flags;

	get_list(reader, get_source_note);
	get_list(reader, get_group);
	get_list(reader, get_set);
	get_list(reader, get_rule);
	get_list(reader, get_disabled);
	get_ranges(reader, false, &reader->notes.virtual_network);
	flags = get_u8(reader, ENCODED_EXISTING_FLOWS_KEEP * 2);
	reader->notes.no_group_allow = flags & ENCODED_NO_GROUP_ALLOW;
	reader->notes.existing_flows_keep = flags & ENCODED_EXISTING_FLOWS_KEEP;
	return !reader->bad && !reader->left;
}

/* What is wrong with the head, in words; NULL: nothing. */
static const char *check_head(const struct encoded_head *head, const uint8_t *data, size_t size)
{
	uint64_t max = (uint64_t)BH_IMAGE_PAGES * BH_PAGE_SIZE;

	if (head->magic != ENCODED_MAGIC)
		return "it is no image of bulkhead";
	if (head->version != ENCODED_VERSION || head->zero)
		return "it is of another version of the format";
	if (head->tables_size < sizeof(struct bh_head) || head->tables_size > max ||
	    head->tables_size > size - sizeof(*head) ||
	    head->notes_size != size - sizeof(*head) - head->tables_size)
		return "it is cut off, or something is appended to it";
	data += sizeof(*head);
	if (head->tables_checksum != crc32_z(0, data, head->tables_size))
		return "the checksum of its tables is wrong";
	if (head->notes_checksum != crc32_z(0, data + head->tables_size, head->notes_size))
		return "the checksum of its notes is wrong";
	return NULL;
}

static struct image_figures figures_of(const struct image *image)
{
	const struct bh_head *head = image_head(image);
	struct image_figures figures = {
		.n_rules = image->notes.rules.len,
		.n_classes = head->n_classes,
		.n_outcomes = head->n_outcomes,
		.tables_size = image->tables_size,
	};

	for (size_t i = 0; i < image->notes.sets.len; i++)
		for (size_t j = 0; j < image->notes.sets.at[i].ranges.len; j++)
			figures.n_prefixes +=
				addr_range_n_prefixes(&image->notes.sets.at[i].ranges.at[j]);
	for (int d = 0; d < BH_DIRECTION_COUNT; d++) {
		figures.n_source_classes[d] = head->direction[d].n_source;
		figures.n_destination_classes[d] = head->direction[d].n_destination;
		figures.product[d] = head->direction[d].product;
		figures.n_pair_classes[d] = head->direction[d].n_pair;
	}
	return figures;
}

int image_decode(struct arena *arena, const char *name, const void *data, size_t size,
		 struct diag *diag, struct image *ret_image)
{
	const uint8_t *bytes = data;
	struct encoded_head head;
	struct reader reader = {.arena = arena};
	struct image image = {};
	const char *wrong = "it is cut off";

	if (size >= sizeof(head)) {
		memcpy(&head, bytes, sizeof(head));
		wrong = check_head(&head, bytes, size);
	}
	if (wrong)
		return diag_bad(diag, (struct mark){}, "cannot read the image '%s': %s", name,
				wrong);
	bytes += sizeof(head);
	reader.at = bytes + head.tables_size;
	reader.left = head.notes_size;
	if (!get_notes(&reader))
		return diag_bad(diag, (struct mark){},
				"cannot read the image '%s': its notes are malformed", name);
	image.notes = reader.notes;
	image.tables_size = head.tables_size;
	image.n_pages = (head.tables_size + BH_PAGE_SIZE - 1) / BH_PAGE_SIZE;
	image.tables = arena_calloc(arena, image.n_pages, BH_PAGE_SIZE);
	memcpy(image.tables, bytes, head.tables_size);
	wrong = verify_tables(&image);
	if (wrong)
		return diag_bad(diag, (struct mark){}, "cannot read the image '%s': %s", name,
				wrong);
	image.digest = image_digest_of(data, size);
	image.figures = figures_of(&image);
	*ret_image = image;
	return 0;
}
