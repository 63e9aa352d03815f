/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Nodes → tree: one function per kind of object. Judges what can be judged by looking at one
 * file; what needs the others is policy/resolve's.
 */
#ifndef POLICY_PARSE_H
#define POLICY_PARSE_H

#include "policy/ast.h"

/*
 * Reads one policy file that is in memory. Every mistake goes into diag, and -EBADMSG comes back
 * if there was one; *ret_file is then untouched.
 */
int parse(struct arena *arena, const struct source *source, struct diag *diag,
	  struct ast_file *ret_file);

#endif
