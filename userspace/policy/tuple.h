/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A packet as people describe it: PACKET of the command line and a row's left side in a
 * verdict table. Nothing here parses bytes.
 */
#ifndef POLICY_TUPLE_H
#define POLICY_TUPLE_H

#include "policy/policy.h"

struct tuple {
	enum policy_direction direction;
	uint8_t protocol; /* IP protocol number */
	struct addr source;
	struct addr destination; /* of the same family */
	uint16_t source_port;	 /* host order; TCP, UDP, SCTP; else 0 */
	uint16_t destination_port;
	uint8_t icmp_type; /* ICMP, ICMPv6; default: echo request */
	uint8_t icmp_code;
	bool established; /* a reply in an established flow opened by the turned tuple */
	bool fragment;	  /* a later fragment without its first */
};

enum { TUPLE_TEXT_SIZE = 160 };

/*
 * Reads "DIRECTION PROTOCOL SOURCE DESTINATION [type N [code N]] [frag | established]". Ports
 * stand with tcp, udp and sctp, always, but not with frag. icmp is IPv4's and icmpv6 IPv6's;
 * their numbers over the other family may be written as numbers and have no type. text lies in the
 * source of at, whose column is that of its first character (an at without source for the command
 * line). -EBADMSG with one message when it is not well formed.
 */
int tuple_parse(struct str text, struct mark at, struct diag *diag, struct tuple *ret_tuple);

/*
 * Hop-by-hop, routing, fragment and destination options: over IPv6 the walk goes on behind them, so
 * that none is the protocol of a packet, and tuple_parse refuses them there. In a later fragment it
 * cannot go on: what was cut may begin with any of them.
 */
bool tuple_is_extension(uint8_t protocol);

/* The text that tuple_parse reads back, type and code always said; buffer has TUPLE_TEXT_SIZE bytes. */
const char *tuple_print(const struct tuple *tuple, char *buffer);

/*
 * The local end (in: the destination), where it is a unicast address that a host can have, so
 * that it counts as self when nobody has said what the host's addresses are. False, and
 * untouched, when it is not.
 */
bool tuple_local(const struct tuple *tuple, struct addr *ret_addr);

/* The tuple of the answer: other direction, ends exchanged, echo request and reply exchanged. */
struct tuple tuple_turn(const struct tuple *tuple);

#endif
