// SPDX-License-Identifier: GPL-2.0-only
/* See kernel/instance.h. */
#include "kernel/instance.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <bpf/bpf.h>

#include "kernel/bpffs.h"
#include "kernel/folder.h"
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

/* Whether one of the maps is the word of the generation that is pinned there, of whatever ABI version. */
static int is_pinned_at(struct arena *arena, const char *pins, const struct ids *maps,
			struct diag *diag, bool *ret_is)
{
	bpffs_versions versions = {};
	int err = bpffs_find_versions(arena, pins, diag, &versions);

	*ret_is = false;
	for (size_t i = 0; i < versions.len && !*ret_is; i++)
		*ret_is = has(maps,
			      pinned_map(arena_printf(arena, "%s/v%u/maps/%s", pins, versions.at[i],
						      load_map_name(LOAD_MAP_ACTIVE))));
	return err == -ENOENT ? 0 : err;
}

/* Whether the pins are those of the program, though maps may have lost theirs. */
static int is_ours(struct arena *arena, const char *pins, uint32_t program, const struct ids *maps,
		   struct diag *diag, bool *ret_is)
{
	bpffs_versions versions = {};
	int err = is_pinned_at(arena, pins, maps, diag, ret_is);

	if (err || *ret_is)
		return err;
	err = bpffs_find_versions(arena, pins, diag, &versions);
	for (size_t i = 0; i < versions.len && !*ret_is; i++)
		*ret_is = lost_has(arena_printf(arena, "%s/v%u", pins, versions.at[i]), program);
	return err == -ENOENT ? 0 : err;
}

/* The pins in a folder of a bpffs by which the maps are found; "": none. */
static const char *find_pins(struct arena *arena, const char *folder, const struct ids *maps)
{
	scoped(diag_free) struct diag *quiet = diag_new();
	bpffs_names names = {};

	if (!bpffs_has(folder) || bpffs_list(arena, folder, quiet, &names))
		return "";
	for (size_t i = 0; i < names.len; i++) {
		const char *pins = arena_printf(arena, "%s/%s", folder, names.at[i]);
		bool found = false;

		/* Most are no folders of pins. */
		if (!is_pinned_at(arena, pins, maps, quiet, &found) && found)
			return pins;
	}
	return "";
}

/* By the word of the generation that the program itself reads; what cannot be read is no such word. */
static bool lets_all_pass(const struct ids *maps)
{
	for (uint32_t i = 0; i < maps->len; i++) {
		scoped(close) int fd = bpf_map_get_fd_by_id(maps->at[i]);
		struct bpf_map_info info = {};
		struct bh_active active = {};
		uint32_t size = sizeof(info);
		uint32_t key = 0;

		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size) ||
		    info.value_size != sizeof(active) ||
		    strcmp(info.name, load_map_name(LOAD_MAP_ACTIVE)) != 0)
			continue;
		return !bpf_map_lookup_elem(fd, &key, &active) &&
		       active.generation == BH_ACTIVE_OPEN;
	}
	return false;
}

int instance_find(struct arena *arena, const char *pins, uint32_t program, struct diag *diag,
		  struct instance_owner *ret_owner)
{
	struct instance_owner owner = {.pins = ""};
	struct ids maps = {};
	int err = maps_of(program, &maps);

	if (err == -ENOENT) {
		*ret_owner = (struct instance_owner){.gone = true, .pins = ""};
		return 0;
	}
	if (err)
		return diag_sys(diag, -err, "cannot ask for the maps of program %u%s", program,
				err == -EPERM ? " (which takes CAP_SYS_ADMIN)" : "");
	err = is_ours(arena, pins, program, &maps, diag, &owner.ours);
	if (err)
		return err;
	if (!owner.ours)
		owner.pins = find_pins(arena, folder_above(arena, pins), &maps);
	if (!owner.ours && !owner.pins[0])
		owner.pins = find_pins(arena, BPFFS_USUAL_PLACE, &maps);
	owner.passes = lets_all_pass(&maps);
	*ret_owner = owner;
	return 0;
}

#define REMEDY                                                                                    \
	"; where they were removed, 'bpftool net' shows the programs, and 'tc filter delete' or " \
	"'bpftool link detach' takes them off"

const char *instance_remedy(void)
{
	if (bpffs_has(BPFFS_USUAL_PLACE))
		return REMEDY;
	return "; '" BPFFS_USUAL_PLACE
	       "' is no bpffs here, and the pins may only be hidden: run this "
	       "where process 1 is (not by 'ip netns exec', but by 'nsenter --net=...')" REMEDY;
}

int instance_check(const struct load *load, const char *link, uint32_t program, struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct instance_owner owner = {.pins = ""};
	const char *pins = folder_above(arena, load_pins(load));
	int err = instance_find(arena, pins, program, diag, &owner);

	if (err || owner.gone || owner.ours)
		return err;
	return diag_refuse(diag, -ENODEV,
			   "another bulkhead filters link '%s' (program %u), with other pins than "
			   "'%s'%s; name its --pins and --state, or detach it with them first%s",
			   link, program, pins,
			   owner.pins[0] ? arena_printf(arena, ", namely '%s'", owner.pins)
					 : ", which are not to be found",
			   owner.pins[0] ? "" : instance_remedy());
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

bool instance_has_ended(const struct store_record *record, const char *pins)
{
	scoped(arena_free) struct arena *arena = arena_new();

	if (!record->last || !is_same_folder(record->pins, pins))
		return false;
	return strcmp(record->boot, store_boot(arena)) != 0 ||
	       (!record->current.generation && !record->next.generation);
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
