// SPDX-License-Identifier: GPL-2.0-only
/* Trees as YAML, so that a random policy can be kept as a file. */
#include "tests/lib/random_policy.h"

/* One address with its length: 0.0.0.0 alone is refused. */
static void print_range(const struct addr_range *range, FILE *out)
{
	const char *length = range->first.family == ADDR_V4 ? "/32" : "/128";
	bool one = !addr_compare(&range->first, &range->last);
	char text[ADDR_RANGE_TEXT_SIZE];

	fprintf(out, "\"%s%s\"", addr_range_print(range, text), one ? length : "");
}

static void print_peer(const struct ast_peer *peer, FILE *out)
{
	switch (peer->kind) {
	case AST_PEER_ANY:
		fputs("any", out);
		break;
	case AST_PEER_SELF:
		fputs("self", out);
		break;
	case AST_PEER_RANGE:
		print_range(&peer->range, out);
		break;
	case AST_PEER_NAME:
		fprintf(out, STR_FMT, STR_ARG(peer->name));
		break;
	}
}

static void print_peers(const char *key, const ast_peers *peers, FILE *out)
{
	fprintf(out, "%s: [", key);
	for (size_t i = 0; i < peers->len; i++) {
		fputs(i ? ", " : "", out);
		print_peer(&peers->at[i], out);
	}
	fputs("]\n", out);
}

static void print_ports(const char *key, const ast_ports *ports, FILE *out)
{
	if (!ports->len)
		return;
	fprintf(out, "    %s: [", key);
	for (size_t i = 0; i < ports->len; i++) {
		struct port_range range = ports->at[i].range;

		fputs(i ? ", " : "", out);
		if (ports->at[i].any)
			fprintf(out, "any");
		else if (range.first == range.last)
			fprintf(out, "%u", range.first);
		else
			fprintf(out, "%u-%u", range.first, range.last);
	}
	fputs("]\n", out);
}

static void print_protocol(int number, FILE *out)
{
	const char *name = policy_protocol_name(number);

	if (name)
		fputs(name, out);
	else if (number < 0)
		fputs("any", out);
	else
		fprintf(out, "%d", number);
}

static void print_item(const struct ast_service_item *item, FILE *out)
{
	if (item->is_name) {
		fprintf(out, STR_FMT, STR_ARG(item->name));
		return;
	}
	print_protocol(item->protocol, out);
	if (item->has_ports && item->ports.first == item->ports.last)
		fprintf(out, "/%u", item->ports.first);
	else if (item->has_ports)
		fprintf(out, "/%u-%u", item->ports.first, item->ports.last);
	if (item->icmp_type >= 0)
		fprintf(out, "/%d", item->icmp_type);
	if (item->icmp_code >= 0)
		fprintf(out, "/%d", item->icmp_code);
}

static void print_items(const ast_service_items *items, FILE *out)
{
	fputs("[", out);
	for (size_t i = 0; i < items->len; i++) {
		fputs(i ? ", " : "", out);
		print_item(&items->at[i], out);
	}
	fputs("]\n", out);
}

static void print_match(const struct ast_rule *rule, FILE *out)
{
	if (rule->has_services) {
		fputs("    services: ", out);
		print_items(&rule->services, out);
	} else {
		fputs("    protocol: [", out);
		for (size_t i = 0; i < rule->protocols.len; i++) {
			fputs(i ? ", " : "", out);
			print_protocol(rule->protocols.at[i].number, out);
		}
		fputs("]\n", out);
	}
	print_ports("source_ports", &rule->source_ports, out);
	print_ports("destination_ports", &rule->destination_ports, out);
	if (rule->icmp_type.mark.line)
		fprintf(out, "    icmp_type: %u\n", (unsigned)rule->icmp_type.value);
	if (rule->icmp_code.mark.line)
		fprintf(out, "    icmp_code: %u\n", (unsigned)rule->icmp_code.value);
}

static void print_rule(const struct ast_rule *rule, FILE *out)
{
	static const char *const accesses[] = {
		[AST_ALLOW] = "allow",
		[AST_DENY] = "deny",
		[AST_ALWAYS_ALLOW] = "always-allow",
	};

	fprintf(out, "  - name: " STR_FMT "\n    priority: %u\n    direction: %s\n    access: %s\n",
		STR_ARG(rule->name.text), (unsigned)rule->priority.value,
		rule->direction.value == AST_INBOUND ? "inbound" : "outbound",
		accesses[rule->access.value]);
	print_peers("    source", &rule->source, out);
	print_peers("    destination", &rule->destination, out);
	print_match(rule, out);
	if (rule->log)
		fputs("    log: true\n", out);
	if (!rule->enabled)
		fputs("    enabled: false\n", out);
	if (rule->mode.mark.line)
		fprintf(out, "    mode: %s\n", rule->mode.value == AST_AUDIT ? "audit" : "enforce");
}

static void print_head(const struct ast_file *file, FILE *out)
{
	static const char *const tiers[] = {
		[AST_TIER_ADMIN] = "admin",
		[AST_TIER_SUBNET] = "subnet",
		[AST_TIER_NIC] = "nic",
	};

	fputs("bulkhead: 1\n", out);
	if (file->group.mark.line)
		fprintf(out, "group: " STR_FMT "\n", STR_ARG(file->group.text));
	if (file->tier.mark.line)
		fprintf(out, "tier: %s\n", tiers[file->tier.value]);
	if (file->order.mark.line)
		fprintf(out, "order: %u\n", (unsigned)file->order.value);
	if (file->defaults.mark.line)
		fprintf(out, "defaults: %s\n",
			file->defaults.value == AST_DEFAULTS_AZURE ? "azure" : "deny");
	if (file->mode.mark.line)
		fprintf(out, "mode: %s\n", file->mode.value == AST_AUDIT ? "audit" : "enforce");
	if (file->existing_flows.mark.line)
		fprintf(out, "existing_flows: %s\n",
			file->existing_flows.value == AST_KEEP ? "keep" : "recheck");
}

void random_policy_print_file(const struct ast_file *file, FILE *out)
{
	print_head(file, out);
	if (file->sets.len)
		fputs("sets:\n", out);
	for (size_t i = 0; i < file->sets.len; i++) {
		fprintf(out, "  " STR_FMT, STR_ARG(file->sets.at[i].name.text));
		print_peers("", &file->sets.at[i].items, out);
	}
	if (file->services.len)
		fputs("services:\n", out);
	for (size_t i = 0; i < file->services.len; i++) {
		fprintf(out, "  " STR_FMT ": ", STR_ARG(file->services.at[i].name.text));
		print_items(&file->services.at[i].items, out);
	}
	if (file->rules.len)
		fputs("rules:\n", out);
	for (size_t i = 0; i < file->rules.len; i++)
		print_rule(&file->rules.at[i], out);
}

void random_policy_print_host(const struct hostconf *host, FILE *out)
{
	bool any_off = false;

	fprintf(out, "bulkhead: 1\nmode: %s\nexisting_flows: %s\nno_group: %s\nplatform: %s\n",
		host->mode == AST_AUDIT ? "audit" : "enforce",
		host->existing_flows == AST_KEEP ? "keep" : "recheck",
		host->no_group == AST_ALLOW ? "allow" : "deny",
		host->platform_azure ? "azure" : "none");
	if (host->virtual_network.len)
		print_peers("virtual_network", &host->virtual_network, out);
	for (int i = 0; i < NEVER_COUNT; i++) {
		if (host->never_denied[i])
			continue;
		fprintf(out, "%s%s: false", any_off ? ", " : "never_denied: {",
			hostconf_never_name(i));
		any_off = true;
	}
	fputs(any_off ? "}\n" : "", out);
}

void random_policy_print(const struct random_policy *policy, FILE *out)
{
	char text[ADDR_TEXT_SIZE];

	fputs("# host.yaml\n", out);
	random_policy_print_host(&policy->host, out);
	for (size_t i = 0; i < policy->files.len; i++) {
		fprintf(out, "# %s\n", policy->files.at[i]->source->path);
		random_policy_print_file(policy->files.at[i], out);
	}
	fputs("# self", out);
	for (size_t i = 0; i < policy->self.len; i++)
		fprintf(out, " %s", addr_print(&policy->self.at[i], text));
	fputs("\n", out);
}
