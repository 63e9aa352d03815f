// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/netns.h"

#include <errno.h>
#include <inttypes.h>

#include "kernel/bpffs.h"

enum { TARGET_SIZE = 48 };

static void print_target(const struct host_facts *facts, char target[TARGET_SIZE])
{
	(void)snprintf(target, TARGET_SIZE, "%" PRIu64 ":%" PRIu64, facts->netns_device,
		       facts->netns_inode);
}

static int check_folder(const char *pins, const char *path, const struct host_facts *facts,
			struct diag *diag)
{
	char wanted[TARGET_SIZE];
	char target[TARGET_SIZE] = "";
	ssize_t len = readlink(path, target, sizeof(target) - 1);

	/* Killed before it could be said, nothing is attached by these pins. */
	if (len < 0 && errno == ENOENT)
		return 0;
	if (len < 0)
		return diag_sys(diag, errno, "cannot read '%s'", path);
	print_target(facts, wanted);
	if (strcmp(target, wanted) == 0)
		return 0;
	return diag_refuse(
		diag, -EXDEV,
		"'%s' says that these pins serve another network namespace (%s) than "
		"this one (%s); run it there, or where that one is gone remove '%s' and the "
		"state; or give this one pins (--pins) and a state (--state) of its own",
		path, target, wanted, pins);
}

int netns_check(const char *pins, const struct host_facts *facts, struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();
	bpffs_versions versions = {};
	int err = bpffs_find_versions(arena, pins, diag, &versions);

	if (err == -ENOENT)
		return 0;
	for (size_t i = 0; i < versions.len && !err; i++)
		err = check_folder(pins, arena_printf(arena, "%s/v%u/netns", pins, versions.at[i]),
				   facts, diag);
	return err;
}

int netns_claim(const char *folder, const struct host_facts *facts, struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();
	const char *path = arena_printf(arena, "%s/netns", folder);
	char target[TARGET_SIZE];

	print_target(facts, target);
	if (symlink(target, path) && errno != EEXIST)
		return diag_sys(diag, errno, "cannot make '%s'", path);
	return 0;
}
