// SPDX-License-Identifier: GPL-2.0-only
/* The folder: opening, the lock, what is in force, and the images as they were encoded. */
#include "kernel/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "kernel/folder.h"
#include "kernel/private.h"
#include "kernel/store_file.h"
#include "kernel/store_json.h"

static const struct mark nowhere;

/* Each after another run that was refused; a link to nowhere is not there a hundred times, too. */
enum { TRIES = 100 };

struct store {
	struct arena *arena;
	struct store_folder top;
	struct store_folder images; /* fd -1: there is no such folder yet */
	int lock_fd;		    /* -1: opened to read */
	store_names made;	    /* folders that opening had to make, in their order */
	bool made_images;
	bool made_lock;
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

/* -ESTALE without words when the folder above, which was there, has been taken back. */
static int make_one(struct store *store, const char *path, mode_t mode, struct diag *diag)
{
	if (mkdir(path, mode) == 0)
		array_push(store->arena, &store->made, str_dup(store->arena, str_of(path)));
	else if (errno == ENOENT)
		return -ESTALE;
	else if (errno != EEXIST)
		return diag_sys(diag, errno, "cannot make folder '%s'", path);
	return 0;
}

/* The way to the folder is made as mkdir -p makes it; the folder itself is the owner's alone. */
static int make_folder(struct store *store, const char *path, struct diag *diag)
{
	char *part = arena_printf(store->arena, "%s", path);
	int err = 0;

	for (char *at = part + 1; *at && !err; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		err = make_one(store, part, 0755, diag);
		*at = '/';
	}
	return err ? err : make_one(store, path, 0700, diag);
}

/* Once that is locked: it can be taken back without anybody having begun to use it. */
static int make_images(struct store *store, struct diag *diag)
{
	store->made_images = mkdirat(store->top.fd, "images", 0700) == 0;
	if (!store->made_images && errno != EEXIST)
		return diag_sys(diag, errno, "cannot make folder '%s'", store->images.path);
	return 0;
}

/* -ESTALE without words when another run has taken back what it had made meanwhile. */
static int open_and_lock(struct store *store, store_tell *wait, struct diag *diag)
{
	int err = open_folder(&store->top, diag);
	struct stat about;

	if (err)
		return err == -ENOENT ? -ESTALE : err;
	err = private_check(store->top.fd, store->top.path, diag);
	if (err)
		return err;
	store->made_lock = fstatat(store->top.fd, "lock", &about, 0) && errno == ENOENT;
	return store_file_lock(&store->top, "lock", wait, diag, &store->lock_fd);
}

static int open_once(struct store *store, store_tell *wait, struct diag *diag)
{
	int err = make_folder(store, store->top.path, diag);

	if (!err)
		err = open_and_lock(store, wait, diag);
	if (!err)
		err = make_images(store, diag);
	if (!err)
		err = open_folder(&store->images, diag);
	if (err == -ENOENT) /* a link to nowhere, say: its name is taken */
		err = diag_sys(diag, ENOENT, "cannot open folder '%s'", store->images.path);
	if (!err)
		err = private_check(store->images.fd, store->images.path, diag);
	return err;
}

void store_take_back(struct store *store)
{
	if (store->made_images)
		(void)unlinkat(store->top.fd, "images", AT_REMOVEDIR);
	/* Under its lock: who comes now makes a new file, or finds that this one is gone. */
	if (store->made_lock && store->lock_fd >= 0)
		(void)unlinkat(store->top.fd, "lock", 0);
	for (size_t i = store->made.len; i > 0; i--)
		(void)rmdir(store->made.at[i - 1]);
}

int store_open(const char *path, store_tell *wait, struct diag *diag, struct store **ret_store)
{
	for (int i = 0; i < TRIES; i++) {
		scoped(store_close) struct store *store = store_new(path);
		int err = open_once(store, wait, diag);

		if (!err)
			*ret_store = take(store);
		else
			store_take_back(store);
		if (err != -ESTALE)
			return err;
	}
	return diag_sys(diag, ENOENT, "cannot open folder '%s'", path);
}

/* The words are those of what would come to it: a folder that is not there is made in the one above. */
static int check_way(struct store *store, struct diag *diag)
{
	const char *which = NULL;
	int err = folder_is_taken(store->top.path)
			  ? ENOENT
			  : folder_ask(store->arena, store->top.path, &which);

	if (err == ENOENT)
		return diag_sys(diag, err, "cannot open folder '%s'", store->top.path);
	return err ? diag_sys(diag, err, "cannot make folder '%s'", which) : 0;
}

static int check_images(struct store *store, struct diag *diag)
{
	int err = open_folder(&store->images, diag);

	if (err == -ENOENT && folder_is_taken(store->images.path))
		return diag_sys(diag, ENOENT, "cannot open folder '%s'", store->images.path);
	if (!err)
		err = private_check(store->images.fd, store->images.path, diag);
	if (!err && faccessat(store->images.fd, ".", W_OK | X_OK, 0))
		err = diag_sys(diag, errno, "cannot write to folder '%s'", store->images.path);
	return err == -ENOENT ? 0 : err;
}

/* As it is opened to be locked, but that none is made. */
static int check_lock(const struct store *store, struct diag *diag)
{
	scoped(close) int fd = -1;

	if (faccessat(store->top.fd, ".", W_OK | X_OK, 0))
		return diag_sys(diag, errno, "cannot open file '%s/lock'", store->top.path);
	return store_file_open_lock(&store->top, "lock", 0, diag, &fd);
}

int store_check(const char *path, struct diag *diag)
{
	scoped(store_close) struct store *store = store_new(path);
	int err = open_folder(&store->top, diag);

	if (err == -ENOENT)
		return check_way(store, diag);
	if (!err)
		err = private_check(store->top.fd, store->top.path, diag);
	if (!err)
		err = check_lock(store, diag);
	return err && err != -ESTALE ? err : check_images(store, diag);
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

/* ---- the record and the totals ---- */

static int write_sealed(struct store *store, const char *name, const char *text, struct diag *diag)
{
	if (!text)
		return diag_sys(diag, ENOMEM, "cannot write '%s/%s'", store->top.path, name);
	return store_file_seal(&store->top, name, text, diag);
}

/* Its text, NULL when there is no such file; and its path, for messages. */
static int read_sealed(const struct store *store, const char *name, struct arena *arena,
		       struct diag *diag, char **ret_text, const char **ret_path)
{
	char *text = NULL;
	int err = store_file_unseal(&store->top, name, arena, diag, &text);

	if (err && err != -ENOENT)
		return err;
	*ret_text = text;
	*ret_path = arena_printf(arena, "%s/%s", store->top.path, name);
	return 0;
}

int store_write_record(struct store *store, const struct store_record *record, struct diag *diag)
{
	scoped(free) char *text = store_json_print_record(record);

	return write_sealed(store, "record.json", text, diag);
}

int store_read_record(const struct store *store, struct arena *arena, struct diag *diag,
		      struct store_record *ret_record)
{
	const char *path = NULL;
	char *text = NULL;
	int err = read_sealed(store, "record.json", arena, diag, &text, &path);

	if (err)
		return err;
	if (text)
		return store_json_parse_record(text, path, arena, diag, ret_record);
	*ret_record = (struct store_record){.boot = "", .pins = ""};
	return 0;
}

int store_write_totals(struct store *store, const struct store_totals *totals, struct diag *diag)
{
	scoped(free) char *text = store_json_print_totals(totals);

	return write_sealed(store, "counters.json", text, diag);
}

int store_read_totals(const struct store *store, struct arena *arena, struct diag *diag,
		      struct store_totals *ret_totals)
{
	const char *path = NULL;
	char *text = NULL;
	int err = read_sealed(store, "counters.json", arena, diag, &text, &path);

	if (err)
		return err;
	if (text)
		return store_json_parse_totals(text, path, arena, diag, ret_totals);
	*ret_totals = (struct store_totals){};
	return 0;
}

int store_set_totals_aside(struct store *store, struct diag *diag)
{
	if (renameat(store->top.fd, "counters.json", store->top.fd, "counters.json.bad"))
		return diag_sys(diag, errno, "cannot rename '%s/counters.json'", store->top.path);
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

/* A detach that died between writing the record and removing the pins has put it there. */
static struct store_generation take_from_history(struct store_record *record, uint64_t generation)
{
	struct store_generation found = {.generation = generation};
	size_t n = 0;

	for (size_t i = 0; i < record->history.len; i++) {
		if (record->history.at[i].generation == generation)
			found = record->history.at[i];
		else
			record->history.at[n++] = record->history.at[i];
	}
	record->history.len = n;
	return found;
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
		record->current = take_from_history(record, active);
	if (active && !record->current.applied)
		record->current.applied = now;
	if (!active)
		record->since = 0;
	else if (!record->since)
		record->since = record->current.applied;
	if (record->last < active)
		record->last = active;
}

bool store_knows_active(const struct store_record *record)
{
	static const struct image_digest none;

	return memcmp(&record->current.digest, &none, sizeof(none)) != 0;
}

int store_check_netns(const struct store *store, const struct store_record *record, uint64_t device,
		      uint64_t inode, struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();

	if (!record->netns_inode || strcmp(record->boot, store_boot(arena)) != 0)
		return 0;
	if (record->netns_device == device && record->netns_inode == inode)
		return 0;
	return diag_refuse(
		diag, -EXDEV,
		"state '%s' belongs to network namespace %llu, and this is %llu; run it "
		"there, or where that one is gone remove '%s/record.json'; or give this one "
		"a state (--state) and pins (--pins) of its own",
		store->top.path, (unsigned long long)record->netns_inode, (unsigned long long)inode,
		store->top.path);
}

/* ---- images ---- */

static const char *image_name(const struct image_digest *digest, char *buffer, size_t size)
{
	char text[IMAGE_DIGEST_TEXT_SIZE];

	(void)snprintf(buffer, size, "%s.image", image_digest_print(digest, text));
	return buffer;
}

enum { IMAGE_NAME_SIZE = IMAGE_DIGEST_TEXT_SIZE + 8 };

int store_put_image(struct store *store, const struct image_digest *digest,
		    const struct image_encoded *encoded, struct diag *diag)
{
	const size_t n = ARRAY_LEN(encoded->pieces);
	char buffer[IMAGE_NAME_SIZE];
	const char *name = image_name(digest, buffer, sizeof(buffer));

	/* One that was cut is written again. */
	if (store_file_has(&store->images, name, encoded->pieces, n))
		return 0;
	return store_file_write(&store->images, name, encoded->pieces, n, diag);
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
		return diag_refuse(diag, -ENOENT,
				   "image '%s/%s' is not kept any more; 'apply' again",
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

const char *store_link_name(const struct store_record *record, struct arena *arena,
			    uint32_t ifindex)
{
	for (size_t i = 0; i < record->links.len; i++)
		if (record->links.at[i].ifindex == ifindex)
			return record->links.at[i].name;
	return arena_printf(arena, "ifindex %u", ifindex);
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

int store_remove_image(struct store *store, const struct store_record *record,
		       const struct image_digest *digest, struct diag *diag)
{
	char buffer[IMAGE_NAME_SIZE];
	const char *name = image_name(digest, buffer, sizeof(buffer));

	return is_needed(record, name) ? 0 : store_file_remove(&store->images, name, diag);
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
