/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whose a program of ours is, and whose a state directory. Two instances may share a host, each
 * with pins and a state of its own, but not a hook: one of them would judge nothing there and not
 * know it.
 */
#ifndef KERNEL_INSTANCE_H
#define KERNEL_INSTANCE_H

#include "kernel/load.h"
#include "kernel/store.h"

/*
 * 0 when the program, called as ours are and running on that link, reads a map that is pinned below
 * the load's pins, of whatever ABI version, or has just gone. -ENODEV with words when it is another
 * instance's. Takes CAP_SYS_ADMIN.
 */
int instance_check(const struct load *load, const char *link, uint32_t program, struct diag *diag);

/*
 * -ENODEV with words when the record is that of an instance with other pins than these, which are still
 * there. Either would take the other's policy, links and counters for its own.
 */
int instance_check_state(const struct store *store, const struct store_record *record,
			 const char *pins, struct diag *diag);

/*
 * Warns when a policy is in force by these pins of which the record, settled, knows nothing: it is that of
 * a state that was lost, or of another one than belongs to them.
 */
void instance_warn_of_state(const struct store *store, const struct store_record *record,
			    uint64_t active, const char *pins, struct diag *diag);

/* The path of the pins, which have to be there, as the record keeps it. */
const char *instance_pins(struct arena *arena, const char *pins);

#endif
