/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The lease of those who watch: while it lasts, the programs make an event for every deny and not
 * only for rules with log. It runs out by itself, so a watcher that is killed leaves no cost behind.
 */
#ifndef KERNEL_WATCH_H
#define KERNEL_WATCH_H

#include "kernel/load.h"

/*
 * Events go to one reader alone: claims them, until the descriptor is closed. -EBUSY with words when another
 * process has them.
 */
int watch_claim(const struct load *load, struct diag *diag, int *ret_fd);

/* Lets it last that long from now, unless another watcher's lasts longer. */
int watch_renew(const struct load *load, const struct bh_machine *machine, unsigned seconds,
		struct diag *diag);

#endif
