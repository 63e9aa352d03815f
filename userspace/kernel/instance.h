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

/* The end of words about programs whose pins are not to be found. */
const char *instance_remedy(void);

/* To whom a program that is called as ours belongs. */
struct instance_owner {
	bool gone; /* it has just gone: nothing else is known */
	bool ours; /* it is that of these pins, of whatever ABI version, lost pins of maps too */
	const char
		*pins; /* where it is not: the folder of pins that it has been found by; "": none */
	bool passes;   /* by its own word nothing is in force and everything passes */
};

/*
 * Other pins are looked for beside these ones, and in the usual place of bpffs. Words on an error alone.
 * Takes CAP_SYS_ADMIN.
 */
int instance_find(struct arena *arena, const char *pins, uint32_t program, struct diag *diag,
		  struct instance_owner *ret_owner);

/*
 * 0 when the program, called as ours are and running on that link, is that of the load's pins, or
 * has just gone. -ENODEV with words when it is another instance's, and by which pins, if that is known.
 * Takes CAP_SYS_ADMIN.
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

/*
 * Whether what was enforced by these pins has come to its end, as the record says: it was detached, or the
 * boot is another. False also where the record is that of other pins, or was never written.
 */
bool instance_has_ended(const struct store_record *record, const char *pins);

/* The path of the pins, which have to be there, as the record keeps it. */
const char *instance_pins(struct arena *arena, const char *pins);

#endif
