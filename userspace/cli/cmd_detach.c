// SPDX-License-Identifier: GPL-2.0-only
/* bulkhead detach: stops enforcing, removes exactly what is ours. */
#include "cli/inputs.h"
#include "kernel/apply.h"

static int run(struct context *context)
{
	struct host_facts facts;
	const struct apply_detach_request request = {
		.pins = context->options.pins,
		.state = context->options.state,
		.facts = &facts,
		.wait = context->options.wait ? inputs_tell : NULL,
	};
	struct apply_removed removed = {};
	struct view_detached detached;
	int err = host_facts_read(context->arena, context->diag, &facts);

	if (!err)
		err = apply_detach(context->arena, &request, context->diag, &removed);
	if (err)
		return err;
	detached = (struct view_detached){
		.was_enforcing = removed.n_hooks || removed.generation,
		.n_hooks = removed.n_hooks,
		.generation = removed.generation,
		.left_overs = removed.pins && !removed.n_hooks && !removed.generation,
		.pins = context->options.pins,
	};
	context->done = detached.was_enforcing ? "no longer enforcing" : NULL;
	context->view->ops->detached(context->view, &detached);
	view_messages(context->view, context->diag);
	return STATUS_DONE;
}

const struct command cmd_detach = {
	.name = "detach",
	.args = "",
	.summary = "stop enforcing",
	.options = OPTION_JSON | OPTION_PLACES | OPTION_WAIT,
	.run = run,
};
