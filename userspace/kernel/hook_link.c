// SPDX-License-Identifier: GPL-2.0-only
/*
 * XDP and tcx, which are attached by bpf links: pinned, adopted, updated in place.
 */
#include <errno.h>

#include <linux/bpf.h>
#include <linux/if_link.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel/abi_new.h"
#include "kernel/bpffs.h"
#include "kernel/hook.h"

enum { HOOK_PROGRAMS = 64 };

/* What one hook runs now, in order. XDP has one program at most. */
struct running {
	uint32_t ids[HOOK_PROGRAMS];
	uint32_t n;
};

static int tcx_type(enum bh_direction direction)
{
	return direction == BH_IN ? BH_TCX_INGRESS : BH_TCX_EGRESS;
}

static const char *link_folder(struct arena *arena, const struct load *load)
{
	return arena_printf(arena, "%s/links", load_pins(load));
}

/* "native-in-3": mode and direction cannot be asked of an XDP link; the number only makes it one. */
static const char *link_path(struct arena *arena, const struct load *load, const struct hook *hook)
{
	return arena_printf(arena, "%s/%s-%s-%u", link_folder(arena, load),
			    attach_mode_name(hook->mode), hook->direction == BH_IN ? "in" : "out",
			    hook->link->ifindex);
}

/* Links of XDP and tcx tell the ifindex in the same place, 0 when the device is gone. */
static int link_info(int fd, uint32_t *ret_ifindex, uint32_t *ret_program)
{
	struct bpf_link_info info = {};
	uint32_t size = sizeof(info);
	int err = bpf_obj_get_info_by_fd(fd, &info, &size);

	if (err)
		return err;
	*ret_ifindex = info.xdp.ifindex;
	*ret_program = info.prog_id;
	return 0;
}

/*
 * A kernel without tcx runs nothing there. Any other failure must not look like that: a link of ours
 * would be taken for a dead one, and dropped while it enforces.
 */
static int read_running(uint32_t ifindex, enum bh_direction direction, enum attach_mode mode,
			struct running *running)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, xdp);
	int err;

	*running = (struct running){};
	if (mode == ATTACH_TCX) {
		running->n = HOOK_PROGRAMS;
		err = bpf_prog_query((int)ifindex, (enum bpf_attach_type)tcx_type(direction), 0,
				     NULL, running->ids, &running->n);
		if (err)
			running->n = 0;
		return err == -EINVAL ? 0 : err;
	}
	err = bpf_xdp_query((int)ifindex, 0, &xdp);
	if (err)
		return err;
	running->ids[0] = mode == ATTACH_GENERIC ? xdp.skb_prog_id : xdp.drv_prog_id;
	running->n = running->ids[0] ? 1 : 0;
	return 0;
}

static bool runs(const struct running *running, uint32_t program)
{
	for (uint32_t i = 0; i < running->n; i++)
		if (running->ids[i] == program)
			return true;
	return false;
}

/*
 * The pinned link of that place, -ENOENT when there is none. One whose device is gone, or whose
 * device is another that once had this number, is unpinned.
 */
static int open_pinned(struct arena *arena, const struct load *load, const struct hook *hook)
{
	const char *path = link_path(arena, load, hook);
	scoped(close) int fd = bpf_obj_get(path);
	struct running running;
	uint32_t ifindex = 0;
	uint32_t program = 0;
	int err;

	if (fd < 0)
		return fd;
	err = read_running(hook->link->ifindex, hook->direction, hook->mode, &running);
	if (!err)
		err = link_info(fd, &ifindex, &program);
	if (err)
		return err;
	if (ifindex == hook->link->ifindex && runs(&running, program))
		return take_fd(fd);
	return unlink(path) ? -errno : -ENOENT;
}

/*
 * One of ours that runs there without a pin here: its pin was lost while something holds it, or
 * another ABI version's folder has it. -ENOENT when there is none. A link's ifindex is that of its
 * own namespace, so what counts is that its program runs on this hook.
 */
static int open_orphan(struct arena *arena, const struct hook *hook)
{
	struct running running;
	uint32_t id = 0;
	int err = read_running(hook->link->ifindex, hook->direction, hook->mode, &running);

	while (!err && running.n && !(err = bpf_link_get_next_id(id, &id))) {
		scoped(close) int fd = bpf_link_get_fd_by_id(id);
		uint32_t ifindex = 0;
		uint32_t program = 0;

		if (fd == -ENOENT) /* it went just now */
			continue;
		err = fd < 0 ? fd : link_info(fd, &ifindex, &program);
		if (!err && ifindex == hook->link->ifindex && runs(&running, program) &&
		    hook_is_our_name(hook_program_name(arena, program)))
			return take_fd(fd);
	}
	return err ? err : -ENOENT;
}

/* In the way of XDP: the program that is there and not ours. */
static const char *who_is_there(struct arena *arena, const struct hook *hook)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, xdp);
	const char *name;
	uint32_t id;

	if (bpf_xdp_query((int)hook->link->ifindex, 0, &xdp))
		return "another XDP program is attached";
	id = xdp.drv_prog_id ? xdp.drv_prog_id : xdp.skb_prog_id ? xdp.skb_prog_id : xdp.prog_id;
	if (!id)
		return "another XDP program is attached";
	name = hook_program_name(arena, id);
	/* A link takes native or generic XDP, never both: there is no way over without a gap. */
	if (hook_is_our_name(name))
		return "our own program is still there in the other XDP mode; one apply with "
		       "'ingress: tcx' or 'auto', and the next one can";
	return arena_printf(arena, "another XDP program is attached ('%s', id %u)", name, id);
}

static const char *why_not_xdp(struct arena *arena, const struct hook *hook, int err)
{
	const struct host_link *link = hook->link;

	if (err == EBUSY || err == EEXIST)
		return who_is_there(arena, hook);
	if (err == EOPNOTSUPP || err == EINVAL)
		return arena_printf(arena, "the driver%s%s does not take an XDP program",
				    link->driver[0] ? " " : "", link->driver);
	if (err == ERANGE || err == E2BIG)
		return arena_printf(arena, "an MTU of %u needs XDP programs for several buffers",
				    link->mtu);
	return arena_printf(arena, "the kernel refuses it (%s)", strerror(err));
}

static const char *why_not(struct arena *arena, const struct hook *hook, int err)
{
	if (hook->mode != ATTACH_TCX)
		return why_not_xdp(arena, hook, err);
	if (err == EINVAL)
		return "this kernel has no tcx";
	return arena_printf(arena, "the kernel refuses it (%s)", strerror(err));
}

static int create(const struct hook *hook, int program)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts);

	if (hook->mode == ATTACH_TCX) {
		opts.flags = BH_F_BEFORE;
		return bpf_link_create(program, (int)hook->link->ifindex,
				       (enum bpf_attach_type)tcx_type(hook->direction), &opts);
	}
	opts.flags = hook->mode == ATTACH_GENERIC ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
	return bpf_link_create(program, (int)hook->link->ifindex, BPF_XDP, &opts);
}

/* An update to the program that is there already is refused by tcx. */
static int update(int link, int program, uint32_t id, bool *changed)
{
	uint32_t ifindex = 0;
	uint32_t now = 0;
	int err = link_info(link, &ifindex, &now);

	if (err || now == id)
		return err;
	*changed = true;
	return bpf_link_update(link, program, NULL);
}

/* Another mode must not be tried then: a link of ours sits in this one, and would be taken off. */
static int give_up(struct arena *arena, const char *what, int err, const char **ret_why)
{
	*ret_why = arena_printf(arena, "cannot %s (%s)", what, strerror(-err));
	return -ECANCELED;
}

/* The link that is there, updated, or a new one; its descriptor. */
static int update_or_create(const struct load *load, struct arena *arena, const struct hook *hook,
			    int there, const char **ret_why, struct attach_hook *done)
{
	enum bh_hook place = hook_of(hook->direction, hook->mode);
	int program = load_program_fd(load, place);
	scoped(close) int link = there;
	int err;

	if (link >= 0) {
		err = update(link, program, load_program_id(load, place), &done->changed);
		return err ? give_up(arena, "replace the program", err, ret_why) : take_fd(link);
	}
	link = create(hook, program);
	if (link < 0) {
		*ret_why = why_not(arena, hook, -link);
		return link;
	}
	done->added = true;
	done->changed = true;
	return take_fd(link);
}

int hook_put_link(const struct load *load, struct arena *arena, const struct hook *hook,
		  const char **ret_why, struct attach_hook *done)
{
	const char *path = link_path(arena, load, hook);
	uint32_t program = load_program_id(load, hook_of(hook->direction, hook->mode));
	int there = open_pinned(arena, load, hook);
	bool pinned = there >= 0;
	scoped(close) int link = -1;
	struct running running;
	int err;

	done->pin = strrchr(path, '/') + 1;
	if (there == -ENOENT)
		there = open_orphan(arena, hook);
	if (there < 0 && there != -ENOENT)
		return give_up(arena, "ask what is there", there, ret_why);
	link = update_or_create(load, arena, hook, there, ret_why, done);
	if (link < 0)
		return link;
	err = pinned ? 0 : bpf_obj_pin(link, path);
	if (err)
		return give_up(arena, arena_printf(arena, "pin at '%s'", path), err, ret_why);
	err = read_running(hook->link->ifindex, hook->direction, hook->mode, &running);
	if (err && done->added)
		(void)unlink(path);
	if (err)
		return give_up(arena, "ask what is there", err, ret_why);
	done->first = running.n > 0 && running.ids[0] == program;
	return 0;
}

int hook_remove_link(const struct load *load, const struct attach_hook *hook, struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();
	const char *path = arena_printf(arena, "%s/%s", link_folder(arena, load), hook->pin);
	scoped(close) int link = bpf_obj_get(path);
	int err = 0;

	if (link == -ENOENT)
		return 0;
	if (link < 0)
		return diag_sys(diag, -link, "cannot open pin '%s'", path);
	/* Detached first: whoever else holds a descriptor of it shall not keep it alive. */
	if (hook->ifindex)
		err = bpf_link_detach(link);
	if (err && err != -ENOLINK && err != -EOPNOTSUPP)
		return diag_sys(diag, -err, "cannot detach from link '%s'", hook->name);
	if (unlink(path) && errno != ENOENT)
		return diag_sys(diag, errno, "cannot remove pin '%s'", path);
	return 0;
}

/* The pin's name tells mode and direction; the rest is asked of the kernel. */
static bool parse_pin(const char *name, enum bh_direction *direction, enum attach_mode *mode)
{
	static const enum attach_mode modes[] = {ATTACH_NATIVE, ATTACH_GENERIC, ATTACH_TCX};
	struct str rest;
	struct str head;

	if (!str_cut(str_of(name), '-', &head, &rest))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		if (!str_eq(head, str_of(attach_mode_name(modes[i]))))
			continue;
		*mode = modes[i];
		*direction = str_starts(rest, STR("out-")) ? BH_OUT : BH_IN;
		return true;
	}
	return false;
}

static int list_pin(const struct load *load, struct arena *arena, const struct host_facts *facts,
		    const char *name, attach_hooks *hooks)
{
	scoped(close) int link =
		bpf_obj_get(arena_printf(arena, "%s/%s", link_folder(arena, load), name));
	struct attach_hook hook = {.name = "", .why = "", .pinned = true, .pin = name};
	const struct host_link *at;
	struct running running;
	int err = link < 0 ? link : link_info(link, &hook.ifindex, &hook.program);

	if (err || !parse_pin(name, &hook.direction, &hook.mode))
		return err;
	at = hook.ifindex ? host_link_by_index(facts, hook.ifindex) : NULL;
	if (at) {
		err = read_running(hook.ifindex, hook.direction, hook.mode, &running);
		if (err)
			return err;
		if (runs(&running, hook.program)) {
			hook.name = at->name;
			hook.first = running.ids[0] == hook.program;
		} else {
			/* It has followed its device into another namespace. */
			hook.elsewhere = true;
		}
	} else {
		hook.elsewhere = hook.ifindex != 0;
	}
	hook.current = hook.program == load_program_id(load, hook_of(hook.direction, hook.mode));
	array_push(arena, hooks, hook);
	return 0;
}

int hook_list_links(const struct load *load, struct arena *arena, const struct host_facts *facts,
		    struct diag *diag, attach_hooks *hooks)
{
	bpffs_names names = {};
	int err = bpffs_list(arena, link_folder(arena, load), diag, &names);

	for (size_t i = 0; i < names.len && !err; i++) {
		if (str_starts(str_of(names.at[i]), STR("clsact-")))
			continue;
		err = list_pin(load, arena, facts, names.at[i], hooks);
		/* Removed by a detach that runs just now. */
		if (err == -ENOENT)
			err = 0;
		if (err)
			err = diag_sys(diag, -err, "cannot read pin '%s/links/%s'", load_pins(load),
				       names.at[i]);
	}
	return err;
}
