// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is said when a kernel's verifier refuses a program: its own last word, however much it has
 * looked at before. Kernels before 6.4 keep the beginning of a log that is too long, not its end. And
 * what is said where the verifier is not to blame.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "bpf/abi.h"
#include "bpf/enforce.skel.h"
#include "kernel/load_skeleton.h"
#include "kernel/probe.h"

/* Above the stack: no kernel lets a program read there. */
static const struct bpf_insn read_above = {
	.code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = 0, .src_reg = 10, .off = 8};

/* Spoils the last instruction but the exit: the verifier has looked at thousands before it. */
static int spoil(struct bpf_program *program, struct bpf_prog_load_opts *opts, long cookie)
{
	size_t n = bpf_program__insn_cnt(program);
	scoped(free) struct bpf_insn *insns = mem_calloc(n, sizeof(*insns));

	(void)opts;
	(void)cookie;
	memcpy(insns, bpf_program__insns(program), n * sizeof(*insns));
	while (n && insns[n - 1].code != (BPF_JMP | BPF_EXIT))
		n--;
	cr_assert(n > 1);
	insns[n - 2] = read_above;
	return bpf_program__set_insns(program, insns, bpf_program__insn_cnt(program));
}

/* Before that a function of ours becomes global that the kernel was told to be static, or the other way round. */
static int spoil_types(struct bpf_program *program, struct bpf_prog_load_opts *opts, long cookie)
{
	const struct enforce *skeleton = *(struct enforce *const *)(uintptr_t)cookie;
	struct btf *own = bpf_object__btf(skeleton->obj);
	int f = btf__find_by_name_kind(own, "bh_xdp", BTF_KIND_FUNC);
	struct btf_type *type = (struct btf_type *)btf__type_by_id(own, (uint32_t)f);

	cr_assert(f > 0);
	type->info ^= BTF_FUNC_GLOBAL;
	return spoil(program, opts, 0);
}

/* What is said of a load that must fail with that error. */
static void refused(libbpf_prog_prepare_load_fn_t spoiled, int wanted, const char *words,
		    const char *end)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	const struct bh_machine machine = {.hz = 1000, .tick_shift = 7};
	const struct diag_message *messages;
	struct enforce *skeleton = NULL;
	LIBBPF_OPTS(libbpf_prog_handler_opts, opts, .prog_prepare_load_fn = spoiled,
		    .cookie = (long)(uintptr_t)&skeleton);
	const char *log = NULL;
	struct probe probe = {};
	int handler, err;
	size_t n = 0;

	if (geteuid())
		cr_skip_test("loading programs needs root");
	handler = libbpf_register_prog_handler("xdp", BPF_PROG_TYPE_XDP, BPF_XDP, &opts);
	cr_assert(handler >= 0, "%s", strerror(-handler));
	libbpf_set_print(NULL);
	cr_assert_eq(load_skeleton_open(arena, &probe, diag, &log, &skeleton), 0);
	load_skeleton_configure(skeleton, &probe.skb, &machine);
	err = load_skeleton_load(skeleton, log, diag);
	cr_assert_eq(err, wanted, "%d", err);
	messages = diag_messages(diag, &n);
	cr_assert_eq(n, 1);
	cr_assert(strstr(messages[0].text, words), "%s", messages[0].text);
	cr_assert(strstr(messages[0].text, end), "%s", messages[0].text);
	enforce__destroy(skeleton);
	(void)libbpf_unregister_prog_handler(handler);
}

Test(refusal, the_verifiers_last_word_is_told_whatever_came_before_it)
{
	refused(spoil, -EACCES, "cannot load the programs: invalid", "R10 off=8");
}

Test(refusal, where_the_types_are_not_whole_in_the_kernel_that_is_told)
{
	refused(spoil_types, -EAGAIN, "cannot load the programs: their types did not reach",
		"too short");
}
