/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Links in a namespace of the test's own, with programs on them: for what BPF_PROG_RUN cannot make.
 * The namespace goes with the process of the test.
 */
#ifndef TESTS_BPF_LINK_H
#define TESTS_BPF_LINK_H

#include "tests/bpf/scene.h"

/* A new namespace, and a shell's command in it. What fails ends the test. */
void link_namespace(const char *command);

/* bh_tc_in or bh_tc_out at a link. */
void link_attach(const struct scene *scene, const char *link, enum enforcer_program program);

/* Yields until n packets or more were counted; false: after a long while they are fewer. */
bool link_counted(const struct scene *scene, uint64_t n);

#endif
