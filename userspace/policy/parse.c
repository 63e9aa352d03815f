// SPDX-License-Identifier: GPL-2.0-only
/* Policy files: nodes → tree; see policy/parse.h. */
#include <errno.h>
#include <string.h>

#include "policy/names.h"
#include "policy/parse.h"
#include "policy/policy.h"
#include "policy/tags.h"
#include "policy/traffic.h"
#include "policy/value.h"

enum {
	NAME_MAX_LEN = 80,
	DESCRIPTION_MAX_LEN = 140,
	RULES_MAX = 2 * 4096, /* each priority once in each direction */
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

static size_t n_characters(struct str text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++)
		n += ((unsigned char)text.at[i] & 0xc0) != 0x80;
	return n;
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

/* A name that is not allowed is refused and yet kept: what refers to it is no mistake. */
static void nsg_name(struct value_reader *reader, const struct yaml_node *node, const char *what,
		     struct ast_name *name)
{
	struct str text;

	if (!node || !value_text(reader, node, what, &text))
		return;
	*name = (struct ast_name){.text = text, .mark = node->mark};
	if (is_nsg_name(text))
		return;
	if (n_characters(text) > NAME_MAX_LEN)
		diag_bad(reader->diag, node->mark, "'%s' has %zu characters; expected at most %d",
			 what, n_characters(text), NAME_MAX_LEN);
	else
		diag_bad(reader->diag, node->mark,
			 "'%s' is '" STR_FMT "'; expected letters, digits, '_', '.' and '-', a "
			 "letter or digit first, and a letter, digit or '_' last",
			 what, STR_ARG(text));
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

static const char *meaning_of(struct str text)
{
	struct addr_range range;

	if (is_keyword(text))
		return "a word of the language";
	if (tag_find(text) != TAG_COUNT)
		return "a tag";
	if (policy_protocol_number(text) >= 0)
		return "a protocol";
	if (addr_range_parse(text, &range) != ADDR_NOT_AN_ADDRESS)
		return "an address";
	return NULL;
}

/* The key of sets or services: first a letter, and nothing that already means something. */
static bool own_name(struct value_reader *reader, const struct yaml_node *key, const char *what,
		     struct ast_name *name)
{
	struct str text = key->text;
	const char *meaning = meaning_of(text);

	if (meaning)
		return !diag_bad(reader->diag, key->mark,
				 "'" STR_FMT "' is %s; expected a name of its own for the %s",
				 STR_ARG(text), meaning, what);
	if (!is_nsg_name(text) || (text.at[0] >= '0' && text.at[0] <= '9'))
		return !diag_bad(reader->diag, key->mark,
				 "the %s is called '" STR_FMT "'; expected letters, digits, '_', "
				 "'.' and '-', a letter first, and a letter, digit or '_' last, at "
				 "most %d",
				 what, STR_ARG(text), NAME_MAX_LEN);
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
	array_reserve(reader->arena, peers, len);
	for (size_t i = 0; i < len; i++) {
		struct ast_peer peer;

		if (value_peer(reader, &items[i], what, in_rule, &peer))
			array_push(reader->arena, peers, peer);
	}
}

/* Whether it is a map of names with something in it; what is the key. */
static bool is_map_of_names(struct value_reader *reader, const struct yaml_node *node,
			    const char *what)
{
	bool is_empty = node->kind == YAML_SCALAR ? !node->text.len : !node->entries.len;

	if (value_is_refused(reader, node))
		return false;
	if (node->kind == YAML_MAP && !is_empty)
		return true;
	return !diag_bad(reader->diag, node->mark, "'%s' is %s; expected a map of names", what,
			 is_empty && node->kind != YAML_LIST ? "empty"
							     : yaml_kind_name(node->kind));
}

static void sets(struct value_reader *reader, const struct yaml_node *node, ast_sets *sets)
{
	if (!is_map_of_names(reader, node, "sets"))
		return;
	array_reserve(reader->arena, sets, node->entries.len);
	for (size_t i = 0; i < node->entries.len; i++) {
		const struct yaml_entry *entry = &node->entries.at[i];
		size_t before = value_n_flaws(reader);
		struct ast_set set = {};

		if (!own_name(reader, &entry->key, "set", &set.name))
			continue;
		peers(reader, &entry->value, entry->key.text.at, false, &set.items);
		set.flawed = value_n_flaws(reader) > before;
		array_push(reader->arena, sets, set);
	}
}

static void services(struct value_reader *reader, const struct yaml_node *node,
		     ast_services *services)
{
	if (!is_map_of_names(reader, node, "services"))
		return;
	array_reserve(reader->arena, services, node->entries.len);
	for (size_t i = 0; i < node->entries.len; i++) {
		const struct yaml_entry *entry = &node->entries.at[i];
		size_t before = value_n_flaws(reader);
		struct ast_service service = {};

		if (!own_name(reader, &entry->key, "service", &service.name))
			continue;
		traffic_services(reader, &entry->value, entry->key.text.at, false, &service.items);
		service.flawed = value_n_flaws(reader) > before;
		array_push(reader->arena, services, service);
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

static bool is_icmp_alone(const struct ast_rule *rule)
{
	return rule->protocols.len == 1 && traffic_is_icmp(rule->protocols.at[0].number);
}

/* Ports go with protocols that have them; an ICMP type with icmp or icmpv6 alone. */
static void check_protocols(struct value_reader *reader, const struct yaml_node *node,
			    const struct yaml_node *const *values, const struct ast_rule *rule)
{
	bool with_ports = values[RULE_SOURCE_PORTS] || values[RULE_DESTINATION_PORTS];
	char number[TRAFFIC_NAME_SIZE];

	for (size_t i = 0; i < rule->protocols.len; i++) {
		const struct ast_protocol *protocol = &rule->protocols.at[i];

		if (with_ports && protocol->number != TRAFFIC_ANY &&
		    !traffic_has_ports(protocol->number))
			diag_bad(reader->diag, protocol->mark,
				 "'%s' has no ports; expected tcp, udp, sctp or any beside ports",
				 traffic_protocol_name(protocol->number, number));
	}
	if ((values[RULE_ICMP_TYPE] || values[RULE_ICMP_CODE]) && !is_icmp_alone(rule))
		diag_bad(reader->diag,
			 value_key_mark(node, values[RULE_ICMP_TYPE] ? values[RULE_ICMP_TYPE]
								     : values[RULE_ICMP_CODE]),
			 "'%s' beside another protocol; expected 'protocol: icmp' or 'protocol: "
			 "icmpv6' alone",
			 rule_keys[values[RULE_ICMP_TYPE] ? RULE_ICMP_TYPE : RULE_ICMP_CODE].name);
	else if (values[RULE_ICMP_CODE] && !values[RULE_ICMP_TYPE])
		diag_bad(reader->diag, value_key_mark(node, values[RULE_ICMP_CODE]),
			 "'icmp_code' without a type; expected 'icmp_type' beside it");
}

static void rule_services(struct value_reader *reader, const struct yaml_node *node,
			  const struct yaml_node *const *values, struct ast_rule *rule)
{
	static const enum rule_key without[] = {RULE_PROTOCOL, RULE_DESTINATION_PORTS,
						RULE_ICMP_TYPE, RULE_ICMP_CODE};

	rule->has_services = true;
	traffic_services(reader, values[RULE_SERVICES], "services", true, &rule->services);
	for (size_t i = 0; i < ARRAY_LEN(without); i++) {
		if (values[without[i]])
			diag_bad(reader->diag, value_key_mark(node, values[without[i]]),
				 "'%s' beside 'services'; expected one or the other",
				 rule_keys[without[i]].name);
	}
}

/* What the rule matches besides addresses. */
static void rule_traffic(struct value_reader *reader, const struct yaml_node *node,
			 const struct yaml_node *const *values, struct ast_rule *rule)
{
	bool understood;
	size_t before;

	traffic_ports(reader, values[RULE_SOURCE_PORTS], "source_ports", &rule->source_ports);
	if (values[RULE_SERVICES]) {
		rule_services(reader, node, values, rule);
		return;
	}
	before = value_n_flaws(reader);
	if (!values[RULE_PROTOCOL])
		diag_bad(reader->diag, node->mark,
			 "a rule has no 'protocol' and no 'services'; expected one of the two");
	else
		traffic_protocols(reader, values[RULE_PROTOCOL], &rule->protocols);
	understood = values[RULE_PROTOCOL] && value_n_flaws(reader) == before;
	traffic_ports(reader, values[RULE_DESTINATION_PORTS], "destination_ports",
		      &rule->destination_ports);
	number(reader, values[RULE_ICMP_TYPE], "icmp_type", 0, 255, &rule->icmp_type);
	number(reader, values[RULE_ICMP_CODE], "icmp_code", 0, 255, &rule->icmp_code);
	/* Of a list in which not all was understood nothing can be said. */
	if (understood)
		check_protocols(reader, node, values, rule);
}

static void description(struct value_reader *reader, const struct yaml_node *node,
			struct ast_name *description)
{
	struct str text;

	if (!node || !value_text(reader, node, "description", &text))
		return;
	if (n_characters(text) > DESCRIPTION_MAX_LEN)
		diag_bad(reader->diag, node->mark,
			 "'description' has %zu characters; expected at most %d",
			 n_characters(text), DESCRIPTION_MAX_LEN);
	*description = (struct ast_name){.text = text, .mark = node->mark};
}

/* Any number: what it may be depends on the tier, which another file may say. */
static void priority(struct value_reader *reader, const struct yaml_node *node,
		     struct ast_number *priority)
{
	struct str text;

	if (!node || !value_text(reader, node, "priority", &text))
		return;
	if (str_number(text, UINT64_MAX, &priority->value))
		priority->mark = node->mark;
	else
		diag_bad(reader->diag, node->mark,
			 "'priority' is '" STR_FMT "'; expected a decimal number without leading "
			 "zeros, 100 to 4096 or in tier admin 1 to 4096",
			 STR_ARG(text));
}

static void check_mode(struct value_reader *reader, const struct ast_rule *rule)
{
	if (rule->mode.mark.line && rule->mode.value == AST_AUDIT && rule->access.mark.line &&
	    rule->access.value != AST_DENY)
		diag_bad(reader->diag, rule->mode.mark,
			 "'mode: audit' on a rule with 'access: %s'; expected it on a deny, which "
			 "then only reports",
			 access_words[rule->access.value]);
}

static void rule(struct value_reader *reader, const struct yaml_node *node, ast_rules *rules)
{
	const struct yaml_node *values[RULE_KEY_COUNT];
	struct ast_rule rule = {.mark = node->mark, .enabled = true};
	size_t before;

	if (!value_map(reader, node, "a rule", rule_keys, RULE_KEY_COUNT, values))
		return;
	nsg_name(reader, values[RULE_NAME], "name", &rule.name);
	if (rule.name.mark.line)
		rule.mark = rule.name.mark;
	priority(reader, values[RULE_PRIORITY], &rule.priority);
	choice(reader, values[RULE_DIRECTION], "direction", direction_words, &rule.direction);
	choice(reader, values[RULE_ACCESS], "access", access_words, &rule.access);
	before = value_n_flaws(reader);
	peers(reader, values[RULE_SOURCE], "source", true, &rule.source);
	peers(reader, values[RULE_DESTINATION], "destination", true, &rule.destination);
	rule.peers_flawed = value_n_flaws(reader) > before;
	before = value_n_flaws(reader);
	rule_traffic(reader, node, values, &rule);
	rule.traffic_flawed = value_n_flaws(reader) > before;
	flag(reader, values[RULE_LOG], "log", &rule.log);
	choice(reader, values[RULE_MODE], "mode", mode_words, &rule.mode);
	flag(reader, values[RULE_ENABLED], "enabled", &rule.enabled);
	description(reader, values[RULE_DESCRIPTION], &rule.description);
	check_mode(reader, &rule);
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
	[FILE_BULKHEAD] = {"bulkhead", false}, [FILE_GROUP] = {"group", false},
	[FILE_TIER] = {"tier", false},	       [FILE_DEFAULTS] = {"defaults", false},
	[FILE_MODE] = {"mode", false},	       [FILE_EXISTING_FLOWS] = {"existing_flows", false},
	[FILE_ORDER] = {"order", false},       [FILE_SETS] = {"sets", false},
	[FILE_SERVICES] = {"services", false}, [FILE_RULES] = {"rules", false},
};

static void group(struct value_reader *reader, const struct yaml_node *const *values,
		  struct ast_file *file)
{
	nsg_name(reader, values[FILE_GROUP], "group", &file->group);
	choice(reader, values[FILE_TIER], "tier", tier_words, &file->tier);
	choice(reader, values[FILE_DEFAULTS], "defaults", defaults_words, &file->defaults);
	choice(reader, values[FILE_MODE], "mode", mode_words, &file->mode);
	choice(reader, values[FILE_EXISTING_FLOWS], "existing_flows", existing_flows_words,
	       &file->existing_flows);
	number(reader, values[FILE_ORDER], "order", 0, UINT32_MAX, &file->order);
}

static void rules(struct value_reader *reader, const struct yaml_node *node, ast_rules *rules)
{
	const struct yaml_node *nodes;
	size_t len;

	if (!value_list(reader, node, "rules", &nodes, &len))
		return;
	if (len > RULES_MAX)
		diag_bad(reader->diag, nodes[RULES_MAX].mark,
			 "%zu rules in one file; expected at most %d, since a group has so many "
			 "priorities",
			 len, RULES_MAX);
	for (size_t i = 0; i < len && i < RULES_MAX; i++)
		rule(reader, &nodes[i], rules);
}

/* A file without a group holds names only. */
static void refuse_group_keys(struct value_reader *reader, const struct yaml_node *node,
			      const struct yaml_node *const *values)
{
	for (enum file_key key = FILE_TIER; key <= FILE_RULES; key++) {
		if (values[key] && key != FILE_SETS && key != FILE_SERVICES)
			diag_bad(
				reader->diag, value_key_mark(node, values[key]),
				"'%s' in a file without 'group'; expected 'group: NAME' before it, "
				"or sets and services alone",
				file_keys[key].name);
	}
	if (!values[FILE_SETS] && !values[FILE_SERVICES] && !values[FILE_RULES])
		diag_bad(reader->diag, node->mark,
			 "the file says nothing; expected 'group', 'sets' or 'services'");
}

static const char *elsewhere(struct str key)
{
	return hostconf_has_key(key) ? "host.yaml" : NULL;
}

/* The keys of the file itself; false when it is no map. */
static bool head(struct value_reader *reader, const struct yaml_node *node,
		 const struct yaml_node **values, struct ast_file *file)
{
	size_t before = value_n_flaws(reader);

	reader->elsewhere = elsewhere;
	if (!value_map(reader, node, "a policy file", file_keys, FILE_KEY_COUNT, values))
		return false;
	reader->elsewhere = NULL;
	value_version(reader, node, "a policy file", values[FILE_BULKHEAD]);
	if (values[FILE_GROUP])
		group(reader, values, file);
	else
		refuse_group_keys(reader, node, values);
	file->head_flawed = value_n_flaws(reader) > before;
	return true;
}

int parse(struct arena *arena, const struct source *source, struct diag *diag,
	  struct ast_file *ret_file)
{
	scoped(arena_free) struct arena *scratch = arena_new();
	const struct yaml_node *values[FILE_KEY_COUNT];
	struct value_reader reader = {.arena = arena, .diag = diag};
	struct ast_file file = {.source = source, .tier.value = AST_TIER_NIC};
	size_t before = diag_n_errors(diag);
	ast_rules nobodys = {};
	struct yaml_node node;
	int err = yaml_read(arena, scratch, source, diag, &node);

	if (err)
		return err;
	if (!head(&reader, &node, values, &file))
		return -EBADMSG;
	if (values[FILE_RULES])
		rules(&reader, values[FILE_RULES], values[FILE_GROUP] ? &file.rules : &nobodys);
	if (values[FILE_SETS])
		sets(&reader, values[FILE_SETS], &file.sets);
	if (values[FILE_SERVICES])
		services(&reader, values[FILE_SERVICES], &file.services);
	file.flawed = diag_n_errors(diag) > before;
	/* Whose names these are cannot be told. */
	if (values[FILE_GROUP] && !file.group.mark.line)
		return -EBADMSG;
	*ret_file = file;
	return 0;
}
