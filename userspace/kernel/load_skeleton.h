/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The skeleton, for load.c and run.c: the same programs with the same choices, on other maps. And
 * what a load holds, for those who open by id.
 */
#ifndef KERNEL_LOAD_SKELETON_H
#define KERNEL_LOAD_SKELETON_H

#include "kernel/load.h"

struct bpf_map;
struct bpf_program;
struct enforce;
struct held;

/*
 * Opens it and chooses the programs by what the kernel knows. *ret_log is where the verifier's
 * words will stand; it is the arena's, the skeleton the caller's.
 */
int load_skeleton_open(struct arena *arena, const struct probe *probe, struct diag *diag,
		       const char **ret_log, struct enforce **ret_skeleton);

/* Sets what is constant to the programs; before the load. skb: not known, and they ask no packet for it. */
void load_skeleton_configure(struct enforce *skeleton, const struct bh_skb *skb,
			     const struct bh_machine *machine);

/* Makes the maps that were not replaced by others, and loads the programs. */
int load_skeleton_load(struct enforce *skeleton, const char *log, struct diag *diag);

/* What the load has opened by its id. */
struct held *load_held(const struct load *load);

struct bpf_map *load_skeleton_map(const struct enforce *skeleton, enum load_map map);
struct bpf_program *load_skeleton_program(const struct enforce *skeleton, enum bh_hook hook);

/* A new, empty map of the form of the inner maps of an array of maps. */
int load_skeleton_page(const struct enforce *skeleton, enum load_map map, struct diag *diag,
		       int *ret_fd);

#endif
