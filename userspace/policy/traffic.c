// SPDX-License-Identifier: GPL-2.0-only
/* What is matched besides addresses: protocols, ports and services as they are written. */
#include "policy/traffic.h"

#include <string.h>

#include "policy/names.h"
#include "policy/policy.h"

bool traffic_has_ports(int protocol)
{
	return protocol == TRAFFIC_TCP || protocol == TRAFFIC_UDP || protocol == TRAFFIC_SCTP;
}

bool traffic_is_icmp(int protocol)
{
	return protocol == TRAFFIC_ICMP || protocol == TRAFFIC_ICMPV6;
}

static const char *protocol_hint(struct arena *arena, struct str text, bool allow_any)
{
	struct nearest nearest = {.wanted = text};

	policy_try_protocols(&nearest);
	if (nearest.text.len)
		return nearest_hint(arena, &nearest);
	return arena_printf(
		arena,
		"; expected %stcp, udp, sctp, icmp, icmpv6, esp, ah, gre or a number, 0 "
		"to 255",
		allow_any ? "any, " : "");
}

static bool refuse_protocol(struct value_reader *reader, struct str text, struct mark at,
			    bool allow_any)
{
	scoped(arena_free) struct arena *arena = arena_new();

	return !diag_bad(reader->diag, at, "'" STR_FMT "' is no protocol%s", STR_ARG(text),
			 protocol_hint(arena, text, allow_any));
}

/* A name or a number from 0 to 255; any only where allow_any. */
static bool protocol_text(struct value_reader *reader, struct str text, struct mark at,
			  bool allow_any, int *ret_protocol)
{
	int protocol = policy_protocol_number(text);
	uint64_t number;

	if (allow_any && str_eq(text, STR("any")))
		protocol = TRAFFIC_ANY;
	else if (protocol < 0 && str_number(text, 255, &number))
		protocol = (int)number;
	else if (protocol < 0)
		return refuse_protocol(reader, text, at, allow_any);
	*ret_protocol = protocol;
	return true;
}

static bool byte_text(struct value_reader *reader, struct str text, struct mark at,
		      const char *what, int *ret_value)
{
	uint64_t number;

	if (!str_number(text, 255, &number))
		return !diag_bad(reader->diag, at,
				 "'" STR_FMT "' is no %s; expected a number, 0 to 255",
				 STR_ARG(text), what);
	*ret_value = (int)number;
	return true;
}

const char *traffic_protocol_name(int protocol, char *buffer)
{
	const char *name = policy_protocol_name(protocol);

	(void)snprintf(buffer, TRAFFIC_NAME_SIZE, "%d", protocol);
	return name ? name : buffer;
}

/* What stands behind PROTOCOL/ in a service item. */
static bool item_detail(struct value_reader *reader, struct str detail,
			struct ast_service_item *item)
{
	struct str type = detail, code = {};
	char number[TRAFFIC_NAME_SIZE];

	if (traffic_has_ports(item->protocol)) {
		item->has_ports = true;
		return value_port_text(reader, detail, item->mark, &item->ports);
	}
	if (!traffic_is_icmp(item->protocol))
		return !diag_bad(reader->diag, item->mark,
				 "'%s' has no ports; expected the protocol alone, or tcp, udp or "
				 "sctp with ports, or icmp or icmpv6 with a type",
				 traffic_protocol_name(item->protocol, number));
	if (str_cut(detail, '/', &type, &code) &&
	    !byte_text(reader, code, item->mark, "ICMP code", &item->icmp_code))
		return false;
	return byte_text(reader, type, item->mark, "ICMP type", &item->icmp_type);
}

/* Whether the text is the name of a service rather than a protocol. */
static bool is_service_name(struct str text)
{
	return !memchr(text.at, '/', text.len) && policy_protocol_number(text) < 0 &&
	       !(text.at[0] >= '0' && text.at[0] <= '9');
}

/* Whether a number alone is a port that people know by it, and a protocol that hardly any host speaks. */
static bool looks_like_port(int number)
{
	static const uint8_t ports[] = {20,  21,  22,  23,  25,	 53,  67,  68,	69,  80,  110,
					111, 119, 123, 137, 138, 139, 143, 161, 162, 179, 194};

	return memchr(ports, number, sizeof(ports));
}

/*
 * PROTOCOL[/PORTS], icmp/TYPE[/CODE], or the name of a service. what is the key or the service in
 * whose list it stands, in_rule whether that may hold names.
 */
static bool service_item(struct value_reader *reader, const struct yaml_node *node,
			 const char *what, bool in_rule, struct ast_service_item *ret_item)
{
	struct ast_service_item item = {.mark = node->mark, .icmp_type = -1, .icmp_code = -1};
	struct str text, protocol, detail = {};

	if (!value_item(reader, node, what, &text))
		return false;
	if (str_eq(text, STR("any")) || str_eq(text, STR("*")))
		return !diag_bad(reader->diag, node->mark,
				 "'" STR_FMT
				 "' is no service; expected 'protocol: any' in place of "
				 "services",
				 STR_ARG(text));
	if (is_service_name(text)) {
		item.is_name = true;
		item.name = text;
		if (!in_rule)
			return !diag_bad(reader->diag, node->mark,
					 "'" STR_FMT "' in a service; expected PROTOCOL/PORTS such "
					 "as tcp/443, since a service names no other",
					 STR_ARG(text));
		*ret_item = item;
		return true;
	}
	protocol = text;
	if (str_cut(text, '/', &protocol, &detail) && !detail.len)
		return !diag_bad(reader->diag, node->mark,
				 "nothing behind the '/' of '" STR_FMT "'; expected ports, or an "
				 "ICMP type",
				 STR_ARG(text));
	if (!protocol_text(reader, protocol, node->mark, false, &item.protocol) ||
	    (detail.len && !item_detail(reader, detail, &item)))
		return false;
	if (!detail.len && looks_like_port(item.protocol) && policy_protocol_number(text) < 0)
		return !diag_bad(
			reader->diag, node->mark,
			"'" STR_FMT "' alone is IP protocol %d and no port; expected tcp/%d "
			"or udp/%d, or 'protocol: %d' in the rule",
			STR_ARG(text), item.protocol, item.protocol, item.protocol, item.protocol);
	*ret_item = item;
	return true;
}

void traffic_services(struct value_reader *reader, const struct yaml_node *node, const char *what,
		      bool in_rule, ast_service_items *items)
{
	const struct yaml_node *nodes;
	size_t len;

	if (!value_items(reader, node, what, &nodes, &len))
		return;
	array_reserve(reader->arena, items, len);
	for (size_t i = 0; i < len; i++) {
		struct ast_service_item item;

		if (service_item(reader, &nodes[i], what, in_rule, &item))
			array_push(reader->arena, items, item);
	}
}

void traffic_protocols(struct value_reader *reader, const struct yaml_node *node,
		       ast_protocols *protocols)
{
	const struct yaml_node *items;
	size_t len;

	if (!value_items(reader, node, "protocol", &items, &len))
		return;
	array_reserve(reader->arena, protocols, len);
	for (size_t i = 0; i < len; i++) {
		struct ast_protocol protocol = {.mark = items[i].mark};
		struct str text;

		if (value_item(reader, &items[i], "protocol", &text) &&
		    protocol_text(reader, text, items[i].mark, true, &protocol.number))
			array_push(reader->arena, protocols, protocol);
	}
}

void traffic_ports(struct value_reader *reader, const struct yaml_node *node, const char *what,
		   ast_ports *ports)
{
	const struct yaml_node *items;
	size_t len;

	if (!node || !value_items(reader, node, what, &items, &len))
		return;
	array_reserve(reader->arena, ports, len);
	for (size_t i = 0; i < len; i++) {
		struct ast_port port;

		if (value_port(reader, &items[i], what, &port))
			array_push(reader->arena, ports, port);
	}
}
