// SPDX-License-Identifier: GPL-2.0-only
/* What is left of a process's capabilities, in a process of its own each time. */
#include <criterion/criterion.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/capability.h>

#include "kernel/privileges.h"

struct sets {
	uint64_t effective;
	uint64_t permitted;
	uint64_t inheritable;
};

static struct sets read_sets(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {};

	(void)syscall(SYS_capget, &head, data);
	return (struct sets){
		.effective = (uint64_t)data[1].effective << 32 | data[0].effective,
		.permitted = (uint64_t)data[1].permitted << 32 | data[0].permitted,
		.inheritable = (uint64_t)data[1].inheritable << 32 | data[0].inheritable,
	};
}

static bool has_just(uint64_t wanted)
{
	struct sets sets = read_sets();

	return sets.effective == wanted && sets.permitted == wanted && !sets.inheritable;
}

static bool bounded_by_nothing(void)
{
	for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++)
		if (prctl(PR_CAPBSET_READ, capability))
			return false;
	return true;
}

/* The number of the check that does not hold; 0: all do. */
static int keep_less_and_less(uint64_t had)
{
	struct diag *diag = diag_new();
	uint64_t bpf = UINT64_C(1) << CAP_BPF & had;
	uint64_t net = UINT64_C(1) << CAP_NET_ADMIN & had;
	uint64_t perfmon = UINT64_C(1) << CAP_PERFMON & had;

	if (privileges_keep(PRIVILEGE_BPF | PRIVILEGE_NET_ADMIN | PRIVILEGE_PERFMON, diag))
		return 1;
	if (!has_just(bpf | net | perfmon) || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 2;
	if (had >> CAP_SETPCAP & 1 && !bounded_by_nothing())
		return 3;
	if (privileges_keep(PRIVILEGE_BPF | PRIVILEGE_NET_ADMIN, diag) || !has_just(bpf | net))
		return 4;
	/* What is gone does not come back. */
	if (privileges_keep(PRIVILEGE_BPF | PRIVILEGE_PERFMON | PRIVILEGE_BY_ID, diag) ||
	    !has_just(bpf))
		return 5;
	return privileges_keep(0, diag) || !has_just(0) ? 6 : 0;
}

Test(privileges, a_run_keeps_what_it_had_of_what_it_asks_for)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0)
		_exit(keep_less_and_less(read_sets().permitted));
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status));
	cr_assert_eq(WEXITSTATUS(status), 0, "check %d", WEXITSTATUS(status));
}

static int set_only(uint64_t wanted)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct data[2] = {
		{.effective = (uint32_t)wanted, .permitted = (uint32_t)wanted},
		{.effective = (uint32_t)(wanted >> 32), .permitted = (uint32_t)(wanted >> 32)},
	};

	return (int)syscall(SYS_capset, &head, data);
}

Test(privileges, the_right_to_all_stands_for_those_that_were_parted_from_it)
{
	const uint64_t admin = UINT64_C(1) << CAP_SYS_ADMIN;
	const uint64_t bpf = UINT64_C(1) << CAP_BPF;
	int status = 0;
	pid_t child;

	if ((read_sets().permitted & (admin | bpf)) != (admin | bpf))
		cr_skip_test("this needs root's capabilities");
	child = fork();
	if (child == 0) {
		struct diag *diag = diag_new();

		/* For CAP_PERFMON at first, and then, with CAP_BPF there, for nothing any more. */
		_exit(set_only(admin | bpf) ||
		      privileges_keep(PRIVILEGE_BPF | PRIVILEGE_PERFMON, diag) ||
		      !has_just(admin | bpf) || privileges_keep(PRIVILEGE_BPF, diag) ||
		      !has_just(bpf));
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", (unsigned)status);
	child = fork();
	if (child == 0)
		_exit(set_only(admin) || privileges_keep(PRIVILEGE_BPF, diag_new()) ||
		      !has_just(admin));
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", (unsigned)status);
}

/* Whoever has none from the beginning, as every user but root, may ask all the same. */
Test(privileges, a_run_without_any_is_not_refused)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		struct diag *diag = diag_new();

		if (geteuid() == 0)
			(void)!(setgid(65534) || setuid(65534));
		_exit(privileges_keep(PRIVILEGE_BPF, diag) != 0 || !has_just(0) ||
		      diag_n_errors(diag) != 0);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", (unsigned)status);
}
