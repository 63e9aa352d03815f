// SPDX-License-Identifier: GPL-2.0-only
/* bulkhead test: judges a table of packets; each difference is shown with its explanation. */
#include <errno.h>

#include "cli/describe.h"
#include "cli/inputs.h"

static const char *expected_text(struct arena *arena, const struct table_row *row)
{
	return arena_printf(arena, "%s " STR_FMT, row->allow ? "allow" : "deny",
			    STR_ARG(row->decider.text));
}

static void show_difference(struct context *context, const struct policy *policy,
			    const struct table_row *row, const addr_list *self)
{
	const struct trace *trace = trace_packet(context->arena, policy, &row->tuple, self);
	struct view_explain explain = describe_trace(context->arena, policy, trace);
	struct view_difference difference = {
		.place = describe_place(&row->mark),
		.packet = explain.packet,
		.expected = expected_text(context->arena, row),
		.seen = arena_printf(context->arena, "%s %s", explain.allow ? "allow" : "deny",
				     explain.decider),
	};

	context->view->ops->difference(context->view, &difference);
	context->view->ops->explain(context->view, &explain);
}

static int judge(struct context *context, const struct policy *policy, const struct table *table)
{
	struct view_tested tested = {.n_rows = table->rows.len};

	for (size_t i = 0; i < table->rows.len; i++) {
		const struct table_row *row = &table->rows.at[i];
		struct addr one;
		addr_list self = table_self(table, row, &one);
		struct verdict verdict = eval(policy, &row->tuple, &self);

		if (table_row_agrees(row, &verdict))
			continue;
		tested.n_differ++;
		show_difference(context, policy, row, &self);
	}
	context->view->ops->tested(context->view, &tested);
	return tested.n_differ ? STATUS_NO : STATUS_DONE;
}

static int run(struct context *context)
{
	size_t n_files = context->options.args.len - 1;
	source_files table_files = {};
	struct inputs inputs;
	struct table table;
	int err = source_open(context->arena, context->options.args.at[n_files], context->diag,
			      &table_files);

	if (!err)
		err = table_parse(context->arena, &table_files.at[0]->source, context->diag,
				  &table);
	if (!err)
		err = inputs_policy(context, context->options.args.at, n_files, &table, &inputs);
	if (!err)
		err = table_bind(context->arena, &inputs.policy, &table, context->diag);
	return err ? err : judge(context, &inputs.policy, &table);
}

const struct command cmd_test = {
	.name = "test",
	.args = "FILE... TABLE",
	.summary = "judge a policy by a table of packets",
	.options = OPTION_JSON | OPTION_HOST,
	.min_args = 2,
	.max_args = SIZE_MAX,
	.run = run,
};
