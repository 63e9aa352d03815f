/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a rule and a service match besides addresses: protocols, ports, and services by name or as
 * PROTOCOL/PORTS. parse puts them where they belong, and judges what goes together.
 */
#ifndef POLICY_TRAFFIC_H
#define POLICY_TRAFFIC_H

#include "policy/value.h"

/* Protocols by IANA's numbers. */
enum {
	TRAFFIC_ANY = -1,
	TRAFFIC_ICMP = 1,
	TRAFFIC_TCP = 6,
	TRAFFIC_UDP = 17,
	TRAFFIC_ICMPV6 = 58,
	TRAFFIC_SCTP = 132,
};

enum { TRAFFIC_NAME_SIZE = 12 };

/* Whether TCP, UDP or SCTP; whether ICMP of either family. */
bool traffic_has_ports(int protocol);
bool traffic_is_icmp(int protocol);

/* The protocol's name, or its number in the buffer of TRAFFIC_NAME_SIZE bytes. */
const char *traffic_protocol_name(int protocol, char *buffer);

/* One or a list of names and numbers of protocols, any among them. */
void traffic_protocols(struct value_reader *reader, const struct yaml_node *node,
		       ast_protocols *protocols);

/* One or a list of ports and ranges; what is the key's name. Nothing is done without a node. */
void traffic_ports(struct value_reader *reader, const struct yaml_node *node, const char *what,
		   ast_ports *ports);

/*
 * One or a list of PROTOCOL[/PORTS], icmp/TYPE[/CODE] and, in_rule alone, names of services. what is
 * the key, or the service in whose list they stand.
 */
void traffic_services(struct value_reader *reader, const struct yaml_node *node, const char *what,
		      bool in_rule, ast_service_items *items);

#endif
