/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The network namespace that a folder of pins serves. Pins are seen from every namespace and hold
 * nothing that tells theirs: links tell numbers of interfaces, filters lie beside them. So each
 * version's folder holds a symbolic link "netns" whose target is device and inode of the namespace.
 */
#ifndef KERNEL_NETNS_H
#define KERNEL_NETNS_H

#include "host/facts.h"

/* -EXDEV with words when a version below pins serves another namespace than that of the facts. */
int netns_check(const char *pins, const struct host_facts *facts, struct diag *diag);

/* Says that the folder of a version serves this namespace; no error when it is said already. */
int netns_claim(const char *folder, const struct host_facts *facts, struct diag *diag);

#endif
