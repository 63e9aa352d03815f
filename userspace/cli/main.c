// SPDX-License-Identifier: GPL-2.0-only
/* The table of commands, and nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/inputs.h"

const struct command *const commands[] = {
	&cmd_apply, &cmd_check, &cmd_detach, &cmd_doctor, &cmd_explain, &cmd_flows,   &cmd_help,
	&cmd_prove, &cmd_rules, &cmd_stats,  &cmd_status, &cmd_test,	&cmd_version, &cmd_watch,
};
const size_t n_commands = ARRAY_LEN(commands);

const char *exit_status_words(int status)
{
	switch (status) {
#define X(constant, number, words) \
	case number:               \
		return words;
		EXIT_STATUSES(X)
#undef X
	}
	return NULL;
}

enum exit_status exit_status_of(int err)
{
	switch (-err) {
	case 0:
		return STATUS_DONE;
	case EBADMSG:
		return STATUS_INVALID;
	case ENODEV:
		return STATUS_CANNOT_ATTACH;
	case E2BIG:
		return STATUS_OVER_LIMIT;
	case EOPNOTSUPP:
		return STATUS_KERNEL;
	default:
		return STATUS_FAILED;
	}
}

static const struct command *find(const char *name)
{
	if (!strcmp(name, "--version"))
		return &cmd_version;
	if (!strcmp(name, "--help") || !strcmp(name, "-h"))
		return &cmd_help;
	for (size_t i = 0; i < n_commands; i++) {
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	}
	return NULL;
}

/*
 * The command that the words name; its name is then the first of them. NULL, with one message, where
 * there is none.
 */
static const struct command *choose(int argc, char **argv, struct context *context)
{
	const struct command *command = argc > 1 ? find(argv[1]) : NULL;
	int at = options_find_command(argc, argv);
	char *name;

	if (command)
		return command;
	if (at >= argc) {
		diag_refuse(context->diag, -EINVAL, "no command; see 'bulkhead help'");
		return NULL;
	}
	name = argv[at];
	memmove(argv + 2, argv + 1, (size_t)(at - 1) * sizeof(*argv));
	argv[1] = name;
	command = find(name);
	if (command)
		return command;
	diag_refuse(context->diag, -EINVAL, "unknown command '%s'%s", name,
		    command_hint(context->arena, name));
	return NULL;
}

/*
 * Wrong usage is a line on stderr and no more: which form of output is wanted may be what is wrong. A
 * status that is an answer has been shown and has no error.
 */
static void show_failure(struct context *context, int status)
{
	const struct view_failure failure = {
		.status = status,
		.meaning = exit_status_words(status),
		.diag = context->diag,
	};

	if (status != STATUS_DONE && status != STATUS_USAGE && diag_n_errors(context->diag))
		context->view->ops->failure(context->view, &failure);
}

static int run(const struct command *command, int argc, char **argv, struct context *context)
{
	scoped(view_free) struct view *view = NULL;
	struct options *options = &context->options;
	int status = options_parse(command, context->arena, argc, argv, context->diag, options);
	int unwritten;

	if (status)
		return STATUS_USAGE;
	if (options->help) {
		options->args.len = 0;
		array_push(context->arena, &options->args, command->name);
		command = &cmd_help;
	}
	view = view_new(options->json, stdout);
	context->view = view;
	status = command->run(context);
	if (status < 0)
		status = (int)exit_status_of(status);
	show_failure(context, status);
	unwritten = view_end(view);
	if (unwritten)
		status = (int)exit_status_of(diag_sys(
			context->diag, -unwritten, "%s%scannot write the output",
			context->done ? context->done : "", context->done ? ", but " : ""));
	return status;
}

/*
 * The next file that is opened would take the place of a standard stream that is closed, and get what was meant
 * for that. What stands there instead is open the wrong way round: it fails as a closed one does, with EBADF.
 */
static int fill_standard_streams(struct diag *diag)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
			continue;
		if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			return diag_sys(diag, errno,
					"cannot open '/dev/null' in the place of a closed stream");
	}
	return 0;
}

int main(int argc, char **argv)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	struct context context = {.arena = arena, .diag = diag};
	const struct command *command = NULL;
	int status = STATUS_FAILED;

	/* A reader that goes away, or a limit of files (ulimit -f), ends the writing, not the cleaning up. */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	if (!fill_standard_streams(diag)) {
		command = choose(argc, argv, &context);
		status = command ? run(command, argc - 1, argv + 1, &context) : STATUS_USAGE;
	}
	/* stderr has no buffer of its own, and a file may hold very many mistakes. */
	(void)setvbuf(stderr, NULL, _IOFBF, 1 << 16);
	inputs_print(diag);
	(void)fflush(stderr);
	return status;
}
