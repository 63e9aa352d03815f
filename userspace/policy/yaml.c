// SPDX-License-Identifier: GPL-2.0-only
/* libyaml's events become nodes; see policy/yaml.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "policy/source.h"
#include "policy/yaml.h"

enum { MAX_DEPTH = 12, MAX_NODES = 240000, MAX_SCALAR = 512, MANY = 1000 };

struct reader {
	struct arena *arena;   /* of texts */
	struct arena *scratch; /* of nodes */
	const struct source *source;
	struct diag *diag;
	yaml_parser_t parser;
	size_t n_nodes;
	yaml_nodes items;     /* of the lists that are being read, the inner ones last */
	yaml_entries entries; /* of the maps that are being read */
};

static void scoped_yaml_parser_delete(struct reader *reader)
{
	yaml_parser_delete(&reader->parser);
}

static void scoped_yaml_event_delete(yaml_event_t *event)
{
	yaml_event_delete(event);
}

const char *yaml_kind_name(enum yaml_kind kind)
{
	static const char *const names[] = {
		[YAML_SCALAR] = "text",
		[YAML_LIST] = "a list",
		[YAML_MAP] = "a map",
		[YAML_REFUSED] = "refused",
	};

	return names[kind];
}

static struct mark mark_of(const struct reader *reader, const yaml_mark_t *start,
			   const yaml_mark_t *end)
{
	return (struct mark){
		.source = reader->source,
		.line = (uint32_t)start->line + 1,
		.column = (uint32_t)start->column + 1,
		.len = end && end->line == start->line && end->column > start->column
			       ? (uint32_t)(end->column - start->column)
			       : 1,
	};
}

/* The line a mark stands on, without its end. */
static struct str text_of_line(const struct source *source, size_t line)
{
	struct str rest = source->text;
	struct str head = rest;

	for (size_t i = 0; i <= line; i++) {
		if (!str_cut(rest, '\n', &head, &rest)) {
			head = i == line ? rest : STR("");
			break;
		}
	}
	return head;
}

static bool is_in_ipv6(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') ||
	       c == ':';
}

bool yaml_has_bare_ipv6(struct str line)
{
	size_t run = 0, colons = 0;

	for (size_t i = 0; i < line.len; i++) {
		if (!is_in_ipv6(line.at[i])) {
			run = colons = 0;
			continue;
		}
		if (run == 0 && i > 0 && (line.at[i - 1] == '"' || line.at[i - 1] == '\''))
			colons = (size_t)-64;
		run++;
		colons += line.at[i] == ':';
		if (colons >= 2 && colons < 64)
			return true;
	}
	return false;
}

static bool is_indented_by_tab(struct str line)
{
	size_t i = 0;

	while (i < line.len && line.at[i] == ' ')
		i++;
	return i < line.len && line.at[i] == '\t';
}

/* What libyaml's error may really be about. */
static const char *hint_for(const struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;

	if (is_indented_by_tab(text_of_line(reader->source, parser->problem_mark.line)))
		return "; lines are indented with blanks, not with tabs";
	if (yaml_has_bare_ipv6(text_of_line(reader->source, parser->problem_mark.line)) ||
	    (parser->context &&
	     yaml_has_bare_ipv6(text_of_line(reader->source, parser->context_mark.line))))
		return YAML_IPV6_HINT;
	return "";
}

/* libyaml counts bytes where a text is no UTF-8. */
static struct mark mark_of_byte(const struct reader *reader, size_t offset)
{
	struct str text = reader->source->text;
	struct mark mark = {.source = reader->source, .line = 1, .column = 1, .len = 1};

	for (size_t i = 0; i < offset && i < text.len; i++) {
		if (text.at[i] == '\n') {
			mark.line++;
			mark.column = 1;
		} else {
			mark.column += ((unsigned char)text.at[i] & 0xc0) != 0x80;
		}
	}
	return mark;
}

/* libyaml's own error: where, inside what, and what it may really be. */
static int bad_yaml(struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	const char *problem = parser->problem ? parser->problem : "not well formed";
	const yaml_mark_t *at = &parser->problem_mark;
	int err;

	/* libyaml says the same of both. */
	if (parser->error == YAML_MEMORY_ERROR && errno == ENOMEM)
		return diag_sys(reader->diag, ENOMEM, "cannot read file '%s'",
				reader->source->path);
	if (parser->error == YAML_MEMORY_ERROR)
		return diag_bad(reader->diag, (struct mark){.source = reader->source},
				"too large to read");
	if (parser->error == YAML_READER_ERROR)
		return diag_bad(reader->diag, mark_of_byte(reader, parser->problem_offset),
				"not UTF-8 text: %s", problem);
	err = diag_bad(reader->diag, mark_of(reader, at, NULL), "not YAML: %s%s", problem,
		       hint_for(reader));
	if (parser->context && parser->context_mark.line != at->line)
		diag_note(reader->diag, mark_of(reader, &parser->context_mark, NULL), "%s",
			  parser->context);
	return err;
}

static int next_event(struct reader *reader, yaml_event_t *event)
{
	errno = 0;
	if (!yaml_parser_parse(&reader->parser, event))
		return bad_yaml(reader);
	return 0;
}

static int read_node(struct reader *reader, const yaml_event_t *event, unsigned depth,
		     struct yaml_node *node);

/* Refused, but what they stand before can be read. */
static void refuse_extras(struct reader *reader, const yaml_event_t *event,
			  const yaml_char_t *anchor, const yaml_char_t *tag)
{
	struct mark at = mark_of(reader, &event->start_mark, &event->end_mark);

	if (anchor)
		diag_bad(reader->diag, at,
			 "anchors (&%s) are not allowed; expected a set or a service where "
			 "something is used twice",
			 anchor);
	if (tag)
		diag_bad(reader->diag, at,
			 "YAML tags (%s) are not allowed; expected the value alone", tag);
}

static void read_scalar(struct reader *reader, const yaml_event_t *event, struct yaml_node *node)
{
	size_t len = event->data.scalar.length;
	const char *text = (const char *)event->data.scalar.value;

	refuse_extras(reader, event, event->data.scalar.anchor, event->data.scalar.tag);
	node->kind = YAML_REFUSED;
	if (len > MAX_SCALAR) {
		diag_bad(reader->diag, node->mark, "a text of %zu bytes; at most %d are allowed",
			 len, MAX_SCALAR);
		return;
	}
	if (memchr(text, '\0', len)) {
		diag_bad(reader->diag, node->mark, "a NUL character is not allowed");
		return;
	}
	node->kind = YAML_SCALAR;
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	node->text = (struct str){.at = arena_copy(reader->arena, text, len), .len = len};
}

/* The items from first on are those of the node, all of them. */
static void take_items(struct reader *reader, size_t first, struct yaml_node *node)
{
	size_t n = reader->items.len - first;

	if (!first && n > MANY) {
		node->items = reader->items;
		reader->items = (yaml_nodes){};
		return;
	}
	array_reserve(reader->scratch, &node->items, n);
	for (size_t i = 0; i < n; i++)
		array_push(reader->scratch, &node->items, reader->items.at[first + i]);
	reader->items.len = first;
}

static int read_list(struct reader *reader, const yaml_event_t *event, unsigned depth,
		     struct yaml_node *node)
{
	size_t first = reader->items.len;
	int err = 0;

	refuse_extras(reader, event, event->data.sequence_start.anchor,
		      event->data.sequence_start.tag);
	node->kind = YAML_LIST;
	while (!err) {
		scoped(yaml_event_delete) yaml_event_t next = {};
		struct yaml_node item = {};

		err = next_event(reader, &next);
		if (err)
			return err;
		if (next.type == YAML_SEQUENCE_END_EVENT) {
			take_items(reader, first, node);
			return 0;
		}
		err = read_node(reader, &next, depth + 1, &item);
		if (!err)
			array_push(reader->scratch, &reader->items, item);
	}
	return err;
}

static int compare_keys(const void *a, const void *b)
{
	const struct yaml_entry *one = *(struct yaml_entry *const *)a;
	const struct yaml_entry *two = *(struct yaml_entry *const *)b;
	int order = str_compare(one->key.text, two->key.text);

	/* Of equal ones the first in the file stays first. */
	return order ? order : (one > two) - (one < two);
}

static void drop_refused(struct yaml_node *node)
{
	size_t n = 0;

	for (size_t i = 0; i < node->entries.len; i++) {
		if (node->entries.at[i].key.kind != YAML_REFUSED)
			node->entries.at[n++] = node->entries.at[i];
	}
	node->entries.len = n;
}

/*
 * The first one of a key stays. Sorted, so that a map of very many keys takes no very long time.
 */
static void refuse_duplicate_keys(struct reader *reader, struct yaml_node *node)
{
	size_t n = node->entries.len, first = 0;
	struct yaml_entry **sorted = arena_calloc(reader->scratch, n, sizeof(*sorted));

	for (size_t i = 0; i < n; i++)
		sorted[i] = &node->entries.at[i];
	qsort(sorted, n, sizeof(*sorted), compare_keys);
	for (size_t i = 1; i < n; i++) {
		if (!str_eq(sorted[first]->key.text, sorted[i]->key.text)) {
			first = i;
			continue;
		}
		diag_bad(reader->diag, sorted[i]->key.mark,
			 "key '" STR_FMT "' stands twice; expected once",
			 STR_ARG(sorted[i]->key.text));
		diag_note(reader->diag, sorted[first]->key.mark, "first here");
		sorted[i]->key.kind = YAML_REFUSED;
	}
	drop_refused(node);
}

static int read_entry(struct reader *reader, const yaml_event_t *key, unsigned depth)
{
	scoped(yaml_event_delete) yaml_event_t value = {};
	struct yaml_entry entry = {};
	int err = read_node(reader, key, depth + 1, &entry.key);

	if (!err)
		err = next_event(reader, &value);
	if (!err)
		err = read_node(reader, &value, depth + 1, &entry.value);
	if (err || entry.key.kind == YAML_REFUSED)
		return err;
	if (entry.key.kind == YAML_SCALAR)
		array_push(reader->scratch, &reader->entries, entry);
	else
		diag_bad(reader->diag, entry.key.mark, "a key is %s; expected text",
			 yaml_kind_name(entry.key.kind));
	return 0;
}

/* As take_items. */
static void take_entries(struct reader *reader, size_t first, struct yaml_node *node)
{
	size_t n = reader->entries.len - first;

	if (!first && n > MANY) {
		node->entries = reader->entries;
		reader->entries = (yaml_entries){};
		refuse_duplicate_keys(reader, node);
		return;
	}
	array_reserve(reader->scratch, &node->entries, n);
	for (size_t i = 0; i < n; i++)
		array_push(reader->scratch, &node->entries, reader->entries.at[first + i]);
	reader->entries.len = first;
	refuse_duplicate_keys(reader, node);
}

static int read_map(struct reader *reader, const yaml_event_t *event, unsigned depth,
		    struct yaml_node *node)
{
	size_t first = reader->entries.len;
	int err = 0;

	refuse_extras(reader, event, event->data.mapping_start.anchor,
		      event->data.mapping_start.tag);
	node->kind = YAML_MAP;
	while (!err) {
		scoped(yaml_event_delete) yaml_event_t key = {};

		err = next_event(reader, &key);
		if (err)
			return err;
		if (key.type == YAML_MAPPING_END_EVENT) {
			take_entries(reader, first, node);
			return 0;
		}
		err = read_entry(reader, &key, depth);
	}
	return err;
}

static int read_node(struct reader *reader, const yaml_event_t *event, unsigned depth,
		     struct yaml_node *node)
{
	node->mark = mark_of(reader, &event->start_mark, &event->end_mark);
	if (depth > MAX_DEPTH)
		return diag_bad(reader->diag, node->mark, "nested too deep; at most %d levels",
				MAX_DEPTH);
	if (++reader->n_nodes > MAX_NODES)
		return diag_bad(reader->diag, node->mark, "too many items; at most %d in a file",
				MAX_NODES);
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		read_scalar(reader, event, node);
		return 0;
	case YAML_SEQUENCE_START_EVENT:
		return read_list(reader, event, depth, node);
	case YAML_MAPPING_START_EVENT:
		return read_map(reader, event, depth, node);
	case YAML_ALIAS_EVENT:
		node->kind = YAML_REFUSED;
		diag_bad(reader->diag, node->mark,
			 "aliases (*%s) are not allowed; expected a value, or the name of a set or "
			 "a service",
			 event->data.alias.anchor);
		return 0;
	default:
		return diag_bad(reader->diag, node->mark, "not YAML that a policy can hold");
	}
}

static int read_document(struct reader *reader, struct yaml_node *node)
{
	for (;;) {
		scoped(yaml_event_delete) yaml_event_t event = {};
		int err = next_event(reader, &event);

		if (err)
			return err;
		if (event.type == YAML_STREAM_END_EVENT)
			return diag_bad(reader->diag, (struct mark){.source = reader->source},
					"the file is empty; expected 'bulkhead: 1' as its first "
					"key");
		if (event.type == YAML_STREAM_START_EVENT ||
		    event.type == YAML_DOCUMENT_START_EVENT)
			continue;
		return read_node(reader, &event, 0, node);
	}
}

/* Behind the document there is its end and the end of the file. */
static int read_end(struct reader *reader)
{
	for (;;) {
		scoped(yaml_event_delete) yaml_event_t event = {};
		int err = next_event(reader, &event);

		if (err || event.type == YAML_STREAM_END_EVENT)
			return err;
		if (event.type == YAML_DOCUMENT_START_EVENT) {
			diag_bad(reader->diag, mark_of(reader, &event.start_mark, &event.end_mark),
				 "a second document; expected one a file");
			return 0;
		}
	}
}

/* What cannot be seen and changes how a line reads. */
static const struct unseen {
	const char *bytes;
	const char *name;
	bool breaks;
} unseen[] = {
	{"\r", "a carriage return without a line feed", true},
	{"\xc2\x85", "U+0085", true},
	{"\xe2\x80\xa8", "U+2028", true},
	{"\xe2\x80\xa9", "U+2029", true},
	{"\xe2\x80\xaa", "U+202A", false},
	{"\xe2\x80\xab", "U+202B", false},
	{"\xe2\x80\xac", "U+202C", false},
	{"\xe2\x80\xad", "U+202D", false},
	{"\xe2\x80\xae", "U+202E", false},
	{"\xe2\x81\xa6", "U+2066", false},
	{"\xe2\x81\xa7", "U+2067", false},
	{"\xe2\x81\xa8", "U+2068", false},
	{"\xe2\x81\xa9", "U+2069", false},
};

/*
 * libyaml ends a line also where editors, diffs and our own messages see none: what stands behind a
 * comment there is read, and looks as if it were of the comment. And where text runs the other way a
 * comment can look like what is read (CVE-2021-42574).
 */
static int refuse_unseen(const struct reader *reader)
{
	struct str text = reader->source->text;

	for (size_t at = 0; at < text.len; at++) {
		struct str rest = {text.at + at, text.len - at};
		unsigned char first = (unsigned char)rest.at[0];

		if (first != '\r' && first < 0x80)
			continue;
		for (size_t i = 0; i < ARRAY_LEN(unseen); i++) {
			if (!str_starts(rest, str_of(unseen[i].bytes)) ||
			    str_starts(rest, STR("\r\n")))
				continue;
			return diag_bad(
				reader->diag, mark_of_byte(reader, at), "%s, which %s",
				unseen[i].name,
				unseen[i].breaks
					? "ends a line in YAML and cannot be seen; expected "
					  "lines that end in a line feed"
					: "changes the order in which a line is shown; "
					  "expected none");
		}
	}
	return 0;
}

/*
 * libyaml compares each %TAG with all before it, which would take hours. No line of a map, which a
 * file has to be, begins with a '%'.
 */
static int refuse_directives(const struct reader *reader)
{
	struct str text = reader->source->text;
	size_t at = 0;

	while (at < text.len) {
		const char *found = memchr(text.at + at, '%', text.len - at);

		if (!found)
			return 0;
		at = (size_t)(found - text.at);
		if (!at || text.at[at - 1] == '\n')
			return diag_bad(reader->diag, mark_of_byte(reader, at),
					"'%%' at the start of a line is a YAML directive; expected "
					"none");
		at++;
	}
	return 0;
}

int yaml_read(struct arena *arena, struct arena *scratch, const struct source *source,
	      struct diag *diag, struct yaml_node *ret_node)
{
	scoped(yaml_parser_delete) struct reader reader = {
		.arena = arena,
		.scratch = scratch,
		.source = source,
		.diag = diag,
	};
	struct yaml_node node = {};
	int err = source_check_order_mark(source, diag);

	if (!err)
		err = refuse_unseen(&reader);
	if (!err)
		err = refuse_directives(&reader);
	if (err)
		return err;
	if (!yaml_parser_initialize(&reader.parser))
		return diag_sys(diag, ENOMEM, "cannot start the YAML reader");
	yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)source->text.at,
				     source->text.len);
	err = read_document(&reader, &node);
	if (!err)
		err = read_end(&reader);
	if (!err)
		*ret_node = node;
	return err;
}
