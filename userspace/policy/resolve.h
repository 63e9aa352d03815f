/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trees and host.yaml become one resolved policy: groups joined from their parts, names looked
 * up, tags and default rules put in, rules in order of evaluation. The only place that decides
 * precedence between rules.
 */
#ifndef POLICY_RESOLVE_H
#define POLICY_RESOLVE_H

#include "policy/policy.h"

/*
 * Every mistake goes into diag, and -EBADMSG comes back if there was one, or if a tree or host is
 * flawed or unread: the rest is judged all the same, and nothing is said that may follow from what
 * was refused before. Of an unread file nothing but that is looked at. -E2BIG, with the
 * arithmetic, when a limit is the only one (65,534 rules; 2,000,000 address ranges in all
 * different sets together). *ret_policy is then untouched. n_files may be 0 and no file may have
 * a group: the policy is then empty (apply refuses that, check warns). The order of the files
 * changes nothing in the policy but which file the mark of a group names. Everything in it lives
 * in the arena or in the trees.
 */
int resolve(struct arena *arena, struct ast_file *const *files, size_t n_files,
	    const struct hostconf *host, struct diag *diag, struct policy *ret_policy);

#endif
