// SPDX-License-Identifier: GPL-2.0-only
/*
 * Steps of an apply: counters of old generations, state pages, the record, what is on links.
 */
#include "kernel/applying.h"

#include <errno.h>

#include <bpf/bpf.h>

#include "kernel/carry.h"
#include "kernel/counters.h"
#include "kernel/fill.h"
#include "kernel/flip.h"
#include "kernel/tables.h"

static const struct mark nowhere;

/* ---- counters ---- */

/*
 * Once a run. Totals that cannot be believed must not keep a policy from coming into force: they
 * are empty then.
 */
static int read_totals(struct applying *run)
{
	scoped(diag_free) struct diag *late = diag_new();
	int err = store_read_totals(run->store, run->arena, late, &run->totals);

	if (err == -EBADMSG) {
		diag_warn(run->diag, nowhere,
			  "'%s/counters.json' is cut or was altered; it is kept as "
			  "counters.json.bad, and totals begin anew",
			  store_path(run->store));
		err = store_set_totals_aside(run->store, run->diag);
	} else {
		diag_take(run->diag, late, NULL);
	}
	run->has_totals = !err;
	return err;
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
	struct store_totals *totals = &run->totals;
	const struct image *image;
	int err;

	if (!current->generation)
		return 0;
	err = run->has_totals ? 0 : read_totals(run);
	if (err || totals->began >= current->generation)
		return err;
	image = old_image(run, last);
	if (last)
		err = fold_last(run, last, image, totals);
	if (err)
		return err;
	if (memcmp(&current->digest, &run->request->image->digest, sizeof(current->digest)) == 0)
		counters_begin(totals, run->arena, run->request->image, image, current->applied);
	totals->began = current->generation;
	return store_write_totals(run->store, totals, run->diag);
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

/* The state pages in which a killed run left the slots apart. */
static int hold_slots(struct applying *run)
{
	const struct image *image = run->request->image;
	const struct bh_config *config = &image_head(image)->config;
	uint32_t slot = run->active & 1;
	struct bh_head live = {};
	int err = read_live_head(run, &live);

	if (err || memcmp(live.config.tables, config->tables, sizeof(config->tables)) != 0)
		return err == -ENOENT ? 0 : err;
	return fill_hold_same(run->load, slot, tables_state_pages(config), image->n_pages,
			      run->diag);
}

static int hold_pages(struct applying *run)
{
	uint32_t slot = run->active & 1;
	int err = load_hold_page(run->load, LOAD_MAP_IMAGE, slot * BH_IMAGE_PAGES, run->diag);

	/* Where nothing is in force a run that has died may have left pages in either. */
	if (!err && !run->active)
		err = load_hold_page(run->load, LOAD_MAP_IMAGE, BH_IMAGE_PAGES, run->diag);
	if (!err)
		err = load_hold_page(run->load, LOAD_MAP_STATE, slot * BH_STATE_PAGES, run->diag);
	if (!err)
		err = load_hold_page(run->load, LOAD_MAP_SELF, 0, run->diag);
	if (!err)
		err = counters_hold(run->load, run->diag);
	return err || !run->active ? err : hold_slots(run);
}

static int hold_link(struct applying *run, const struct host_link *link)
{
	struct attach_wish wish = {.link = link, .direction = BH_IN, .mode = run->request->ingress};
	int err = attach_hold(run->load, &wish, run->diag);

	wish.direction = BH_OUT;
	wish.mode = run->request->egress;
	return err ? err : attach_hold(run->load, &wish, run->diag);
}

int applying_hold(struct applying *run)
{
	int err = load_active(run->load, run->diag, &run->active);

	if (!err)
		err = hold_pages(run);
	for (size_t i = 0; i < run->request->links->len && !err; i++)
		err = hold_link(run, run->request->links->at[i]);
	return err ? err : attach_own(run->load, run->request->facts, run->diag);
}

int applying_count_links(struct applying *run, uint32_t fresh)
{
	struct bh_head live = {};
	int err = fresh ? read_live_head(run, &live) : 0;

	if (err || !fresh)
		return err == -ENOENT ? 0 : err;
	return fill_counters_beside(run->load, run->active & 1, fresh,
				    BH_FIXED_ROWS + live.n_outcomes, run->diag);
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

int applying_begin_carrying(struct applying *run, uint64_t next)
{
	int err;

	if (!run->state_is_new || !run->active)
		return 0;
	err = carry_set(run->load, next, run->diag);
	run->carries = !err;
	/* Who has not read the word looks for nothing that is moved, so it must be through by then. */
	return err ? err : flip_wait(run->load, run->active, run->diag);
}

int applying_end_carrying(struct applying *run)
{
	/* Who has seen the new tables without a flow that has come since reads the word, too. */
	int err = run->active ? flip_wait(run->load, run->result.generation, run->diag) : 0;

	if (!err)
		err = carry_set(run->load, 0, run->diag);
	if (!err && run->active)
		err = flip_wait(run->load, run->result.generation, run->diag);
	run->carries = err;
	return err;
}

int applying_carry_flows(struct applying *run)
{
	int err;

	if (!run->carries)
		return 0;
	err = flip_wait(run->load, run->result.generation, run->diag);
	if (!err)
		err = carry_flows(run->load, run->result.generation, run->diag,
				  &run->result.n_moved_flows);
	return err ? err : applying_end_carrying(run);
}

int applying_carry_left(struct applying *run)
{
	uint32_t n = 0;
	int err = carry_is_on(run->load, run->diag, &run->carries);

	/* A run of another build has had programs of its own, whose word is not this one's. */
	if (!err && run->is_fresh)
		err = flip_wait(run->load, run->active, run->diag);
	if (!err && run->active && (run->carries || run->is_fresh))
		err = carry_flows(run->load, run->active, run->diag, &n);
	return err || !run->carries ? err : applying_end_carrying(run);
}

int applying_settle_state(struct applying *run, uint32_t slot)
{
	uint32_t n_pages = tables_state_pages(&image_head(run->request->image)->config);

	return fill_state_same(run->load, slot, n_pages, run->diag);
}

/* ---- the record ---- */

static int write_next(struct applying *run, uint64_t next)
{
	const struct apply_request *request = run->request;
	int err;

	run->record.last = next;
	run->record.next = (struct store_generation){
		.generation = next,
		.digest = request->image->digest,
		.applied = run->now,
		.n_rows = counters_n_rows(request->image),
		.folders = request->folders,
		.from = request->from,
		.asked = true,
		.interfaces = request->interfaces,
	};
	err = store_write_record(run->store, &run->record, run->diag);
	run->announced = !err;
	return err;
}

static void take_image_back(struct applying *run)
{
	scoped(diag_free) struct diag *late = diag_new();

	run->record.next = (struct store_generation){};
	(void)store_remove_image(run->store, &run->record, &run->request->image->digest, late);
	diag_take(run->diag, late, "an image stays that nothing needs: ");
}

int applying_announce(struct applying *run, uint64_t next)
{
	const struct apply_request *request = run->request;
	int err = store_put_image(run->store, &request->image->digest, request->encoded, run->diag);

	if (!err)
		err = write_next(run, next);
	if (err)
		take_image_back(run);
	return err;
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

typedef ARRAY(uint32_t) ifindexes;

/* A link that is there and covered no longer is told, once: whoever narrows a list may not mean it. */
static void tell_of_link(const struct applying *run, uint32_t ifindex, ifindexes *told)
{
	const struct host_link *link = host_link_by_index(run->request->facts, ifindex);

	for (size_t i = 0; i < run->put.len; i++)
		if (run->put.at[i].ifindex == ifindex)
			return;
	for (size_t i = 0; i < told->len; i++)
		if (told->at[i] == ifindex)
			return;
	array_push(run->arena, told, ifindex);
	if (link)
		diag_warn(run->diag, (struct mark){},
			  "link %s is covered no longer: all passes there", link->name);
}

/* It is where nobody looks from here. number: that which it had here. */
static void tell_of_moved(const struct applying *run, uint32_t number, ifindexes *told)
{
	for (size_t i = 0; i < told->len; i++)
		if (told->at[i] == number)
			return;
	array_push(run->arena, told, number);
	diag_warn(run->diag, (struct mark){},
		  "link %s has moved into another network namespace, and is covered no longer: all "
		  "passes there",
		  store_link_name(&run->record, run->arena, number));
}

/* What stays is left in hooks. */
static int remove_surplus(struct applying *run, attach_hooks *hooks, bool *ret_moved)
{
	ifindexes told = {};
	ifindexes moved = {};
	size_t n = 0;
	int err = 0;

	for (size_t i = 0; i < hooks->len && !err; i++) {
		struct attach_hook *hook = &hooks->at[i];

		if (is_surplus(run, hook)) {
			err = attach_remove(run->load, hook, run->diag);
			run->result.hooks_changed = true;
			if (!err && hook->elsewhere)
				tell_of_moved(run, hook->put_at, &moved);
			else if (!err)
				tell_of_link(run, hook->ifindex, &told);
			continue;
		}
		hook->why = why_of(run, hook);
		hooks->at[n++] = *hook;
	}
	hooks->len = n;
	*ret_moved = moved.len > 0;
	return err;
}

static bool has_hook(const attach_hooks *hooks, uint32_t ifindex, enum bh_direction direction)
{
	for (size_t i = 0; i < hooks->len; i++)
		if (hooks->at[i].ifindex == ifindex && hooks->at[i].direction == direction)
			return true;
	return false;
}

/* One that lacks a program; NULL: none does. */
static const struct host_link *find_bare(const struct applying *run, const attach_hooks *hooks)
{
	for (size_t i = 0; i < run->request->links->len; i++) {
		const struct host_link *link = run->request->links->at[i];

		if (!has_hook(hooks, link->ifindex, BH_IN) ||
		    !has_hook(hooks, link->ifindex, BH_OUT))
			return link;
	}
	return NULL;
}

/*
 * Of two bpf links with one ifindex, here and in another namespace, the pins alone tell which is here, and they
 * are wrong where both devices have changed: so where one was taken off it is looked again, and what is
 * missing by then is put on again.
 */
int applying_remove_links(struct applying *run)
{
	const struct host_facts *facts = run->request->facts;
	attach_hooks hooks;
	bool moved = true;
	int err = 0;

	while (moved && !err) {
		hooks = (attach_hooks){};
		moved = false;
		err = attach_list(run->load, run->arena, facts, run->diag, &hooks);
		if (err)
			hooks.len = 0;
		else
			err = remove_surplus(run, &hooks, &moved);
		if (!err && moved && find_bare(run, &hooks))
			err = applying_attach(run);
	}
	run->result.hooks = hooks;
	run->listed = !err;
	return err ? err : attach_tidy(run->load, run->arena, facts, run->diag);
}

int applying_check_links(const struct applying *run)
{
	const attach_hooks *hooks = &run->result.hooks;
	const struct host_link *link = run->listed ? find_bare(run, hooks) : NULL;

	if (!link)
		return 0;
	return diag_refuse(
		run->diag, -ENODEV,
		"the policy is in force, but link '%s' has lost its program at %s since it "
		"was attached; 'apply' again",
		link->name, has_hook(hooks, link->ifindex, BH_IN) ? "egress" : "ingress");
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
