// SPDX-License-Identifier: GPL-2.0-only
/* Hooks, shown; see cli/hooks.h. */
#include "cli/hooks.h"

void hooks_show(struct context *context, const attach_hooks *hooks)
{
	for (size_t i = 0; i < hooks->len; i++) {
		const struct attach_hook *hook = &hooks->at[i];
		struct view_hook shown = {
			.interface = hook->name[0]
					     ? hook->name
					     : arena_printf(context->arena, "(gone, program %u)",
							    hook->program),
			.direction = hook->direction == BH_IN ? "ingress" : "egress",
			.hook = attach_mode_name(hook->mode),
			.why = hook->why,
			.program = hook->program,
			.first = hook->first,
		};

		context->view->ops->hook(context->view, &shown);
	}
}
