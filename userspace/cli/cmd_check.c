// SPDX-License-Identifier: GPL-2.0-only
/* bulkhead check: whether a policy is well formed, and what it costs. */
#include <errno.h>

#include "classify/costs.h"
#include "cli/inputs.h"
#include "kernel/apply.h"

static const char *address4_name(const struct image *image)
{
	switch ((enum bh_address4)image_head(image)->address4_kind) {
	case BH_ADDRESS4_BLOCKS:
		return "blocks";
	case BH_ADDRESS4_RANGES:
		return "ranges";
	}
	return "";
}

static struct view_product product_of(const struct image *image, int direction)
{
	const struct image_figures *figures = &image->figures;
	struct view_product product = {
		.n_sources = figures->n_source_classes[direction],
		.n_destinations = figures->n_destination_classes[direction],
		.n_protocols = figures->n_protocol_classes[direction],
	};

	switch (figures->product[direction]) {
	case BH_PRODUCT_PAIRS:
		product.kind = "pairs";
		break;
	case BH_PRODUCT_BITS:
		product.kind = "bits";
		break;
	}
	return product;
}

static struct view_check describe(struct context *context, const struct inputs *inputs)
{
	const struct policy *policy = &inputs->policy;
	const struct image *image = &inputs->image;
	char *digest = arena_alloc(context->arena, IMAGE_DIGEST_TEXT_SIZE);
	struct view_check check = {
		.n_files = (uint32_t)inputs->files.len,
		.n_groups = (uint32_t)policy->groups.len,
		.n_disabled = (uint32_t)policy->disabled.len,
		.n_prefixes = image->figures.n_prefixes,
		.n_classes = image->figures.n_classes,
		.n_outcomes = image->figures.n_outcomes,
		.table_bytes = image->tables_size,
		.n_pages = image->n_pages,
		.memory = (uint64_t)image->n_pages * BH_PAGE_SIZE,
		.address4 = address4_name(image),
		.digest = image_digest_print(&image->digest, digest),
		.n_warnings = diag_n_warnings(context->diag),
	};

	for (int direction = 0; direction < DIRECTION_COUNT; direction++) {
		check.product[direction] = product_of(image, direction);
		for (int tier = 0; tier < TIER_COUNT; tier++)
			check.n_rules[direction] += policy->n[direction][tier];
	}
	return check;
}

static struct view_ns ns_of(struct cost_ns ns)
{
	return (struct view_ns){ns.hot, ns.cold};
}

static void describe_ns(const struct costs *costs, struct view_check *check)
{
	for (int family = 0; family < 2; family++) {
		for (int direction = 0; direction < DIRECTION_COUNT; direction++)
			check->packet[direction][family] = ns_of(costs->packet[direction][family]);
		check->flow[family] = ns_of(costs->flow[family]);
	}
}

static void show_structures(struct context *context, const struct costs *costs)
{
	context->view->ops->list(context->view, "structures");
	for (size_t i = 0; i < costs->parts.len; i++) {
		const struct cost *cost = &costs->parts.at[i];
		const struct view_structure structure = {
			.name = cost->name,
			.form = cost->form,
			.bytes = cost->size,
			.in_image = cost->of_image,
			.timed = cost->used,
			.ns = ns_of(cost->ns),
			.explained = context->options.explain_cost,
			.n_reasons = cost->reasons.len,
			.reasons = cost->reasons.at,
		};

		context->view->ops->structure(context->view, &structure);
	}
}

static int run(struct context *context)
{
	struct inputs inputs;
	struct view_check check;
	struct costs costs;
	int err;

	if (context->options.dump && context->options.json) {
		diag_refuse(context->diag, -EINVAL, "--dump beside JSON; expected it with text");
		return STATUS_USAGE;
	}
	if (context->options.dump && context->options.explain_cost) {
		diag_refuse(context->diag, -EINVAL,
			    "--dump beside --explain-cost; expected one of them");
		return STATUS_USAGE;
	}
	err = inputs_policy(context, context->options.args.at, context->options.args.len, NULL,
			    &inputs);
	if (!err && !inputs.policy.groups.len)
		diag_warn(context->diag, (struct mark){},
			  "no file has a group: 'apply' refuses such a policy");
	if (!err)
		err = inputs_build(context, &inputs);
	if (err)
		return err;
	if (context->options.dump) {
		image_print(&inputs.image, context->view->out);
		return STATUS_DONE;
	}
	image_seal(&inputs.image);
	check = describe(context, &inputs);
	costs_make(context->arena, &inputs.image, &costs);
	describe_ns(&costs, &check);
	context->view->ops->check(context->view, &check);
	show_structures(context, &costs);
	view_messages(context->view, context->diag);
	return STATUS_DONE;
}

const struct command cmd_check = {
	.name = "check",
	.args = "[FILE...]",
	.summary = "say whether a policy is well formed, and where it is not",
	.more = "FILE may be a folder; without one it is /etc/bulkhead/policy.d.\n",
	.options = OPTION_JSON | OPTION_HOST | OPTION_DUMP | OPTION_COST,
	.max_args = SIZE_MAX,
	.run = run,
};
