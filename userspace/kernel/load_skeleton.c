// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/load_skeleton.h"

#include <errno.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "bpf/enforce.skel.h"

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
	LIBBPF_OPTS(bpf_object_open_opts, opts, .kernel_log_buf = log, .kernel_log_size = LOG_SIZE,
		    .kernel_log_level = LOG_WORDS);
	struct enforce *skeleton = enforce__open_opts(&opts);

	if (!skeleton)
		return diag_sys(diag, errno, "cannot read the programs' object");
	(void)bpf_program__set_autoload(skeleton->progs.bh_xdp, !probe->has[PROBE_XDP_FRAGS]);
	(void)bpf_program__set_autoload(skeleton->progs.bh_xdp_frags, probe->has[PROBE_XDP_FRAGS]);
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
	struct str words = STR("the kernel gives no reason");

	while (str_cut(rest, '\n', &line, &rest))
		if (line.len && !is_statistics(line))
			words = line;
	return words;
}

int load_skeleton_load(struct enforce *skeleton, const char *log, struct diag *diag)
{
	int err = enforce__load(skeleton);

	if (!err)
		return 0;
	if (!log[0])
		return diag_sys(diag, -err, "cannot load the programs");
	return diag_sys(diag, -err, "cannot load the programs: " STR_FMT, STR_ARG(last_words(log)));
}
