// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kernels that are not here, by their answers: which are refused, in which words, and that nothing
 * has been touched by then.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/array.h"
#include "kernel/apply.h"
#include "kernel/probe.h"
#include "tests/unit/kernel/folder.h"

static struct probe answers(const char *release)
{
	struct probe probe = {.jit = true, .unprivileged_disabled = 2};

	(void)snprintf(probe.release, sizeof(probe.release), "%s", release);
	for (int i = 0; i < PROBE_COUNT; i++)
		probe.has[i] = true;
	return probe;
}

/* The one sentence of the refusal. */
static const char *refusal(const struct probe *probe, struct diag *diag)
{
	const struct diag_message *messages;
	size_t n = 0;

	cr_assert_eq(probe_check(probe, diag), -EOPNOTSUPP);
	messages = diag_messages(diag, &n);
	cr_assert_eq(n, 1, "%zu messages", n);
	return messages[0].text;
}

Test(probe, a_kernel_that_has_everything_is_taken)
{
	scoped(diag_free) struct diag *diag = diag_new();
	struct probe probe = answers("6.18.0");

	cr_assert_eq(probe_check(&probe, diag), 0);
	cr_assert_eq(diag_n_errors(diag), 0);
}

Test(probe, a_kernel_without_what_has_a_fallback_is_taken)
{
	scoped(diag_free) struct diag *diag = diag_new();
	struct probe probe = answers("5.14.0");

	probe.has[PROBE_TCX] = false;
	probe.has[PROBE_XDP_FRAGS] = false;
	probe.has[PROBE_TEST_RUN] = false;
	cr_assert_eq(probe_check(&probe, diag), 0);
	probe = answers("6.18.0");
	probe.has[PROBE_CLSACT] = false;
	cr_assert_eq(probe_check(&probe, diag), 0);
}

Test(probe, an_older_kernel_is_refused_in_one_sentence_that_names_all_it_lacks)
{
	scoped(diag_free) struct diag *diag = diag_new();
	struct probe probe = answers("5.10.0-30-amd64");

	probe.has[PROBE_TCX] = false;
	probe.has[PROBE_XDP_FRAGS] = false;
	probe.has[PROBE_ATOMICS] = false;
	probe.has[PROBE_GLOBAL_POINTERS] = false;
	cr_assert_str_eq(refusal(&probe, diag),
			 "kernel 5.10.0-30-amd64 lacks atomic operations that return a value "
			 "(5.12), pointers as arguments of global functions (5.13); bulkhead needs "
			 "Linux 5.14 or later, and nothing was attached");
}

Test(probe, each_needed_feature_is_missed_by_its_name)
{
	for (int i = 0; i < PROBE_COUNT; i++) {
		enum probe_feature feature = (enum probe_feature)i;
		scoped(diag_free) struct diag *diag = diag_new();
		struct probe probe = answers("5.14.0");
		const char *words;

		probe.has[i] = false;
		if (!probe_is_needed(feature)) {
			cr_assert_eq(probe_check(&probe, diag), 0, "%s", probe_words(feature));
			continue;
		}
		words = refusal(&probe, diag);
		cr_assert(strstr(words, probe_words(feature)), "%s", words);
		cr_assert(strstr(words, probe_since(feature)), "%s", words);
	}
}

Test(probe, one_of_the_hooks_for_what_leaves_is_needed)
{
	scoped(diag_free) struct diag *diag = diag_new();
	struct probe probe = answers("5.14.0");

	probe.has[PROBE_TCX] = false;
	probe.has[PROBE_CLSACT] = false;
	cr_assert_str_eq(refusal(&probe, diag),
			 "kernel 5.14.0 lacks a hook for what leaves: neither tcx links (6.6) nor "
			 "the clsact queueing discipline with cls_bpf (4.5); bulkhead needs Linux "
			 "5.14 or later, and nothing was attached");
}

Test(probe, an_apply_on_an_older_kernel_touches_nothing)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	scoped(folder_free) char *folder = folder_new();
	struct probe probe = answers("5.10.0");
	const struct image image = {};
	const struct host_facts facts = {};
	const host_links links = {};
	const struct apply_request request = {
		.pins = arena_printf(arena, "%s/pins", folder),
		.state = arena_printf(arena, "%s/state", folder),
		.image = &image,
		.facts = &facts,
		.links = &links,
		.probe = &probe,
	};
	struct apply_result result = {.generation = 77};

	probe.has[PROBE_ATOMICS] = false;
	cr_assert_eq(apply_image(arena, &request, diag, &result), -EOPNOTSUPP);
	cr_assert_eq(diag_n_errors(diag), 1);
	cr_assert_eq(result.generation, 77);
	cr_assert_eq(access(request.pins, F_OK), -1);
	cr_assert_eq(access(request.state, F_OK), -1);
}

/* A kernel has it; an emulator of single programs does not. */
static bool bpf_is_known(void)
{
	return syscall(SYS_bpf, -1, NULL, 0) == 0 || errno != ENOSYS;
}

static void leave_root(void)
{
	if (geteuid() == 0)
		(void)!(setgid(65534) || setuid(65534));
}

/* Without the rights every answer would be no, and the refusal a lie about the kernel. */
Test(probe, who_may_not_ask_is_told_so_and_not_that_the_kernel_is_old)
{
	int status = 0;
	pid_t child;

	if (!bpf_is_known())
		cr_skip_test("nothing here knows bpf(2)");
	child = fork();
	if (child == 0) {
		struct diag *diag = diag_new();
		struct probe probe = {};
		size_t n = 0;

		leave_root();
		_exit(probe_kernel(diag, &probe) != -EPERM ||
		      !strstr(diag_messages(diag, &n)[0].text, "root is needed") || n != 1);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", (unsigned)status);
}

/* With ever fewer descriptors: the kernel is either taken, or said to have too few of them. */
Test(probe, a_machine_without_descriptors_is_not_taken_for_an_old_kernel)
{
	enum { MOST = 24 };
	int refused = 0;

	if (geteuid() != 0)
		cr_skip_test("asking the kernel needs root");
	if (!bpf_is_known())
		cr_skip_test("nothing here knows bpf(2)");
	for (rlim_t most = 3; most < MOST; most++) {
		int status = 0;
		pid_t child = fork();

		if (child == 0) {
			const struct rlimit limit = {most, most};
			struct diag *diag = diag_new();
			struct probe probe = {};
			int err = setrlimit(RLIMIT_NOFILE, &limit);

			err = err ? err : probe_kernel(diag, &probe);
			_exit(err ? (uint8_t)-err : probe_check(&probe, diag) != 0);
		}
		cr_assert_eq(waitpid(child, &status, 0), child);
		cr_assert(WIFEXITED(status) &&
				  (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == EMFILE),
			  "%d descriptors: status %#x", (int)most, (unsigned)status);
		refused += WEXITSTATUS(status) == EMFILE;
	}
	cr_assert(refused > 0 && refused < MOST - 3, "%d of %d refused", refused, MOST - 3);
}

/* As with user.max_net_namespaces=0. */
static int refuse_namespaces(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSPC),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {ARRAY_LEN(filter), filter};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

Test(probe, a_machine_without_namespaces_is_not_taken_for_an_old_kernel)
{
	int status = 0;
	pid_t child;

	if (geteuid() != 0)
		cr_skip_test("asking the kernel needs root");
	if (!bpf_is_known())
		cr_skip_test("nothing here knows bpf(2)");
	child = fork();
	if (child == 0) {
		struct diag *diag = diag_new();
		struct probe probe = {};
		size_t n = 0;
		int err = refuse_namespaces();

		if (err)
			_exit(2);
		err = probe_kernel(diag, &probe); /* needs one only where there is no tcx */
		if (!err)
			err = probe_clsact(diag, &probe);
		_exit(err != -ENOSPC ||
		      !strstr(diag_messages(diag, &n)[0].text, "network namespace of its own") ||
		      n != 1);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", (unsigned)status);
}

Test(probe, this_kernel_is_taken_and_nothing_stays_behind)
{
	scoped(diag_free) struct diag *diag = diag_new();
	struct probe probe = {};
	int err;

	if (geteuid() != 0)
		cr_skip_test("asking the kernel needs root");
	if (!bpf_is_known())
		cr_skip_test("nothing here knows bpf(2)");
	err = probe_kernel(diag, &probe);
	if (err == -EPERM)
		cr_skip_test("this root may not use bpf");
	cr_assert_eq(err, 0);
	cr_assert_eq(probe_check(&probe, diag), 0);
	cr_assert_gt(strlen(probe.release), 0);
	cr_assert_eq(access("/proc/self/fd/3", F_OK) == 0 && lseek(3, 0, SEEK_CUR) == -1 &&
			     errno == EBADF,
		     false);
}
