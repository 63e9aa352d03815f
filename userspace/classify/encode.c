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

static struct writer notes_of(struct arena *arena, const struct image *image)
{
	struct writer counter = {};
	struct writer writer = {};

	put_notes(&counter, &image->notes);
	writer.at = arena_alloc(arena, counter.len);
	put_notes(&writer, &image->notes);
	return writer;
}

void image_encode(struct arena *arena, struct image *image, struct image_encoded *ret_encoded)
{
	struct writer notes = notes_of(arena, image);
	struct encoded_head head = {
		.magic = ENCODED_MAGIC,
		.version = ENCODED_VERSION,
		.tables_size = image->tables_size,
		.notes_size = notes.len,
		.tables_checksum = crc32_z(0, image->tables, image->tables_size),
		.notes_checksum = crc32_z(0, notes.at, notes.len),
	};

	*ret_encoded = (struct image_encoded){{
		{arena_copy(arena, &head, sizeof(head)), sizeof(head)},
		{image->tables, image->tables_size},
		{notes.at, notes.len},
	}};
	image->digest = image_digest_of_all(ret_encoded->pieces, ARRAY_LEN(ret_encoded->pieces));
}

void image_seal(struct image *image)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct image_encoded encoded;

	image_encode(arena, image, &encoded);
}
