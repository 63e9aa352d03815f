// SPDX-License-Identifier: GPL-2.0-only
/* bulkhead help: the commands in a line each, or one of them. */
#include <errno.h>
#include <string.h>

#include "cli/command.h"

static void list(FILE *out)
{
	fputs("usage: bulkhead COMMAND [OPTIONS] [WORDS]\n\n", out);
	for (size_t i = 0; i < n_commands; i++)
		fprintf(out, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\n'bulkhead help COMMAND' shows its words and options; man bulkhead tells all.\n",
	      out);
}

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
};

static void one(const struct command *command, FILE *out)
{
	fprintf(out, "usage: bulkhead %s%s%s\n\n%s\n", command->name, command->args[0] ? " " : "",
		command->args, command->summary);
	if (command->options)
		fputc('\n', out);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		if (command->options & lines[i].option)
			fprintf(out, "  %-21s %s\n", lines[i].words, lines[i].summary);
	}
}

static int run(struct context *context)
{
	const char *name = context->options.args.len ? context->options.args.at[0] : NULL;

	if (!name) {
		list(context->view->out);
		return STATUS_DONE;
	}
	for (size_t i = 0; i < n_commands; i++) {
		if (!strcmp(commands[i]->name, name)) {
			one(commands[i], context->view->out);
			return STATUS_DONE;
		}
	}
	diag_refuse(context->diag, -EINVAL, "no command '%s'; see 'bulkhead help'", name);
	return STATUS_USAGE;
}

const struct command cmd_help = {
	.name = "help",
	.args = "[COMMAND]",
	.summary = "show the commands, or the options of one",
	.max_args = 1,
	.run = run,
};
