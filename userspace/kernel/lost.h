/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pins that somebody has removed. A program on a link keeps its maps, pinned or not, and goes on enforcing
 * what they say; maps that were made in the place of some of them would be nobody's policy. So where one
 * pin of a map is missing and there are programs on links, all maps are made anew, and the programs that
 * are still there are remembered as ours until new ones have taken their places.
 */
#ifndef KERNEL_LOST_H
#define KERNEL_LOST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"

/* folder: PINS/v<ABI>. Under the lock, before anything is opened; does nothing where all maps are there. */
int lost_set_aside(const char *folder, struct diag *diag);

/* Whether programs may still be on links whose maps have lost their pins. */
bool lost_is_left(const char *folder);

/* Whether that program is pinned there among its programs, or set aside. */
bool lost_has(const char *folder, uint32_t program);

/* Once they are replaced. */
int lost_forget(const char *folder, struct diag *diag);

#endif
