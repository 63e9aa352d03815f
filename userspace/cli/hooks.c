// SPDX-License-Identifier: GPL-2.0-only
/* Hooks, shown; see cli/hooks.h. */
#include "cli/hooks.h"

#include <stdlib.h>

/* By link, those that are gone first, and of a link ingress first. */
static int compare_hooks(const void *a, const void *b)
{
	const struct attach_hook *left = a, *right = b;

	if (left->ifindex != right->ifindex)
		return left->ifindex < right->ifindex ? -1 : 1;
	if (left->put_at != right->put_at)
		return left->put_at < right->put_at ? -1 : 1;
	return (left->direction > right->direction) - (left->direction < right->direction);
}

/* The present name, else the one under which it was covered, else its number. */
static const char *name_of(struct arena *arena, const struct store_record *record,
			   const struct attach_hook *hook)
{
	static const struct store_record none;

	return hook->name[0] ? hook->name
			     : store_link_name(record ? record : &none, arena, hook->put_at);
}

void hooks_show(struct context *context, const struct store_record *record,
		const attach_hooks *hooks)
{
	struct attach_hook *sorted = arena_calloc(context->arena, hooks->len + 1, sizeof(*sorted));

	for (size_t i = 0; i < hooks->len; i++)
		sorted[i] = hooks->at[i];
	qsort(sorted, hooks->len, sizeof(*sorted), compare_hooks);
	for (size_t i = 0; i < hooks->len; i++) {
		const struct attach_hook *hook = &sorted[i];
		struct view_hook shown = {
			.interface = name_of(context->arena, record, hook),
			.gone = !hook->name[0],
			.direction = hook->direction == BH_IN ? "ingress" : "egress",
			.hook = attach_mode_name(hook->mode),
			.why = hook->why,
			.program = hook->program,
			.first = hook->first,
		};

		context->view->ops->hook(context->view, &shown);
	}
}

enum attach_mode hooks_mode_of(enum hostconf_hook hook)
{
	switch (hook) {
	case HOOK_AUTO:
		return ATTACH_AUTO;
	case HOOK_NATIVE:
		return ATTACH_NATIVE;
	case HOOK_GENERIC:
		return ATTACH_GENERIC;
	case HOOK_TCX:
		return ATTACH_TCX;
	case HOOK_CLSACT:
		return ATTACH_CLSACT;
	}
	return ATTACH_AUTO;
}
