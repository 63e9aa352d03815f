// SPDX-License-Identifier: GPL-2.0-only
/* Which files a FILE argument names, and who may write them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/source.h"

/* A folder that goes away with all that was written into it. */
struct folder {
	char path[64];
	struct arena *arena;
	struct diag *diag;
	source_files files;
};

static void begin(struct folder *folder)
{
	*folder = (struct folder){.path = "/tmp/bh-source-XXXXXX"};
	cr_assert_not_null(mkdtemp(folder->path));
	folder->arena = arena_new();
	folder->diag = diag_new();
}

static const char *in(struct folder *folder, const char *name)
{
	return arena_printf(folder->arena, "%s/%s", folder->path, name);
}

static void put(struct folder *folder, const char *name, const char *text)
{
	FILE *file = fopen(in(folder, name), "we");

	cr_assert_not_null(file);
	cr_assert_geq(fputs(text, file), 0);
	cr_assert_eq(fclose(file), 0);
}

static void end(struct folder *folder, const char *const *names)
{
	for (size_t i = 0; names[i]; i++)
		cr_assert_eq(remove(in(folder, names[i])), 0, "%s", names[i]);
	cr_assert_eq(rmdir(folder->path), 0);
	diag_free(folder->diag);
	arena_free(folder->arena);
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The one message, from behind the path of the folder. */
static void told(struct folder *folder, const char *words)
{
	size_t n = 0;
	const struct diag_message *messages = diag_messages(folder->diag, &n);

	cr_assert_eq(n, 1);
	cr_assert_not_null(strstr(messages[0].text, words), "%s", messages[0].text);
}

Test(source, a_folder_is_its_yaml_files_in_byte_order)
{
	struct folder folder;

	begin(&folder);
	put(&folder, "b.yaml", "two");
	put(&folder, "B.yaml", "one");
	put(&folder, "a.yml", "no");
	put(&folder, ".hidden.yaml", "no");
	put(&folder, ".yaml", "no");
	put(&folder, "README", "no");
	cr_assert_eq(source_open(folder.arena, folder.path, folder.diag, &folder.files), 0);
	told(&folder, "/a.yml' is not read");
	cr_assert_eq(folder.files.len, 2);
	cr_assert(str_eq(folder.files.at[0]->source.text, STR("one")));
	cr_assert_str_eq(folder.files.at[0]->source.path, in(&folder, "B.yaml"));
	cr_assert(str_eq(folder.files.at[1]->source.text, STR("two")));
	end(&folder, NAMES("b.yaml", "B.yaml", "a.yml", ".hidden.yaml", ".yaml", "README"));
}

/* One warning each, in byte order, and none about the others. */
Test(source, what_a_folder_has_beside_its_yaml_files_is_warned_about)
{
	static const char *const expected[] = {"a.YAML", "b.Yml", "c.yml",
					       "folder", "link",  "two.yml"};
	struct folder folder;
	const struct diag_message *messages;
	size_t n = 0;

	begin(&folder);
	put(&folder, "a.YAML", "");
	put(&folder, "b.Yml", "");
	put(&folder, "c.yml", "");
	put(&folder, "d.yaml", "");
	put(&folder, ".e.yml", "");
	put(&folder, "f.yaml.bak", "");
	put(&folder, "yml", "");
	cr_assert_eq(mkdir(in(&folder, "folder"), 0), 0);
	cr_assert_eq(mkdir(in(&folder, "two.yml"), 0700), 0);
	cr_assert_eq(mkdir(in(&folder, ".git"), 0700), 0);
	cr_assert_eq(symlink("folder", in(&folder, "link")), 0);
	cr_assert_eq(symlink("nowhere", in(&folder, "dangling")), 0);
	cr_assert_eq(source_open(folder.arena, folder.path, folder.diag, &folder.files), 0);
	cr_assert_eq(folder.files.len, 1);
	messages = diag_messages(folder.diag, &n);
	cr_assert_eq(n, ARRAY_LEN(expected));
	for (size_t i = 0; i < n; i++) {
		cr_assert_eq(messages[i].level, DIAG_WARNING);
		cr_assert_str_eq(messages[i].text,
				 arena_printf(folder.arena,
					      "'%s' is not read; of a folder, only files named "
					      "*.yaml in the folder itself are",
					      in(&folder, expected[i])));
	}
	end(&folder, NAMES("a.YAML", "b.Yml", "c.yml", "d.yaml", ".e.yml", "f.yaml.bak", "yml",
			   "folder", "two.yml", ".git", "link", "dangling"));
}

Test(source, a_folder_without_any_is_refused)
{
	struct folder folder;

	begin(&folder);
	cr_assert_eq(source_open(folder.arena, folder.path, folder.diag, &folder.files), -EBADMSG);
	told(&folder, "has no file named *.yaml; expected at least one");
	end(&folder, NAMES(NULL));
}

Test(source, a_file_given_twice_is_refused)
{
	struct folder folder;

	begin(&folder);
	put(&folder, "a.yaml", "one");
	cr_assert_eq(symlink("a.yaml", in(&folder, "link")), 0);
	cr_assert_eq(source_open(folder.arena, folder.path, folder.diag, &folder.files), 0);
	cr_assert_eq(source_open(folder.arena, in(&folder, "link"), folder.diag, &folder.files),
		     -EBADMSG);
	told(&folder, "is the same file as");
	cr_assert_eq(folder.files.len, 1);
	end(&folder, NAMES("link", "a.yaml"));
}

Test(source, what_is_no_regular_file_is_refused_without_waiting_for_it)
{
	struct folder folder;

	begin(&folder);
	cr_assert_eq(mkfifo(in(&folder, "fifo"), 0600), 0);
	cr_assert_eq(source_open(folder.arena, in(&folder, "fifo"), folder.diag, &folder.files),
		     -EBADMSG);
	told(&folder, "is no regular file");
	end(&folder, NAMES("fifo"));
}

Test(source, a_missing_file_is_the_systems_refusal)
{
	struct folder folder;

	begin(&folder);
	cr_assert_eq(source_open(folder.arena, in(&folder, "none"), folder.diag, &folder.files),
		     -ENOENT);
	told(&folder, ": No such file or directory");
	end(&folder, NAMES(NULL));
}

Test(source, ten_megabytes_are_taken_and_a_byte_more_is_not)
{
	struct folder folder;

	begin(&folder);
	put(&folder, "a.yaml", "");
	cr_assert_eq(truncate(in(&folder, "a.yaml"), SOURCE_MAX_SIZE), 0);
	cr_assert_eq(source_open(folder.arena, in(&folder, "a.yaml"), folder.diag, &folder.files),
		     0);
	cr_assert_eq(folder.files.at[0]->source.text.len, SOURCE_MAX_SIZE);
	put(&folder, "b.yaml", "");
	cr_assert_eq(truncate(in(&folder, "b.yaml"), SOURCE_MAX_SIZE + 1), 0);
	cr_assert_eq(source_open(folder.arena, in(&folder, "b.yaml"), folder.diag, &folder.files),
		     -EBADMSG);
	told(&folder, "has 10485761 bytes; expected at most 10485760");
	end(&folder, NAMES("a.yaml", "b.yaml"));
}

enum { CALLER = 1000, SOMEBODY = 1001 };

/* A file as source_open would have found it. */
static int judge(uint32_t owner, uint32_t mode, const char *words)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	struct source_file file = {.source.path = "p", .owner = owner, .mode = S_IFREG | mode};
	source_files files = {};
	const struct diag_message *messages;
	size_t n = 0;
	int err;

	array_push(arena, &files, &file);
	err = source_check_writable(&files, CALLER, diag);
	messages = diag_messages(diag, &n);
	cr_assert_eq(n, words != NULL);
	if (words)
		cr_assert_not_null(strstr(messages[0].text, words), "%s", messages[0].text);
	return err;
}

Test(source, only_root_and_the_caller_may_be_able_to_write_a_policy)
{
	cr_assert_eq(judge(0, 0644, NULL), 0);
	cr_assert_eq(judge(CALLER, 0664, NULL), 0);
	cr_assert_eq(judge(0, 0646, "anybody may write this file (mode 0646)"), -EBADMSG);
	cr_assert_eq(judge(CALLER, 0666, "anybody may write this file"), -EBADMSG);
	cr_assert_eq(judge(SOMEBODY, 0600, "(uid 1001)"), -EBADMSG);
	cr_assert_eq(judge(0, 0644, NULL), 0);
}

/* What was read of a folder and a file, behind one change. */
static void is_still(struct folder *folder, const char *changed)
{
	cr_assert_eq(source_check_still(&folder->files, folder->diag), changed ? -EBADMSG : 0);
	if (!changed)
		return;
	told(folder, changed);
	diag_free(folder->diag);
	folder->diag = diag_new();
}

static void read_both(struct folder *folder)
{
	begin(folder);
	cr_assert_eq(mkdir(in(folder, "old"), 0700), 0);
	cr_assert_eq(mkdir(in(folder, "new"), 0700), 0);
	put(folder, "old/a.yaml", "one");
	put(folder, "old/b.yaml", "two");
	put(folder, "new/a.yaml", "one");
	put(folder, "new/b.yaml", "three");
	put(folder, "host.yaml", "host");
	cr_assert_eq(symlink("old", in(folder, "now")), 0);
	cr_assert_eq(source_open(folder->arena, in(folder, "now"), folder->diag, &folder->files),
		     0);
	cr_assert_eq(
		source_open(folder->arena, in(folder, "host.yaml"), folder->diag, &folder->files),
		0);
	cr_assert_eq(folder->files.len, 3);
	is_still(folder, NULL);
}

static void end_both(struct folder *folder)
{
	end(folder, NAMES("old/a.yaml", "old/b.yaml", "old", "new/a.yaml", "new/b.yaml", "new",
			  "host.yaml", "now"));
}

Test(source, a_link_that_leads_elsewhere_by_now_is_told)
{
	struct folder folder;

	read_both(&folder);
	cr_assert_eq(symlink("new", in(&folder, "next")), 0);
	cr_assert_eq(rename(in(&folder, "next"), in(&folder, "now")), 0);
	is_still(&folder, "/now' was changed while it was read");
	end_both(&folder);
}

Test(source, files_that_come_go_and_change_are_told)
{
	struct folder folder;

	read_both(&folder);
	put(&folder, "old/c.yaml", "four");
	is_still(&folder, "/now' was changed while it was read");
	cr_assert_eq(remove(in(&folder, "old/c.yaml")), 0);
	is_still(&folder, NULL);
	put(&folder, "old/notes", "not read");
	cr_assert_eq(remove(in(&folder, "old/notes")), 0);
	is_still(&folder, NULL);
	cr_assert_eq(rename(in(&folder, "old/b.yaml"), in(&folder, "old/kept")), 0);
	is_still(&folder, "/now' was changed while it was read");
	cr_assert_eq(rename(in(&folder, "old/kept"), in(&folder, "old/b.yaml")), 0);
	put(&folder, "host.yaml", "another");
	is_still(&folder, "/host.yaml' was changed while it was read");
	end_both(&folder);
}
