/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What went wrong, with places, in words. A command makes one diag, everything below adds to
 * it, and the command prints it once. Words are made where the most is known; every caller
 * above only returns the code.
 *
 * Words: lower case, no full stop, the thing in single quotes, then what was expected.
 */
#ifndef BASE_DIAG_H
#define BASE_DIAG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/scoped.h"
#include "base/str.h"

/* A file in memory. Lives as long as the diag that shows its lines. */
struct source {
	const char *path; /* as the operator named it */
	struct str text;
};

/*
 * A place in a source. line and column count from 1; column counts characters (UTF-8 code
 * points), len is the number of characters to underline, 0 counts as 1. source NULL: no place;
 * line 0: the file as a whole.
 */
struct mark {
	const struct source *source;
	uint32_t line;
	uint32_t column;
	uint32_t len;
};

enum diag_level {
	DIAG_ERROR,
	DIAG_WARNING,
	DIAG_NOTE, /* belongs to the message before it: "first defined here" */
};

struct diag_message {
	enum diag_level level;
	struct mark at;
	const char *text;
};

struct diag;

/* Of very many messages the first ones are kept, and the others only counted. */
enum { DIAG_MAX = 10000 };

struct diag *diag_new(void);
void diag_free(struct diag *diag);
SCOPED(struct diag *, diag_free);

/* The input is wrong: adds an error and returns -EBADMSG. */
int diag_bad(struct diag *diag, struct mark at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * The system refused: adds an error without a place, followed by ": " and the words for err,
 * and returns -err. err is a positive errno.
 */
int diag_sys(struct diag *diag, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * We refuse for a reason that is not an errno's: adds the words as they are and returns code,
 * which is a negative errno chosen by the caller (-E2BIG for a limit, -EOPNOTSUPP for a
 * kernel that lacks something, -ENODEV for a link that cannot be attached to).
 */
int diag_refuse(struct diag *diag, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Adds a warning, which makes nothing fail. */
void diag_warn(struct diag *diag, struct mark at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A second place for the message before it. */
void diag_note(struct diag *diag, struct mark at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Adds the messages of another diag, in their order. With words (else NULL) its errors become
 * warnings that begin with them: what failed is not what the caller was asked for.
 */
void diag_take(struct diag *diag, const struct diag *from, const char *words);

/* Whether further messages are only counted, so that words that cost much need not be made. */
bool diag_is_full(const struct diag *diag);

size_t diag_n_errors(const struct diag *diag);
size_t diag_n_warnings(const struct diag *diag);

/* The messages in the order of their adding, notes behind what they belong to. */
const struct diag_message *diag_messages(const struct diag *diag, size_t *ret_len);

/*
 * Prints every message as "path:line:column: message" (no "path:…" where there is no place),
 * warnings with "warning: " and notes with "note: " before the words, then the source line and
 * a caret line under it. Sources stand in the order in which messages first named them, and
 * the messages of one source in the order of their places. Lines over 200 characters are cut around
 * the place; control characters and invalid UTF-8 of the line are shown as '?', tabs as one blank.
 */
void diag_print(const struct diag *diag, FILE *out);

/* The same for a journal: before each line stands the level of its message, as sd-daemon(3) has it. */
void diag_print_levels(const struct diag *diag, FILE *out);

#endif
