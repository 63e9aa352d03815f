// SPDX-License-Identifier: GPL-2.0-only
/*
 * image-dump: policy files as an image, as text. What the golden cases with a NAME.image compare;
 * nothing else prints an image whole.
 */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/diag.h"
#include "classify/build.h"
#include "policy/hostconf.h"
#include "policy/parse.h"
#include "policy/resolve.h"
#include "policy/source.h"

/* argv: [--host FILE] POLICY... */
struct request {
	const char *host; /* NULL: no host.yaml */
	char **policies;
	int n_policies;
};

static int read_host(struct arena *arena, const char *path, struct diag *diag,
		     struct hostconf *ret_conf)
{
	source_files files = {};
	int error;

	hostconf_init(ret_conf);
	if (!path)
		return 0;
	error = source_open(arena, path, diag, &files);
	return error ? error : hostconf_parse(arena, &files.at[0]->source, diag, ret_conf);
}

static int read_policy(struct arena *arena, const struct request *request, struct diag *diag,
		       const struct hostconf *host, source_files *files, struct policy *ret_policy)
{
	ARRAY(struct ast_file *) trees = {};
	int error = 0;

	for (int i = 0; i < request->n_policies && !error; i++)
		error = source_open(arena, request->policies[i], diag, files);
	for (size_t i = 0; i < files->len && !error; i++) {
		struct ast_file *tree = arena_calloc(arena, 1, sizeof(*tree));

		error = parse(arena, &files->at[i]->source, diag, tree);
		array_push(arena, &trees, tree);
	}
	return error ? error : resolve(arena, trees.at, trees.len, host, diag, ret_policy);
}

static int dump(struct arena *arena, const struct request *request, struct diag *diag)
{
	struct build_limits limits = build_limits_default();
	ARRAY(const struct source *) sources = {};
	source_files files = {};
	struct policy policy;
	struct hostconf host;
	struct image image;
	int error;

	error = read_host(arena, request->host, diag, &host);
	if (!error)
		error = read_policy(arena, request, diag, &host, &files, &policy);
	for (size_t i = 0; i < files.len; i++)
		array_push(arena, &sources, &files.at[i]->source);
	if (!error)
		error = build(arena, &policy, sources.at, sources.len, &limits, diag, &image);
	if (!error)
		image_print(&image, stdout);
	return error;
}

int main(int argc, char **argv)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	struct request request = {.policies = argv + 1, .n_policies = argc - 1};
	int error;

	if (argc > 2 && !strcmp(argv[1], "--host")) {
		request.host = argv[2];
		request.policies = argv + 3;
		request.n_policies = argc - 3;
	}
	error = dump(arena, &request, diag);
	diag_print(diag, stderr);
	return error ? 1 : 0;
}
