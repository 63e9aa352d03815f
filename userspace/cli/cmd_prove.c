// SPDX-License-Identifier: GPL-2.0-only
/* bulkhead prove: whether what would be applied says of every packet what the policy says. */
#include "cli/proof.h"

static int run(struct context *context)
{
	struct view_proof proof;
	struct inputs inputs;
	int err = inputs_policy(context, context->options.args.at, context->options.args.len, NULL,
				&inputs);

	if (!err)
		err = inputs_build(context, &inputs);
	if (err)
		return err;
	proof = proof_make(context, &inputs);
	context->view->ops->proof(context->view, &proof);
	return proof.holds ? STATUS_DONE : STATUS_NO;
}

const struct command cmd_prove = {
	.name = "prove",
	.args = "[FILE...]",
	.summary = "prove that a compiled policy says of every packet what its rules say",
	.options = OPTION_JSON | OPTION_HOST,
	.max_args = SIZE_MAX,
	.run = run,
};
