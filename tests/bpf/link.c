// SPDX-License-Identifier: GPL-2.0-only
#include "tests/bpf/link.h"

#include <criterion/criterion.h>

#include <net/if.h>
#include <sched.h>

#include <bpf/libbpf.h>

enum { TRIES = 1000000 };

void link_namespace(const char *command)
{
	cr_assert_eq(unshare(CLONE_NEWNET), 0);
	cr_assert_eq(system(command), 0, "%s", command);
}

void link_attach(const struct scene *scene, const char *link, enum enforcer_program program)
{
	bool out = program == ENFORCER_TC_OUT;
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)if_nametoindex(link),
		    .attach_point = out ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = enforcer_program_fd(scene->enforcer, program));

	cr_assert_eq(bpf_tc_hook_create(&hook), 0);
	cr_assert_eq(bpf_tc_attach(&hook, &opts), 0);
}

bool link_counted(const struct scene *scene, uint64_t n)
{
	for (int tries = 0; tries < TRIES; tries++) {
		if (enforcer_total(scene->enforcer, 0).packets >= n)
			return true;
		(void)sched_yield();
	}
	return false;
}
