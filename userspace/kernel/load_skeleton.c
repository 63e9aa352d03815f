// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/load_skeleton.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "base/scoped.h"
#include "bpf/enforce.skel.h"

SCOPED(struct btf *, btf__free);

enum { LOG_SIZE = 1 << 16 };

/*
 * What the verifier says, without what it looks at: the kernel's BPF_LOG_STATS, which no header has.
 * With the rest, which libbpf asks for where nothing is, the log is too long for any kernel to end it.
 */
enum { LOG_WORDS = 4 };

/* Whether this machine's loads happen in the order in which they stand. */
#ifdef __x86_64__
enum { LOADS_KEEP_ORDER = 1 };
#else
enum { LOADS_KEEP_ORDER = 0 };
#endif

struct bpf_program *load_skeleton_program(const struct enforce *skeleton, enum bh_hook hook)
{
	switch (hook) {
	case BH_HOOK_XDP:
		return bpf_program__autoload(skeleton->progs.bh_xdp_frags)
			       ? skeleton->progs.bh_xdp_frags
			       : skeleton->progs.bh_xdp;
	case BH_HOOK_TC_IN:
		return skeleton->progs.bh_tc_in;
	case BH_HOOK_TC_OUT:
		return skeleton->progs.bh_tc_out;
	case BH_HOOK_COUNT:
		break;
	}
	return NULL;
}

int load_skeleton_open(struct arena *arena, const struct probe *probe, struct diag *diag,
		       const char **ret_log, struct enforce **ret_skeleton)
{
	char *log = arena_alloc(arena, LOG_SIZE);
	struct enforce *skeleton = enforce__open();
	struct bpf_program *program;

	/* The object is our own: what libbpf and libelf say of it in their own numbers is of memory, too. */
	if (!skeleton)
		return diag_sys(diag, errno < __LIBBPF_ERRNO__START ? errno : ENOMEM,
				"cannot read the programs' object");
	(void)bpf_program__set_autoload(skeleton->progs.bh_xdp, !probe->has[PROBE_XDP_FRAGS]);
	(void)bpf_program__set_autoload(skeleton->progs.bh_xdp_frags, probe->has[PROBE_XDP_FRAGS]);
	/* The whole object's would take what is said of types, which are loaded first, for the verifier's words. */
	bpf_object__for_each_program(program, skeleton->obj)
	{
		(void)bpf_program__set_log_buf(program, log, LOG_SIZE);
		(void)bpf_program__set_log_level(program, LOG_WORDS);
	}
	*ret_log = log;
	*ret_skeleton = skeleton;
	return 0;
}

void load_skeleton_configure(struct enforce *skeleton, const struct bh_skb *skb,
			     const struct bh_machine *machine)
{
	skeleton->rodata->machine = *machine;
	skeleton->rodata->weak_order = !LOADS_KEEP_ORDER;
	skeleton->rodata->skb_layout = *skb;
}

static bool is_statistics(struct str line)
{
	return str_starts(line, STR("processed ")) || str_starts(line, STR("verification time ")) ||
	       str_starts(line, STR("stack depth ")) ||
	       (str_starts(line, STR("subprog ")) && memmem(line.at, line.len, " insns_self ", 12));
}

/* The verifier's complaint is the last line but its statistics, with those of subprograms. */
static struct str last_words(const char *log)
{
	struct str rest = str_of(log);
	struct str line;
	struct str words = {};

	while (str_cut(rest, '\n', &line, &rest))
		if (line.len && !is_statistics(line))
			words = line;
	return words;
}

/* What the kernel has of types, by their descriptor; NULL where that cannot be told. */
static struct btf *given_types(struct arena *arena, int fd)
{
	struct bpf_btf_info info = {};
	uint32_t size = sizeof(info);
	struct btf *btf;

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return NULL;
	info = (struct bpf_btf_info){
		.btf = (uintptr_t)arena_alloc(arena, info.btf_size),
		.btf_size = info.btf_size,
	};
	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return NULL;
	btf = btf__new((const void *)(uintptr_t)info.btf, info.btf_size);
	return libbpf_get_error(btf) ? NULL : btf;
}

/* Whether functions are there as they are: such as are not global are verified anew at each call. */
static bool has_functions(const struct btf *own, const struct btf *given)
{
	for (uint32_t i = 1; i < btf__type_cnt(own); i++) {
		const struct btf_type *type = btf__type_by_id(own, i);
		const struct btf_type *there = btf__type_by_id(given, i);

		if (btf_is_func(type) && (!there || there->info != type->info))
			return false;
	}
	return true;
}

/*
 * What libbpf goes on without where it could not ask the kernel for it, or not give it, for want of memory or
 * descriptors. The verifier then complains of what comes of that. NULL: nothing.
 */
static const char *left_out(const struct enforce *skeleton)
{
	scoped(arena_free) struct arena *arena = arena_new();
	int types = bpf_object__btf_fd(skeleton->obj);
	scoped(btf__free) struct btf *given = types < 0 ? NULL : given_types(arena, types);

	if (types < 0 || (given && !has_functions(bpf_object__btf(skeleton->obj), given)))
		return "types";
	return bpf_map__autocreate(skeleton->maps.rodata) ? NULL : "constants";
}

int load_skeleton_load(struct enforce *skeleton, const char *log, struct diag *diag)
{
	int err = enforce__load(skeleton);
	struct str words = last_words(log);
	const char *missing = err && words.len ? left_out(skeleton) : NULL;

	if (!err)
		return 0;
	if (missing)
		return diag_refuse(diag, -EAGAIN,
				   "cannot load the programs: their %s did not reach the kernel; "
				   "memory or descriptors may be too short",
				   missing);
	return diag_sys(diag, -err, "cannot load the programs%s" STR_FMT, words.len ? ": " : "",
			STR_ARG(words));
}
