// SPDX-License-Identifier: GPL-2.0-only
/* Addresses and ranges: what reads, what is refused and why, and arithmetic at the edges. */
#include <criterion/criterion.h>

#include "base/addr.h"

static struct addr addr_of(const char *text)
{
	struct addr addr = {};

	cr_assert_eq(addr_parse(str_of(text), &addr), ADDR_OK, "%s", text);
	return addr;
}

static struct addr_range range_of(const char *text)
{
	struct addr_range range = {};

	cr_assert_eq(addr_range_parse(str_of(text), &range), ADDR_OK, "%s", text);
	return range;
}

static void is_printed(const char *text, const char *printed)
{
	struct addr_range range = range_of(text);
	struct addr_range again;
	char buffer[ADDR_RANGE_TEXT_SIZE];

	cr_assert_str_eq(addr_range_print(&range, buffer), printed);
	again = range_of(buffer);
	cr_assert_eq(memcmp(&range, &again, sizeof(range)), 0, "%s", text);
}

Test(addr, what_reads_is_printed_in_one_form_and_reads_back)
{
	is_printed("10.0.0.1", "10.0.0.1");
	is_printed("0.0.0.0", "0.0.0.0");
	is_printed("255.255.255.255", "255.255.255.255");
	is_printed("2001:DB8:0:0:0:0:0:1", "2001:db8::1");
	is_printed("::ffff:192.0.2.1", "::ffff:192.0.2.1");
	is_printed("::", "::");
	is_printed("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
		   "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	is_printed("10.0.0.0/8", "10.0.0.0/8");
	is_printed("10.0.0.1/32", "10.0.0.1");
	is_printed("0.0.0.0/0", "0.0.0.0/0");
	is_printed("::/0", "::/0");
	is_printed("2001:db8::/33", "2001:db8::/33");
	is_printed("10.0.0.4-10.0.0.7", "10.0.0.4/30");
	is_printed("10.0.0.4-10.0.0.4", "10.0.0.4");
	is_printed("10.0.0.4-10.0.0.8", "10.0.0.4-10.0.0.8");
	is_printed("2001:db8::1-2001:db8::2", "2001:db8::1-2001:db8::2");
}

Test(addr, what_does_not_read_says_why_and_leaves_the_result_alone)
{
	static const struct {
		const char *text;
		enum addr_error error;
	} cases[] = {
		{"", ADDR_NOT_AN_ADDRESS},
		{"web", ADDR_NOT_AN_ADDRESS},
		{"443", ADDR_NOT_AN_ADDRESS},
		{"web-db", ADDR_NOT_AN_ADDRESS},
		{"bad/8", ADDR_NOT_AN_ADDRESS},
		{"10.0.0.256", ADDR_BAD_ADDRESS},
		{"10.0.0", ADDR_BAD_ADDRESS},
		{"10.0.0.0.1", ADDR_BAD_ADDRESS},
		{"10.0.0.01", ADDR_BAD_ADDRESS},
		{"1::2::3", ADDR_BAD_ADDRESS},
		{"12345::", ADDR_BAD_ADDRESS},
		{"1:2:3:4:5:6:7:8:9", ADDR_BAD_ADDRESS},
		{"::0000000000000000000000000000000000000000000000000000001", ADDR_BAD_ADDRESS},
		{"10.0.0.1-db", ADDR_BAD_ADDRESS},
		{"10.0.0.1 -10.0.0.2", ADDR_BAD_ADDRESS},
		{"10.0.0.0/", ADDR_BAD_LENGTH},
		{"10.0.0.0/x", ADDR_BAD_LENGTH},
		{"10.0.0.0/-1", ADDR_BAD_LENGTH},
		{"10.0.0.0/08", ADDR_BAD_LENGTH},
		{"10.0.0.0/33", ADDR_LENGTH_TOO_LONG},
		{"::/129", ADDR_LENGTH_TOO_LONG},
		{"10.0.0.1/8", ADDR_HOST_BITS},
		{"2001:db8::1/127", ADDR_HOST_BITS},
		{"10.0.0.2-10.0.0.1", ADDR_REVERSED},
		{"10.0.0.1-2001:db8::1", ADDR_MIXED},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addr_range range = {.first.family = 77};

		cr_assert_eq(addr_range_parse(str_of(cases[i].text), &range), cases[i].error,
			     "'%s'", cases[i].text);
		cr_assert_eq(range.first.family, 77, "'%s'", cases[i].text);
	}
}

Test(addr, an_address_is_no_prefix_and_has_no_zone)
{
	struct addr addr = {.family = 77};

	cr_assert_neq(addr_parse(STR("10.0.0.0/8"), &addr), ADDR_OK);
	cr_assert_neq(addr_parse(STR("fe80::1%eth0"), &addr), ADDR_OK);
	cr_assert_neq(addr_parse(STR("10.0.0.1-10.0.0.2"), &addr), ADDR_OK);
	cr_assert_eq(addr.family, 77);
}

Test(addr, equal_addresses_are_equal_byte_by_byte)
{
	struct addr one = addr_of("2001:db8::ff");
	struct addr two = addr_of("2001:0DB8:0:0::00FF");

	cr_assert_eq(memcmp(&one, &two, sizeof(one)), 0);
	one = addr_of("192.0.2.1");
	two = addr_v4(0xc0000201);
	cr_assert_eq(memcmp(&one, &two, sizeof(one)), 0);
	cr_assert_eq(addr_to_v4(&one), 0xc0000201);
}

Test(addr, the_order_is_ipv4_first_and_then_by_number)
{
	static const char *const sorted[] = {
		"0.0.0.0", "9.255.255.255", "10.0.0.0",	  "255.255.255.255",
		"::",	   "::1",	    "2001:db8::", "ffff::"};

	for (size_t i = 0; i < ARRAY_LEN(sorted); i++) {
		for (size_t j = 0; j < ARRAY_LEN(sorted); j++) {
			struct addr a = addr_of(sorted[i]);
			struct addr b = addr_of(sorted[j]);
			int order = addr_compare(&a, &b);

			cr_assert_eq((order > 0) - (order < 0), (i > j) - (i < j), "%s, %s",
				     sorted[i], sorted[j]);
		}
	}
}

static void has(const char *range_text, const char *addr_text, bool expected)
{
	struct addr_range range = range_of(range_text);
	struct addr addr = addr_of(addr_text);

	cr_assert_eq(addr_range_has(&range, &addr), expected, "%s in %s", addr_text, range_text);
}

Test(addr, a_range_has_both_its_ends_and_nothing_of_the_other_family)
{
	has("10.0.0.4-10.0.0.8", "10.0.0.3", false);
	has("10.0.0.4-10.0.0.8", "10.0.0.4", true);
	has("10.0.0.4-10.0.0.8", "10.0.0.8", true);
	has("10.0.0.4-10.0.0.8", "10.0.0.9", false);
	has("0.0.0.0/0", "::1", false);
	has("::/0", "10.0.0.1", false);
	has("::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true);
}

static void neighbours(const char *low, const char *high)
{
	struct addr first = addr_of(low);
	struct addr second = addr_of(high);
	struct addr result;

	cr_assert(addr_next(&first, &result));
	cr_assert_eq(addr_compare(&result, &second), 0, "behind %s", low);
	cr_assert(addr_previous(&second, &result));
	cr_assert_eq(addr_compare(&result, &first), 0, "before %s", high);
}

Test(addr, next_and_previous_carry_over_bytes_and_stop_at_the_ends)
{
	static const char *const ends[][2] = {
		{"0.0.0.0", "255.255.255.255"},
		{"::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
	};

	neighbours("10.0.0.1", "10.0.0.2");
	neighbours("10.0.255.255", "10.1.0.0");
	neighbours("9.255.255.255", "10.0.0.0");
	neighbours("2001:db8::ffff:ffff:ffff:ffff", "2001:db8:0:1::");
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		struct addr first = addr_of(ends[i][0]);
		struct addr last = addr_of(ends[i][1]);
		struct addr result = {.family = 77};

		cr_assert_not(addr_previous(&first, &result));
		cr_assert_not(addr_next(&last, &result));
		cr_assert_eq(result.family, 77);
	}
}

/* Ranges out of words separated by blanks, as they stand. */
static addr_ranges ranges_of(struct arena *arena, const char *text)
{
	struct str rest = str_of(text);
	struct str word;
	addr_ranges ranges = {};

	while (str_word(&rest, &word))
		array_push(arena, &ranges, range_of(str_dup(arena, word)));
	return ranges;
}

static const char *text_of(struct arena *arena, const addr_ranges *ranges)
{
	const char *text = "";
	char buffer[ADDR_RANGE_TEXT_SIZE];

	for (size_t i = 0; i < ranges->len; i++)
		text = arena_printf(arena, "%s%s%s", text, i ? " " : "",
				    addr_range_print(&ranges->at[i], buffer));
	return text;
}

static void normalizes(const char *from, const char *to)
{
	scoped(arena_free) struct arena *arena = arena_new();
	addr_ranges ranges = ranges_of(arena, from);

	addr_ranges_normalize(&ranges);
	cr_assert_str_eq(text_of(arena, &ranges), to);
}

Test(addr, normalizing_sorts_and_joins_what_overlaps_or_touches)
{
	normalizes("", "");
	normalizes("10.0.0.2", "10.0.0.2");
	normalizes("10.0.0.2 10.0.0.1", "10.0.0.1-10.0.0.2");
	normalizes("10.0.0.3 10.0.0.1", "10.0.0.1 10.0.0.3");
	normalizes("10.0.0.0/8 10.1.0.0/16 10.0.0.0/9", "10.0.0.0/8");
	normalizes("::1 10.0.0.1 255.255.255.255 ::", "10.0.0.1 255.255.255.255 ::/127");
	normalizes("0.0.0.0/1 128.0.0.0/1 ::/1 8000::/1", "0.0.0.0/0 ::/0");
}

Test(addr, a_search_in_normalized_ranges_finds_what_a_plain_walk_finds)
{
	scoped(arena_free) struct arena *arena = arena_new();
	addr_ranges ranges = ranges_of(arena, "10.0.0.2 10.0.0.4-10.0.0.6 10.0.0.9 ::2-::3");
	addr_ranges none = {};
	struct addr outside = addr_of("10.0.0.2");

	for (uint32_t i = 0; i < 12; i++) {
		struct addr addr = addr_v4(0x0a000000 + i);
		bool expected = i == 2 || (i >= 4 && i <= 6) || i == 9;

		cr_assert_eq(addr_ranges_have(&ranges, &addr), expected, "%u", i);
	}
	for (uint8_t i = 0; i < 6; i++) {
		struct addr addr = {.family = ADDR_V6, .bytes = {[15] = i}};

		cr_assert_eq(addr_ranges_have(&ranges, &addr), i == 2 || i == 3, "::%u", i);
	}
	cr_assert_not(addr_ranges_have(&none, &outside));
}

static void subtracts(const char *a, const char *b, const char *result)
{
	scoped(arena_free) struct arena *arena = arena_new();
	addr_ranges from = ranges_of(arena, a);
	addr_ranges what = ranges_of(arena, b);
	addr_ranges rest = {};

	addr_ranges_subtract(arena, &from, &what, &rest);
	cr_assert_str_eq(text_of(arena, &rest), result, "%s less %s", a, b);
}

Test(addr, subtracting_leaves_what_is_in_one_and_not_in_the_other)
{
	subtracts("10.0.0.0/30", "", "10.0.0.0/30");
	subtracts("", "10.0.0.0/30", "");
	subtracts("10.0.0.0/30", "10.0.0.0/8", "");
	subtracts("10.0.0.0/30", "10.0.0.1", "10.0.0.0 10.0.0.2/31");
	subtracts("10.0.0.0/30", "10.0.0.0 10.0.0.3", "10.0.0.1-10.0.0.2");
	subtracts("10.0.0.0-10.0.0.1 10.0.0.4-10.0.0.9", "10.0.0.1-10.0.0.5 10.0.0.7",
		  "10.0.0.0 10.0.0.6 10.0.0.8/31");
	subtracts("0.0.0.0/0 ::/0", "0.0.0.0 255.255.255.255 ::",
		  "0.0.0.1-255.255.255.254 ::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

Test(addr, a_range_counts_as_many_prefixes_as_write_it)
{
	static const struct {
		const char *range;
		unsigned n;
	} cases[] = {
		{"10.0.0.1", 1},
		{"0.0.0.0/0", 1},
		{"10.0.0.1-10.0.0.2", 2},
		{"10.0.0.0-10.0.0.2", 2},
		{"0.0.0.1-255.255.255.254", 62},
		{"::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", 254},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addr_range range = range_of(cases[i].range);

		cr_assert_eq(addr_range_n_prefixes(&range), cases[i].n, "%s", cases[i].range);
	}
}

Test(addr, the_whole_of_a_family_is_that_family_alone)
{
	struct addr_range four = addr_range_all(ADDR_V4);
	struct addr_range six = addr_range_all(ADDR_V6);
	char buffer[ADDR_RANGE_TEXT_SIZE];

	cr_assert_str_eq(addr_range_print(&four, buffer), "0.0.0.0/0");
	cr_assert_str_eq(addr_range_print(&six, buffer), "::/0");
	for (size_t i = 4; i < sizeof(four.last.bytes); i++)
		cr_assert_eq(four.last.bytes[i], 0, "byte %zu", i);
}

Test(addr, a_port_range_has_both_its_ends)
{
	const struct port_range some = {.first = 80, .last = 443};
	const struct port_range all = {.first = 0, .last = 65535};

	cr_assert_not(port_range_has(some, 79));
	cr_assert(port_range_has(some, 80));
	cr_assert(port_range_has(some, 443));
	cr_assert_not(port_range_has(some, 444));
	cr_assert(port_range_has(all, 0));
	cr_assert(port_range_has(all, 65535));
}
