/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Policies out of texts and files, for tests: everything from source to resolved policy in one
 * call, with the messages as the operator would read them.
 */
#ifndef TESTS_POLICY_TEXT_H
#define TESTS_POLICY_TEXT_H

#include "policy/policy.h"
#include "policy/table.h"

struct loaded {
	struct arena *arena;
	struct diag *diag;
	int err; /* of the first step that failed; parse goes on over all files */
	struct hostconf host;
	struct policy policy; /* good when err is 0 */
	struct table table;   /* of load_files */
	const char *messages; /* as diag_print prints them */
};

/*
 * Texts are called a.yaml, b.yaml and so on, up to a NULL; host NULL: none, else host.yaml.
 * Freed with unload, also after an error.
 */
void load_texts(struct loaded *loaded, const char *host, const char *const *texts);

/*
 * The policy DIR/NAME.yaml (or all *.yaml of the folder DIR/NAME), the host settings
 * DIR/NAME.host.yaml if there are any, and the bound table DIR/NAME.table.
 */
void load_files(struct loaded *loaded, const char *dir, const char *name);

void unload(struct loaded *loaded);

/* The id of a rule by "group/name"; POLICY_NO_RULE when there is none. */
uint32_t find_rule(const struct loaded *loaded, const char *path);

/* "allow group/name", "deny martian-source", with " would-deny" and " by-flow" behind it. */
const char *verdict_text(struct arena *arena, const struct policy *policy,
			 const struct verdict *verdict);

#endif
