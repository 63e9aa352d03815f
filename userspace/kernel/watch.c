// SPDX-License-Identifier: GPL-2.0-only
/* The lease of watchers; see kernel/watch.h. */
#include <errno.h>

#include <bpf/bpf.h>

#include "kernel/clock.h"
#include "kernel/watch.h"

int watch_renew(const struct load *load, const struct bh_machine *machine, unsigned seconds,
		struct diag *diag)
{
	uint64_t jiffies = (uint64_t)seconds * machine->hz;
	struct bh_watch wanted = {
		.until = clock_tick(machine) + (jiffies >> machine->tick_shift) + 1,
	};
	int fd = load_map_fd(load, LOAD_MAP_WATCH);
	struct bh_watch now = {};
	__u32 key = 0;

	if (bpf_map_lookup_elem(fd, &key, &now))
		return diag_sys(diag, errno, "cannot read map '%s'", load_map_name(LOAD_MAP_WATCH));
	if (now.until >= wanted.until)
		return 0;
	if (bpf_map_update_elem(fd, &key, &wanted, BPF_ANY))
		return diag_sys(diag, errno, "cannot write map '%s'",
				load_map_name(LOAD_MAP_WATCH));
	return 0;
}
