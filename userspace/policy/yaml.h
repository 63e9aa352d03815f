/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Text → nodes with marks. The only file that includes libyaml is yaml.c. Refused: anchors,
 * aliases, tags, duplicate keys, a second document, keys that are no scalars, text that is not
 * UTF-8, nesting and sizes that no policy needs.
 */
#ifndef POLICY_YAML_H
#define POLICY_YAML_H

#include "base/array.h"
#include "base/diag.h"

enum yaml_kind {
	YAML_SCALAR,
	YAML_LIST,
	YAML_MAP,
	YAML_REFUSED, /* an alias, or a text that is too long: the message has been added */
};

struct yaml_node;
struct yaml_entry;

typedef ARRAY(struct yaml_node) yaml_nodes;
typedef ARRAY(struct yaml_entry) yaml_entries;

struct yaml_node {
	enum yaml_kind kind;
	bool plain; /* a scalar without quotes */
	struct mark mark;
	union {			      /* large files have very many */
		struct str text;      /* YAML_SCALAR; ends in a NUL that is not counted */
		yaml_nodes items;     /* YAML_LIST */
		yaml_entries entries; /* YAML_MAP, in order */
	};
};

struct yaml_entry {
	struct yaml_node key; /* a scalar */
	struct yaml_node value;
};

/*
 * The source's one document, as nodes in scratch, whose texts are in the arena. -EBADMSG, with its
 * place in diag, where there is none to be had. Mistakes that leave the rest readable (anchors,
 * aliases, tags, duplicate keys, a second document) are errors in diag, and yet 0 comes back, so
 * that the same run tells what else is wrong: the caller has to count the errors.
 */
int yaml_read(struct arena *arena, struct arena *scratch, const struct source *source,
	      struct diag *diag, struct yaml_node *ret_node);

/* For messages about what is taken for something else since it has no quotes. */
#define YAML_IPV6_HINT "; write IPv6 addresses in quotes: \"2001:db8::1\""

/* Whether something on the line reads like an IPv6 address without quotes. */
bool yaml_has_bare_ipv6(struct str line);

/* "text", "a list", "a map", for messages. */
const char *yaml_kind_name(enum yaml_kind kind);

#endif
