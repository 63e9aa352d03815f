// SPDX-License-Identifier: GPL-2.0-only
/*
 * The end may pass what 32 bits hold: build compares it with the limit before anything is
 * written, and the addresses are worth nothing then.
 */
#include "classify/layout.h"

static uint64_t align_to(uint64_t address, uint32_t align)
{
	return (address + align - 1) / align * align;
}

uint32_t layout_take(struct layout *layout, uint64_t size, uint32_t align)
{
	uint64_t address = align_to(layout->end, align);

	if (address < BH_PAGE_SIZE && address + size > layout->near_end &&
	    layout->near_end < BH_PAGE_SIZE)
		address = BH_PAGE_SIZE;
	layout->end = address + size;
	return (uint32_t)address;
}

uint32_t layout_take_whole(struct layout *layout, uint64_t size, uint32_t align)
{
	uint64_t address = align_to(layout->end, align);

	if (address / BH_PAGE_SIZE != (address + size - 1) / BH_PAGE_SIZE)
		layout->end = align_to(address, BH_PAGE_SIZE);
	return layout_take(layout, size, align);
}
