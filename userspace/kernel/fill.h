/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages of the slot that no packet reads: made, written, read back, frozen, put. The load keeps
 * those that were made, for what comes behind the flip.
 */
#ifndef KERNEL_FILL_H
#define KERNEL_FILL_H

#include "classify/image.h"
#include "kernel/load.h"

/* The image's tables; each page is read back and compared before it is put. */
int fill_image(const struct load *load, const struct image *image, uint32_t slot,
	       struct diag *diag);

/*
 * Counters of a generation that begins: pages for n_rows rows of each link whose bit is set in
 * numbers, and nothing but zero in these and in all others of the slot, whose rows are folded by
 * then.
 */
int fill_counters(const struct load *load, uint32_t slot, uint32_t numbers, uint32_t n_rows,
		  struct diag *diag);

/*
 * Pages for these links, in a slot that counts. What stands there goes on: links that a refused run has
 * taken off again have counted there, too.
 */
int fill_counters_beside(const struct load *load, uint32_t slot, uint32_t numbers, uint32_t n_rows,
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

/* Holds what fill_state_same and fill_image_same would copy as things are. */
int fill_hold_same(const struct load *load, uint32_t from, uint32_t n_state_pages,
		   uint32_t n_image_pages, struct diag *diag);

/* A page of own addresses that nothing reads yet, which the load keeps; and that page, put. */
int fill_self(const struct load *load, const struct bh_self *self, struct diag *diag, int *ret_fd);
int fill_put_self(const struct load *load, int fd, struct diag *diag);

/*
 * Pages that lie in the kernel and serve nothing: of an apply that died before its flip, or of a
 * generation that was replaced. The next apply removes them.
 */
int fill_count_unused(const struct load *load, struct diag *diag, uint32_t *ret_n_pages);

#endif
