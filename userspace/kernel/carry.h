/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Flows that come into tables of another size, from those of the generation before; what packets do
 * meanwhile is bpf/flowcarry.bpf.h's. While it is on, a packet that finds no flow looks in the
 * other slot, too: its pages and its image must stay as they are until it is off, and a grace
 * period longer.
 */
#ifndef KERNEL_CARRY_H
#define KERNEL_CARRY_H

#include "kernel/load.h"

/* On as soon as generation is in force; 0: off. */
int carry_set(const struct load *load, uint64_t generation, struct diag *diag);

/* Whether it is on: at the beginning of a run because another one has died. */
int carry_is_on(const struct load *load, struct diag *diag, bool *ret_on);

/*
 * Moves all flows and fragments that still lie in the other slot into that of generation, which is
 * in force for a grace period by then. *ret_n says how many.
 */
int carry_flows(const struct load *load, uint64_t generation, struct diag *diag, uint32_t *ret_n);

#endif
