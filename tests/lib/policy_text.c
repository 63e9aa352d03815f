// SPDX-License-Identifier: GPL-2.0-only
/* From text to policy in one call. */
#include "tests/lib/policy_text.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "policy/parse.h"
#include "policy/resolve.h"
#include "policy/source.h"

static void start(struct loaded *loaded)
{
	*loaded = (struct loaded){.arena = arena_new(), .diag = diag_new()};
	hostconf_init(&loaded->host);
}

static void note(struct loaded *loaded, int err)
{
	if (!loaded->err)
		loaded->err = err;
}

static void finish(struct loaded *loaded)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	diag_print(loaded->diag, out);
	fclose(out);
	loaded->messages = arena_copy(loaded->arena, text, size);
	free(text);
}

static void resolve_files(struct loaded *loaded, struct ast_file *const *files, size_t n)
{
	if (!loaded->err)
		note(loaded, resolve(loaded->arena, files, n, &loaded->host, loaded->diag,
				     &loaded->policy));
}

static struct ast_file *parse_one(struct loaded *loaded, const struct source *source)
{
	struct ast_file *file = arena_alloc(loaded->arena, sizeof(*file));

	note(loaded, parse(loaded->arena, source, loaded->diag, file));
	return file;
}

static const struct source *source_of(struct arena *arena, const char *path, const char *text)
{
	struct source *source = arena_alloc(arena, sizeof(*source));

	source->path = path;
	source->text = str_of(text);
	return source;
}

void load_texts(struct loaded *loaded, const char *host, const char *const *texts)
{
	ARRAY(struct ast_file *) files = {};

	start(loaded);
	if (host)
		note(loaded,
		     hostconf_parse(loaded->arena, source_of(loaded->arena, "host.yaml", host),
				    loaded->diag, &loaded->host));
	for (size_t i = 0; texts[i]; i++) {
		const char *path = arena_printf(loaded->arena, "%c.yaml", (char)('a' + i));

		array_push(loaded->arena, &files,
			   parse_one(loaded, source_of(loaded->arena, path, texts[i])));
	}
	resolve_files(loaded, files.at, files.len);
	finish(loaded);
}

static void open_one(struct loaded *loaded, const char *path, source_files *files)
{
	if (!loaded->err)
		note(loaded, source_open(loaded->arena, path, loaded->diag, files));
}

static void load_host(struct loaded *loaded, const char *path)
{
	source_files files = {};

	if (access(path, F_OK))
		return;
	open_one(loaded, path, &files);
	if (!loaded->err)
		note(loaded, hostconf_parse(loaded->arena, &files.at[0]->source, loaded->diag,
					    &loaded->host));
}

static void load_table(struct loaded *loaded, const char *path)
{
	source_files files = {};

	open_one(loaded, path, &files);
	if (loaded->err)
		return;
	note(loaded,
	     table_parse(loaded->arena, &files.at[0]->source, loaded->diag, &loaded->table));
	if (!loaded->err)
		table_set_network(&loaded->table, &loaded->host);
}

static void load_policy(struct loaded *loaded, const char *dir, const char *name)
{
	const char *path = arena_printf(loaded->arena, "%s/%s.yaml", dir, name);
	ARRAY(struct ast_file *) files = {};
	source_files sources = {};

	if (access(path, F_OK))
		path = arena_printf(loaded->arena, "%s/%s", dir, name);
	open_one(loaded, path, &sources);
	for (size_t i = 0; i < sources.len; i++)
		array_push(loaded->arena, &files, parse_one(loaded, &sources.at[i]->source));
	resolve_files(loaded, files.at, files.len);
}

void load_files(struct loaded *loaded, const char *dir, const char *name)
{
	start(loaded);
	load_host(loaded, arena_printf(loaded->arena, "%s/%s.host.yaml", dir, name));
	load_table(loaded, arena_printf(loaded->arena, "%s/%s.table", dir, name));
	load_policy(loaded, dir, name);
	if (!loaded->err)
		note(loaded,
		     table_bind(loaded->arena, &loaded->policy, &loaded->table, loaded->diag));
	finish(loaded);
}

void unload(struct loaded *loaded)
{
	diag_free(loaded->diag);
	arena_free(loaded->arena);
	*loaded = (struct loaded){};
}

uint32_t find_rule(const struct loaded *loaded, const char *path)
{
	for (uint32_t i = 0; i < loaded->policy.rules.len; i++)
		if (!strcmp(policy_rule_path(loaded->arena, &loaded->policy, i), path))
			return i;
	return POLICY_NO_RULE;
}

const char *verdict_text(struct arena *arena, const struct policy *policy,
			 const struct verdict *verdict)
{
	const char *decider = eval_reason_name(verdict->reason);

	if (verdict->reason == EVAL_RULE && verdict->outcome.rule != POLICY_NO_RULE)
		decider = policy_rule_path(arena, policy, verdict->outcome.rule);
	return arena_printf(arena, "%s %s%s%s", verdict->allow ? "allow" : "deny", decider,
			    verdict->would_deny ? " would-deny" : "",
			    verdict->by_flow ? " by-flow" : "");
}
