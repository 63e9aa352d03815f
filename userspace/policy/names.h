/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lists of names that are compared without regard to case: what stands twice, what a name
 * means, and which known name is nearest to an unknown one.
 */
#ifndef POLICY_NAMES_H
#define POLICY_NAMES_H

#include "base/array.h"
#include "base/diag.h"
#include "base/str.h"

struct name_entry {
	struct str text;
	struct mark mark;
	void *thing;  /* what the name means; the list's owner knows its type */
	size_t order; /* set by names_sort: how many were pushed before it */
};

/* Filled by array_push, then sorted once before anything is asked of it. */
typedef ARRAY(struct name_entry) name_list;

/* Sorts by name without regard to case; of equal ones the first pushed stays first. */
void names_sort(name_list *names);

/* The first entry of that name, or NULL. names must be sorted. */
const struct name_entry *names_find(const name_list *names, struct str text);

/*
 * An error for each name that stands twice in names, or in names and in outer (NULL: none),
 * with a note where it was first. what is the kind of the things: "set", "rule". Both sorted.
 */
void names_refuse_twice(const name_list *names, const name_list *outer, const char *what,
			struct diag *diag);

/* The known name nearest to a wanted one, over any number of lists; starts with wanted alone. */
struct nearest {
	struct str wanted;
	struct str text; /* empty: nothing is near */
	unsigned distance;
};

/*
 * Nearest names are looked for while there are fewer errors and among fewer names than this: a file
 * of a hundred thousand unknown names over as many known ones is refused in good time, too.
 */
enum { NEAREST_MAX_ERRORS = 20, NEAREST_MAX_NAMES = 5000 };

void nearest_try(struct nearest *nearest, struct str candidate);
void nearest_try_all(struct nearest *nearest, const name_list *names);

/* "; did you mean 'x'?", or "" when nothing is near. */
const char *nearest_hint(struct arena *arena, const struct nearest *nearest);

#endif
