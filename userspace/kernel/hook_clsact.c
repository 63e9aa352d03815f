// SPDX-License-Identifier: GPL-2.0-only
/*
 * cls_bpf at the clsact queueing discipline: no bpf link, so ours are known by the name that libbpf
 * gives a filter, this instance's among them by their programs, and a folder "clsact-IFINDEX" beside
 * the links remembers that we made the discipline itself. A clsact that others use, or made, stays.
 * So does one of ours as long as the link is covered, whatever the mode: the kernel stops the queues
 * of a link while it puts a discipline on it or takes it off (qdisc_graft() in net/sched/sch_api.c),
 * and loses what is sent meanwhile.
 */
#include <errno.h>
#include <sys/stat.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel/bpffs.h"
#include "kernel/folder.h"
#include "kernel/held.h"
#include "kernel/hook.h"
#include "kernel/instance.h"
#include "kernel/load_skeleton.h"

static enum bpf_tc_attach_point side_of(enum bh_direction direction)
{
	return direction == BH_IN ? BPF_TC_INGRESS : BPF_TC_EGRESS;
}

static bool is_ours(const struct host_filter *filter)
{
	return strcmp(filter->kind, "bpf") == 0 && hook_is_our_name(filter->name);
}

static const struct host_filter *find_program(const struct host_filters *filters, uint32_t program)
{
	for (size_t i = 0; i < filters->filters.len; i++)
		if (is_ours(&filters->filters.at[i]) && filters->filters.at[i].program == program)
			return &filters->filters.at[i];
	return NULL;
}

/* This instance's: the load's own, or one that hook_own_clsact has found to be of its pins. */
static bool is_own(const struct load *load, const struct host_filter *filter, uint32_t current)
{
	return is_ours(filter) &&
	       (filter->program == current || held_is_own(load_held(load), filter->program));
}

/* The one of the present program, else one that it may replace. */
static const struct host_filter *find_own(const struct load *load,
					  const struct host_filters *filters, uint32_t current)
{
	const struct host_filter *found = find_program(filters, current);

	for (size_t i = 0; i < filters->filters.len && !found; i++)
		if (is_own(load, &filters->filters.at[i], current))
			found = &filters->filters.at[i];
	return found;
}

static bool has_others(const struct load *load, const struct host_filters *filters,
		       uint32_t current)
{
	for (size_t i = 0; i < filters->filters.len; i++)
		if (is_ours(&filters->filters.at[i]) &&
		    !is_own(load, &filters->filters.at[i], current))
			return true;
	return false;
}

static const char *marker_path(struct arena *arena, const struct load *load, uint32_t ifindex)
{
	return arena_printf(arena, "%s/links/clsact-%u", load_pins(load), ifindex);
}

/* Remembered before it is made: a kill in between leaves a memory without a thing, not the reverse. */
static int make_qdisc(const struct load *load, struct arena *arena, const struct hook *hook,
		      const struct host_filters *filters)
{
	LIBBPF_OPTS(bpf_tc_hook, tc, .ifindex = (int)hook->link->ifindex,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	const char *marker = marker_path(arena, load, hook->link->ifindex);
	int err;

	if (strcmp(filters->qdisc, "clsact") == 0)
		return 0;
	if (mkdir(marker, 0700) && errno != EEXIST)
		return -errno;
	err = bpf_tc_hook_create(&tc);
	if (err)
		(void)rmdir(marker);
	return err == -EEXIST ? 0 : err;
}

/*
 * Preference 1 runs first, and within one preference the newest filter does; a classifier of another
 * kind that holds preference 1 leaves only the next.
 */
static uint32_t best_preference(const struct host_filters *filters)
{
	if (filters->filters.len && filters->filters.at[0].preference == 1 &&
	    strcmp(filters->filters.at[0].kind, "bpf") != 0)
		return 2;
	return 1;
}

static uint32_t free_handle(const struct host_filters *filters, uint32_t preference)
{
	uint32_t handle = 1;

	for (size_t i = 0; i < filters->filters.len; i++)
		if (filters->filters.at[i].preference == preference &&
		    filters->filters.at[i].handle >= handle)
			handle = filters->filters.at[i].handle + 1;
	return handle;
}

static int put_filter(const struct load *load, const struct hook *hook,
		      const struct host_filters *filters, struct attach_hook *done)
{
	const struct host_filter *own = find_own(load, filters, done->program);
	LIBBPF_OPTS(bpf_tc_hook, tc, .ifindex = (int)hook->link->ifindex,
		    .attach_point = side_of(hook->direction));
	enum bh_hook program = hook_of(hook->direction, ATTACH_CLSACT);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = load_program_fd(load, program));

	if (own && own->program == done->program)
		return 0;
	opts.priority = own ? own->preference : best_preference(filters);
	opts.handle = own ? own->handle : free_handle(filters, opts.priority);
	opts.flags = own ? BPF_TC_F_REPLACE : 0;
	done->added = !own;
	done->changed = true;
	return bpf_tc_attach(&tc, &opts);
}

static const char *why_not(struct arena *arena, const struct host_filters *filters, int err)
{
	if (strcmp(filters->qdisc, "ingress") == 0)
		return "an 'ingress' queueing discipline stands where clsact would";
	if (err == ENOENT || err == EINVAL || err == EOPNOTSUPP)
		return "this kernel has no clsact with cls_bpf";
	return arena_printf(arena, "the kernel refuses it (%s)", strerror(err));
}

int hook_put_clsact(const struct load *load, struct arena *arena, const struct hook *hook,
		    const char **ret_why, struct attach_hook *done)
{
	scoped(diag_free) struct diag *unheard = diag_new();
	bool inbound = hook->direction == BH_IN;
	struct host_filters filters = {.qdisc = ""};
	int err = host_filters_read(arena, hook->link->ifindex, inbound, unheard, &filters);

	/* Since hook_check_clsact has looked. */
	if (!err && has_others(load, &filters, done->program)) {
		*ret_why = "another bulkhead has come there meanwhile";
		return -ENODEV;
	}
	if (!err)
		err = make_qdisc(load, arena, hook, &filters);
	if (!err)
		err = put_filter(load, hook, &filters, done);
	if (err) {
		*ret_why = why_not(arena, &filters, -err);
		return err;
	}
	err = host_filters_read(arena, hook->link->ifindex, inbound, unheard, &filters);
	if (err || !filters.filters.len) {
		/* What is not told of would not be taken back. */
		if (done->added)
			(void)hook_remove_clsact(done, unheard);
		*ret_why = "the filter is not there after it was put";
		return err ? err : -EIO;
	}
	done->first = is_own(load, &filters.filters.at[0], done->program);
	return 0;
}

int hook_check_clsact(const struct load *load, const struct hook *hook, struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct host_filters filters = {.qdisc = ""};
	int err = host_filters_read(arena, hook->link->ifindex, hook->direction == BH_IN, diag,
				    &filters);

	for (size_t i = 0; i < filters.filters.len && !err; i++)
		if (is_ours(&filters.filters.at[i]))
			err = instance_check(load, hook->link->name, filters.filters.at[i].program,
					     diag);
	return err;
}

int hook_own_clsact(const struct load *load, const struct hook *hook,
		    const struct host_qdisc *qdisc, struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();
	const char *pins = folder_above(arena, load_pins(load));
	struct host_filters filters = {.qdisc = ""};
	int err = host_filters_read_at(arena, qdisc, hook->direction == BH_IN, diag, &filters);

	for (size_t i = 0; i < filters.filters.len; i++) {
		uint32_t program = filters.filters.at[i].program;
		struct instance_owner owner = {.pins = ""};
		int failed = 0;

		if (is_ours(&filters.filters.at[i]))
			failed = instance_find(arena, pins, program, diag, &owner);
		if (!failed && owner.ours)
			held_add_own(load_held(load), program);
		err = err ? err : failed;
	}
	return err;
}

/* Goes only when we made it and nobody has put anything on it since. */
static int remove_qdisc(const struct load *load, struct arena *arena, uint32_t ifindex,
			struct diag *diag)
{
	LIBBPF_OPTS(bpf_tc_hook, tc, .ifindex = (int)ifindex,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	const char *marker = marker_path(arena, load, ifindex);
	struct host_filters in;
	struct host_filters out;
	int err = host_filters_read(arena, ifindex, true, diag, &in);

	if (!err)
		err = host_filters_read(arena, ifindex, false, diag, &out);
	if (err || in.filters.len || out.filters.len || access(marker, F_OK))
		return err;
	err = in.qdisc[0] ? bpf_tc_hook_destroy(&tc) : 0;
	if (err && err != -ENOENT && err != -EINVAL)
		return diag_sys(diag, -err, "cannot remove clsact from link %u", ifindex);
	(void)rmdir(marker);
	return 0;
}

int hook_remove_clsact(const struct attach_hook *hook, struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();
	LIBBPF_OPTS(bpf_tc_hook, tc, .ifindex = (int)hook->ifindex,
		    .attach_point = side_of(hook->direction));
	LIBBPF_OPTS(bpf_tc_opts, opts);
	struct host_filters filters = {.qdisc = ""};
	const struct host_filter *ours;
	int err = host_filters_read(arena, hook->ifindex, hook->direction == BH_IN, diag, &filters);

	if (err)
		return err;
	ours = find_program(&filters, hook->program);
	if (ours) {
		opts.priority = ours->preference;
		opts.handle = ours->handle;
		err = bpf_tc_detach(&tc, &opts);
	}
	if (err && err != -ENOENT)
		return diag_sys(diag, -err, "cannot remove the filter from link '%s'", hook->name);
	return 0;
}

/* Whether one of our bpf links is pinned for that link: "tcx-out-3". */
static bool has_pin(const bpffs_names *names, struct arena *arena, uint32_t ifindex)
{
	const char *end = arena_printf(arena, "-%u", ifindex);

	for (size_t i = 0; i < names->len; i++) {
		const char *last = strrchr(names->at[i], '-');

		if (last && strcmp(last, end) == 0 &&
		    !str_starts(str_of(names->at[i]), STR("clsact-")))
			return true;
	}
	return false;
}

int hook_remove_qdiscs(const struct load *load, struct arena *arena, const struct host_facts *facts,
		       struct diag *diag)
{
	bpffs_names names = {};
	int err = bpffs_list(arena, arena_printf(arena, "%s/links", load_pins(load)), diag, &names);

	for (size_t i = 0; i < names.len && !err; i++) {
		struct str number;
		struct str head;
		uint64_t ifindex;

		if (!str_cut(str_of(names.at[i]), '-', &head, &number) ||
		    !str_eq(head, STR("clsact")) || !str_number(number, UINT32_MAX, &ifindex))
			continue;
		if (host_link_by_index(facts, (uint32_t)ifindex) &&
		    !has_pin(&names, arena, (uint32_t)ifindex))
			err = remove_qdisc(load, arena, (uint32_t)ifindex, diag);
	}
	return err;
}

int hook_list_clsact(const struct load *load, struct arena *arena, const struct hook *hook,
		     const struct host_qdisc *qdisc, struct diag *diag, attach_hooks *hooks)
{
	struct host_filters filters = {.qdisc = ""};
	int err = host_filters_read_at(arena, qdisc, hook->direction == BH_IN, diag, &filters);

	if (err)
		return err;
	for (size_t i = 0; i < filters.filters.len; i++) {
		const struct host_filter *filter = &filters.filters.at[i];
		struct attach_hook found = {
			.ifindex = hook->link->ifindex,
			.name = hook->link->name,
			.direction = hook->direction,
			.mode = ATTACH_CLSACT,
			.program = filter->program,
			.first = i == 0,
			.pinned = true,
			.why = "",
			.pin = "",
			.put_at = hook->link->ifindex,
		};

		if (!is_ours(filter))
			continue;
		found.current = found.program ==
				load_program_id(load, hook_of(found.direction, ATTACH_CLSACT));
		if (!found.current && !held_is_own(load_held(load), found.program))
			continue; /* another instance's */
		array_push(arena, hooks, found);
	}
	return 0;
}
