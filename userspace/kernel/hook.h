/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One hook of one link: the parts of attach.c that know XDP, tcx and clsact. Nothing here decides
 * where a program belongs.
 */
#ifndef KERNEL_HOOK_H
#define KERNEL_HOOK_H

#include "kernel/attach.h"

/*
 * A bpf link that nothing holds any more leaves its hook later: a pin lets go of it a grace period
 * after it was removed, and until then it can be opened like any other; then its id opens nothing,
 * and a work item takes the program off. So for a moment nobody can tell another instance's link
 * from one that goes.
 */
#define HOOK_OTHER_NS (3ULL * 1000 * 1000 * 1000) /* so long it is looked for again */
#define HOOK_LOOK_NS  (5L * 1000 * 1000)	  /* between two looks */

/* A place for a program. */
struct hook {
	const struct host_link *link;
	enum bh_direction direction;
	enum attach_mode mode; /* not AUTO */
};

/*
 * Puts the program there, or in place of an older one of ours. -errno with *ret_why in words when
 * it cannot be: what is in the way, what the driver lacks; -ECANCELED when no other mode is to be
 * tried either. *done has the program already; sets its first, added, changed and pin.
 */
int hook_put_link(const struct load *load, struct arena *arena, const struct hook *hook,
		  const char **ret_why, struct attach_hook *done);
int hook_put_clsact(const struct load *load, struct arena *arena, const struct hook *hook,
		    const char **ret_why, struct attach_hook *done);

/* Takes off the link of that pin, or the filter of that program; no error when it is gone already. */
int hook_remove_link(const struct load *load, const struct attach_hook *hook, struct diag *diag);
int hook_remove_clsact(const struct attach_hook *hook, struct diag *diag);

/* The clsact disciplines that we made, from links on which nothing of ours or of others is left. */
int hook_remove_qdiscs(const struct load *load, struct arena *arena, const struct host_facts *facts,
		       struct diag *diag);

/* What a bpf link of XDP or tcx tells of itself. */
struct hook_link_info {
	uint32_t id;
	uint32_t ifindex; /* in the namespace in which its device is; 0: that is gone */
	uint32_t program;
};

int hook_link_info(int fd, struct hook_link_info *ret_info);

/* Where their pins are. */
const char *hook_link_folder(struct arena *arena, const struct load *load);

/*
 * Adds those of ours that sit there: all pinned links, or the filters of one link and direction. One that
 * cannot be asked keeps none of the others from being added; the first error is returned, each has words.
 */
int hook_list_links(const struct load *load, struct arena *arena, const struct host_facts *facts,
		    struct diag *diag, attach_hooks *hooks);
int hook_list_clsact(const struct load *load, struct arena *arena, const struct hook *hook,
		     const struct host_qdisc *qdisc, struct diag *diag, attach_hooks *hooks);

/*
 * A link of a device that has come back under another number is pinned under that one, too: the pin of its
 * old number goes, or a device that gets that number would seem to have it.
 */
int hook_remove_second_pins(const struct load *load, struct arena *arena,
			    const struct host_facts *facts, struct diag *diag);

/* The name of a program, "" when it has just gone. A negative errno without words, as without CAP_SYS_ADMIN. */
int hook_read_name(struct arena *arena, uint32_t id, const char **ret_name);

/* The same, "" when it cannot be told. */
const char *hook_program_name(struct arena *arena, uint32_t id);

/*
 * Holds what hook_put_link may meet on that hook: links of ours, with a pin here or, which only an id
 * opens, without; and the names of the programs. -ENODEV, with words, where another instance's
 * program is (see kernel/instance.h) or one of ours without a bpf link: both only after a wait,
 * since a link that has lost its last pin looks like one and then like the other.
 */
int hook_hold_link(const struct load *load, const struct hook *hook, struct diag *diag);

/*
 * Whose program hook_put_link would find in the way of XDP, in its words, the names being held; NULL where
 * none is, or one that it would replace.
 */
const char *hook_why_not_xdp(const struct load *load, struct arena *arena, const struct hook *hook);

/* Refuses alike, and holds nothing: of a hook to which nothing is going to be put. */
int hook_check_link(const struct load *load, const struct hook *hook, struct diag *diag);

/* Refuses alike where another instance's filter is at clsact. */
int hook_check_clsact(const struct load *load, const struct hook *hook, struct diag *diag);

/* Holds which filters of that hook are of the load's pins; see attach_own. */
int hook_own_clsact(const struct load *load, const struct hook *hook,
		    const struct host_qdisc *qdisc, struct diag *diag);

/* Whether a program is called as ours are. */
bool hook_is_our_name(const char *name);

/* Which of the load's programs belongs to a place. */
enum bh_hook hook_of(enum bh_direction direction, enum attach_mode mode);

#endif
