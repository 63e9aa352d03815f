/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Nodes → typed values, with the messages for what they are not. Every function adds its
 * message and returns false (NULL) for a bad node; the caller goes on with the next one.
 */
#ifndef POLICY_VALUE_H
#define POLICY_VALUE_H

#include "policy/ast.h"
#include "policy/yaml.h"

struct value_reader {
	struct arena *arena;
	struct diag *diag;
	/* Says of an unknown key where it belongs instead, else NULL; NULL: nothing to say. */
	const char *(*elsewhere)(struct str key);
	size_t n_refused; /* nodes met that yaml_read had refused, about which nothing is said again */
};

/*
 * How much has been refused so far, by the reader or before it: what has grown while something was
 * being read is flawed.
 */
size_t value_n_flaws(const struct value_reader *reader);

/* A node without a value, whose message has been added; counts it. */
bool value_is_refused(struct value_reader *reader, const struct yaml_node *node);

struct value_key {
	const char *name;
	bool required;
};

/*
 * Looks up every key of a map: values[i] is the node of keys[i] or NULL. Refuses a node that is
 * no map, unknown keys (with the nearest known one, for which it is then taken) and missing
 * ones. what names the map in messages: "a rule". False only when node is no map at all.
 */
bool value_map(struct value_reader *reader, const struct yaml_node *node, const char *what,
	       const struct value_key *keys, size_t n_keys, const struct yaml_node **values);

/* The key of a value that value_map found. */
struct mark value_key_mark(const struct yaml_node *map, const struct yaml_node *value);

/* 'bulkhead: 1' as the first key of a file; value is what value_map found, required or not. */
void value_version(struct value_reader *reader, const struct yaml_node *map, const char *what,
		   const struct yaml_node *value);

/* A scalar that is not empty; what is the key's name. */
bool value_text(struct value_reader *reader, const struct yaml_node *node, const char *what,
		struct str *ret_text);

/* The same for an item of a list, which may be the one value in place of a list. */
bool value_item(struct value_reader *reader, const struct yaml_node *node, const char *what,
		struct str *ret_text);

/* Exactly true or false, without quotes. */
bool value_bool(struct value_reader *reader, const struct yaml_node *node, const char *what,
		bool *ret_value);

/* A decimal number from min to max. */
bool value_number(struct value_reader *reader, const struct yaml_node *node, const char *what,
		  uint64_t min, uint64_t max, uint64_t *ret_number);

/* One of the words of a list that ends in NULL: its index. */
bool value_choice(struct value_reader *reader, const struct yaml_node *node, const char *what,
		  const char *const *words, int *ret_index);

/*
 * One or a list: the nodes to take as items, at least one. An empty list and a map are refused;
 * lists in the list are refused by value_item.
 */
bool value_items(struct value_reader *reader, const struct yaml_node *node, const char *what,
		 const struct yaml_node **ret_items, size_t *ret_len);

/* A list, at least one item. */
bool value_list(struct value_reader *reader, const struct yaml_node *node, const char *what,
		const struct yaml_node **ret_items, size_t *ret_len);

/* any and self (in rules), an address, a prefix, a-b, or a name; what is the key's or set's name. */
bool value_peer(struct value_reader *reader, const struct yaml_node *node, const char *what,
		bool in_rule, struct ast_peer *ret_peer);

/* An address, a prefix or a range; what is the key's name. */
bool value_range(struct value_reader *reader, const struct yaml_node *node, const char *what,
		 struct addr_range *ret_range);

/* any, N or N-M; what is the key's name. */
bool value_port(struct value_reader *reader, const struct yaml_node *node, const char *what,
		struct ast_port *ret_port);

/* The ports of a text that belongs to a larger one, whose place is at. */
bool value_port_text(struct value_reader *reader, struct str text, struct mark at,
		     struct port_range *ret_range);

#endif
