// SPDX-License-Identifier: GPL-2.0-only
/*
 * What maps hold: pages, the inner maps of arrays of maps, and single words. The other half of load.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel/held.h"
#include "kernel/load.h"
#include "kernel/load_skeleton.h"

enum { NOT_SUPPORTED = 524 }; /* ENOTSUPP of the kernel, which has no name here */

/* The id of the page in an element; -ENOENT without words when there is none, or no map yet. */
static int page_id(const struct load *load, enum load_map map, uint32_t index, struct diag *diag,
		   uint32_t *ret_id)
{
	int fd = load_map_fd(load, map);
	int err = fd < 0 ? -ENOENT : bpf_map_lookup_elem(fd, &index, ret_id);

	if (err && err != -ENOENT)
		return diag_sys(diag, -err, "cannot read element %u of map %s", index,
				load_map_name(map));
	return err;
}

static int open_page(enum load_map map, uint32_t id, struct diag *diag, int *ret_fd)
{
	int fd = bpf_map_get_fd_by_id(id);

	if (fd == -ENOENT)
		return -ENOENT;
	if (fd < 0)
		return diag_sys(diag, -fd, "cannot open a page of map %s by its id%s",
				load_map_name(map),
				fd == -EPERM ? " (which takes CAP_SYS_ADMIN)" : "");
	*ret_fd = fd;
	return 0;
}

int load_page_fd(const struct load *load, enum load_map map, uint32_t index, struct diag *diag,
		 int *ret_fd)
{
	uint32_t id = 0;
	int err = page_id(load, map, index, diag, &id);
	int fd = err ? -1 : held_map(load_held(load), id);

	if (err || fd < 0)
		return err ? err : open_page(map, id, diag, ret_fd);
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return diag_sys(diag, errno, "cannot keep a descriptor");
	*ret_fd = fd;
	return 0;
}

static int hold_id(const struct load *load, enum load_map map, uint32_t id, struct diag *diag)
{
	int fd = -1;
	int err = held_map(load_held(load), id) < 0 ? open_page(map, id, diag, &fd) : 0;

	if (fd >= 0)
		held_add_map(load_held(load), id, fd);
	return err == -ENOENT ? 0 : err;
}

int load_hold_page(const struct load *load, enum load_map map, uint32_t index, struct diag *diag)
{
	uint32_t id = 0;
	int err = page_id(load, map, index, diag, &id);

	if (err)
		return err == -ENOENT ? 0 : err;
	return hold_id(load, map, id, diag);
}

int load_hold_pages(const struct load *load, struct load_span span, struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();
	uint32_t *ids = NULL;
	int err = load_page_ids(load, arena, span, diag, &ids);

	for (uint32_t i = 0; i < span.n && ids && !err; i++)
		err = ids[i] ? hold_id(load, span.map, ids[i], diag) : 0;
	return err;
}

void load_let_go(const struct load *load)
{
	held_close_maps(load_held(load));
}

int load_keep_page(const struct load *load, enum load_map map, int fd, struct diag *diag)
{
	scoped(close) int kept = fd;
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info);
	int err = bpf_obj_get_info_by_fd(kept, &info, &size);

	if (err)
		return diag_sys(diag, -err, "cannot ask for the id of a page of map %s",
				load_map_name(map));
	held_add_map(load_held(load), info.id, take_fd(kept));
	return 0;
}

int load_page_ids(const struct load *load, struct arena *arena, struct load_span span,
		  struct diag *diag, uint32_t **ret_ids)
{
	uint32_t *ids = arena_calloc(arena, span.n, sizeof(*ids));

	for (uint32_t i = 0; i < span.n; i++) {
		int err = page_id(load, span.map, span.first + i, diag, &ids[i]);

		if (err == -ENOENT)
			i += span.part - 1 - i % span.part; /* on to the next part */
		else if (err)
			return err;
	}
	*ret_ids = ids;
	return 0;
}

static int put_singly(const struct load *load, enum load_map map, const uint32_t *indices,
		      const int *fds, uint32_t n, struct diag *diag)
{
	for (uint32_t i = 0; i < n; i++) {
		int err =
			bpf_map_update_elem(load_map_fd(load, map), &indices[i], &fds[i], BPF_ANY);

		if (err)
			return diag_sys(diag, -err, "cannot put a page into element %u of map %s",
					indices[i], load_map_name(map));
	}
	return 0;
}

int load_put_pages(const struct load *load, enum load_map map, const uint32_t *indices,
		   const int *fds, uint32_t n, struct diag *diag)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	uint32_t done = n;
	int err;

	if (n <= 1)
		return put_singly(load, map, indices, fds, n, diag);
	err = bpf_map_update_batch(load_map_fd(load, map), indices, fds, &done, &opts);
	if (err == -EINVAL || err == -EOPNOTSUPP || err == -NOT_SUPPORTED)
		return put_singly(load, map, indices, fds, n, diag);
	if (err)
		return diag_sys(diag, -err, "cannot put %u pages into map %s", n,
				load_map_name(map));
	return 0;
}

/*
 * What bpf/maps.bpf.h says of inner maps, said again: libbpf forgets it once the programs are
 * loaded. The kernel compares, and refuses a page of another form.
 */
struct page_form {
	enum bpf_map_type type;
	uint32_t value_size;
	uint32_t max_entries;
	uint32_t flags;
};

static struct page_form page_form(enum load_map map)
{
	if (map == LOAD_MAP_IMAGE)
		return (struct page_form){BPF_MAP_TYPE_ARRAY, BH_PAGE_SIZE, 1, BPF_F_RDONLY_PROG};
	if (map == LOAD_MAP_SELF)
		return (struct page_form){BPF_MAP_TYPE_ARRAY, sizeof(struct bh_self), 1,
					  BPF_F_RDONLY_PROG};
	if (map == LOAD_MAP_COUNTERS)
		return (struct page_form){BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(struct bh_row),
					  BH_PAGE_ROWS, 0};
	return (struct page_form){BPF_MAP_TYPE_ARRAY, BH_STATE_VALUE_SIZE, 1, BPF_F_MMAPABLE};
}

int load_skeleton_page(const struct enforce *skeleton, enum load_map map, struct diag *diag,
		       int *ret_fd)
{
	struct page_form form = page_form(map);
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = form.flags);
	/* The name of the outer map and what it holds, in the 15 characters that the kernel keeps. */
	int fd = bpf_map_create(form.type, load_map_name(map), sizeof(uint32_t), form.value_size,
				form.max_entries, &opts);

	(void)skeleton;
	if (fd < 0)
		return diag_sys(diag, -fd, "cannot make a page of map %s (%u KB)",
				load_map_name(map), form.value_size / 1024);
	*ret_fd = fd;
	return 0;
}

/* ---- single words ---- */

int load_active(const struct load *load, struct diag *diag, uint64_t *ret_generation)
{
	struct bh_active active = {};
	uint32_t key = 0;
	int fd = load_map_fd(load, LOAD_MAP_ACTIVE);
	int err = fd < 0 ? 0 : bpf_map_lookup_elem(fd, &key, &active);

	if (err)
		return diag_sys(diag, -err, "cannot read map bh_active");
	*ret_generation = active.generation == BH_ACTIVE_OPEN ? 0 : active.generation;
	return 0;
}

bool load_is_open(const struct load *load)
{
	struct bh_active active = {};
	uint32_t key = 0;
	int fd = load_map_fd(load, LOAD_MAP_ACTIVE);

	return fd >= 0 && !bpf_map_lookup_elem(fd, &key, &active) &&
	       active.generation == BH_ACTIVE_OPEN;
}

int load_machine(const struct load *load, struct diag *diag, struct bh_machine *ret_machine)
{
	uint32_t key = 0;
	int err = bpf_map_lookup_elem(load_map_fd(load, LOAD_MAP_MACHINE), &key, ret_machine);

	return err ? diag_sys(diag, -err, "cannot read map bh_machine") : 0;
}

/* ---- memory ---- */

/* What the kernel charges for a map, from fdinfo; 0 where it does not tell. */
static uint64_t map_memory(int fd)
{
	char path[64];
	char line[128];
	uint64_t bytes = 0;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	scoped(fclose) FILE *in = fopen(path, "re");

	while (in && fgets(line, sizeof(line), in)) {
		struct str head;
		struct str tail;

		line[strcspn(line, "\n")] = '\0';
		if (str_cut(str_of(line), ':', &head, &tail) && str_eq(head, STR("memlock")))
			(void)str_number(str_trim(tail), UINT64_MAX, &bytes);
	}
	return bytes;
}

/* Pages stand in both slots, and a first one in elements beyond the last; each is counted once. */
static bool seen_before(const uint32_t *ids, uint32_t i, const struct load_span *span)
{
	uint32_t period = span->n / 2;
	uint32_t at = i % span->part;

	return (i >= period && period && ids[i] == ids[i - period]) ||
	       (at && ids[i] == ids[i - at]);
}

/* All pages of a map have one form, and what one takes, each does: one that is held, or any. */
static int page_memory(const struct load *load, struct load_span span, const uint32_t *ids,
		       struct diag *diag, uint64_t *ret_bytes)
{
	uint32_t chosen = span.n;
	scoped(close) int fd = -1;
	int err;

	for (uint32_t i = 0; i < span.n; i++)
		if (ids[i] && (chosen == span.n || held_map(load_held(load), ids[i]) >= 0))
			chosen = i;
	if (chosen == span.n)
		return 0;
	err = load_page_fd(load, span.map, span.first + chosen, diag, &fd);
	if (!err)
		*ret_bytes = map_memory(fd);
	return err == -ENOENT ? 0 : err;
}

static int pages_memory(const struct load *load, struct arena *arena, struct load_span span,
			struct diag *diag, uint64_t *bytes)
{
	uint32_t *ids = NULL;
	uint64_t each = 0;
	int err = load_page_ids(load, arena, span, diag, &ids);

	if (!err && ids)
		err = page_memory(load, span, ids, diag, &each);
	for (uint32_t i = 0; i < span.n && ids && !err; i++)
		if (ids[i] && !seen_before(ids, i, &span))
			*bytes += each;
	return err;
}

int load_memory(const struct load *load, struct diag *diag, uint64_t *ret_bytes)
{
	static const struct load_span spans[] = {
		{LOAD_MAP_IMAGE, 0, 2 * BH_IMAGE_PAGES, BH_IMAGE_PAGES},
		{LOAD_MAP_STATE, 0, 2 * BH_STATE_PAGES, BH_STATE_PAGES},
		{LOAD_MAP_COUNTERS, 0, 2 * BH_LINKS * BH_ROW_PAGES, BH_ROW_PAGES},
		{LOAD_MAP_SELF, 0, 1, 1},
	};
	scoped(arena_free) struct arena *arena = arena_new();
	uint64_t bytes = 0;
	int err = 0;

	for (size_t i = 0; i < ARRAY_LEN(spans) && !err; i++)
		err = pages_memory(load, arena, spans[i], diag, &bytes);
	if (err)
		return err;
	for (int i = 0; i < LOAD_MAP_COUNT; i++)
		bytes += map_memory(load_map_fd(load, (enum load_map)i));
	*ret_bytes = bytes;
	return 0;
}
