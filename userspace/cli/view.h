/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Results, shown: one typed function per thing, for people (view_text.c) and for programs
 * (view_json.c). A command says what there is and never how it looks. Texts are borrowed until
 * view_end; NULL and "" both mean that there is none.
 */
#ifndef CLI_VIEW_H
#define CLI_VIEW_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/diag.h"
#include "base/scoped.h"

/* The place of a rule in its file. */
struct view_place {
	const char *file;
	uint32_t line;
};

/* How the classes of one direction lead to outcomes. */
struct view_product {
	const char *kind; /* pairs or bits */
	uint32_t n_sources;
	uint32_t n_destinations;
	uint32_t n_protocols;
};

/* Nanoseconds: with all tables in the caches, and with a million different packets. */
struct view_ns {
	double hot;
	double cold;
};

/* A table that was chosen. */
struct view_structure {
	const char *name;
	const char *form;
	uint64_t bytes;
	bool in_image; /* of check's table_bytes; else of the host's own tables */
	bool timed;    /* ns are known; else it is used by few packets or none */
	struct view_ns ns;
	bool explained; /* the reasons are to be shown */
	size_t n_reasons;
	const char *const *reasons;
};

/* What check found; bytes are of tables. */
struct view_check {
	uint32_t n_files;
	uint32_t n_groups;
	uint32_t n_rules[2]; /* inbound, outbound; default rules included */
	uint32_t n_disabled;
	uint32_t n_prefixes;
	uint32_t n_classes;
	uint32_t n_outcomes;
	uint64_t table_bytes;
	uint32_t n_pages;
	uint64_t memory;		/* of the kernel, when applied */
	const char *address4;		/* the structure that was chosen */
	struct view_product product[2]; /* inbound, outbound */
	const char *digest;
	struct view_ns packet[2][2]; /* by direction, then IPv4 and IPv6: the policy's word */
	struct view_ns flow[2];	     /* IPv4, IPv6: and the packet's flow */
	size_t n_warnings;
};

struct view_counts {
	uint64_t packets;
	uint64_t bytes;
	uint64_t reply_packets;
	uint64_t reply_bytes;
	uint64_t flows;
	uint64_t would_denied;
	uint64_t last; /* seconds since 1970; 0: never */
};

struct view_rule {
	uint32_t id; /* of an enabled one */
	const char *group;
	const char *name;
	const char *tier;
	const char *direction;
	const char *access; /* NULL: not known of a disabled one */
	uint32_t priority;
	struct view_place place;
	const char *description;
	const char *protocols;
	const char *source;
	const char *destination;
	bool is_default;
	bool enabled;
	bool log;
	bool audit;
	bool counted; /* counts and since are known */
	uint64_t since;
	struct view_counts counts;
};

struct view_reason {
	const char *name;
	const char *kind; /* never-denied, deny, allow */
	const char *direction;
	bool off; /* switched off in host.yaml */
	bool counted;
	struct view_counts counts;
};

/* One rule that explain tried. */
struct view_step {
	uint32_t priority;
	const char *rule;
	const char *access;
	bool protocol, source, source_port, destination, destination_port;
	bool matched;
	struct view_place place;
};

struct view_tier {
	const char *name;
	const char *group; /* NULL: the tier has none */
	bool reached;
	size_t n_steps;
	const struct view_step *steps;
};

struct view_explain {
	const char *packet;
	const char *opener; /* the packet that would have opened the flow whose tiers are shown */
	const char *before; /* decided before any rule, by that reason */
	size_t n_tiers;
	const struct view_tier *tiers;
	bool allow;
	bool would_deny;
	bool by_flow;
	const char *decider; /* group/rule, or a reason */
	struct view_place place;
	const char *kernel; /* the loaded program's own answer; NULL: not asked */
	bool kernel_agrees;
};

/* A row of a verdict table that differs; explain is shown under it. */
struct view_difference {
	struct view_place place;
	const char *packet;
	const char *expected;
	const char *seen;
};

struct view_tested {
	size_t n_rows;
	size_t n_differ;
	size_t n_shown; /* of those that differ, the first ones */
};

/* One side's word on a packet. */
struct view_answer {
	const char *verdict; /* allow, deny, would-deny */
	const char *decider; /* group/rule, or no-group */
	struct view_place place;
	const char *tiers[3]; /* the rule matched in admin, subnet, nic; "none" */
	const char *direction;
	bool log;
	bool keep;
	bool no_state;
};

/* Whether the image says what the policy says, and if not, one packet that shows it. */
struct view_proof {
	bool holds;
	const char *fault;  /* what is wrong with the image for all packets; then no packet */
	const char *packet; /* PACKET */
	const char *self;   /* the addresses in it that are the host's own, as for --self */
	struct view_answer expected, found;
	uint64_t n_differ; /* combinations of classes */
	uint64_t n_segments;
	uint64_t n_services;
	uint64_t n_pairs;
	uint64_t n_combinations;
	uint64_t milliseconds;
};

struct view_hook {
	const char *interface;
	bool gone;	       /* that was its name: it is here no longer */
	const char *direction; /* ingress, egress */
	const char *hook;      /* native, generic, tcx, clsact; "none" */
	const char *why;       /* why not a better one */
	uint32_t program;
	bool first; /* nothing runs before it */
};

struct view_applied {
	bool changed;
	bool first;
	bool hooks_changed;
	bool addresses_changed;
	uint64_t generation;
	const char *digest;
	const char *mode; /* enforce, audit */
	uint32_t n_rules;
	uint32_t n_audit; /* rules of them that would deny and only report */
	uint32_t n_prefixes;
	uint32_t n_addresses;
	uint32_t n_moved_flows;
	bool proven;
	bool not_to_be_proven; /* as was asked */
	uint64_t memory;
	uint64_t in_force_after; /* milliseconds, 0 when nothing changed */
	uint64_t milliseconds;
};

struct view_detached {
	bool was_enforcing; /* a generation, or a program on a hook */
	uint32_t n_hooks;
	uint64_t generation; /* 0: none was in force */
	bool left_overs;     /* nothing was enforced, and something lay under the pins */
	const char *pins;
};

/* Who filters on the links of this host, by the pins that were asked for. */
#define VIEW_FILTERERS(X)                                                                         \
	X(NOBODY, "nobody", "not enforcing")                                                      \
	X(PINS, "these pins",                                                                     \
	  "enforcing what cannot be told: the state is missing, cut or another's")                \
	X(LOST_PINS, "lost pins", "enforcing what cannot be read: pins are missing")              \
	X(VERSION, "another version", "enforcing, but this version cannot read it")               \
	X(INSTANCE, "another instance", "not enforcing by these pins, but another bulkhead does") \
	X(NO_PINS, "no pins",                                                                     \
	  "enforcing what cannot be read: programs whose pins are not to be found")               \
	X(UNKNOWN, "unknown",                                                                     \
	  "not enforcing by these pins, as far as can be seen; whether anybody else does is not " \
	  "known")

enum view_filterer {
#define X(constant, name, words) VIEW_FILTERER_##constant,
	VIEW_FILTERERS(X)
#undef X
};

const char *view_filterer_name(enum view_filterer by);
const char *view_filterer_words(enum view_filterer by);

struct view_status {
	bool enforcing; /* the policy of these pins, and it can be read */
	enum view_filterer by;
	uint64_t generation;
	uint64_t since;	  /* enforcing without a break, seconds since 1970 */
	uint64_t applied; /* this policy */
	const char *digest;
	const char *mode; /* enforce, audit */
	uint32_t n_rules;
	uint32_t n_audit; /* as above */
	uint64_t memory;
	uint32_t n_unused_pages;
	const char *pins;
	const char *state;
};

/* A file that the policy in force came from, or would come from if it were applied again. */
struct view_file {
	const char *path;
	const char *digest; /* as it was applied; "" of a new one */
	const char *now;    /* unchanged, changed, gone, not here, new */
};

struct view_table {
	const char *name;
	uint32_t used;
	uint32_t size;
};

/* What is wrong (problem true) or not covered. */
struct view_remark {
	bool problem;
	const char *words;
};

struct view_flow {
	const char *protocol;
	const char *local;
	const char *remote;
	const char *direction; /* of the opening */
	const char *state;
	uint64_t age;  /* seconds since it was opened */
	uint64_t idle; /* seconds since the last packet */
	uint64_t ends; /* seconds until it ends when nothing more comes */
	const char *rule;
	bool audit;
	bool kept;
	bool picked_up;
};

/* A line of stats: a dimension and its value. */
struct view_stat {
	const char *by; /* verdict, interface, reason, tier, note */
	const char *name;
	const char *direction; /* "": it has none */
	uint64_t packets;
	uint64_t bytes;
	double packet_rate; /* a second; below 0: not known */
	double byte_rate;   /* the same */
};

struct view_event {
	uint64_t time; /* ns since 1970 */
	const char *verdict;
	const char *direction;
	const char *interface;
	const char *packet; /* PACKET */
	const char *decider;
	struct view_place place;
	uint32_t length;
	uint32_t packets;
	uint64_t generation;
	bool by_flow;
};

struct view_watched {
	uint64_t n_events;
	uint64_t n_lost;
	uint64_t n_limited;
};

/*
 * That a command was refused or has failed; with status 0, that it is done and what it has warned of. People
 * read the diag's messages on stderr.
 */
struct view_failure {
	int status; /* the exit status, and its words */
	const char *meaning;
	const struct diag *diag;
};

/* A line of doctor. */
struct view_finding {
	const char *level; /* ok, note, warning, error, unknown */
	const char *subject;
	const char *words;
};

/* A command, for help. */
struct view_help_option {
	const char *words; /* "--host FILE" */
	const char *summary;
};

struct view_help {
	const char *name;
	const char *args;
	const char *summary;
	const char *more; /* lines, each with its end */
	size_t n_options;
	const struct view_help_option *options;
};

struct view_version {
	const char *version;
	uint32_t abi;
};

struct view;

struct view_ops {
	/* Things of this kind follow, perhaps none: "flows". A program then finds an empty list. */
	void (*list)(struct view *view, const char *name);
	void (*check)(struct view *view, const struct view_check *check);
	void (*structure)(struct view *view, const struct view_structure *structure);
	void (*rule)(struct view *view, const struct view_rule *rule);
	void (*reason)(struct view *view, const struct view_reason *reason);
	void (*explain)(struct view *view, const struct view_explain *explain);
	void (*difference)(struct view *view, const struct view_difference *difference);
	void (*tested)(struct view *view, const struct view_tested *tested);
	void (*proof)(struct view *view, const struct view_proof *proof);
	void (*hook)(struct view *view, const struct view_hook *hook);
	void (*applied)(struct view *view, const struct view_applied *applied);
	void (*detached)(struct view *view, const struct view_detached *detached);
	void (*status)(struct view *view, const struct view_status *status);
	void (*file)(struct view *view, const struct view_file *file);
	void (*table)(struct view *view, const struct view_table *table);
	void (*remark)(struct view *view, const struct view_remark *remark);
	void (*flow)(struct view *view, const struct view_flow *flow);
	void (*stat)(struct view *view, const struct view_stat *stat);
	/* When what follows was so, seconds since 1970: of results that come in rounds. */
	void (*round)(struct view *view, uint64_t time);
	void (*event)(struct view *view, const struct view_event *event);
	void (*watched)(struct view *view, const struct view_watched *watched);
	void (*finding)(struct view *view, const struct view_finding *finding);
	void (*failure)(struct view *view, const struct view_failure *failure);
	/* Several commands in a line each, or one in full. */
	void (*help)(struct view *view, const struct view_help *commands, size_t n_commands);
	void (*version)(struct view *view, const struct view_version *version);
	/* Writes out what is still held back: the end of one result. */
	void (*flush)(struct view *view);
};

extern const struct view_ops view_text, view_json;

/* Has memory that JSON cannot have end the program: an object without some of its keys would be believed. */
void view_json_take_memory(void);

struct view {
	const struct view_ops *ops;
	FILE *out;
	bool colour;		 /* view_text: the verdicts and what is wrong stand out */
	void *root;		 /* view_json: the object being filled */
	struct columns *columns; /* view_text: the table being filled */
	const char *list;	 /* view_text: what is said to be missing where no table came */
	struct arena *arena;
	int err; /* 0, or why the output could not be written: a negative errno */
};

/* Colours are for a terminal that knows them, and not where NO_COLOR is set (to anything but ""). */
struct view *view_new(bool json, FILE *out);
void view_free(struct view *view);
SCOPED(struct view *, view_free);

/* Of a command that is done: what it has warned of, perhaps of nothing. */
void view_messages(struct view *view, const struct diag *diag);

/* Gives back the memory of what has been shown; nothing may be held back. For the views' own use. */
void view_forget(struct view *view);

/* Writes what the stream holds back, and remembers why it could not. For the views' own use. */
void view_flush(struct view *view);

/* Something could not be written: nobody reads on, or the disk is full. */
bool view_is_broken(const struct view *view);

/* Writes everything: 0, or a negative errno when this or an earlier writing failed. NULL is allowed. */
int view_end(struct view *view);

/* "FILE:LINE", or nothing where there is none; the view's. */
const char *view_place_text(struct view *view, const struct view_place *place);

#endif
