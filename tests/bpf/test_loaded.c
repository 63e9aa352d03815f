// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel has made of the programs: machine code, and on a machine that reorders loads with
 * what keeps it from that.
 */
#include <criterion/criterion.h>
#include <linux/bpf.h>

#include <bpf/bpf.h>

#include "kernel/clock.h"
#include "kernel/probe.h"
#include "tests/lib/enforcer.h"

#ifdef __x86_64__
enum { LOADS_KEEP_ORDER = 1 };
#else
enum { LOADS_KEEP_ORDER = 0 };
#endif

/* Of the search for an established flow, which each program has: key, second word, first again. */
enum { FEWEST_DEPENDENCIES = 3 };

static struct bpf_prog_info ask(int program, struct bpf_insn *insns, uint32_t insns_size)
{
	struct bpf_prog_info info = {
		.xlated_prog_len = insns_size,
		.xlated_prog_insns = (uintptr_t)insns,
	};
	uint32_t size = sizeof(info);

	cr_assert_eq(bpf_obj_get_info_by_fd(program, &info, &size), 0);
	return info;
}

Test(loaded, what_is_taken_is_compiled_where_the_kernel_compiles_at_all)
{
	scoped(diag_free) struct diag *diag = diag_new();
	struct probe probe = {};

	if (!enforcer_is_possible())
		cr_skip_test("loading programs needs root");
	cr_assert_eq(probe_kernel(diag, &probe), 0);
	if (!probe.jit)
		cr_skip_test("the kernel compiles no program");
	scoped(enforcer_free) struct enforcer *enforcer = enforcer_new();

	for (int i = 0; i < ENFORCER_LOADED_COUNT; i++)
		if (enforcer_has(enforcer, i))
			cr_assert_gt(ask(enforcer_program_fd(enforcer, i), NULL, 0).jited_prog_len,
				     0, "program %d", i);
}

/* A clock of another kind has a resolution of a nanosecond, which is the jiffy of no kernel. */
Test(loaded, the_clock_of_the_programs_is_that_of_a_kernel)
{
	scoped(diag_free) struct diag *diag = diag_new();
	struct bh_machine machine = {};

	if (!enforcer_is_possible())
		cr_skip_test("loading programs needs root");
	cr_assert_eq(clock_calibrate(diag, &machine), 0);
	cr_assert(machine.hz >= 24 && machine.hz <= 1200, "HZ %u", machine.hz);
}

/* What is looked for in a program. */
struct kinds {
	int dependencies; /* flow_after() in bpf/flowtable.bpf.h: 0 is made of what has been loaded */
	int exchanges;	  /* atomic ones */
	int blind; /* atomics that change a flag and fetch nothing: they order nothing on arm64 */
};

static void count_one(const struct bpf_insn *insn, struct kinds *kinds)
{
	kinds->dependencies += insn->code == (BPF_ALU64 | BPF_AND | BPF_K) && !insn->imm;
	if (insn->code != (BPF_STX | BPF_ATOMIC | BPF_DW))
		return;
	kinds->exchanges += insn->imm == BPF_XCHG;
	kinds->blind += insn->imm == BPF_OR || insn->imm == BPF_AND || insn->imm == BPF_XOR;
}

static struct kinds count(int program)
{
	uint32_t size = ask(program, NULL, 0).xlated_prog_len;
	scoped(free) struct bpf_insn *insns = malloc(size);
	struct kinds kinds = {};

	cr_assert(insns);
	(void)ask(program, insns, size);
	for (size_t i = 0; i < size / sizeof(*insns); i++)
		count_one(&insns[i], &kinds);
	return kinds;
}

/*
 * The exchanges that each has: a packet's publishes an entry, of keys of either size, and opens one
 * anew, bh_carry's publishes.
 */
static int exchanges_of(int program)
{
	return program == ENFORCER_CARRY ? 2 : 3;
}

static void check_order(const struct enforcer *enforcer, bool reorders)
{
	for (int i = 0; i < ENFORCER_LOADED_COUNT; i++) {
		struct kinds found;

		if (!enforcer_has(enforcer, i))
			continue;
		found = count(enforcer_program_fd(enforcer, i));
		cr_expect_eq(found.blind, 0, "program %d has %d", i, found.blind);
		/* And a search that finds nothing ends with one, before another table is searched. */
		cr_expect_eq(found.exchanges, exchanges_of(i) + reorders, "program %d has %d", i,
			     found.exchanges);
		if (reorders)
			cr_expect_geq(found.dependencies, FEWEST_DEPENDENCIES, "program %d has %d",
				      i, found.dependencies);
		else
			cr_expect_eq(found.dependencies, 0, "program %d has %d", i,
				     found.dependencies);
	}
}

Test(loaded, loads_of_a_flow_keep_their_order_where_the_machine_reorders_them)
{
	if (!enforcer_is_possible())
		cr_skip_test("loading programs needs root");
	scoped(enforcer_free) struct enforcer *enforcer = enforcer_new();
	scoped(enforcer_free) struct enforcer *reordering = enforcer_new_reordering();

	check_order(enforcer, !LOADS_KEEP_ORDER);
	check_order(reordering, true);
}
