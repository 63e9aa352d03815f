// SPDX-License-Identifier: GPL-2.0-only
/* The record and the totals as JSON, and back. */
#include "kernel/store_json.h"

#include <stdlib.h>

#include <jansson.h>

enum { SCHEMA = 1 };

static const struct mark nowhere;

SCOPED(json_t *, json_decref);

/* ---- reading says no at the first thing that is not as we write it ---- */

static bool get_number(const json_t *object, const char *key, uint64_t *number)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return false;
	*number = (uint64_t)json_integer_value(value);
	return true;
}

static bool get_small(const json_t *object, const char *key, uint32_t *number)
{
	uint64_t wide = 0;

	if (!get_number(object, key, &wide) || wide > UINT32_MAX)
		return false;
	*number = (uint32_t)wide;
	return true;
}

static bool get_text(const json_t *object, const char *key, struct arena *arena, const char **text)
{
	const char *value = json_string_value(json_object_get(object, key));

	if (!value)
		return false;
	*text = str_dup(arena, str_of(value));
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool get_digest(const json_t *object, const char *key, struct image_digest *digest)
{
	const char *text = json_string_value(json_object_get(object, key));

	if (!text || strlen(text) != 2 * sizeof(digest->bytes))
		return false;
	for (size_t i = 0; i < sizeof(digest->bytes); i++) {
		int high = hex_digit(text[2 * i]);
		int low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		digest->bytes[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static void set_number(json_t *object, const char *key, uint64_t number)
{
	(void)json_object_set_new(object, key, json_integer((json_int_t)number));
}

/*
 * JSON is UTF-8, and the name of a link any bytes: what is none stands as question marks, since a
 * key left out would make the whole file one that cannot be believed.
 */
static json_t *text_of(const char *text)
{
	json_t *string = json_string(text);

	if (!string) {
		scoped(free) char *ascii = mem_alloc(strlen(text) + 1);

		for (size_t i = 0; i <= strlen(text); i++)
			ascii[i] = (char)((unsigned char)text[i] < 0x80 ? text[i] : '?');
		string = json_string(ascii);
	}
	return string;
}

static void set_text(json_t *object, const char *key, const char *text)
{
	(void)json_object_set_new(object, key, text_of(text));
}

/*
 * Memory that cannot be had ends the program: jansson would leave out what it has none for, and a file be
 * sealed that lacks it, or one that is whole be taken for another version's.
 */
static void take_memory(void)
{
	json_set_alloc_funcs(mem_alloc, free);
}

/* What every file begins with. */
static json_t *root_object(void)
{
	json_t *object;

	take_memory();
	object = json_object();
	set_number(object, "schema", SCHEMA);
	return object;
}

static char *print_json(const json_t *object)
{
	return json_dumps(object, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
}

static int parse_json(const char *text, const char *path, struct diag *diag, json_t **ret_object)
{
	scoped(json_decref) json_t *object = NULL;
	uint64_t schema = 0;

	take_memory();
	object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	if (!object || !get_number(object, "schema", &schema) || schema != SCHEMA)
		return diag_bad(diag, nowhere,
				"file '%s' is of another version of bulkhead: schema %u was "
				"expected",
				path, SCHEMA);
	*ret_object = take(object);
	return 0;
}

/* ---- the record ---- */

/* A path with question marks in it would be that of something else. */
static const char *path_or_nothing(const char *path)
{
	scoped(json_decref) json_t *text = path ? json_string(path) : NULL;

	return text ? path : "";
}

/* NULL also where one of them is no text: with question marks in it it would be a glob. */
static json_t *put_interfaces(const struct store_generation *generation)
{
	scoped(json_decref) json_t *names = generation->asked ? json_array() : NULL;

	for (size_t i = 0; names && i < generation->interfaces.len; i++)
		if (json_array_append_new(names, json_string(generation->interfaces.at[i])))
			return NULL;
	return take(names);
}

static json_t *put_generation(const struct store_generation *generation)
{
	char digest[IMAGE_DIGEST_TEXT_SIZE];
	json_t *object = json_object();
	json_t *folders = json_array();
	json_t *interfaces = put_interfaces(generation);

	set_number(object, "generation", generation->generation);
	set_text(object, "digest", image_digest_print(&generation->digest, digest));
	set_number(object, "applied", generation->applied);
	set_number(object, "rows", generation->n_rows);
	for (size_t i = 0; i < generation->folders.len; i++)
		(void)json_array_append_new(folders, text_of(generation->folders.at[i]));
	set_text(object, "from", path_or_nothing(generation->from));
	(void)json_object_set_new(object, "folders", folders);
	if (interfaces)
		(void)json_object_set_new(object, "interfaces", interfaces);
	return object;
}

static bool get_names(const json_t *list, struct arena *arena, store_names *names)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));

		if (!name)
			return false;
		array_push(arena, names, str_dup(arena, str_of(name)));
	}
	return true;
}

/* A record from before there was this has none of them. */
static bool get_places(const json_t *object, struct arena *arena,
		       struct store_generation *generation)
{
	const json_t *interfaces = json_object_get(object, "interfaces");

	generation->from = "";
	if (json_object_get(object, "from") && !get_text(object, "from", arena, &generation->from))
		return false;
	generation->asked = json_is_array(interfaces);
	return get_names(json_object_get(object, "folders"), arena, &generation->folders) &&
	       get_names(interfaces, arena, &generation->interfaces);
}

static bool get_generation(const json_t *object, struct arena *arena,
			   struct store_generation *generation)
{
	return get_places(object, arena, generation) &&
	       get_number(object, "generation", &generation->generation) &&
	       get_digest(object, "digest", &generation->digest) &&
	       get_number(object, "applied", &generation->applied) &&
	       get_small(object, "rows", &generation->n_rows) &&
	       generation->n_rows <= BH_FIXED_ROWS + BH_OUTCOMES;
}

static json_t *put_lists(json_t *object, const struct store_record *record)
{
	json_t *history = json_array();
	json_t *links = json_array();
	json_t *addresses = json_array();
	char text[ADDR_TEXT_SIZE];

	for (size_t i = 0; i < record->history.len && i < STORE_HISTORY; i++)
		(void)json_array_append_new(history, put_generation(&record->history.at[i]));
	for (size_t i = 0; i < record->links.len; i++) {
		json_t *link = json_object();

		set_number(link, "number", record->links.at[i].number);
		set_number(link, "ifindex", record->links.at[i].ifindex);
		set_text(link, "name", record->links.at[i].name);
		set_text(link, "why_in", record->links.at[i].why_in);
		set_text(link, "why_out", record->links.at[i].why_out);
		if (record->links.at[i].let_go)
			(void)json_object_set_new(link, "let_go", json_true());
		(void)json_array_append_new(links, link);
	}
	for (size_t i = 0; i < record->addresses.len; i++)
		(void)json_array_append_new(
			addresses, json_string(addr_print(&record->addresses.at[i], text)));
	(void)json_object_set_new(object, "history", history);
	(void)json_object_set_new(object, "links", links);
	(void)json_object_set_new(object, "addresses", addresses);
	return object;
}

char *store_json_print_record(const struct store_record *record)
{
	scoped(json_decref) json_t *object = root_object();

	set_number(object, "abi", record->abi);
	set_text(object, "boot", record->boot ? record->boot : "");
	set_number(object, "netns_device", record->netns_device);
	set_number(object, "netns_inode", record->netns_inode);
	set_text(object, "pins", record->pins ? record->pins : "");
	set_number(object, "since", record->since);
	set_number(object, "last", record->last);
	(void)json_object_set_new(object, "azure_dmi", json_boolean(record->azure_dmi));
	(void)json_object_set_new(object, "current", put_generation(&record->current));
	(void)json_object_set_new(object, "next", put_generation(&record->next));
	return print_json(put_lists(object, record));
}

static bool get_history(const json_t *object, struct arena *arena, struct store_record *record)
{
	const json_t *history = json_object_get(object, "history");

	if (!json_is_array(history))
		return false;
	for (size_t i = 0; i < json_array_size(history); i++)
		if (!get_generation(json_array_get(history, i), arena,
				    array_add(arena, &record->history)))
			return false;
	return true;
}

/* One that was told twice would find no slot of its own in the programs' table of links. */
static bool is_told(const struct store_record *record, const struct store_link *link)
{
	for (const struct store_link *other = record->links.at; other < link; other++)
		if (other->ifindex == link->ifindex || other->number == link->number)
			return true;
	return false;
}

static bool get_links(const json_t *object, struct arena *arena, struct store_record *record)
{
	const json_t *links = json_object_get(object, "links");

	if (!json_is_array(links))
		return false;
	for (size_t i = 0; i < json_array_size(links); i++) {
		const json_t *link = json_array_get(links, i);
		struct store_link *entry = array_add(arena, &record->links);

		if (!get_small(link, "number", &entry->number) || entry->number >= BH_LINKS ||
		    !get_small(link, "ifindex", &entry->ifindex) ||
		    !get_text(link, "name", arena, &entry->name) ||
		    !get_text(link, "why_in", arena, &entry->why_in) ||
		    !get_text(link, "why_out", arena, &entry->why_out) || is_told(record, entry))
			return false;
		entry->let_go = json_is_true(json_object_get(link, "let_go"));
	}
	return true;
}

static bool get_addresses(const json_t *object, struct arena *arena, struct store_record *record)
{
	const json_t *addresses = json_object_get(object, "addresses");

	if (!json_is_array(addresses))
		return false;
	for (size_t i = 0; i < json_array_size(addresses); i++)
		if (addr_parse(str_of(json_string_value(json_array_get(addresses, i))),
			       array_add(arena, &record->addresses)))
			return false;
	return true;
}

static bool get_record(const json_t *object, struct arena *arena, struct store_record *record)
{
	record->azure_dmi = json_is_true(json_object_get(object, "azure_dmi"));
	if (!get_text(object, "pins", arena, &record->pins))
		record->pins = "";
	return get_small(object, "abi", &record->abi) &&
	       get_text(object, "boot", arena, &record->boot) &&
	       get_number(object, "netns_device", &record->netns_device) &&
	       get_number(object, "netns_inode", &record->netns_inode) &&
	       get_number(object, "since", &record->since) &&
	       get_number(object, "last", &record->last) &&
	       get_generation(json_object_get(object, "current"), arena, &record->current) &&
	       get_generation(json_object_get(object, "next"), arena, &record->next) &&
	       get_history(object, arena, record) && get_links(object, arena, record) &&
	       get_addresses(object, arena, record);
}

int store_json_parse_record(const char *text, const char *path, struct arena *arena,
			    struct diag *diag, struct store_record *ret_record)
{
	scoped(json_decref) json_t *object = NULL;
	struct store_record record = {.boot = ""};
	int err = parse_json(text, path, diag, &object);

	if (err)
		return err;
	if (!get_record(object, arena, &record))
		return diag_bad(diag, nowhere, "file '%s' lacks something that bulkhead writes",
				path);
	*ret_record = record;
	return 0;
}

/* ---- totals ---- */

static json_t *put_count(const struct store_count *count)
{
	json_t *object = json_object();

	set_text(object, "key", count->key);
	set_number(object, "packets", count->packets);
	set_number(object, "bytes", count->bytes);
	set_number(object, "reply_packets", count->reply_packets);
	set_number(object, "reply_bytes", count->reply_bytes);
	set_number(object, "flows", count->flows);
	set_number(object, "would_denied", count->would_denied);
	set_number(object, "last", count->last);
	set_number(object, "since", count->since);
	return object;
}

static bool get_count(const json_t *object, struct arena *arena, struct store_count *count)
{
	return get_text(object, "key", arena, &count->key) &&
	       get_number(object, "packets", &count->packets) &&
	       get_number(object, "bytes", &count->bytes) &&
	       get_number(object, "reply_packets", &count->reply_packets) &&
	       get_number(object, "reply_bytes", &count->reply_bytes) &&
	       get_number(object, "flows", &count->flows) &&
	       get_number(object, "would_denied", &count->would_denied) &&
	       get_number(object, "last", &count->last) &&
	       get_number(object, "since", &count->since);
}

char *store_json_print_totals(const struct store_totals *totals)
{
	scoped(json_decref) json_t *object = root_object();
	json_t *counts = json_array();

	set_number(object, "folded", totals->folded);
	set_number(object, "began", totals->began);
	for (size_t i = 0; i < totals->counts.len; i++)
		(void)json_array_append_new(counts, put_count(&totals->counts.at[i]));
	(void)json_object_set_new(object, "counts", counts);
	return print_json(object);
}

static bool get_totals(const json_t *object, struct arena *arena, struct store_totals *totals)
{
	const json_t *counts = json_object_get(object, "counts");

	if (!get_number(object, "folded", &totals->folded) ||
	    !get_number(object, "began", &totals->began) || !json_is_array(counts))
		return false;
	for (size_t i = 0; i < json_array_size(counts); i++)
		if (!get_count(json_array_get(counts, i), arena, array_add(arena, &totals->counts)))
			return false;
	return true;
}

int store_json_parse_totals(const char *text, const char *path, struct arena *arena,
			    struct diag *diag, struct store_totals *ret_totals)
{
	scoped(json_decref) json_t *object = NULL;
	struct store_totals totals = {};
	int err = parse_json(text, path, diag, &object);

	if (err)
		return err;
	if (!get_totals(object, arena, &totals))
		return diag_bad(diag, nowhere, "file '%s' lacks something that bulkhead writes",
				path);
	*ret_totals = totals;
	return 0;
}
