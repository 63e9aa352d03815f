/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a command is, what it is handed, and the exit statuses. A command parses nothing itself:
 * its row says which options it takes; run does, shows, and returns a status.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "base/arena.h"
#include "base/array.h"
#include "base/diag.h"
#include "cli/view.h"

/* The one table of exit statuses; the man page repeats its texts, and a test compares them. */
#define EXIT_STATUSES(X)                              \
	X(DONE, 0, "done")                            \
	X(FAILED, 1, "failed")                        \
	X(USAGE, 2, "wrong usage")                    \
	X(INVALID, 3, "policy invalid")               \
	X(CANNOT_ATTACH, 4, "cannot attach")          \
	X(OVER_LIMIT, 5, "over a limit")              \
	X(KERNEL, 6, "refused by the kernel")         \
	X(ROLLED_BACK, 7, "rolled back")              \
	X(LOCKOUT, 8, "refused by the lockout guard") \
	X(NO, 9, "the answer is no")                  \
	X(PENDING, 10, "changes pending")

enum exit_status {
#define X(constant, number, words) STATUS_##constant = (number),
	EXIT_STATUSES(X)
#undef X
};

/* NULL for a number that is no status. */
const char *exit_status_words(int status);

/* What an error of the layers below means to the caller of the program. */
enum exit_status exit_status_of(int err);

/* Options, as bits of what a command takes. */
enum option_bit {
	OPTION_JSON = 1 << 0,	   /* -o text|json, --json */
	OPTION_HOST = 1 << 1,	   /* --host FILE */
	OPTION_PLACES = 1 << 2,	   /* --pins DIR, --state DIR */
	OPTION_POLICY = 1 << 3,	   /* --policy FILE, repeated */
	OPTION_SELF = 1 << 4,	   /* --self ADDR,... */
	OPTION_INTERFACE = 1 << 5, /* --interface NAME, repeated */
	OPTION_WRITABLE = 1 << 6,  /* --allow-writable */
	OPTION_WAIT = 1 << 7,	   /* --wait */
	OPTION_UNUSED = 1 << 8,	   /* --unused */
	OPTION_INTERVAL = 1 << 9,  /* --interval SECONDS, --watch */
	OPTION_COUNT = 1 << 10,	   /* --count N */
	OPTION_DUMP = 1 << 11,	   /* --dump */
	OPTION_HELP = 1 << 12,	   /* -h, --help; every command takes it */
	OPTION_PROVE = 1 << 13,	   /* --prove, --no-prove */
	OPTION_COST = 1 << 14,	   /* --explain-cost */
};

/* Whether apply proves its image first. */
enum prove_when {
	PROVE_IF_QUICK,
	PROVE_ALWAYS,
	PROVE_NEVER,
};

struct options {
	bool json;
	const char *host; /* NULL: the default place, if there is a file */
	const char *pins;
	const char *state;
	bool places; /* --pins or --state was given */
	ARRAY(const char *) policies;
	ARRAY(const char *) interfaces;
	const char *self; /* NULL: not given */
	bool allow_writable;
	bool wait;
	bool unused;
	bool watch;
	bool dump;
	bool help;	       /* show the command's own help instead of running it */
	enum prove_when prove; /* the last word counts */
	bool explain_cost;
	unsigned interval; /* seconds; 0: not given */
	uint64_t count;	   /* 0: no end */
	ARRAY(const char *) args;
};

struct context {
	struct arena *arena;
	struct diag *diag;
	struct options options;
	struct view *view;
	const char *
		done; /* what is so by now, also where the output cannot be written; NULL: nothing */
};

struct command {
	const char *name;
	const char *args;    /* for help: "[FILE...]" */
	const char *summary; /* one line, no full stop */
	const char *more;    /* further lines for help, each with its end; NULL: none */
	unsigned options;    /* enum option_bit */
	size_t min_args;
	size_t max_args;
	/* A status, or a negative errno that exit_status_of turns into one. */
	int (*run)(struct context *context);
};

extern const struct command cmd_apply, cmd_check, cmd_detach, cmd_doctor, cmd_explain, cmd_flows,
	cmd_help, cmd_prove, cmd_rules, cmd_stats, cmd_status, cmd_test, cmd_version, cmd_watch;

/* All commands, sorted by name. */
extern const struct command *const commands[];
extern const size_t n_commands;

/* What helps with a word that is no command: the one that was meant, perhaps; the end of a line. */
const char *command_hint(struct arena *arena, const char *name);

/* The index of the command's name among the words, argc for none: options may stand before it. */
int options_find_command(int argc, char **argv);

/*
 * Reads the words of a command, whose name is argv[0]; options may stand anywhere. -EINVAL with one
 * message for wrong usage, as a second value of an option that is no list.
 */
int options_parse(const struct command *command, struct arena *arena, int argc, char **argv,
		  struct diag *diag, struct options *ret_options);

#endif
