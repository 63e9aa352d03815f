// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/flip.h"

#include <errno.h>
#include <sys/mman.h>

uint64_t flip_next(uint64_t last, uint64_t active)
{
	uint64_t next = (last > active ? last : active) + 1;

	if (active && ((next ^ active) & 1) == 0)
		next++;
	return next;
}

/*
 * The map update call copies bytes, which nobody promises to be one store; a store into mapped
 * memory is.
 */
int flip_to(const struct load *load, uint64_t generation, struct diag *diag)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
			    load_map_fd(load, LOAD_MAP_ACTIVE), 0);
	struct bh_active *active = memory;

	if (memory == MAP_FAILED)
		return diag_sys(diag, errno, "cannot map bh_active");
	__atomic_store_n(&active->generation, generation, __ATOMIC_SEQ_CST);
	(void)munmap(memory, size);
	return 0;
}
