// SPDX-License-Identifier: GPL-2.0-only
/*
 * Services, protocols and ports become clauses: the ways in which a rule matches. A rule stays
 * one rule however many it has.
 */
#include "policy/resolving.h"

#include <errno.h>
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

/*
 * The first of a key's items when they are all ports by number: as a restriction they would match what
 * has ports alone, as the effective rules of a network security group, which print any so, everything.
 */
static const struct ast_port *all_by_number(const ast_ports *written, const port_ranges *ports)
{
	if (!written->len || ports->len)
		return NULL;
	for (size_t i = 0; i < written->len; i++)
		if (written->at[i].any)
			return NULL;
	return &written->at[0];
}

/* A rule that is being given its clauses. */
struct maker {
	struct resolving *r;
	const struct ast_rule *ast;
	struct policy_rule *rule;
	bool over;		       /* it has too many: said once */
	port_ranges source_ports;      /* of all clauses with ports: shared, and never added to */
	port_ranges destination_ports; /* as written in the rule itself */
};

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

static bool refuse_many(struct maker *maker, const char *what, size_t n, int max)
{
	struct mark at = maker->ast->mark;

	maker->r->n_clauses_bad = true;
	diag_refuse(
		maker->r->diag, -E2BIG,
		"the %s of the rules add up to %zu or more, those of a service counted where it "
		"is used; at most %d fit (the last rule is at %s:%u)",
		what, n, max, at.source ? at.source->path : "", at.line);
	return false;
}

/*
 * Services are used many times, and each use has its ports: counted, so that a small file does not
 * become a large policy. Past a limit says so once; false.
 */
static bool count(struct maker *maker, size_t n_clauses, size_t n_ports)
{
	struct resolving *r = maker->r;

	if (r->n_clauses_bad)
		return false;
	r->n_clauses += n_clauses;
	r->n_ports += n_ports;
	if (r->n_clauses > RESOLVE_MAX_ALL_CLAUSES)
		return refuse_many(maker, "protocols and ICMP types", r->n_clauses,
				   RESOLVE_MAX_ALL_CLAUSES);
	if (r->n_ports > RESOLVE_MAX_PORTS)
		return refuse_many(maker, "ranges of ports", r->n_ports, RESOLVE_MAX_PORTS);
	return true;
}

/*
 * Clauses of one protocol have the same source ports, so that they become one. Their ports are
 * put in order when all are there.
 */
static void add_clause(struct maker *maker, const struct policy_clause *added,
		       const port_ranges *destination)
{
	struct policy_rule *rule = maker->rule;
	struct policy_clause *clause = find_clause(rule, added);

	/* What has been said before is counted, too, as a protocol or by its ports. */
	if (!count(maker, !clause || !destination->len,
		   destination->len + (clause ? 0 : added->source_ports.len)))
		return;
	if (!clause && rule->clauses.len == RESOLVE_MAX_CLAUSES) {
		if (!maker->over)
			diag_bad(maker->r->diag, maker->ast->mark,
				 "the rule has more than %d different protocols and ICMP types; "
				 "expected fewer",
				 RESOLVE_MAX_CLAUSES);
		maker->over = true;
		return;
	}
	if (!clause) {
		array_push(maker->r->arena, &rule->clauses, *added);
		clause = array_last(&rule->clauses);
	} else if (!clause->destination_ports.len) {
		return;
	}
	if (!destination->len)
		clause->destination_ports.len = 0;
	for (size_t i = 0; i < destination->len; i++)
		array_push(maker->r->arena, &clause->destination_ports, destination->at[i]);
}

static struct policy_clause clause_of(int protocol)
{
	return (struct policy_clause){.protocol = protocol, .icmp_type = -1, .icmp_code = -1};
}

static void add_ports(struct maker *maker, int protocol, const port_ranges *destination)
{
	struct policy_clause clause = clause_of(protocol);

	clause.source_ports = maker->source_ports;
	add_clause(maker, &clause, destination);
}

static const char *name_of(struct resolving *r, int protocol)
{
	const char *name = policy_protocol_name(protocol);

	return name ? name : arena_printf(r->arena, "protocol %d", protocol);
}

/* A protocol without ports: refused when the rule has source ports. */
static bool add_plain(struct maker *maker, struct mark mark, const struct policy_clause *clause)
{
	if (maker->source_ports.len ||
	    all_by_number(&maker->ast->source_ports, &maker->source_ports))
		return !diag_bad(maker->r->diag, mark,
				 "'%s' has no ports; expected no 'source_ports' beside it",
				 name_of(maker->r, clause->protocol));
	add_clause(maker, clause, &(port_ranges){});
	return true;
}

static bool add_item(struct maker *maker, struct mark mark, const struct ast_service_item *item)
{
	struct policy_clause clause = clause_of(item->protocol);
	struct port_range range = item->ports;
	port_ranges ports = {.at = &range, .len = item->has_ports};

	if (has_ports(item->protocol)) {
		normalize_ports(&ports);
		add_ports(maker, item->protocol, &ports);
		return true;
	}
	clause.icmp_type = item->icmp_type;
	clause.icmp_code = item->icmp_code;
	return add_plain(maker, mark, &clause);
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
	const struct joined_group *owner =
		diag_is_full(r->diag) ? NULL : owner_of_service(r, item->name);
	struct nearest nearest = {.wanted = item->name};

	if (r->partial)
		return;
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

static bool add_service(struct maker *maker, uint32_t scope, const struct ast_service_item *use)
{
	const struct ast_service *service;
	bool whole;

	if (!use->is_name)
		return add_item(maker, use->mark, use);
	service = find_service(maker->r, scope, use->name);
	if (!service) {
		refuse_unknown(maker->r, scope, use);
		return false;
	}
	whole = !service->flawed;
	for (size_t i = 0; i < service->items.len && !maker->r->n_clauses_bad; i++)
		whole &= add_item(maker, use->mark, &service->items.at[i]);
	return whole;
}

static void add_protocol(struct maker *maker, const struct ast_protocol *protocol)
{
	const struct ast_rule *ast = maker->ast;
	bool with_ports = maker->source_ports.len || maker->destination_ports.len;
	struct policy_clause clause = clause_of(protocol->number);
	const struct ast_port *every;

	if (has_ports(protocol->number)) {
		add_ports(maker, protocol->number, &maker->destination_ports);
		return;
	}
	if (protocol->number == PROTO_ANY && with_ports) {
		for (size_t i = 0; i < ARRAY_LEN(port_protocols); i++)
			add_ports(maker, port_protocols[i], &maker->destination_ports);
		return;
	}
	/* With ports it has been refused by parse. */
	if (with_ports)
		return;
	every = all_by_number(&ast->destination_ports, &maker->destination_ports);
	if (!every)
		every = all_by_number(&ast->source_ports, &maker->source_ports);
	if (every && protocol->number == PROTO_ANY)
		diag_bad(
			maker->r->diag, every->mark,
			"all ports by number beside 'protocol: any'; expected 'any', which packets "
			"without ports match, too, or 'protocol: [tcp, udp, sctp]'");
	if (ast->icmp_type.mark.line)
		clause.icmp_type = (int)ast->icmp_type.value;
	if (ast->icmp_code.mark.line)
		clause.icmp_code = (int)ast->icmp_code.value;
	add_clause(maker, &clause, &(port_ranges){});
}

bool clauses_of_rule(struct resolving *r, uint32_t scope, const struct ast_rule *ast,
		     struct policy_rule *rule)
{
	bool whole = !ast->traffic_flawed;
	struct maker maker = {
		.r = r,
		.ast = ast,
		.rule = rule,
		.source_ports = ports_of(r, &ast->source_ports),
		.destination_ports = ports_of(r, &ast->destination_ports),
	};

	if (ast->has_services)
		for (size_t i = 0; i < ast->services.len && !r->n_clauses_bad; i++)
			whole &= add_service(&maker, scope, &ast->services.at[i]);
	else
		for (size_t i = 0; i < ast->protocols.len && !r->n_clauses_bad; i++)
			add_protocol(&maker, &ast->protocols.at[i]);
	for (size_t i = 0; i < rule->clauses.len; i++)
		normalize_ports(&rule->clauses.at[i].destination_ports);
	return whole;
}
