// SPDX-License-Identifier: GPL-2.0-only
/* Policy files: nodes → tree; see policy/parse.h. */
#include <errno.h>
#include <string.h>

#include "policy/parse.h"
#include "policy/policy.h"
#include "policy/tags.h"
#include "policy/value.h"

enum { NAME_MAX_LEN = 80, DESCRIPTION_MAX_LEN = 140 };

enum {
	PROTO_ANY = -1,
	PROTO_ICMP = 1,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_ICMPV6 = 58,
	PROTO_SCTP = 132
};

static const char *const access_words[] = {"allow", "deny", "always-allow", NULL};
static const char *const direction_words[] = {"inbound", "outbound", NULL};
static const char *const tier_words[] = {"admin", "subnet", "nic", NULL};
static const char *const defaults_words[] = {"deny", "azure", NULL};
static const char *const mode_words[] = {"enforce", "audit", NULL};
static const char *const existing_flows_words[] = {"recheck", "keep", NULL};

static void choice(struct value_reader *reader, const struct yaml_node *node, const char *what,
		   const char *const *words, struct ast_choice *choice)
{
	if (node && value_choice(reader, node, what, words, &choice->value))
		choice->mark = node->mark;
}

static void flag(struct value_reader *reader, const struct yaml_node *node, const char *what,
		 bool *value)
{
	if (node)
		(void)value_bool(reader, node, what, value);
}

static void number(struct value_reader *reader, const struct yaml_node *node, const char *what,
		   uint64_t min, uint64_t max, struct ast_number *number)
{
	if (node && value_number(reader, node, what, min, max, &number->value))
		number->mark = node->mark;
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Letter or digit first; last one of these or '_'; '_', '.' and '-' between (Azure's rule). */
static bool is_nsg_name(struct str text)
{
	char last;

	if (!text.len || text.len > NAME_MAX_LEN || !is_word(text.at[0]))
		return false;
	last = text.at[text.len - 1];
	if (!is_word(last) && last != '_')
		return false;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];

		if (!is_word(c) && c != '_' && c != '.' && c != '-')
			return false;
	}
	return true;
}

static void nsg_name(struct value_reader *reader, const struct yaml_node *node, const char *what,
		     struct ast_name *name)
{
	struct str text;

	if (!node || !value_text(reader, node, what, &text))
		return;
	if (!is_nsg_name(text)) {
		diag_bad(
			reader->diag, node->mark,
			"%s '" STR_FMT
			"' is not allowed; expected a letter or digit, then letters, "
			"digits, '_', '.', '-', at most %d in all, the last a letter, digit or '_'",
			what, STR_ARG(text), NAME_MAX_LEN);
		return;
	}
	*name = (struct ast_name){.text = text, .mark = node->mark};
}

static bool is_keyword(struct str text)
{
	static const char *const words[] = {"any",     "self",	   "true",  "false",
					    "inbound", "outbound", "allow", "deny"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (str_eq_nocase(text, str_of(words[i])))
			return true;
	}
	return false;
}

/* The key of sets or services: first a letter, and nothing that already means something. */
static bool own_name(struct value_reader *reader, const struct yaml_node *key, const char *what,
		     struct ast_name *name)
{
	struct addr_range range;
	struct str text = key->text;

	if (!is_nsg_name(text) || (text.at[0] >= '0' && text.at[0] <= '9'))
		return !diag_bad(reader->diag, key->mark,
				 "%s name '" STR_FMT "' is not allowed; expected a letter, then "
				 "letters, digits, '_', '.', '-', at most %d in all",
				 what, STR_ARG(text), NAME_MAX_LEN);
	if (is_keyword(text) || tag_find(text) != TAG_COUNT || policy_protocol_number(text) >= 0 ||
	    addr_range_parse(text, &range) != ADDR_NOT_AN_ADDRESS)
		return !diag_bad(reader->diag, key->mark,
				 "'" STR_FMT "' has a meaning already and cannot name a %s",
				 STR_ARG(text), what);
	*name = (struct ast_name){.text = text, .mark = key->mark};
	return true;
}

static void peers(struct value_reader *reader, const struct yaml_node *node, const char *what,
		  bool in_rule, ast_peers *peers)
{
	const struct yaml_node *items;
	size_t len;

	if (!node || !value_items(reader, node, what, &items, &len))
		return;
	for (size_t i = 0; i < len; i++) {
		struct ast_peer peer;

		if (value_peer(reader, &items[i], in_rule, &peer))
			array_push(reader->arena, peers, peer);
	}
}

static void sets(struct value_reader *reader, const struct yaml_node *node, ast_sets *sets)
{
	if (node->kind != YAML_MAP || !node->entries.len) {
		diag_bad(reader->diag, node->mark, "'sets' is %s; expected a map of names",
			 node->kind == YAML_MAP ? "empty" : yaml_kind_name(node->kind));
		return;
	}
	for (size_t i = 0; i < node->entries.len; i++) {
		struct ast_set set = {};

		if (!own_name(reader, &node->entries.at[i].key, "set", &set.name))
			continue;
		peers(reader, &node->entries.at[i].value, "set", false, &set.items);
		array_push(reader->arena, sets, set);
	}
}

static bool has_ports(int protocol)
{
	return protocol == PROTO_TCP || protocol == PROTO_UDP || protocol == PROTO_SCTP;
}

static bool is_icmp(int protocol)
{
	return protocol == PROTO_ICMP || protocol == PROTO_ICMPV6;
}

/* A name or a number from 0 to 255; any only where allow_any. */
static bool protocol_text(struct value_reader *reader, struct str text, struct mark at,
			  bool allow_any, int *ret_protocol)
{
	int protocol = policy_protocol_number(text);
	uint64_t number;

	if (allow_any && str_eq(text, STR("any")))
		protocol = PROTO_ANY;
	else if (protocol < 0 && str_number(text, 255, &number))
		protocol = (int)number;
	else if (protocol < 0)
		return !diag_bad(reader->diag, at,
				 "'" STR_FMT "' is no protocol; expected %stcp, udp, sctp, icmp, "
				 "icmpv6, esp, ah, gre or a number from 0 to 255",
				 STR_ARG(text), allow_any ? "any, " : "");
	*ret_protocol = protocol;
	return true;
}

static bool byte_text(struct value_reader *reader, struct str text, struct mark at,
		      const char *what, int *ret_value)
{
	uint64_t number;

	if (!str_number(text, 255, &number))
		return !diag_bad(reader->diag, at,
				 "%s '" STR_FMT "'; expected a number from 0 to 255", what,
				 STR_ARG(text));
	*ret_value = (int)number;
	return true;
}

/* What stands behind PROTOCOL/ in a service item. */
static bool item_detail(struct value_reader *reader, struct str detail,
			struct ast_service_item *item)
{
	struct str type = detail, code = {};

	if (has_ports(item->protocol)) {
		item->has_ports = true;
		return value_port_text(reader, detail, item->mark, &item->ports);
	}
	if (!is_icmp(item->protocol))
		return !diag_bad(
			reader->diag, item->mark,
			"only tcp, udp and sctp have ports, and only icmp and icmpv6 types");
	if (str_cut(detail, '/', &type, &code) &&
	    !byte_text(reader, code, item->mark, "icmp code", &item->icmp_code))
		return false;
	return byte_text(reader, type, item->mark, "icmp type", &item->icmp_type);
}

/* PROTOCOL[/PORTS], icmp/TYPE[/CODE], or (allow_name) the name of a service. */
static bool service_item(struct value_reader *reader, const struct yaml_node *node, bool allow_name,
			 struct ast_service_item *ret_item)
{
	struct ast_service_item item = {.mark = node->mark, .icmp_type = -1, .icmp_code = -1};
	struct str text, protocol, detail = {};
	bool slash;

	if (!value_text(reader, node, "service", &text))
		return false;
	protocol = text;
	slash = str_cut(text, '/', &protocol, &detail);
	if (allow_name && !slash && policy_protocol_number(text) < 0 &&
	    !(text.at[0] >= '0' && text.at[0] <= '9') && !str_eq(text, STR("any"))) {
		item.is_name = true;
		item.name = text;
	} else if (!protocol_text(reader, protocol, node->mark, false, &item.protocol) ||
		   (slash && !item_detail(reader, detail, &item))) {
		return false;
	}
	*ret_item = item;
	return true;
}

static void service_items(struct value_reader *reader, const struct yaml_node *node,
			  bool allow_names, ast_service_items *items)
{
	const struct yaml_node *nodes;
	size_t len;

	if (!value_items(reader, node, "services", &nodes, &len))
		return;
	for (size_t i = 0; i < len; i++) {
		struct ast_service_item item;

		if (service_item(reader, &nodes[i], allow_names, &item))
			array_push(reader->arena, items, item);
	}
}

static void services(struct value_reader *reader, const struct yaml_node *node,
		     ast_services *services)
{
	if (node->kind != YAML_MAP || !node->entries.len) {
		diag_bad(reader->diag, node->mark, "'services' is %s; expected a map of names",
			 node->kind == YAML_MAP ? "empty" : yaml_kind_name(node->kind));
		return;
	}
	for (size_t i = 0; i < node->entries.len; i++) {
		struct ast_service service = {};

		if (!own_name(reader, &node->entries.at[i].key, "service", &service.name))
			continue;
		service_items(reader, &node->entries.at[i].value, false, &service.items);
		array_push(reader->arena, services, service);
	}
}

static void protocols(struct value_reader *reader, const struct yaml_node *node,
		      ast_protocols *protocols)
{
	const struct yaml_node *items;
	size_t len;

	if (!value_items(reader, node, "protocol", &items, &len))
		return;
	for (size_t i = 0; i < len; i++) {
		struct ast_protocol protocol = {.mark = items[i].mark};
		struct str text;

		if (value_text(reader, &items[i], "protocol", &text) &&
		    protocol_text(reader, text, items[i].mark, true, &protocol.number))
			array_push(reader->arena, protocols, protocol);
	}
}

static void ports(struct value_reader *reader, const struct yaml_node *node, const char *what,
		  ast_ports *ports)
{
	const struct yaml_node *items;
	size_t len;

	if (!node || !value_items(reader, node, what, &items, &len))
		return;
	for (size_t i = 0; i < len; i++) {
		struct ast_port port;

		if (value_port(reader, &items[i], &port))
			array_push(reader->arena, ports, port);
	}
}

enum rule_key {
	RULE_NAME,
	RULE_PRIORITY,
	RULE_DIRECTION,
	RULE_ACCESS,
	RULE_SOURCE,
	RULE_DESTINATION,
	RULE_SERVICES,
	RULE_PROTOCOL,
	RULE_SOURCE_PORTS,
	RULE_DESTINATION_PORTS,
	RULE_ICMP_TYPE,
	RULE_ICMP_CODE,
	RULE_LOG,
	RULE_MODE,
	RULE_ENABLED,
	RULE_DESCRIPTION,
	RULE_KEY_COUNT,
};

static const struct value_key rule_keys[RULE_KEY_COUNT] = {
	[RULE_NAME] = {"name", true},
	[RULE_PRIORITY] = {"priority", true},
	[RULE_DIRECTION] = {"direction", true},
	[RULE_ACCESS] = {"access", true},
	[RULE_SOURCE] = {"source", true},
	[RULE_DESTINATION] = {"destination", true},
	[RULE_SERVICES] = {"services", false},
	[RULE_PROTOCOL] = {"protocol", false},
	[RULE_SOURCE_PORTS] = {"source_ports", false},
	[RULE_DESTINATION_PORTS] = {"destination_ports", false},
	[RULE_ICMP_TYPE] = {"icmp_type", false},
	[RULE_ICMP_CODE] = {"icmp_code", false},
	[RULE_LOG] = {"log", false},
	[RULE_MODE] = {"mode", false},
	[RULE_ENABLED] = {"enabled", false},
	[RULE_DESCRIPTION] = {"description", false},
};

/* Ports go with protocols that have them; an ICMP type with icmp or icmpv6 alone. */
static void check_protocols(struct value_reader *reader, const struct yaml_node *const *values,
			    const struct ast_rule *rule)
{
	bool with_ports = values[RULE_SOURCE_PORTS] || values[RULE_DESTINATION_PORTS];

	for (size_t i = 0; i < rule->protocols.len; i++) {
		const struct ast_protocol *protocol = &rule->protocols.at[i];

		if (with_ports && protocol->number != PROTO_ANY && !has_ports(protocol->number))
			diag_bad(reader->diag, protocol->mark,
				 "this protocol has no ports; only tcp, udp and sctp do");
	}
	if ((values[RULE_ICMP_TYPE] || values[RULE_ICMP_CODE]) &&
	    (rule->protocols.len != 1 || !is_icmp(rule->protocols.at[0].number)))
		diag_bad(reader->diag,
			 (values[RULE_ICMP_TYPE] ? values[RULE_ICMP_TYPE] : values[RULE_ICMP_CODE])
				 ->mark,
			 "icmp_type and icmp_code go with protocol icmp or icmpv6 alone");
	else if (values[RULE_ICMP_CODE] && !values[RULE_ICMP_TYPE])
		diag_bad(reader->diag, values[RULE_ICMP_CODE]->mark,
			 "icmp_code needs an icmp_type");
}

static void rule_services(struct value_reader *reader, const struct yaml_node *const *values,
			  struct ast_rule *rule)
{
	static const enum rule_key without[] = {RULE_PROTOCOL, RULE_DESTINATION_PORTS,
						RULE_ICMP_TYPE, RULE_ICMP_CODE};

	rule->has_services = true;
	service_items(reader, values[RULE_SERVICES], true, &rule->services);
	for (size_t i = 0; i < ARRAY_LEN(without); i++) {
		if (values[without[i]])
			diag_bad(reader->diag, values[without[i]]->mark,
				 "'%s' beside 'services'; a rule has one or the other",
				 rule_keys[without[i]].name);
	}
}

/* What the rule matches besides addresses. */
static void rule_traffic(struct value_reader *reader, const struct yaml_node *node,
			 const struct yaml_node *const *values, struct ast_rule *rule)
{
	ports(reader, values[RULE_SOURCE_PORTS], "source_ports", &rule->source_ports);
	if (values[RULE_SERVICES]) {
		rule_services(reader, values, rule);
		return;
	}
	if (!values[RULE_PROTOCOL]) {
		diag_bad(reader->diag, node->mark, "a rule has no 'protocol' and no 'services'");
		return;
	}
	protocols(reader, values[RULE_PROTOCOL], &rule->protocols);
	ports(reader, values[RULE_DESTINATION_PORTS], "destination_ports",
	      &rule->destination_ports);
	number(reader, values[RULE_ICMP_TYPE], "icmp_type", 0, 255, &rule->icmp_type);
	number(reader, values[RULE_ICMP_CODE], "icmp_code", 0, 255, &rule->icmp_code);
	check_protocols(reader, values, rule);
}

static size_t n_characters(struct str text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++)
		n += ((unsigned char)text.at[i] & 0xc0) != 0x80;
	return n;
}

static void description(struct value_reader *reader, const struct yaml_node *node,
			struct ast_name *description)
{
	struct str text;

	if (!node || !value_text(reader, node, "description", &text))
		return;
	if (n_characters(text) > DESCRIPTION_MAX_LEN)
		diag_bad(reader->diag, node->mark,
			 "a description of %zu characters; at most %d are allowed",
			 n_characters(text), DESCRIPTION_MAX_LEN);
	*description = (struct ast_name){.text = text, .mark = node->mark};
}

static void rule(struct value_reader *reader, const struct yaml_node *node, ast_rules *rules)
{
	const struct yaml_node *values[RULE_KEY_COUNT];
	struct ast_rule rule = {.mark = node->mark, .enabled = true};

	if (!value_map(reader, node, "a rule", rule_keys, RULE_KEY_COUNT, values))
		return;
	nsg_name(reader, values[RULE_NAME], "name", &rule.name);
	if (rule.name.mark.line)
		rule.mark = rule.name.mark;
	number(reader, values[RULE_PRIORITY], "priority", 1, 4096, &rule.priority);
	choice(reader, values[RULE_DIRECTION], "direction", direction_words, &rule.direction);
	choice(reader, values[RULE_ACCESS], "access", access_words, &rule.access);
	peers(reader, values[RULE_SOURCE], "source", true, &rule.source);
	peers(reader, values[RULE_DESTINATION], "destination", true, &rule.destination);
	rule_traffic(reader, node, values, &rule);
	flag(reader, values[RULE_LOG], "log", &rule.log);
	choice(reader, values[RULE_MODE], "mode", mode_words, &rule.mode);
	flag(reader, values[RULE_ENABLED], "enabled", &rule.enabled);
	description(reader, values[RULE_DESCRIPTION], &rule.description);
	if (rule.mode.mark.line && rule.mode.value == AST_AUDIT && rule.access.mark.line &&
	    rule.access.value != AST_DENY)
		diag_bad(reader->diag, rule.mode.mark,
			 "mode audit on a rule that does not deny; it would have no effect");
	array_push(reader->arena, rules, rule);
}

enum file_key {
	FILE_BULKHEAD,
	FILE_GROUP,
	FILE_TIER,
	FILE_DEFAULTS,
	FILE_MODE,
	FILE_EXISTING_FLOWS,
	FILE_ORDER,
	FILE_SETS,
	FILE_SERVICES,
	FILE_RULES,
	FILE_KEY_COUNT,
};

static const struct value_key file_keys[FILE_KEY_COUNT] = {
	[FILE_BULKHEAD] = {"bulkhead", true},  [FILE_GROUP] = {"group", false},
	[FILE_TIER] = {"tier", false},	       [FILE_DEFAULTS] = {"defaults", false},
	[FILE_MODE] = {"mode", false},	       [FILE_EXISTING_FLOWS] = {"existing_flows", false},
	[FILE_ORDER] = {"order", false},       [FILE_SETS] = {"sets", false},
	[FILE_SERVICES] = {"services", false}, [FILE_RULES] = {"rules", false},
};

static void group(struct value_reader *reader, const struct yaml_node *const *values,
		  struct ast_file *file)
{
	const struct yaml_node *nodes = NULL;
	size_t len = 0;

	nsg_name(reader, values[FILE_GROUP], "group", &file->group);
	choice(reader, values[FILE_TIER], "tier", tier_words, &file->tier);
	choice(reader, values[FILE_DEFAULTS], "defaults", defaults_words, &file->defaults);
	choice(reader, values[FILE_MODE], "mode", mode_words, &file->mode);
	choice(reader, values[FILE_EXISTING_FLOWS], "existing_flows", existing_flows_words,
	       &file->existing_flows);
	number(reader, values[FILE_ORDER], "order", 0, UINT32_MAX, &file->order);
	if (values[FILE_RULES] && !value_list(reader, values[FILE_RULES], "rules", &nodes, &len))
		len = 0;
	for (size_t i = 0; i < len; i++)
		rule(reader, &nodes[i], &file->rules);
}

/* A file without a group holds names only. */
static void refuse_group_keys(struct value_reader *reader, const struct yaml_node *node,
			      const struct yaml_node *const *values)
{
	for (enum file_key key = FILE_TIER; key <= FILE_RULES; key++) {
		if (values[key] && key != FILE_SETS && key != FILE_SERVICES)
			diag_bad(
				reader->diag, values[key]->mark,
				"'%s' in a file without 'group'; such a file holds sets and services",
				file_keys[key].name);
	}
	if (!values[FILE_SETS] && !values[FILE_SERVICES] && !values[FILE_RULES])
		diag_bad(reader->diag, node->mark, "the file has no 'group', 'sets' or 'services'");
}

static void version(struct value_reader *reader, const struct yaml_node *node,
		    const struct yaml_node *value)
{
	uint64_t number;

	if (!value || !value_number(reader, value, "bulkhead", 1, 1, &number))
		return;
	if (!str_eq(node->entries.at[0].key.text, STR("bulkhead")))
		diag_bad(reader->diag, node->entries.at[0].key.mark,
			 "the first key must be 'bulkhead: 1'");
}

int parse(struct arena *arena, const struct source *source, struct diag *diag,
	  struct ast_file *ret_file)
{
	const struct yaml_node *values[FILE_KEY_COUNT];
	struct value_reader reader = {.arena = arena, .diag = diag};
	struct ast_file file = {.source = source, .tier.value = AST_TIER_NIC};
	size_t before = diag_n_errors(diag);
	struct yaml_node node;
	int err = yaml_read(arena, source, diag, &node);

	if (err)
		return err;
	if (!value_map(&reader, &node, "a policy file", file_keys, FILE_KEY_COUNT, values))
		return -EBADMSG;
	version(&reader, &node, values[FILE_BULKHEAD]);
	if (values[FILE_GROUP])
		group(&reader, values, &file);
	else
		refuse_group_keys(&reader, &node, values);
	if (values[FILE_SETS])
		sets(&reader, values[FILE_SETS], &file.sets);
	if (values[FILE_SERVICES])
		services(&reader, values[FILE_SERVICES], &file.services);
	if (diag_n_errors(diag) > before)
		return -EBADMSG;
	*ret_file = file;
	return 0;
}
