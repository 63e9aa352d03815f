// SPDX-License-Identifier: GPL-2.0-only
/*
 * Steps of an apply: counters of old generations, state pages, links.
 */
#include "kernel/applying.h"

#include <errno.h>

#include <bpf/bpf.h>

#include "kernel/clock.h"
#include "kernel/counters.h"
#include "kernel/fill.h"
#include "kernel/flowtable.h"
#include "kernel/tables.h"

static const struct mark nowhere;

/* ---- counters ---- */

/* Totals that cannot be believed must not keep a policy from coming into force. */
static int read_totals(struct applying *run, struct store_totals *totals)
{
	scoped(diag_free) struct diag *quiet = diag_new();
	int err = store_read_totals(run->store, run->arena, quiet, totals);

	if (err != -EBADMSG)
		return err ? store_read_totals(run->store, run->arena, run->diag, totals) : 0;
	diag_warn(run->diag, nowhere,
		  "'%s/counters.json' is cut or was altered; it is kept as counters.json.bad, and "
		  "totals begin anew",
		  store_path(run->store));
	return store_set_totals_aside(run->store, run->diag);
}

/* NULL when it is lost: the counters of its rules cannot be named then. */
static const struct image *old_image(struct applying *run,
				     const struct store_generation *generation)
{
	scoped(diag_free) struct diag *unheard = diag_new();
	struct image *image = arena_alloc(run->arena, sizeof(*image));

	if (!generation ||
	    store_get_image(run->store, &generation->digest, run->arena, unheard, image))
		return NULL;
	return image;
}

/* Rows of a generation lie in the kernel until its slot is used again: only the last one's do. */
static int fold_last(struct applying *run, const struct store_generation *last,
		     const struct image *image, struct store_totals *totals)
{
	struct counters counters = {};
	int err;

	if (last->generation <= totals->folded ||
	    ((last->generation ^ run->record.current.generation) & 1) == 0)
		return 0;
	if (!image)
		diag_warn(run->diag, nowhere,
			  "the image of generation %llu is lost: its counters of rules are, too",
			  (unsigned long long)last->generation);
	err = counters_read(run->load, run->arena, last->generation, last->n_rows, run->diag,
			    &counters);
	if (!err)
		counters_fold(totals, run->arena, &counters, image, &run->record);
	return err;
}

int applying_fold(struct applying *run)
{
	const struct store_generation *last =
		run->record.history.len ? &run->record.history.at[0] : NULL;
	const struct store_generation *current = &run->record.current;
	struct store_totals totals = {};
	const struct image *image;
	int err;

	if (!current->generation)
		return 0;
	err = read_totals(run, &totals);
	if (err || totals.began >= current->generation)
		return err;
	image = old_image(run, last);
	if (last)
		err = fold_last(run, last, image, &totals);
	if (err)
		return err;
	if (memcmp(&current->digest, &run->request->image->digest, sizeof(current->digest)) == 0)
		counters_begin(&totals, run->arena, run->request->image, image, current->applied);
	totals.began = current->generation;
	return store_write_totals(run->store, &totals, run->diag);
}

/* ---- state ---- */

/* The head of the image in force, from the kernel. */
static int read_live_head(const struct applying *run, struct bh_head *ret_head)
{
	scoped(free) uint8_t *page = mem_alloc(BH_PAGE_SIZE);
	scoped(close) int fd = -1;
	uint32_t key = 0;
	int err = load_page_fd(run->load, LOAD_MAP_IMAGE, (run->active & 1) * BH_IMAGE_PAGES,
			       run->diag, &fd);

	if (err)
		return err;
	err = bpf_map_lookup_elem(fd, &key, page);
	if (err)
		return diag_sys(run->diag, -err, "cannot read a page of map bh_image");
	memcpy(ret_head, page, sizeof(*ret_head));
	return 0;
}

int applying_count_links(struct applying *run, uint32_t fresh)
{
	struct bh_head live = {};
	int err = fresh ? read_live_head(run, &live) : 0;

	if (err || !fresh)
		return err == -ENOENT ? 0 : err;
	return fill_counters(run->load, run->active & 1, fresh, BH_FIXED_ROWS + live.n_outcomes,
			     run->diag);
}

int applying_prepare_state(struct applying *run, uint32_t slot)
{
	const struct bh_config *config = &image_head(run->request->image)->config;
	uint32_t n_pages = tables_state_pages(config);
	struct bh_head live = {};
	int err = run->active ? read_live_head(run, &live) : -ENOENT;

	if (err && err != -ENOENT)
		return err;
	if (!err && memcmp(live.config.tables, config->tables, sizeof(config->tables)) == 0)
		return fill_state_same(run->load, run->active & 1, n_pages, run->diag);
	run->state_is_new = true;
	return fill_state(run->load, slot, n_pages, run->diag);
}

int applying_carry_flows(struct applying *run, uint32_t slot)
{
	const struct bh_config *config = &image_head(run->request->image)->config;
	const struct flowtable_tables to = {.generation = slot, .config = config};
	struct bh_head live = {};
	const struct flowtable_tables from = {.generation = run->active, .config = &live.config};
	int err;

	if (!run->state_is_new || !run->active)
		return 0;
	err = read_live_head(run, &live);
	if (err)
		return err == -ENOENT ? 0 : err;
	run->carried_from = clock_ns();
	return flowtable_copy(run->load, &from, &to, run->diag, &run->result.n_copied_flows);
}

void applying_tell_flows(struct applying *run)
{
	uint64_t ms = (clock_ns() - run->carried_from) / 1000000 + 1;

	if (run->carried_from)
		diag_warn(run->diag, nowhere,
			  "flows that opened in the %llu ms before the flip are not in the tables "
			  "of another size, and their replies are denied",
			  (unsigned long long)ms);
}

int applying_settle_state(struct applying *run, uint32_t slot)
{
	uint32_t n_pages = tables_state_pages(&image_head(run->request->image)->config);

	return fill_state_same(run->load, slot, n_pages, run->diag);
}

/* ---- links ---- */

static void remember_why(struct applying *run, const struct attach_hook *hook)
{
	for (size_t i = 0; i < run->record.links.len; i++) {
		struct store_link *link = &run->record.links.at[i];

		if (link->ifindex != hook->ifindex)
			continue;
		if (hook->direction == BH_IN)
			link->why_in = hook->why;
		else
			link->why_out = hook->why;
	}
}

static int attach_one(struct applying *run, const struct host_link *link,
		      enum bh_direction direction)
{
	const struct attach_wish wish = {
		.link = link,
		.direction = direction,
		.mode = direction == BH_IN ? run->request->ingress : run->request->egress,
	};
	struct attach_hook hook = {};
	int err = attach_put(run->load, run->arena, &wish, run->diag, &hook);

	if (err)
		return err;
	array_push(run->arena, &run->put, hook);
	remember_why(run, &hook);
	run->result.hooks_changed = run->result.hooks_changed || hook.changed;
	if (!hook.first)
		diag_warn(run->diag, nowhere,
			  "another program runs before ours at %s of link '%s' and can let packets "
			  "pass us by",
			  direction == BH_IN ? "ingress" : "egress", link->name);
	return 0;
}

int applying_attach(struct applying *run)
{
	int err = 0;

	for (size_t i = 0; i < run->request->links->len && !err; i++) {
		const struct host_link *link = run->request->links->at[i];

		err = attach_one(run, link, BH_IN);
		if (!err)
			err = attach_one(run, link, BH_OUT);
	}
	return err;
}

int applying_undo_links(struct applying *run)
{
	int first = 0;

	for (size_t i = run->put.len; i > 0; i--) {
		const struct attach_hook *hook = &run->put.at[i - 1];
		int err = hook->added ? attach_remove(run->load, hook, run->diag) : 0;

		first = first ? first : err;
	}
	if (!first)
		first = attach_tidy(run->load, run->arena, run->request->facts, run->diag);
	return first;
}

static bool was_put(const struct applying *run, const struct attach_hook *hook)
{
	for (size_t i = 0; i < run->put.len; i++) {
		const struct attach_hook *put = &run->put.at[i];

		if (put->ifindex == hook->ifindex && put->direction == hook->direction &&
		    put->mode == hook->mode && !hook->elsewhere)
			return true;
	}
	return false;
}

/* Two filters of ours on one hook, from whatever went wrong before: the one that was put stays. */
static bool is_surplus(const struct applying *run, const struct attach_hook *hook)
{
	return !was_put(run, hook) || !hook->current;
}

static const char *why_of(const struct applying *run, const struct attach_hook *hook)
{
	for (size_t i = 0; i < run->put.len; i++)
		if (run->put.at[i].ifindex == hook->ifindex &&
		    run->put.at[i].direction == hook->direction)
			return run->put.at[i].why;
	return "";
}

int applying_remove_links(struct applying *run)
{
	attach_hooks hooks = {};
	size_t n = 0;
	int err = attach_list(run->load, run->arena, run->request->facts, run->diag, &hooks);

	for (size_t i = 0; i < hooks.len && !err; i++) {
		struct attach_hook *hook = &hooks.at[i];

		if (is_surplus(run, hook)) {
			err = attach_remove(run->load, hook, run->diag);
			run->result.hooks_changed = true;
			continue;
		}
		hook->why = why_of(run, hook);
		hooks.at[n++] = *hook;
	}
	hooks.len = n;
	run->result.hooks = hooks;
	return err ? err : attach_tidy(run->load, run->arena, run->request->facts, run->diag);
}

/* ---- other ABI versions ---- */

int applying_find_versions(struct applying *run)
{
	size_t n = 0;
	int err = bpffs_find_versions(run->arena, run->request->pins, run->diag, &run->versions);

	if (err)
		return err == -ENOENT ? 0 : err;
	for (size_t i = 0; i < run->versions.len; i++)
		if (run->versions.at[i] != BH_ABI_VERSION)
			run->versions.at[n++] = run->versions.at[i];
	run->versions.len = n;
	run->taken_over = n > 0;
	return 0;
}

/* That a clsact is ours is remembered on, or detach would leave it. */
static int take_markers(const struct applying *run, const char *folder)
{
	bpffs_names names = {};
	int err = bpffs_list(run->arena, arena_printf(run->arena, "%s/links", folder), run->diag,
			     &names);

	for (size_t i = 0; i < names.len && !err; i++)
		if (str_starts(str_of(names.at[i]), STR("clsact-")))
			err = bpffs_make(arena_printf(run->arena, "%s/links/%s",
						      load_pins(run->load), names.at[i]),
					 run->diag);
	return err;
}

int applying_remove_versions(struct applying *run)
{
	int err = 0;

	for (size_t i = 0; i < run->versions.len && !err; i++) {
		const char *folder =
			arena_printf(run->arena, "%s/v%u", run->request->pins, run->versions.at[i]);

		err = take_markers(run, folder);
		if (!err)
			err = bpffs_remove(folder, run->diag);
	}
	return err;
}
