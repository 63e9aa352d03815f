/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Nodes → tree: one function per kind of object. Judges what can be judged by looking at one
 * file; what needs the others is policy/resolve's.
 */
#ifndef POLICY_PARSE_H
#define POLICY_PARSE_H

#include "policy/ast.h"

/*
 * Reads one policy file that is in memory. Every mistake goes into diag. -EBADMSG, and *ret_file
 * untouched, when there is no tree to be had; otherwise 0 and a tree, which is flawed when there was
 * a mistake, and which resolve then refuses.
 */
int parse(struct arena *arena, const struct source *source, struct diag *diag,
	  struct ast_file *ret_file);

#endif
