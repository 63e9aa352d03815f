// SPDX-License-Identifier: GPL-2.0-only
/*
 * XDP and tcx, which are attached by bpf links: pinned, adopted, updated in place. Which of them are
 * where tells hook_pins.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include <linux/bpf.h>
#include <linux/if_link.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel/abi_new.h"
#include "kernel/bpffs.h"
#include "kernel/clock.h"
#include "kernel/held.h"
#include "kernel/hook.h"
#include "kernel/instance.h"
#include "kernel/load_skeleton.h"
#include "kernel/running.h"

static const uint64_t going_ns = 10ULL * 1000 * 1000 * 1000;

/* "native-in-3": mode and direction cannot be asked of an XDP link; the number only makes it one. */
static const char *link_path(struct arena *arena, const struct load *load, const struct hook *hook)
{
	return arena_printf(arena, "%s/%s-%s-%u", hook_link_folder(arena, load),
			    attach_mode_name(hook->mode), hook->direction == BH_IN ? "in" : "out",
			    hook->link->ifindex);
}

/*
 * The pinned link of that place, -ENOENT when there is none. One whose device is gone, or whose
 * device is another that once had this number, is unpinned.
 */
static int open_pinned(struct arena *arena, const struct load *load, const struct hook *hook)
{
	const char *path = link_path(arena, load, hook);
	scoped(close) int fd = bpf_obj_get(path);
	struct hook_link_info info;
	struct running running;
	int err;

	if (fd < 0)
		return fd;
	err = running_read(hook->link->ifindex, hook->direction, hook->mode, &running);
	if (!err)
		err = hook_link_info(fd, &info);
	if (err)
		return err;
	if (info.ifindex == hook->link->ifindex && running_has(&running, info.program))
		return take_fd(fd);
	return unlink(path) ? -errno : -ENOENT;
}

/*
 * Whether the link is on that hook: its ifindex is that of its own namespace, so its program has to
 * run there.
 */
static int is_there(int link, const struct hook *hook, const struct running *running,
		    bool *ret_is_there)
{
	struct hook_link_info info;
	int err = hook_link_info(link, &info);

	if (!err)
		*ret_is_there =
			info.ifindex == hook->link->ifindex && running_has(running, info.program);
	return err;
}

/*
 * One of ours that runs there without a pin here: its pin was lost while something holds it, or
 * another ABI version's folder has it. -ENOENT when there is none. hook_hold_link has opened it.
 */
static int open_orphan(const struct load *load, const struct hook *hook)
{
	struct running running;
	int err = running_read(hook->link->ifindex, hook->direction, hook->mode, &running);
	int fd;

	for (size_t i = 0; !err && (fd = held_link(load_held(load), i)) >= 0; i++) {
		bool found = false;

		err = is_there(fd, hook, &running, &found);
		if (!err && found)
			fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (!err && found)
			return fd < 0 ? -errno : fd;
	}
	return err ? err : -ENOENT;
}

/* ---- what only an id opens ---- */

/* The name of a program, "" when it went just now. */
static int read_name(uint32_t id, char ret_name[BPF_OBJ_NAME_LEN])
{
	scoped(close) int fd = bpf_prog_get_fd_by_id(id);
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);
	int err = fd < 0 ? fd : bpf_obj_get_info_by_fd(fd, &info, &size);

	if (err && err != -ENOENT)
		return err;
	(void)snprintf(ret_name, BPF_OBJ_NAME_LEN, "%s", info.name);
	return 0;
}

int hook_read_name(struct arena *arena, uint32_t id, const char **ret_name)
{
	char name[BPF_OBJ_NAME_LEN] = "";
	int err = read_name(id, name);

	if (!err)
		*ret_name = str_dup(arena, str_of(name));
	return err;
}

const char *hook_program_name(struct arena *arena, uint32_t id)
{
	const char *name = "";

	return hook_read_name(arena, id, &name) ? "" : name;
}

static int hold_names(struct held *held, const struct running *running)
{
	char name[BPF_OBJ_NAME_LEN];
	int err = 0;

	for (uint32_t i = 0; i < running->n && !err; i++) {
		if (held_name(held, running->ids[i])[0])
			continue;
		err = read_name(running->ids[i], name);
		if (!err)
			held_add_name(held, running->ids[i], name);
	}
	return err;
}

static void keep_ours(const struct held *held, struct running *running)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < running->n; i++)
		if (hook_is_our_name(held_name(held, running->ids[i])))
			running->ids[n++] = running->ids[i];
	running->n = n;
}

static void take_out(struct running *running, uint32_t program)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < running->n; i++)
		if (running->ids[i] != program)
			running->ids[n++] = running->ids[i];
	running->n = n;
}

/* Refuses where another instance of ours is on the hook. */
static int check_instances(const struct load *load, const struct hook *hook,
			   const struct running *ours, struct diag *diag)
{
	int err = 0;

	for (uint32_t i = 0; i < ours->n && !err; i++)
		err = instance_check(load, hook->link->name, ours->ids[i], diag);
	return err;
}

/* The links of these programs on the hook, held unless it is NULL; the programs that have none. */
static int find_links(const struct hook *hook, const struct running *ours, struct held *held,
		      struct running *ret_going)
{
	uint32_t id = 0;
	int err = 0;

	*ret_going = *ours;
	while (ours->n && !err && !(err = bpf_link_get_next_id(id, &id))) {
		scoped(close) int fd = bpf_link_get_fd_by_id(id);
		struct hook_link_info info;
		bool found = false;

		if (fd == -ENOENT || fd == -EAGAIN) /* it goes, or comes, just now */
			continue;
		err = fd < 0 ? fd : is_there(fd, hook, ours, &found);
		if (!err && found)
			err = hook_link_info(fd, &info);
		if (err || !found)
			continue;
		take_out(ret_going, info.program);
		if (held)
			held_add_link(held, take_fd(fd));
	}
	return err == -ENOENT ? 0 : err;
}

/* Held open as well: whoever removes the pin before it is looked for does not take the program off. */
static bool hold_pinned(const struct load *load, const struct hook *hook,
			const struct running *running)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(close) int pinned = bpf_obj_get(link_path(arena, load, hook));
	bool found = false;

	if (!running->n || pinned < 0 || is_there(pinned, hook, running, &found) || !found)
		return false;
	held_add_link(load_held(load), take_fd(pinned));
	return true;
}

/* Programs of ours in the way. */
static int list_ours(const struct load *load, const struct hook *hook, struct running *ret_ours)
{
	int err =
		running_read_in_the_way(hook->link->ifindex, hook->direction, hook->mode, ret_ours);

	if (!err)
		err = hold_names(load_held(load), ret_ours);
	keep_ours(load_held(load), ret_ours);
	return err;
}

/* Those that the load's own pin does not hold there. */
static int list_unpinned(const struct load *load, const struct hook *hook, struct running *ret_ours)
{
	struct running running;
	int err = running_read(hook->link->ifindex, hook->direction, hook->mode, &running);

	*ret_ours = (struct running){};
	if (err || hold_pinned(load, hook, &running))
		return err;
	return list_ours(load, hook, ret_ours);
}

static int cannot_ask(const struct hook *hook, int err, struct diag *diag)
{
	return diag_sys(diag, -err, "cannot ask what runs on link '%s'%s", hook->link->name,
			err == -EPERM ? " (which takes CAP_SYS_ADMIN)" : "");
}

/* One look. *ret_patience: for how long another one may yet find that what is refused has gone. */
typedef int hook_look(const struct load *load, const struct hook *hook, struct diag *diag,
		      uint64_t *ret_patience);

static int hold_once(const struct load *load, const struct hook *hook, struct diag *diag,
		     uint64_t *ret_patience)
{
	struct running ours;
	struct running going = {};
	int err = list_unpinned(load, hook, &ours);
	int other = 0;

	if (!err)
		err = find_links(hook, &ours, NULL, &going);
	if (!err && !going.n)
		other = check_instances(load, hook, &ours, diag);
	*ret_patience = other == -ENODEV ? HOOK_OTHER_NS : 0;
	if (other)
		return other;
	/* Not before they are known as ours: what is held does not go. */
	if (!err && !going.n)
		err = find_links(hook, &ours, load_held(load), &going);
	if (err)
		return cannot_ask(hook, err, diag);
	if (!going.n)
		return 0;
	*ret_patience = going_ns;
	return diag_refuse(diag, -ENODEV,
			   "a program of ours runs at %s of link '%s' (program %u) without a bpf "
			   "link, and does not go; whoever attached it has to take it off",
			   hook->direction == BH_IN ? "ingress" : "egress", hook->link->name,
			   going.ids[0]);
}

/* Where nothing is to be put, what is this instance's own is in nobody's way. */
static int check_once(const struct load *load, const struct hook *hook, struct diag *diag,
		      uint64_t *ret_patience)
{
	struct running ours;
	int err = list_ours(load, hook, &ours);

	*ret_patience = 0;
	if (err)
		return cannot_ask(hook, err, diag);
	err = check_instances(load, hook, &ours, diag);
	*ret_patience = err == -ENODEV ? HOOK_OTHER_NS : 0;
	return err;
}

static int look_patiently(hook_look *look, const struct load *load, const struct hook *hook,
			  struct diag *diag)
{
	const struct timespec between = {.tv_nsec = HOOK_LOOK_NS};
	const uint64_t start = clock_ns();

	for (;;) {
		scoped(diag_free) struct diag *late = diag_new();
		uint64_t patience = 0;
		int err = look(load, hook, late, &patience);

		if (!err || clock_ns() - start >= patience) {
			diag_take(diag, late, NULL);
			return err;
		}
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &between, NULL);
	}
}

int hook_hold_link(const struct load *load, const struct hook *hook, struct diag *diag)
{
	return look_patiently(hold_once, load, hook, diag);
}

int hook_check_link(const struct load *load, const struct hook *hook, struct diag *diag)
{
	return look_patiently(check_once, load, hook, diag);
}

/* In the way of XDP: the program that is there and not ours. */
static const char *who_is_there(const struct load *load, struct arena *arena,
				const struct hook *hook)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, xdp);
	const char *name;
	uint32_t id;

	id = bpf_xdp_query((int)hook->link->ifindex, 0, &xdp) ? 0 : running_xdp_program(&xdp);
	if (!id)
		return "another XDP program is attached";
	name = held_name(load_held(load), id);
	/* A link takes native or generic XDP, never both: there is no way over without a gap. */
	if (hook_is_our_name(name))
		return "our own program is still there in the other XDP mode; one apply with "
		       "'ingress: tcx' or 'auto', and the next one can";
	return arena_printf(arena, "another XDP program is attached ('%s', id %u)", name, id);
}

const char *hook_why_not_xdp(const struct load *load, struct arena *arena, const struct hook *hook)
{
	const struct host_link *link = hook->link;
	struct running there, same;

	if (running_read_in_the_way(link->ifindex, hook->direction, hook->mode, &there) ||
	    running_read(link->ifindex, hook->direction, hook->mode, &same) || !there.n)
		return NULL;
	if (same.n && hook_is_our_name(hook_program_name(arena, same.ids[0])))
		return NULL;
	return who_is_there(load, arena, hook);
}

static const char *why_not_xdp(const struct load *load, struct arena *arena,
			       const struct hook *hook, int err)
{
	const struct host_link *link = hook->link;

	if (err == EBUSY || err == EEXIST)
		return who_is_there(load, arena, hook);
	if (err == EOPNOTSUPP || err == EINVAL)
		return arena_printf(arena, "the driver%s%s does not take an XDP program",
				    link->driver[0] ? " " : "", link->driver);
	if (err == ERANGE || err == E2BIG)
		return arena_printf(arena, "an MTU of %u needs XDP programs for several buffers",
				    link->mtu);
	return arena_printf(arena, "the kernel refuses it (%s)", strerror(err));
}

static const char *why_not(const struct load *load, struct arena *arena, const struct hook *hook,
			   int err)
{
	if (hook->mode != ATTACH_TCX)
		return why_not_xdp(load, arena, hook, err);
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
				       (enum bpf_attach_type)running_tcx_type(hook->direction),
				       &opts);
	}
	opts.flags = hook->mode == ATTACH_GENERIC ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
	return bpf_link_create(program, (int)hook->link->ifindex, BPF_XDP, &opts);
}

/* An update to the program that is there already is refused by tcx. */
static int update(int link, int program, uint32_t id, bool *changed)
{
	struct hook_link_info info;
	int err = hook_link_info(link, &info);

	if (err || info.program == id)
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
		*ret_why = why_not(load, arena, hook, -link);
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
		there = open_orphan(load, hook);
	if (there < 0 && there != -ENOENT)
		return give_up(arena, "ask what is there", there, ret_why);
	link = update_or_create(load, arena, hook, there, ret_why, done);
	if (link < 0)
		return link;
	err = pinned ? 0 : bpf_obj_pin(link, path);
	if (err)
		return give_up(arena, arena_printf(arena, "pin at '%s'", path), err, ret_why);
	err = running_read(hook->link->ifindex, hook->direction, hook->mode, &running);
	if (!err && !running_has(&running, program))
		err = -ENOLINK;
	if (err && done->added)
		(void)unlink(path);
	if (err)
		return give_up(arena, "find the program there", err, ret_why);
	done->first = running.ids[0] == program;
	return 0;
}

int hook_remove_link(const struct load *load, const struct attach_hook *hook, struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();
	const char *path = arena_printf(arena, "%s/%s", hook_link_folder(arena, load), hook->pin);
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
