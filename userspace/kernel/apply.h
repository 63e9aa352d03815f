/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The flip: an image comes into force whole, by one write, or not at all. Everything is
 * prepared beside what is in force; whatever fails or dies before the write leaves that as it was.
 */
#ifndef KERNEL_APPLY_H
#define KERNEL_APPLY_H

#include "classify/image.h"
#include "host/facts.h"
#include "kernel/attach.h"
#include "kernel/load.h"
#include "kernel/store.h"

struct apply_request {
	const char *pins;
	const char *state;
	const struct image *image; /* encoded: its digest is set */
	const struct image_encoded *encoded;
	store_names folders;	/* for the record, see store_generation */
	const char *from;	/* the same */
	store_names interfaces; /* the same: what links was selected by */
	const struct host_facts *facts;
	const host_links *links; /* to be covered, from host_select; at most BH_LINKS - 1 */
	enum attach_mode ingress;
	enum attach_mode egress;
	const struct probe *probe; /* NULL: the kernel is asked */
	store_tell *wait;	   /* for another apply to end, and told of it; NULL: be refused */
};

struct apply_result {
	bool changed;		/* a new generation came into force */
	bool hooks_changed;	/* programs were attached, replaced or taken off */
	bool addresses_changed; /* the table of own addresses was rewritten */
	bool first;		/* nothing was enforced before */
	uint64_t generation;	/* in force now */
	uint64_t flipped;	/* CLOCK_MONOTONIC of the flip, ns, where changed */
	uint32_t n_addresses;
	/* Into tables of another size, but for those that packets have moved. */
	uint32_t n_moved_flows;
	attach_hooks hooks; /* as they are now */
	uint64_t memory;    /* bytes in the kernel */
};

/*
 * Takes the capabilities of the process for good: behind its first steps it has CAP_BPF,
 * CAP_NET_ADMIN and CAP_PERFMON, and before the first link is touched the first two.
 *
 * Brings the image into force on the links, and takes off what is no longer to be covered. In this
 * order: rights and features, limits, lock, namespace, pins, what only an id opens, programs,
 * pages, read-back, new links, notes, record, own addresses, the one write, flows, links that go, counters of the
 * generation before. Where nothing is in force everything passes until the write. Only where
 * another ABI version enforces do new links come after it. The same image again makes no new
 * generation; links, programs and own addresses are still brought up to date. On any error what was
 * in force still is, and before the record of it no folder is left that this run has made; what fails behind the last moment for that, or while something is taken back,
 * is a warning in the diag. But -EIO also says, in words, that the image is in force and the record of it
 * could not be written, and -ENODEV that at the very end a wanted hook has no program of ours any more.
 *
 * Errors that a command tells apart: -EOPNOTSUPP the kernel lacks something, -E2BIG over a limit,
 * -ENODEV a link cannot be attached to, -EBUSY another apply holds the lock, -EXDEV another
 * network namespace; all others failed.
 */
int apply_image(struct arena *arena, const struct apply_request *request, struct diag *diag,
		struct apply_result *ret_result);

struct apply_detach_request {
	const char *pins;
	const char *state;
	const struct host_facts *facts;
	store_tell *wait; /* as above */
};

struct apply_removed {
	uint32_t n_hooks;
	bool pins;	     /* there were pins to remove */
	uint64_t generation; /* that was in force; 0: none */
};

/*
 * Stops enforcing: lets everything pass, by one write, takes all of ours off every link (links that
 * came first go last), folds the counters, removes the pins of every ABI version. The state
 * directory stays, and is not made where there is none; what cannot be written there is a warning. Where something on a link cannot be asked about,
 * or taken off, all else goes, and the pins stay for another run, with that error. 0 also when nothing was there;
 * but -ENODEV with words when nothing is there by these pins, and another instance filters, or one
 * whose pins are gone. So it is where a pin of ours was lost, and behind all of this programs
 * without pins still filter. Where the state knows that what was enforced by these pins has come to its end, another
 * one with pins is only a warning.
 */
int apply_detach(struct arena *arena, const struct apply_detach_request *request, struct diag *diag,
		 struct apply_removed *ret_removed);

/* The own addresses that the programs use now, sorted: what differs from the facts is stale. */
int apply_read_self(const struct load *load, struct arena *arena, struct diag *diag,
		    addr_ranges *ret_addresses);

#endif
