// SPDX-License-Identifier: GPL-2.0-only
/* Slices of text, and numbers out of text, strictly. */
#include <criterion/criterion.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/str.h"

Test(str, no_text_is_the_empty_slice)
{
	cr_assert_eq(str_of(NULL).len, 0);
	cr_assert_eq(str_of("").len, 0);
	cr_assert(str_eq(str_of(NULL), STR("")));
	cr_assert_eq(str_of("four").len, 4);
}

Test(str, a_copy_ends_in_nul_where_the_slice_does)
{
	scoped(arena_free) struct arena *arena = arena_new();
	const struct str slice = {.at = "allow-web", .len = 5};

	cr_assert_str_eq(str_dup(arena, slice), "allow");
	cr_assert_str_eq(str_dup(arena, STR("")), "");
}

static void is_shown(const char *text, const char *expected)
{
	scoped(arena_free) struct arena *arena = arena_new();

	cr_assert_str_eq(str_make_visible(str_dup(arena, str_of(text))), expected);
}

Test(str, what_a_terminal_would_obey_becomes_a_question_mark)
{
	is_shown("", "");
	is_shown("/etc/web.yaml", "/etc/web.yaml");
	is_shown("\xc3\xa4\xe2\x82\xac\xf0\x9f\x99\x82", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x99\x82");
	is_shown("a\x1b[2Jb\nc\x7f", "a?[2Jb?c?");
	/* C1: as two bytes, as one, and as a character in too many. */
	is_shown("a\xc2\x9b"
		 "b\x9b"
		 "c\xc0\x9b"
		 "d\xe0\x82\x9b"
		 "e",
		 "a?b?c??d???e");
	is_shown("cut \xe2\x82", "cut ??");
	/* Half of a pair of UTF-16, and beyond the last character; and their neighbours. */
	is_shown("\xed\xa0\x80\xf4\x90\x80\x80\xf5\x80\x80\x80", "???????????");
	is_shown("\xed\x9f\xbf\xf4\x8f\xbf\xbf", "\xed\x9f\xbf\xf4\x8f\xbf\xbf");
	is_shown("\xc2\xa0", "\xc2\xa0");
	/* What has no width, and what turns the direction of text; and their neighbours. */
	is_shown("a\xe2\x80\xae\xe2\x81\xa7\xe2\x80\x8b\xe2\x80\xa8\xd8\x9c\xef\xbb\xbf"
		 "b",
		 "a??????b");
	is_shown("\xe2\x80\x8a\xe2\x80\x90\xe2\x80\xaf\xe2\x81\x9f\xe2\x81\xb0\xd8\x9b",
		 "\xe2\x80\x8a\xe2\x80\x90\xe2\x80\xaf\xe2\x81\x9f\xe2\x81\xb0\xd8\x9b");
}

Test(str, comparing_is_by_bytes_and_the_shorter_first)
{
	cr_assert(str_eq(STR("web"), STR("web")));
	cr_assert_not(str_eq(STR("web"), STR("Web")));
	cr_assert_not(str_eq(STR("web"), STR("we")));
	cr_assert_lt(str_compare(STR("web"), STR("web2")), 0);
	cr_assert_gt(str_compare(STR("web2"), STR("web")), 0);
	cr_assert_gt(str_compare(STR("web"), STR("Web")), 0);
	cr_assert_gt(str_compare(STR("\xff"), STR("a")), 0);
	cr_assert_eq(str_compare(STR(""), STR("")), 0);
}

Test(str, case_does_not_count_for_ascii_letters_alone)
{
	cr_assert(str_eq_nocase(STR("AllowWeb"), STR("aLLOWwEB")));
	cr_assert_not(str_eq_nocase(STR("\xc3\x84"), STR("\xc3\xa4")));
	cr_assert_not(str_eq_nocase(STR("@"), STR("`")));
	cr_assert_not(str_eq_nocase(STR("web"), STR("webs")));
	cr_assert_lt(str_compare_nocase(STR("A"), STR("b")), 0);
	cr_assert_gt(str_compare_nocase(STR("B"), STR("a")), 0);
	cr_assert_lt(str_compare_nocase(STR("a"), STR("AB")), 0);
}

Test(str, a_text_starts_with_itself_and_with_nothing)
{
	cr_assert(str_starts(STR("bh_xdp"), STR("bh_xdp")));
	cr_assert(str_starts(STR("bh_xdp_frags"), STR("bh_xdp")));
	cr_assert(str_starts(STR("bh"), STR("")));
	cr_assert_not(str_starts(STR("bh"), STR("bh_")));
	cr_assert_not(str_starts(STR("xbh"), STR("bh")));
}

Test(str, trimming_takes_blanks_and_tabs_and_no_newline)
{
	cr_assert(str_eq(str_trim(STR(" \t a b\t ")), STR("a b")));
	cr_assert(str_eq(str_trim(STR("a\n")), STR("a\n")));
	cr_assert_eq(str_trim(STR(" \t ")).len, 0);
	cr_assert_eq(str_trim(STR("")).len, 0);
}

Test(str, cutting_is_at_the_first_separator_or_not_at_all)
{
	struct str head = STR("before");
	struct str tail = STR("before");

	cr_assert_not(str_cut(STR("web"), '/', &head, &tail));
	cr_assert_not(str_cut(STR(""), '/', &head, &tail));
	cr_assert(str_eq(head, STR("before")) && str_eq(tail, STR("before")));
	cr_assert(str_cut(STR("tcp/80/x"), '/', &head, &tail));
	cr_assert(str_eq(head, STR("tcp")) && str_eq(tail, STR("80/x")));
	cr_assert(str_cut(STR("/"), '/', &head, &tail));
	cr_assert(!head.len && !tail.len);
}

Test(str, words_are_what_stands_between_blanks)
{
	struct str rest = STR("  in\ttcp  10.0.0.1 ");
	struct str word = STR("");

	cr_assert(str_word(&rest, &word) && str_eq(word, STR("in")));
	cr_assert(str_word(&rest, &word) && str_eq(word, STR("tcp")));
	cr_assert(str_word(&rest, &word) && str_eq(word, STR("10.0.0.1")));
	cr_assert_not(str_word(&rest, &word));
	cr_assert(str_eq(word, STR("10.0.0.1")), "touched at the end");
}

Test(str, a_number_is_digits_alone_up_to_its_greatest)
{
	uint64_t number = 77;

	cr_assert(str_number(STR("0"), 10, &number) && number == 0);
	cr_assert(str_number(STR("65535"), 65535, &number) && number == 65535);
	cr_assert(str_number(STR("18446744073709551615"), UINT64_MAX, &number));
	cr_assert_eq(number, UINT64_MAX);
}

Test(str, what_is_no_number_leaves_the_result_alone)
{
	static const char *const bad[] = {"",
					  "-1",
					  "+1",
					  "1 ",
					  " 1",
					  "00",
					  "010",
					  "0x10",
					  "1e3",
					  "18446744073709551616",
					  "99999999999999999999999999999999"};
	uint64_t number = 77;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert_not(str_number(str_of(bad[i]), UINT64_MAX, &number), "'%s'", bad[i]);
	cr_assert_not(str_number(STR("65536"), 65535, &number));
	cr_assert_eq(number, 77);
}

Test(str, the_distance_is_the_least_number_of_edits)
{
	static const struct {
		const char *a;
		const char *b;
		unsigned distance;
	} cases[] = {
		{"", "", 0},
		{"web", "WEB", 0},
		{"web", "", 3},
		{"tpc", "tcp", 1},
		{"corp", "crop", 1},
		{"inbound", "inbond", 1},
		{"allow", "deny", 5},
		{"databases", "database", 1},
		{"kitten", "sitting", 3},
	};
	char words[200];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str a = str_of(cases[i].a);
		struct str b = str_of(cases[i].b);

		cr_assert_eq(str_distance(a, b), cases[i].distance, "%s, %s", cases[i].a,
			     cases[i].b);
		cr_assert_eq(str_distance(b, a), cases[i].distance, "%s, %s", cases[i].b,
			     cases[i].a);
	}
	memset(words, 'a', sizeof(words));
	cr_assert_geq(str_distance((struct str){words, 65}, (struct str){words, 65}), 64,
		      "texts over 64 characters are far");
	cr_assert_eq(str_distance((struct str){words, 64}, (struct str){words, 64}), 0);
}
