// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/fill.h"

#include <errno.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

/* Descriptors are held only until a batch is put, but for those that are needed behind the flip. */
enum { BATCH = 256 };

struct batch {
	const struct load *load;
	enum load_map map;
	bool keep; /* the load has the descriptors, beyond the batch */
	uint32_t indices[BATCH];
	int fds[BATCH];
	uint32_t n;
};

static void batch_fini(struct batch *batch)
{
	for (uint32_t i = 0; i < batch->n && !batch->keep; i++)
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
	int err = batch->keep ? load_keep_page(batch->load, batch->map, fd, diag) : 0;

	if (err)
		return err;
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
	struct batch batch = {.load = load, .map = LOAD_MAP_IMAGE, .keep = true};
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

/* Rows of all CPUs that are zero, for as many rows as a page has. */
struct zeroes {
	uint32_t rows[BH_PAGE_ROWS];
	void *values;
};

static int zeroes_make(struct arena *arena, struct diag *diag, struct zeroes *ret_zeroes)
{
	int n_cpus = libbpf_num_possible_cpus();

	if (n_cpus < 0)
		return diag_sys(diag, -n_cpus, "cannot count the CPUs");
	for (uint32_t i = 0; i < BH_PAGE_ROWS; i++)
		ret_zeroes->rows[i] = i;
	ret_zeroes->values =
		arena_calloc(arena, (size_t)n_cpus * BH_PAGE_ROWS, sizeof(struct bh_row));
	return 0;
}

/*
 * What is there begins anew in its place, for that takes no grace period, or goes on where there are no zeroes.
 * What is missing and wanted is made.
 */
static int begin_counters(struct batch *batch, uint32_t index, bool wanted,
			  const struct zeroes *zeroes, struct diag *diag)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	uint32_t n = BH_PAGE_ROWS;
	scoped(close) int fd = -1;
	int err = load_page_fd(batch->load, batch->map, index, diag, &fd);

	if (err == -ENOENT)
		return wanted ? batch_add_new(batch, index, diag) : 0;
	if (err)
		return err;
	if (!zeroes)
		return 0;
	err = bpf_map_update_batch(fd, zeroes->rows, zeroes->values, &n, &opts);
	return err ? diag_sys(diag, -err, "cannot clear a page of map %s",
			      load_map_name(batch->map))
		   : 0;
}

/*
 * The pages of the wanted links, and with zeroes those under numbers that no link has now, too, for whoever
 * reads the rows reads those of all.
 */
static int begin_links(const struct load *load, uint32_t slot, uint32_t wanted, uint32_t n_rows,
		       const struct zeroes *zeroes, struct diag *diag)
{
	struct batch batch = {.load = load, .map = LOAD_MAP_COUNTERS, .keep = true};
	uint32_t pages = (n_rows + BH_PAGE_ROWS - 1) / BH_PAGE_ROWS;
	uint32_t all = zeroes ? UINT32_MAX : wanted;
	int err = 0;

	for (uint32_t link = 0; link < BH_LINKS; link++) {
		uint32_t first = (slot * BH_LINKS + link) * BH_ROW_PAGES;

		for (uint32_t i = 0; i < pages && all >> link & 1 && !err; i++)
			err = begin_counters(&batch, first + i, wanted >> link & 1, zeroes, diag);
	}
	return batch_end(&batch, err, diag);
}

int fill_counters(const struct load *load, uint32_t slot, uint32_t numbers, uint32_t n_rows,
		  struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct zeroes zeroes = {};
	int err = zeroes_make(arena, diag, &zeroes);

	return err ? err : begin_links(load, slot, numbers, n_rows, &zeroes, diag);
}

int fill_counters_beside(const struct load *load, uint32_t slot, uint32_t numbers, uint32_t n_rows,
			 struct diag *diag)
{
	return begin_links(load, slot, numbers, n_rows, NULL, diag);
}

int fill_state(const struct load *load, uint32_t slot, uint32_t n_pages, struct diag *diag)
{
	struct batch batch = {.load = load, .map = LOAD_MAP_STATE, .keep = true};
	int err = 0;

	for (uint32_t i = 0; i < n_pages && !err; i++)
		err = batch_add_new(&batch, slot * BH_STATE_PAGES + i, diag);
	return batch_end(&batch, err, diag);
}

/* Two slots that are to be the same: elements of one, and how many of them count. */
struct pair {
	const struct load *load;
	enum load_map map;
	uint32_t per_slot;
	uint32_t from;
	uint32_t n;
};

/*
 * The elements of one slot become those of the other, where they are others. Those beyond n, left from
 * larger tables, become its first page, in both slots: an element cannot be emptied without a
 * grace period for each. do_it is called for each element that is to change, with the one to copy.
 */
static int for_each_other(const struct pair *pair, struct diag *diag,
			  int (*do_it)(const struct pair *pair, struct batch *batch, uint32_t to,
				       uint32_t source, struct diag *diag),
			  struct batch *batch)
{
	scoped(arena_free) struct arena *arena = arena_new();
	const struct load_span both = {pair->map, 0, 2 * pair->per_slot, pair->per_slot};
	uint32_t first = pair->from * pair->per_slot;
	uint32_t *ids = NULL;
	int err = load_page_ids(pair->load, arena, both, diag, &ids);

	for (uint32_t i = 0; i < both.n && !err && ids; i++) {
		uint32_t at = i % pair->per_slot;
		uint32_t source = first + (at < pair->n ? at : 0);

		if (ids[i] != ids[source] && (ids[i] || at < pair->n))
			err = do_it(pair, batch, i, source, diag);
	}
	return err;
}

static int copy_element(const struct pair *pair, struct batch *batch, uint32_t to, uint32_t source,
			struct diag *diag)
{
	int fd = -1;
	int err = load_page_fd(pair->load, pair->map, source, diag, &fd);

	if (err == -ENOENT)
		return diag_refuse(diag, -EIO, "page %u of map %s is missing", source,
				   load_map_name(pair->map));
	return err ? err : batch_add(batch, to, fd, diag);
}

static int hold_source(const struct pair *pair, struct batch *batch, uint32_t to, uint32_t source,
		       struct diag *diag)
{
	(void)batch;
	(void)to;
	return load_hold_page(pair->load, pair->map, source, diag);
}

static int make_same(const struct pair *pair, struct diag *diag)
{
	struct batch batch = {.load = pair->load, .map = pair->map};
	int err = for_each_other(pair, diag, copy_element, &batch);

	return batch_end(&batch, err, diag);
}

int fill_state_same(const struct load *load, uint32_t from, uint32_t n_pages, struct diag *diag)
{
	const struct pair pair = {load, LOAD_MAP_STATE, BH_STATE_PAGES, from, n_pages};

	return make_same(&pair, diag);
}

int fill_image_same(const struct load *load, uint32_t from, uint32_t n_pages, struct diag *diag)
{
	const struct pair pair = {load, LOAD_MAP_IMAGE, BH_IMAGE_PAGES, from, n_pages};

	return make_same(&pair, diag);
}

int fill_hold_same(const struct load *load, uint32_t from, uint32_t n_state_pages,
		   uint32_t n_image_pages, struct diag *diag)
{
	const struct pair state = {load, LOAD_MAP_STATE, BH_STATE_PAGES, from, n_state_pages};
	const struct pair image = {load, LOAD_MAP_IMAGE, BH_IMAGE_PAGES, from, n_image_pages};
	int err = for_each_other(&state, diag, hold_source, NULL);

	return err ? err : for_each_other(&image, diag, hold_source, NULL);
}

int fill_self(const struct load *load, const struct bh_self *self, struct diag *diag, int *ret_fd)
{
	int fd = -1;
	int err = write_page(load, LOAD_MAP_SELF, self, sizeof(*self), diag, &fd);

	if (!err)
		err = load_keep_page(load, LOAD_MAP_SELF, fd, diag);
	if (!err)
		*ret_fd = fd;
	return err;
}

int fill_put_self(const struct load *load, int fd, struct diag *diag)
{
	const uint32_t index = 0;

	return load_put_pages(load, LOAD_MAP_SELF, &index, &fd, 1, diag);
}

int fill_count_unused(const struct load *load, struct diag *diag, uint32_t *ret_n_pages)
{
	scoped(arena_free) struct arena *arena = arena_new();
	const struct load_span both = {LOAD_MAP_IMAGE, 0, 2 * BH_IMAGE_PAGES, BH_IMAGE_PAGES};
	uint32_t *ids = NULL;
	uint64_t active = 0;
	uint32_t n = 0;
	int err = load_active(load, diag, &active);

	if (!err)
		err = load_page_ids(load, arena, both, diag, &ids);
	if (err || !ids)
		return err;
	for (uint32_t i = 0; i < BH_IMAGE_PAGES; i++) {
		uint32_t live = ids[(active & 1) * BH_IMAGE_PAGES + i];
		uint32_t other = ids[(~active & 1) * BH_IMAGE_PAGES + i];

		n += other && other != live && other != ids[(active & 1) * BH_IMAGE_PAGES];
		n += live && !active;
	}
	*ret_n_pages = n;
	return 0;
}
