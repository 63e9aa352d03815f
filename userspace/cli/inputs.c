// SPDX-License-Identifier: GPL-2.0-only
/* Files → policy → image, for the commands; see cli/inputs.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/inputs.h"
#include "policy/parse.h"

static bool is_folder(const char *path)
{
	struct stat info;

	return !stat(path, &info) && S_ISDIR(info.st_mode);
}

int inputs_open_file(struct context *context, const char *path, const char *what,
		     source_files *files)
{
	if (is_folder(path))
		return diag_bad(context->diag, (struct mark){},
				"'%s' is a folder; expected a file, %s", path, what);
	return source_open(context->arena, path, context->diag, files);
}

/* Names that people give to host.yaml, and that nobody reads. */
static void warn_of_others(struct context *context)
{
	static const char *const others[] = {"/etc/bulkhead/host.yml", "/etc/bulkhead/host.YAML",
					     "/etc/bulkhead/host.YML"};
	struct stat info;

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (!lstat(others[i], &info))
			diag_warn(context->diag, (struct mark){},
				  "'%s' is not read, and the defaults hold: its name has to be "
				  "host.yaml",
				  others[i]);
}

int inputs_host(struct context *context, struct inputs *inputs)
{
	const char *path = context->options.host;
	struct stat info;
	int err;

	hostconf_init(&inputs->host);
	/* A link to nowhere, or a folder that is closed to us, is not the wish for the defaults. */
	if (!path && lstat(INPUTS_DEFAULT_HOST, &info) && errno == ENOENT) {
		warn_of_others(context);
		array_push(context->arena, &inputs->folders, INPUTS_DEFAULT_HOST);
		return 0;
	}
	path = path ? path : INPUTS_DEFAULT_HOST;
	inputs->host.flawed = true;
	err = inputs_open_file(context, path, "host.yaml", &inputs->files);
	if (err)
		return err;
	err = hostconf_parse(context->arena, &array_last(&inputs->files)[0]->source, context->diag,
			     &inputs->host);
	inputs->host.flawed = err;
	return err == -EBADMSG ? 0 : err;
}

/* Parses the policy files; one that gives no tree stands as an unread one. */
static int read_trees(struct context *context, const struct inputs *inputs, struct ast_file **trees)
{
	int err = 0;

	for (size_t i = 0; i < inputs->n_policy_files; i++) {
		int bad = parse(context->arena, &inputs->files.at[i]->source, context->diag,
				trees[i]);

		trees[i]->unread = bad;
		err = bad ? bad : err;
	}
	return err;
}

/*
 * Resolves what could be read, so that one run tells the mistakes of every file. The last tree
 * stands for those that could not be opened, if some could not.
 */
static int resolve_files(struct context *context, struct inputs *inputs, bool some_unread)
{
	size_t len = inputs->n_policy_files + 1;
	struct ast_file **trees = arena_calloc(context->arena, len, sizeof(struct ast_file *));
	int err, bad;

	for (size_t i = 0; i < len; i++)
		trees[i] = arena_calloc(context->arena, 1, sizeof(struct ast_file));
	trees[len - 1]->unread = some_unread;
	err = read_trees(context, inputs, trees);
	bad = resolve(context->arena, trees, len, &inputs->host, context->diag, &inputs->policy);
	return err ? err : bad;
}

int inputs_policy(struct context *context, const char *const *paths, size_t n_paths,
		  const struct table *table, struct inputs *ret_inputs)
{
	static const char *const default_paths[] = {INPUTS_DEFAULT_POLICY};
	struct inputs inputs = {};
	bool some_unread;
	int err = 0, bad;

	if (!n_paths) {
		paths = default_paths;
		n_paths = 1;
	}
	for (size_t i = 0; i < n_paths; i++) {
		bad = source_open(context->arena, paths[i], context->diag, &inputs.files);
		err = bad ? bad : err;
		if (is_folder(paths[i]))
			array_push(context->arena, &inputs.folders, paths[i]);
	}
	some_unread = err;
	inputs.n_policy_files = inputs.files.len;
	bad = inputs_host(context, &inputs);
	err = bad ? bad : err;
	if (!err)
		err = source_check_still(&inputs.files, context->diag);
	if (table)
		table_set_network(table, &inputs.host);
	bad = resolve_files(context, &inputs, some_unread);
	err = err ? err : bad;
	if (!err)
		*ret_inputs = inputs;
	return err;
}

const struct source **inputs_sources(struct context *context, const struct inputs *inputs)
{
	const struct source **sources =
		arena_calloc(context->arena, inputs->files.len + 1, sizeof(*sources));

	for (size_t i = 0; i < inputs->files.len; i++)
		sources[i] = &inputs->files.at[i]->source;
	return sources;
}

int inputs_build(struct context *context, struct inputs *inputs)
{
	struct build_limits limits = build_limits_default();

	return build(context->arena, &inputs->policy, inputs_sources(context, inputs),
		     inputs->files.len, &limits, context->diag, &inputs->image);
}

int inputs_check_options(struct context *context)
{
	const struct options *options = &context->options;
	const char *words = NULL;

	if (options->policies.len && options->places)
		words = "--pins and --state name a policy in force, and --policy asks for another";
	else if (options->policies.len && options->unused)
		words = "--unused needs the counters of a policy in force, not --policy";
	else if (!options->policies.len && options->host)
		words = "--host goes with --policy; the policy in force has its own";
	else if (!options->policies.len && options->self)
		words = "--self goes with --policy; the policy in force has the host's own "
			"addresses";
	return words ? diag_refuse(context->diag, -EINVAL, "%s", words) : 0;
}

static int compare_addresses(const void *a, const void *b)
{
	return addr_compare(a, b);
}

int inputs_self(struct context *context, addr_list *ret_self)
{
	struct str rest = str_of(context->options.self);
	addr_list self = {};
	bool more = true;

	while (more) {
		struct str word = rest;
		struct addr addr;

		more = str_cut(rest, ',', &word, &rest);
		if (addr_parse(word, &addr))
			return diag_refuse(context->diag, -EINVAL,
					   "'" STR_FMT
					   "' behind --self; expected addresses with a comma "
					   "between",
					   STR_ARG(word));
		array_push(context->arena, &self, addr);
	}
	qsort(self.at, self.len, sizeof(*self.at), compare_addresses);
	*ret_self = self;
	return 0;
}

/* As JOURNAL_STREAM says, by device and inode (systemd.exec(5)); a unit may have sent stderr elsewhere. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char own[64];
	struct stat stat;

	if (!stream || fstat(STDERR_FILENO, &stat))
		return false;
	(void)snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)stat.st_dev, (uintmax_t)stat.st_ino);
	return strcmp(stream, own) == 0;
}

void inputs_print(const struct diag *diag)
{
	(stderr_is_journal() ? diag_print_levels : diag_print)(diag, stderr);
}

void inputs_tell(const char *words)
{
	scoped(diag_free) struct diag *now = diag_new();

	diag_note(now, (struct mark){}, "%s", words);
	inputs_print(now);
}

host_patterns inputs_patterns(struct context *context, const struct hostconf *host)
{
	const struct options *options = &context->options;
	struct arena *arena = context->arena;
	host_patterns patterns = {};

	for (size_t i = 0; i < options->interfaces.len; i++)
		array_push(arena, &patterns,
			   (struct host_pattern){.text = str_of(options->interfaces.at[i])});
	for (size_t i = 0; !options->interfaces.len && i < host->interfaces.len; i++)
		array_push(arena, &patterns,
			   (struct host_pattern){.text = host->interfaces.at[i].text,
						 .at = host->interfaces.at[i].mark});
	return patterns;
}

uint64_t inputs_clock(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int inputs_packet(struct context *context, struct tuple *ret_tuple)
{
	/* Wrong usage is one line: a source without text has no line to show. */
	struct source *nowhere = arena_alloc(context->arena, sizeof(*nowhere));
	const char *text = "";
	int err;

	/* A packet has nine words. One too many is told; the thousandth would say no more. */
	for (size_t i = 0; i < context->options.args.len && i < 16; i++)
		text = arena_printf(context->arena, "%s%s%s", text, i ? " " : "",
				    context->options.args.at[i]);
	nowhere->path = "PACKET";
	err = tuple_parse(str_of(text), (struct mark){.source = nowhere, .line = 1, .column = 1},
			  context->diag, ret_tuple);
	return err ? -EINVAL : 0;
}
