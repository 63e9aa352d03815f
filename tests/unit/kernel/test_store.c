// SPDX-License-Identifier: GPL-2.0-only
/* The state directory: what is written reads back, what is cut or altered is never believed. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "classify/build.h"
#include "kernel/store.h"
#include "tests/lib/policy_text.h"
#include "tests/lib/whole.h"
#include "tests/unit/kernel/folder.h"
#include "tests/unit/kernel/state.h"

static struct image_digest digest_of(const char *text)
{
	return image_digest_of(text, strlen(text));
}

/* ---- round trips ---- */

Test(store, a_record_reads_back_as_it_was_written)
{
	struct store_record back = {};
	struct store_record record;
	struct at at;

	at_init(&at);
	record = full_record(at.arena);
	cr_assert_eq(store_write_record(at.store, &record, at.diag), 0);
	cr_assert_eq(store_read_record(at.store, at.arena, at.diag, &back), 0, "%s",
		     words(at.diag));
	same_record(&record, &back);
	at_fini(&at);
}

Test(store, a_record_that_was_never_written_reads_as_all_zero)
{
	const struct store_record zero = {.boot = "", .pins = ""};
	struct store_record back = {.abi = 77};
	struct at at;

	at_init(&at);
	cr_assert_eq(store_read_record(at.store, at.arena, at.diag, &back), 0);
	same_record(&zero, &back);
	at_fini(&at);
}

/* The kernel takes any bytes but a few in the name of a link. */
Test(store, a_link_whose_name_is_no_text_does_not_spoil_the_record)
{
	struct store_record record = {.boot = ""};
	struct store_record back = {};
	struct at at;

	at_init(&at);
	array_push(at.arena, &record.links, (struct store_link){1, 2, "eth\xff\xc3", "\xfe", ""});
	cr_assert_eq(store_write_record(at.store, &record, at.diag), 0);
	cr_assert_eq(store_read_record(at.store, at.arena, at.diag, &back), 0, "%s",
		     words(at.diag));
	cr_assert_eq(back.links.len, 1);
	cr_assert_str_eq(back.links.at[0].name, "eth??");
	at_fini(&at);
}

/* Nothing of ours writes such records; who reads one would count beyond the rows, or look for a slot for ever. */
Test(store, a_record_that_no_run_can_have_made_is_refused)
{
	struct store_record record = {.boot = "", .current = {.n_rows = UINT16_MAX}};
	struct store_record back = {};
	struct at at;

	at_init(&at);
	cr_assert_eq(store_write_record(at.store, &record, at.diag), 0);
	cr_assert_eq(store_read_record(at.store, at.arena, at.diag, &back), -EBADMSG);
	record.current.n_rows = BH_FIXED_ROWS + BH_OUTCOMES;
	array_push(at.arena, &record.links, (struct store_link){1, 2, "eth0", "", ""});
	array_push(at.arena, &record.links, (struct store_link){2, 3, "eth1", "", ""});
	cr_assert_eq(store_write_record(at.store, &record, at.diag), 0);
	cr_assert_eq(store_read_record(at.store, at.arena, at.diag, &back), 0);
	record.links.at[1].ifindex = 2;
	cr_assert_eq(store_write_record(at.store, &record, at.diag), 0);
	cr_assert_eq(store_read_record(at.store, at.arena, at.diag, &back), -EBADMSG);
	record.links.at[1] = (struct store_link){1, 3, "eth1", "", ""};
	cr_assert_eq(store_write_record(at.store, &record, at.diag), 0);
	cr_assert_eq(store_read_record(at.store, at.arena, at.diag, &back), -EBADMSG);
	at_fini(&at);
}

Test(store, totals_read_back_as_they_were_written)
{
	struct store_totals totals = {.folded = 7, .began = 8};
	struct store_totals back = {};
	struct at at;

	at_init(&at);
	for (uint64_t i = 0; i < 100; i++)
		array_push(at.arena, &totals.counts,
			   (struct store_count){
				   .key = arena_printf(at.arena, "rule\tweb\tr%u\tinbound\tallow",
						       (unsigned)i),
				   .packets = i,
				   .bytes = i << 40,
				   .reply_packets = i + 1,
				   .reply_bytes = i + 2,
				   .flows = i + 3,
				   .would_denied = i + 4,
				   .last = 1700000000 + i,
				   .since = 1600000000 + i,
			   });
	cr_assert_eq(store_write_totals(at.store, &totals, at.diag), 0);
	cr_assert_eq(store_read_totals(at.store, at.arena, at.diag, &back), 0);
	cr_assert_eq(back.folded, 7);
	cr_assert_eq(back.began, 8);
	cr_assert_eq(back.counts.len, totals.counts.len);
	for (size_t i = 0; i < totals.counts.len; i++) {
		const struct store_count *a = &totals.counts.at[i];
		const struct store_count *b = &back.counts.at[i];

		cr_assert_str_eq(a->key, b->key);
		/* What is behind the key is numbers. */
		cr_assert_eq(memcmp(&a->packets, &b->packets,
				    sizeof(*a) - offsetof(struct store_count, packets)),
			     0);
	}
	at_fini(&at);
}

/* ---- cut and altered ---- */

static int read_either(struct at *at, const char *name)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	struct store_record record = {.abi = 77};
	struct store_totals totals = {.folded = 77};
	bool is_record = strcmp(name, "record.json") == 0;
	int err = is_record ? store_read_record(at->store, arena, diag, &record)
			    : store_read_totals(at->store, arena, diag, &totals);

	if (err) {
		cr_assert_eq(diag_n_errors(diag), 1);
		cr_assert(strstr(words(diag), name), "%s", words(diag));
		cr_assert(is_record ? record.abi == 77 : totals.folded == 77,
			  "half of it was believed");
	}
	return err;
}

static void write_both(struct at *at)
{
	struct store_record record = full_record(at->arena);
	struct store_totals totals = {.folded = 1};

	array_push(at->arena, &totals.counts, (struct store_count){.key = "reason\tarp\tinbound"});
	cr_assert_eq(store_write_record(at->store, &record, at->diag), 0);
	cr_assert_eq(store_write_totals(at->store, &totals, at->diag), 0);
}

static void is_refused_when_cut(struct at *at, const char *name)
{
	const char *path = at_path(at, name);
	size_t size = 0;
	scoped(free) char *whole = folder_read(path, &size);

	cr_assert_gt(size, 0);
	cr_assert_eq(read_either(at, name), 0);
	for (size_t n = 0; n < size; n++) {
		folder_write(path, whole, n);
		cr_assert_eq(read_either(at, name), -EBADMSG, "%s cut at byte %zu", name, n);
	}
	folder_write(path, whole, size);
	cr_assert_eq(read_either(at, name), 0);
}

static void is_refused_when_altered(struct at *at, const char *name)
{
	const char *path = at_path(at, name);
	size_t size = 0;
	scoped(free) char *whole = folder_read(path, &size);

	for (size_t n = 0; n < size; n++) {
		whole[n] ^= 1;
		folder_write(path, whole, size);
		whole[n] ^= 1;
		cr_assert_eq(read_either(at, name), -EBADMSG, "%s altered at byte %zu", name, n);
	}
}

Test(store, a_file_cut_at_any_byte_is_refused)
{
	struct at at;

	at_init(&at);
	write_both(&at);
	is_refused_when_cut(&at, "record.json");
	is_refused_when_cut(&at, "counters.json");
	at_fini(&at);
}

Test(store, a_file_altered_at_any_byte_is_refused)
{
	struct at at;

	at_init(&at);
	write_both(&at);
	is_refused_when_altered(&at, "record.json");
	is_refused_when_altered(&at, "counters.json");
	at_fini(&at);
}

/* A hole has no bytes on the disk, and takes all memory to be read. */
Test(store, a_file_that_is_larger_than_any_run_writes_is_not_read)
{
	struct at at;

	at_init(&at);
	write_both(&at);
	cr_assert_eq(truncate(at_path(&at, "record.json"), 1LL << 42), 0);
	cr_assert_eq(read_either(&at, "record.json"), -EBADMSG);
	cr_assert_eq(truncate(at_path(&at, "counters.json"), 1LL << 42), 0);
	cr_assert_eq(read_either(&at, "counters.json"), -EBADMSG);
	at_fini(&at);
}

/* Text, and the line that seals it. */
static void seal(struct at *at, const char *name, const char *text)
{
	struct image_digest digest = digest_of(text);
	char hex[IMAGE_DIGEST_TEXT_SIZE];
	const char *sealed =
		arena_printf(at->arena, "%s\n%s\n", text, image_digest_print(&digest, hex));

	folder_write(at_path(at, name), sealed, strlen(sealed));
}

Test(store, what_another_version_has_written_is_refused_though_it_is_whole)
{
	struct at at;

	at_init(&at);
	seal(&at, "record.json", "{\"schema\": 2}");
	cr_assert_eq(read_either(&at, "record.json"), -EBADMSG);
	seal(&at, "record.json", "{\"schema\": 1}");
	cr_assert_eq(read_either(&at, "record.json"), -EBADMSG);
	seal(&at, "counters.json", "{\"schema\": 1, \"folded\": -1, \"began\": 0, \"counts\": []}");
	cr_assert_eq(read_either(&at, "counters.json"), -EBADMSG);
	seal(&at, "counters.json", "{\"schema\": 1, \"folded\": 0, \"began\": 0, \"counts\": []}");
	cr_assert_eq(read_either(&at, "counters.json"), 0);
	at_fini(&at);
}

/* As apply may be run in any folder; one that is not told is better than another one. */
Test(store, a_folder_that_is_no_text_is_not_told)
{
	struct store_record record = {.boot = "", .current = {.generation = 1, .from = "/caf\xe9"}};
	struct store_record back = {};
	struct at at;

	at_init(&at);
	cr_assert_eq(store_write_record(at.store, &record, at.diag), 0);
	cr_assert_eq(store_read_record(at.store, at.arena, at.diag, &back), 0, "%s",
		     words(at.diag));
	cr_assert_str_eq(back.current.from, "");
	at_fini(&at);
}

/* The name of a link is any bytes, and a question mark would match others. */
Test(store, links_that_were_asked_for_by_what_is_no_text_are_not_told)
{
	struct store_record record = {.boot = "", .current = {.generation = 1, .asked = true}};
	struct store_record back = {};
	struct at at;

	at_init(&at);
	for (int i = 0; i < 2; i++) {
		array_push(at.arena, &record.current.interfaces, i ? "caf\xe9" : "eth*");
		cr_assert_eq(store_write_record(at.store, &record, at.diag), 0);
		cr_assert_eq(store_read_record(at.store, at.arena, at.diag, &back), 0, "%s",
			     words(at.diag));
		cr_assert_eq(back.current.asked, i == 0);
		cr_assert_eq(back.current.interfaces.len, i ? 0 : 1);
	}
	at_fini(&at);
}

static void not_asked(struct store_generation *generation)
{
	generation->asked = false;
	generation->interfaces.len = 0;
}

/* What it did not tell is not made up. */
Test(store, a_record_from_before_it_told_where_apply_ran_is_read)
{
	struct store_record back = {};
	struct store_record record;
	struct at at;
	char *text;
	size_t size;

	at_init(&at);
	record = full_record(at.arena);
	cr_assert_eq(store_write_record(at.store, &record, at.diag), 0);
	text = folder_read(at_path(&at, "record.json"), &size);
	*strstr(text, "\n}") = '\0'; /* the end, and the seal */
	for (char *at_key = text; (at_key = strstr(at_key, "\"from\"")); at_key++)
		at_key[1] = 'F';
	for (char *at_key = text; (at_key = strstr(at_key, "\"interfaces\"")); at_key++)
		at_key[1] = 'I';
	seal(&at, "record.json", arena_printf(at.arena, "%s\n}", text));
	free(text);
	cr_assert_eq(store_read_record(at.store, at.arena, at.diag, &back), 0, "%s",
		     words(at.diag));
	cr_assert_str_eq(back.current.from, "");
	record.current.from = "";
	not_asked(&record.current);
	not_asked(&record.next);
	for (size_t i = 0; i < record.history.len; i++)
		not_asked(&record.history.at[i]);
	same_record(&record, &back);
	at_fini(&at);
}

Test(store, totals_that_cannot_be_believed_are_set_aside_and_begin_anew)
{
	struct store_totals totals = {.folded = 77};
	struct at at;

	at_init(&at);
	folder_write(at_path(&at, "counters.json"), "{", 1);
	cr_assert_eq(read_either(&at, "counters.json"), -EBADMSG);
	cr_assert_eq(store_set_totals_aside(at.store, at.diag), 0);
	cr_assert_eq(access(at_path(&at, "counters.json.bad"), F_OK), 0);
	cr_assert_eq(store_read_totals(at.store, at.arena, at.diag, &totals), 0);
	cr_assert_eq(totals.folded, 0);
	cr_assert_eq(store_set_totals_aside(at.store, at.diag), -ENOENT);
	at_fini(&at);
}

/* ---- images ---- */

struct made_image {
	struct loaded loaded;
	struct image image;
	struct image_encoded encoded;
	uint8_t *data; /* the same in one piece */
	size_t size;
};

static void make_image(struct made_image *made, const char *name)
{
	struct build_limits limits = build_limits_default();
	char text[100];
	const struct source *source;

	(void)snprintf(text, sizeof(text), "bulkhead: 1\ngroup: %s\ndefaults: deny\n", name);
	load_texts(&made->loaded, NULL, (const char *const[]){text, NULL});
	cr_assert_eq(made->loaded.err, 0, "%s", made->loaded.messages);
	source = made->loaded.policy.groups.at[0].mark.source;
	cr_assert_eq(build(made->loaded.arena, &made->loaded.policy, &source, 1, &limits,
			   made->loaded.diag, &made->image),
		     0);
	whole_encode(made->loaded.arena, &made->image, &made->data, &made->size);
	image_encode(made->loaded.arena, &made->image, &made->encoded);
}

static const char *image_path(struct at *at, const struct image_digest *digest)
{
	char hex[IMAGE_DIGEST_TEXT_SIZE];

	return arena_printf(at->arena, "%s/images/%s.image", at->folder,
			    image_digest_print(digest, hex));
}

static int put(struct at *at, const struct made_image *made)
{
	return store_put_image(at->store, &made->image.digest, &made->encoded, at->diag);
}

static int get(struct at *at, const struct image_digest *digest)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct image image = {.n_pages = 77};
	int err = store_get_image(at->store, digest, arena, at->diag, &image);

	cr_assert(err ? image.n_pages == 77 : memcmp(&image.digest, digest, sizeof(*digest)) == 0);
	return err;
}

Test(store, an_image_is_kept_under_its_digest_and_written_once)
{
	const struct image_digest other = digest_of("other");
	struct made_image made;
	struct stat first;
	struct stat second;
	struct at at;

	at_init(&at);
	make_image(&made, "web");
	cr_assert_eq(put(&at, &made), 0);
	cr_assert_eq(stat(image_path(&at, &made.image.digest), &first), 0);
	cr_assert_eq(put(&at, &made), 0);
	cr_assert_eq(stat(image_path(&at, &made.image.digest), &second), 0);
	cr_assert_eq(first.st_ino, second.st_ino, "it was written again");
	cr_assert_eq(get(&at, &made.image.digest), 0);
	cr_assert_eq(get(&at, &other), -ENOENT);
	cr_assert(strstr(words(at.diag), "is not kept any more; 'apply' again"));
	unload(&made.loaded);
	at_fini(&at);
}

Test(store, a_kept_image_that_is_not_these_very_bytes_is_written_again)
{
	struct made_image made;
	struct at at;
	uint8_t *other;

	at_init(&at);
	make_image(&made, "web");
	other = arena_alloc(at.arena, made.size + 1);
	for (int i = 0; i < 3; i++) {
		/* One byte less, one more, and one that is another. */
		const size_t sizes[] = {made.size - 1, made.size + 1, made.size};

		memcpy(other, made.data, made.size);
		other[made.size - 1] ^= i == 2;
		folder_write(image_path(&at, &made.image.digest), other, sizes[i]);
		cr_assert_eq(get(&at, &made.image.digest), -EBADMSG, "%d", i);
		cr_assert_eq(put(&at, &made), 0);
		cr_assert_eq(get(&at, &made.image.digest), 0, "%d", i);
	}
	unload(&made.loaded);
	at_fini(&at);
}

Test(store, an_image_is_removed_unless_the_record_names_it)
{
	struct store_record record = {.boot = "", .pins = ""};
	struct made_image made;
	struct at at;

	at_init(&at);
	make_image(&made, "web");
	cr_assert_eq(put(&at, &made), 0);
	for (int i = 0; i < 3; i++) {
		struct store_generation named = {.generation = 1, .digest = made.image.digest};

		record.current = i == 0 ? named : (struct store_generation){};
		record.next = i == 1 ? named : (struct store_generation){};
		if (i == 2)
			array_push(at.arena, &record.history, named);
		cr_assert_eq(store_remove_image(at.store, &record, &made.image.digest, at.diag), 0);
		cr_assert_eq(get(&at, &made.image.digest), 0, "named in place %d", i);
	}
	record.history.len = 0;
	for (int i = 0; i < 2; i++)
		cr_assert_eq(store_remove_image(at.store, &record, &made.image.digest, at.diag), 0);
	cr_assert_eq(get(&at, &made.image.digest), -ENOENT);
	unload(&made.loaded);
	at_fini(&at);
}

Test(store, an_image_cut_at_any_byte_is_refused_and_mended_by_the_next_apply)
{
	struct made_image made;
	const char *path;
	struct at at;

	at_init(&at);
	make_image(&made, "web");
	cr_assert_eq(put(&at, &made), 0);
	path = image_path(&at, &made.image.digest);
	/* The first and last thousand bytes one by one, what is between in leaps of a prime. */
	for (size_t n = 0; n < made.size; n += n < 1000 || n + 1000 > made.size ? 1 : 9973) {
		folder_write(path, made.data, n);
		cr_assert_eq(get(&at, &made.image.digest), -EBADMSG, "cut at byte %zu", n);
	}
	cr_assert_eq(put(&at, &made), 0);
	cr_assert_eq(get(&at, &made.image.digest), 0);
	unload(&made.loaded);
	at_fini(&at);
}

Test(store, a_whole_image_under_another_s_name_is_refused)
{
	struct made_image web;
	struct made_image db;
	struct at at;

	at_init(&at);
	make_image(&web, "web");
	make_image(&db, "db");
	cr_assert_eq(put(&at, &web), 0);
	folder_write(image_path(&at, &web.image.digest), db.data, db.size);
	cr_assert_eq(get(&at, &web.image.digest), -EBADMSG);
	cr_assert(strstr(words(at.diag), "is not what its name says"));
	unload(&web.loaded);
	unload(&db.loaded);
	at_fini(&at);
}

Test(store, a_generation_gives_its_image_whether_now_next_or_before)
{
	struct store_record record = {};
	struct made_image made;
	struct image image = {};
	struct at at;

	at_init(&at);
	make_image(&made, "web");
	cr_assert_eq(put(&at, &made), 0);
	record.current = generation(5);
	record.next = generation(6);
	array_push(at.arena, &record.history, generation(4));
	record.history.at[0].digest = made.image.digest;
	cr_assert_eq(store_find_generation(&record, 5), &record.current);
	cr_assert_eq(store_find_generation(&record, 6), &record.next);
	cr_assert_eq(store_find_generation(&record, 4), &record.history.at[0]);
	cr_assert_null(store_find_generation(&record, 3));
	cr_assert_null(store_find_generation(&(struct store_record){}, 0));
	cr_assert_eq(store_get_generation(at.store, &record, 4, at.arena, at.diag, &image), 0);
	cr_assert_eq(memcmp(&image.digest, &made.image.digest, sizeof(image.digest)), 0);
	cr_assert_eq(store_get_generation(at.store, &record, 3, at.arena, at.diag, &image),
		     -ENOENT);
	cr_assert(strstr(words(at.diag), "generation 3 is not in the record"));
	unload(&made.loaded);
	at_fini(&at);
}

/* ---- pruning ---- */

/* A file under images/ that stands for the image of a generation. */
static const char *stand_in(struct at *at, const struct store_generation *of)
{
	const char *path = image_path(at, &of->digest);

	folder_write(path, "x", 1);
	return path;
}

Test(store, pruning_leaves_what_the_record_names_and_nothing_else_of_ours)
{
	struct store_record record = {.current = generation(12), .next = generation(13)};
	const struct store_generation old = generation(1);
	const char *kept[STORE_HISTORY + 2];
	const char *gone[3];
	size_t n = 0;
	struct at at;

	at_init(&at);
	for (uint64_t i = 0; i < STORE_HISTORY; i++) {
		array_push(at.arena, &record.history, generation(11 - i));
		kept[n++] = stand_in(&at, &record.history.at[i]);
	}
	kept[n++] = stand_in(&at, &record.current);
	kept[n++] = stand_in(&at, &record.next);
	gone[0] = stand_in(&at, &old);
	gone[1] = at_path(&at, "images/.new-0123.image");
	gone[2] = at_path(&at, ".new-record.json");
	folder_write(gone[1], "x", 1);
	folder_write(gone[2], "x", 1);
	folder_write(at_path(&at, "counters.json.bad"), "x", 1);
	cr_assert_eq(store_prune(at.store, &record, at.diag), 0);
	for (size_t i = 0; i < n; i++)
		cr_assert_eq(access(kept[i], F_OK), 0, "%s", kept[i]);
	for (size_t i = 0; i < ARRAY_LEN(gone); i++)
		cr_assert_neq(access(gone[i], F_OK), 0, "%s", gone[i]);
	cr_assert_eq(access(at_path(&at, "lock"), F_OK), 0);
	cr_assert_eq(access(at_path(&at, "counters.json.bad"), F_OK), 0);
	at_fini(&at);
}
