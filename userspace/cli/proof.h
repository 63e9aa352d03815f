/* SPDX-License-Identifier: GPL-2.0-only */
/* The proof that an image says what its policy says, for prove and for apply. */
#ifndef CLI_PROOF_H
#define CLI_PROOF_H

#include "cli/inputs.h"

/* Proves the image of the inputs, and puts what came of it into words. */
struct view_proof proof_make(struct context *context, const struct inputs *inputs);

/*
 * Before anything is applied: with --prove always, with --no-prove never, which is told as a
 * warning, else when it will take less than two seconds. STATUS_DONE, *ret_proven then telling
 * whether it was made; or STATUS_NO with one message.
 */
int proof_demand(struct context *context, const struct inputs *inputs, bool *ret_proven);

#endif
