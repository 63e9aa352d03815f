/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The words that the tables of connection state in docs/datapath.md are written in: packets, states,
 * and what a cell says becomes of them.
 */
#ifndef TESTS_BPF_CELLS_H
#define TESTS_BPF_CELLS_H

#include "tests/bpf/scene.h"
#include "tests/lib/page.h"

struct kind {
	const char *name;
	uint16_t tcp_flags; /* of frames.h */
};

enum { KINDS = 10 };
extern const struct kind kinds[KINDS];

/* Of a packet by its name, which must exist. */
uint16_t flags_of(struct str name);

/*
 * Sends packets of a TCP flow: words of > (from the opener) or < (from the replier) and the name of
 * a kind. Whether the last one passes.
 */
bool play(const struct scene *scene, const struct subject *subject, const char *packets);

enum { STATE_NAME_SIZE = 40 };

/* What the page calls the state of an entry. */
const char *state_name(const struct subject *subject, const struct flowtable_entry *entry,
		       char *buffer);

/* The flag that says that an end has sent FIN or RST. */
uint32_t end_of(bool reply);

/* Whether a cell lists the name. */
bool lists(struct str cell, struct str name);

/* The one row that lists the state in its first cell and the packet in its second. */
const struct page_row *find_row(const page_rows *rows, struct str state, struct str kind);

/* "deny", "pass", "pass, ignored", "pass → STATE". */
struct cell {
	bool pass;
	bool ignored;
	struct str next; /* empty: the state does not change */
};

struct cell cell_of(struct str text);

#endif
