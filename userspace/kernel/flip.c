// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/flip.h"

#include <errno.h>
#include <sys/mman.h>

#include "bpf/abi.h"

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
int flip_map(const struct load *load, struct diag *diag, struct bh_active **ret_word)
{
	void *memory = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED,
			    load_map_fd(load, LOAD_MAP_ACTIVE), 0);

	if (memory == MAP_FAILED)
		return diag_sys(diag, errno, "cannot map bh_active");
	*ret_word = memory;
	return 0;
}

void flip_unmap(struct bh_active *word)
{
	(void)munmap(word, (size_t)sysconf(_SC_PAGESIZE));
}

void flip_to(struct bh_active *word, uint64_t generation)
{
	__atomic_store_n(&word->generation, generation, __ATOMIC_SEQ_CST);
}

int flip_open(const struct load *load, struct diag *diag)
{
	scoped(flip_unmap) struct bh_active *word = NULL;
	int err = flip_map(load, diag, &word);

	if (!err)
		flip_to(word, BH_ACTIVE_OPEN);
	return err;
}

/*
 * Putting a page where it already is changes nothing, but the kernel waits for the programs that
 * run before it returns (maybe_wait_bpf_programs() in kernel/bpf/syscall.c, for maps of maps).
 */
int flip_wait(const struct load *load, uint64_t generation, struct diag *diag)
{
	uint32_t index = (uint32_t)(generation & 1) * BH_IMAGE_PAGES;
	scoped(close) int fd = -1;
	int err = load_page_fd(load, LOAD_MAP_IMAGE, index, diag, &fd);

	if (err == -ENOENT)
		return diag_refuse(diag, -EIO, "the image in force has lost its first page");
	return err ? err : load_put_pages(load, LOAD_MAP_IMAGE, &index, &fd, 1, diag);
}
