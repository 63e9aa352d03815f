// SPDX-License-Identifier: GPL-2.0-only
/*
 * Image → its encoded form. The notes are gone through twice: once to count their bytes, once
 * to write them.
 */
#include <string.h>

#include <zlib.h>

#include "classify/encoded.h"
#include "classify/image.h"

struct writer {
	uint8_t *at; /* NULL: only count */
	size_t len;
};

static void put(struct writer *writer, const void *data, size_t size)
{
	if (writer->at && size)
		memcpy(writer->at + writer->len, data, size);
	writer->len += size;
}

static void put_u8(struct writer *writer, uint8_t number)
{
	put(writer, &number, sizeof(number));
}

static void put_u16(struct writer *writer, uint16_t number)
{
	put(writer, &number, sizeof(number));
}

static void put_u32(struct writer *writer, uint32_t number)
{
	put(writer, &number, sizeof(number));
}

static void put_u64(struct writer *writer, uint64_t number)
{
	put(writer, &number, sizeof(number));
}

static void put_text(struct writer *writer, const char *text)
{
	put_u32(writer, strlen(text));
	put(writer, text, strlen(text));
}

static void put_ranges(struct writer *writer, const addr_ranges *ranges)
{
	put_u32(writer, ranges->len);
	for (size_t i = 0; i < ranges->len; i++) {
		const struct addr_range *range = &ranges->at[i];
		size_t size = range->first.family == ADDR_V4 ? 4 : 16;

		put_u8(writer, range->first.family);
		put(writer, range->first.bytes, size);
		put(writer, range->last.bytes, size);
	}
}

static void put_ports(struct writer *writer, const struct port_range *ports, size_t len)
{
	put_u32(writer, len);
	for (size_t i = 0; i < len; i++) {
		put_u16(writer, ports[i].first);
		put_u16(writer, ports[i].last);
	}
}

static void put_group(struct writer *writer, const struct image_group *group)
{
	put_text(writer, group->name);
	put_u8(writer, group->tier);
	put_u64(writer, group->order);
	put_u8(writer, (group->audit ? ENCODED_AUDIT : 0) | (group->keep ? ENCODED_KEEP : 0) |
			       (group->defaults_azure ? ENCODED_DEFAULTS_AZURE : 0));
	put_u32(writer, group->source);
	put_u32(writer, group->line);
}

static void put_rule(struct writer *writer, const struct image_rule *rule)
{
	put_text(writer, rule->name);
	put_text(writer, rule->description);
	put_u32(writer, rule->group);
	put_u32(writer, rule->source);
	put_u32(writer, rule->line);
	put_u32(writer, rule->column);
	put_u8(writer, rule->direction);
	put_u8(writer, rule->access);
	put_u32(writer, rule->priority);
	put_u8(writer, (rule->audit ? ENCODED_AUDIT : 0) | (rule->log ? ENCODED_LOG : 0) |
			       (rule->is_default ? ENCODED_IS_DEFAULT : 0));
	put_u32(writer, rule->source_set);
	put_u32(writer, rule->destination_set);
	put_u32(writer, rule->clauses.len);
	for (size_t i = 0; i < rule->clauses.len; i++) {
		const struct image_clause *clause = &rule->clauses.at[i];

		put_u16(writer, clause->protocol);
		put_u16(writer, clause->icmp_type);
		put_u16(writer, clause->icmp_code);
		put_ports(writer, clause->source_ports.at, clause->source_ports.len);
		put_ports(writer, clause->destination_ports.at, clause->destination_ports.len);
	}
}

static void put_disabled(struct writer *writer, const struct image_disabled *disabled)
{
	put_text(writer, disabled->name);
	put_u32(writer, disabled->group);
	put_u32(writer, disabled->source);
	put_u32(writer, disabled->line);
	put_u8(writer, disabled->direction);
	put_u32(writer, disabled->priority);
}

static void put_notes(struct writer *writer, const struct image_notes *notes)
{
	put_u32(writer, notes->sources.len);
	for (size_t i = 0; i < notes->sources.len; i++) {
		put_text(writer, notes->sources.at[i].path);
		put(writer, &notes->sources.at[i].digest, sizeof(struct image_digest));
	}
	put_u32(writer, notes->groups.len);
	for (size_t i = 0; i < notes->groups.len; i++)
		put_group(writer, &notes->groups.at[i]);
	put_u32(writer, notes->sets.len);
	for (size_t i = 0; i < notes->sets.len; i++) {
		put_u8(writer, (notes->sets.at[i].any ? ENCODED_ANY : 0) |
				       (notes->sets.at[i].self ? ENCODED_SELF : 0));
		put_ranges(writer, &notes->sets.at[i].ranges);
	}
	put_u32(writer, notes->rules.len);
	for (size_t i = 0; i < notes->rules.len; i++)
		put_rule(writer, &notes->rules.at[i]);
	put_u32(writer, notes->disabled.len);
	for (size_t i = 0; i < notes->disabled.len; i++)
		put_disabled(writer, &notes->disabled.at[i]);
	put_ranges(writer, &notes->virtual_network);
	put_u8(writer, (notes->no_group_allow ? ENCODED_NO_GROUP_ALLOW : 0) |
			       (notes->existing_flows_keep ? ENCODED_EXISTING_FLOWS_KEEP : 0));
}

/* The notes, behind so many bytes that are left free. */
static struct writer notes_of(struct arena *arena, const struct image *image, size_t before)
{
	struct writer counter = {};
	struct writer writer = {.len = before};

	put_notes(&counter, &image->notes);
	writer.at = arena_alloc(arena, before + counter.len);
	put_notes(&writer, &image->notes);
	return writer;
}

static struct encoded_head head_of(const struct image *image, const uint8_t *notes, size_t size)
{
	return (struct encoded_head){
		.magic = ENCODED_MAGIC,
		.version = ENCODED_VERSION,
		.tables_size = image->tables_size,
		.notes_size = size,
		.tables_checksum = crc32_z(0, image->tables, image->tables_size),
		.notes_checksum = crc32_z(0, notes, size),
	};
}

void image_encode(struct arena *arena, struct image *image, uint8_t **ret_data, size_t *ret_size)
{
	size_t notes = sizeof(struct encoded_head) + image->tables_size;
	struct writer writer = notes_of(arena, image, notes);
	struct encoded_head head = head_of(image, writer.at + notes, writer.len - notes);

	memcpy(writer.at, &head, sizeof(head));
	memcpy(writer.at + sizeof(head), image->tables, image->tables_size);
	image->digest = image_digest_of(writer.at, writer.len);
	*ret_data = writer.at;
	*ret_size = writer.len;
}

void image_seal(struct image *image)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct writer notes = notes_of(arena, image, 0);
	struct encoded_head head = head_of(image, notes.at, notes.len);
	const struct image_bytes parts[] = {
		{&head, sizeof(head)},
		{image->tables, image->tables_size},
		{notes.at, notes.len},
	};

	image->digest = image_digest_of_all(parts, ARRAY_LEN(parts));
}
