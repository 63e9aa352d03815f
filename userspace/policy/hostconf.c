// SPDX-License-Identifier: GPL-2.0-only
/* host.yaml: nodes → struct hostconf; see policy/hostconf.h. */
#include <errno.h>
#include <string.h>

#include "policy/hostconf.h"
#include "policy/value.h"

enum {
	SECONDS_MAX = 7 * 24 * 3600,
	FLOWS_MIN = 1024,
	FLOWS_MAX = 1 << 21,
	HALF_OPEN_MAX = 1 << 20,
	FRAGMENTS_MAX = 1 << 16,
	LOG_LIMIT_MAX = 1000000,
	LINK_NAME_MAX_LEN = 64, /* a glob may be longer than a name */
};

enum host_key {
	HOST_BULKHEAD,
	HOST_INTERFACES,
	HOST_HOOKS,
	HOST_MODE,
	HOST_EXISTING_FLOWS,
	HOST_NO_GROUP,
	HOST_VIRTUAL_NETWORK,
	HOST_PLATFORM,
	HOST_TCP_PICKUP,
	HOST_TIMEOUTS,
	HOST_TABLES,
	HOST_NEVER_DENIED,
	HOST_LOG_LIMIT,
	HOST_KEY_COUNT,
};

static const struct value_key host_keys[HOST_KEY_COUNT] = {
	[HOST_BULKHEAD] = {"bulkhead", false}, /* value_version has its own words */
	[HOST_INTERFACES] = {"interfaces", false},
	[HOST_HOOKS] = {"hooks", false},
	[HOST_MODE] = {"mode", false},
	[HOST_EXISTING_FLOWS] = {"existing_flows", false},
	[HOST_NO_GROUP] = {"no_group", false},
	[HOST_VIRTUAL_NETWORK] = {"virtual_network", false},
	[HOST_PLATFORM] = {"platform", false},
	[HOST_TCP_PICKUP] = {"tcp_pickup", false},
	[HOST_TIMEOUTS] = {"timeouts", false},
	[HOST_TABLES] = {"tables", false},
	[HOST_NEVER_DENIED] = {"never_denied", false},
	[HOST_LOG_LIMIT] = {"log_limit", false},
};

static const struct value_key never_keys[NEVER_COUNT] = {
#define X(constant, key) [NEVER_##constant] = {key, false},
	HOSTCONF_NEVER_DENIED(X)
#undef X
};

static const struct value_key timeout_keys[TIMEOUT_COUNT] = {
#define X(constant, key, seconds) [TIMEOUT_##constant] = {key, false},
	HOSTCONF_TIMEOUTS(X)
#undef X
};

void hostconf_init(struct hostconf *conf)
{
	static const uint32_t timeouts[TIMEOUT_COUNT] = {
#define X(constant, key, seconds) [TIMEOUT_##constant] = seconds,
		HOSTCONF_TIMEOUTS(X)
#undef X
	};

	*conf = (struct hostconf){
		.interfaces_auto = true,
		.no_group = AST_DENY,
		.tcp_pickup = true,
		.table_flows = 131072,
		.table_half_open = 65536,
		.table_fragments = 4096,
		.log_limit = 10,
	};
	memcpy(conf->timeouts, timeouts, sizeof(timeouts));
	for (int i = 0; i < NEVER_COUNT; i++)
		conf->never_denied[i] = true;
}

bool hostconf_has_key(struct str key)
{
	for (size_t i = 0; i < ARRAY_LEN(host_keys); i++) {
		if (str_eq(key, str_of(host_keys[i].name)))
			return true;
	}
	return false;
}

const char *hostconf_never_name(enum hostconf_never never)
{
	return never_keys[never].name;
}

const char *hostconf_timeout_name(enum hostconf_timeout timeout)
{
	return timeout_keys[timeout].name;
}

/* A link's name or a glob over names: what the kernel allows in names, and * ? [ ]. */
static bool is_link_pattern(struct str text)
{
	if (text.len > LINK_NAME_MAX_LEN)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if ((unsigned char)text.at[i] <= ' ' || text.at[i] == '/' || text.at[i] == 0x7f)
			return false;
	}
	return true;
}

static void interfaces(struct value_reader *reader, const struct yaml_node *node,
		       struct hostconf *conf)
{
	const struct yaml_node *items;
	struct str text;
	size_t len;

	if (!value_items(reader, node, "interfaces", &items, &len))
		return;
	if (node->kind == YAML_SCALAR && str_eq(node->text, STR("auto")))
		return;
	conf->interfaces_auto = false;
	for (size_t i = 0; i < len; i++) {
		if (!value_item(reader, &items[i], "interfaces", &text))
			continue;
		if (!is_link_pattern(text) || str_eq(text, STR("auto")))
			diag_bad(reader->diag, items[i].mark,
				 "'" STR_FMT "' in a list of links; expected auto alone, or names "
				 "and globs",
				 STR_ARG(text));
		else
			array_push(reader->arena, &conf->interfaces,
				   (struct ast_name){.text = text, .mark = items[i].mark});
	}
}

static void hooks(struct value_reader *reader, const struct yaml_node *node, struct hostconf *conf)
{
	static const struct value_key keys[] = {{"ingress", false}, {"egress", false}};
	static const char *const ingress[] = {"auto", "native", "generic", "tcx", "clsact", NULL};
	static const char *const egress[] = {"auto", "tcx", "clsact", NULL};
	static const enum hostconf_hook egress_hooks[] = {HOOK_AUTO, HOOK_TCX, HOOK_CLSACT};
	const struct yaml_node *values[ARRAY_LEN(keys)];
	int choice;

	if (node->kind == YAML_SCALAR && str_eq(node->text, STR("auto")))
		return;
	if (!value_map(reader, node, "'hooks'", keys, ARRAY_LEN(keys), values))
		return;
	if (values[0] && value_choice(reader, values[0], "ingress", ingress, &choice))
		conf->ingress = (enum hostconf_hook)choice;
	if (values[1] && value_choice(reader, values[1], "egress", egress, &choice))
		conf->egress = egress_hooks[choice];
}

static void virtual_network(struct value_reader *reader, const struct yaml_node *node,
			    struct hostconf *conf)
{
	const struct yaml_node *items;
	size_t len;

	if (!value_items(reader, node, "virtual_network", &items, &len))
		return;
	conf->virtual_network_mark = node->mark;
	for (size_t i = 0; i < len; i++) {
		struct ast_peer peer = {.mark = items[i].mark, .kind = AST_PEER_RANGE};

		if (value_range(reader, &items[i], "virtual_network", &peer.range))
			array_push(reader->arena, &conf->virtual_network, peer);
	}
}

static void timeouts(struct value_reader *reader, const struct yaml_node *node,
		     struct hostconf *conf)
{
	const struct yaml_node *values[TIMEOUT_COUNT];
	uint64_t seconds;

	if (!value_map(reader, node, "'timeouts'", timeout_keys, TIMEOUT_COUNT, values))
		return;
	for (int i = 0; i < TIMEOUT_COUNT; i++) {
		if (values[i] &&
		    value_number(reader, values[i], timeout_keys[i].name, 1, SECONDS_MAX, &seconds))
			conf->timeouts[i] = (uint32_t)seconds;
	}
}

static uint32_t power_of_two(uint64_t number)
{
	uint32_t power = 1;

	while (power < number)
		power *= 2;
	return power;
}

static void tables(struct value_reader *reader, const struct yaml_node *node, struct hostconf *conf)
{
	static const struct value_key keys[] = {
		{"flows", false},
		{"half_open", false},
		{"fragments", false},
	};
	static const uint64_t most[] = {FLOWS_MAX, HALF_OPEN_MAX, FRAGMENTS_MAX};
	uint32_t *const entries[] = {&conf->table_flows, &conf->table_half_open,
				     &conf->table_fragments};
	const struct yaml_node *values[ARRAY_LEN(keys)];
	uint64_t number;

	if (!value_map(reader, node, "'tables'", keys, ARRAY_LEN(keys), values))
		return;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (values[i] &&
		    value_number(reader, values[i], keys[i].name, FLOWS_MIN, most[i], &number))
			*entries[i] = power_of_two(number);
	}
}

static void never_denied(struct value_reader *reader, const struct yaml_node *node,
			 struct hostconf *conf)
{
	const struct yaml_node *values[NEVER_COUNT];

	if (!value_map(reader, node, "'never_denied'", never_keys, NEVER_COUNT, values))
		return;
	for (int i = 0; i < NEVER_COUNT; i++) {
		if (values[i])
			(void)value_bool(reader, values[i], never_keys[i].name,
					 &conf->never_denied[i]);
	}
}

static void choices(struct value_reader *reader, const struct yaml_node *const *values,
		    struct hostconf *conf)
{
	static const char *const modes[] = {"enforce", "audit", NULL};
	static const char *const existing_flows[] = {"recheck", "keep", NULL};
	static const char *const no_group[] = {"allow", "deny", NULL};
	static const char *const platforms[] = {"none", "azure", NULL};
	int choice;

	if (values[HOST_MODE] && value_choice(reader, values[HOST_MODE], "mode", modes, &choice))
		conf->mode = (enum ast_mode)choice;
	if (values[HOST_EXISTING_FLOWS] && value_choice(reader, values[HOST_EXISTING_FLOWS],
							"existing_flows", existing_flows, &choice))
		conf->existing_flows = (enum ast_existing_flows)choice;
	if (values[HOST_NO_GROUP] &&
	    value_choice(reader, values[HOST_NO_GROUP], "no_group", no_group, &choice))
		conf->no_group = (enum ast_access)choice;
	if (values[HOST_PLATFORM] &&
	    value_choice(reader, values[HOST_PLATFORM], "platform", platforms, &choice))
		conf->platform_azure = choice == 1;
}

static void values_of(struct value_reader *reader, const struct yaml_node *const *values,
		      struct hostconf *conf)
{
	static void (*const readers[HOST_KEY_COUNT])(
		struct value_reader *, const struct yaml_node *, struct hostconf *) = {
		[HOST_INTERFACES] = interfaces,
		[HOST_HOOKS] = hooks,
		[HOST_VIRTUAL_NETWORK] = virtual_network,
		[HOST_TIMEOUTS] = timeouts,
		[HOST_TABLES] = tables,
		[HOST_NEVER_DENIED] = never_denied,
	};
	uint64_t number;

	for (int key = 0; key < HOST_KEY_COUNT; key++) {
		if (values[key] && readers[key])
			readers[key](reader, values[key], conf);
	}
	choices(reader, values, conf);
	if (values[HOST_TCP_PICKUP])
		(void)value_bool(reader, values[HOST_TCP_PICKUP], "tcp_pickup", &conf->tcp_pickup);
	if (values[HOST_LOG_LIMIT] &&
	    value_number(reader, values[HOST_LOG_LIMIT], "log_limit", 0, LOG_LIMIT_MAX, &number))
		conf->log_limit = (uint32_t)number;
}

int hostconf_parse(struct arena *arena, const struct source *source, struct diag *diag,
		   struct hostconf *ret_conf)
{
	scoped(arena_free) struct arena *scratch = arena_new();
	const struct yaml_node *values[HOST_KEY_COUNT];
	struct value_reader reader = {.arena = arena, .diag = diag};
	size_t before = diag_n_errors(diag);
	struct hostconf conf;
	struct yaml_node node;
	int err = yaml_read(arena, scratch, source, diag, &node);

	if (err)
		return err;
	hostconf_init(&conf);
	conf.source = source;
	if (!value_map(&reader, &node, "host.yaml", host_keys, HOST_KEY_COUNT, values))
		return -EBADMSG;
	value_version(&reader, &node, "host.yaml", values[HOST_BULKHEAD]);
	values_of(&reader, values, &conf);
	if (diag_n_errors(diag) > before)
		return -EBADMSG;
	*ret_conf = conf;
	return 0;
}
