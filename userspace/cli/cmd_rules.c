// SPDX-License-Identifier: GPL-2.0-only
/* bulkhead rules: the rules in order of evaluation, what is never a rule's business, counters. */
#include <errno.h>

#include "cli/describe.h"
#include "cli/inputs.h"
#include "cli/live.h"
#include "kernel/counters.h"
#include "kernel/privileges.h"

static struct view_counts counts_of(const struct counter *count)
{
	return (struct view_counts){
		.packets = count->packets,
		.bytes = count->bytes,
		.reply_packets = count->reply_packets,
		.reply_bytes = count->reply_bytes,
		.flows = count->flows,
		.would_denied = count->would_denied,
		.last = count->last,
	};
}

/* report NULL: without counters. */
static void show_rule(struct context *context, const struct policy *policy, uint32_t id,
		      const struct counters_report *report)
{
	struct view_rule rule = describe_rule(context->arena, policy, &policy->rules.at[id]);

	if (report) {
		rule.counted = true;
		rule.since = report->rules.at[id].since;
		rule.counts = counts_of(&report->rules.at[id].count);
	}
	if (!context->options.unused || !(rule.counts.packets + rule.counts.reply_packets))
		context->view->ops->rule(context->view, &rule);
}

/* In the order of evaluation: outbound the nic is asked before the subnet, and ids are not. */
static void show_rules(struct context *context, const struct policy *policy,
		       const struct counters_report *report)
{
	context->view->ops->list(context->view, "rules");
	for (int direction = 0; direction < DIRECTION_COUNT; direction++) {
		enum policy_tier order[TIER_COUNT];

		policy_order((enum policy_direction)direction, order);
		for (size_t i = 0; i < ARRAY_LEN(order); i++) {
			uint32_t first = policy->first[direction][order[i]];

			for (uint32_t j = 0; j < policy->n[direction][order[i]]; j++)
				show_rule(context, policy, first + j, report);
		}
	}
	for (size_t i = 0; i < policy->disabled.len && !context->options.unused; i++) {
		struct view_rule rule = describe_disabled(policy, &policy->disabled.at[i]);

		rule.counted = report;
		context->view->ops->rule(context->view, &rule);
	}
}

static void show_reasons(struct context *context, const struct live *live,
			 const struct counters_report *report)
{
	context->view->ops->list(context->view, "reasons");
	for (int reason = BH_REASON_RULE + 1; reason < BH_REASON_COUNT; reason++) {
		for (int direction = 0; direction < BH_DIRECTION_COUNT; direction++) {
			const struct counter *count = &report->reasons[reason].count[direction];
			struct view_reason shown = {
				.name = live_reason_name(reason),
				.kind = live_reason_kind(reason),
				.direction = policy_direction_name(direction),
				.off = live_reason_off(&live->image, reason),
				.counted = true,
				.counts = counts_of(count),
			};

			/* For people, refusals that never happened are noise. */
			if (!context->options.json && !count->packets && !count->reply_packets &&
			    shown.kind[0] != 'n')
				continue;
			context->view->ops->reason(context->view, &shown);
		}
	}
}

/* People are told of the rules alone. */
static void show_no_reasons(struct context *context)
{
	if (context->options.json)
		context->view->ops->list(context->view, "reasons");
}

static int show_live(struct context *context)
{
	scoped(live_close) struct live live = {};
	struct counters_report report = {};
	int err = live_need(context, &live);

	if (!err)
		err = counters_hold(live.load, context->diag);
	if (!err)
		err = privileges_keep(PRIVILEGE_BPF, context->diag);
	if (!err)
		err = live_report(&live, context->arena, context->diag, &report);
	if (err)
		return err;
	show_rules(context, &live.policy, &report);
	if (context->options.unused)
		show_no_reasons(context);
	else
		show_reasons(context, &live, &report);
	return STATUS_DONE;
}

static int run(struct context *context)
{
	struct inputs inputs;
	int err;

	if (inputs_check_options(context))
		return STATUS_USAGE;
	if (!context->options.policies.len)
		return show_live(context);
	err = inputs_policy(context, context->options.policies.at, context->options.policies.len,
			    NULL, &inputs);
	if (err)
		return err;
	show_rules(context, &inputs.policy, NULL);
	show_no_reasons(context);
	return STATUS_DONE;
}

const struct command cmd_rules = {
	.name = "rules",
	.args = "",
	.summary = "list the rules in order of evaluation, with counters",
	.options = OPTION_JSON | OPTION_HOST | OPTION_PLACES | OPTION_POLICY | OPTION_UNUSED,
	.run = run,
};
