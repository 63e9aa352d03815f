// SPDX-License-Identifier: GPL-2.0-only
/*
 * The record and the totals as JSON, the images as they were encoded.
 */
#include "kernel/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include <jansson.h>

#include "kernel/store_file.h"

enum { SCHEMA = 1 };

static const struct mark nowhere;

SCOPED(json_t *, json_decref);

struct store {
	struct arena *arena;
	struct store_folder top;
	struct store_folder images; /* fd -1: there is no such folder yet */
	int lock_fd;		    /* -1: opened to read */
};

void store_close(struct store *store)
{
	if (!store)
		return;
	if (store->top.fd >= 0)
		(void)close(store->top.fd);
	if (store->images.fd >= 0)
		(void)close(store->images.fd);
	if (store->lock_fd >= 0)
		(void)close(store->lock_fd);
	arena_free(store->arena);
}

const char *store_path(const struct store *store)
{
	return store->top.path;
}

uint64_t store_now(void)
{
	return (uint64_t)time(NULL);
}

const char *store_boot(struct arena *arena)
{
	char text[40] = "";
	scoped(fclose) FILE *in = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (!in || !fgets(text, sizeof(text), in))
		return "";
	text[strcspn(text, "\n")] = '\0';
	return str_dup(arena, str_of(text));
}

/* ---- opening ---- */

static struct store *store_new(const char *path)
{
	struct arena *arena = arena_new();
	struct store *store = arena_alloc(arena, sizeof(*store));

	*store = (struct store){
		.arena = arena,
		.top = {.fd = -1, .path = arena_printf(arena, "%s", path)},
		.images = {.fd = -1, .path = arena_printf(arena, "%s/images", path)},
		.lock_fd = -1,
	};
	return store;
}

static int open_folder(struct store_folder *folder, struct diag *diag)
{
	folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder->fd >= 0)
		return 0;
	return errno == ENOENT ? -ENOENT
			       : diag_sys(diag, errno, "cannot open folder '%s'", folder->path);
}

/* The way to the folder is made as mkdir -p makes it; the last part is the owner's alone. */
static int make_folder(struct arena *arena, const char *path, struct diag *diag)
{
	char *part = arena_printf(arena, "%s", path);

	for (char *at = part + 1; *at; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		if (mkdir(part, 0755) && errno != EEXIST)
			return diag_sys(diag, errno, "cannot make folder '%s'", part);
		*at = '/';
	}
	if (mkdir(path, 0700) && errno != EEXIST)
		return diag_sys(diag, errno, "cannot make folder '%s'", path);
	return 0;
}

int store_open(const char *path, bool wait, struct diag *diag, struct store **ret_store)
{
	scoped(store_close) struct store *store = store_new(path);
	int err = make_folder(store->arena, store->images.path, diag);

	if (!err && chmod(store->images.path, 0700))
		err = diag_sys(diag, errno, "cannot change the mode of '%s'", store->images.path);
	if (!err)
		err = open_folder(&store->top, diag);
	if (!err)
		err = open_folder(&store->images, diag);
	if (!err)
		err = store_file_lock(&store->top, "lock", wait, diag, &store->lock_fd);
	if (err)
		return err;
	*ret_store = take(store);
	return 0;
}

int store_open_read(const char *path, struct diag *diag, struct store **ret_store)
{
	scoped(store_close) struct store *store = store_new(path);
	int err = open_folder(&store->top, diag);

	if (err)
		return err;
	err = open_folder(&store->images, diag);
	if (err && err != -ENOENT)
		return err;
	*ret_store = take(store);
	return 0;
}

/* ---- JSON: reading says no at the first thing that is not as we write it ---- */

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

static void set_text(json_t *object, const char *key, const char *text)
{
	(void)json_object_set_new(object, key, json_string(text));
}

/* ---- the record ---- */

static json_t *put_generation(const struct store_generation *generation)
{
	char digest[IMAGE_DIGEST_TEXT_SIZE];
	json_t *object = json_object();

	set_number(object, "generation", generation->generation);
	set_text(object, "digest", image_digest_print(&generation->digest, digest));
	set_number(object, "applied", generation->applied);
	set_number(object, "rows", generation->n_rows);
	return object;
}

static bool get_generation(const json_t *object, struct store_generation *generation)
{
	return get_number(object, "generation", &generation->generation) &&
	       get_digest(object, "digest", &generation->digest) &&
	       get_number(object, "applied", &generation->applied) &&
	       get_small(object, "rows", &generation->n_rows);
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

static int write_json(struct store *store, const char *name, const json_t *object,
		      struct diag *diag)
{
	scoped(free) char *text = json_dumps(object, JSON_INDENT(1) | JSON_PRESERVE_ORDER);

	if (!text)
		return diag_sys(diag, EINVAL, "cannot write '%s/%s' as JSON", store->top.path,
				name);
	return store_file_seal(&store->top, name, text, diag);
}

int store_write_record(struct store *store, const struct store_record *record, struct diag *diag)
{
	scoped(json_decref) json_t *object = json_object();

	set_number(object, "schema", SCHEMA);
	set_number(object, "abi", record->abi);
	set_text(object, "boot", record->boot ? record->boot : "");
	set_number(object, "netns_device", record->netns_device);
	set_number(object, "netns_inode", record->netns_inode);
	set_number(object, "since", record->since);
	set_number(object, "last", record->last);
	(void)json_object_set_new(object, "azure_dmi", json_boolean(record->azure_dmi));
	(void)json_object_set_new(object, "current", put_generation(&record->current));
	(void)json_object_set_new(object, "next", put_generation(&record->next));
	return write_json(store, "record.json", put_lists(object, record), diag);
}

static bool get_history(const json_t *object, struct arena *arena, struct store_record *record)
{
	const json_t *history = json_object_get(object, "history");

	if (!json_is_array(history))
		return false;
	for (size_t i = 0; i < json_array_size(history); i++)
		if (!get_generation(json_array_get(history, i), array_add(arena, &record->history)))
			return false;
	return true;
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
		    !get_text(link, "why_out", arena, &entry->why_out))
			return false;
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
	return get_small(object, "abi", &record->abi) &&
	       get_text(object, "boot", arena, &record->boot) &&
	       get_number(object, "netns_device", &record->netns_device) &&
	       get_number(object, "netns_inode", &record->netns_inode) &&
	       get_number(object, "since", &record->since) &&
	       get_number(object, "last", &record->last) &&
	       get_generation(json_object_get(object, "current"), &record->current) &&
	       get_generation(json_object_get(object, "next"), &record->next) &&
	       get_history(object, arena, record) && get_links(object, arena, record) &&
	       get_addresses(object, arena, record);
}

/* NULL, and 0, when there is no such file. */
static int read_json(const struct store *store, const char *name, struct arena *arena,
		     struct diag *diag, json_t **ret_object)
{
	char *text = NULL;
	int err = store_file_unseal(&store->top, name, arena, diag, &text);
	uint64_t schema = 0;
	json_t *object;

	if (err) {
		if (err == -ENOENT)
			*ret_object = NULL;
		return err == -ENOENT ? 0 : err;
	}
	object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	if (!object || !get_number(object, "schema", &schema) || schema != SCHEMA) {
		json_decref(object);
		return diag_bad(diag, nowhere,
				"file '%s/%s' is of another version of bulkhead: schema %u was "
				"expected",
				store->top.path, name, SCHEMA);
	}
	*ret_object = object;
	return 0;
}

int store_read_record(const struct store *store, struct arena *arena, struct diag *diag,
		      struct store_record *ret_record)
{
	scoped(json_decref) json_t *object = NULL;
	struct store_record record = {.boot = ""};
	int err = read_json(store, "record.json", arena, diag, &object);

	if (err)
		return err;
	if (object && !get_record(object, arena, &record))
		return diag_bad(diag, nowhere,
				"file '%s/record.json' lacks something that bulkhead writes",
				store->top.path);
	*ret_record = record;
	return 0;
}

static void push_history(struct store_record *record, struct arena *arena,
			 struct store_generation generation)
{
	array_push(arena, &record->history, generation);
	for (size_t i = record->history.len - 1; i > 0; i--)
		record->history.at[i] = record->history.at[i - 1];
	record->history.at[0] = generation;
	if (record->history.len > STORE_HISTORY)
		record->history.len = STORE_HISTORY;
}

void store_settle(struct store_record *record, struct arena *arena, uint64_t active, uint64_t now)
{
	if (record->current.generation && record->current.generation != active) {
		push_history(record, arena, record->current);
		record->current = (struct store_generation){};
	}
	if (active && record->next.generation == active)
		record->current = record->next;
	record->next = (struct store_generation){};
	if (active && !record->current.generation)
		record->current = (struct store_generation){.generation = active};
	if (active && !record->current.applied)
		record->current.applied = now;
	if (!active)
		record->since = 0;
	else if (!record->since)
		record->since = record->current.applied;
	if (record->last < active)
		record->last = active;
}

int store_check_netns(const struct store *store, const struct store_record *record, uint64_t device,
		      uint64_t inode, struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();

	if (!record->netns_inode || strcmp(record->boot, store_boot(arena)) != 0)
		return 0;
	if (record->netns_device == device && record->netns_inode == inode)
		return 0;
	return diag_refuse(diag, -EXDEV,
			   "state '%s' belongs to network namespace %llu, and this is %llu; run it "
			   "there, or give this one a state (--state) and pins (--pins) of its own",
			   store->top.path, (unsigned long long)record->netns_inode,
			   (unsigned long long)inode);
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

int store_write_totals(struct store *store, const struct store_totals *totals, struct diag *diag)
{
	scoped(json_decref) json_t *object = json_object();
	json_t *counts = json_array();

	set_number(object, "schema", SCHEMA);
	set_number(object, "folded", totals->folded);
	set_number(object, "began", totals->began);
	for (size_t i = 0; i < totals->counts.len; i++)
		(void)json_array_append_new(counts, put_count(&totals->counts.at[i]));
	(void)json_object_set_new(object, "counts", counts);
	return write_json(store, "counters.json", object, diag);
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

int store_read_totals(const struct store *store, struct arena *arena, struct diag *diag,
		      struct store_totals *ret_totals)
{
	scoped(json_decref) json_t *object = NULL;
	struct store_totals totals = {};
	int err = read_json(store, "counters.json", arena, diag, &object);

	if (err)
		return err;
	if (object && !get_totals(object, arena, &totals))
		return diag_bad(diag, nowhere,
				"file '%s/counters.json' lacks something that bulkhead writes",
				store->top.path);
	*ret_totals = totals;
	return 0;
}

int store_set_totals_aside(struct store *store, struct diag *diag)
{
	if (renameat(store->top.fd, "counters.json", store->top.fd, "counters.json.bad"))
		return diag_sys(diag, errno, "cannot rename '%s/counters.json'", store->top.path);
	return 0;
}

/* ---- images ---- */

static const char *image_name(const struct image_digest *digest, char *buffer, size_t size)
{
	char text[IMAGE_DIGEST_TEXT_SIZE];

	(void)snprintf(buffer, size, "%s.image", image_digest_print(digest, text));
	return buffer;
}

enum { IMAGE_NAME_SIZE = IMAGE_DIGEST_TEXT_SIZE + 8 };

/* Whether it is there with these very bytes; one that was cut is written again. */
static bool is_kept(struct store *store, const char *name, const void *data, size_t size)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *unheard = diag_new();
	char *kept = NULL;
	size_t kept_size = 0;

	return !store_file_read(&store->images, name, arena, unheard, &kept, &kept_size) &&
	       kept_size == size && memcmp(kept, data, size) == 0;
}

int store_put_image(struct store *store, const struct image_digest *digest, const void *data,
		    size_t size, struct diag *diag)
{
	char buffer[IMAGE_NAME_SIZE];
	const char *name = image_name(digest, buffer, sizeof(buffer));

	if (is_kept(store, name, data, size))
		return 0;
	return store_file_write(&store->images, name, data, size, diag);
}

int store_get_image(const struct store *store, const struct image_digest *digest,
		    struct arena *arena, struct diag *diag, struct image *ret_image)
{
	char buffer[IMAGE_NAME_SIZE];
	const char *name = image_name(digest, buffer, sizeof(buffer));
	struct image image = {};
	char *data = NULL;
	size_t size = 0;
	int err = store->images.fd < 0
			  ? -ENOENT
			  : store_file_read(&store->images, name, arena, diag, &data, &size);

	if (err == -ENOENT)
		return diag_refuse(diag, -ENOENT, "image '%s/%s' is not kept any more",
				   store->images.path, name);
	if (err)
		return err;
	err = image_decode(arena, arena_printf(arena, "%s/%s", store->images.path, name), data,
			   size, diag, &image);
	if (!err && memcmp(&image.digest, digest, sizeof(*digest)) != 0)
		err = diag_bad(diag, nowhere, "image '%s/%s' is not what its name says",
			       store->images.path, name);
	if (!err)
		*ret_image = image;
	return err;
}

int store_get_generation(const struct store *store, const struct store_record *record,
			 uint64_t generation, struct arena *arena, struct diag *diag,
			 struct image *ret_image)
{
	const struct store_generation *entry = store_find_generation(record, generation);

	if (!entry)
		return diag_refuse(diag, -ENOENT, "generation %llu is not in the record of '%s'",
				   (unsigned long long)generation, store->top.path);
	return store_get_image(store, &entry->digest, arena, diag, ret_image);
}

const struct store_generation *store_find_generation(const struct store_record *record,
						     uint64_t generation)
{
	if (!generation)
		return NULL;
	if (record->current.generation == generation)
		return &record->current;
	if (record->next.generation == generation)
		return &record->next;
	for (size_t i = 0; i < record->history.len; i++)
		if (record->history.at[i].generation == generation)
			return &record->history.at[i];
	return NULL;
}

static bool is_named(const struct store_generation *generation, const char *name)
{
	char buffer[IMAGE_NAME_SIZE];

	return generation->generation &&
	       strcmp(name, image_name(&generation->digest, buffer, sizeof(buffer))) == 0;
}

static bool is_needed(const struct store_record *record, const char *name)
{
	if (is_named(&record->current, name) || is_named(&record->next, name))
		return true;
	for (size_t i = 0; i < record->history.len; i++)
		if (is_named(&record->history.at[i], name))
			return true;
	return false;
}

int store_prune(struct store *store, const struct store_record *record, struct diag *diag)
{
	store_names names = {};
	int err = store_file_list(&store->images, store->arena, diag, &names);

	for (size_t i = 0; i < names.len && !err; i++)
		if (!is_needed(record, names.at[i]))
			err = store_file_remove(&store->images, names.at[i], diag);
	names.len = 0;
	if (!err)
		err = store_file_list(&store->top, store->arena, diag, &names);
	for (size_t i = 0; i < names.len && !err; i++)
		if (store_file_is_leftover(names.at[i]))
			err = store_file_remove(&store->top, names.at[i], diag);
	return err;
}
