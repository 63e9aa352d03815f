// SPDX-License-Identifier: GPL-2.0-only
/* bulkhead help: the commands in a line each, or one of them. */
#include <errno.h>
#include <string.h>

#include "cli/command.h"
#include "policy/names.h"

static const struct {
	unsigned option;
	const char *words;
	const char *summary;
} lines[] = {
	{OPTION_JSON, "-o text|json, --json", "the form of the output"},
	{OPTION_HOST, "--host FILE", "host.yaml; default /etc/bulkhead/host.yaml"},
	{OPTION_PLACES, "--pins DIR", "default /sys/fs/bpf/bulkhead"},
	{OPTION_PLACES, "--state DIR", "default /var/lib/bulkhead"},
	{OPTION_POLICY, "--policy FILE",
	 "a policy file instead of the policy in force; repeatable"},
	{OPTION_SELF, "--self ADDR,...",
	 "the host's own addresses, instead of the packet's local end"},
	{OPTION_INTERFACE, "--interface NAME",
	 "a link to cover, instead of host.yaml's; repeatable"},
	{OPTION_WRITABLE, "--allow-writable", "take policy files that others may write"},
	{OPTION_WAIT, "--wait", "wait for another apply to end"},
	{OPTION_UNUSED, "--unused", "only rules that no packet has matched"},
	{OPTION_INTERVAL, "--watch", "again and again, until interrupted"},
	{OPTION_INTERVAL, "--interval SECONDS", "how often; implies --watch"},
	{OPTION_COUNT, "--count N", "end after N"},
	{OPTION_DUMP, "--dump", "print the image that the policy becomes"},
	{OPTION_COST, "--explain-cost", "say of each table why it has its form"},
	{OPTION_PROVE, "--prove", "prove the image first, however long it takes"},
	{OPTION_PROVE, "--no-prove", "do not prove the image, however quick it would be"},
	{OPTION_HELP, "-h, --help", "show this"},
};

static struct view_help describe(struct arena *arena, const struct command *command)
{
	ARRAY(struct view_help_option) options = {};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		if ((command->options | OPTION_HELP) & lines[i].option)
			array_push(arena, &options,
				   (struct view_help_option){lines[i].words, lines[i].summary});
	}
	return (struct view_help){
		.name = command->name,
		.args = command->args,
		.summary = command->summary,
		.more = command->more,
		.n_options = options.len,
		.options = options.at,
	};
}

const char *command_hint(struct arena *arena, const char *name)
{
	struct nearest nearest = {.wanted = str_of(name)};

	for (size_t i = 0; i < n_commands; i++)
		nearest_try(&nearest, str_of(commands[i]->name));
	return nearest.text.len ? nearest_hint(arena, &nearest) : "; see 'bulkhead help'";
}

static int run(struct context *context)
{
	const char *name = context->options.args.len ? context->options.args.at[0] : NULL;
	ARRAY(struct view_help) shown = {};

	for (size_t i = 0; i < n_commands; i++) {
		if (!name || !strcmp(commands[i]->name, name))
			array_push(context->arena, &shown, describe(context->arena, commands[i]));
	}
	if (!shown.len) {
		diag_refuse(context->diag, -EINVAL, "no command '%s'%s", name,
			    command_hint(context->arena, name));
		return STATUS_USAGE;
	}
	context->view->ops->help(context->view, shown.at, shown.len);
	return STATUS_DONE;
}

const struct command cmd_help = {
	.name = "help",
	.args = "[COMMAND]",
	.summary = "show the commands, or the options of one",
	.options = OPTION_JSON,
	.max_args = 1,
	.run = run,
};
