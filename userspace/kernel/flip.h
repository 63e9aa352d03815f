/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one write, and the numbers that it writes.
 */
#ifndef KERNEL_FLIP_H
#define KERNEL_FLIP_H

#include "kernel/load.h"

/*
 * The number for the next generation: above every one that was ever handed out, and of the other
 * slot than the active one, whose pages are being read.
 */
uint64_t flip_next(uint64_t last, uint64_t active);

/* The word of the generation in force, mapped: all of a flip that may fail. */
int flip_map(const struct load *load, struct diag *diag, struct bh_active **ret_word);
void flip_unmap(struct bh_active *word);
SCOPED(struct bh_active *, flip_unmap);

/* Puts a generation into force: one store of eight bytes that every packet sees or does not. */
void flip_to(struct bh_active *word, uint64_t generation);

/*
 * Lets everything pass, by the same one store: before programs are put on links where nothing is in
 * force, and before they are taken off.
 */
int flip_open(const struct load *load, struct diag *diag);

/*
 * Returns when every packet that began before this generation came into force is through: one grace
 * period. Only then may the slot of the one before be touched, or such a packet would be judged by
 * pages of two images. generation is that which is in force, or that whose slot is asked about.
 */
int flip_wait(const struct load *load, uint64_t generation, struct diag *diag);

#endif
