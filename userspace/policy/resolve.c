// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rules: checked, given their sets and clauses, joined by the default rules of their groups, and
 * put in order of evaluation. Groups, sets and clauses have files of their own.
 */
#include "policy/resolve.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "policy/resolving.h"
#include "policy/tuple.h"

enum {
	PRIORITY_ADMIN_FIRST = 1,
	PRIORITY_FIRST = 100,
	PRIORITY_LAST = 4096,
	PRIORITY_DEFAULT = 65000, /* Azure's numbers: 65000, 65001, 65500 */
	PRIORITY_DEFAULT_DENY = 65500,
};

/* A default rule: any where a side has no tag. */
struct default_rule {
	const char *name;
	enum policy_direction direction;
	uint32_t priority;
	enum tag source;
	enum tag destination;
	enum policy_access access;
	bool azure_only;
};

static const struct default_rule default_rules[] = {
	{"AllowVnetInBound", DIRECTION_IN, PRIORITY_DEFAULT, TAG_VIRTUAL_NETWORK,
	 TAG_VIRTUAL_NETWORK, ACCESS_ALLOW, true},
	{"AllowAzureLoadBalancerInBound", DIRECTION_IN, PRIORITY_DEFAULT + 1,
	 TAG_AZURE_LOAD_BALANCER, TAG_COUNT, ACCESS_ALLOW, true},
	{"DenyAllInBound", DIRECTION_IN, PRIORITY_DEFAULT_DENY, TAG_COUNT, TAG_COUNT, ACCESS_DENY,
	 false},
	{"AllowVnetOutBound", DIRECTION_OUT, PRIORITY_DEFAULT, TAG_VIRTUAL_NETWORK,
	 TAG_VIRTUAL_NETWORK, ACCESS_ALLOW, true},
	{"AllowInternetOutBound", DIRECTION_OUT, PRIORITY_DEFAULT + 1, TAG_COUNT, TAG_INTERNET,
	 ACCESS_ALLOW, true},
	{"DenyAllOutBound", DIRECTION_OUT, PRIORITY_DEFAULT_DENY, TAG_COUNT, TAG_COUNT, ACCESS_DENY,
	 false},
};

static bool has_default_rule(const struct policy_group *group, const struct default_rule *rule)
{
	return group->tier != TIER_ADMIN && (group->defaults_azure || !rule->azure_only);
}

static enum policy_access access_of(const struct ast_rule *ast)
{
	switch ((enum ast_access)ast->access.value) {
	case AST_ALLOW:
		return ACCESS_ALLOW;
	case AST_DENY:
		break;
	case AST_ALWAYS_ALLOW:
		return ACCESS_ALWAYS_ALLOW;
	}
	return ACCESS_DENY;
}

static enum policy_direction direction_of(const struct ast_rule *ast)
{
	return ast->direction.value == AST_INBOUND ? DIRECTION_IN : DIRECTION_OUT;
}

/* A tier that is not known may be admin, where priorities begin lower. */
static void check_priority_range(struct resolving *r, const struct joined_group *joined,
				 const struct ast_rule *ast)
{
	bool known = groups_know_tier(joined);
	uint64_t first =
		known && joined->group.tier != TIER_ADMIN ? PRIORITY_FIRST : PRIORITY_ADMIN_FIRST;

	if (!ast->priority.mark.line ||
	    (ast->priority.value >= first && ast->priority.value <= PRIORITY_LAST))
		return;
	if (known)
		diag_bad(r->diag, ast->priority.mark,
			 "'priority' is %" PRIu64 "; expected %" PRIu64 " to %d in tier %s",
			 ast->priority.value, first, PRIORITY_LAST,
			 policy_tier_name(joined->group.tier));
	else
		diag_bad(r->diag, ast->priority.mark,
			 "'priority' is %" PRIu64 "; expected %d to %d or in tier admin %d to %d",
			 ast->priority.value, PRIORITY_FIRST, PRIORITY_LAST, PRIORITY_ADMIN_FIRST,
			 PRIORITY_LAST);
}

/* What depends on the tier, which another file of the group may have said. */
static void check_by_tier(struct resolving *r, const struct joined_group *joined,
			  const struct ast_rule *ast)
{
	enum policy_tier tier = joined->group.tier;

	check_priority_range(r, joined, ast);
	if (groups_know_tier(joined) && tier != TIER_ADMIN && ast->access.mark.line &&
	    ast->access.value == AST_ALWAYS_ALLOW)
		diag_bad(r->diag, ast->access.mark,
			 "'always-allow' in tier %s; expected allow or deny, since it is for rules "
			 "of tier admin",
			 policy_tier_name(tier));
}

static void check_default_names(struct resolving *r, const struct policy_group *group,
				const struct ast_rule *ast)
{
	for (size_t i = 0; i < ARRAY_LEN(default_rules); i++)
		if (has_default_rule(group, &default_rules[i]) &&
		    str_eq_nocase(ast->name.text, str_of(default_rules[i].name)))
			diag_bad(r->diag, ast->name.mark,
				 "rule '" STR_FMT "' has the name of a default rule of this group; "
				 "expected another",
				 STR_ARG(ast->name.text));
}

/* The rule of a group and direction that has a priority first; NULL where it is free. */
struct priorities {
	const struct ast_rule *by_number[DIRECTION_COUNT][PRIORITY_LAST + 1];
};

static void check_priority(struct resolving *r, struct priorities *taken,
			   const struct ast_rule *ast)
{
	const struct ast_rule **slot;

	if (!ast->priority.mark.line || !ast->direction.mark.line ||
	    ast->priority.value > PRIORITY_LAST)
		return;
	slot = &taken->by_number[direction_of(ast)][ast->priority.value];
	if (!*slot) {
		*slot = ast;
		return;
	}
	diag_bad(r->diag, ast->priority.mark,
		 "'priority' is %" PRIu64 ", as that of rule '" STR_FMT
		 "'; expected another among the %s rules of the group",
		 ast->priority.value, STR_ARG((*slot)->name.text),
		 policy_direction_name(direction_of(ast)));
	diag_note(r->diag, (*slot)->priority.mark, "the other is here");
}

static const char *family_words(unsigned families)
{
	switch (families) {
	case FAMILY_V4:
		return "IPv4 addresses only";
	case FAMILY_V6:
		return "IPv6 addresses only";
	default:
		return "no address";
	}
}

static unsigned clause_families(const struct policy_clause *clause)
{
	if (clause->protocol == policy_protocol_number(STR("icmp")))
		return FAMILY_V4;
	if (clause->protocol == policy_protocol_number(STR("icmpv6")))
		return FAMILY_V6;
	if (clause->protocol >= 0 && tuple_is_extension((uint8_t)clause->protocol))
		return FAMILY_V4;
	return FAMILY_BOTH;
}

/* What keeps protocols, all of one family, from matching addresses of the other. */
static const char *protocol_words(struct resolving *r, const struct policy_rule *rule)
{
	int protocol = rule->clauses.at[0].protocol;

	if (tuple_is_extension((uint8_t)protocol))
		return arena_printf(r->arena,
				    "protocol is %d, over IPv6 an extension header, and the "
				    "addresses are IPv6; expected the protocol behind it",
				    protocol);
	if (protocol == policy_protocol_number(STR("icmp")))
		return "protocol is icmp, which is IPv4's, and the addresses are IPv6; expected "
		       "icmpv6";
	return "protocol is icmpv6, which is IPv6's, and the addresses are IPv4; expected icmp";
}

/* Whether some packet can match, as far as the families of both sides tell; false: told. */
static bool check_families(struct resolving *r, const struct ast_rule *ast,
			   const struct policy_rule *rule)
{
	unsigned source = sets_families(r, rule->source);
	unsigned destination = sets_families(r, rule->destination);

	if (source & destination)
		return true;
	if (!source || !destination)
		diag_bad(r->diag, (source ? ast->destination : ast->source).at[0].mark,
			 "no packet can match: the %s has no address; expected at least one",
			 source ? "destination" : "source");
	else
		diag_bad(r->diag, ast->destination.at[0].mark,
			 "no packet can match: the source has %s, the destination %s; expected one "
			 "family on both sides",
			 family_words(source), family_words(destination));
	return false;
}

/* The same with the protocols. */
static void check_protocols(struct resolving *r, const struct ast_rule *ast,
			    const struct policy_rule *rule)
{
	unsigned addresses = sets_families(r, rule->source) & sets_families(r, rule->destination);
	unsigned protocols = 0;

	for (size_t i = 0; i < rule->clauses.len; i++)
		protocols |= clause_families(&rule->clauses.at[i]);
	if (!(addresses & protocols))
		diag_bad(r->diag,
			 ast->has_services ? ast->services.at[0].mark : ast->protocols.at[0].mark,
			 "no packet can match: the %s", protocol_words(r, rule));
}

/* mode: enforce would promise what the group takes back. */
static void check_mode(struct resolving *r, const struct joined_group *joined,
		       const struct ast_rule *ast)
{
	if (joined->mode.value != AST_AUDIT || !ast->mode.mark.line ||
	    ast->mode.value != AST_ENFORCE)
		return;
	diag_bad(
		r->diag, ast->mode.mark,
		"'mode: enforce' in a group that is in audit has no effect; expected none here, or "
		"no audit of the group and 'mode: audit' at other rules");
	diag_note(r->diag, joined->mode.mark, "the group's is here");
}

/* The first item of a source that is not self; the first one where all are. */
static const struct ast_peer *first_foreign(const struct ast_rule *ast)
{
	for (size_t i = 0; i < ast->source.len; i++)
		if (ast->source.at[i].kind != AST_PEER_SELF)
			return &ast->source.at[i];
	return &ast->source.at[0];
}

/*
 * The source of a rule; self is none for what comes in, and alone would match nothing. Of a direction or
 * a list that was not understood nothing can be said.
 */
static uint32_t source_of(struct resolving *r, uint32_t group_id, const struct ast_rule *ast)
{
	uint32_t source = sets_of_peers(r, group_id, &ast->source);
	bool inbound = ast->direction.mark.line && direction_of(ast) == DIRECTION_IN;
	uint32_t foreign;

	if (!inbound || ast->peers_flawed || source == NO_SET)
		return source;
	foreign = sets_foreign(r, source, ast->source.at[0].mark);
	if (foreign != NO_SET && sets_are_mapped(r, foreign)) {
		diag_bad(
			r->diag, first_foreign(ast)->mark,
			"no packet can match: what comes in from ::ffff:0:0/96 is denied before any "
			"rule; expected IPv4 as such, 10.0.0.1 and not ::ffff:10.0.0.1");
		return NO_SET;
	}
	if (foreign == NO_SET || foreign == source || sets_families(r, foreign))
		return foreign;
	diag_bad(r->diag, ast->source.at[0].mark,
		 "no packet can match: nothing that comes in by a link is from the host itself; "
		 "expected another source than 'self'");
	return NO_SET;
}

static void add_rule(struct resolving *r, uint32_t group_id, const struct ast_rule *ast)
{
	const struct joined_group *joined = &r->groups.at[group_id];
	const struct policy_group *group = &joined->group;
	struct policy_rule rule = {
		.group = group_id,
		.name = ast->name.text,
		.description = ast->description.text,
		.mark = ast->mark,
		.tier = group->tier,
		.direction = direction_of(ast),
		.access = access_of(ast),
		.priority = (uint32_t)ast->priority.value,
		.log = ast->log,
	};
	bool whole, matchable;

	rule.audit = rule.access == ACCESS_DENY && (ast->mode.value == AST_AUDIT || group->audit);
	check_by_tier(r, joined, ast);
	check_mode(r, joined, ast);
	if (groups_know_tier(joined) && ast->name.mark.line)
		check_default_names(r, group, ast);
	rule.source = source_of(r, group_id, ast);
	rule.destination = sets_of_peers(r, group_id, &ast->destination);
	whole = clauses_of_rule(r, group_id, ast, &rule);
	if (rule.source == NO_SET || rule.destination == NO_SET || ast->peers_flawed)
		return;
	matchable = check_families(r, ast, &rule);
	if (!whole || !rule.clauses.len)
		return;
	if (matchable)
		check_protocols(r, ast, &rule);
	if (ast->enabled)
		array_push(r->arena, &r->policy.rules, rule);
	else
		array_push(r->arena, &r->policy.disabled,
			   (struct policy_disabled){
				   .group = group_id,
				   .name = rule.name,
				   .mark = rule.mark,
				   .direction = rule.direction,
				   .has_access = true,
				   .access = rule.access,
				   .priority = rule.priority,
			   });
}

static uint32_t default_side(struct resolving *r, enum tag tag)
{
	return tag == TAG_COUNT ? sets_any(r) : sets_of_tag(r, tag);
}

static void add_default_rule(struct resolving *r, uint32_t group_id, const struct default_rule *def)
{
	const struct policy_group *group = &r->groups.at[group_id].group;
	struct policy_rule rule = {
		.group = group_id,
		.name = str_of(def->name),
		.mark = group->mark,
		.tier = group->tier,
		.direction = def->direction,
		.access = def->access,
		.priority = def->priority,
		.audit = def->access == ACCESS_DENY && group->audit,
		.is_default = true,
		.source = default_side(r, def->source),
		.destination = default_side(r, def->destination),
	};

	/* Without virtual_network the message has been added where defaults: azure stands. */
	if (rule.source == NO_SET || rule.destination == NO_SET)
		return;
	array_push(r->arena, &rule.clauses,
		   (struct policy_clause){.protocol = -1, .icmp_type = -1, .icmp_code = -1});
	array_push(r->arena, &r->policy.rules, rule);
}

static void add_rules_of_group(struct resolving *r, uint32_t group_id)
{
	const struct joined_group *joined = &r->groups.at[group_id];
	struct priorities *taken = arena_alloc(r->arena, sizeof(*taken));

	for (size_t i = 0; i < joined->parts.len; i++) {
		const struct ast_file *part = joined->parts.at[i];

		for (size_t j = 0; j < part->rules.len; j++) {
			check_priority(r, taken, &part->rules.at[j]);
			add_rule(r, group_id, &part->rules.at[j]);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(default_rules); i++)
		if (has_default_rule(&joined->group, &default_rules[i]))
			add_default_rule(r, group_id, &default_rules[i]);
}

/* Groups stand in order of tier and order already, so that their ids order their rules. */
static int compare_rules(const void *a, const void *b)
{
	const struct policy_rule *left = a, *right = b;

	if (left->direction != right->direction)
		return left->direction < right->direction ? -1 : 1;
	if (left->group != right->group)
		return left->group < right->group ? -1 : 1;
	if (left->priority != right->priority)
		return left->priority < right->priority ? -1 : 1;
	return 0;
}

static int compare_disabled(const void *a, const void *b)
{
	const struct policy_disabled *left = a, *right = b;

	if (left->direction != right->direction)
		return left->direction < right->direction ? -1 : 1;
	if (left->group != right->group)
		return left->group < right->group ? -1 : 1;
	if (left->priority != right->priority)
		return left->priority < right->priority ? -1 : 1;
	return 0;
}

static void put_in_order(struct resolving *r)
{
	struct policy *policy = &r->policy;

	if (policy->rules.len)
		qsort(policy->rules.at, policy->rules.len, sizeof(*policy->rules.at),
		      compare_rules);
	if (policy->disabled.len)
		qsort(policy->disabled.at, policy->disabled.len, sizeof(*policy->disabled.at),
		      compare_disabled);
	for (uint32_t i = 0; i < policy->rules.len; i++) {
		struct policy_rule *rule = &policy->rules.at[i];

		rule->id = i;
		if (!policy->n[rule->direction][rule->tier]++)
			policy->first[rule->direction][rule->tier] = i;
	}
	for (size_t i = 0; i < r->groups.len; i++) {
		array_push(r->arena, &policy->groups, r->groups.at[i].group);
		policy->has_group[r->groups.at[i].group.tier] = true;
	}
	sets_renumber(r);
}

/* The group with most rules, to be named when there are too many. */
static const struct joined_group *largest_group(const struct resolving *r, size_t *ret_n)
{
	const struct joined_group *largest = NULL;
	size_t most = 0;

	for (size_t i = 0; i < r->groups.len; i++) {
		size_t n = r->groups.at[i].scope.rules.len;

		if (largest && n <= most)
			continue;
		largest = &r->groups.at[i];
		most = n;
	}
	*ret_n = most;
	return largest;
}

static int check_limits(struct resolving *r)
{
	size_t most;
	const struct joined_group *largest = largest_group(r, &most);

	if (r->n_ranges_bad || r->n_clauses_bad)
		return -E2BIG;
	if (r->policy.rules.len <= RESOLVE_MAX_RULES)
		return 0;
	return diag_refuse(
		r->diag, -E2BIG,
		"%zu rules, default rules included; at most %d fit (the largest group, '" STR_FMT
		"', has %zu)",
		r->policy.rules.len, RESOLVE_MAX_RULES, STR_ARG(largest->group.name), most);
}

/* Whether what is to be resolved was refused in parts already. */
static bool has_flaw(struct ast_file *const *files, size_t n_files, const struct hostconf *host)
{
	bool flaw = host->flawed;

	for (size_t i = 0; i < n_files; i++)
		flaw |= files[i]->flawed || files[i]->unread;
	return flaw;
}

int resolve(struct arena *arena, struct ast_file *const *files, size_t n_files,
	    const struct hostconf *host, struct diag *diag, struct policy *ret_policy)
{
	struct resolving r = {.arena = arena, .diag = diag, .host = host, .policy.host = *host};
	size_t n_before = diag_n_errors(diag);
	int err;

	for (size_t i = 0; i < n_files; i++)
		r.partial |= files[i]->unread;
	sets_start(&r);
	groups_join(&r, files, n_files);
	sets_resolve_named(&r, &r.shared);
	for (size_t i = 0; i < r.groups.len; i++)
		sets_resolve_named(&r, &r.groups.at[i].scope);
	for (uint32_t i = 0; i < r.groups.len; i++)
		add_rules_of_group(&r, i);
	if (diag_n_errors(diag) - n_before > (size_t)r.n_ranges_bad + r.n_clauses_bad ||
	    has_flaw(files, n_files, host))
		return -EBADMSG;
	err = check_limits(&r);
	if (err)
		return err;
	put_in_order(&r);
	*ret_policy = r.policy;
	return 0;
}
