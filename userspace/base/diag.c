// SPDX-License-Identifier: GPL-2.0-only
/* Messages with places, and how they are shown; see base/diag.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/diag.h"

enum { LINE_MAX_LEN = 200, LINE_BEFORE = 120 };

struct diag {
	struct arena *arena;
	ARRAY(struct diag_message) messages;
	size_t n_errors;
	size_t n_warnings;
};

struct diag *diag_new(void)
{
	struct diag *diag = mem_calloc(1, sizeof(*diag));

	diag->arena = arena_new();
	return diag;
}

void diag_free(struct diag *diag)
{
	if (diag)
		arena_free(diag->arena);
	free(diag);
}

/* What is quoted out of a file must not drive the terminal. */
static const char *without_controls(char *text)
{
	for (char *c = text; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	return text;
}

static __attribute__((format(printf, 5, 0))) void add(struct diag *diag, enum diag_level level,
						      struct mark at, int err, const char *format,
						      va_list args)
{
	char *words = NULL;
	char reason[128] = "";

	if (vasprintf(&words, format, args) < 0)
		words = mem_calloc(1, 1);
	if (err)
		(void)snprintf(reason, sizeof(reason), ": %s", strerror(err));
	array_push(
		diag->arena, &diag->messages,
		(struct diag_message){
			.level = level,
			.at = at,
			.text = without_controls(arena_printf(diag->arena, "%s%s", words, reason)),
		});
	free(words);
	diag->n_errors += level == DIAG_ERROR;
	diag->n_warnings += level == DIAG_WARNING;
}

int diag_bad(struct diag *diag, struct mark at, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(diag, DIAG_ERROR, at, 0, format, args);
	va_end(args);
	return -EBADMSG;
}

int diag_sys(struct diag *diag, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(diag, DIAG_ERROR, (struct mark){}, err, format, args);
	va_end(args);
	return -err;
}

int diag_refuse(struct diag *diag, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(diag, DIAG_ERROR, (struct mark){}, 0, format, args);
	va_end(args);
	return code;
}

void diag_warn(struct diag *diag, struct mark at, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(diag, DIAG_WARNING, at, 0, format, args);
	va_end(args);
}

void diag_note(struct diag *diag, struct mark at, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(diag, DIAG_NOTE, at, 0, format, args);
	va_end(args);
}

static __attribute__((format(printf, 4, 5))) void add_as(struct diag *diag, enum diag_level level,
							 struct mark at, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(diag, level, at, 0, format, args);
	va_end(args);
}

void diag_take(struct diag *diag, const struct diag *from, const char *words)
{
	for (size_t i = 0; i < from->messages.len; i++) {
		const struct diag_message *message = &from->messages.at[i];
		bool eased = words && message->level == DIAG_ERROR;

		add_as(diag, eased ? DIAG_WARNING : message->level, message->at, "%s%s",
		       eased ? words : "", message->text);
	}
}

size_t diag_n_errors(const struct diag *diag)
{
	return diag->n_errors;
}

size_t diag_n_warnings(const struct diag *diag)
{
	return diag->n_warnings;
}

const struct diag_message *diag_messages(const struct diag *diag, size_t *ret_len)
{
	*ret_len = diag->messages.len;
	return diag->messages.at;
}

/*
 * A source whose lines are being shown. Lines are found by number and columns from the last
 * one that was asked for, so that very many messages of one file or one line take no very long
 * time.
 */
struct shown {
	const struct source *source;
	ARRAY(size_t) lines; /* where they begin; found when first needed */
	uint32_t line;	     /* of the column below */
	uint32_t column;
	size_t offset; /* where that column begins */
};

static void find_lines(struct arena *arena, struct shown *shown)
{
	struct str text = shown->source->text;
	const char *newline;
	size_t start = 0;

	array_push(arena, &shown->lines, 0);
	while (start < text.len && (newline = memchr(text.at + start, '\n', text.len - start))) {
		start = (size_t)(newline - text.at) + 1;
		array_push(arena, &shown->lines, start);
	}
}

/* From the first byte of the line to its end, which is not in it. */
static struct str line_of(struct arena *arena, struct shown *shown, uint32_t line)
{
	struct str text = shown->source->text;
	size_t start, end = text.len;

	if (!shown->lines.len)
		find_lines(arena, shown);
	if (line > shown->lines.len)
		return STR("");
	start = shown->lines.at[line - 1];
	if (line < shown->lines.len)
		end = shown->lines.at[line] - 1;
	if (end > start && text.at[end - 1] == '\r')
		end--;
	return (struct str){.at = text.at + start, .len = end - start};
}

/* Bytes of the UTF-8 character at the start of text, 0 when it is none. */
static size_t character_size(struct str text)
{
	unsigned char first = (unsigned char)text.at[0];
	size_t size = first < 0x80	       ? 1
		      : (first & 0xe0) == 0xc0 ? 2
		      : (first & 0xf0) == 0xe0 ? 3
		      : (first & 0xf8) == 0xf0 ? 4
					       : 0;

	if (!size || size > text.len)
		return 0;
	for (size_t i = 1; i < size; i++) {
		if (((unsigned char)text.at[i] & 0xc0) != 0x80)
			return 0;
	}
	return size;
}

static void print_character(struct str character, size_t size, FILE *out)
{
	unsigned char first = (unsigned char)character.at[0];
	/* C1 controls are two bytes, 0xc2 0x80 to 0xc2 0x9f. */
	bool control = first < ' ' || first == 0x7f ||
		       (first == 0xc2 && (unsigned char)character.at[1] < 0xa0);

	if (first == '\t')
		fputc(' ', out);
	else if (!size || control)
		fputc('?', out);
	else if (size == 1)
		fputc(first, out);
	else
		(void)fwrite(character.at, 1, size, out);
}

static size_t step_of(struct str text)
{
	size_t size = character_size(text);

	return size ? size : 1;
}

/* What is left of the line from a column on, counted from 1. */
static struct str from_column(struct shown *shown, struct str line, uint32_t number,
			      uint32_t column)
{
	const char *text = shown->source->text.at;
	struct str rest = line;
	uint32_t at = 1;

	if (shown->line == number && shown->column <= column) {
		at = shown->column;
		rest.at = text + shown->offset;
		rest.len = line.len - (size_t)(rest.at - line.at);
	}
	for (; rest.len && at < column; at++) {
		size_t step = step_of(rest);

		rest.at += step;
		rest.len -= step;
	}
	shown->line = number;
	shown->column = at;
	shown->offset = (size_t)(rest.at - text);
	return rest;
}

/* The first so many characters. */
static void print_characters(struct str text, uint32_t n, FILE *out)
{
	for (; text.len && n; n--) {
		size_t step = step_of(text);

		print_character(text, character_size(text), out);
		text.at += step;
		text.len -= step;
	}
}

static void print_place(struct arena *arena, struct shown *shown, const struct mark *at, FILE *out)
{
	struct str line = line_of(arena, shown, at->line);
	uint32_t first = at->column > LINE_BEFORE ? at->column - LINE_BEFORE : 1;
	uint32_t end = first + LINE_MAX_LEN;
	uint32_t len = at->len ? at->len : 1;

	if (!line.len && at->column <= 1)
		return;
	fputs("  ", out);
	print_characters(from_column(shown, line, at->line, first), end - first, out);
	fputs("\n  ", out);
	for (uint32_t column = first; column < at->column; column++)
		fputc(' ', out);
	fputc('^', out);
	for (uint32_t i = 1; i < len && at->column + i < end; i++)
		fputc('~', out);
	fputc('\n', out);
}

/* What is being printed, and where to. */
struct printing {
	struct arena *arena;
	ARRAY(struct shown) sources; /* in the order in which messages first name them */
	size_t last;		     /* the one that was asked for last */
	FILE *out;
};

static size_t number_of(struct printing *printing, const struct source *source)
{
	size_t n = printing->sources.len, i = printing->last;

	if (i < n && printing->sources.at[i].source == source)
		return i;
	for (i = 0; i < n && printing->sources.at[i].source != source; i++)
		;
	if (i == n)
		array_push(printing->arena, &printing->sources, (struct shown){.source = source});
	printing->last = i;
	return i;
}

static void print_message(struct printing *printing, const struct diag_message *message)
{
	static const char *const levels[] = {
		[DIAG_ERROR] = "",
		[DIAG_WARNING] = "warning: ",
		[DIAG_NOTE] = "note: ",
	};
	const struct mark *at = &message->at;
	FILE *out = printing->out;

	if (at->source && at->line)
		fprintf(out, "%s:%u:%u: ", at->source->path, at->line, at->column);
	else if (at->source)
		fprintf(out, "%s: ", at->source->path);
	fprintf(out, "%s%s\n", levels[message->level], message->text);
	if (at->source && at->line && at->source->text.at)
		print_place(printing->arena, &printing->sources.at[number_of(printing, at->source)],
			    at, out);
}

/* An error or warning with its notes, to be put in order. */
struct block {
	const struct diag_message *first;
	size_t len;
	size_t source; /* its number */
};

static int compare_blocks(const void *a, const void *b)
{
	const struct block *left = a, *right = b;
	const struct mark *one = &left->first->at, *two = &right->first->at;

	if (left->source != right->source)
		return left->source < right->source ? -1 : 1;
	if (one->line != two->line)
		return one->line < two->line ? -1 : 1;
	if (one->column != two->column)
		return one->column < two->column ? -1 : 1;
	return left->first < right->first ? -1 : left->first > right->first;
}

void diag_print(const struct diag *diag, FILE *out)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct printing printing = {.arena = arena, .out = out};
	ARRAY(struct block) blocks = {};

	for (size_t i = 0; i < diag->messages.len; i++) {
		const struct diag_message *message = &diag->messages.at[i];

		if (message->level != DIAG_NOTE || !blocks.len)
			array_push(arena, &blocks,
				   (struct block){
					   .first = message,
					   .source = number_of(&printing, message->at.source),
				   });
		array_last(&blocks)->len++;
	}
	if (blocks.len)
		qsort(blocks.at, blocks.len, sizeof(*blocks.at), compare_blocks);
	for (size_t i = 0; i < blocks.len; i++) {
		for (size_t j = 0; j < blocks.at[i].len; j++)
			print_message(&printing, &blocks.at[i].first[j]);
	}
}
