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
};

struct yaml_entry;

struct yaml_node {
	enum yaml_kind kind;
	bool plain; /* a scalar without quotes */
	struct mark mark;
	struct str text;		  /* YAML_SCALAR; ends in a NUL that is not counted */
	ARRAY(struct yaml_node) items;	  /* YAML_LIST */
	ARRAY(struct yaml_entry) entries; /* YAML_MAP, in order */
};

struct yaml_entry {
	struct yaml_node key; /* a scalar */
	struct yaml_node value;
};

/* The source's one document; -EBADMSG with places otherwise. Nodes live in the arena. */
int yaml_read(struct arena *arena, const struct source *source, struct diag *diag,
	      struct yaml_node *ret_node);

/* "text", "a list", "a map", for messages. */
const char *yaml_kind_name(enum yaml_kind kind);

#endif
