// SPDX-License-Identifier: GPL-2.0-only
/* See kernel/instance.h. */
#include "kernel/instance.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <bpf/bpf.h>

#include "kernel/bpffs.h"
#include "kernel/lost.h"

enum { INSTANCE_MAPS = 64 }; /* a program of ours has less than half as many */

struct ids {
	uint32_t at[INSTANCE_MAPS];
	uint32_t len;
};

static bool has(const struct ids *ids, uint32_t id)
{
	for (uint32_t i = 0; i < ids->len; i++)
		if (ids->at[i] == id)
			return true;
	return false;
}

/* The maps of a program. */
static int maps_of(uint32_t program, struct ids *ret_ids)
{
	scoped(close) int fd = bpf_prog_get_fd_by_id(program);
	struct bpf_prog_info info = {
		.nr_map_ids = INSTANCE_MAPS,
		.map_ids = (uintptr_t)ret_ids->at,
	};
	uint32_t size = sizeof(info);
	int err = fd < 0 ? fd : bpf_obj_get_info_by_fd(fd, &info, &size);

	if (err)
		return err;
	ret_ids->len = info.nr_map_ids < INSTANCE_MAPS ? info.nr_map_ids : INSTANCE_MAPS;
	return 0;
}

/* The id of the map that is pinned there; 0: none. */
static uint32_t pinned_map(const char *path)
{
	scoped(close) int fd = bpf_obj_get(path);
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info);

	return fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size) ? 0 : info.id;
}

int instance_check(const struct load *load, const char *link, uint32_t program, struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();
	const char *end = strrchr(load_pins(load), '/');
	const char *pins =
		arena_printf(arena, "%.*s", (int)(end - load_pins(load)), load_pins(load));
	bpffs_versions versions = {};
	struct ids maps = {};
	int err = maps_of(program, &maps);

	if (err == -ENOENT)
		return 0;
	if (err)
		return diag_sys(diag, -err, "cannot ask for the maps of program %u", program);
	err = bpffs_find_versions(arena, pins, diag, &versions);
	if (err && err != -ENOENT)
		return err;
	for (size_t i = 0; i < versions.len; i++)
		if (has(&maps,
			pinned_map(arena_printf(arena, "%s/v%u/maps/%s", pins, versions.at[i],
						load_map_name(LOAD_MAP_ACTIVE)))))
			return 0;
	if (lost_has(load_pins(load), program))
		return 0;
	return diag_refuse(diag, -ENODEV,
			   "another bulkhead filters link '%s' (program %u), with other pins than "
			   "'%s'; name its --pins and --state, or detach it with them first",
			   link, program, pins);
}

void instance_warn_of_state(const struct store *store, const struct store_record *record,
			    uint64_t active, const char *pins, struct diag *diag)
{
	if (!active || store_knows_active(record))
		return;
	diag_warn(
		diag, (struct mark){},
		"state '%s' knows nothing of generation %llu, which is in force by pins '%s': what "
		"it has counted is not kept; if another state belongs to them, name it (--state)",
		store_path(store), (unsigned long long)active, pins);
}

const char *instance_pins(struct arena *arena, const char *pins)
{
	scoped(free) char *path = realpath(pins, NULL);

	return str_dup(arena, str_of(path ? path : pins));
}

/* However each is written. */
static bool is_same_folder(const char *one, const char *other)
{
	struct stat a, b;

	return strcmp(one, other) == 0 ||
	       (!stat(one, &a) && !stat(other, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino);
}

int instance_check_state(const struct store *store, const struct store_record *record,
			 const char *pins, struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();
	bpffs_versions versions = {};
	int err;

	if (!record->pins[0] || strcmp(record->boot, store_boot(arena)) != 0 ||
	    is_same_folder(record->pins, pins))
		return 0;
	err = bpffs_find_versions(arena, record->pins, diag, &versions);
	if (err == -ENOENT || (!err && !versions.len))
		return 0;
	if (err)
		return err;
	return diag_refuse(
		diag, -ENODEV,
		"state '%s' is that of another bulkhead, with pins '%s' and not '%s'; name "
		"its --pins, or another --state, or detach it with both first",
		store_path(store), record->pins, pins);
}
