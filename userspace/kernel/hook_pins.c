// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pins of bpf links on XDP and tcx: which are there, and on which devices they sit now.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/bpf.h>

#include <bpf/bpf.h>

#include "kernel/bpffs.h"
#include "kernel/hook.h"
#include "kernel/load_skeleton.h"
#include "kernel/running.h"

struct pin {
	struct attach_hook hook;
	uint32_t link; /* id of the bpf link */
	bool second;   /* another pin of that link has the number of its device */
};

typedef ARRAY(struct pin) pin_list;

const char *hook_link_folder(struct arena *arena, const struct load *load)
{
	return arena_printf(arena, "%s/links", load_pins(load));
}

/* Links of XDP and tcx tell the ifindex in the same place. */
int hook_link_info(int fd, struct hook_link_info *ret_info)
{
	struct bpf_link_info info = {};
	uint32_t size = sizeof(info);
	int err = bpf_obj_get_info_by_fd(fd, &info, &size);

	if (!err)
		*ret_info = (struct hook_link_info){
			.id = info.id,
			.ifindex = info.xdp.ifindex,
			.program = info.prog_id,
		};
	return err;
}

/* The pin's name tells mode, direction and where it was put; the rest is asked of the kernel. */
static bool parse_pin(const char *name, struct attach_hook *hook)
{
	static const enum attach_mode modes[] = {ATTACH_NATIVE, ATTACH_GENERIC, ATTACH_TCX};
	struct str number, way, head, rest;
	uint64_t ifindex;

	if (!str_cut(str_of(name), '-', &head, &rest) || !str_cut(rest, '-', &way, &number) ||
	    !str_number(number, UINT32_MAX, &ifindex))
		return false;
	hook->put_at = (uint32_t)ifindex;
	hook->direction = str_eq(way, STR("out")) ? BH_OUT : BH_IN;
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		if (!str_eq(head, str_of(attach_mode_name(modes[i]))))
			continue;
		hook->mode = modes[i];
		return true;
	}
	return false;
}

static bool is_folder(const char *path)
{
	struct stat info;

	return !stat(path, &info) && S_ISDIR(info.st_mode);
}

/* Where the device of a link is, which has told its number there. */
static int locate(const struct host_facts *facts, struct attach_hook *hook)
{
	const struct host_link *at =
		hook->ifindex ? host_link_by_index(facts, hook->ifindex) : NULL;
	struct running running = {};
	int err = at ? running_read(hook->ifindex, hook->direction, hook->mode, &running) : 0;

	if (err)
		return err;
	if (at && running_has(&running, hook->program)) {
		hook->name = at->name;
		hook->first = running.ids[0] == hook->program;
	} else {
		/* It has followed its device into another namespace. */
		hook->elsewhere = hook->ifindex != 0;
	}
	return 0;
}

static int read_pin(const struct load *load, struct arena *arena, const struct host_facts *facts,
		    const char *name, pin_list *pins)
{
	const char *path = arena_printf(arena, "%s/%s", hook_link_folder(arena, load), name);
	struct attach_hook hook = {.name = "", .why = "", .pinned = true, .pin = name};
	struct hook_link_info info = {};
	scoped(close) int link = -1;
	int err;

	/* What somebody else has put there holds no program of ours on a link, and goes with the pins. */
	if (!parse_pin(name, &hook) || is_folder(path))
		return 0;
	link = bpf_obj_get(path);
	err = link < 0 ? link : hook_link_info(link, &info);
	hook.ifindex = info.ifindex;
	hook.program = info.program;
	if (!err)
		err = locate(facts, &hook);
	if (err)
		return err;
	hook.current = hook.program == load_program_id(load, hook_of(hook.direction, hook.mode));
	array_push(arena, pins, ((struct pin){.hook = hook, .link = info.id}));
	return 0;
}

static bool is_same_place(const struct attach_hook *a, const struct attach_hook *b)
{
	return a->ifindex == b->ifindex && a->direction == b->direction && a->mode == b->mode;
}

/*
 * One of ours whose device has another number than when it was put there: either that has come back under it,
 * or it is the number of another namespace, and the device that has it here has a program of ours, too, by a
 * pin of its own.
 */
static void tell_apart(const pin_list *pins, struct pin *pin)
{
	if (pin->hook.elsewhere || !pin->hook.ifindex || pin->hook.put_at == pin->hook.ifindex)
		return;
	for (size_t i = 0; i < pins->len; i++) {
		const struct attach_hook *home = &pins->at[i].hook;

		if (home->put_at != home->ifindex || home->elsewhere ||
		    !is_same_place(home, &pin->hook))
			continue;
		pin->second = pins->at[i].link == pin->link;
		pin->hook.elsewhere = !pin->second;
		pin->hook.name = pin->second ? home->name : "";
		pin->hook.first &= pin->second;
	}
}

/* One that cannot be asked keeps none of the others from being read. */
static int read_pins(const struct load *load, struct arena *arena, const struct host_facts *facts,
		     struct diag *diag, pin_list *pins)
{
	bpffs_names names = {};
	int err = bpffs_list(arena, hook_link_folder(arena, load), diag, &names);

	for (size_t i = 0; i < names.len; i++) {
		int failed = 0;

		if (!str_starts(str_of(names.at[i]), STR("clsact-")))
			failed = read_pin(load, arena, facts, names.at[i], pins);
		/* Removed by a detach that runs just now. */
		if (!failed || failed == -ENOENT)
			continue;
		(void)diag_sys(diag, -failed, "cannot read pin '%s/links/%s'", load_pins(load),
			       names.at[i]);
		err = err ? err : failed;
	}
	for (size_t i = 0; i < pins->len; i++)
		tell_apart(pins, &pins->at[i]);
	return err;
}

int hook_list_links(const struct load *load, struct arena *arena, const struct host_facts *facts,
		    struct diag *diag, attach_hooks *hooks)
{
	pin_list pins = {};
	int err = read_pins(load, arena, facts, diag, &pins);

	for (size_t i = 0; i < pins.len; i++)
		if (!pins.at[i].second)
			array_push(arena, hooks, pins.at[i].hook);
	return err;
}

int hook_remove_second_pins(const struct load *load, struct arena *arena,
			    const struct host_facts *facts, struct diag *diag)
{
	pin_list pins = {};
	int err = read_pins(load, arena, facts, diag, &pins);

	for (size_t i = 0; i < pins.len && !err; i++) {
		const char *path = arena_printf(arena, "%s/%s", hook_link_folder(arena, load),
						pins.at[i].hook.pin);

		if (pins.at[i].second && unlink(path) && errno != ENOENT)
			err = diag_sys(diag, errno, "cannot remove pin '%s'", path);
	}
	return err;
}
