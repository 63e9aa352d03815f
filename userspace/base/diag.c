// SPDX-License-Identifier: GPL-2.0-only
/* Messages with places, and how they are shown; see base/diag.h. */
#include <errno.h>
#include <stdarg.h>
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

/* Where a search for lines stands: rest begins with that line. Messages mostly go forward. */
struct cursor {
	const struct source *source;
	uint32_t line;
	struct str rest;
};

static struct str line_of(struct cursor *cursor, const struct mark *at)
{
	struct str head, rest;

	if (cursor->source != at->source || cursor->line > at->line)
		*cursor = (struct cursor){at->source, 1, at->source->text};
	while (cursor->line < at->line) {
		if (!str_cut(cursor->rest, '\n', &head, &cursor->rest))
			cursor->rest = STR("");
		cursor->line++;
	}
	if (!str_cut(cursor->rest, '\n', &head, &rest))
		head = cursor->rest;
	if (head.len && head.at[head.len - 1] == '\r')
		head.len--;
	return head;
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
	else
		(void)fwrite(character.at, 1, size, out);
}

/* Prints the characters from first up to, and without, end (counted from 1). */
static void print_line(struct str line, uint32_t first, uint32_t end, FILE *out)
{
	for (uint32_t column = 1; line.len && column < end; column++) {
		size_t size = character_size(line);
		size_t step = size ? size : 1;

		if (column >= first)
			print_character(line, size, out);
		line.at += step;
		line.len -= step;
	}
}

static void print_place(struct cursor *cursor, const struct mark *at, FILE *out)
{
	struct str line = line_of(cursor, at);
	uint32_t first = at->column > LINE_BEFORE ? at->column - LINE_BEFORE : 1;
	uint32_t end = first + LINE_MAX_LEN;
	uint32_t len = at->len ? at->len : 1;

	if (!line.len && at->column <= 1)
		return;
	fputs("  ", out);
	print_line(line, first, end, out);
	fputs("\n  ", out);
	for (uint32_t column = first; column < at->column; column++)
		fputc(' ', out);
	fputc('^', out);
	for (uint32_t i = 1; i < len && at->column + i < end; i++)
		fputc('~', out);
	fputc('\n', out);
}

static void print_message(struct cursor *cursor, const struct diag_message *message, FILE *out)
{
	static const char *const levels[] = {
		[DIAG_ERROR] = "",
		[DIAG_WARNING] = "warning: ",
		[DIAG_NOTE] = "note: ",
	};
	const struct mark *at = &message->at;

	if (at->source && at->line)
		fprintf(out, "%s:%u:%u: ", at->source->path, at->line, at->column);
	else if (at->source)
		fprintf(out, "%s: ", at->source->path);
	fprintf(out, "%s%s\n", levels[message->level], message->text);
	if (at->source && at->line && at->source->text.at)
		print_place(cursor, at, out);
}

void diag_print(const struct diag *diag, FILE *out)
{
	struct cursor cursor = {};

	for (size_t i = 0; i < diag->messages.len; i++)
		print_message(&cursor, &diag->messages.at[i], out);
}
