// SPDX-License-Identifier: GPL-2.0-only
/* PACKET: text to tuple and back, and what is refused. */
#include <criterion/criterion.h>
#include <errno.h>

#include "policy/tuple.h"

static struct tuple parsed(const char *text)
{
	scoped(diag_free) struct diag *diag = diag_new();
	struct tuple tuple = {};
	size_t n;

	if (tuple_parse(str_of(text), (struct mark){.column = 1}, diag, &tuple))
		cr_assert_fail("%s: %s", text, diag_messages(diag, &n)[0].text);
	return tuple;
}

/* The words of the one message, and the column and length of its place. */
static void refused(const char *text, uint32_t column, uint32_t len, const char *words)
{
	scoped(diag_free) struct diag *diag = diag_new();
	struct tuple tuple = {.protocol = 77};
	const struct diag_message *messages;
	size_t n = 0;

	cr_assert_eq(tuple_parse(str_of(text), (struct mark){.column = 1}, diag, &tuple), -EBADMSG,
		     "%s is taken", text);
	messages = diag_messages(diag, &n);
	cr_assert_eq(n, 1);
	cr_assert_str_eq(messages[0].text, words);
	cr_assert_eq(messages[0].at.column, column, "%s: column %u", text, messages[0].at.column);
	cr_assert_eq(messages[0].at.len, len, "%s: length %u", text, messages[0].at.len);
	cr_assert_eq(tuple.protocol, 77, "the tuple was touched");
}

static void prints(const char *text, const char *printed)
{
	char buffer[TUPLE_TEXT_SIZE], again[TUPLE_TEXT_SIZE];
	struct tuple tuple = parsed(text);

	cr_assert_str_eq(tuple_print(&tuple, buffer), printed);
	tuple = parsed(buffer);
	cr_assert_str_eq(tuple_print(&tuple, again), printed);
}

Test(tuple, what_is_printed_reads_back)
{
	prints("in tcp 203.0.113.9:40000 10.0.1.4:443", "in tcp 203.0.113.9:40000 10.0.1.4:443");
	prints("outbound UDP [2001:DB8::1]:5000 [2001:db8:20::1]:53",
	       "out udp [2001:db8::1]:5000 [2001:db8:20::1]:53");
	prints("inbound 132 10.0.0.1:0 10.0.0.2:65535", "in sctp 10.0.0.1:0 10.0.0.2:65535");
	prints("in icmp 192.0.2.1 10.0.0.4", "in icmp 192.0.2.1 10.0.0.4 type 8 code 0");
	prints("in icmpv6 2001:db8::1 [2001:db8::2]",
	       "in icmpv6 2001:db8::1 2001:db8::2 type 128 code 0");
	prints("in icmp 192.0.2.1 10.0.0.4 type 3", "in icmp 192.0.2.1 10.0.0.4 type 3 code 0");
	prints("  in\ticmp 192.0.2.1 10.0.0.4 type 255 code 255 established ",
	       "in icmp 192.0.2.1 10.0.0.4 type 255 code 255 established");
	prints("in 47 192.0.2.1 10.0.0.4", "in gre 192.0.2.1 10.0.0.4");
	prints("in 0 192.0.2.1 10.0.0.4", "in 0 192.0.2.1 10.0.0.4");
	prints("out tcp 192.0.2.1 10.0.0.4 frag", "out tcp 192.0.2.1 10.0.0.4 frag");
	prints("out icmp 192.0.2.1 10.0.0.4 frag", "out icmp 192.0.2.1 10.0.0.4 frag");
	prints("in 60 2001:db8::1 ::2 frag", "in 60 2001:db8::1 ::2 frag");
	prints("in 58 192.0.2.1 10.0.0.4", "in 58 192.0.2.1 10.0.0.4");
	prints("in 1 2001:db8::1 2001:db8::2 established",
	       "in 1 2001:db8::1 2001:db8::2 established");
	prints("in 255 ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe ffff:ffff:ffff:ffff:ffff:ffff:ffff:"
	       "ffff established",
	       "in 255 ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe ffff:ffff:ffff:ffff:ffff:ffff:ffff:"
	       "ffff established");
}

Test(tuple, a_missing_or_wrong_beginning_is_told)
{
	refused("", 1, 0, "no packet; expected DIRECTION PROTOCOL SOURCE DESTINATION");
	refused("inn tcp 10.0.0.1:1 10.0.0.2:2", 1, 3, "'inn' is no direction; expected in or out");
	refused("in", 3, 0, "no protocol; expected a name such as tcp, or a number, 0 to 255");
	refused("in tpc 10.0.0.1:1 10.0.0.2:2", 4, 3, "'tpc' is no protocol; did you mean 'tcp'?");
	refused("in 256 10.0.0.1 10.0.0.2", 4, 3,
		"'256' is no protocol; expected tcp, udp, sctp, icmp, icmpv6, esp, ah, gre or a "
		"number, 0 to 255");
	refused("in tcp", 7, 0, "no source; expected an address");
	refused("in tcp 10.0.0.1:1", 18, 0, "no destination; expected an address");
}

Test(tuple, a_wrong_end_is_told)
{
	static const char *const expected =
		"is no address; expected one like 192.0.2.1, 192.0.2.1:443, 2001:db8::1 or "
		"[2001:db8::1]:443";
	static const char *const wrong[] = {"10.0.0.256:1",	"10.0.0:1",  "[2001:db8::1:443",
					    "[2001:db8::1]443", "[10.0.0.1", "web:80",
					    "10.0.0.0/8"};

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		char text[128], words[256];

		snprintf(text, sizeof(text), "in tcp %s 10.0.0.2:2", wrong[i]);
		snprintf(words, sizeof(words), "'%s' %s", wrong[i], expected);
		refused(text, 8, (uint32_t)strlen(wrong[i]), words);
	}
	refused("in tcp 10.0.0.1:1 [2001:db8::1]:2", 19, 15,
		"source and destination are of different families; expected both IPv4 or both IPv6");
}

Test(tuple, ports_stand_with_tcp_udp_and_sctp_and_nowhere_else)
{
	refused("in tcp 10.0.0.1 10.0.0.2:80", 8, 8,
		"'10.0.0.1' has no port; expected one with tcp, udp and sctp, as in 192.0.2.1:443 or "
		"[2001:db8::1]:443");
	refused("in udp [2001:db8::1]:1 2001:db8::2:80", 24, 14,
		"'2001:db8::2:80' has no port; expected one with tcp, udp and sctp, as in 192.0.2.1:443 or "
		"[2001:db8::1]:443");
	refused("in tcp 10.0.0.1:65536 10.0.0.2:80", 8, 14,
		"'65536' is no port; expected 0 to 65535");
	refused("in tcp 10.0.0.1: 10.0.0.2:80", 8, 9, "'' is no port; expected 0 to 65535");
	refused("in tcp 10.0.0.1:080 10.0.0.2:80", 8, 12, "'080' is no port; expected 0 to 65535");
	refused("in gre 10.0.0.1:1 10.0.0.2", 8, 10,
		"'10.0.0.1:1' has a port; expected the address alone, since the protocol has none");
	refused("in icmp 10.0.0.1 10.0.0.2:0", 18, 10,
		"'10.0.0.2:0' has a port; expected the address alone, since the protocol has none");
	refused("in tcp 10.0.0.1:1 10.0.0.2:2 frag", 8, 10,
		"'10.0.0.1:1' has a port; expected the address alone, since a later fragment has none");
}

Test(tuple, icmp_is_of_a_family_and_extension_headers_are_no_protocols)
{
	refused("in icmp 2001:db8::1 2001:db8::2", 4, 4,
		"icmp is IPv4's; expected icmpv6 between IPv6 addresses");
	refused("in icmpv6 10.0.0.1 10.0.0.2", 4, 6,
		"icmpv6 is IPv6's; expected icmp between IPv4 addresses");
	refused("in 60 2001:db8::1 2001:db8::2", 4, 2,
		"60 is an extension header of IPv6; expected the protocol behind it");
	refused("in 58 10.0.0.1 10.0.0.2 type 8", 25, 4,
		"'type' beside another protocol; expected icmp between IPv4 addresses or icmpv6 "
		"between IPv6 addresses");
	refused("in tcp 10.0.0.1:1 10.0.0.2:2 code 8", 30, 4,
		"'code' beside another protocol; expected icmp between IPv4 addresses or icmpv6 "
		"between IPv6 addresses");
}

Test(tuple, words_stand_once_and_in_order)
{
	static const char *const rest = "is one word too many; expected type N, code N, then frag "
					"or established, or nothing";
	static const struct {
		const char *text;
		uint32_t column;
		const char *word;
	} wrong[] = {
		{"in tcp 10.0.0.1:1 10.0.0.2:2 est", 30, "est"},
		{"in tcp 10.0.0.1:1 10.0.0.2:2 established frag", 42, "frag"},
		{"in tcp 10.0.0.1 10.0.0.2 frag established", 31, "established"},
		{"in icmp 10.0.0.1 10.0.0.2 type 1 code 1 type 2", 41, "type"},
		{"in icmp 10.0.0.1 10.0.0.2 type 1 type 2", 34, "type"},
		{"in icmp 10.0.0.1 10.0.0.2 established type 2", 39, "type"},
	};

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		char words[160];

		snprintf(words, sizeof(words), "'%s' %s", wrong[i].word, rest);
		refused(wrong[i].text, wrong[i].column, (uint32_t)strlen(wrong[i].word), words);
	}
	refused("in icmp 10.0.0.1 10.0.0.2 code 1 type 2", 27, 4,
		"'code' without a type before it; expected type N code N");
	refused("in icmp 10.0.0.1 10.0.0.2 type", 31, 0,
		"nothing behind 'type'; expected a number, 0 to 255");
	refused("in icmp 10.0.0.1 10.0.0.2 type 256", 32, 3,
		"'256' behind 'type'; expected a number, 0 to 255");
	refused("in icmp 10.0.0.1 10.0.0.2 type 8 frag", 27, 11,
		"a later fragment has no type and no code; expected frag alone");
}

Test(tuple, places_count_from_where_the_text_stands)
{
	scoped(diag_free) struct diag *diag = diag_new();
	struct tuple tuple;
	size_t n;

	cr_assert_eq(
		tuple_parse(STR("in tpc"), (struct mark){.line = 7, .column = 11}, diag, &tuple),
		-EBADMSG);
	cr_assert_eq(diag_messages(diag, &n)[0].at.line, 7);
	cr_assert_eq(diag_messages(diag, &n)[0].at.column, 14);
}

static void turns(const char *text, const char *turned)
{
	char buffer[TUPLE_TEXT_SIZE];
	struct tuple tuple = parsed(text), turn = tuple_turn(&tuple);

	cr_assert_str_eq(tuple_print(&turn, buffer), turned);
}

Test(tuple, a_turned_tuple_is_the_answer)
{
	turns("in tcp 10.0.0.1:1 10.0.0.2:2 established", "out tcp 10.0.0.2:2 10.0.0.1:1");
	turns("out udp [::2]:1 [::3]:2", "in udp [::3]:2 [::2]:1");
	turns("in icmp 10.0.0.1 10.0.0.2", "out icmp 10.0.0.2 10.0.0.1 type 0 code 0");
	turns("in icmp 10.0.0.1 10.0.0.2 type 0 code 1",
	      "out icmp 10.0.0.2 10.0.0.1 type 8 code 1");
	turns("in icmpv6 ::2 ::3 type 129", "out icmpv6 ::3 ::2 type 128 code 0");
	turns("in icmp 10.0.0.1 10.0.0.2 type 128", "out icmp 10.0.0.2 10.0.0.1 type 128 code 0");
	turns("in icmpv6 ::2 ::3 type 8", "out icmpv6 ::3 ::2 type 8 code 0");
	turns("in esp 10.0.0.1 10.0.0.2", "out esp 10.0.0.2 10.0.0.1");
}

static void local_is(const char *text, const char *local)
{
	struct tuple tuple = parsed(text);
	char buffer[ADDR_TEXT_SIZE];
	struct addr addr;

	if (local && tuple_local(&tuple, &addr))
		cr_assert_str_eq(addr_print(&addr, buffer), local);
	else
		cr_assert(!local && !tuple_local(&tuple, &addr), "%s", text);
}

Test(tuple, the_local_end_is_an_address_that_a_host_can_have)
{
	local_is("in 47 10.0.0.1 10.0.0.2", "10.0.0.2");
	local_is("out 47 10.0.0.1 10.0.0.2", "10.0.0.1");
	local_is("in 47 10.0.0.1 223.255.255.255", "223.255.255.255");
	local_is("in 47 10.0.0.1 224.0.0.1", NULL);
	local_is("in 47 10.0.0.1 255.255.255.255", NULL);
	local_is("in 47 10.0.0.1 127.0.0.1", NULL);
	local_is("out 47 0.0.0.0 127.0.0.1", NULL);
	local_is("in 47 ::2 fe80::1", "fe80::1");
	local_is("in 47 ::2 ff02::1", NULL);
	local_is("in 47 ::2 ::1", NULL);
	local_is("out 47 :: ff02::1", NULL);
}
