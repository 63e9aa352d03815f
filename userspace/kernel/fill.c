// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/fill.h"

#include <errno.h>

#include <bpf/bpf.h>

/* Descriptors are held only until a batch is put, far below the usual limit of 1024. */
enum { BATCH = 256 };

struct batch {
	const struct load *load;
	enum load_map map;
	uint32_t indices[BATCH];
	int fds[BATCH];
	uint32_t n;
};

static void batch_fini(struct batch *batch)
{
	for (uint32_t i = 0; i < batch->n; i++)
		(void)close(batch->fds[i]);
	batch->n = 0;
}

static int batch_put(struct batch *batch, struct diag *diag)
{
	int err = batch->n ? load_put_pages(batch->load, batch->map, batch->indices, batch->fds,
					    batch->n, diag)
			   : 0;

	batch_fini(batch);
	return err;
}

/* Takes the descriptor over. */
static int batch_add(struct batch *batch, uint32_t index, int fd, struct diag *diag)
{
	batch->indices[batch->n] = index;
	batch->fds[batch->n++] = fd;
	return batch->n == BATCH ? batch_put(batch, diag) : 0;
}

static int batch_add_new(struct batch *batch, uint32_t index, struct diag *diag)
{
	int fd = -1;
	int err = load_new_page(batch->load, batch->map, diag, &fd);

	return err ? err : batch_add(batch, index, fd, diag);
}

static int batch_end(struct batch *batch, int err, struct diag *diag)
{
	if (err)
		batch_fini(batch);
	return err ? err : batch_put(batch, diag);
}

/* A page of one value: written, read back, frozen. */
static int write_page(const struct load *load, enum load_map map, const void *value, size_t size,
		      struct diag *diag, int *ret_fd)
{
	scoped(close) int fd = -1;
	scoped(free) void *back = mem_alloc(size);
	uint32_t key = 0;
	int err = load_new_page(load, map, diag, &fd);

	if (err)
		return err;
	err = bpf_map_update_elem(fd, &key, value, BPF_ANY);
	if (err)
		return diag_sys(diag, -err, "cannot write a page of map %s", load_map_name(map));
	err = bpf_map_freeze(fd);
	if (err)
		return diag_sys(diag, -err, "cannot freeze a page of map %s", load_map_name(map));
	err = bpf_map_lookup_elem(fd, &key, back);
	if (err)
		return diag_sys(diag, -err, "cannot read back a page of map %s",
				load_map_name(map));
	if (memcmp(back, value, size) != 0)
		return diag_refuse(diag, -EIO, "a page of map %s does not read back as written",
				   load_map_name(map));
	*ret_fd = take_fd(fd);
	return 0;
}

int fill_image(const struct load *load, const struct image *image, uint32_t slot, struct diag *diag)
{
	struct batch batch = {.load = load, .map = LOAD_MAP_IMAGE};
	int err = 0;

	for (uint32_t i = 0; i < image->n_pages && !err; i++) {
		int fd = -1;

		err = write_page(load, LOAD_MAP_IMAGE, image->tables + (size_t)i * BH_PAGE_SIZE,
				 BH_PAGE_SIZE, diag, &fd);
		if (!err)
			err = batch_add(&batch, slot * BH_IMAGE_PAGES + i, fd, diag);
	}
	return batch_end(&batch, err, diag);
}

int fill_counters(const struct load *load, uint32_t slot, uint32_t numbers, uint32_t n_rows,
		  struct diag *diag)
{
	struct batch batch = {.load = load, .map = LOAD_MAP_COUNTERS};
	uint32_t pages = (n_rows + BH_PAGE_ROWS - 1) / BH_PAGE_ROWS;
	int err = 0;

	for (uint32_t link = 0; link < BH_LINKS; link++) {
		uint32_t first = (slot * BH_LINKS + link) * BH_ROW_PAGES;

		for (uint32_t i = 0; i < pages && numbers >> link & 1 && !err; i++)
			err = batch_add_new(&batch, first + i, diag);
	}
	return batch_end(&batch, err, diag);
}

int fill_state(const struct load *load, uint32_t slot, uint32_t n_pages, struct diag *diag)
{
	struct batch batch = {.load = load, .map = LOAD_MAP_STATE};
	int err = 0;

	for (uint32_t i = 0; i < n_pages && !err; i++)
		err = batch_add_new(&batch, slot * BH_STATE_PAGES + i, diag);
	return batch_end(&batch, err, diag);
}

/*
 * The elements of one slot become those of the other, where they are others. Those beyond n, left from
 * larger tables, become its first page, in both slots: an element cannot be emptied without a
 * grace period for each.
 */
static int copy_slot(struct batch *batch, uint32_t per_slot, uint32_t from, uint32_t n,
		     struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();
	const struct load_span both = {batch->map, 0, 2 * per_slot, per_slot};
	uint32_t *ids = NULL;
	int err = load_page_ids(batch->load, arena, both, diag, &ids);

	for (uint32_t i = 0; i < both.n && !err && ids; i++) {
		uint32_t source = from * per_slot + (i % per_slot < n ? i % per_slot : 0);
		int fd = -1;

		if (ids[i] == ids[source] || (!ids[i] && i % per_slot >= n))
			continue;
		err = load_page_fd(batch->load, batch->map, source, diag, &fd);
		if (err == -ENOENT)
			return diag_refuse(diag, -EIO, "page %u of map %s is missing", source,
					   load_map_name(batch->map));
		if (!err)
			err = batch_add(batch, i, fd, diag);
	}
	return err;
}

int fill_state_same(const struct load *load, uint32_t from, uint32_t n_pages, struct diag *diag)
{
	struct batch batch = {.load = load, .map = LOAD_MAP_STATE};
	int err = copy_slot(&batch, BH_STATE_PAGES, from, n_pages, diag);

	return batch_end(&batch, err, diag);
}

int fill_image_same(const struct load *load, uint32_t from, uint32_t n_pages, struct diag *diag)
{
	struct batch batch = {.load = load, .map = LOAD_MAP_IMAGE};
	int err = copy_slot(&batch, BH_IMAGE_PAGES, from, n_pages, diag);

	return batch_end(&batch, err, diag);
}

int fill_self(const struct load *load, const struct bh_self *self, struct diag *diag)
{
	struct batch batch = {.load = load, .map = LOAD_MAP_SELF};
	int fd = -1;
	int err = write_page(load, LOAD_MAP_SELF, self, sizeof(*self), diag, &fd);

	if (!err)
		err = batch_add(&batch, 0, fd, diag);
	return batch_end(&batch, err, diag);
}
