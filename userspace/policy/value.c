// SPDX-License-Identifier: GPL-2.0-only
/* Nodes → typed values; see policy/value.h. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "policy/names.h"
#include "policy/value.h"

static __attribute__((format(printf, 3, 4))) bool bad(struct value_reader *reader, struct mark at,
						      const char *format, ...)
{
	va_list args;
	char words[512];

	va_start(args, format);
	(void)vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	(void)diag_bad(reader->diag, at, "%s", words);
	return false;
}

static bool is_key(const struct value_key *keys, size_t n_keys, struct str name)
{
	for (size_t i = 0; i < n_keys; i++) {
		if (str_eq(name, str_of(keys[i].name)))
			return true;
	}
	return false;
}

static void refuse_unknown_key(struct value_reader *reader, const struct yaml_node *key,
			       const char *what, const struct value_key *keys, size_t n_keys)
{
	struct nearest nearest = {.wanted = key->text};

	for (size_t i = 0; i < n_keys; i++)
		nearest_try(&nearest, str_of(keys[i].name));
	bad(reader, key->mark, "unknown key '" STR_FMT "' in %s%s", STR_ARG(key->text), what,
	    nearest_hint(reader->arena, &nearest));
}

bool value_map(struct value_reader *reader, const struct yaml_node *node, const char *what,
	       const struct value_key *keys, size_t n_keys, const struct yaml_node **values)
{
	memset(values, 0, n_keys * sizeof(*values));
	if (node->kind != YAML_MAP)
		return bad(reader, node->mark, "%s is %s; expected a map of keys", what,
			   yaml_kind_name(node->kind));
	for (size_t i = 0; i < node->entries.len; i++) {
		const struct yaml_node *key = &node->entries.at[i].key;

		if (!is_key(keys, n_keys, key->text))
			refuse_unknown_key(reader, key, what, keys, n_keys);
		for (size_t j = 0; j < n_keys; j++) {
			if (str_eq(key->text, str_of(keys[j].name)))
				values[j] = &node->entries.at[i].value;
		}
	}
	for (size_t j = 0; j < n_keys; j++) {
		if (keys[j].required && !values[j])
			bad(reader, node->mark, "%s has no '%s'", what, keys[j].name);
	}
	return true;
}

static bool scalar(struct value_reader *reader, const struct yaml_node *node, const char *what)
{
	if (node->kind != YAML_SCALAR)
		return bad(reader, node->mark, "'%s' is %s; expected one value", what,
			   yaml_kind_name(node->kind));
	return true;
}

bool value_text(struct value_reader *reader, const struct yaml_node *node, const char *what,
		struct str *ret_text)
{
	if (!scalar(reader, node, what))
		return false;
	if (!node->text.len)
		return bad(reader, node->mark, "'%s' is empty", what);
	*ret_text = node->text;
	return true;
}

bool value_bool(struct value_reader *reader, const struct yaml_node *node, const char *what,
		bool *ret_value)
{
	bool yes;

	if (!scalar(reader, node, what))
		return false;
	yes = str_eq(node->text, STR("true"));
	if (!node->plain || (!yes && !str_eq(node->text, STR("false"))))
		return bad(reader, node->mark, "'%s' is '" STR_FMT "'; expected true or false",
			   what, STR_ARG(node->text));
	*ret_value = yes;
	return true;
}

bool value_number(struct value_reader *reader, const struct yaml_node *node, const char *what,
		  uint64_t min, uint64_t max, uint64_t *ret_number)
{
	uint64_t number;

	if (!scalar(reader, node, what))
		return false;
	if (!str_number(node->text, UINT64_MAX, &number))
		return bad(reader, node->mark,
			   "'%s' is '" STR_FMT "'; expected a decimal number from %" PRIu64
			   " to %" PRIu64,
			   what, STR_ARG(node->text), min, max);
	if (number < min || number > max)
		return bad(reader, node->mark,
			   "'%s' is %" PRIu64 "; expected %" PRIu64 " to %" PRIu64, what, number,
			   min, max);
	*ret_number = number;
	return true;
}

static const char *list_words(struct value_reader *reader, const char *const *words)
{
	const char *text = "";

	for (size_t i = 0; words[i]; i++)
		text = arena_printf(reader->arena, "%s%s%s", text,
				    i == 0	   ? ""
				    : words[i + 1] ? ", "
						   : " or ",
				    words[i]);
	return text;
}

bool value_choice(struct value_reader *reader, const struct yaml_node *node, const char *what,
		  const char *const *words, int *ret_index)
{
	if (!scalar(reader, node, what))
		return false;
	for (int i = 0; words[i]; i++) {
		if (str_eq(node->text, str_of(words[i]))) {
			*ret_index = i;
			return true;
		}
	}
	return bad(reader, node->mark, "'%s' is '" STR_FMT "'; expected %s", what,
		   STR_ARG(node->text), list_words(reader, words));
}

bool value_list(struct value_reader *reader, const struct yaml_node *node, const char *what,
		const struct yaml_node **ret_items, size_t *ret_len)
{
	if (node->kind != YAML_LIST)
		return bad(reader, node->mark, "'%s' is %s; expected a list", what,
			   yaml_kind_name(node->kind));
	if (!node->items.len)
		return bad(reader, node->mark, "'%s' is an empty list", what);
	*ret_items = node->items.at;
	*ret_len = node->items.len;
	return true;
}

bool value_items(struct value_reader *reader, const struct yaml_node *node, const char *what,
		 const struct yaml_node **ret_items, size_t *ret_len)
{
	if (node->kind == YAML_MAP)
		return bad(reader, node->mark, "'%s' is a map; expected one value or a list", what);
	if (node->kind == YAML_LIST)
		return value_list(reader, node, what, ret_items, ret_len);
	*ret_items = node;
	*ret_len = 1;
	return true;
}

/* The message for a text that reads like an address and is none. */
static bool bad_range(struct value_reader *reader, struct mark at, struct str text,
		      enum addr_error error)
{
	switch (error) {
	case ADDR_OK:
		return true;
	case ADDR_NOT_AN_ADDRESS:
		return bad(reader, at, "'" STR_FMT "' is no address, prefix or range a-b",
			   STR_ARG(text));
	case ADDR_BAD_ADDRESS:
		return bad(reader, at,
			   "'" STR_FMT "' is no valid address; expected four decimal numbers up to "
			   "255, or an IPv6 address",
			   STR_ARG(text));
	case ADDR_BAD_LENGTH:
		return bad(reader, at,
			   "'" STR_FMT
			   "' has no prefix length behind '/'; expected a decimal number",
			   STR_ARG(text));
	case ADDR_LENGTH_TOO_LONG:
		return bad(reader, at, "'" STR_FMT "': the prefix is too long; at most %s",
			   STR_ARG(text), memchr(text.at, ':', text.len) ? "128" : "32");
	case ADDR_HOST_BITS:
		return bad(reader, at,
			   "'" STR_FMT "' has host bits set behind the prefix; expected the first "
			   "address of the network",
			   STR_ARG(text));
	case ADDR_REVERSED:
		return bad(reader, at, "'" STR_FMT "' ends before it begins", STR_ARG(text));
	case ADDR_MIXED:
		return bad(reader, at, "'" STR_FMT "' begins and ends in different families",
			   STR_ARG(text));
	}
	return false;
}

bool value_range(struct value_reader *reader, const struct yaml_node *node, const char *what,
		 struct addr_range *ret_range)
{
	struct str text = STR("");

	return value_text(reader, node, what, &text) &&
	       bad_range(reader, node->mark, text, addr_range_parse(text, ret_range));
}

static bool is_letter(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Letters, digits, '_', '.', '-', a letter first: a set or a tag. */
static bool reads_as_name(struct str text)
{
	if (!text.len || !is_letter(text.at[0]))
		return false;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];

		if (!is_letter(c) && !(c >= '0' && c <= '9') && c != '_' && c != '.' && c != '-')
			return false;
	}
	return true;
}

bool value_peer(struct value_reader *reader, const struct yaml_node *node, bool in_rule,
		struct ast_peer *ret_peer)
{
	struct ast_peer peer = {.mark = node->mark};
	enum addr_error error;
	struct str text = STR("");

	if (!value_text(reader, node, "address", &text))
		return false;
	error = addr_range_parse(text, &peer.range);
	if (!error)
		peer.kind = AST_PEER_RANGE;
	else if (error != ADDR_NOT_AN_ADDRESS)
		return bad_range(reader, node->mark, text, error);
	else if (str_eq(text, STR("any")))
		peer.kind = AST_PEER_ANY;
	else if (str_eq(text, STR("self")))
		peer.kind = AST_PEER_SELF;
	else if (!reads_as_name(text))
		return bad(reader, node->mark,
			   "'" STR_FMT "' is no address, prefix, range a-b or name", STR_ARG(text));
	else
		peer.kind = AST_PEER_NAME;
	if (!in_rule && (peer.kind == AST_PEER_ANY || peer.kind == AST_PEER_SELF))
		return bad(reader, node->mark,
			   "'" STR_FMT "' does not go into a set; name it in the rule",
			   STR_ARG(text));
	peer.name = text;
	*ret_peer = peer;
	return true;
}

static bool one_port(struct value_reader *reader, struct str text, struct mark at, uint16_t *port)
{
	uint64_t number;

	if (!str_number(text, UINT64_MAX, &number))
		return bad(reader, at, "'" STR_FMT "' is no port; expected any, N or N-M",
			   STR_ARG(text));
	if (number > UINT16_MAX)
		return bad(reader, at, "port %" PRIu64 " is out of range; expected 0 to 65535",
			   number);
	*port = (uint16_t)number;
	return true;
}

bool value_port_text(struct value_reader *reader, struct str text, struct mark at,
		     struct port_range *ret_range)
{
	struct port_range range = {0, UINT16_MAX};
	struct str first = text, last = text;

	if (str_eq(text, STR("any"))) {
		*ret_range = range;
		return true;
	}
	if (text.len && memchr(text.at, ',', text.len))
		return bad(reader, at,
			   "'" STR_FMT "' is several ports in one text; write a list: "
			   "[80, 443]",
			   STR_ARG(text));
	(void)str_cut(text, '-', &first, &last);
	if (!one_port(reader, first, at, &range.first) || !one_port(reader, last, at, &range.last))
		return false;
	if (range.first > range.last)
		return bad(reader, at, "port range '" STR_FMT "' ends before it begins",
			   STR_ARG(text));
	*ret_range = range;
	return true;
}

bool value_port(struct value_reader *reader, const struct yaml_node *node,
		struct ast_port *ret_port)
{
	struct ast_port port = {.mark = node->mark};
	struct str text = STR("");

	if (!value_text(reader, node, "port", &text) ||
	    !value_port_text(reader, text, node->mark, &port.range))
		return false;
	*ret_port = port;
	return true;
}
