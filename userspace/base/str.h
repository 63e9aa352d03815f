/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Slices of text, and numbers out of text, strictly. A slice owns nothing and need not end in
 * NUL; print it with STR_FMT and STR_ARG.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
	const char *at;
	size_t len;
};

#define STR(literal)                        \
	((struct str){                      \
		.at = (literal),            \
		.len = sizeof(literal) - 1, \
	})
#define STR_FMT	       "%.*s"
#define STR_ARG(slice) (int)(slice).len, (slice).at

struct arena;

/* The slice of a text that ends in NUL; NULL gives the empty slice. */
struct str str_of(const char *text);

/* A NUL-terminated copy in the arena. */
char *str_dup(struct arena *arena, struct str text);

/* Bytes of the first character, UTF-8; 1 where there is none. text must not be empty. */
size_t str_step(struct str text);

/*
 * Whether the first character is one, and none that a terminal would obey: C0, DEL, C1, what has no
 * width, what turns the direction of text. text must not be empty.
 */
bool str_is_visible(struct str text);

/* Puts a question mark in the place of each that is not; returns text, which may be shorter then. */
char *str_make_visible(char *text);

/* The same in the place of each byte that is no character; text stays as long. */
char *str_make_utf8(char *text);

bool str_eq(struct str a, struct str b);

/* ASCII letters compare without regard to case, whatever the locale. */
bool str_eq_nocase(struct str a, struct str b);

/* Less, equal, greater as memcmp, shorter first; nocase as above. */
int str_compare(struct str a, struct str b);
int str_compare_nocase(struct str a, struct str b);

bool str_starts(struct str text, struct str prefix);

/* Blanks and tabs off both ends. */
struct str str_trim(struct str text);

/*
 * Cuts the text at the first separator: *ret_head is what stands before, *ret_tail what stands
 * after. False, and both untouched, when there is no separator.
 */
bool str_cut(struct str text, char separator, struct str *ret_head, struct str *ret_tail);

/*
 * Takes the next word (separated by blanks and tabs) off *rest; false at the end.
 */
bool str_word(struct str *rest, struct str *ret_word);

/*
 * A decimal number from 0 to max: digits alone, no sign, no blanks, no leading zero besides
 * "0" itself. False, and *ret_number untouched, for anything else.
 */
bool str_number(struct str text, uint64_t max, uint64_t *ret_number);

/*
 * The number of single-character edits (insert, delete, replace, swap of neighbours) between
 * two texts without regard to case, for "did you mean"; texts over 64 characters are far.
 */
unsigned str_distance(struct str a, struct str b);

#endif
