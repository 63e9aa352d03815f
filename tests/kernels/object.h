/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The programs as they are built, read without a kernel: functions, their instructions, and who
 * calls whom. Whatever cannot be read ends the test with words.
 */
#ifndef TESTS_KERNELS_OBJECT_H
#define TESTS_KERNELS_OBJECT_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>

#include "base/scoped.h"

/* One function: an entry, or one that others call. */
struct object_function {
	const char *name;
	const char *section;
	const struct bpf_insn *insns;
	size_t n_insns;
	size_t at; /* the first instruction's number in its section */
};

struct object {
	struct object_function *functions;
	size_t n_functions;
	struct object_relocation *relocations;
	size_t n_relocations;
	int fd;
	void *elf; /* what functions points into */
};

struct object *object_open(const char *path);
void object_free(struct object *object);
SCOPED(struct object *, object_free);

const struct object_function *object_find(const struct object *object, const char *name);

/*
 * The function that the instruction calls or takes the address of. NULL: none of the object's,
 * and *ret_name is the symbol that the kernel would have to bring, or NULL when it names none.
 */
const struct object_function *object_callee(const struct object *object,
					    const struct object_function *function, size_t insn,
					    const char **ret_name);

/* Sets reached[i] for the function and every one that it leads to; i as in functions. */
void object_reach(const struct object *object, const struct object_function *function,
		  bool *reached);

#endif
