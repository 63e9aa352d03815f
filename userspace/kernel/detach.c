// SPDX-License-Identifier: GPL-2.0-only
/* The end of enforcement: everything of ours goes, nothing else. The other half of apply.h. */
#include "kernel/apply.h"

#include <errno.h>

#include "kernel/bpffs.h"
#include "kernel/counters.h"

struct detaching {
	struct arena *arena;
	struct diag *diag;
	const struct apply_detach_request *request;
	struct store *store;
	struct load *load;
	struct store_record record;
	uint64_t active;
	struct apply_removed removed;
};

static int remove_hooks(struct detaching *run, const struct host_facts *facts)
{
	attach_hooks hooks = {};
	int err = attach_list(run->load, run->arena, facts, run->diag, &hooks);

	for (size_t i = hooks.len; !err && i-- > 0;) {
		err = attach_remove(run->load, &hooks.at[i], run->diag);
		run->removed.n_hooks += !err;
	}
	return err;
}

/* What the last generation has counted goes into the totals, once. */
static int fold(struct detaching *run)
{
	const struct store_generation *current = &run->record.current;
	scoped(diag_free) struct diag *quiet = diag_new();
	struct store_totals totals = {};
	struct counters counters = {};
	struct image image = {};
	bool has_image;
	int err;

	if (!run->active || current->generation != run->active)
		return 0;
	err = store_read_totals(run->store, run->arena, run->diag, &totals);
	if (err || totals.folded >= run->active)
		return err;
	has_image = !store_get_image(run->store, &current->digest, run->arena, quiet, &image);
	err = counters_read(run->load, run->arena, run->active, current->n_rows, run->diag,
			    &counters);
	if (err)
		return err;
	counters_fold(&totals, run->arena, &counters, has_image ? &image : NULL, &run->record);
	return store_write_totals(run->store, &totals, run->diag);
}

/* The folders of all ABI versions, then the one that held them. */
static int remove_pins(struct detaching *run)
{
	const char *pins = run->request->pins;
	bpffs_versions versions = {};
	int err = bpffs_find_versions(run->arena, pins, run->diag, &versions);

	if (err == -ENOENT)
		return 0;
	for (size_t i = 0; !err && i < versions.len; i++) {
		err = bpffs_remove(arena_printf(run->arena, "%s/v%u", pins, versions.at[i]),
				   run->diag);
		run->removed.pins |= !err;
	}
	/* Somebody else's files in it are none of our business. */
	if (!err && rmdir(pins) && errno != ENOTEMPTY && errno != EBUSY && errno != ENOENT)
		err = diag_sys(run->diag, errno, "cannot remove '%s'", pins);
	return err;
}

static int detach_live(struct detaching *run)
{
	const struct host_facts *facts = run->request->facts;
	int err = load_active(run->load, run->diag, &run->active);

	if (!err)
		err = store_read_record(run->store, run->arena, run->diag, &run->record);
	if (!err)
		err = store_check_netns(run->store, &run->record, facts->netns_device,
					facts->netns_inode, run->diag);
	if (err)
		return err;
	store_settle(&run->record, run->arena, run->active, store_now());
	run->removed.generation = run->active;
	err = remove_hooks(run, facts);
	if (!err)
		err = fold(run);
	if (err)
		return err;
	store_settle(&run->record, run->arena, 0, store_now());
	return store_write_record(run->store, &run->record, run->diag);
}

int apply_detach(struct arena *arena, const struct apply_detach_request *request, struct diag *diag,
		 struct apply_removed *ret_removed)
{
	scoped(store_close) struct store *store = NULL;
	scoped(load_close) struct load *load = NULL;
	struct detaching run = {.arena = arena, .diag = diag, .request = request};
	int err = load_open_read(request->pins, diag, &load);

	if (err && err != -ENOENT)
		return err;
	run.load = load;
	if (load) {
		err = store_open(request->state, request->wait, diag, &store);
		run.store = store;
		if (!err)
			err = detach_live(&run);
		if (err)
			return err;
	}
	err = remove_pins(&run);
	if (!err)
		*ret_removed = run.removed;
	return err;
}
