/* SPDX-License-Identifier: GPL-2.0-only */
/* What another apply by what the last one was given would make of the links, where it would change them. */
#ifndef CLI_ASKED_H
#define CLI_ASKED_H

#include "base/array.h"
#include "host/facts.h"
#include "kernel/attach.h"
#include "kernel/store.h"

struct asked {
	struct arena *arena;
	const struct host_facts *facts;
	const struct store_record *record;
	const attach_hooks *hooks;
	ARRAY(const char *) words; /* what is to be told, a sentence each */
};

/* Adds to words: links that would be covered, those that would be let go, and what would be refused. */
void asked_compare(struct asked *asked);

#endif
