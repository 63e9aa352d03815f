// SPDX-License-Identifier: GPL-2.0-only
/*
 * Linux 5.14 and 5.15 cannot be had here to run the programs, so the built object is read: nothing
 * in it may have come after 5.14, outside bh_xdp_frags, which is left out where the kernel does
 * not know it. What the verifier of those kernels thinks of the rest, only they can tell; but its
 * one rule about the shape of loops is asked here.
 */
#include <criterion/criterion.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "base/arena.h"
#include "base/array.h"
#include "bpf/abi.h"
#include "tests/kernels/object.h"

enum { ATOMIC_LOAD = 0x100 }; /* newer than the headers of the build */

/* What a program may use: all of it came into Linux with this version or before. */
static const struct {
	const char *since;
	__u32 id;
	bool far; /* only in bh_xdp_frags */
} helpers[] = {
	{"3.19", BPF_FUNC_map_lookup_elem, false}, {"4.5", BPF_FUNC_skb_load_bytes, false},
	{"4.9", BPF_FUNC_skb_pull_data, false},	   {"5.5", BPF_FUNC_probe_read_kernel, false},
	{"5.6", BPF_FUNC_jiffies64, false},	   {"5.8", BPF_FUNC_ktime_get_boot_ns, false},
	{"5.8", BPF_FUNC_ringbuf_reserve, false},  {"5.8", BPF_FUNC_ringbuf_submit, false},
	{"5.18", BPF_FUNC_xdp_get_buff_len, true}, {"5.18", BPF_FUNC_xdp_load_bytes, true},
};

static const struct {
	const char *name;
	const char *section;
	bool far;
} programs[] = {
	{"bh_xdp", "xdp", false},   {"bh_xdp_frags", "xdp.frags", true}, {"bh_tc_in", "tc", false},
	{"bh_tc_out", "tc", false}, {"bh_carry", "tc", false},
};

enum { N_PROGRAMS = sizeof(programs) / sizeof(programs[0]) };

/* Calls look at each instruction of what a program reaches; far: the program is bh_xdp_frags. */
typedef void look_fn(const struct object *object, const struct object_function *function,
		     size_t insn, bool far);

static void look_at_all(look_fn *look)
{
	scoped(object_free) struct object *object = object_open(ENFORCE_OBJECT);

	for (int program = 0; program < N_PROGRAMS; program++) {
		const struct object_function *entry = object_find(object, programs[program].name);
		scoped(free) bool *reached = mem_calloc(object->n_functions, sizeof(*reached));

		cr_assert(entry, "no program %s", programs[program].name);
		object_reach(object, entry, reached);
		for (size_t i = 0; i < object->n_functions; i++)
			for (size_t n = 0; reached[i] && n < object->functions[i].n_insns; n++)
				look(object, &object->functions[i], n, programs[program].far);
	}
}

/* ---- what a newer build finds of an older one ---- */

/*
 * A build adopts the maps of another one with the same number of the interface, and refuses those of
 * another form: an upgrade in place. A form that changes wants another number.
 */
Test(floor, the_forms_of_pinned_maps_are_those_of_this_interface)
{
	/* Type, sizes of key and value, entries, flags; of maps within it, size of a value and entries. */
	static const struct form {
		const char *name;
		__u32 type, key, value, entries, flags, inner_value, inner_entries;
	} forms[] = {
		{"bh_active", 2, 4, 8, 1, 1024, 0, 0},
		{"bh_image", 12, 4, 4, 1024, 0, 1048576, 1},
		{"bh_self", 12, 4, 4, 1, 0, 65552, 1},
		{"bh_links", 2, 4, 2056, 1, 128, 0, 0},
		{"bh_machine", 2, 4, 64, 1, 128, 0, 0},
		{"bh_watch", 2, 4, 8, 1, 128, 0, 0},
		{"bh_counters", 12, 4, 4, 16384, 0, 64, 256},
		{"bh_notes", 6, 4, 8, 9, 0, 0, 0},
		{"bh_state", 12, 4, 4, 4096, 0, 278528, 1},
		{"bh_events", 27, 0, 0, 1048576, 0, 0, 0},
		{"bh_limits", 2, 4, 8, 65600, 0, 0, 0},
	};
	struct bpf_object *object = bpf_object__open(ENFORCE_OBJECT);

	cr_assert_eq(BH_ABI_VERSION, 9, "the forms of another interface have to be written down");
	cr_assert(object, "cannot open the object");
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		const struct form *form = &forms[i];
		const struct bpf_map *map = bpf_object__find_map_by_name(object, form->name);
		const struct bpf_map *inner;

		cr_assert(map, "no map %s", form->name);
		inner = bpf_map__inner_map((struct bpf_map *)map);
		cr_assert(bpf_map__type(map) == form->type && bpf_map__key_size(map) == form->key &&
				  bpf_map__value_size(map) == form->value &&
				  bpf_map__max_entries(map) == form->entries &&
				  bpf_map__map_flags(map) == form->flags,
			  "%s has another form: raise BH_ABI_VERSION", form->name);
		cr_assert(!inner || (bpf_map__value_size(inner) == form->inner_value &&
				     bpf_map__max_entries(inner) == form->inner_entries),
			  "what lies in %s has another form: raise BH_ABI_VERSION", form->name);
	}
	bpf_object__close(object);
}

/* ---- what is called ---- */

static void look_at_helper(const char *name, __u32 id, bool far)
{
	for (size_t i = 0; i < sizeof(helpers) / sizeof(helpers[0]); i++) {
		if (helpers[i].id != id)
			continue;
		cr_assert(far || !helpers[i].far, "%s: helper %u came with Linux %s", name, id,
			  helpers[i].since);
		return;
	}
	cr_assert_fail("%s: helper %u is none of those that Linux 5.14 is known to have", name, id);
}

static void look_at_call(const struct object *object, const struct object_function *function,
			 size_t insn, bool far)
{
	const struct bpf_insn *call = &function->insns[insn];
	const struct object_function *callee;
	const char *name;

	if (call->code == (BPF_LD | BPF_IMM | BPF_DW)) {
		callee = object_callee(object, function, insn, &name);
		cr_assert(!callee, "%s: takes the address of %s", function->name, callee->name);
		return;
	}
	if (call->code != (BPF_JMP | BPF_CALL))
		return;
	if (call->src_reg == 0) {
		look_at_helper(function->name, (__u32)call->imm, far);
		return;
	}
	callee = object_callee(object, function, insn, &name);
	cr_assert(callee, "%s: calls %s, a function of the kernel's own", function->name,
		  name ? name : "something unknown");
}

Test(floor, no_program_calls_what_came_after_5_14)
{
	look_at_all(look_at_call);
}

/* ---- instructions ---- */

static bool is_known_atomic(const struct bpf_insn *insn)
{
	__u32 operation = (__u32)insn->imm & ~BPF_FETCH;

	if (BPF_SIZE(insn->code) != BPF_W && BPF_SIZE(insn->code) != BPF_DW)
		return false;
	return operation == BPF_ADD || operation == BPF_AND || operation == BPF_OR ||
	       operation == BPF_XOR || (__u32)insn->imm == BPF_XCHG ||
	       (__u32)insn->imm == BPF_CMPXCHG;
}

/* BPF_END: swaps that depend on the byte order of the machine are old, others not. */
static bool is_known_alu(const struct bpf_insn *insn)
{
	__u8 operation = BPF_OP(insn->code);

	if (insn->off) /* signed division and moves that extend a sign */
		return false;
	if (operation == BPF_END)
		return BPF_CLASS(insn->code) == BPF_ALU;
	return operation <= BPF_ARSH;
}

static bool is_known_jump(const struct bpf_insn *insn)
{
	__u8 operation = BPF_OP(insn->code);

	if (BPF_CLASS(insn->code) == BPF_JMP32)
		return operation != BPF_JA && operation != BPF_CALL && operation != BPF_EXIT &&
		       operation <= BPF_JSLE;
	return operation <= BPF_JSLE;
}

static bool is_known(const struct bpf_insn *insn)
{
	__u8 mode = BPF_MODE(insn->code);

	switch (BPF_CLASS(insn->code)) {
	case BPF_LD:
		return insn->code == (BPF_LD | BPF_IMM | BPF_DW);
	case BPF_LDX:
	case BPF_ST:
		return mode == BPF_MEM;
	case BPF_STX:
		return mode == BPF_MEM || (mode == BPF_ATOMIC && is_known_atomic(insn));
	case BPF_ALU:
	case BPF_ALU64:
		return is_known_alu(insn);
	default:
		return is_known_jump(insn);
	}
}

static void look_at_insn(const struct object *object, const struct object_function *function,
			 size_t insn, bool far)
{
	const struct bpf_insn *at = &function->insns[insn];
	bool second = insn && at[-1].code == (BPF_LD | BPF_IMM | BPF_DW);

	(void)object;
	(void)far;
	cr_assert(second || is_known(at), "%s: instruction %zu (code 0x%02x, off %d, imm %d)",
		  function->name, insn, at->code, at->off, at->imm);
}

Test(floor, no_program_holds_an_instruction_that_came_after_5_14)
{
	const struct bpf_insn newer[] = {
		{.code = BPF_ALU64 | BPF_DIV | BPF_K, .off = 1}, /* signed division */
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .off = 8}, /* sign extension */
		{.code = BPF_ALU64 | BPF_END},			 /* swap in any case */
		{.code = BPF_JMP32 | BPF_JA},			 /* long jump */
		{.code = BPF_LDX | 0x80 | BPF_W},		 /* load with sign */
		{.code = BPF_JMP | 0xe0},			 /* may go to */
		{.code = BPF_STX | BPF_ATOMIC | BPF_DW, .imm = ATOMIC_LOAD},
	};

	for (size_t i = 0; i < sizeof(newer) / sizeof(newer[0]); i++)
		cr_assert(!is_known(&newer[i]), "newer instruction %zu is not seen", i);
	look_at_all(look_at_insn);
}

/* ---- the shape of loops ---- */

enum { SEEN_NOT, ON_THE_WAY, DONE };

/* Depth first, the way straight on before the jump, as the verifier walks. */
static void walk(const struct object_function *function, size_t from, size_t to, bool by_jump,
		 __u8 *seen)
{
	const struct bpf_insn *insn = &function->insns[to];
	__u8 class = BPF_CLASS(insn->code);
	__u8 operation = BPF_OP(insn->code);
	bool jumps = (class == BPF_JMP || class == BPF_JMP32) && operation != BPF_CALL;

	cr_assert(to < function->n_insns, "%s: leaves itself", function->name);
	cr_assert(seen[to] != ON_THE_WAY || by_jump,
		  "%s: instruction %zu closes a loop without a jump; kernels before 6.7 refuse "
		  "that (back-edge): see FLOW_LOOPS",
		  function->name, from);
	if (seen[to] != SEEN_NOT)
		return;
	seen[to] = ON_THE_WAY;
	if (!jumps || operation != BPF_JA)
		if (!jumps || operation != BPF_EXIT)
			walk(function, to, to + 1, jumps, seen);
	if (jumps && operation != BPF_EXIT)
		walk(function, to, to + 1 + insn->off, true, seen);
	seen[to] = DONE;
}

static void walk_all(const struct object_function *function)
{
	scoped(free) __u8 *seen = mem_calloc(function->n_insns + 1, 1);

	walk(function, 0, 0, true, seen);
}

Test(floor, no_loop_is_closed_without_a_jump)
{
	scoped(object_free) struct object *object = object_open(ENFORCE_OBJECT);

	for (size_t i = 0; i < object->n_functions; i++)
		walk_all(&object->functions[i]);
}

/* ---- maps and programs ---- */

/* Old kinds alone, and of those no LPM trie and no hash: what a packet costs is known. */
static void look_at_map(const struct bpf_map *map)
{
	__u32 known = BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG | BPF_F_MMAPABLE;

	switch (bpf_map__type(map)) {
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_ARRAY_OF_MAPS:
	case BPF_MAP_TYPE_RINGBUF:
		break;
	default:
		cr_assert_fail("%s: maps of type %d are none of those that are known to be old",
			       bpf_map__name(map), bpf_map__type(map));
	}
	cr_assert_eq(bpf_map__map_flags(map) & ~known, 0, "%s: map flags 0x%x", bpf_map__name(map),
		     bpf_map__map_flags(map));
}

/* Those of the section are set when it is loaded. */
static void look_at_program(const struct bpf_program *program)
{
	for (int i = 0; i < N_PROGRAMS; i++) {
		if (strcmp(programs[i].name, bpf_program__name(program)) != 0)
			continue;
		cr_assert_str_eq(bpf_program__section_name(program), programs[i].section);
		cr_assert_eq(bpf_program__flags(program), 0);
		return;
	}
	cr_assert_fail("%s: not known here", bpf_program__name(program));
}

Test(floor, maps_and_programs_are_of_kinds_that_5_14_has)
{
	struct bpf_object *object = bpf_object__open_file(ENFORCE_OBJECT, NULL);
	struct bpf_program *program;
	struct bpf_map *map;
	int n = 0;

	cr_assert(object);
	bpf_object__for_each_map(map, object)
	{
		look_at_map(map);
		if (bpf_map__inner_map(map))
			look_at_map(bpf_map__inner_map(map));
	}
	bpf_object__for_each_program(program, object)
	{
		look_at_program(program);
		n++;
	}
	cr_assert_eq(n, N_PROGRAMS);
	bpf_object__close(object);
}
