/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where tables lie in the image: a cursor over its linear space. What is placed first lies in
 * page 0 and is the cheapest to read, so tables are placed in the order of their use.
 */
#ifndef CLASSIFY_LAYOUT_H
#define CLASSIFY_LAYOUT_H

#include <stdint.h>

#include "bpf/abi.h"

struct layout {
	uint64_t end;
	uint64_t near_end; /* page 0 is taken up to here */
};

/* The address of a table of elements of size align, which may go over pages. */
uint32_t layout_take(struct layout *layout, uint64_t size, uint32_t align);

/* The same of a table that may not: it is searched, or read through one look-up of its page. */
uint32_t layout_take_whole(struct layout *layout, uint64_t size, uint32_t align);

#endif
