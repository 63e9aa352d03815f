/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Programs on the hooks of links: exactly one of ours per link and direction, adopted and
 * replaced in place, never a second beside it; nothing of others is ever replaced or removed.
 */
#ifndef KERNEL_ATTACH_H
#define KERNEL_ATTACH_H

#include "base/array.h"
#include "host/facts.h"
#include "kernel/load.h"

/* Where a program may sit. As a wish: AUTO takes the first that works, in this order. */
enum attach_mode {
	ATTACH_AUTO,
	ATTACH_NATIVE, /* XDP in the driver; ingress only */
	ATTACH_TCX,
	ATTACH_CLSACT,
	ATTACH_GENERIC, /* XDP on an skb; ingress, and only when asked for */
};

/* One of our programs on a link, as the kernel has it. */
struct attach_hook {
	uint32_t ifindex; /* 0: its link is gone */
	const char *name; /* of the link; "" when it is gone or elsewhere */
	enum bh_direction direction;
	enum attach_mode mode; /* never AUTO */
	uint32_t program;      /* id */
	bool current;	       /* it is the program of the load (when opened to change) */
	bool first;	       /* nothing runs before it at this hook */
	bool pinned;	       /* in this ABI's folder; always true with clsact */
	bool elsewhere;	       /* its link has moved into another network namespace */
	bool added;	       /* from attach_put: nothing of ours was there in this mode */
	bool changed;	       /* from attach_put: added, or in place of an older program */
	const char
		*why; /* from attach_put: why not a mode before it in AUTO's order, or what generic
			  * costs; "" else */
	const char *pin; /* the name of the pin of its bpf link; "" from clsact */
	uint32_t put_at; /* from attach_list: the ifindex of its link when it was put there */
};

typedef ARRAY(struct attach_hook) attach_hooks;

/*
 * Learns which filters on the links are those of the load's pins, of whatever ABI version; all others are
 * another instance's, however they are called. Comes before attach_list, and takes CAP_SYS_ADMIN. What cannot
 * be asked about one of them keeps none of the others from being asked about; the first error is returned,
 * each has words.
 */
int attach_own(const struct load *load, const struct host_facts *facts, struct diag *diag);

/*
 * Adds all of ours in the caller's namespace, from pins and from dumps of the links' filters: the load's own
 * programs, and those that attach_own has found. On an error, too, those that could be asked about.
 */
int attach_list(const struct load *load, struct arena *arena, const struct host_facts *facts,
		struct diag *diag, attach_hooks *hooks);

struct attach_wish {
	const struct host_link *link;
	enum bh_direction direction;
	enum attach_mode mode;
};

/*
 * Opens what attach_put may need of what is there and only an id opens, which takes CAP_SYS_ADMIN.
 * A link of ours that comes without a pin between the two is not known as ours. Waits, some seconds
 * at most, for a program whose link is about to go; -ENODEV, with words, when it does not, or where
 * another instance's is, in whatever mode.
 */
int attach_hold(const struct load *load, const struct attach_wish *wish, struct diag *diag);

/*
 * Behind attach_hold: -ENODEV with the words of attach_put where that would find the hook of XDP taken,
 * which has no fallback where it is asked for.
 */
int attach_check(const struct load *load, const struct attach_wish *wish, struct diag *diag);

/*
 * Puts the load's program on that link and direction, or replaces an older one of ours there in
 * place. 0 also when it was there already; *ret_hook says where it sits. One of ours in another mode
 * stays beside it: the caller removes it when all is well. -ENODEV with words when no mode works,
 * with each mode's refusal.
 */
int attach_put(struct load *load, struct arena *arena, const struct attach_wish *wish,
	       struct diag *diag, struct attach_hook *ret_hook);

/* Takes one of ours off; no error when it is gone already. */
int attach_remove(struct load *load, const struct attach_hook *hook, struct diag *diag);

/*
 * When all that is to be taken off is: links that are no longer covered lose the clsact that we
 * made, and those that have come back under another number the pins of their old one.
 */
int attach_tidy(const struct load *load, struct arena *arena, const struct host_facts *facts,
		struct diag *diag);

const char *attach_mode_name(enum attach_mode mode);

#endif
