// SPDX-License-Identifier: GPL-2.0-only
/* bulkhead apply: makes a policy the one in force. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/hooks.h"
#include "cli/inputs.h"
#include "cli/proof.h"
#include "kernel/apply.h"

/* Who may own policy files besides root: the caller, also through sudo. */
static uint32_t caller(void)
{
	uint64_t uid;

	if (!str_number(str_of(getenv("SUDO_UID")), UINT32_MAX, &uid))
		uid = getuid();
	return (uint32_t)uid;
}

static int check_inputs(struct context *context, const struct inputs *inputs)
{
	if (!inputs->policy.groups.len)
		return diag_bad(context->diag, (struct mark){},
				"no file has a group; a policy without any is not applied");
	if (context->options.allow_writable)
		return 0;
	return source_check_writable(&inputs->files, caller(), context->diag);
}

static int select_links(struct context *context, const struct hostconf *host,
			const struct host_facts *facts, host_links *ret_links)
{
	const host_patterns patterns = inputs_patterns(context, host);

	return host_select(context->arena, facts, patterns.at, patterns.len, context->diag,
			   ret_links);
}

/* What that has selected by, for the record. */
static store_names names_asked(struct context *context, const struct hostconf *host)
{
	const host_patterns patterns = inputs_patterns(context, host);
	store_names names = {};

	for (size_t i = 0; i < patterns.len; i++)
		array_push(context->arena, &names, str_dup(context->arena, patterns.at[i].text));
	return names;
}

static void show(struct context *context, const struct inputs *inputs,
		 const struct apply_result *result, bool proven, uint64_t start)
{
	char *digest = arena_alloc(context->arena, IMAGE_DIGEST_TEXT_SIZE);
	struct view_applied applied = {
		.changed = result->changed,
		.first = result->first,
		.hooks_changed = result->hooks_changed,
		.addresses_changed = result->addresses_changed,
		.generation = result->generation,
		.digest = image_digest_print(&inputs->image.digest, digest),
		.n_rules = (uint32_t)inputs->policy.rules.len,
		.mode = inputs->host.mode == AST_AUDIT ? "audit" : "enforce",
		.n_audit = policy_count_audit(&inputs->policy),
		.n_prefixes = inputs->image.figures.n_prefixes,
		.n_addresses = result->n_addresses,
		.n_moved_flows = result->n_moved_flows,
		.proven = proven,
		.not_to_be_proven = context->options.prove == PROVE_NEVER,
		.memory = result->memory,
		.in_force_after = result->changed ? result->flipped / 1000000 - start : 0,
		.milliseconds = inputs_clock() - start,
	};

	context->view->ops->applied(context->view, &applied);
	hooks_show(context, NULL, &result->hooks);
	view_messages(context->view, context->diag);
}

/* "" where that is nowhere, as a folder that is gone. */
static const char *folder_here(struct arena *arena)
{
	char path[PATH_MAX];

	return getcwd(path, sizeof(path)) && path[0] == '/' ? str_dup(arena, str_of(path)) : "";
}

static int apply(struct context *context, struct inputs *inputs, const struct host_facts *facts,
		 const host_links *links, struct apply_result *ret_result)
{
	struct image_encoded encoded;
	struct apply_request request = {
		.pins = context->options.pins,
		.state = context->options.state,
		.image = &inputs->image,
		.encoded = &encoded,
		.folders = inputs->folders,
		.from = folder_here(context->arena),
		.interfaces = names_asked(context, &inputs->host),
		.facts = facts,
		.links = links,
		.ingress = hooks_mode_of(inputs->host.ingress),
		.egress = hooks_mode_of(inputs->host.egress),
		.wait = context->options.wait ? inputs_tell : NULL,
	};

	image_encode(context->arena, &inputs->image, &encoded);
	return apply_image(context->arena, &request, context->diag, ret_result);
}

static int run(struct context *context)
{
	uint64_t start = inputs_clock();
	struct apply_result result = {};
	bool proven = false;
	struct host_facts facts;
	struct inputs inputs;
	host_links links = {};
	int err = inputs_policy(context, context->options.args.at, context->options.args.len, NULL,
				&inputs);

	if (!err)
		err = check_inputs(context, &inputs);
	if (!err)
		err = inputs_build(context, &inputs);
	if (!err)
		err = proof_demand(context, &inputs, &proven);
	if (!err)
		err = host_facts_read(context->arena, context->diag, &facts);
	if (!err && facts.platform_azure && !inputs.host.platform_azure)
		diag_warn(
			context->diag, (struct mark){},
			"this machine says that it is an Azure VM, and host.yaml has no "
			"'platform: azure': the platform's own addresses are judged by the policy");
	if (!err)
		err = select_links(context, &inputs.host, &facts, &links);
	if (!err)
		err = apply(context, &inputs, &facts, &links, &result);
	if (err)
		return err;
	context->done = arena_printf(context->arena, "generation %llu is in force",
				     (unsigned long long)result.generation);
	show(context, &inputs, &result, proven, start);
	return STATUS_DONE;
}

const struct command cmd_apply = {
	.name = "apply",
	.args = "[FILE...]",
	.summary = "make a policy the one in force",
	.more = "FILE may be a folder; without one it is /etc/bulkhead/policy.d.\n",
	.options = OPTION_JSON | OPTION_HOST | OPTION_PLACES | OPTION_INTERFACE | OPTION_WRITABLE |
		   OPTION_WAIT | OPTION_PROVE,
	.max_args = SIZE_MAX,
	.run = run,
};
