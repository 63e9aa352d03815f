/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every program on the host's links that is called as ours are, whoever's: for when the pins do not tell
 * what filters here, because they are others than those of the instance that does, or are gone.
 */
#ifndef KERNEL_CENSUS_H
#define KERNEL_CENSUS_H

#include "kernel/attach.h"
#include "kernel/instance.h"

struct census_program {
	const struct host_link *link;
	enum bh_direction direction;
	uint32_t id;
	struct instance_owner owner;
};

typedef ARRAY(struct census_program) census_programs;

/*
 * Adds all of them in the caller's namespace, by link, and to whom each belongs as seen from these pins.
 * Texts are the arena's, links those of the facts. What cannot be asked in one place keeps none of the others
 * from being asked; the first error is returned, each has words. Takes CAP_SYS_ADMIN and CAP_NET_ADMIN.
 */
int census_take(struct arena *arena, const char *pins, const struct host_facts *facts,
		struct diag *diag, census_programs *programs);

/* An instance other than that of these pins. All whose pins are not to be found are one. */
struct census_other {
	const char *pins;  /* "": not to be found */
	bool passes;	   /* all of its programs let everything pass */
	const char *words; /* its links and programs, its pins where they are known, what to do */
};

typedef ARRAY(struct census_other) census_others;
census_others census_find_others(struct arena *arena, const char *pins,
				 const census_programs *programs);

/*
 * -ENODEV with those words where others filter, and still do after the seconds that apply, too, waits for
 * what is about to go. One that lets everything pass does not filter. With only_lost one whose pins are
 * found is a warning: it is there by right, and what is asked for is whether anything is without pins.
 */
int census_refuse_others(const char *pins, const struct host_facts *facts, bool only_lost,
			 struct diag *diag);

#endif
