/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of resolve share while one policy is being resolved; included by
 * policy/resolve.c, groups.c, sets.c and clauses.c alone. Mistakes go into diag and the work
 * goes on; resolve looks at diag at the end.
 */
#ifndef POLICY_RESOLVING_H
#define POLICY_RESOLVING_H

#include "policy/names.h"
#include "policy/policy.h"
#include "policy/tags.h"

enum {
	NO_SET = UINT32_MAX, /* a set that could not be made; the message has been added */
	NO_SCOPE = UINT32_MAX,
	RESOLVE_SET_DEPTH = 64,	   /* sets in sets */
	RESOLVE_MAX_RULES = 65534, /* default rules included; ids are 16 bits, one is spare */
	RESOLVE_MAX_RANGES = 2 * 1000000,  /* address ranges of all different sets together */
	RESOLVE_MAX_JOINED = 20 * 1000000, /* address ranges put together, whatever comes of it */
	RESOLVE_MAX_CLAUSES = 1024,	   /* of a rule */
	RESOLVE_MAX_ALL_CLAUSES = 200000,
	RESOLVE_MAX_PORTS = 2 * 1000000, /* ranges of ports of all rules together */
};

enum named_set_state {
	SET_NEW,
	SET_BUSY, /* being resolved; met again in this state it is a cycle */
	SET_DONE, /* id is its set, or NO_SET */
};

struct named_set {
	const struct ast_set *ast;
	uint32_t scope; /* index of the group, NO_SCOPE for shared ones */
	enum named_set_state state;
	uint32_t id;
	uint32_t depth; /* 1 when it names no set; good when done */
};

/* Sets that a list names, nothing else being in it, and what they come to. */
struct join {
	bool self;
	uint32_t *sets; /* in ascending order, each once */
	size_t n_sets;
	uint32_t id;
};

enum { RESOLVE_JOIN_SLOTS = 1 << 16 }; /* twice as many as joins are remembered */

/* The names that one group defines, or that the shared files define. */
struct scope {
	name_list sets;	    /* struct named_set */
	name_list services; /* struct ast_service */
	name_list rules;    /* struct ast_rule */
};

/* A group as its parts add up; a choice with line 0 has been made by no part. */
struct joined_group {
	struct policy_group group;
	bool flawed; /* a part's own keys were refused: what it would have said is not known */
	ARRAY(struct ast_file *) parts;
	struct ast_choice tier;
	struct ast_choice defaults;
	struct ast_choice mode;
	struct ast_choice existing_flows;
	struct ast_number order;
	struct scope scope;
};

struct resolving {
	struct arena *arena;
	struct diag *diag;
	const struct hostconf *host;
	bool partial; /* a file is unread: what is not found is not missing */
	ARRAY(struct joined_group) groups;
	struct scope shared;
	struct policy policy;
	uint32_t *set_slots; /* hash table of policy.sets, n_set_slots a power of two */
	size_t n_set_slots;
	size_t n_ranges;   /* of policy.sets */
	bool n_ranges_bad; /* past a limit: said once, and no set is made any more */
	size_t n_joined;
	ARRAY(struct join) joins;
	uint32_t *join_slots; /* hash table of joins, RESOLVE_JOIN_SLOTS */
	size_t n_clauses;
	size_t n_ports;
	bool n_clauses_bad; /* past a limit: said once, and no clause is added any more */
	size_t largest_set;
	struct mark largest_at;
	uint32_t tag_sets[TAG_COUNT];
	ARRAY(uint32_t)
	foreign; /* for a set with self the one without, or NO_SET: not asked for yet */
	struct named_set *path[RESOLVE_SET_DEPTH]; /* sets being resolved, outermost first */
	size_t path_len;
};

/* groups.c: joins files into groups, checks what the parts say and the tiers, fills scopes. */
void groups_join(struct resolving *r, struct ast_file *const *files, size_t n_files);

/* Also of a flawed group, where some part says the tier: the others have to agree. */
bool groups_know_tier(const struct joined_group *joined);

/* sets.c */
void sets_start(struct resolving *r);
void sets_resolve_named(struct resolving *r, const struct scope *scope);

/*
 * The set of a rule's source or destination, looked up in the scope of the group and then among
 * the shared names. NO_SET when a name is unknown or its set is bad.
 */
uint32_t sets_of_peers(struct resolving *r, uint32_t scope, const ast_peers *peers);

/*
 * The same set without self: the source of what comes in by a link, which is never the host itself
 * (docs/decisions/0023). at is the place where it is used.
 */
uint32_t sets_foreign(struct resolving *r, uint32_t set_id, struct mark at);

/*
 * Whether all of a set, which has something, is IPv4 as ::ffff:a.b.c.d: from such a source nothing comes
 * in, it is denied before any rule is asked (martian-source, see policy/eval.h).
 */
bool sets_are_mapped(const struct resolving *r, uint32_t set_id);

/* The set of a tag for a default rule; NO_SET when it needs virtual_network. */
uint32_t sets_of_tag(struct resolving *r, enum tag tag);
uint32_t sets_any(struct resolving *r);

/* Bits of the families that a set has addresses of. */
enum {
	FAMILY_V4 = 1,
	FAMILY_V6 = 2,
	FAMILY_BOTH = 3,
};

unsigned sets_families(const struct resolving *r, uint32_t set);

/* Drops sets that no rule uses and numbers the others by their first use. */
void sets_renumber(struct resolving *r);

/*
 * clauses.c: the ways in which a rule matches protocol and ports. False when some are missing after a
 * mistake.
 */
bool clauses_of_rule(struct resolving *r, uint32_t scope, const struct ast_rule *ast,
		     struct policy_rule *rule);

#endif
