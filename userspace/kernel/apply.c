// SPDX-License-Identifier: GPL-2.0-only
/*
 * apply_image reads as its contract does: what may fail comes before the one write, what must
 * see packets judged by the new image comes after it. Programs are attached before it; until it the
 * policy in force holds on new links, and where none is everything passes.
 */
#include "kernel/apply.h"

#include <errno.h>

#include "kernel/applying.h"
#include "kernel/bpffs.h"
#include "kernel/clock.h"
#include "kernel/counters.h"
#include "kernel/fill.h"
#include "kernel/flip.h"
#include "kernel/instance.h"
#include "kernel/lost.h"
#include "kernel/netns.h"
#include "kernel/privileges.h"
#include "kernel/tables.h"

/* Begins what is told behind the flip. */
#define IN_FORCE "the policy is in force, but "

static const struct mark nowhere;

/* ---- before anything is touched ---- */

static int check_limits(const struct applying *run)
{
	const struct apply_request *request = run->request;
	const struct bh_head *head = image_head(request->image);
	uint32_t pages = tables_state_pages(&head->config);

	if (request->links->len > BH_LINKS - 1)
		return diag_refuse(run->diag, -E2BIG, "%zu links are to be covered; %d fit",
				   request->links->len, BH_LINKS - 1);
	if (request->image->n_pages > BH_IMAGE_PAGES)
		return diag_refuse(run->diag, -E2BIG, "the image takes %u MB; %d MB fit",
				   request->image->n_pages, BH_IMAGE_PAGES);
	if (head->n_outcomes > BH_OUTCOMES)
		return diag_refuse(run->diag, -E2BIG, "the image has %u outcomes; %d fit",
				   head->n_outcomes, BH_OUTCOMES);
	if (pages > BH_STATE_PAGES)
		return diag_refuse(run->diag, -E2BIG,
				   "the flow tables take %u KB; %u KB fit (host.yaml: tables)",
				   pages * (BH_STATE_VALUE_SIZE / 1024),
				   BH_STATE_PAGES * (BH_STATE_VALUE_SIZE / 1024));
	return tables_make_self(request->facts->addresses.at, request->facts->addresses.len,
				run->diag, run->self);
}

static int ask_kernel(struct applying *run)
{
	int err = 0;

	if (run->request->probe)
		run->probe = *run->request->probe;
	else if (!load_knows_kernel(run->request->pins, &run->probe))
		err = probe_kernel(run->diag, &run->probe);
	return err ? err : probe_check(&run->probe, run->diag);
}

static int read_record(struct applying *run)
{
	const struct host_facts *facts = run->request->facts;
	int err = store_read_record(run->store, run->arena, run->diag, &run->record);

	if (!err)
		err = store_check_netns(run->store, &run->record, facts->netns_device,
					facts->netns_inode, run->diag);
	return err ? err
		   : instance_check_state(run->store, &run->record, run->request->pins, run->diag);
}

/* What is in force, and what a killed run has left of it in the record. */
static int find_active(struct applying *run)
{
	int err = load_active(run->load, run->diag, &run->active);

	if (err)
		return err;
	run->is_bereft = !run->active && lost_is_left(load_pins(run->load));
	run->is_fresh = run->active && run->record.next.generation == run->active;
	store_settle(&run->record, run->arena, run->active, run->now);
	instance_warn_of_state(run->store, &run->record, run->active, run->request->pins,
			       run->diag);
	run->record.abi = BH_ABI_VERSION;
	run->record.boot = store_boot(run->arena);
	run->record.netns_device = run->request->facts->netns_device;
	run->record.netns_inode = run->request->facts->netns_inode;
	run->record.pins = instance_pins(run->arena, run->request->pins);
	run->record.azure_dmi = run->request->facts->platform_azure;
	run->result.first = run->active == 0;
	run->result.generation = run->active;
	return applying_fold(run);
}

/* ---- a new generation ---- */

/*
 * Packets that a run before this one has left in the slot: it flipped and died; or it stopped
 * enforcing and died, and the slot has pages though nothing is in force.
 */
static int wait_for_others(struct applying *run, uint64_t next)
{
	scoped(close) int fd = -1;
	int err;

	if (run->active)
		return run->is_fresh ? flip_wait(run->load, run->active, run->diag) : 0;
	err = load_page_fd(run->load, LOAD_MAP_IMAGE, (next & 1) * BH_IMAGE_PAGES, run->diag, &fd);
	if (err)
		return err == -ENOENT ? 0 : err;
	return flip_wait(run->load, next, run->diag);
}

static int prepare_slot(struct applying *run, uint64_t next)
{
	const struct image *image = run->request->image;
	uint32_t slot = next & 1;
	int err = wait_for_others(run, next);

	if (!err)
		err = fill_image(run->load, image, slot, run->diag);
	if (!err)
		err = fill_counters(run->load, slot, applying_used_numbers(&run->record),
				    counters_n_rows(image), run->diag);
	if (!err)
		err = applying_prepare_state(run, slot);
	return err ? err : applying_make_self(run);
}

/* Of links that are new also those of the generation in force, which judges there until the flip. */
static int prepare_links(struct applying *run, uint32_t fresh)
{
	int err = run->active ? applying_count_links(run, fresh) : 0;

	return err ? err : applying_write_links(run);
}

/* The record as it is now, with links of its own: numbering changes them in their places. */
static struct store_record copy_record(const struct applying *run)
{
	struct store_record copy = run->record;

	memset(&copy.links, 0, sizeof(copy.links));
	for (size_t i = 0; i < run->record.links.len; i++)
		array_push(run->arena, &copy.links, run->record.links.at[i]);
	return copy;
}

static int write_record(struct applying *run)
{
	return store_write_record(run->store, &run->record, run->diag);
}

/* A step whose failure is not that of the run: its words are warnings that begin with these. */
static int aside(struct applying *run, const char *words, int (*step)(struct applying *run))
{
	scoped(diag_free) struct diag *late = diag_new();
	struct diag *diag = run->diag;
	int err;

	run->diag = late;
	err = step(run);
	run->diag = diag;
	diag_take(diag, late, words);
	return err;
}

static int remove_load(struct applying *run)
{
	return load_remove(run->load, run->request->pins, run->diag);
}

/* The numbers of the links in the kernel, if they were written, as the record has them again. */
static int write_links_again(struct applying *run)
{
	return run->links_written ? applying_write_links(run) : 0;
}

/*
 * What the run has changed, back to what was: the links that it has put something on, the numbers
 * of links, the record, which says what is in force, and where nothing is the pins. What cannot be
 * is told. Returns err, for which it is done.
 */
static int take_back(struct applying *run, const struct store_record *before, int err)
{
	bool undone;

	if (run->carries)
		(void)aside(run, "packets look for flows that nobody has: ", applying_end_carrying);
	load_let_go(run->load);
	undone = aside(run, "what this run has attached stays: ", applying_undo_links) == 0;

	run->record = *before;
	(void)aside(run, "links count under numbers of what was refused: ", write_links_again);
	if (run->announced)
		(void)aside(run, "the record speaks of what was refused: ", write_record);
	if (!run->active && undone)
		(void)aside(run, "what this run has loaded stays: ", remove_load);
	return err;
}

/* Maps and programs are made: none of what follows makes one. */
static int end_making(struct applying *run)
{
	return privileges_keep(PRIVILEGE_BPF | PRIVILEGE_NET_ADMIN, run->diag);
}

/*
 * Programs of another ABI version, or ours whose maps have lost their pins, enforce until new ones take
 * their places one by one, and by then what those say must be in force. Else programs come first.
 */
static bool takes_over(const struct applying *run)
{
	return !run->active && (run->taken_over || run->is_bereft);
}

/*
 * Where nothing is in force, everything passes until the flip, at whichever hooks programs are by
 * then.
 */
static int attach_before(struct applying *run)
{
	int err = 0;

	if (takes_over(run))
		return 0;
	if (!run->active)
		err = flip_open(run->load, run->diag);
	return err ? err : applying_attach(run);
}

/*
 * A failure takes nothing back: what the other version's programs were taken from would have
 * nothing.
 */
static int attach_behind(struct applying *run)
{
	int err = takes_over(run) ? applying_attach(run) : 0;

	if (err)
		diag_warn(run->diag, nowhere,
			  "the new policy, generation %llu, is in force where its programs are "
			  "attached; 'status' tells where",
			  (unsigned long long)run->record.next.generation);
	return err;
}

/* All that comes before the flip. */
static int prepare(struct applying *run, uint64_t next)
{
	uint32_t fresh = applying_number_links(run);
	int err = prepare_slot(run, next);

	if (!err)
		err = prepare_links(run, fresh);
	if (!err)
		err = end_making(run);
	if (!err)
		err = attach_before(run);
	return err ? err : applying_announce(run, next);
}

/*
 * The own addresses come right before the word: there is one table of them for both generations, and what
 * the old one judges by the new table, for a grace period, is judged again. Behind them nothing can fail.
 */
static int flip(struct applying *run, uint64_t next)
{
	scoped(flip_unmap) struct bh_active *word = NULL;
	int err = flip_map(run->load, run->diag, &word);

	if (!err)
		err = applying_put_self(run);
	if (err)
		return err;
	flip_to(word, next);
	run->result.flipped = clock_ns();
	return 0;
}

static int replace(struct applying *run)
{
	const struct store_record before = copy_record(run);
	uint64_t next = flip_next(run->record.last, run->active);
	int err = prepare(run, next);

	if (!err)
		err = applying_begin_carrying(run, next);
	if (!err)
		err = flip(run, next);
	if (err)
		return take_back(run, &before, err);
	err = attach_behind(run);
	if (err)
		return err;
	run->result.changed = true;
	run->result.generation = next;
	store_settle(&run->record, run->arena, next, run->now);
	return 0;
}

/* ---- the same image ---- */

static bool is_in_force(const struct applying *run)
{
	return run->active && run->record.current.generation == run->active &&
	       memcmp(&run->record.current.digest, &run->request->image->digest,
		      sizeof(run->record.current.digest)) == 0;
}

/*
 * Links that are covered must be known to be, or nobody would miss their programs; and what they were asked
 * for by, or the next apply would seem to let them go.
 */
static int announce_links(struct applying *run, const struct store_record *before)
{
	int err;

	run->record.current.asked = true;
	run->record.current.interfaces = run->request->interfaces;
	if (!applying_covers_more(run, before))
		return 0;
	err = write_record(run);
	run->announced = !err;
	return err;
}

static int refresh(struct applying *run)
{
	const struct store_record before = copy_record(run);
	const struct image *image = run->request->image;
	uint32_t fresh = applying_number_links(run);
	int err = store_put_image(run->store, &image->digest, run->request->encoded, run->diag);

	if (!err)
		err = applying_make_self(run);
	if (!err)
		err = prepare_links(run, fresh);
	if (!err)
		err = end_making(run);
	if (!err)
		err = announce_links(run, &before);
	if (!err)
		err = applying_attach(run);
	if (!err)
		err = applying_put_self(run);
	if (err)
		return take_back(run, &before, err);
	run->record.current.folders = run->request->folders;
	run->record.current.from = run->request->from;
	return 0;
}

/* ---- what is left to do once the policy is in force ---- */

/* Nothing reads the half that is out of force, and nothing shall keep it in memory. */
static int let_go(struct applying *run)
{
	uint64_t generation = run->result.generation;
	uint32_t n_pages = run->request->image->n_pages;
	int err;

	if (run->carries) /* that has failed, and packets may still need it */
		return 0;
	/* With the same image a killed run may have left either half of its flip. */
	err = run->result.changed || run->is_fresh ? flip_wait(run->load, generation, run->diag)
						   : 0;
	if (!err)
		err = fill_image_same(run->load, generation & 1, n_pages, run->diag);
	return err ? err : applying_settle_state(run, generation & 1);
}

static int prune(struct applying *run)
{
	int err = run->unwritten ? 0 : store_prune(run->store, &run->record, run->diag);

	if (!err)
		err = load_prune(run->load, &run->probe, run->diag);
	return err ? err : lost_forget(load_pins(run->load), run->diag);
}

static int measure(struct applying *run)
{
	return load_memory(run->load, run->diag, &run->result.memory);
}

/* Without it nobody knows of what was done: who reads the exit status alone shall apply again. */
static void keep_record(struct applying *run)
{
	scoped(diag_free) struct diag *late = diag_new();
	size_t n = 0;
	const struct diag_message *why;

	if (!store_write_record(run->store, &run->record, late))
		return;
	why = diag_messages(late, &n);
	run->unwritten = true;
	(void)diag_refuse(run->diag, -EIO, IN_FORCE "%s; 'apply' again", n ? why[0].text : "");
}

/*
 * Whatever fails here takes nothing back, and the next apply does it. It is told as a warning, but for the
 * record. So a status of 0 says that the policy is in force and known to be, and any other that what was
 * before it still is; or, in words of its own, that the new one is, without its record, or that the last look
 * has found a hook without its program.
 */
static void finish(struct applying *run)
{
	static int (*const before[])(struct applying * run) = {
		applying_carry_flows, applying_remove_links, let_go,
		applying_fold,	      applying_settle_links,
	};
	static int (*const behind[])(struct applying * run) = {
		prune,
		applying_remove_versions,
		measure,
	};

	for (size_t i = 0; i < ARRAY_LEN(before); i++)
		(void)aside(run, IN_FORCE, before[i]);
	keep_record(run);
	for (size_t i = 0; i < ARRAY_LEN(behind); i++)
		(void)aside(run, IN_FORCE, behind[i]);
}

/* ---- the whole ---- */

static int prepare_pins(struct applying *run)
{
	return bpffs_prepare(run->arena, run->request->pins, run->diag, &run->made);
}

/* What there is below the pins, and on the links. */
static int find_pinned(struct applying *run, struct load **load)
{
	const char *pins = run->request->pins;
	int err = netns_check(pins, run->request->facts, run->diag);

	if (!err)
		err = lost_set_aside(arena_printf(run->arena, "%s/v%d", pins, BH_ABI_VERSION),
				     run->diag);
	if (!err)
		err = load_open(pins, &run->probe, run->diag, load);
	run->load = *load;
	return err ? err : applying_hold(run);
}

/*
 * A bpffs that is missing has no pins, and is mounted when nothing that can be asked before speaks
 * against it: it stays, as who would unmount it could not know what others have pinned meanwhile.
 */
static int open_pins(struct applying *run, struct load **load)
{
	bool is_mounted = false;
	int err = bpffs_is_mounted(run->request->pins, run->diag, &is_mounted);

	if (!err && is_mounted)
		err = prepare_pins(run);
	if (!err)
		err = find_pinned(run, load);
	if (!err && !is_mounted)
		err = prepare_pins(run);
	if (!err)
		err = privileges_keep(PRIVILEGE_BPF | PRIVILEGE_NET_ADMIN | PRIVILEGE_PERFMON,
				      run->diag);
	if (err)
		return err;
	run->load_is_new = !bpffs_has(load_pins(run->load));
	return load_make(run->load, run->diag);
}

/* The kernel is asked first: it takes more rights than what comes after open_pins has. */
static int open_all(struct applying *run, struct store **store, struct load **load)
{
	const struct apply_request *request = run->request;
	int err = ask_kernel(run);

	if (!err)
		err = check_limits(run);
	if (!err)
		err = store_open(request->state, request->wait, run->diag, store);
	run->store = *store;
	if (!err)
		err = read_record(run);
	if (!err)
		err = open_pins(run, load);
	if (!err)
		err = netns_claim(load_pins(run->load), request->facts, run->diag);
	if (!err)
		err = applying_find_versions(run);
	if (!err)
		err = find_active(run);
	return err ? err : applying_carry_left(run);
}

/*
 * Of a run that is refused no pin, no folder and no file is left that was not there. Where it has put
 * programs on links take_back has been here, and what it could not take off keeps its pins.
 */
static void leave_nothing(struct applying *run)
{
	if (run->announced)
		return;
	if (run->load_is_new && !run->active && !run->put.len)
		(void)aside(run, "what this run has loaded stays: ", remove_load);
	bpffs_take_back(&run->made);
	if (run->store)
		store_take_back(run->store);
}

int apply_image(struct arena *arena, const struct apply_request *request, struct diag *diag,
		struct apply_result *ret_result)
{
	scoped(store_close) struct store *store = NULL;
	scoped(load_close) struct load *load = NULL;
	struct applying run = {
		.arena = arena,
		.request = request,
		.diag = diag,
		.self = arena_alloc(arena, sizeof(struct bh_self)),
		.self_page = -1,
		.now = clock_seconds(),
	};
	bool other_addresses = false;
	int err = open_all(&run, &store, &load);

	if (!err && is_in_force(&run))
		err = applying_finds_other_self(&run, &other_addresses);
	if (!err)
		err = is_in_force(&run) && !other_addresses ? refresh(&run) : replace(&run);
	if (err)
		leave_nothing(&run);
	/* The policy has been found well formed: what is not is a file of the state. */
	if (err)
		return err == -EBADMSG ? -EIO : err;
	finish(&run);
	err = applying_check_links(&run);
	if (!err && run.unwritten)
		err = -EIO;
	if (!err)
		*ret_result = run.result;
	return err;
}
