// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs that another process holds, enforcer-hold, for test after test: to verify them takes
 * longer than most tests do, and seconds in an emulated machine. They come over as
 * descriptors, their maps with them, and everything in those is put back to how it began.
 */
#include "tests/lib/enforcer_inside.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/enforce.skel.h"

enum { MAPS_MAX = 64, BATCH = 4096 };

/* Waits until no other test has them. */
static bool lock(struct enforcer *enforcer, int pid, int fd)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	enforcer->held_fd = open(path, O_RDONLY | O_CLOEXEC);
	return enforcer->held_fd >= 0 && !flock(enforcer->held_fd, LOCK_EX);
}

/* The numbers of a text of so many; false: there are fewer, or more follows. */
static bool read_numbers(const char *words, int *numbers, int n)
{
	for (int i = 0; i < n; i++) {
		char *end;

		numbers[i] = (int)strtol(words, &end, 10);
		if (end == words)
			return false;
		words = end;
	}
	return !*words;
}

/* words: the holder's process, its descriptor to lock, one a program, -1 for one that it has not. */
static bool take_programs(struct enforcer *enforcer, const char *words)
{
	int numbers[2 + ENFORCER_LOADED_COUNT];
	const int *fds = numbers + 2;
	scoped(close) int process = -1;

	if (!read_numbers(words, numbers, ARRAY_LEN(numbers)) ||
	    !lock(enforcer, numbers[0], numbers[1]))
		return false;
	process = (int)syscall(SYS_pidfd_open, numbers[0], 0);
	for (int i = 0; process >= 0 && i < ENFORCER_LOADED_COUNT; i++) {
		enforcer->programs[i] = -1;
		if (fds[i] < 0)
			continue;
		enforcer->programs[i] = (int)syscall(SYS_pidfd_getfd, process, fds[i], 0);
		if (enforcer->programs[i] < 0)
			return false;
	}
	return process >= 0;
}

/* The skeleton's maps are those of the program. */
static void take_maps(const struct enforcer *enforcer, int program)
{
	uint32_t ids[MAPS_MAX];
	struct bpf_prog_info info = {.nr_map_ids = MAPS_MAX, .map_ids = (uintptr_t)ids};
	uint32_t size = sizeof(info);

	enforcer_must(enforcer, bpf_obj_get_info_by_fd(program, &info, &size),
		      "cannot ask for the maps of a program");
	for (uint32_t i = 0; i < info.nr_map_ids; i++) {
		scoped(close) int fd = bpf_map_get_fd_by_id(ids[i]);
		struct bpf_map_info map_info = {};
		struct bpf_map *map;

		size = sizeof(map_info);
		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &map_info, &size))
			enforcer_fail(enforcer, "cannot take a map");
		map = bpf_object__find_map_by_name(enforcer->skeleton->obj, map_info.name);
		if (map && bpf_map__fd(map) < 0)
			enforcer_must(enforcer, bpf_map__reuse_fd(map, fd), map_info.name);
	}
}

/* All elements of an array become zero. */
static void clear(const struct enforcer *enforcer, const char *name)
{
	int fd = enforcer_map(enforcer, name);
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info);
	uint32_t keys[BATCH];

	enforcer_must(enforcer, bpf_obj_get_info_by_fd(fd, &info, &size), name);
	if (info.type == BPF_MAP_TYPE_PERCPU_ARRAY)
		info.value_size = (info.value_size + 7) / 8 * 8 * enforcer->n_cpus;
	scoped(free) void *zeros = mem_calloc(BATCH, info.value_size);

	for (uint32_t first = 0; first < info.max_entries; first += BATCH) {
		uint32_t n = info.max_entries - first < BATCH ? info.max_entries - first : BATCH;

		for (uint32_t i = 0; i < n; i++)
			keys[i] = first + i;
		enforcer_must(enforcer, bpf_map_update_batch(fd, keys, zeros, &n, NULL), name);
	}
}

/* The page that stands in an element of an array of maps; 0: none. */
static int page_at(const struct enforcer *enforcer, const char *outer, uint32_t index)
{
	uint32_t id;
	int fd;

	if (bpf_map_lookup_elem(enforcer_map(enforcer, outer), &index, &id))
		return 0;
	fd = bpf_map_get_fd_by_id(id);
	if (fd < 0)
		enforcer_fail(enforcer, "cannot open a page of %s", outer);
	return fd;
}

/* Takes an element out of an array of maps, which waits for all packets under way. */
static void drop(const struct enforcer *enforcer, const char *outer, uint32_t index)
{
	uint32_t id;

	if (!bpf_map_lookup_elem(enforcer_map(enforcer, outer), &index, &id))
		enforcer_must(enforcer, bpf_map_delete_elem(enforcer_map(enforcer, outer), &index),
			      outer);
}

/* Without a generation packets look for counters in slot 0, and must find none. */
static void take_counters(struct enforcer *enforcer)
{
	for (uint32_t i = 0; i < ARRAY_LEN(enforcer->counters); i++) {
		uint32_t slot = i / (ENFORCER_LINKS * BH_ROW_PAGES);
		uint32_t index =
			slot * BH_LINKS * BH_ROW_PAGES + i % (ENFORCER_LINKS * BH_ROW_PAGES);

		if (slot)
			enforcer->counters[i] = page_at(enforcer, "bh_counters", index);
		else
			drop(enforcer, "bh_counters", index);
	}
}

/* Where a test has left the slots with pages of their own. */
static bool state_is_apart(const struct enforcer *enforcer)
{
	int outer = enforcer_map(enforcer, "bh_state");

	for (uint32_t i = 0; i < enforcer->n_state_pages; i++) {
		uint32_t index = BH_STATE_PAGES + i;
		uint32_t ids[2] = {};

		(void)bpf_map_lookup_elem(outer, &i, &ids[0]);
		(void)bpf_map_lookup_elem(outer, &index, &ids[1]);
		if (ids[0] != ids[1])
			return true;
	}
	return false;
}

/* Pages that stand are written over like those that an enforcer has put itself. */
static void take_pages(struct enforcer *enforcer)
{
	for (uint32_t i = 0; i < ARRAY_LEN(enforcer->image); i++) {
		enforcer->image[i] = page_at(enforcer, "bh_image", i);
		if (enforcer->image[i])
			enforcer->n_image_pages[i / BH_IMAGE_PAGES] = i % BH_IMAGE_PAGES + 1;
	}
	for (uint32_t i = 0; i < ARRAY_LEN(enforcer->state); i++) {
		enforcer->state[i] = page_at(enforcer, "bh_state", i);
		if (enforcer->state[i])
			enforcer->n_state_pages = i + 1;
	}
	if (state_is_apart(enforcer))
		enforcer_put_state(enforcer, BH_STATE_PAGES, enforcer->state,
				   enforcer->n_state_pages);
}

bool enforcer_take_held(struct enforcer *enforcer)
{
	static const char *const arrays[] = {"bh_active", "bh_links",  "bh_watch",
					     "bh_notes",  "bh_limits", "bh_untracked"};
	const char *words = getenv(ENFORCER_HELD);

	if (!words)
		return false;
	if (!take_programs(enforcer, words))
		enforcer_fail(enforcer, "cannot take the programs of %s=%s", ENFORCER_HELD, words);
	for (int i = 0; i < ENFORCER_LOADED_COUNT; i++)
		if (enforcer->programs[i] >= 0)
			take_maps(enforcer, enforcer->programs[i]);
	for (size_t i = 0; i < ARRAY_LEN(arrays); i++)
		clear(enforcer, arrays[i]);
	drop(enforcer, "bh_self", 0);
	take_counters(enforcer);
	take_pages(enforcer);
	enforcer_forget(enforcer);
	return true;
}
