// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each feature is tried with the smallest map or program that needs it. Hooks are tried on a link
 * that cannot exist: a kernel that knows the hook says so by looking for the link (ENODEV).
 */
#include "kernel/probe.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include <linux/bpf.h>
#include <linux/btf.h>

#include <linux/if_link.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "base/array.h"
#include "kernel/abi_new.h"
#include "kernel/skb.h"

enum {
	LOOPBACK = 1, /* in every network namespace */
	NO_SUCH_LINK = 0x7ffffff0,
	VALUE_SIZE = 4096,
	NOT_SUPPORTED = 524, /* ENOTSUPP of the kernel, which has no name here */
};

/* Instructions, as linux/filter.h inside the kernel names them. */
#define INSN(c, d, s, o, i)     \
	((struct bpf_insn){     \
		.code = (c),    \
		.dst_reg = (d), \
		.src_reg = (s), \
		.off = (o),     \
		.imm = (i),     \
	})
#define MOV_IMM(d, i)  INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define MOV_REG(d, s)  INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define ADD_IMM(d, i)  INSN(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)
#define PUT_IMM(d, o)  INSN(BPF_ST | BPF_MEM | BPF_DW, d, 0, o, 0)
#define ATOMIC(op)     INSN(BPF_STX | BPF_ATOMIC | BPF_DW, BPF_REG_10, BPF_REG_1, -8, op)
#define CALL_HELPER(f) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, f)
#define CALL_BPF(n)    INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, n)
#define EXIT()	       INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

static int load_insns(enum bpf_prog_type type, const struct bpf_insn *insns, size_t n,
		      uint32_t flags)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_flags = flags);

	return bpf_prog_load(type, "bh_probe", "GPL", insns, n, &opts);
}

/* What came of a trial that ends in a descriptor: 0, or -errno. */
static int came_of(int fd)
{
	scoped(close) int done = fd;

	return done < 0 ? done : 0;
}

static int load_empty(enum bpf_prog_type type, uint32_t flags)
{
	const struct bpf_insn insns[] = {MOV_IMM(BPF_REG_0, 0), EXIT()};

	return load_insns(type, insns, ARRAY_LEN(insns), flags);
}

static int try_map(enum bpf_map_type type, uint32_t key_size, uint32_t value_size,
		   uint32_t max_entries, uint32_t flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);

	return came_of(bpf_map_create(type, "bh_probe", key_size, value_size, max_entries, &opts));
}

static int try_array_of_maps(void)
{
	scoped(close) int inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "bh_probe", 4, 8, 1, NULL);
	LIBBPF_OPTS(bpf_map_create_opts, opts, .inner_map_fd = (uint32_t)inner);

	if (inner < 0)
		return inner;
	return came_of(bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "bh_probe", 4, 4, 1, &opts));
}

static int try_freeze(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_RDONLY_PROG);
	scoped(close) int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "bh_probe", 4, 8, 1, &opts);

	return fd < 0 ? fd : bpf_map_freeze(fd);
}

static int try_helper(int helper)
{
	const struct bpf_insn insns[] = {CALL_HELPER(helper), MOV_IMM(BPF_REG_0, 0), EXIT()};
	int err = came_of(load_insns(BPF_PROG_TYPE_XDP, insns, ARRAY_LEN(insns), 0));

	return err ? err : came_of(load_insns(BPF_PROG_TYPE_SCHED_CLS, insns, ARRAY_LEN(insns), 0));
}

/* Reads eight bytes of what the context of a program at tc really is, which lockdown may forbid. */
static int try_read_kernel(void)
{
	const struct bpf_insn insns[] = {
		MOV_REG(BPF_REG_3, BPF_REG_1),
		MOV_REG(BPF_REG_1, BPF_REG_10),
		ADD_IMM(BPF_REG_1, -8),
		MOV_IMM(BPF_REG_2, 8),
		CALL_HELPER(BPF_FUNC_probe_read_kernel),
		MOV_IMM(BPF_REG_0, 0),
		EXIT(),
	};

	return came_of(load_insns(BPF_PROG_TYPE_SCHED_CLS, insns, ARRAY_LEN(insns), 0));
}

static int try_atomics(void)
{
	const struct bpf_insn insns[] = {
		PUT_IMM(BPF_REG_10, -8),     MOV_IMM(BPF_REG_1, 1),
		ATOMIC(BPF_ADD | BPF_FETCH), MOV_IMM(BPF_REG_0, 0),
		ATOMIC(BPF_CMPXCHG),	     ATOMIC(BPF_XCHG),
		MOV_IMM(BPF_REG_0, 0),	     EXIT(),
	};

	return came_of(load_insns(BPF_PROG_TYPE_XDP, insns, ARRAY_LEN(insns), 0));
}

/*
 * Type information of: int f(int *p); int main(void *ctx). Returns its descriptor. Half of it, where memory is
 * short, the kernel would refuse as one that does not know such types.
 */
static int load_pointer_types(void)
{
	enum { NUMBER = 1, POINTER, TYPE_F, F, TYPE_MAIN, MAIN };
	struct btf *btf = btf__new_empty();
	const void *data = NULL;
	int fd = -ENOMEM;
	uint32_t size;

	if (libbpf_get_error(btf))
		return -ENOMEM;
	if (btf__add_int(btf, "int", 4, BTF_INT_SIGNED) == NUMBER &&
	    btf__add_ptr(btf, NUMBER) == POINTER && btf__add_func_proto(btf, NUMBER) == TYPE_F &&
	    btf__add_func_param(btf, "p", POINTER) == 0 &&
	    btf__add_func(btf, "probe_f", BTF_FUNC_GLOBAL, TYPE_F) == F &&
	    btf__add_func_proto(btf, NUMBER) == TYPE_MAIN &&
	    btf__add_func(btf, "bh_probe", BTF_FUNC_STATIC, TYPE_MAIN) == MAIN)
		data = btf__raw_data(btf, &size);
	if (data)
		fd = bpf_btf_load(data, size, NULL);
	btf__free(btf);
	return fd;
}

/* The called function reads through its pointer, after checking it, as its type tells. */
static int try_global_pointers(void)
{
	const struct bpf_insn insns[] = {
		INSN(BPF_ST | BPF_MEM | BPF_W, BPF_REG_10, 0, -4, 0),
		MOV_REG(BPF_REG_1, BPF_REG_10),
		ADD_IMM(BPF_REG_1, -4),
		CALL_BPF(2),
		MOV_IMM(BPF_REG_0, 0),
		EXIT(),
		MOV_IMM(BPF_REG_0, 0),
		INSN(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_1, 0, 1, 0),
		INSN(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_0, BPF_REG_1, 0, 0),
		EXIT(),
	};
	const struct bpf_func_info functions[] = {
		{.insn_off = 0, .type_id = 6},
		{.insn_off = 6, .type_id = 4},
	};
	scoped(close) int types = load_pointer_types();
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_btf_fd = (uint32_t)types,
		    .func_info = functions, .func_info_cnt = ARRAY_LEN(functions),
		    .func_info_rec_size = sizeof(functions[0]));

	if (types < 0)
		return types;
	return came_of(bpf_prog_load(BPF_PROG_TYPE_XDP, "bh_probe", "GPL", insns, ARRAY_LEN(insns),
				     &opts));
}

static int try_hook(enum bpf_prog_type type, int attach_type)
{
	scoped(close) int program = load_empty(type, 0);
	int err;

	if (program < 0)
		return program;
	err = came_of(
		bpf_link_create(program, NO_SUCH_LINK, (enum bpf_attach_type)attach_type, NULL));
	return err == -ENODEV ? 0 : err;
}

/* In a namespace of its own, so that no link of the host is touched. */
static int try_clsact(void)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = 1,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_hook, ingress, .ifindex = 1, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = 1, .priority = 1);
	int err;

	if (unshare(CLONE_NEWNET))
		return -errno;
	opts.prog_fd = load_empty(BPF_PROG_TYPE_SCHED_CLS, 0);
	if (opts.prog_fd < 0)
		return opts.prog_fd;
	err = bpf_tc_hook_create(&hook);
	return err ? err : bpf_tc_attach(&ingress, &opts);
}

/* In a process that may leave its namespace: making one and taking it down costs milliseconds. */
static int try_clsact_apart(void)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		int err = try_clsact();

		_exit(-err > UINT8_MAX ? EINVAL : -err);
	}
	if (child < 0)
		return -errno;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

/*
 * Of a link that cannot exist the kernel says EINVAL here, as it does of what it does not know. So
 * it is asked for one in the card's own hardware on the loopback, which has none: where there are
 * XDP links it says so (EOPNOTSUPP), and nothing is attached.
 */
static int try_xdp_link(void)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_HW_MODE);
	scoped(close) int program = load_empty(BPF_PROG_TYPE_XDP, 0);
	int err;

	if (program < 0)
		return program;
	err = came_of(bpf_link_create(program, LOOPBACK, BPF_XDP, &opts));
	return err == -EOPNOTSUPP ? 0 : err;
}

static int try_test_run(void)
{
	const uint8_t frame[64] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame));
	scoped(close) int fd = load_empty(BPF_PROG_TYPE_XDP, 0);

	return fd < 0 ? fd : bpf_prog_test_run_opts(fd, &opts);
}

/* 0, or -errno. */
static int try_feature(enum probe_feature feature)
{
	switch (feature) {
	case PROBE_BPF:
		return try_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0);
	case PROBE_ARRAY_OF_MAPS:
		return try_array_of_maps();
	case PROBE_FREEZE:
		return try_freeze();
	case PROBE_MMAP:
		return try_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_MMAPABLE);
	case PROBE_JIFFIES:
		return try_helper(BPF_FUNC_jiffies64);
	case PROBE_RING_BUFFER:
		return try_map(BPF_MAP_TYPE_RINGBUF, 0, 0, VALUE_SIZE, 0);
	case PROBE_BOOT_TIME:
		return try_helper(BPF_FUNC_ktime_get_boot_ns);
	case PROBE_XDP_LINK:
		return try_xdp_link();
	case PROBE_ATOMICS:
		return try_atomics();
	case PROBE_GLOBAL_POINTERS:
		return try_global_pointers();
	case PROBE_CLSACT:
		return try_clsact_apart();
	case PROBE_TCX:
		return try_hook(BPF_PROG_TYPE_SCHED_CLS, BH_TCX_INGRESS);
	case PROBE_XDP_FRAGS:
		return came_of(load_empty(BPF_PROG_TYPE_XDP, BH_F_XDP_HAS_FRAGS));
	case PROBE_READ_KERNEL:
		return try_read_kernel();
	case PROBE_TEST_RUN:
		return try_test_run();
	case PROBE_COUNT:
		break;
	}
	return -EINVAL;
}

/* That a namespace cannot be had (seccomp, user.max_net_namespaces) is not the feature's fault. */
static const char *where_tried(enum probe_feature feature)
{
	return feature == PROBE_CLSACT ? " in a network namespace of its own" : "";
}

/* What kernels say of what they do not know; any other failure says nothing about the kernel. */
static bool means_missing(int err)
{
	static const int said[] = {EINVAL, EACCES, E2BIG,      ENOSYS,		ENOENT,
				   ENODEV, ERANGE, EOPNOTSUPP, EPROTONOSUPPORT, NOT_SUPPORTED};

	for (size_t i = 0; i < ARRAY_LEN(said); i++)
		if (err == -said[i])
			return true;
	return false;
}

static const struct {
	bool needed;
	const char *words;
	const char *since;
} features[] = {
#define NEED				true
#define WANT				false
#define X(kind, constant, text, kernel) [PROBE_##constant] = {kind, text, kernel},
	PROBE_FEATURES(X)
#undef X
#undef WANT
#undef NEED
};

const char *probe_words(enum probe_feature feature)
{
	return features[feature].words;
}

const char *probe_since(enum probe_feature feature)
{
	return features[feature].since;
}

static int read_number(const char *path)
{
	scoped(fclose) FILE *in = fopen(path, "re");
	char line[16] = "";
	uint64_t number;

	if (!in || !fgets(line, sizeof(line), in))
		return -1;
	line[strcspn(line, "\n")] = '\0';
	return str_number(str_of(line), 9, &number) ? (int)number : -1;
}

/* Of the program itself: net.core.bpf_jit_enable is told in the first network namespace alone. */
static int ask_jit(int program, bool *ret_jit)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);
	int err = bpf_obj_get_info_by_fd(program, &info, &size);

	if (!err)
		*ret_jit = info.jited_prog_len > 0;
	return err;
}

static int ask(enum probe_feature feature, struct diag *diag, struct probe *probe)
{
	int err = try_feature(feature);

	if (err && !means_missing(err))
		return diag_sys(diag, -err, "cannot ask the kernel for %s%s%s",
				probe_words(feature), where_tried(feature),
				err == -EPERM ? " (which takes CAP_SYS_ADMIN)" : "");
	probe->has[feature] = !err;
	return 0;
}

int probe_clsact(struct diag *diag, struct probe *probe)
{
	return ask(PROBE_CLSACT, diag, probe);
}

int probe_kernel(struct diag *diag, struct probe *ret_probe)
{
	struct probe probe = {};
	struct utsname names;
	scoped(close) int program = -1;
	int err = 0;

	libbpf_set_print(NULL);
	if (uname(&names) == 0)
		memcpy(probe.release, names.release, sizeof(probe.release));
	/* Takes both rights on every kernel; a map takes neither where users may use bpf. */
	program = load_empty(BPF_PROG_TYPE_XDP, 0);
	if (program == -EPERM)
		return diag_sys(diag, EPERM,
				"cannot ask the kernel what it can do (root is needed, with "
				"CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN)");
	for (int i = 0; i < PROBE_COUNT && !err; i++)
		if (i != PROBE_CLSACT)
			err = ask((enum probe_feature)i, diag, &probe);
	/* Where in it what is wanted lies, the kernel has to tell as well. */
	if (!err && probe.has[PROBE_READ_KERNEL])
		err = skb_layout(diag, &probe.skb);
	probe.has[PROBE_READ_KERNEL] = probe.skb.known;
	if (!err && !probe.has[PROBE_TCX])
		err = probe_clsact(diag, &probe);
	if (err)
		return err;
	if (program >= 0)
		err = ask_jit(program, &probe.jit);
	if (err)
		return diag_sys(diag, -err, "cannot ask the kernel for a program's size");
	probe.unprivileged_disabled = read_number("/proc/sys/kernel/unprivileged_bpf_disabled");
	*ret_probe = probe;
	return 0;
}

bool probe_is_needed(enum probe_feature feature)
{
	return features[feature].needed;
}

int probe_check(const struct probe *probe, struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();
	const char *missing = NULL;

	for (int i = 0; i < PROBE_COUNT; i++) {
		if (!features[i].needed || probe->has[i])
			continue;
		missing = missing ? arena_printf(arena, "%s, %s (%s)", missing, features[i].words,
						 features[i].since)
				  : arena_printf(arena, "%s (%s)", features[i].words,
						 features[i].since);
	}
	if (!missing && !probe->has[PROBE_TCX] && !probe->has[PROBE_CLSACT])
		missing = arena_printf(arena, "a hook for what leaves: neither %s (%s) nor %s (%s)",
				       features[PROBE_TCX].words, features[PROBE_TCX].since,
				       features[PROBE_CLSACT].words, features[PROBE_CLSACT].since);
	if (!missing)
		return 0;
	return diag_refuse(
		diag, -EOPNOTSUPP,
		"kernel %s lacks %s; bulkhead needs Linux 5.14 or later, and nothing was "
		"attached",
		probe->release, missing);
}
