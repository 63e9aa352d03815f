/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What has no pin is opened by its id, which takes CAP_SYS_ADMIN. A run opens what it will need while
 * it has that, and finds it here when it has not any more: pages by their ids, bpf links of ours
 * that lost their pins, names of programs, and whose those of filters are.
 */
#ifndef KERNEL_HELD_H
#define KERNEL_HELD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/scoped.h"

struct held;

struct held *held_new(void);
void held_free(struct held *held); /* closes all that it has */
SCOPED(struct held *, held_free);

void held_close_maps(struct held *held);

/* The descriptor is taken over. */
void held_add_map(struct held *held, uint32_t id, int fd);
void held_add_link(struct held *held, int fd);
void held_add_name(struct held *held, uint32_t program, const char *name);

/* The descriptor stays ours; -1: it is not here. */
int held_map(const struct held *held, uint32_t id);

/* Link number i of those that were added; -1 behind the last one. */
int held_link(const struct held *held, size_t i);

/* A program that is this instance's, and on a hook where no pin tells that. */
void held_add_own(struct held *held, uint32_t program);
bool held_is_own(const struct held *held, uint32_t program);

/* "" for a program of which none was added. */
const char *held_name(const struct held *held, uint32_t program);

#endif
