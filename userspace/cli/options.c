// SPDX-License-Identifier: GPL-2.0-only
/* The words of the command line → struct options. */
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "cli/command.h"
#include "kernel/bpffs.h"
#include "kernel/store.h"

enum {
	WORD_JSON = 256,
	WORD_HOST,
	WORD_PINS,
	WORD_STATE,
	WORD_POLICY,
	WORD_SELF,
	WORD_INTERFACE,
	WORD_WRITABLE,
	WORD_WAIT,
	WORD_UNUSED,
	WORD_WATCH,
	WORD_INTERVAL,
	WORD_COUNT,
	WORD_DUMP,
};

/* Which commands take it, and what getopt makes of it. */
static const struct {
	struct option word;
	unsigned option;
} words[] = {
	{{"output", required_argument, NULL, 'o'}, OPTION_JSON},
	{{"json", no_argument, NULL, WORD_JSON}, OPTION_JSON},
	{{"host", required_argument, NULL, WORD_HOST}, OPTION_HOST},
	{{"pins", required_argument, NULL, WORD_PINS}, OPTION_PLACES},
	{{"state", required_argument, NULL, WORD_STATE}, OPTION_PLACES},
	{{"policy", required_argument, NULL, WORD_POLICY}, OPTION_POLICY},
	{{"self", required_argument, NULL, WORD_SELF}, OPTION_SELF},
	{{"interface", required_argument, NULL, WORD_INTERFACE}, OPTION_INTERFACE},
	{{"allow-writable", no_argument, NULL, WORD_WRITABLE}, OPTION_WRITABLE},
	{{"wait", no_argument, NULL, WORD_WAIT}, OPTION_WAIT},
	{{"unused", no_argument, NULL, WORD_UNUSED}, OPTION_UNUSED},
	{{"watch", no_argument, NULL, WORD_WATCH}, OPTION_INTERVAL},
	{{"interval", required_argument, NULL, WORD_INTERVAL}, OPTION_INTERVAL},
	{{"count", required_argument, NULL, WORD_COUNT}, OPTION_COUNT},
	{{"dump", no_argument, NULL, WORD_DUMP}, OPTION_DUMP},
};

static int usage(struct diag *diag, const struct command *command, const char *what,
		 const char *word)
{
	return diag_refuse(diag, -EINVAL, "%s '%s'; usage: bulkhead %s%s%s", what, word,
			   command->name, command->args[0] ? " " : "", command->args);
}

static int number(struct diag *diag, const struct command *command, const char *text, uint64_t max,
		  uint64_t *ret_number)
{
	uint64_t value;

	if (!str_number(str_of(text), max, &value) || !value)
		return usage(diag, command, "expected a number above 0, not", text);
	*ret_number = value;
	return 0;
}

static int output(struct diag *diag, const struct command *command, struct options *options)
{
	if (strcmp(optarg, "json") && strcmp(optarg, "text"))
		return usage(diag, command, "unknown output", optarg);
	options->json = optarg[0] == 'j';
	return 0;
}

static int take_word(const struct command *command, struct arena *arena, int word,
		     struct diag *diag, struct options *options)
{
	uint64_t seconds = 0;

	switch (word) {
	case 'o':
		return output(diag, command, options);
	case WORD_JSON:
		options->json = true;
		return 0;
	case WORD_HOST:
		options->host = optarg;
		return 0;
	case WORD_PINS:
		options->pins = optarg;
		return 0;
	case WORD_STATE:
		options->state = optarg;
		return 0;
	case WORD_POLICY:
		array_push(arena, &options->policies, optarg);
		return 0;
	case WORD_SELF:
		options->self = optarg;
		return 0;
	case WORD_INTERFACE:
		array_push(arena, &options->interfaces, optarg);
		return 0;
	case WORD_WRITABLE:
		options->allow_writable = true;
		return 0;
	case WORD_WAIT:
		options->wait = true;
		return 0;
	case WORD_UNUSED:
		options->unused = true;
		return 0;
	case WORD_WATCH:
		options->watch = true;
		return 0;
	case WORD_DUMP:
		options->dump = true;
		return 0;
	case WORD_INTERVAL:
		options->watch = true;
		if (number(diag, command, optarg, 86400, &seconds))
			return -EINVAL;
		options->interval = (unsigned)seconds;
		return 0;
	case WORD_COUNT:
		return number(diag, command, optarg, UINT32_MAX, &options->count);
	default:
		return -EINVAL;
	}
}

/* getopt's own ':' and '?' become one line. */
static int bad_word(struct diag *diag, const struct command *command, int word, char **argv)
{
	return usage(diag, command, word == ':' ? "a value is missing behind" : "unknown option",
		     argv[optind - 1]);
}

static int check_args(struct diag *diag, const struct command *command,
		      const struct options *options)
{
	if (options->args.len < command->min_args)
		return diag_refuse(diag, -EINVAL, "too few words; usage: bulkhead %s %s",
				   command->name, command->args);
	if (options->args.len > command->max_args)
		return usage(diag, command, "too many words, from",
			     options->args.at[command->max_args]);
	return 0;
}

int options_parse(const struct command *command, struct arena *arena, int argc, char **argv,
		  struct diag *diag, struct options *ret_options)
{
	struct options options = {.pins = BPFFS_DEFAULT_PINS, .state = STORE_DEFAULT};
	struct option known[ARRAY_LEN(words) + 1] = {};
	size_t n_known = 0;
	int word;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (words[i].option & command->options)
			known[n_known++] = words[i].word;
	}
	optind = 0;
	opterr = 0;
	while ((word = getopt_long(argc, argv, command->options & OPTION_JSON ? ":o:" : ":", known,
				   NULL)) != -1) {
		int err = word == ':' || word == '?'
				  ? bad_word(diag, command, word, argv)
				  : take_word(command, arena, word, diag, &options);

		if (err)
			return err;
	}
	for (int i = optind; i < argc; i++)
		array_push(arena, &options.args, argv[i]);
	if (check_args(diag, command, &options))
		return -EINVAL;
	*ret_options = options;
	return 0;
}
