// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/privileges.h"

#include <errno.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <linux/capability.h>

#include <cap-ng.h>

#include "base/array.h"

static const struct {
	unsigned privilege;
	unsigned capability;
} capabilities[] = {
	{PRIVILEGE_BPF, CAP_BPF},	  {PRIVILEGE_NET_ADMIN, CAP_NET_ADMIN},
	{PRIVILEGE_PERFMON, CAP_PERFMON}, {PRIVILEGE_LOOK, CAP_DAC_READ_SEARCH},
	{PRIVILEGE_LOOK, CAP_SYS_PTRACE}, {PRIVILEGE_BY_ID, CAP_SYS_ADMIN},
};

static bool is_permitted(unsigned capability)
{
	return capng_have_capability(CAPNG_PERMITTED, capability) == 1;
}

/* The kernel takes CAP_SYS_ADMIN for these, too, and a container may have it in their place. */
static bool has_stand_in(unsigned capability)
{
	return (capability == CAP_BPF || capability == CAP_PERFMON) && is_permitted(CAP_SYS_ADMIN);
}

/* Of those that are wished for, the ones that the process may have at all. */
static unsigned choose(unsigned keep, unsigned chosen[])
{
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_LEN(capabilities); i++) {
		unsigned capability = capabilities[i].capability;

		if (!(keep & capabilities[i].privilege))
			continue;
		if (is_permitted(capability))
			chosen[n++] = capability;
		else if (has_stand_in(capability))
			chosen[n++] = CAP_SYS_ADMIN;
	}
	return n;
}

int privileges_keep(unsigned keep, struct diag *diag)
{
	unsigned chosen[ARRAY_LEN(capabilities)];
	capng_select_t sets = CAPNG_SELECT_CAPS;
	unsigned n;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return diag_sys(diag, errno, "cannot give up new privileges");
	if (capng_get_caps_process())
		return diag_sys(diag, EIO, "cannot read this process's capabilities");
	/* Without it libcap-ng leaves the bounding set alone, and complains to syslog. */
	if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP))
		sets |= CAPNG_SELECT_BOUNDS;
	n = choose(keep, chosen);
	capng_clear(CAPNG_SELECT_ALL);
	for (unsigned i = 0; i < n; i++)
		if (capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, chosen[i]))
			return diag_sys(diag, EINVAL, "cannot choose a capability");
	/* Ambient capabilities end with the inheritable ones, which are none. */
	if (capng_apply(sets))
		return diag_sys(diag, EPERM, "cannot give up capabilities");
	return 0;
}

void privileges_raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}
