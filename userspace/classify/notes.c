// SPDX-License-Identifier: GPL-2.0-only
/*
 * What people want to know of an image: the resolved policy in plain structs, with places as
 * numbers of sources. image_policy turns it back.
 */
#include "classify/notes.h"

#include "classify/build.h"

/* Both sides have the same names in the same order, so that a number is carried over. */
_Static_assert((int)BH_IN == (int)DIRECTION_IN && (int)BH_OUT == (int)DIRECTION_OUT, "order");
_Static_assert((int)BH_TIER_ADMIN == (int)TIER_ADMIN && (int)BH_TIER_SUBNET == (int)TIER_SUBNET &&
		       (int)BH_TIER_NIC == (int)TIER_NIC,
	       "order");
_Static_assert((int)IMAGE_ALLOW == (int)ACCESS_ALLOW && (int)IMAGE_DENY == (int)ACCESS_DENY &&
		       (int)IMAGE_ALWAYS_ALLOW == (int)ACCESS_ALWAYS_ALLOW,
	       "order");

struct maker {
	struct arena *arena;
	const struct policy *policy;
	const struct source **sources; /* in the order of their paths */
	size_t n_sources;
	struct image_notes notes;
};

static int compare_sources(const void *left, const void *right)
{
	const struct source *const *a = left;
	const struct source *const *b = right;

	return strcmp((*a)->path, (*b)->path);
}

static uint32_t source_of(const struct maker *maker, struct mark mark)
{
	for (size_t i = 0; i < maker->n_sources; i++)
		if (maker->sources[i] == mark.source)
			return i;
	return IMAGE_NO_SOURCE;
}

static void note_sources(struct maker *maker, const struct source *const *sources)
{
	maker->sources = arena_calloc(maker->arena, maker->n_sources, sizeof(*maker->sources));
	for (size_t i = 0; i < maker->n_sources; i++)
		maker->sources[i] = sources[i];
	qsort(maker->sources, maker->n_sources, sizeof(*maker->sources), compare_sources);
	for (size_t i = 0; i < maker->n_sources; i++) {
		const struct source *source = maker->sources[i];

		array_push(maker->arena, &maker->notes.sources,
			   (struct image_source){
				   .path = source->path,
				   .digest = image_digest_of(source->text.at, source->text.len),
			   });
	}
}

static void note_groups(struct maker *maker)
{
	for (size_t i = 0; i < maker->policy->groups.len; i++) {
		const struct policy_group *group = &maker->policy->groups.at[i];

		array_push(maker->arena, &maker->notes.groups,
			   (struct image_group){
				   .name = str_dup(maker->arena, group->name),
				   .tier = (enum bh_tier)group->tier,
				   .order = group->order,
				   .audit = group->audit,
				   .keep = group->keep,
				   .defaults_azure = group->defaults_azure,
				   .source = source_of(maker, group->mark),
				   .line = group->mark.line,
			   });
	}
}

static void note_clauses(struct maker *maker, const struct policy_rule *rule,
			 struct image_rule *noted)
{
	for (size_t i = 0; i < rule->clauses.len; i++) {
		const struct policy_clause *clause = &rule->clauses.at[i];
		struct image_clause *note = array_add(maker->arena, &noted->clauses);

		note->protocol = clause->protocol;
		note->icmp_type = clause->icmp_type;
		note->icmp_code = clause->icmp_code;
		note->source_ports.at = clause->source_ports.at;
		note->source_ports.len = clause->source_ports.len;
		note->destination_ports.at = clause->destination_ports.at;
		note->destination_ports.len = clause->destination_ports.len;
	}
}

static void note_rules(struct maker *maker)
{
	for (size_t i = 0; i < maker->policy->rules.len; i++) {
		const struct policy_rule *rule = &maker->policy->rules.at[i];
		struct image_rule *note = array_add(maker->arena, &maker->notes.rules);

		*note = (struct image_rule){
			.name = str_dup(maker->arena, rule->name),
			.description = str_dup(maker->arena, rule->description),
			.group = rule->group,
			.source = source_of(maker, rule->mark),
			.line = rule->mark.line,
			.column = rule->mark.column,
			.direction = (enum bh_direction)rule->direction,
			.access = (enum image_access)rule->access,
			.priority = rule->priority,
			.log = rule->log,
			.audit = rule->audit,
			.is_default = rule->is_default,
			.source_set = rule->source,
			.destination_set = rule->destination,
		};
		note_clauses(maker, rule, note);
	}
}

static void note_disabled(struct maker *maker)
{
	for (size_t i = 0; i < maker->policy->disabled.len; i++) {
		const struct policy_disabled *disabled = &maker->policy->disabled.at[i];

		array_push(maker->arena, &maker->notes.disabled,
			   (struct image_disabled){
				   .name = str_dup(maker->arena, disabled->name),
				   .group = disabled->group,
				   .source = source_of(maker, disabled->mark),
				   .line = disabled->mark.line,
				   .direction = (enum bh_direction)disabled->direction,
				   .priority = disabled->priority,
			   });
	}
}

void notes_make(struct arena *arena, const struct policy *policy,
		const struct source *const *sources, size_t n_sources,
		struct image_notes *ret_notes)
{
	struct maker maker = {.arena = arena, .policy = policy, .n_sources = n_sources};
	const ast_peers *network = &policy->host.virtual_network;

	note_sources(&maker, sources);
	note_groups(&maker);
	for (size_t i = 0; i < policy->sets.len; i++)
		array_push(arena, &maker.notes.sets,
			   (struct image_set){
				   .any = policy->sets.at[i].any,
				   .self = policy->sets.at[i].self,
				   .ranges = policy->sets.at[i].ranges,
			   });
	note_rules(&maker);
	note_disabled(&maker);
	for (size_t i = 0; i < network->len; i++)
		array_push(arena, &maker.notes.virtual_network, network->at[i].range);
	maker.notes.no_group_allow = policy->host.no_group == AST_ALLOW;
	maker.notes.existing_flows_keep = policy->host.existing_flows == AST_KEEP;
	*ret_notes = maker.notes;
}

/* ---- and back ---- */

struct restorer {
	struct arena *arena;
	const struct image_notes *notes;
	struct source *sources; /* without text */
	struct policy policy;
};

static struct mark mark_of(const struct restorer *restorer, uint32_t source, uint32_t line,
			   uint32_t column)
{
	return (struct mark){
		.source = source == IMAGE_NO_SOURCE ? NULL : &restorer->sources[source],
		.line = line,
		.column = column,
	};
}

static void restore_groups(struct restorer *restorer)
{
	for (size_t i = 0; i < restorer->notes->groups.len; i++) {
		const struct image_group *note = &restorer->notes->groups.at[i];

		array_push(restorer->arena, &restorer->policy.groups,
			   (struct policy_group){
				   .name = str_of(note->name),
				   .tier = (enum policy_tier)note->tier,
				   .order = note->order,
				   .audit = note->audit,
				   .keep = note->keep,
				   .defaults_azure = note->defaults_azure,
				   .mark = mark_of(restorer, note->source, note->line, 1),
			   });
		restorer->policy.has_group[note->tier] = true;
	}
}

static void restore_clauses(struct restorer *restorer, const struct image_rule *note,
			    struct policy_rule *rule)
{
	for (size_t i = 0; i < note->clauses.len; i++) {
		const struct image_clause *noted = &note->clauses.at[i];
		struct policy_clause *clause = array_add(restorer->arena, &rule->clauses);

		clause->protocol = noted->protocol;
		clause->icmp_type = noted->icmp_type;
		clause->icmp_code = noted->icmp_code;
		clause->source_ports.at = noted->source_ports.at;
		clause->source_ports.len = noted->source_ports.len;
		clause->destination_ports.at = noted->destination_ports.at;
		clause->destination_ports.len = noted->destination_ports.len;
	}
}

static void restore_rule(struct restorer *restorer, uint32_t id)
{
	const struct image_rule *note = &restorer->notes->rules.at[id];
	struct policy *policy = &restorer->policy;
	struct policy_rule *rule = array_add(restorer->arena, &policy->rules);
	enum policy_tier tier = policy->groups.at[note->group].tier;

	*rule = (struct policy_rule){
		.id = id,
		.group = note->group,
		.name = str_of(note->name),
		.description = str_of(note->description),
		.mark = mark_of(restorer, note->source, note->line, note->column),
		.tier = tier,
		.direction = (enum policy_direction)note->direction,
		.access = (enum policy_access)note->access,
		.priority = note->priority,
		.log = note->log,
		.audit = note->audit,
		.is_default = note->is_default,
		.source = note->source_set,
		.destination = note->destination_set,
	};
	restore_clauses(restorer, note, rule);
	if (!policy->n[rule->direction][tier]++)
		policy->first[rule->direction][tier] = id;
}

static void restore_disabled(struct restorer *restorer)
{
	for (size_t i = 0; i < restorer->notes->disabled.len; i++) {
		const struct image_disabled *note = &restorer->notes->disabled.at[i];

		array_push(restorer->arena, &restorer->policy.disabled,
			   (struct policy_disabled){
				   .group = note->group,
				   .name = str_of(note->name),
				   .mark = mark_of(restorer, note->source, note->line, 1),
				   .direction = (enum policy_direction)note->direction,
				   .priority = note->priority,
			   });
	}
}

static uint32_t entries_of(const struct bh_config *config, enum bh_table table)
{
	return (config->tables[table].mask + 1) * BH_WAYS;
}

/* What of host.yaml has come into the image; the rest, links and hooks, is not part of it. */
static void restore_host(struct restorer *restorer, const struct bh_config *config)
{
	struct hostconf *host = &restorer->policy.host;
	const addr_ranges *network = &restorer->notes->virtual_network;

	*host = (struct hostconf){
		.interfaces_auto = true,
		.mode = config->audit ? AST_AUDIT : AST_ENFORCE,
		.existing_flows = restorer->notes->existing_flows_keep ? AST_KEEP : AST_RECHECK,
		.no_group = restorer->notes->no_group_allow ? AST_ALLOW : AST_DENY,
		.platform_azure = config->platform_azure,
		.tcp_pickup = config->tcp_pickup,
		.table_flows = entries_of(config, BH_TABLE_ESTABLISHED4),
		.table_half_open = entries_of(config, BH_TABLE_HALF_OPEN4),
		.table_fragments = entries_of(config, BH_TABLE_FRAGMENTS),
		.log_limit = config->log_limit,
	};
	for (size_t i = 0; i < network->len; i++)
		array_push(restorer->arena, &host->virtual_network,
			   (struct ast_peer){.kind = AST_PEER_RANGE, .range = network->at[i]});
#define X(constant, name, seconds) \
	host->timeouts[TIMEOUT_##constant] = config->timeouts[BH_TIMEOUT_##constant];
	HOSTCONF_TIMEOUTS(X)
#undef X
#define X(constant, name) \
	host->never_denied[NEVER_##constant] = !(config->never_off >> BH_REASON_##constant & 1);
	HOSTCONF_NEVER_DENIED(X)
#undef X
}

void image_policy(struct arena *arena, const struct image *image, struct policy *ret_policy)
{
	const struct image_notes *notes = &image->notes;
	struct restorer restorer = {
		.arena = arena,
		.notes = notes,
		.sources = arena_calloc(arena, notes->sources.len, sizeof(*restorer.sources)),
	};

	for (size_t i = 0; i < notes->sources.len; i++)
		restorer.sources[i].path = notes->sources.at[i].path;
	restore_groups(&restorer);
	for (size_t i = 0; i < notes->sets.len; i++)
		array_push(arena, &restorer.policy.sets,
			   (struct policy_set){
				   .any = notes->sets.at[i].any,
				   .self = notes->sets.at[i].self,
				   .ranges = notes->sets.at[i].ranges,
			   });
	for (uint32_t id = 0; id < notes->rules.len; id++)
		restore_rule(&restorer, id);
	restore_disabled(&restorer);
	restore_host(&restorer, &image_head(image)->config);
	*ret_policy = restorer.policy;
}
