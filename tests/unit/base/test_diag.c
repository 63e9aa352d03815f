// SPDX-License-Identifier: GPL-2.0-only
/* What went wrong, in words: codes, counts, places, and what is shown of a line. */
#include <criterion/criterion.h>
#include <errno.h>

#include "base/arena.h"
#include "base/diag.h"

static const struct mark nowhere;

typedef void print(const struct diag *, FILE *);

/* All that it writes, in the arena. */
static const char *printed_by(struct arena *arena, print *by, const struct diag *diag)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	const char *copy;

	by(diag, out);
	(void)fclose(out);
	copy = arena_copy(arena, text, size);
	free(text);
	return copy;
}

static const char *printed(struct arena *arena, const struct diag *diag)
{
	return printed_by(arena, diag_print, diag);
}

static void shows(const char *text, struct mark at, const char *expected)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	struct source source = {.path = "web.yaml", .text = str_of(text)};

	at.source = &source;
	(void)diag_bad(diag, at, "words");
	cr_assert_str_eq(printed(arena, diag), expected);
}

Test(diag, each_way_to_fail_returns_what_the_caller_returns)
{
	scoped(diag_free) struct diag *diag = diag_new();

	cr_assert_eq(diag_bad(diag, nowhere, "bad"), -EBADMSG);
	cr_assert_eq(diag_sys(diag, ENOSPC, "sys"), -ENOSPC);
	cr_assert_eq(diag_refuse(diag, -E2BIG, "refused"), -E2BIG);
	cr_assert_eq(diag_n_errors(diag), 3);
	cr_assert_eq(diag_n_warnings(diag), 0);
}

Test(diag, warnings_and_notes_make_nothing_fail)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	const struct diag_message *messages;
	size_t n = 0;

	diag_warn(diag, nowhere, "odd");
	diag_note(diag, nowhere, "first defined here");
	cr_assert_eq(diag_n_errors(diag), 0);
	cr_assert_eq(diag_n_warnings(diag), 1);
	messages = diag_messages(diag, &n);
	cr_assert_eq(n, 2);
	cr_assert_eq(messages[0].level, DIAG_WARNING);
	cr_assert_eq(messages[1].level, DIAG_NOTE);
	cr_assert_str_eq(printed(arena, diag), "warning: odd\nnote: first defined here\n");
}

Test(diag, the_system_s_reason_stands_behind_the_words)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();

	(void)diag_sys(diag, ENOSPC, "cannot write file '%s'", "a");
	(void)diag_refuse(diag, -ENOSPC, "full");
	cr_assert_str_eq(printed(arena, diag),
			 "cannot write file 'a': No space left on device\nfull\n");
}

Test(diag, control_characters_of_quoted_text_do_not_reach_the_terminal)
{
	scoped(diag_free) struct diag *diag = diag_new();
	size_t n = 0;

	(void)diag_bad(diag, nowhere, "no set '%s'", "a\x1b[2Jb\nc\x7f");
	cr_assert_str_eq(diag_messages(diag, &n)[0].text, "no set 'a?[2Jb?c?'");
}

Test(diag, nor_do_those_of_a_path)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	struct source source = {.path = "a\x1b]0;b\a\xc2\x9bm.yaml", .text = STR("x\n")};

	(void)diag_bad(diag, (struct mark){.source = &source, .line = 1, .column = 1}, "words");
	(void)diag_bad(diag, (struct mark){.source = &source}, "of all");
	(void)diag_refuse(diag, -EINVAL, "cannot open '%s'", source.path);
	cr_assert_str_eq(printed(arena, diag), "a?]0;b??m.yaml: of all\n"
					       "a?]0;b??m.yaml:1:1: words\n  x\n  ^\n"
					       "cannot open 'a?]0;b??m.yaml'\n");
}

Test(diag, a_place_is_shown_with_its_line_and_a_caret)
{
	shows("group: web\nrules: x\n", (struct mark){.line = 2, .column = 8, .len = 1},
	      "web.yaml:2:8: words\n  rules: x\n         ^\n");
	shows("group: web\nrules: x\n", (struct mark){.line = 1, .column = 8, .len = 3},
	      "web.yaml:1:8: words\n  group: web\n         ^~~\n");
	shows("last line", (struct mark){.line = 1, .column = 6, .len = 4},
	      "web.yaml:1:6: words\n  last line\n       ^~~~\n");
	shows("a: b\r\n", (struct mark){.line = 1, .column = 1},
	      "web.yaml:1:1: words\n  a: b\n  ^\n");
}

Test(diag, a_journal_is_told_the_level_of_each_line)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	struct source source = {.path = "web.yaml", .text = str_of("group: web\n")};

	(void)diag_bad(diag, (struct mark){.source = &source, .line = 1, .column = 8}, "words");
	diag_note(diag, (struct mark){}, "more");
	diag_warn(diag, (struct mark){}, "odd");
	cr_assert_str_eq(printed_by(arena, diag_print_levels, diag),
			 "<3>web.yaml:1:8: words\n<3>  group: web\n<3>         ^\n"
			 "<5>note: more\n<4>warning: odd\n");
}

Test(diag, a_file_as_a_whole_has_no_line)
{
	shows("group: web\n", (struct mark){}, "web.yaml: words\n");
}

Test(diag, a_place_behind_the_end_shows_no_line_of_another)
{
	shows("a\n", (struct mark){.line = 2, .column = 1}, "web.yaml:2:1: words\n");
	shows("", (struct mark){.line = 1, .column = 1}, "web.yaml:1:1: words\n");
}

Test(diag, columns_are_characters_and_not_bytes)
{
	shows("\xc3\xa4\xc3\xb6: x\n", (struct mark){.line = 1, .column = 5, .len = 1},
	      "web.yaml:1:5: words\n  \xc3\xa4\xc3\xb6: x\n      ^\n");
}

Test(diag, what_a_terminal_would_obey_is_shown_as_a_question_mark)
{
	shows("a\x1b"
	      "b\tc\xff"
	      "d\xc2\x9b"
	      "e\n",
	      (struct mark){.line = 1, .column = 3, .len = 1},
	      "web.yaml:1:3: words\n  a?b c?d?e\n    ^\n");
}

Test(diag, a_long_line_is_cut_around_its_place)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	char text[5001];
	struct source source = {.path = "long", .text = {text, sizeof(text) - 1}};
	const char *shown;
	const char *line;
	const char *caret;

	memset(text, 'a', sizeof(text));
	text[3000] = 'X';
	text[sizeof(text) - 1] = '\n';
	(void)diag_bad(diag, (struct mark){&source, 1, 3001, 1}, "words");
	shown = printed(arena, diag);
	line = strchr(shown, '\n') + 1;
	caret = strchr(line, '\n') + 1;
	cr_assert_eq(caret - line, 2 + 200 + 1);
	cr_assert_eq(strchr(line, 'X') - line, strchr(caret, '^') - caret);
}

Test(diag, messages_are_shown_by_file_and_in_the_order_of_their_places)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	struct source one = {.path = "one", .text = STR("1\n2\n3\n")};
	struct source two = {.path = "two", .text = STR("x\ny\n")};

	(void)diag_bad(diag, (struct mark){&one, 3, 1, 1}, "a");
	(void)diag_bad(diag, (struct mark){&one, 1, 1, 1}, "b");
	(void)diag_bad(diag, (struct mark){&two, 2, 1, 1}, "c");
	(void)diag_bad(diag, (struct mark){&one, 2, 1, 1}, "d");
	cr_assert_str_eq(printed(arena, diag), "one:1:1: b\n  1\n  ^\none:2:1: d\n  2\n  ^\n"
					       "one:3:1: a\n  3\n  ^\ntwo:2:1: c\n  y\n  ^\n");
}

Test(diag, the_messages_of_another_are_taken_as_they_are_or_eased)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *from = diag_new();
	scoped(diag_free) struct diag *diag = diag_new();
	struct source source = {.path = "web.yaml", .text = STR("a\n")};

	(void)diag_bad(from, (struct mark){&source, 1, 1, 1}, "bad");
	diag_note(from, nowhere, "note");
	diag_warn(from, nowhere, "odd");
	diag_take(diag, from, NULL);
	cr_assert_eq(diag_n_errors(diag), 1);
	cr_assert_eq(diag_n_warnings(diag), 1);
	diag_take(diag, from, "all is well, but ");
	cr_assert_eq(diag_n_errors(diag), 1);
	cr_assert_eq(diag_n_warnings(diag), 3);
	cr_assert_str_eq(printed(arena, diag),
			 "web.yaml:1:1: bad\n  a\n  ^\nnote: note\n"
			 "web.yaml:1:1: warning: all is well, but bad\n  a\n  ^\nnote: note\n"
			 "warning: odd\nwarning: odd\n");
}

Test(diag, freeing_none_is_no_mistake)
{
	diag_free(NULL);
}

Test(diag, lines_are_found_far_down_and_back_again)
{
	enum { LINES = 1000 };
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	char text[LINES * 6 + 1];
	struct source source = {.path = "a", .text = {.at = text, .len = LINES * 6}};
	const char *expected = "";

	for (int i = 0; i < LINES; i++)
		(void)snprintf(text + i * 6, 7, "l%04d\n", i + 1);
	for (uint32_t line = 1; line <= LINES; line += 50) {
		(void)diag_bad(diag, (struct mark){.source = &source, .line = line, .column = 2},
			       "x");
		diag_note(diag, (struct mark){.source = &source, .line = 7, .column = 3}, "y");
		expected = arena_printf(
			arena, "%sa:%u:2: x\n  l%04u\n   ^\na:7:3: note: y\n  l0007\n    ^\n",
			expected, line, line);
	}
	(void)diag_bad(diag, (struct mark){.source = &source, .line = LINES + 2, .column = 1}, "x");
	cr_assert_str_eq(printed(arena, diag),
			 arena_printf(arena, "%sa:%d:1: x\n", expected, LINES + 2));
}

Test(diag, errors_and_notes_on_one_long_line_have_their_own_columns)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	char text[3001];
	struct source source = {.path = "a", .text = {.at = text, .len = 3000}};
	const char *told;

	for (int i = 0; i < 300; i++)
		(void)snprintf(text + i * 10, 11, "<%08d>", i);
	for (uint32_t column = 1001; column < 3000; column += 500) {
		(void)diag_bad(diag, (struct mark){.source = &source, .line = 1, .column = column},
			       "x");
		diag_note(diag, (struct mark){.source = &source, .line = 1, .column = 501}, "y");
	}
	told = printed(arena, diag);
	for (int i = 100; i < 300; i += 50)
		cr_assert(strstr(told, arena_printf(arena, "<%08d>", i)), "%d: %s", i, told);
}

Test(diag, of_very_many_messages_the_first_are_kept_and_the_others_counted)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	size_t n = 0;

	for (int i = 0; i < DIAG_MAX + 500; i++) {
		(void)diag_bad(diag, nowhere, "number %d", i);
		if (i >= DIAG_MAX)
			diag_note(diag, nowhere, "belongs to one that is not kept");
	}
	diag_warn(diag, nowhere, "odd");
	(void)diag_messages(diag, &n);
	cr_assert_eq(n, DIAG_MAX);
	cr_assert(diag_is_full(diag));
	cr_assert_eq(diag_n_errors(diag), DIAG_MAX + 500);
	cr_assert_eq(diag_n_warnings(diag), 1);
	cr_assert(strstr(printed(arena, diag),
			 "number 9999\n501 more messages are not shown; expected at most 10000\n"));
}

Test(diag, several_places_behind_the_last_line_show_none)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	struct source source = {.path = "a", .text = STR("one")};

	for (uint32_t column = 5; column < 8; column++)
		(void)diag_bad(diag, (struct mark){.source = &source, .line = 9, .column = column},
			       "x");
	cr_assert_str_eq(printed(arena, diag), "a:9:5: x\n  \n      ^\n"
					       "a:9:6: x\n  \n       ^\n"
					       "a:9:7: x\n  \n        ^\n");
}
