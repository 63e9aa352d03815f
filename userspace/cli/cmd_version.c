// SPDX-License-Identifier: GPL-2.0-only
/* bulkhead version. */
#include "bpf/abi.h"
#include "cli/command.h"

static int run(struct context *context)
{
	struct view_version version = {
		.version = BULKHEAD_VERSION,
		.abi = BH_ABI_VERSION,
	};

	context->view->ops->version(context->view, &version);
	return STATUS_DONE;
}

const struct command cmd_version = {
	.name = "version",
	.args = "",
	.summary = "print the version",
	.options = OPTION_JSON,
	.run = run,
};
