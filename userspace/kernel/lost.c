// SPDX-License-Identifier: GPL-2.0-only
/* Pins that were removed; see kernel/lost.h. */
#include "kernel/lost.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/arena.h"
#include "host/facts.h"
#include "kernel/bpffs.h"
#include "kernel/load.h"

static const char *aside(struct arena *arena, const char *folder)
{
	return arena_printf(arena, "%s/lost", folder);
}

static bool has_all_maps(struct arena *arena, const char *folder)
{
	for (int i = 0; i < LOAD_MAP_COUNT; i++)
		if (access(arena_printf(arena, "%s/maps/%s", folder,
					load_map_name((enum load_map)i)),
			   F_OK))
			return false;
	return true;
}

/* Beside those that an earlier run has set aside and not lived to replace. */
static int keep_programs(struct arena *arena, const char *folder, struct diag *diag)
{
	const char *programs = arena_printf(arena, "%s/programs", folder);
	int err = bpffs_make(aside(arena, folder), diag);

	for (int n = 0; !err; n++) {
		if (rename(programs, arena_printf(arena, "%s/%d", aside(arena, folder), n)) == 0 ||
		    errno == ENOENT)
			break;
		if (errno != ENOTEMPTY && errno != EEXIST)
			err = diag_sys(diag, errno, "cannot rename '%s'", programs);
	}
	return err;
}

/*
 * Whether a filter of any link is one of the programs there: it needs no pin, and where the queueing
 * discipline was there before, none among the links tells of it.
 */
static int look_for_filters(struct arena *arena, const char *folder, struct diag *diag,
			    bool *ret_some)
{
	host_qdiscs qdiscs = {};
	int err = host_qdiscs_read(arena, diag, &qdiscs);

	for (size_t i = 0; i < 2 * qdiscs.len && !err && !*ret_some; i++) {
		struct host_filters found = {};

		err = host_filters_read_at(arena, &qdiscs.at[i / 2], i % 2 == 0, diag, &found);
		for (size_t n = 0; n < found.filters.len && !err; n++)
			*ret_some |= found.filters.at[n].program &&
				     lost_has(folder, found.filters.at[n].program);
	}
	return err;
}

int lost_set_aside(const char *folder, struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();
	bpffs_names links = {};
	bool some;
	int err;

	if (has_all_maps(arena, folder))
		return 0;
	err = bpffs_list(arena, arena_printf(arena, "%s/links", folder), diag, &links);
	some = links.len > 0;
	if (!err && !some)
		err = look_for_filters(arena, folder, diag, &some);
	if (err || !some) /* a first apply that was killed, or none */
		return err;
	err = keep_programs(arena, folder, diag);
	return err ? err : bpffs_remove(arena_printf(arena, "%s/maps", folder), diag);
}

bool lost_is_left(const char *folder)
{
	scoped(arena_free) struct arena *arena = arena_new();

	return access(aside(arena, folder), F_OK) == 0;
}

static uint32_t program_id(const char *path)
{
	scoped(close) int fd = bpf_obj_get(path);
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);

	return fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size) ? 0 : info.id;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the folder, which is ours */
static bool has_below(struct arena *arena, const char *path, uint32_t program)
{
	scoped(diag_free) struct diag *quiet = diag_new();
	bpffs_names names = {};

	if (bpffs_list(arena, path, quiet, &names)) /* a pin */
		return program_id(path) == program;
	for (size_t i = 0; i < names.len; i++)
		if (has_below(arena, arena_printf(arena, "%s/%s", path, names.at[i]), program))
			return true;
	return false;
}

bool lost_has(const char *folder, uint32_t program)
{
	scoped(arena_free) struct arena *arena = arena_new();

	return has_below(arena, aside(arena, folder), program) ||
	       has_below(arena, arena_printf(arena, "%s/programs", folder), program);
}

int lost_forget(const char *folder, struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();

	return bpffs_remove(aside(arena, folder), diag);
}
