// SPDX-License-Identifier: GPL-2.0-only
/* Folders of pins. A plain file system serves for what does not depend on a bpffs. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/stat.h>

#include "kernel/bpffs.h"
#include "tests/unit/kernel/folder.h"

static const char *below(struct arena *arena, const char *folder, const char *name)
{
	return arena_printf(arena, "%s/%s", folder, name);
}

Test(bpffs, versions_are_the_folders_v_and_a_number_in_their_order)
{
	static const char *const names[] = {"v12", "v2", "v01", "v", "vx", "w3", "v0", "v-1"};
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	scoped(folder_free) char *folder = folder_new();
	bpffs_versions versions = {};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		cr_assert_eq(bpffs_make(below(arena, folder, names[i]), diag), 0);
	cr_assert_eq(bpffs_find_versions(arena, folder, diag, &versions), 0);
	cr_assert_eq(versions.len, 3);
	cr_assert_eq(versions.at[0], 0);
	cr_assert_eq(versions.at[1], 2);
	cr_assert_eq(versions.at[2], 12);
}

Test(bpffs, no_folder_has_no_versions_and_needs_no_words)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	bpffs_versions versions = {.len = 77};

	cr_assert_eq(bpffs_find_versions(arena, "/nonexistent/pins", diag, &versions), -ENOENT);
	cr_assert_eq(versions.len, 77);
	cr_assert_eq(diag_n_errors(diag), 0);
}

Test(bpffs, a_folder_of_pins_is_root_s_alone_and_may_be_there_already)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	scoped(folder_free) char *folder = folder_new();
	const char *path = below(arena, folder, "v1");
	mode_t mask = umask(0);
	struct stat about;

	cr_assert_eq(bpffs_make(path, diag), 0);
	cr_assert_eq(bpffs_make(path, diag), 0);
	(void)umask(mask);
	cr_assert_eq(stat(path, &about), 0);
	cr_assert_eq(about.st_mode & 07777, 0700);
	cr_assert_eq(bpffs_make("/nonexistent/v1", diag), -ENOENT);
	cr_assert_eq(diag_n_errors(diag), 1);
}

Test(bpffs, a_folder_is_listed_without_itself_and_one_that_is_not_there_is_empty)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	scoped(folder_free) char *folder = folder_new();
	bpffs_names names = {};

	folder_write(below(arena, folder, "bh_active"), "", 0);
	cr_assert_eq(bpffs_list(arena, folder, diag, &names), 0);
	cr_assert_eq(names.len, 1);
	cr_assert_str_eq(names.at[0], "bh_active");
	cr_assert_eq(bpffs_list(arena, "/nonexistent", diag, &names), 0);
	cr_assert_eq(names.len, 0);
}

Test(bpffs, removing_takes_all_below_and_finding_nothing_is_no_mistake)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	scoped(folder_free) char *folder = folder_new();
	const char *top = below(arena, folder, "v1");

	cr_assert_eq(bpffs_remove(top, diag), 0);
	cr_assert_eq(bpffs_make(top, diag), 0);
	cr_assert_eq(bpffs_make(below(arena, top, "programs"), diag), 0);
	cr_assert_eq(bpffs_make(below(arena, top, "programs/0123"), diag), 0);
	folder_write(below(arena, top, "programs/0123/xdp"), "", 0);
	folder_write(below(arena, top, "bh_active"), "", 0);
	cr_assert_eq(bpffs_remove(top, diag), 0);
	cr_assert_eq(access(top, F_OK), -1);
	cr_assert_eq(diag_n_errors(diag), 0);
}

Test(bpffs, a_plain_file_system_and_no_file_at_all_are_no_bpffs)
{
	cr_assert_not(bpffs_has("/"));
	cr_assert_not(bpffs_has("/nonexistent"));
}
