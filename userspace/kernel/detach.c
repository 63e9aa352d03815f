// SPDX-License-Identifier: GPL-2.0-only
/* The end of enforcement: everything of ours goes, nothing else. The other half of apply.h. */
#include "kernel/apply.h"

#include <errno.h>

#include "kernel/bpffs.h"
#include "kernel/census.h"
#include "kernel/clock.h"
#include "kernel/counters.h"
#include "kernel/flip.h"
#include "kernel/instance.h"
#include "kernel/netns.h"
#include "kernel/privileges.h"

struct detaching {
	struct arena *arena;
	struct diag *diag;
	const struct apply_detach_request *request;
	struct store *store;
	struct load *load;
	/* Of versions beside this one; of this one where maps have lost their pins. */
	ARRAY(struct load *) others;
	struct store_record record;
	bool recorded;		 /* somebody has applied with this state */
	bpffs_versions versions; /* all that have a folder of pins */
	bool bereft; /* the word of one of them has lost its pin: what is ours it tells no more */
	int unsure;  /* an error: of some filter it is not known whose it is */
	uint64_t active;
	struct apply_removed removed;
};

/* One that stays keeps none of the others on its hook. */
static int remove_hooks(struct detaching *run, struct load *load)
{
	attach_hooks hooks = {};
	int err = attach_list(load, run->arena, run->request->facts, run->diag, &hooks);

	for (size_t i = hooks.len; i-- > 0;) {
		int failed = attach_remove(load, &hooks.at[i], run->diag);

		run->removed.n_hooks += !failed;
		err = err ? err : failed;
	}
	return err ? err : attach_tidy(load, run->arena, run->request->facts, run->diag);
}

static int remove_other_hooks(struct detaching *run)
{
	int err = 0;

	for (size_t i = 0; i < run->others.len && !err; i++)
		err = remove_hooks(run, run->others.at[i]);
	return err;
}

static void close_others(struct detaching *run)
{
	for (size_t i = 0; i < run->others.len; i++)
		load_close(run->others.at[i]);
}

/*
 * And whose the filters on the links are, which only an id tells. What cannot be asked keeps nobody from
 * stopping: all that is known to be ours goes, and the pins stay for another run.
 */
static void open_others(struct detaching *run)
{
	int err = run->load ? attach_own(run->load, run->request->facts, run->diag) : 0;

	for (size_t i = 0; i < run->versions.len; i++) {
		struct load *load;
		int failed;

		if (run->versions.at[i] == BH_ABI_VERSION && run->load)
			continue;
		load = load_of_version(run->request->pins, run->versions.at[i]);
		array_push(run->arena, &run->others, load);
		failed = attach_own(load, run->request->facts, run->diag);
		err = err ? err : failed;
	}
	run->unsure = err;
}

/* Where programs have lost their pins, too, nothing tells that they are ours, and they stay. */
static bool is_bereft(const struct detaching *run)
{
	for (size_t i = 0; i < run->versions.len; i++)
		if (access(arena_printf(run->arena, "%s/v%u/maps/%s", run->request->pins,
					run->versions.at[i], load_map_name(LOAD_MAP_ACTIVE)),
			   F_OK))
			return true;
	return false;
}

/* Nothing of this kind may keep anybody from stopping: it is told as a warning, and done without. */
static void in_spite_of(struct detaching *run, const char *words,
			int (*step)(struct detaching *run))
{
	scoped(diag_free) struct diag *late = diag_new();
	struct diag *diag = run->diag;

	run->diag = late;
	(void)step(run);
	run->diag = diag;
	diag_take(diag, late, words);
}

/*
 * What the state directory cannot do. In one with which nobody has applied nothing is written: it is another
 * than that of these pins, or the other one is lost.
 */
static void record(struct detaching *run, int (*step)(struct detaching *run))
{
	if (run->store && run->recorded)
		in_spite_of(run, "the end of enforcing is not recorded: ", step);
}

static int hold_counters(struct detaching *run)
{
	return run->load ? counters_hold(run->load, run->diag) : 0;
}

static int give_up_rights(struct detaching *run)
{
	return privileges_keep(PRIVILEGE_BPF | PRIVILEGE_NET_ADMIN, run->diag);
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
	int err = 0;

	for (size_t i = 0; !err && i < run->versions.len; i++) {
		err = bpffs_remove(arena_printf(run->arena, "%s/v%u", pins, run->versions.at[i]),
				   run->diag);
		run->removed.pins |= !err;
	}
	return err ? err : bpffs_leave(pins, run->diag);
}

static int read_record(struct detaching *run)
{
	const struct host_facts *facts = run->request->facts;
	int err = store_read_record(run->store, run->arena, run->diag, &run->record);

	run->recorded = !err && run->record.last;
	if (!err)
		err = store_check_netns(run->store, &run->record, facts->netns_device,
					facts->netns_inode, run->diag);
	return err ? err
		   : instance_check_state(run->store, &run->record, run->request->pins, run->diag);
}

/* The state is nobody's then: the namespace may be gone before the next apply. */
static int close_record(struct detaching *run)
{
	run->record.netns_device = 0;
	run->record.netns_inode = 0;
	store_settle(&run->record, run->arena, 0, clock_seconds());
	return store_write_record(run->store, &run->record, run->diag);
}

/* What this version enforces, and the record of it. */
static int detach_live(struct detaching *run)
{
	int err = load_active(run->load, run->diag, &run->active);

	if (err)
		return err;
	store_settle(&run->record, run->arena, run->active, clock_seconds());
	if (run->store)
		instance_warn_of_state(run->store, &run->record, run->active, run->request->pins,
				       run->diag);
	run->removed.generation = run->active;
	/* At all hooks at once, or replies to what goes out would be denied for a while. */
	err = flip_open(run->load, run->diag);
	if (err)
		return err;
	err = remove_hooks(run, run->load);
	record(run, fold);
	if (!err)
		record(run, close_record);
	return err;
}

/* Another run that changes something, another namespace or instance are no mere trouble with files. */
static int open_state(struct detaching *run, struct store **store)
{
	const struct apply_detach_request *request = run->request;
	scoped(diag_free) struct diag *late = diag_new();
	struct diag *diag = run->diag;
	bool final;
	int err;

	run->diag = late;
	err = store_open(request->state, request->wait, late, store);
	run->store = *store;
	if (!err)
		err = read_record(run);
	run->diag = diag;
	final = err == -EBUSY || err == -EXDEV || err == -ENODEV;
	diag_take(diag, late, final ? NULL : "the end of enforcing is not recorded: ");
	if (err && !final)
		run->store = NULL;
	return final ? err : 0;
}

/* The lock first: a load that an apply is just making is not read before it is whole. */
static int open_all(struct detaching *run, struct store **store, struct load **load)
{
	int err = open_state(run, store);

	if (err)
		return err;
	err = load_open_read(run->request->pins, run->diag, load);
	run->load = *load;
	if (err && err != -ENOENT)
		return err;
	if (err && access(arena_printf(run->arena, "%s/v%d", run->request->pins, BH_ABI_VERSION),
			  F_OK) == 0)
		diag_warn(run->diag, (struct mark){},
			  "pins under '%s/v%d' are missing: what was counted is lost with them",
			  run->request->pins, BH_ABI_VERSION);
	open_others(run);
	record(run, hold_counters);
	/* The look at the end takes all rights. */
	run->bereft = is_bereft(run);
	if (!run->bereft)
		in_spite_of(run, "enforcing ends, but ", give_up_rights);
	return 0;
}

/* A detach once more, as of a package that is removed, is none with the wrong pins. */
static bool has_ended(const struct detaching *run)
{
	scoped(diag_free) struct diag *quiet = diag_new();
	scoped(store_close) struct store *store = NULL;
	struct store_record record = {};
	int err = store_open_read(run->request->state, quiet, &store);

	if (!err)
		err = store_read_record(store, run->arena, quiet, &record);
	return !err && instance_has_ended(&record, run->request->pins);
}

int apply_detach(struct arena *arena, const struct apply_detach_request *request, struct diag *diag,
		 struct apply_removed *ret_removed)
{
	scoped(store_close) struct store *store = NULL;
	scoped(load_close) struct load *load = NULL;
	struct detaching run = {.arena = arena, .diag = diag, .request = request};
	int err = bpffs_find_versions(arena, request->pins, diag, &run.versions);

	/* Who gave other pins than those by which this host filters must not believe that nothing does. */
	if (err == -ENOENT || (!err && !run.versions.len))
		err = census_refuse_others(request->pins, request->facts, has_ended(&run), diag);
	if (!err)
		err = netns_check(request->pins, request->facts, diag);
	if (!err && run.versions.len)
		err = open_all(&run, &store, &load);
	if (!err && load)
		err = detach_live(&run);
	if (!err)
		err = remove_other_hooks(&run);
	if (!err)
		err = run.unsure;
	if (!err && !load && run.versions.len)
		record(&run, close_record);
	if (!err)
		err = remove_pins(&run);
	if (!err && run.bereft)
		err = census_refuse_others(request->pins, request->facts, true, diag);
	close_others(&run);
	if (store)
		store_take_back(store);
	if (!err)
		*ret_removed = run.removed;
	return err;
}
