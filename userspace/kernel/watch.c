// SPDX-License-Identifier: GPL-2.0-only
/* The lease of watchers; see kernel/watch.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include <bpf/bpf.h>

#include "kernel/clock.h"
#include "kernel/watch.h"

int watch_claim(const struct load *load, struct diag *diag, int *ret_fd)
{
	scoped(close) int fd = open(load_pins(load), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return diag_sys(diag, errno, "cannot open folder '%s'", load_pins(load));
	if (flock(fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK
			       ? diag_refuse(diag, -EBUSY,
					     "another 'watch' reads the events of '%s'; each event "
					     "goes to one reader",
					     load_pins(load))
			       : diag_sys(diag, errno, "cannot lock folder '%s'", load_pins(load));
	*ret_fd = take_fd(fd);
	return 0;
}

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
