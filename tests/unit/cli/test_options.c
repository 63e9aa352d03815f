// SPDX-License-Identifier: GPL-2.0-only
/* The words of the command line. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "cli/command.h"

/* Takes every option, and one or two words. */
static const struct command all = {
	.name = "all",
	.args = "WORD [WORD]",
	.options = (1 << 12) - 1,
	.min_args = 1,
	.max_args = 2,
};

static const struct command none = {.name = "none", .args = ""};

enum { MAX_WORDS = 16 };

struct parsed {
	struct arena *arena;
	struct diag *diag;
	struct options options;
	int err;
	char *argv[MAX_WORDS + 1];
	int argc;
};

/* The words are parted by blanks. */
static void parse_words(struct parsed *parsed, const struct command *command, const char *text)
{
	struct str rest = str_of(text), word;

	*parsed = (struct parsed){.arena = arena_new(), .diag = diag_new()};
	while (parsed->argc < MAX_WORDS && str_word(&rest, &word))
		parsed->argv[parsed->argc++] = str_dup(parsed->arena, word);
	parsed->err = options_parse(command, parsed->arena, parsed->argc, parsed->argv,
				    parsed->diag, &parsed->options);
}

static void done(struct parsed *parsed)
{
	diag_free(parsed->diag);
	arena_free(parsed->arena);
}

static void refused(const struct command *command, const char *text, const char *words)
{
	const struct diag_message *messages;
	struct parsed parsed;
	size_t n = 0;

	parse_words(&parsed, command, text);
	cr_assert_eq(parsed.err, -EINVAL, "'%s' is taken", text);
	messages = diag_messages(parsed.diag, &n);
	cr_assert_eq(n, 1, "'%s': %zu messages", text, n);
	cr_assert_str_eq(messages[0].text, words);
	done(&parsed);
}

Test(options, every_option_arrives)
{
	struct parsed parsed;

	parse_words(&parsed, &all,
		    "all --host h --pins p --state s --policy a --policy=b --self 10.0.0.4 w");
	cr_assert_eq(parsed.err, 0);
	cr_assert_str_eq(parsed.options.host, "h");
	cr_assert_str_eq(parsed.options.pins, "p");
	cr_assert_str_eq(parsed.options.state, "s");
	cr_assert_eq(parsed.options.policies.len, 2);
	cr_assert_str_eq(parsed.options.policies.at[1], "b");
	cr_assert_str_eq(parsed.options.self, "10.0.0.4");
	cr_assert_not(parsed.options.json || parsed.options.watch || parsed.options.wait);
	done(&parsed);
	parse_words(&parsed, &all,
		    "all --interface eth0 --interface eth1 --allow-writable --wait --unused --dump "
		    "--count 7 --interval 3 -ojson w");
	cr_assert_eq(parsed.err, 0);
	cr_assert_eq(parsed.options.interfaces.len, 2);
	cr_assert_str_eq(parsed.options.interfaces.at[0], "eth0");
	cr_assert(parsed.options.allow_writable && parsed.options.wait && parsed.options.unused &&
		  parsed.options.dump && parsed.options.json && parsed.options.watch);
	cr_assert_eq(parsed.options.count, 7);
	cr_assert_eq(parsed.options.interval, 3);
	done(&parsed);
}

Test(options, options_may_stand_anywhere_and_end_at_two_dashes)
{
	static const char *const texts[] = {
		"all --json --host h one two",
		"all one --json --host h two",
		"all one two --host h -o json",
		"all one two --host=h --output json",
	};
	struct parsed parsed;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		parse_words(&parsed, &all, texts[i]);
		cr_assert_eq(parsed.err, 0, "%s", texts[i]);
		cr_assert(parsed.options.json);
		cr_assert_str_eq(parsed.options.host, "h");
		cr_assert_eq(parsed.options.args.len, 2);
		cr_assert_str_eq(parsed.options.args.at[0], "one");
		cr_assert_str_eq(parsed.options.args.at[1], "two");
		done(&parsed);
	}
	parse_words(&parsed, &all, "all one -- --json");
	cr_assert_eq(parsed.err, 0);
	cr_assert_not(parsed.options.json);
	cr_assert_str_eq(parsed.options.args.at[1], "--json");
	done(&parsed);
}

Test(options, a_second_value_is_refused_and_lists_and_flags_may_be_repeated)
{
	struct parsed parsed;

	refused(&all, "all --self 10.0.0.4 w --self=10.0.0.5",
		"a second --self, '10.0.0.5'; expected one; see 'bulkhead help all'");
	refused(&all, "all --host a --host a w",
		"a second --host, 'a'; expected one; see 'bulkhead help all'");
	refused(&all, "all --pins a --state b --pins c w",
		"a second --pins, 'c'; expected one; see 'bulkhead help all'");
	refused(&all, "all --state a --state b w",
		"a second --state, 'b'; expected one; see 'bulkhead help all'");
	refused(&all, "all --interval 1 --interval 2 w",
		"a second --interval, '2'; expected one; see 'bulkhead help all'");
	refused(&all, "all --count 1 --count 2 w",
		"a second --count, '2'; expected one; see 'bulkhead help all'");
	parse_words(
		&parsed, &all,
		"all --json --json --wait --wait --policy a --policy a --interface b --interface b "
		"w");
	cr_assert_eq(parsed.err, 0);
	cr_assert_eq(parsed.options.policies.len, 2);
	cr_assert_eq(parsed.options.interfaces.len, 2);
	done(&parsed);
}

Test(options, places_have_defaults_and_the_last_form_of_output_holds)
{
	struct parsed parsed;

	parse_words(&parsed, &all, "all --json -o text w");
	cr_assert_eq(parsed.err, 0);
	cr_assert_not(parsed.options.json);
	cr_assert_null(parsed.options.host);
	cr_assert_str_eq(parsed.options.pins, "/sys/fs/bpf/bulkhead");
	cr_assert_str_eq(parsed.options.state, "/var/lib/bulkhead");
	done(&parsed);
}

Test(options, help_needs_no_words)
{
	struct parsed parsed;

	parse_words(&parsed, &all, "all -h");
	cr_assert_eq(parsed.err, 0);
	cr_assert(parsed.options.help);
	done(&parsed);
	parse_words(&parsed, &none, "none --help");
	cr_assert_eq(parsed.err, 0);
	cr_assert(parsed.options.help);
	done(&parsed);
}

Test(options, wrong_usage_is_one_line)
{
	refused(&all, "all", "too few words; usage: bulkhead all WORD [WORD]");
	refused(&all, "all a b c", "too many words, from 'c'; usage: bulkhead all WORD [WORD]");
	refused(&none, "none a", "too many words, from 'a'; usage: bulkhead none");
	refused(&none, "none --json", "unknown option '--json'; see 'bulkhead help none'");
	refused(&none, "none -o json", "unknown option '-o'; see 'bulkhead help none'");
	refused(&all, "all --jsn w", "unknown option '--jsn'; did you mean '--json'?");
	refused(&all, "all -xo json w", "unknown option '-x'; see 'bulkhead help all'");
	refused(&all, "all -\u00e9 w", "unknown option '-\u00e9'; see 'bulkhead help all'");
	refused(&all, "all --json w -\u00e9", "unknown option '-\u00e9'; see 'bulkhead help all'");
	refused(&all, "all w -h\u00e9", "unknown option '-h\u00e9'; see 'bulkhead help all'");
	refused(&all, "all w -\xe9", "unknown option '-?'; see 'bulkhead help all'");
	refused(&all, "all w --host", "no value behind --host; see 'bulkhead help all'");
	refused(&all, "all w -o", "no value behind -o; see 'bulkhead help all'");
	refused(&all, "all --json=1 w",
		"a value in '--json=1', which takes none; see 'bulkhead help all'");
	refused(&all, "all -o yaml w", "'yaml' behind -o; expected text or json");
	refused(&all, "all --count 0 w", "'0' behind --count; expected a number, 1 to 4294967295");
	refused(&all, "all --count 01 w",
		"'01' behind --count; expected a number, 1 to 4294967295");
	refused(&all, "all --interval 86401 w",
		"'86401' behind --interval; expected a number, 1 to 86400");
}

static int command_in(const char *text)
{
	struct parsed parsed;
	int at;

	parse_words(&parsed, &none, text);
	at = options_find_command(parsed.argc, parsed.argv);
	done(&parsed);
	return at;
}

Test(options, the_command_is_the_first_word_that_is_no_option_nor_its_value)
{
	cr_assert_eq(command_in("bulkhead check a"), 1);
	cr_assert_eq(command_in("bulkhead check --host x a"), 1);
	cr_assert_eq(command_in("bulkhead --json check a"), 2);
	cr_assert_eq(command_in("bulkhead --host check check"), 3);
	cr_assert_eq(command_in("bulkhead --host=check check"), 2);
	cr_assert_eq(command_in("bulkhead -o json --nosuch check"), 4);
	cr_assert_eq(command_in("bulkhead -- check"), 2);
	cr_assert_eq(command_in("bulkhead"), 1);
	cr_assert_eq(command_in("bulkhead --json"), 2);
}
