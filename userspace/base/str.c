// SPDX-License-Identifier: GPL-2.0-only
/* Slices of text; see base/str.h. */
#include <string.h>

#include "base/arena.h"
#include "base/str.h"

struct str str_of(const char *text)
{
	return (struct str){.at = text ? text : "", .len = text ? strlen(text) : 0};
}

char *str_dup(struct arena *arena, struct str text)
{
	return arena_copy(arena, text.at, text.len);
}

/*
 * Bytes of the UTF-8 character at the start of text, 0 when it is none, as one in too many bytes, half of a
 * pair of UTF-16 or what is beyond U+10FFFF.
 */
static size_t character_size(struct str text)
{
	unsigned char first = (unsigned char)text.at[0];
	unsigned char second = text.len > 1 ? (unsigned char)text.at[1] : 0;
	size_t size = first < 0x80	       ? 1
		      : (first & 0xe0) == 0xc0 ? 2
		      : (first & 0xf0) == 0xe0 ? 3
		      : (first & 0xf8) == 0xf0 ? 4
					       : 0;

	if (!size || size > text.len || first == 0xc0 || first == 0xc1 ||
	    (first == 0xe0 && second < 0xa0) || (first == 0xed && second >= 0xa0) ||
	    (first == 0xf0 && second < 0x90) || (first == 0xf4 && second >= 0x90) || first > 0xf4)
		return 0;
	for (size_t i = 1; i < size; i++) {
		if (((unsigned char)text.at[i] & 0xc0) != 0x80)
			return 0;
	}
	return size;
}

size_t str_step(struct str text)
{
	size_t size = character_size(text);

	return size ? size : 1;
}

bool str_is_visible(struct str text)
{
	unsigned char first = (unsigned char)text.at[0];
	unsigned char second = text.len > 1 ? (unsigned char)text.at[1] : 0;
	unsigned char third = text.len > 2 ? (unsigned char)text.at[2] : 0;
	/* C1 controls are two bytes, 0xc2 0x80 to 0xc2 0x9f. */
	bool control = first < ' ' || first == 0x7f || (first == 0xc2 && second < 0xa0);
	/* U+200B to U+200F, U+2028 to U+202E, U+2060 to U+206F: of no width, or of a direction. */
	bool mark = first == 0xe2 && ((second == 0x80 && third >= 0x8b && third <= 0x8f) ||
				      (second == 0x80 && third >= 0xa8 && third <= 0xae) ||
				      (second == 0x81 && third >= 0xa0 && third <= 0xaf));
	/* U+061C is a mark of direction, U+FEFF one of byte order. */
	bool other = (first == 0xd8 && second == 0x9c) ||
		     (first == 0xef && second == 0xbb && third == 0xbf);

	return character_size(text) && !control && !mark && !other;
}

static bool is_character(struct str text)
{
	return character_size(text);
}

static char *replace_others(char *text, bool (*stays)(struct str text))
{
	struct str rest = str_of(text);
	char *end = text;

	while (rest.len) {
		size_t step = str_step(rest);

		if (stays(rest)) {
			memmove(end, rest.at, step);
			end += step;
		} else {
			*end++ = '?';
		}
		rest.at += step;
		rest.len -= step;
	}
	*end = '\0';
	return text;
}

char *str_make_visible(char *text)
{
	return replace_others(text, str_is_visible);
}

char *str_make_utf8(char *text)
{
	return replace_others(text, is_character);
}

static int lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : (unsigned char)c;
}

int str_compare(struct str a, struct str b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len ? memcmp(a.at, b.at, len) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

int str_compare_nocase(struct str a, struct str b)
{
	for (size_t i = 0; i < a.len && i < b.len; i++) {
		int order = lower(a.at[i]) - lower(b.at[i]);

		if (order)
			return order;
	}
	return (a.len > b.len) - (a.len < b.len);
}

bool str_eq(struct str a, struct str b)
{
	return a.len == b.len && str_compare(a, b) == 0;
}

bool str_eq_nocase(struct str a, struct str b)
{
	return a.len == b.len && str_compare_nocase(a, b) == 0;
}

bool str_starts(struct str text, struct str prefix)
{
	text.len = text.len < prefix.len ? text.len : prefix.len;
	return str_eq(text, prefix);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct str str_trim(struct str text)
{
	while (text.len && is_blank(text.at[0])) {
		text.at++;
		text.len--;
	}
	while (text.len && is_blank(text.at[text.len - 1]))
		text.len--;
	return text;
}

bool str_cut(struct str text, char separator, struct str *ret_head, struct str *ret_tail)
{
	const char *at = text.len ? memchr(text.at, separator, text.len) : NULL;

	if (!at)
		return false;
	*ret_head = (struct str){.at = text.at, .len = (size_t)(at - text.at)};
	*ret_tail = (struct str){.at = at + 1, .len = text.len - ret_head->len - 1};
	return true;
}

bool str_word(struct str *rest, struct str *ret_word)
{
	struct str text = str_trim(*rest);
	size_t len = 0;

	if (!text.len)
		return false;
	while (len < text.len && !is_blank(text.at[len]))
		len++;
	*ret_word = (struct str){.at = text.at, .len = len};
	*rest = (struct str){.at = text.at + len, .len = text.len - len};
	return true;
}

bool str_number(struct str text, uint64_t max, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (!text.len || (text.len > 1 && text.at[0] == '0'))
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(text.at[i] - '0'), &number))
			return false;
	}
	if (number > max)
		return false;
	*ret_number = number;
	return true;
}

enum { DISTANCE_MAX_LEN = 64 };

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Optimal string alignment: rows of the last two characters are kept for the swap. */
unsigned str_distance(struct str a, struct str b)
{
	unsigned rows[3][DISTANCE_MAX_LEN + 1];

	if (a.len > DISTANCE_MAX_LEN || b.len > DISTANCE_MAX_LEN)
		return DISTANCE_MAX_LEN;
	for (size_t j = 0; j <= b.len; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= a.len; i++) {
		unsigned *row = rows[i % 3];
		const unsigned *above = rows[(i + 2) % 3];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b.len; j++) {
			bool same = lower(a.at[i - 1]) == lower(b.at[j - 1]);

			row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + !same);
			if (i > 1 && j > 1 && lower(a.at[i - 1]) == lower(b.at[j - 2]) &&
			    lower(a.at[i - 2]) == lower(b.at[j - 1])) {
				unsigned swapped = rows[(i + 1) % 3][j - 2] + 1;

				row[j] = row[j] < swapped ? row[j] : swapped;
			}
		}
	}
	return rows[a.len % 3][b.len];
}
