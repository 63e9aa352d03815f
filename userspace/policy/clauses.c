// SPDX-License-Identifier: GPL-2.0-only
/*
 * Services, protocols and ports become clauses: the ways in which a rule matches. A rule stays
 * one rule however many it has.
 */
#include "policy/resolving.h"

#include <stdlib.h>

enum {
	PROTO_ANY = -1,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_SCTP = 132,
};

static const int port_protocols[] = {PROTO_TCP, PROTO_UDP, PROTO_SCTP};

static bool has_ports(int protocol)
{
	return protocol == PROTO_TCP || protocol == PROTO_UDP || protocol == PROTO_SCTP;
}

static int compare_ports(const void *a, const void *b)
{
	const struct port_range *left = a, *right = b;

	if (left->first != right->first)
		return left->first < right->first ? -1 : 1;
	return left->last < right->last ? -1 : left->last > right->last;
}

/* Sorts and joins what overlaps or touches; every port becomes the empty list. */
static void normalize_ports(port_ranges *ports)
{
	size_t len = 0;

	if (!ports->len)
		return;
	qsort(ports->at, ports->len, sizeof(*ports->at), compare_ports);
	for (size_t i = 1; i < ports->len; i++) {
		struct port_range *last = &ports->at[len];

		if (ports->at[i].first > last->last + 1)
			ports->at[++len] = ports->at[i];
		else if (ports->at[i].last > last->last)
			last->last = ports->at[i].last;
	}
	ports->len = len + 1;
	if (ports->at[0].first == 0 && ports->at[0].last == UINT16_MAX)
		ports->len = 0;
}

static port_ranges ports_of(struct resolving *r, const ast_ports *written)
{
	port_ranges ports = {};

	for (size_t i = 0; i < written->len; i++)
		array_push(r->arena, &ports, written->at[i].range);
	normalize_ports(&ports);
	return ports;
}

static struct policy_clause *find_clause(struct policy_rule *rule,
					 const struct policy_clause *wanted)
{
	for (size_t i = 0; i < rule->clauses.len; i++) {
		struct policy_clause *clause = &rule->clauses.at[i];

		if (clause->protocol == wanted->protocol &&
		    clause->icmp_type == wanted->icmp_type &&
		    clause->icmp_code == wanted->icmp_code)
			return clause;
	}
	return NULL;
}

/*
 * Clauses of one protocol have the same source ports, so that they become one. Their ports are
 * put in order when all are there.
 */
static void add_clause(struct resolving *r, struct policy_rule *rule,
		       const struct policy_clause *added)
{
	struct policy_clause *clause = find_clause(rule, added);

	if (!clause) {
		array_push(r->arena, &rule->clauses, *added);
		return;
	}
	if (!added->destination_ports.len)
		clause->destination_ports.len = 0;
	if (!clause->destination_ports.len)
		return;
	for (size_t i = 0; i < added->destination_ports.len; i++)
		array_push(r->arena, &clause->destination_ports, added->destination_ports.at[i]);
}

static struct policy_clause clause_of(int protocol)
{
	return (struct policy_clause){.protocol = protocol, .icmp_type = -1, .icmp_code = -1};
}

/* Each clause gets lists of its own, since lists grow in place. */
static void add_ports(struct resolving *r, const struct ast_rule *ast, int protocol,
		      const ast_ports *destination, struct policy_rule *rule)
{
	struct policy_clause clause = clause_of(protocol);

	clause.source_ports = ports_of(r, &ast->source_ports);
	clause.destination_ports = ports_of(r, destination);
	add_clause(r, rule, &clause);
}

static const char *name_of(struct resolving *r, int protocol)
{
	const char *name = policy_protocol_name(protocol);

	return name ? name : arena_printf(r->arena, "protocol %d", protocol);
}

/* A protocol without ports: refused when the rule has source ports. */
static bool add_plain(struct resolving *r, const struct ast_rule *ast, struct mark mark,
		      const struct policy_clause *clause, struct policy_rule *rule)
{
	port_ranges ports = ports_of(r, &ast->source_ports);

	if (ports.len)
		return !diag_bad(r->diag, mark,
				 "'%s' has no ports; expected no 'source_ports' beside it",
				 name_of(r, clause->protocol));
	add_clause(r, rule, clause);
	return true;
}

static bool add_item(struct resolving *r, const struct ast_rule *ast, struct mark mark,
		     const struct ast_service_item *item, struct policy_rule *rule)
{
	struct policy_clause clause = clause_of(item->protocol);
	ast_ports ports = {};

	if (has_ports(item->protocol)) {
		if (item->has_ports)
			array_push(r->arena, &ports,
				   (struct ast_port){.mark = item->mark, .range = item->ports});
		add_ports(r, ast, item->protocol, &ports, rule);
		return true;
	}
	clause.icmp_type = item->icmp_type;
	clause.icmp_code = item->icmp_code;
	return add_plain(r, ast, mark, &clause, rule);
}

static const struct ast_service *find_service(const struct resolving *r, uint32_t scope,
					      struct str name)
{
	const struct name_entry *entry = names_find(&r->groups.at[scope].scope.services, name);

	if (!entry)
		entry = names_find(&r->shared.services, name);
	return entry ? entry->thing : NULL;
}

static const struct joined_group *owner_of_service(const struct resolving *r, struct str name)
{
	for (size_t i = 0; i < r->groups.len; i++)
		if (names_find(&r->groups.at[i].scope.services, name))
			return &r->groups.at[i];
	return NULL;
}

static void refuse_unknown(struct resolving *r, uint32_t scope, const struct ast_service_item *item)
{
	const struct joined_group *owner = owner_of_service(r, item->name);
	struct nearest nearest = {.wanted = item->name};

	if (owner) {
		diag_bad(r->diag, item->mark,
			 "no service '" STR_FMT "' here; expected it in this group or in a file "
			 "without a group, since that of group '" STR_FMT "' is seen there alone",
			 STR_ARG(item->name), STR_ARG(owner->group.name));
		return;
	}
	if (diag_n_errors(r->diag) < NEAREST_MAX_ERRORS) {
		nearest_try_all(&nearest, &r->groups.at[scope].scope.services);
		nearest_try_all(&nearest, &r->shared.services);
		policy_try_protocols(&nearest);
	}
	diag_bad(r->diag, item->mark, "no service '" STR_FMT "'%s", STR_ARG(item->name),
		 nearest.text.len ? nearest_hint(r->arena, &nearest)
				  : "; expected a service of this group or of all files, or "
				    "PROTOCOL/PORTS such as tcp/443");
}

static bool add_service(struct resolving *r, uint32_t scope, const struct ast_rule *ast,
			const struct ast_service_item *use, struct policy_rule *rule)
{
	const struct ast_service *service;
	bool whole;

	if (!use->is_name)
		return add_item(r, ast, use->mark, use, rule);
	service = find_service(r, scope, use->name);
	if (!service) {
		refuse_unknown(r, scope, use);
		return false;
	}
	whole = !service->flawed;
	for (size_t i = 0; i < service->items.len; i++)
		whole &= add_item(r, ast, use->mark, &service->items.at[i], rule);
	return whole;
}

static void add_protocol(struct resolving *r, const struct ast_rule *ast,
			 const struct ast_protocol *protocol, struct policy_rule *rule)
{
	bool with_ports =
		ports_of(r, &ast->source_ports).len || ports_of(r, &ast->destination_ports).len;
	struct policy_clause clause = clause_of(protocol->number);

	if (has_ports(protocol->number)) {
		add_ports(r, ast, protocol->number, &ast->destination_ports, rule);
		return;
	}
	if (protocol->number == PROTO_ANY && with_ports) {
		for (size_t i = 0; i < ARRAY_LEN(port_protocols); i++)
			add_ports(r, ast, port_protocols[i], &ast->destination_ports, rule);
		return;
	}
	/* With ports it has been refused by parse. */
	if (with_ports)
		return;
	if (ast->icmp_type.mark.line)
		clause.icmp_type = (int)ast->icmp_type.value;
	if (ast->icmp_code.mark.line)
		clause.icmp_code = (int)ast->icmp_code.value;
	add_clause(r, rule, &clause);
}

bool clauses_of_rule(struct resolving *r, uint32_t scope, const struct ast_rule *ast,
		     struct policy_rule *rule)
{
	bool whole = !ast->flawed;

	if (ast->has_services)
		for (size_t i = 0; i < ast->services.len; i++)
			whole &= add_service(r, scope, ast, &ast->services.at[i], rule);
	else
		for (size_t i = 0; i < ast->protocols.len; i++)
			add_protocol(r, ast, &ast->protocols.at[i], rule);
	for (size_t i = 0; i < rule->clauses.len; i++)
		normalize_ports(&rule->clauses.at[i].destination_ports);
	return whole;
}
