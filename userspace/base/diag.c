// SPDX-License-Identifier: GPL-2.0-only
/* Messages with places, and how they are shown; see base/diag.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "base/array.h"
#include "base/diag.h"

enum { LINE_MAX_LEN = 200, LINE_BEFORE = 120, LINES_STEP = 256 };

struct diag {
	struct arena *arena;
	ARRAY(struct diag_message) messages;
	size_t n_errors;
	size_t n_warnings;
	size_t n_left_out; /* messages, their notes not counted */
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

static __attribute__((format(printf, 5, 0))) void add(struct diag *diag, enum diag_level level,
						      struct mark at, int err, const char *format,
						      va_list args)
{
	char *words;

	diag->n_errors += level == DIAG_ERROR;
	diag->n_warnings += level == DIAG_WARNING;
	if (diag_is_full(diag) && (level != DIAG_NOTE || diag->n_left_out)) {
		diag->n_left_out += level != DIAG_NOTE;
		return;
	}
	words = arena_vprintf(diag->arena, format, args);
	if (err)
		words = arena_printf(diag->arena, "%s: %s", words, strerror(err));
	array_push(diag->arena, &diag->messages,
		   (struct diag_message){
			   .level = level,
			   .at = at,
			   .text = str_make_visible(words),
		   });
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
	diag->n_left_out += from->n_left_out;
}

bool diag_is_full(const struct diag *diag)
{
	return diag->messages.len >= DIAG_MAX;
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

/* A column of a line, and where it begins; a line 0 is none. */
struct cursor {
	uint32_t line;
	uint32_t column;
	size_t offset;
};

/*
 * A source whose lines are being shown. Lines are found by number and columns from the last one
 * that was asked for, so that very many messages of one file or one line take no very long
 * time. Notes point back, so they have a cursor of their own.
 */
struct shown {
	const struct source *source;
	ARRAY(size_t) lines; /* where every LINES_STEPth begins; found when first needed */
	uint32_t last;	     /* the line that was asked for last; 0: none */
	struct str last_line;
	struct cursor cursors[2];
};

/* Where the line behind this one begins; false: there is none. */
static bool next_line(struct str text, size_t start, size_t *ret_start)
{
	const char *newline =
		start < text.len ? memchr(text.at + start, '\n', text.len - start) : NULL;

	if (!newline)
		return false;
	*ret_start = (size_t)(newline - text.at) + 1;
	return true;
}

static void find_lines(struct arena *arena, struct shown *shown)
{
	size_t start = 0;
	size_t n = 0;

	do {
		if (n++ % LINES_STEP == 0)
			array_push(arena, &shown->lines, start);
	} while (next_line(shown->source->text, start, &start));
}

static struct str find_line(struct arena *arena, struct shown *shown, uint32_t line)
{
	struct str text = shown->source->text;
	size_t start, end = text.len;

	if (!shown->lines.len)
		find_lines(arena, shown);
	if ((line - 1) / LINES_STEP >= shown->lines.len)
		return STR("");
	start = shown->lines.at[(line - 1) / LINES_STEP];
	for (uint32_t i = (line - 1) % LINES_STEP; i; i--)
		if (!next_line(text, start, &start))
			return STR("");
	if (next_line(text, start, &end))
		end--;
	if (end > start && text.at[end - 1] == '\r')
		end--;
	return (struct str){.at = text.at + start, .len = end - start};
}

/* From the first byte of the line to its end, which is not in it. */
static struct str line_of(struct arena *arena, struct shown *shown, uint32_t line)
{
	if (shown->last != line) {
		shown->last_line = find_line(arena, shown, line);
		shown->last = line;
	}
	return shown->last_line;
}

static void print_character(struct str character, size_t size, FILE *out)
{
	if (character.at[0] == '\t')
		fputc(' ', out);
	else if (!str_is_visible(character))
		fputc('?', out);
	else
		(void)fwrite(character.at, 1, size, out);
}

/* What is left of the line from a place's column on, counted from 1; the cursor moves there. */
static struct str from_column(const struct source *source, struct str line, struct cursor wanted,
			      struct cursor *cursor)
{
	const char *text = source->text.at;
	struct str rest = line;
	uint32_t at = 1;

	if (!line.len)
		return line; /* an empty one, or none of the source */
	if (cursor->line == wanted.line && cursor->column <= wanted.column) {
		at = cursor->column;
		rest.at = text + cursor->offset;
		rest.len = line.len - (size_t)(rest.at - line.at);
	}
	for (; rest.len && at < wanted.column; at++) {
		size_t step = str_step(rest);

		rest.at += step;
		rest.len -= step;
	}
	*cursor = (struct cursor){wanted.line, at, (size_t)(rest.at - text)};
	return rest;
}

/* The first so many characters. */
static void print_characters(struct str text, uint32_t n, FILE *out)
{
	for (; text.len && n; n--) {
		size_t step = str_step(text);

		print_character(text, step, out);
		text.at += step;
		text.len -= step;
	}
}

/* What is being printed, and where to. */
struct printing {
	struct arena *arena;
	ARRAY(struct shown) sources; /* in the order in which messages first name them */
	size_t last;		     /* the one that was asked for last */
	bool levels;
	FILE *out;
};

/* Begins a line: a journal takes each for itself, and without a level for one that is only told. */
static void begin_line(const struct printing *printing, enum diag_level level)
{
	static const int priorities[] = {
		[DIAG_ERROR] = LOG_ERR,
		[DIAG_WARNING] = LOG_WARNING,
		[DIAG_NOTE] = LOG_NOTICE,
	};

	if (printing->levels)
		fprintf(printing->out, "<%d>", priorities[level]);
}

static void print_place(const struct printing *printing, struct shown *shown,
			const struct diag_message *message)
{
	const struct mark *at = &message->at;
	struct cursor *cursor = &shown->cursors[message->level == DIAG_NOTE];
	struct str line = line_of(printing->arena, shown, at->line);
	uint32_t first = at->column > LINE_BEFORE ? at->column - LINE_BEFORE : 1;
	uint32_t end = first + LINE_MAX_LEN;
	uint32_t len = at->len ? at->len : 1;
	FILE *out = printing->out;

	if (!line.len && at->column <= 1)
		return;
	begin_line(printing, message->level);
	fputs("  ", out);
	print_characters(
		from_column(shown->source, line, (struct cursor){at->line, first, 0}, cursor),
		end - first, out);
	fputc('\n', out);
	begin_line(printing, message->level);
	fputs("  ", out);
	for (uint32_t column = first; column < at->column; column++)
		fputc(' ', out);
	fputc('^', out);
	for (uint32_t i = 1; i < len && at->column + i < end; i++)
		fputc('~', out);
	fputc('\n', out);
}

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
	size_t number;

	begin_line(printing, message->level);
	if (at->source)
		print_characters(str_of(at->source->path), UINT32_MAX, out);
	if (at->source && at->line)
		fprintf(out, ":%u:%u", at->line, at->column);
	fprintf(out, "%s%s%s\n", at->source ? ": " : "", levels[message->level], message->text);
	if (!at->source || !at->line || !at->source->text.at)
		return;
	number = number_of(printing, at->source);
	print_place(printing, &printing->sources.at[number], message);
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

static void print(const struct diag *diag, bool levels, FILE *out)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct printing printing = {.arena = arena, .levels = levels, .out = out};
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
	if (!diag->n_left_out)
		return;
	begin_line(&printing, DIAG_ERROR);
	fprintf(out, "%zu more messages are not shown; expected at most %d\n", diag->n_left_out,
		DIAG_MAX);
}

void diag_print(const struct diag *diag, FILE *out)
{
	print(diag, false, out);
}

void diag_print_levels(const struct diag *diag, FILE *out)
{
	print(diag, true, out);
}
