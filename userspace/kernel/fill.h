/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages of the slot that no packet reads: made, written, read back, frozen, put.
 */
#ifndef KERNEL_FILL_H
#define KERNEL_FILL_H

#include "classify/image.h"
#include "kernel/load.h"

/* The image's tables; each page is read back and compared before it is put. */
int fill_image(const struct load *load, const struct image *image, uint32_t slot,
	       struct diag *diag);

/* Empty pages for n_rows rows of each link whose bit is set in numbers. */
int fill_counters(const struct load *load, uint32_t slot, uint32_t numbers, uint32_t n_rows,
		  struct diag *diag);

/* n_pages new, empty pages of state. */
int fill_state(const struct load *load, uint32_t slot, uint32_t n_pages, struct diag *diag);

/*
 * The n_pages state pages of one slot into the other, too, where they differ; pages beyond, of larger
 * tables, are let go of in both.
 */
int fill_state_same(const struct load *load, uint32_t from, uint32_t n_pages, struct diag *diag);

/*
 * Lets go of the image in the slot that is out of force, by putting the n_pages of the other there;
 * it returns when no packet sees the old ones any more.
 */
int fill_image_same(const struct load *load, uint32_t from, uint32_t n_pages, struct diag *diag);

/* The own addresses. */
int fill_self(const struct load *load, const struct bh_self *self, struct diag *diag);

#endif
