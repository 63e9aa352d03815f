/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The first steps that many commands share: files → trees → policy → image.
 */
#ifndef CLI_INPUTS_H
#define CLI_INPUTS_H

#include "classify/build.h"
#include "cli/command.h"
#include "host/facts.h"
#include "kernel/store.h"
#include "policy/eval.h"
#include "policy/resolve.h"
#include "policy/source.h"
#include "policy/table.h"

#define INPUTS_DEFAULT_POLICY "/etc/bulkhead/policy.d"
#define INPUTS_DEFAULT_HOST   "/etc/bulkhead/host.yaml"

struct inputs {
	source_files files; /* host.yaml last, where there is one */
	size_t n_policy_files;
	store_names folders; /* among the paths; also host.yaml's place, where there is none */
	struct hostconf host;
	struct policy policy;
	struct image image; /* after inputs_build */
};

/*
 * Reads host.yaml (--host, or the default place unless nothing of that name is there) and the policy
 * files of the paths (none: the default folder) and resolves them. table, when not NULL, may put its
 * network in place of host.yaml's. Every mistake of every file is in the diag.
 */
int inputs_policy(struct context *context, const char *const *paths, size_t n_paths,
		  const struct table *table, struct inputs *ret_inputs);

/* Opens what is one file, and refuses a folder; what says of which kind it is to be. */
int inputs_open_file(struct context *context, const char *path, const char *what,
		     source_files *files);

/*
 * Reads host.yaml alone, as above: into inputs->host, whose source is NULL where there is none, and
 * behind inputs->files. One with mistakes is flawed and no error: resolve refuses it when it has
 * told its own.
 */
int inputs_host(struct context *context, struct inputs *inputs);

int inputs_build(struct context *context, struct inputs *inputs);

/* The sources of the image: the policy files, then host.yaml. */
const struct source **inputs_sources(struct context *context, const struct inputs *inputs);

/*
 * Whether --policy and what is of use only beside it, or only without it, are given together as
 * they may be; else -EINVAL with one line.
 */
int inputs_check_options(struct context *context);

/* --self as addresses, sorted. -EBADMSG when one is no address. */
int inputs_self(struct context *context, addr_list *ret_self);

/*
 * The packet of the command line, whose words may stand apart or in one argument. -EINVAL with one
 * line for a packet that is not well formed.
 */
int inputs_packet(struct context *context, struct tuple *ret_tuple);

/* Prints all messages on stderr, with their levels where that is the journal. */
void inputs_print(const struct diag *diag);

/* Says at once what somebody is to wait for, as a note on stderr. */
void inputs_tell(const char *words);

/* The links to cover, for host_select: --interface, else host.yaml's. */
host_patterns inputs_patterns(struct context *context, const struct hostconf *host);

/* Milliseconds of a clock that only goes forward, for what a step took. */
uint64_t inputs_clock(void);

#endif
