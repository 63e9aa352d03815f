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
	char words[1024]; /* a text of a file has 512 bytes at most */

	va_start(args, format);
	(void)vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	(void)diag_bad(reader->diag, at, "%s", words);
	return false;
}

/* What a node is, for messages; nothing at all is a scalar without text. */
static const char *value_is(const struct yaml_node *node)
{
	if (node->kind == YAML_SCALAR && !node->text.len)
		return "empty";
	return yaml_kind_name(node->kind);
}

/* "2001:db8::" and ": 1" behind it make a map of what was meant as an address. */
static const char *ipv6_hint(const struct yaml_node *node)
{
	struct str key;

	if (node->kind != YAML_MAP || !node->entries.len)
		return "";
	key = node->entries.at[0].key.text;
	return memchr(key.at, ':', key.len) ? YAML_IPV6_HINT : "";
}

size_t value_n_flaws(const struct value_reader *reader)
{
	return diag_n_errors(reader->diag) + reader->n_refused;
}

bool value_is_refused(struct value_reader *reader, const struct yaml_node *node)
{
	bool refused = node->kind == YAML_REFUSED;

	reader->n_refused += refused;
	return refused;
}

static size_t find_key(const struct value_key *keys, size_t n_keys, struct str name)
{
	size_t i = 0;

	while (i < n_keys && !str_eq(name, str_of(keys[i].name)))
		i++;
	return i;
}

static const char *list_keys(struct arena *arena, const struct value_key *keys, size_t n_keys)
{
	const char *text = "; expected";

	for (size_t i = 0; i < n_keys; i++)
		text = arena_printf(arena, "%s%s%s", text,
				    i == 0	     ? " "
				    : i + 1 < n_keys ? ", "
						     : " or ",
				    keys[i].name);
	return text;
}

/* Refuses the key, and yields which one is probably meant; n_keys for none. */
static size_t refuse_unknown_key(struct value_reader *reader, const struct yaml_node *key,
				 const char *what, const struct value_key *keys, size_t n_keys)
{
	scoped(arena_free) struct arena *words = arena_new();
	const char *elsewhere = reader->elsewhere ? reader->elsewhere(key->text) : NULL;
	struct nearest nearest = {.wanted = key->text};
	const char *hint;

	for (size_t i = 0; i < n_keys && !elsewhere; i++)
		nearest_try(&nearest, str_of(keys[i].name));
	if (elsewhere)
		hint = arena_printf(words, "; it belongs into %s", elsewhere);
	else if (nearest.text.len)
		hint = nearest_hint(words, &nearest);
	else
		hint = list_keys(words, keys, n_keys);
	bad(reader, key->mark, "unknown key '" STR_FMT "' in %s%s", STR_ARG(key->text), what, hint);
	return nearest.text.len ? find_key(keys, n_keys, nearest.text) : n_keys;
}

/* In one message, so that an unfinished map is told once. */
static void refuse_missing(struct value_reader *reader, struct mark at, const char *what,
			   const struct value_key *keys, size_t n_keys,
			   const struct yaml_node *const *values)
{
	scoped(arena_free) struct arena *words = arena_new();
	const char *text = "";
	size_t n = 0;

	for (size_t i = 0; i < n_keys; i++)
		n += keys[i].required && !values[i];
	if (!n)
		return;
	for (size_t i = 0; i < n_keys; i++) {
		if (!keys[i].required || values[i])
			continue;
		text = arena_printf(words, "%s%s'%s'", text,
				    !text[0] ? ""
				    : n > 1  ? ", "
					     : " and ",
				    keys[i].name);
		n--;
	}
	bad(reader, at, "%s has no %s", what, text);
}

bool value_map(struct value_reader *reader, const struct yaml_node *node, const char *what,
	       const struct value_key *keys, size_t n_keys, const struct yaml_node **values)
{
	memset(values, 0, n_keys * sizeof(*values));
	if (value_is_refused(reader, node))
		return false;
	if (node->kind != YAML_MAP)
		return bad(reader, node->mark, "%s is %s; expected a map of keys", what,
			   value_is(node));
	for (size_t i = 0; i < node->entries.len; i++) {
		size_t key = find_key(keys, n_keys, node->entries.at[i].key.text);

		if (key < n_keys)
			values[key] = &node->entries.at[i].value;
	}
	for (size_t i = 0; i < node->entries.len; i++) {
		const struct yaml_entry *entry = &node->entries.at[i];
		size_t meant;

		if (find_key(keys, n_keys, entry->key.text) < n_keys)
			continue;
		meant = refuse_unknown_key(reader, &entry->key, what, keys, n_keys);
		if (meant < n_keys && !values[meant])
			values[meant] = &entry->value;
	}
	refuse_missing(reader, node->mark, what, keys, n_keys, values);
	return true;
}

struct mark value_key_mark(const struct yaml_node *map, const struct yaml_node *value)
{
	for (size_t i = 0; i < map->entries.len; i++) {
		if (&map->entries.at[i].value == value)
			return map->entries.at[i].key.mark;
	}
	return value->mark;
}

void value_version(struct value_reader *reader, const struct yaml_node *map, const char *what,
		   const struct yaml_node *value)
{
	const struct yaml_node *first;
	uint64_t number;

	if (!value) {
		bad(reader, map->mark,
		    "%s has no 'bulkhead'; expected 'bulkhead: 1' as its first key", what);
		return;
	}
	first = &map->entries.at[0].key;
	if (&map->entries.at[0].value != value)
		bad(reader, first->mark,
		    "'" STR_FMT "' before 'bulkhead'; expected 'bulkhead: 1' as the first key",
		    STR_ARG(first->text));
	(void)value_number(reader, value, "bulkhead", 1, 1, &number);
}

static bool scalar(struct value_reader *reader, const struct yaml_node *node, const char *what)
{
	if (value_is_refused(reader, node))
		return false;
	if (node->kind != YAML_SCALAR)
		return bad(reader, node->mark, "'%s' is %s; expected one value%s", what,
			   value_is(node), ipv6_hint(node));
	if (!node->text.len)
		return bad(reader, node->mark, "'%s' is empty; expected a value", what);
	return true;
}

bool value_text(struct value_reader *reader, const struct yaml_node *node, const char *what,
		struct str *ret_text)
{
	if (!scalar(reader, node, what))
		return false;
	*ret_text = node->text;
	return true;
}

bool value_item(struct value_reader *reader, const struct yaml_node *node, const char *what,
		struct str *ret_text)
{
	if (node->kind == YAML_LIST || node->kind == YAML_MAP)
		return bad(reader, node->mark, "an item of '%s' is %s; expected text%s", what,
			   value_is(node), ipv6_hint(node));
	return value_text(reader, node, what, ret_text);
}

bool value_bool(struct value_reader *reader, const struct yaml_node *node, const char *what,
		bool *ret_value)
{
	bool is_true, is_false;

	if (!scalar(reader, node, what))
		return false;
	is_true = str_eq(node->text, STR("true"));
	is_false = str_eq(node->text, STR("false"));
	if (!is_true && !is_false)
		return bad(reader, node->mark, "'%s' is '" STR_FMT "'; expected true or false",
			   what, STR_ARG(node->text));
	if (!node->plain)
		return bad(reader, node->mark,
			   "'%s' is text in quotes; expected " STR_FMT " without quotes", what,
			   STR_ARG(node->text));
	*ret_value = is_true;
	return true;
}

/* 007 and 0: the first is refused, since some would read it as octal. */
static bool has_leading_zero(struct str text)
{
	return text.len > 1 && text.at[0] == '0' && text.at[1] >= '0' && text.at[1] <= '9';
}

bool value_number(struct value_reader *reader, const struct yaml_node *node, const char *what,
		  uint64_t min, uint64_t max, uint64_t *ret_number)
{
	char range[48];
	uint64_t number;

	if (min == max)
		(void)snprintf(range, sizeof(range), "%" PRIu64, min);
	else
		(void)snprintf(range, sizeof(range), "%" PRIu64 " to %" PRIu64, min, max);
	if (!scalar(reader, node, what))
		return false;
	if (!str_number(node->text, UINT64_MAX, &number))
		return bad(reader, node->mark,
			   "'%s' is '" STR_FMT "'; expected a decimal number%s, %s", what,
			   STR_ARG(node->text),
			   has_leading_zero(node->text) ? " without leading zeros" : "", range);
	if (number < min || number > max)
		return bad(reader, node->mark, "'%s' is %" PRIu64 "; expected %s", what, number,
			   range);
	*ret_number = number;
	return true;
}

static const char *list_words(struct arena *arena, const char *const *words)
{
	const char *text = "";

	for (size_t i = 0; words[i]; i++)
		text = arena_printf(arena, "%s%s%s", text,
				    i == 0	   ? ""
				    : words[i + 1] ? ", "
						   : " or ",
				    words[i]);
	return text;
}

static bool bad_choice(struct value_reader *reader, const struct yaml_node *node, const char *what,
		       const char *const *words)
{
	scoped(arena_free) struct arena *arena = arena_new();

	return bad(reader, node->mark, "'%s' is '" STR_FMT "'; expected %s", what,
		   STR_ARG(node->text), list_words(arena, words));
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
	return bad_choice(reader, node, what, words);
}

bool value_list(struct value_reader *reader, const struct yaml_node *node, const char *what,
		const struct yaml_node **ret_items, size_t *ret_len)
{
	if (value_is_refused(reader, node))
		return false;
	if (node->kind != YAML_LIST)
		return bad(reader, node->mark, "'%s' is %s; expected a list", what, value_is(node));
	if (!node->items.len)
		return bad(reader, node->mark, "'%s' is an empty list; expected at least one item",
			   what);
	*ret_items = node->items.at;
	*ret_len = node->items.len;
	return true;
}

bool value_items(struct value_reader *reader, const struct yaml_node *node, const char *what,
		 const struct yaml_node **ret_items, size_t *ret_len)
{
	if (node->kind == YAML_MAP)
		return bad(reader, node->mark, "'%s' is a map; expected one value or a list%s",
			   what, ipv6_hint(node));
	if (node->kind == YAML_LIST)
		return value_list(reader, node, what, ret_items, ret_len);
	*ret_items = node;
	*ret_len = 1;
	return true;
}

enum { NETWORK_TEXT_SIZE = ADDR_TEXT_SIZE + 4 };

/* The network in which an address with a prefix length lies; buffer: NETWORK_TEXT_SIZE. */
static const char *network_of(struct str text, char *buffer)
{
	struct addr_range range;
	struct str addr = text, length;
	char network[ADDR_TEXT_SIZE];
	uint64_t bits;

	if (!str_cut(text, '/', &addr, &length) || addr_parse(addr, &range.first) ||
	    !str_number(length, 128, &bits))
		return "";
	for (size_t bit = bits; bit < 128; bit++)
		range.first.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	(void)snprintf(buffer, NETWORK_TEXT_SIZE, "%s/" STR_FMT, addr_print(&range.first, network),
		       STR_ARG(length));
	return buffer;
}

/* The message for a text that reads like an address and is none. */
static bool bad_range(struct value_reader *reader, struct mark at, struct str text,
		      enum addr_error error)
{
	char network[NETWORK_TEXT_SIZE];

	switch (error) {
	case ADDR_OK:
		return true;
	case ADDR_NOT_AN_ADDRESS:
		return bad(reader, at,
			   "'" STR_FMT
			   "' is no address; expected an address, a prefix or a range a-b",
			   STR_ARG(text));
	case ADDR_BAD_ADDRESS:
		return bad(reader, at,
			   "'" STR_FMT "' is no valid address; expected four decimal numbers up to "
			   "255, or an IPv6 address",
			   STR_ARG(text));
	case ADDR_BAD_LENGTH:
		return bad(reader, at,
			   "'" STR_FMT
			   "' has no prefix length behind '/'; expected a decimal number "
			   "without leading zeros",
			   STR_ARG(text));
	case ADDR_LENGTH_TOO_LONG:
		return bad(reader, at, "'" STR_FMT "' has too long a prefix; expected at most /%s",
			   STR_ARG(text), memchr(text.at, ':', text.len) ? "128" : "32");
	case ADDR_HOST_BITS:
		return bad(reader, at,
			   "'" STR_FMT "' has host bits set behind the prefix; expected %s, or one "
			   "address without a prefix",
			   STR_ARG(text), network_of(text, network));
	case ADDR_REVERSED:
		return bad(reader, at,
			   "'" STR_FMT "' ends before it begins; expected the lower "
			   "address first",
			   STR_ARG(text));
	case ADDR_MIXED:
		return bad(reader, at,
			   "'" STR_FMT "' begins and ends in different families; expected "
			   "IPv4 or IPv6 on both sides",
			   STR_ARG(text));
	}
	return false;
}

/* What separates several items that stand in one text; 0 for none. A blank at an end separates nothing. */
static char separator_in(struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		bool at_end = i == 0 || i == text.len - 1;

		if (text.at[i] == ',' || text.at[i] == ';' || (text.at[i] == ' ' && !at_end))
			return text.at[i];
	}
	return 0;
}

static bool several(struct value_reader *reader, struct mark at, struct str text, const char *what,
		    const char *list)
{
	return bad(reader, at, "'" STR_FMT "' is several %s in one text; expected a list: %s",
		   STR_ARG(text), what, list);
}

/* 0.0.0.0 or :: with no prefix length: one address, which nobody has, and often meant as all of them. */
static bool is_bare_zero(const struct addr_range *range, struct str text)
{
	const struct addr zero = {.family = range->first.family};

	return !addr_compare(&range->last, &zero) && !memchr(text.at, '/', text.len) &&
	       !memchr(text.at, '-', text.len);
}

static bool bad_zero(struct value_reader *reader, struct mark at, struct str text, bool four)
{
	return bad(reader, at,
		   "'" STR_FMT "' is one address, which nobody has; expected %s for all of %s, or "
		   "%s for that one",
		   STR_ARG(text), four ? "0.0.0.0/0" : "::/0", four ? "IPv4" : "IPv6",
		   four ? "0.0.0.0/32" : "::/128");
}

bool value_range(struct value_reader *reader, const struct yaml_node *node, const char *what,
		 struct addr_range *ret_range)
{
	enum addr_error error;
	struct str text = STR("");

	if (!value_item(reader, node, what, &text))
		return false;
	if (separator_in(text))
		return several(reader, node->mark, text, "addresses", "[10.0.0.0/8, 192.0.2.1]");
	error = addr_range_parse(text, ret_range);
	if (!error && is_bare_zero(ret_range, text))
		return bad_zero(reader, node->mark, text, ret_range->first.family == ADDR_V4);
	return bad_range(reader, node->mark, text, error);
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

bool value_peer(struct value_reader *reader, const struct yaml_node *node, const char *what,
		bool in_rule, struct ast_peer *ret_peer)
{
	struct ast_peer peer = {.mark = node->mark};
	enum addr_error error;
	struct str text = STR("");

	if (!value_item(reader, node, what, &text))
		return false;
	error = addr_range_parse(text, &peer.range);
	if (!error && is_bare_zero(&peer.range, text))
		return bad_zero(reader, node->mark, text, peer.range.first.family == ADDR_V4);
	if (!error)
		peer.kind = AST_PEER_RANGE;
	else if (separator_in(text))
		return several(reader, node->mark, text, "addresses", "[10.0.0.0/8, 192.0.2.1]");
	else if (error != ADDR_NOT_AN_ADDRESS)
		return bad_range(reader, node->mark, text, error);
	else if (str_eq(text, STR("any")))
		peer.kind = AST_PEER_ANY;
	else if (str_eq(text, STR("self")))
		peer.kind = AST_PEER_SELF;
	else if (!reads_as_name(text))
		return bad(reader, node->mark,
			   "'" STR_FMT "' is no address and no name; expected %san address, a "
			   "prefix, a range a-b, a set or a tag",
			   STR_ARG(text), in_rule ? "any, self, " : "");
	else
		peer.kind = AST_PEER_NAME;
	if (peer.kind == AST_PEER_NAME)
		peer.name = text;
	if (!in_rule && (peer.kind == AST_PEER_ANY || peer.kind == AST_PEER_SELF))
		return bad(reader, node->mark,
			   "'" STR_FMT "' does not go into a set; expected it in the rule itself",
			   STR_ARG(text));
	*ret_peer = peer;
	return true;
}

/* One end of the ports that are written as text. */
static bool one_port(struct value_reader *reader, struct str end, struct str text, struct mark at,
		     uint16_t *port)
{
	uint64_t number;

	if (!str_number(end, UINT64_MAX, &number))
		return bad(reader, at, "'" STR_FMT "' is no port; expected any, N or N-M%s",
			   STR_ARG(text), has_leading_zero(end) ? " without leading zeros" : "");
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
	if (separator_in(text))
		return several(reader, at, text, "ports", "[80, 443]");
	(void)str_cut(text, '-', &first, &last);
	if (!one_port(reader, first, text, at, &range.first) ||
	    !one_port(reader, last, text, at, &range.last))
		return false;
	if (range.first > range.last)
		return bad(reader, at,
			   "port range '" STR_FMT "' ends before it begins; expected %u-%u",
			   STR_ARG(text), range.last, range.first);
	*ret_range = range;
	return true;
}

bool value_port(struct value_reader *reader, const struct yaml_node *node, const char *what,
		struct ast_port *ret_port)
{
	struct ast_port port = {.mark = node->mark};
	struct str text = STR("");

	if (!value_item(reader, node, what, &text) ||
	    !value_port_text(reader, text, node->mark, &port.range))
		return false;
	port.any = str_eq(text, STR("any"));
	*ret_port = port;
	return true;
}
