// SPDX-License-Identifier: GPL-2.0-only
/* bulkhead test: judges a table of packets; each difference is shown with its explanation. */
#include <errno.h>

#include "cli/describe.h"
#include "cli/inputs.h"

/* Nobody reads more; the others are counted. */
enum { SHOWN_MAX = 1000 };

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

	context->view->ops->list(context->view, "differences");
	for (size_t i = 0; i < table->rows.len; i++) {
		const struct table_row *row = &table->rows.at[i];
		struct addr one;
		addr_list self = table_self(table, row, &one);
		struct verdict verdict = eval(policy, &row->tuple, &self);

		if (table_row_agrees(row, &verdict))
			continue;
		if (tested.n_differ++ < SHOWN_MAX)
			show_difference(context, policy, row, &self);
	}
	tested.n_shown = tested.n_differ < SHOWN_MAX ? tested.n_differ : SHOWN_MAX;
	context->view->ops->tested(context->view, &tested);
	return tested.n_differ ? STATUS_NO : STATUS_DONE;
}

/* The table, or a flawed one, so that the mistakes of the policy files are told as well. */
static int read_table(struct context *context, const char *path, struct table *table)
{
	source_files files = {};
	int err = inputs_open_file(context, path, "a verdict table", &files);

	if (!err)
		err = table_parse(context->arena, &files.at[0]->source, context->diag, table);
	table->flawed = err;
	return err;
}

static int run(struct context *context)
{
	size_t n_files = context->options.args.len - 1;
	struct table table = {};
	struct inputs inputs;
	int err = read_table(context, context->options.args.at[n_files], &table);
	int bad = inputs_policy(context, context->options.args.at, n_files, &table, &inputs);

	err = err ? err : bad;
	if (!err)
		err = table_bind(context->arena, &inputs.policy, &table, context->diag);
	return err ? err : judge(context, &inputs.policy, &table);
}

const struct command cmd_test = {
	.name = "test",
	.args = "FILE... TABLE",
	.summary = "judge a policy by a table of packets",
	.more = "A line of the table is PACKET = allow|deny RULE, RULE being NAME, GROUP/NAME or a reason:\n"
		"  in tcp 203.0.113.9:40000 10.0.1.4:443 = allow allow-web\n"
		"Before the first packet may stand 'self ADDR...' and 'network PREFIX...'; # begins a "
		"comment.\n"
		"9 when a row differs.\n",
	.options = OPTION_JSON | OPTION_HOST,
	.min_args = 2,
	.max_args = SIZE_MAX,
	.run = run,
};
