// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the verifier has to look at, held to a number and to what it was: raising either is a line
 * in a diff. tests/kernels/matrix.py --record writes the second one down.
 */
#include <bpf/libbpf.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "tests/lib/enforcer.h"

enum { BUDGET = 100000, GROWTH = 20 /* percent */, N_PROGRAMS = ENFORCER_CARRY + 1 };

static const char *const names[N_PROGRAMS] = {"bh_xdp", "bh_xdp_frags", "bh_tc_in", "bh_tc_out",
					      "bh_carry"};

/* For --record: Criterion keeps what a test prints to itself. */
static void tell(const char *kernel, const char *name, uint32_t n)
{
	const char *path = getenv("INSTRUCTIONS_OUT");
	scoped(fclose) FILE *out = path ? fopen(path, "ae") : NULL;

	if (out)
		(void)fprintf(out, "%s %s %u\n", kernel, name, n);
}

/* What INSTRUCTIONS says of a kernel; of one that it does not know, the most of any. */
struct record {
	uint32_t counts[N_PROGRAMS];
	bool known;
};

static void read_row(const char *line, const char *kernel, struct record *record)
{
	size_t len = strcspn(line, " ");
	char *end = NULL;

	if (record->known)
		return;
	record->known = len == strlen(kernel) && strncmp(line, kernel, len) == 0;
	line += len;
	for (int i = 0; i < N_PROGRAMS; i++, line = end) {
		uint32_t count = strtoul(line, &end, 10);

		cr_assert(end != line, "%s: %s has too few columns", INSTRUCTIONS, kernel);
		if (record->known || count > record->counts[i])
			record->counts[i] = count;
	}
}

static struct record read_record(const char *kernel)
{
	scoped(fclose) FILE *in = fopen(INSTRUCTIONS, "re");
	struct record record = {};
	char line[128];

	cr_assert(in, "no %s", INSTRUCTIONS);
	while (fgets(line, sizeof(line), in)) {
		if (line[0] == '#')
			continue;
		if (strncmp(line, "kernel ", 7) != 0) {
			read_row(line, kernel, &record);
			continue;
		}
		for (int i = 0; i < N_PROGRAMS; i++)
			cr_assert(strstr(line, names[i]), "%s: no column %s", INSTRUCTIONS,
				  names[i]);
	}
	return record;
}

/* The two numbers of the running kernel. */
static void own_kernel(char *kernel, size_t size)
{
	const char *digits = "0123456789";
	struct utsname own;
	size_t len;

	cr_assert_eq(uname(&own), 0);
	len = strspn(own.release, digits) + 1;
	len += strspn(own.release + len, digits);
	(void)snprintf(kernel, size, "%.*s", (int)len, own.release);
}

Test(budget, no_program_costs_the_verifier_more_than_its_budget_or_grows_unseen)
{
	char kernel[16];
	struct record record;

	if (!enforcer_is_possible())
		cr_skip_test("loading programs needs root");
	scoped(enforcer_free) struct enforcer *enforcer = enforcer_new();

	own_kernel(kernel, sizeof(kernel));
	record = read_record(kernel);
	for (int i = 0; i < N_PROGRAMS; i++)
		if (enforcer_has(enforcer, i))
			tell(kernel, names[i], enforcer_instructions(enforcer, i));
	for (int i = 0; i < N_PROGRAMS; i++) {
		uint32_t most = record.counts[i] + record.counts[i] * GROWTH / 100;
		uint32_t n;

		if (!enforcer_has(enforcer, i))
			continue;
		n = enforcer_instructions(enforcer, i);
		cr_assert(n, "%s: the kernel does not tell", names[i]);
		cr_assert(n <= BUDGET, "%s: %u verified instructions, allowed are %d", names[i], n,
			  BUDGET);
		cr_assert(n <= most, "%s: %u verified instructions under Linux %s, were %u",
			  names[i], n, kernel, record.counts[i]);
	}
}

/* What compilers newer than clang 14 are asked for takes less stack, and the kernel takes it. */
Test(budget, programs_that_call_what_stands_in_place_elsewhere_are_loaded)
{
	struct bpf_object *object;
	int err;

	if (!enforcer_is_possible())
		cr_skip_test("loading programs needs root");
	scoped(enforcer_free) struct enforcer *enforcer = enforcer_new();

	object = bpf_object__open_file(SHORT_STACK, NULL);
	cr_assert(object, "no %s", SHORT_STACK);
	for (int i = 0; i < N_PROGRAMS; i++) {
		struct bpf_program *program = bpf_object__find_program_by_name(object, names[i]);

		cr_assert(program, "no %s", names[i]);
		(void)bpf_program__set_autoload(program, enforcer_has(enforcer, i));
	}
	err = bpf_object__load(object);
	bpf_object__close(object);
	cr_assert_eq(err, 0, "%s", strerror(-err));
}
