/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The programs and maps in the kernel, and their pins:
 *
 *	PINS/v<ABI>/maps/bh_…		maps
 *	PINS/v<ABI>/programs/DIGEST/	programs, by the digest of what was loaded
 *	PINS/v<ABI>/links/…		links of XDP and tcx; cls_bpf filters have no pin
 *	PINS/v<ABI>/netns		the namespace that all of it serves, see kernel/netns.h
 *
 * A struct load is the handle on them. Opened to read it changes nothing; opened to change it has
 * maps and programs, adopted where they are pinned and made where not.
 */
#ifndef KERNEL_LOAD_H
#define KERNEL_LOAD_H

#include "base/array.h"
#include "base/diag.h"
#include "bpf/abi.h"
#include "kernel/probe.h"

/* Maps that userspace uses; the names are those of bpf/maps.bpf.h. */
#define LOAD_MAPS(X)               \
	X(ACTIVE, "bh_active")     \
	X(IMAGE, "bh_image")       \
	X(SELF, "bh_self")         \
	X(LINKS, "bh_links")       \
	X(MACHINE, "bh_machine")   \
	X(WATCH, "bh_watch")       \
	X(COUNTERS, "bh_counters") \
	X(NOTES, "bh_notes")       \
	X(STATE, "bh_state")       \
	X(EVENTS, "bh_events")     \
	X(LIMITS, "bh_limits")

enum load_map {
#define X(constant, name) LOAD_MAP_##constant,
	LOAD_MAPS(X)
#undef X
		LOAD_MAP_COUNT
};

struct load;

void load_close(struct load *load);
SCOPED(struct load *, load_close);

/*
 * What is pinned of this ABI, to read. -ENOENT without words when nothing is: bulkhead does not
 * enforce here (or only with another ABI: bpffs_find_versions tells).
 */
int load_open_read(const char *pins, struct diag *diag, struct load **ret_load);

/* Whether all programs that are pinned ask a packet for a checksum that is left open. */
bool load_sees_checksums(const struct load *load);

/*
 * Whether its maps are no longer those that are pinned there: a detach has come since, and what they
 * say is no longer what happens.
 */
bool load_is_gone(const struct load *load);

/*
 * The folder of another ABI version, whose maps nobody here can read: for its links, to be listed and
 * taken off.
 */
struct load *load_of_version(const char *pins, uint32_t version);

/*
 * Whether this build's programs are pinned there, and so what there is no need to ask the kernel again:
 * it has taken them, and pins end with it.
 */
bool load_knows_kernel(const char *pins, struct probe *ret_probe);

/*
 * Maps and programs of this build, as far as they are pinned, to be changed. pins must be prepared.
 * Nothing is made: load_make does that, and until then what is not pinned has no descriptor.
 */
int load_open(const char *pins, const struct probe *probe, struct diag *diag,
	      struct load **ret_load);

/*
 * Makes and pins what was not there. Nothing is attached and nothing that is in force changes. On
 * an error pins that were not there are gone again.
 */
int load_make(struct load *load, struct diag *diag);

/*
 * Unpins all that the load has, and leaves pins when nothing is in it. Programs that are attached
 * all the same keep theirs, and so do those that lost.h remembers; then it does nothing.
 */
int load_remove(const struct load *load, const char *pins, struct diag *diag);

const char *load_pins(const struct load *load); /* PINS/v<ABI> */

/* The load owns the descriptor. */
int load_map_fd(const struct load *load, enum load_map map);
const char *load_map_name(enum load_map map);

/* The program of a hook; -1 in a load that was opened to read. */
int load_program_fd(const struct load *load, enum bh_hook hook);

/* The program that carries flows over, on no hook; -1 as above. */
int load_carry_fd(const struct load *load);

/*
 * The id of a hook's program, asked once: one that is not known again would be taken for another's.
 * 0 as above.
 */
uint32_t load_program_id(const struct load *load, enum bh_hook hook);

/* Removes the pins of programs of other builds, once none of them is on a link any more. */
int load_prune(const struct load *load, const struct probe *probe, struct diag *diag);

/* The generation in force, 0: none, whatever that means to packets, or no maps yet. */
int load_active(const struct load *load, struct diag *diag, uint64_t *ret_generation);

/* Whether no generation is in force and everything passes, as said; see BH_ACTIVE_OPEN. */
bool load_is_open(const struct load *load);

/*
 * A page of an array of maps: its descriptor, for the caller to close. -ENOENT without words when the
 * element is empty. Takes CAP_SYS_ADMIN, but for a page that is held or kept.
 */
int load_page_fd(const struct load *load, enum load_map map, uint32_t index, struct diag *diag,
		 int *ret_fd);

/*
 * Elements of an array of maps, n in parts of part each. Within a part pages stand without a gap
 * from its first element on: they are put in that order and never taken out.
 */
struct load_span {
	enum load_map map;
	uint32_t first;
	uint32_t n;
	uint32_t part;
};

/*
 * Ids of the pages in a span, n of them, in the arena; 0: empty. Equal ids are the same page. What
 * stands behind the first empty element of a part is not asked for: there are thousands of them.
 */
int load_page_ids(const struct load *load, struct arena *arena, struct load_span span,
		  struct diag *diag, uint32_t **ret_ids);

/*
 * Opens pages for as long as the load is open, so that load_page_fd finds them without CAP_SYS_ADMIN:
 * one that stands in an element, or all of a span. An empty element is no error, and neither is a map
 * that is not there yet.
 */
int load_hold_page(const struct load *load, enum load_map map, uint32_t index, struct diag *diag);
int load_hold_pages(const struct load *load, struct load_span span, struct diag *diag);

/* The same for a page that this run has made. The descriptor is the load's from here on. */
int load_keep_page(const struct load *load, enum load_map map, int fd, struct diag *diag);

/*
 * Closes all pages that are held or kept: whoever takes a run back needs descriptors more than
 * these.
 */
void load_let_go(const struct load *load);

/* The clock of the programs, to turn ticks and jiffies into time. */
int load_machine(const struct load *load, struct diag *diag, struct bh_machine *ret_machine);

/*
 * A new, empty page of the form that an array of maps wants; for the caller to close. Only in a load
 * that was opened to change.
 */
int load_new_page(const struct load *load, enum load_map map, struct diag *diag, int *ret_fd);

/*
 * Puts pages into an array of maps: fds[i] into element indices[i]. One grace period for all where
 * the kernel can (batch), else one each. Elements already put stay put on failure.
 */
int load_put_pages(const struct load *load, enum load_map map, const uint32_t *indices,
		   const int *fds, uint32_t n, struct diag *diag);

/*
 * Bytes of kernel memory behind all maps, pages included; one page of each map has to be held, where
 * none can be opened.
 */
int load_memory(const struct load *load, struct diag *diag, uint64_t *ret_bytes);

/* Verified instructions of each program; 0 where the kernel does not tell (before 5.16). */
int load_instructions(const struct load *load, struct diag *diag,
		      uint32_t ret_counts[BH_HOOK_COUNT]);

#endif
