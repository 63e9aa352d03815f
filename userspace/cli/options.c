// SPDX-License-Identifier: GPL-2.0-only
/* The words of the command line → struct options. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "kernel/bpffs.h"
#include "kernel/store.h"
#include "policy/names.h"

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
	WORD_PROVE,
	WORD_COST,
	WORD_NO_PROVE,
};

/* Which commands take it, what getopt makes of it, and whether it is refused a second time. */
static const struct {
	struct option word;
	unsigned option;
	bool once;
} words[] = {
	{{"output", required_argument, NULL, 'o'}, OPTION_JSON},
	{{"json", no_argument, NULL, WORD_JSON}, OPTION_JSON},
	{{"host", required_argument, NULL, WORD_HOST}, OPTION_HOST, true},
	{{"pins", required_argument, NULL, WORD_PINS}, OPTION_PLACES, true},
	{{"state", required_argument, NULL, WORD_STATE}, OPTION_PLACES, true},
	{{"policy", required_argument, NULL, WORD_POLICY}, OPTION_POLICY},
	{{"self", required_argument, NULL, WORD_SELF}, OPTION_SELF, true},
	{{"interface", required_argument, NULL, WORD_INTERFACE}, OPTION_INTERFACE},
	{{"allow-writable", no_argument, NULL, WORD_WRITABLE}, OPTION_WRITABLE},
	{{"wait", no_argument, NULL, WORD_WAIT}, OPTION_WAIT},
	{{"unused", no_argument, NULL, WORD_UNUSED}, OPTION_UNUSED},
	{{"watch", no_argument, NULL, WORD_WATCH}, OPTION_INTERVAL},
	{{"interval", required_argument, NULL, WORD_INTERVAL}, OPTION_INTERVAL, true},
	{{"count", required_argument, NULL, WORD_COUNT}, OPTION_COUNT, true},
	{{"dump", no_argument, NULL, WORD_DUMP}, OPTION_DUMP},
	{{"help", no_argument, NULL, 'h'}, OPTION_HELP},
	{{"prove", no_argument, NULL, WORD_PROVE}, OPTION_PROVE},
	{{"explain-cost", no_argument, NULL, WORD_COST}, OPTION_COST},
	{{"no-prove", no_argument, NULL, WORD_NO_PROVE}, OPTION_PROVE},
};

static int usage(struct diag *diag, const struct command *command, const char *what,
		 const char *word)
{
	return diag_refuse(diag, -EINVAL, "%s '%s'; usage: bulkhead %s%s%s", what, word,
			   command->name, command->args[0] ? " " : "", command->args);
}

static int number(struct diag *diag, const char *option, uint64_t max, uint64_t *ret_number)
{
	uint64_t value;

	if (!str_number(str_of(optarg), max, &value) || !value)
		return diag_refuse(diag, -EINVAL, "'%s' behind %s; expected a number, 1 to %llu",
				   optarg, option, (unsigned long long)max);
	*ret_number = value;
	return 0;
}

static int output(struct diag *diag, struct options *options)
{
	if (strcmp(optarg, "json") && strcmp(optarg, "text"))
		return diag_refuse(diag, -EINVAL, "'%s' behind -o; expected text or json", optarg);
	options->json = optarg[0] == 'j';
	return 0;
}

/* What a word alone says yes to; NULL: it says something else. */
static bool *flag_of(int word, struct options *options)
{
	switch (word) {
	case 'h':
		return &options->help;
	case WORD_JSON:
		return &options->json;
	case WORD_WRITABLE:
		return &options->allow_writable;
	case WORD_WAIT:
		return &options->wait;
	case WORD_UNUSED:
		return &options->unused;
	case WORD_WATCH:
		return &options->watch;
	case WORD_DUMP:
		return &options->dump;
	case WORD_COST:
		return &options->explain_cost;
	default:
		return NULL;
	}
}

static int take_word(struct arena *arena, int word, struct diag *diag, struct options *options)
{
	bool *flag = flag_of(word, options);
	uint64_t seconds = 0;

	if (flag) {
		*flag = true;
		return 0;
	}
	switch (word) {
	case 'o':
		return output(diag, options);
	case WORD_HOST:
		options->host = optarg;
		return 0;
	case WORD_PINS:
	case WORD_STATE:
		*(word == WORD_PINS ? &options->pins : &options->state) = optarg;
		options->places = true;
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
	case WORD_PROVE:
	case WORD_NO_PROVE:
		options->prove = word == WORD_PROVE ? PROVE_ALWAYS : PROVE_NEVER;
		return 0;
	case WORD_INTERVAL:
		options->watch = true;
		if (number(diag, "--interval", 86400, &seconds))
			return -EINVAL;
		options->interval = (unsigned)seconds;
		return 0;
	case WORD_COUNT:
		return number(diag, "--count", UINT32_MAX, &options->count);
	default:
		return -EINVAL;
	}
}

/* What helps with an option that the command does not take. */
static const char *option_hint(struct arena *arena, const struct command *command, const char *word)
{
	struct nearest nearest = {.wanted = str_of(word)};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (words[i].option & (command->options | OPTION_HELP))
			nearest_try(&nearest,
				    str_of(arena_printf(arena, "--%s", words[i].word.name)));
	}
	if (nearest.text.len)
		return nearest_hint(arena, &nearest);
	return arena_printf(arena, "; see 'bulkhead help %s'", command->name);
}

/* Or the last one would silently win over those before it; given: for each of the words. */
static int check_once(struct diag *diag, const struct command *command, int word, bool *given)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (words[i].word.val != word || !words[i].once)
			continue;
		if (given[i])
			return diag_refuse(
				diag, -EINVAL,
				"a second --%s, '%s'; expected one; see 'bulkhead help %s'",
				words[i].word.name, optarg, command->name);
		given[i] = true;
	}
	return 0;
}

/* getopt tells a character that is no ASCII by its bytes, each a char: where that has a sign, below 0. */
static bool is_odd(int told)
{
	return told < 0 || (told > 127 && told < 256);
}

/* The word with such a character, in which getopt still is while there are more of its bytes. */
static const char *odd_word(char **argv)
{
	const char *last = argv[optind - 1];

	return argv[optind] && (last[0] != '-' || !strchr(last, optopt)) ? argv[optind] : last;
}

/* getopt's own ':' and '?' become one line. Of a long option that it does not know optopt is 0. */
static int bad_word(struct arena *arena, struct diag *diag, const struct command *command, int word,
		    char **argv)
{
	const char *text = is_odd(optopt)		? odd_word(argv)
			   : optopt > 0 && optopt < 256 ? arena_printf(arena, "-%c", optopt)
							: argv[optind - 1];

	if (word == ':')
		return diag_refuse(diag, -EINVAL, "no value behind %s; see 'bulkhead help %s'",
				   text, command->name);
	if (optopt >= 256)
		return diag_refuse(diag, -EINVAL,
				   "a value in '%s', which takes none; see 'bulkhead "
				   "help %s'",
				   text, command->name);
	return diag_refuse(diag, -EINVAL, "unknown option '%s'%s", text,
			   option_hint(arena, command, text));
}

/* NULL: it is none of them. */
static const struct option *find_name(const struct option *known, const char *name, size_t len)
{
	for (; known->name; known++)
		if (strlen(known->name) == len && !strncmp(known->name, name, len))
			return known;
	return NULL;
}

/*
 * getopt takes what begins like one option alone for that one, so that '--n' would be --no-prove, and an
 * option for the value of the one before. Here each has its whole name, and is itself.
 */
static int check_names(struct arena *arena, struct diag *diag, const struct command *command,
		       const struct option *known, char **argv)
{
	const char *wants = NULL; /* the option before, where it wants a value */

	for (argv++; *argv && strcmp(*argv, "--") != 0; argv++) {
		size_t len = strcspn(*argv, "=");
		const struct option *option = NULL;

		if (!strncmp(*argv, "--", 2)) {
			option = find_name(known, *argv + 2, len - 2);
			if (!option)
				return diag_refuse(diag, -EINVAL, "unknown option '%s'%s", *argv,
						   option_hint(arena, command, *argv));
			if (wants)
				return diag_refuse(diag, -EINVAL,
						   "no value behind %s; see 'bulkhead help %s'",
						   wants, command->name);
		}
		wants = option && option->has_arg && !(*argv)[len] ? *argv : NULL;
	}
	return 0;
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

int options_find_command(int argc, char **argv)
{
	struct option known[ARRAY_LEN(words) + 1] = {};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		known[i] = words[i].word;
	optind = 0;
	opterr = 0;
	while (getopt_long(argc, argv, "+:o:h", known, NULL) != -1)
		;
	return optind;
}

int options_parse(const struct command *command, struct arena *arena, int argc, char **argv,
		  struct diag *diag, struct options *ret_options)
{
	struct options options = {.pins = BPFFS_DEFAULT_PINS, .state = STORE_DEFAULT};
	struct option known[ARRAY_LEN(words) + 1] = {};
	size_t n_known = 0;
	bool given[ARRAY_LEN(words)] = {};
	int word;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (words[i].option & (command->options | OPTION_HELP))
			known[n_known++] = words[i].word;
	}
	if (check_names(arena, diag, command, known, argv))
		return -EINVAL;
	/* With it getopt takes what stands behind the first word for words. */
	(void)unsetenv("POSIXLY_CORRECT");
	optind = 0;
	opterr = 0;
	while ((word = getopt_long(argc, argv, command->options & OPTION_JSON ? ":o:h" : ":h",
				   known, NULL)) != -1) {
		int err = word == ':' || word == '?' ? bad_word(arena, diag, command, word, argv)
						     : take_word(arena, word, diag, &options);

		if (!err)
			err = check_once(diag, command, word, given);
		if (err)
			return err;
	}
	for (int i = optind; i < argc; i++)
		array_push(arena, &options.args, argv[i]);
	if (!options.help && check_args(diag, command, &options))
		return -EINVAL;
	*ret_options = options;
	return 0;
}
