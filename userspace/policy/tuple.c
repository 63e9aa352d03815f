// SPDX-License-Identifier: GPL-2.0-only
/*
 * PACKET of the command line and of verdict tables: text to tuple and back. A tuple is what the
 * text says and nothing else: no bytes are read, and nothing is asked of the host.
 */
#include "policy/tuple.h"

#include <errno.h>

#include "policy/names.h"
#include "policy/traffic.h"

/* The text being read: what is left of it, and what places are counted from. */
struct reader {
	struct str text;
	struct str rest;
	struct mark at;
	struct diag *diag;
};

/* The place of a slice of the text; an empty one stands for the end of the text. */
static struct mark place(const struct reader *reader, struct str slice)
{
	struct mark mark = reader->at;
	const char *end = slice.len ? slice.at : reader->text.at + reader->text.len;

	for (const char *c = reader->text.at; c < end; c++)
		mark.column += ((unsigned char)*c & 0xc0) != 0x80;
	mark.len = (uint32_t)slice.len;
	return mark;
}

static bool has_ports(const struct tuple *tuple)
{
	return traffic_has_ports(tuple->protocol);
}

static bool has_type(const struct tuple *tuple)
{
	return tuple->protocol == (tuple->source.family == ADDR_V4 ? TRAFFIC_ICMP : TRAFFIC_ICMPV6);
}

static int read_direction(struct reader *reader, struct tuple *tuple)
{
	struct str word = {};

	if (!str_word(&reader->rest, &word))
		return diag_bad(reader->diag, place(reader, word),
				"no packet; expected DIRECTION PROTOCOL SOURCE DESTINATION");
	if (str_eq(word, STR("in")) || str_eq(word, STR("inbound")))
		tuple->direction = DIRECTION_IN;
	else if (str_eq(word, STR("out")) || str_eq(word, STR("outbound")))
		tuple->direction = DIRECTION_OUT;
	else
		return diag_bad(reader->diag, place(reader, word),
				"'" STR_FMT "' is no direction; expected in or out", STR_ARG(word));
	return 0;
}

static int bad_protocol(struct reader *reader, struct str word)
{
	struct nearest nearest = {.wanted = word};

	policy_try_protocols(&nearest);
	if (nearest.text.len)
		return diag_bad(reader->diag, place(reader, word),
				"'" STR_FMT "' is no protocol; did you mean '" STR_FMT "'?",
				STR_ARG(word), STR_ARG(nearest.text));
	return diag_bad(reader->diag, place(reader, word),
			"'" STR_FMT "' is no protocol; expected tcp, udp, sctp, icmp, icmpv6, esp, "
			"ah, gre or a number, 0 to 255",
			STR_ARG(word));
}

static int read_protocol(struct reader *reader, struct tuple *tuple, struct str *ret_word)
{
	struct str word = {};
	uint64_t number;
	int named;

	if (!str_word(&reader->rest, &word))
		return diag_bad(reader->diag, place(reader, word),
				"no protocol; expected a name such as tcp, or a number, 0 to 255");
	named = policy_protocol_number(word);
	if (named < 0 && !str_number(word, UINT8_MAX, &number))
		return bad_protocol(reader, word);
	tuple->protocol = (uint8_t)(named < 0 ? (int)number : named);
	*ret_word = word;
	return 0;
}

/* One end as written; port.at is NULL where there is none. */
struct end {
	struct str word;
	struct str port;
	struct addr addr;
};

/* ADDR, ADDR:PORT, [ADDR] or [ADDR]:PORT; ret_port->at is NULL where there is none. */
static void split_end(struct str word, struct str *ret_addr, struct str *ret_port)
{
	struct str addr, port = {}, tail;

	if (str_starts(word, STR("[")) && str_cut(word, ']', &addr, &tail)) {
		addr = (struct str){.at = addr.at + 1, .len = addr.len - 1};
		if (str_starts(tail, STR(":")))
			port = (struct str){.at = tail.at + 1, .len = tail.len - 1};
		else if (tail.len)
			addr = word;
	} else if (!str_cut(word, ':', &addr, &port) || memchr(port.at, ':', port.len)) {
		addr = word;
		port = (struct str){};
	}
	*ret_addr = addr;
	*ret_port = port;
}

static int read_end(struct reader *reader, const char *what, struct end *end)
{
	struct str text;

	if (!str_word(&reader->rest, &end->word))
		return diag_bad(reader->diag, place(reader, end->word),
				"no %s; expected an address", what);
	split_end(end->word, &text, &end->port);
	if (addr_parse(text, &end->addr))
		return diag_bad(reader->diag, place(reader, end->word),
				"'" STR_FMT "' is no address; expected one like 192.0.2.1, "
				"192.0.2.1:443, 2001:db8::1 or [2001:db8::1]:443",
				STR_ARG(end->word));
	return 0;
}

static int set_port(struct reader *reader, const struct tuple *tuple, const struct end *end,
		    uint16_t *port)
{
	bool wanted = has_ports(tuple) && !tuple->fragment;
	uint64_t number;

	if (!end->port.at && !wanted)
		return 0;
	if (!wanted)
		return diag_bad(reader->diag, place(reader, end->word),
				"'" STR_FMT "' has a port; expected the address alone, since %s "
				"has none",
				STR_ARG(end->word),
				tuple->fragment ? "a later fragment" : "the protocol");
	if (!end->port.at)
		return diag_bad(reader->diag, place(reader, end->word),
				"'" STR_FMT
				"' has no port; expected one with tcp, udp and sctp, as "
				"in 192.0.2.1:443 or [2001:db8::1]:443",
				STR_ARG(end->word));
	if (!str_number(end->port, UINT16_MAX, &number))
		return diag_bad(reader->diag, place(reader, end->word),
				"'" STR_FMT "' is no port; expected 0 to 65535",
				STR_ARG(end->port));
	*port = (uint16_t)number;
	return 0;
}

/* Takes the next word if it is this one. */
static bool next_is(struct reader *reader, const char *name, struct str *ret_word)
{
	struct str rest = reader->rest;
	struct str word;

	if (!str_word(&rest, &word) || !str_eq(word, str_of(name)))
		return false;
	reader->rest = rest;
	*ret_word = word;
	return true;
}

/* "type N" or "code N" where it stands. */
static int read_icmp(struct reader *reader, const char *name, const struct tuple *tuple,
		     uint8_t *value)
{
	struct str word = {}, number_text = {};
	uint64_t number;

	if (!next_is(reader, name, &word))
		return 0;
	if (!has_type(tuple))
		return diag_bad(reader->diag, place(reader, word),
				"'%s' beside another protocol; expected icmp between IPv4 "
				"addresses or icmpv6 between IPv6 addresses",
				name);
	if (!str_word(&reader->rest, &number_text))
		return diag_bad(reader->diag, place(reader, number_text),
				"nothing behind '%s'; expected a number, 0 to 255", name);
	if (!str_number(number_text, UINT8_MAX, &number))
		return diag_bad(reader->diag, place(reader, number_text),
				"'" STR_FMT "' behind '%s'; expected a number, 0 to 255",
				STR_ARG(number_text), name);
	*value = (uint8_t)number;
	return 0;
}

/* [type N [code N]] [frag | established] */
static int read_words(struct reader *reader, struct tuple *tuple)
{
	struct str behind = str_trim(reader->rest);
	struct str word = {};

	if (has_type(tuple))
		tuple->icmp_type = tuple->protocol == TRAFFIC_ICMP ? 8 : 128;
	if (read_icmp(reader, "type", tuple, &tuple->icmp_type))
		return -EBADMSG;
	if (has_type(tuple) && str_trim(reader->rest).at == behind.at &&
	    next_is(reader, "code", &word))
		return diag_bad(reader->diag, place(reader, word),
				"'code' without a type before it; expected type N code N");
	if (read_icmp(reader, "code", tuple, &tuple->icmp_code))
		return -EBADMSG;
	if (next_is(reader, "frag", &word)) {
		tuple->fragment = true;
		tuple->icmp_type = 0;
		if (word.at != behind.at)
			return diag_bad(
				reader->diag, place(reader, behind),
				"a later fragment has no type and no code; expected frag alone");
	} else if (next_is(reader, "established", &word)) {
		tuple->established = true;
	}
	if (str_word(&reader->rest, &word))
		return diag_bad(reader->diag, place(reader, word),
				"'" STR_FMT
				"' is one word too many; expected type N, code N, then frag or "
				"established, or nothing",
				STR_ARG(word));
	return 0;
}

bool tuple_is_extension(uint8_t protocol)
{
	return protocol == 0 || protocol == 43 || protocol == 44 || protocol == 60;
}

static int check_families(struct reader *reader, const struct tuple *tuple, struct str protocol,
			  struct str destination)
{
	bool named = policy_protocol_number(protocol) >= 0;

	if (tuple->source.family != tuple->destination.family)
		return diag_bad(reader->diag, place(reader, destination),
				"source and destination are of different families; expected both "
				"IPv4 or both IPv6");
	if (named && tuple->protocol == TRAFFIC_ICMP && !has_type(tuple))
		return diag_bad(reader->diag, place(reader, protocol),
				"icmp is IPv4's; expected icmpv6 between IPv6 addresses");
	if (named && tuple->protocol == TRAFFIC_ICMPV6 && !has_type(tuple))
		return diag_bad(reader->diag, place(reader, protocol),
				"icmpv6 is IPv6's; expected icmp between IPv4 addresses");
	return 0;
}

static int check_extension(struct reader *reader, const struct tuple *tuple, struct str protocol)
{
	if (tuple->source.family != ADDR_V6 || tuple->fragment ||
	    !tuple_is_extension(tuple->protocol))
		return 0;
	return diag_bad(reader->diag, place(reader, protocol),
			"%u is an extension header of IPv6; expected the protocol behind it",
			tuple->protocol);
}

int tuple_parse(struct str text, struct mark at, struct diag *diag, struct tuple *ret_tuple)
{
	struct reader reader = {.text = text, .rest = text, .at = at, .diag = diag};
	struct end source = {}, destination = {};
	struct tuple tuple = {};
	struct str protocol = {};

	if (read_direction(&reader, &tuple) || read_protocol(&reader, &tuple, &protocol) ||
	    read_end(&reader, "source", &source) || read_end(&reader, "destination", &destination))
		return -EBADMSG;
	tuple.source = source.addr;
	tuple.destination = destination.addr;
	if (check_families(&reader, &tuple, protocol, destination.word) ||
	    read_words(&reader, &tuple) || check_extension(&reader, &tuple, protocol) ||
	    set_port(&reader, &tuple, &source, &tuple.source_port) ||
	    set_port(&reader, &tuple, &destination, &tuple.destination_port))
		return -EBADMSG;
	*ret_tuple = tuple;
	return 0;
}

/* An end as tuple_parse reads it, in a buffer of END_SIZE bytes. */
enum { END_SIZE = ADDR_TEXT_SIZE + 8 };

static const char *print_end(const struct tuple *tuple, const struct addr *addr, uint16_t port,
			     char buffer[END_SIZE])
{
	char text[ADDR_TEXT_SIZE];

	addr_print(addr, text);
	if (!has_ports(tuple) || tuple->fragment)
		snprintf(buffer, END_SIZE, "%s", text);
	else if (addr->family == ADDR_V4)
		snprintf(buffer, END_SIZE, "%s:%u", text, port);
	else
		snprintf(buffer, END_SIZE, "[%s]:%u", text, port);
	return buffer;
}

const char *tuple_print(const struct tuple *tuple, char *buffer)
{
	const char *name = policy_protocol_name(tuple->protocol);
	bool is_icmp = traffic_is_icmp(tuple->protocol);
	char source[END_SIZE], destination[END_SIZE], number[4], icmp[24] = "";

	snprintf(number, sizeof(number), "%u", tuple->protocol);
	if (!name || (is_icmp && !has_type(tuple)))
		name = number;
	if (has_type(tuple) && !tuple->fragment)
		snprintf(icmp, sizeof(icmp), " type %u code %u", tuple->icmp_type,
			 tuple->icmp_code);
	snprintf(buffer, TUPLE_TEXT_SIZE, "%s %s %s %s%s%s",
		 tuple->direction == DIRECTION_IN ? "in" : "out", name,
		 print_end(tuple, &tuple->source, tuple->source_port, source),
		 print_end(tuple, &tuple->destination, tuple->destination_port, destination), icmp,
		 tuple->fragment      ? " frag"
		 : tuple->established ? " established"
				      : "");
	return buffer;
}

/* Echo request and echo reply exchanged; other types stay. */
static uint8_t turn_type(const struct tuple *tuple)
{
	uint8_t request = tuple->protocol == TRAFFIC_ICMP ? 8 : 128;
	uint8_t reply = tuple->protocol == TRAFFIC_ICMP ? 0 : 129;

	if (tuple->icmp_type == request)
		return reply;
	return tuple->icmp_type == reply ? request : tuple->icmp_type;
}

struct tuple tuple_turn(const struct tuple *tuple)
{
	struct tuple turn = *tuple;

	turn.direction = tuple->direction == DIRECTION_IN ? DIRECTION_OUT : DIRECTION_IN;
	turn.source = tuple->destination;
	turn.destination = tuple->source;
	turn.source_port = tuple->destination_port;
	turn.destination_port = tuple->source_port;
	turn.established = false;
	if (has_type(tuple))
		turn.icmp_type = turn_type(tuple);
	return turn;
}

bool tuple_local(const struct tuple *tuple, struct addr *ret_addr)
{
	const struct addr *addr =
		tuple->direction == DIRECTION_IN ? &tuple->destination : &tuple->source;
	static const uint8_t zero[16], loopback[16] = {[15] = 1};
	uint8_t first = addr->bytes[0];

	if (!memcmp(addr->bytes, zero, sizeof(zero)))
		return false;
	if (addr->family == ADDR_V6 ? first == 0xff || !memcmp(addr->bytes, loopback, 16)
				    : first == 127 || first >= 224)
		return false;
	*ret_addr = *addr;
	return true;
}
