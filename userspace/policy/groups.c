// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files become groups: parts with one name are joined and have to agree, tiers hold what they
 * may hold, and the names that each group defines are listed.
 */
#include "policy/resolving.h"

#include <inttypes.h>
#include <stdlib.h>

static struct joined_group *find_group(struct resolving *r, struct str name)
{
	for (size_t i = 0; i < r->groups.len; i++)
		if (str_eq_nocase(r->groups.at[i].group.name, name))
			return &r->groups.at[i];
	return NULL;
}

static void differs(struct resolving *r, const char *key, struct mark later, struct mark first)
{
	diag_bad(r->diag, later,
		 "'%s' differs from what another file of this group says; expected the same", key);
	diag_note(r->diag, first, "said here");
}

static void agree(struct resolving *r, const char *key, const struct ast_choice *said,
		  struct ast_choice *kept)
{
	if (!said->mark.line)
		return;
	if (!kept->mark.line)
		*kept = *said;
	else if (kept->value != said->value)
		differs(r, key, said->mark, kept->mark);
}

static void agree_on_order(struct resolving *r, const struct ast_number *said,
			   struct ast_number *kept)
{
	if (!said->mark.line)
		return;
	if (!kept->mark.line)
		*kept = *said;
	else if (kept->value != said->value)
		differs(r, "order", said->mark, kept->mark);
}

static void start_group(struct resolving *r, const struct ast_file *file)
{
	array_push(r->arena, &r->groups,
		   (struct joined_group){
			   .group = {.name = file->group.text, .mark = file->group.mark},
			   .tier = file->tier,
			   .defaults = file->defaults,
			   .mode = file->mode,
			   .existing_flows = file->existing_flows,
			   .order = file->order,
		   });
}

static void join_part(struct resolving *r, struct ast_file *file)
{
	struct joined_group *joined = find_group(r, file->group.text);

	if (!joined) {
		start_group(r, file);
		joined = array_last(&r->groups);
	} else if (!str_eq(joined->group.name, file->group.text)) {
		diag_bad(r->diag, file->group.mark,
			 "group '" STR_FMT "' is written '" STR_FMT
			 "' elsewhere; expected one spelling, since names are compared without "
			 "regard to case",
			 STR_ARG(file->group.text), STR_ARG(joined->group.name));
		diag_note(r->diag, joined->group.mark, "first written here");
	}
	agree(r, "tier", &file->tier, &joined->tier);
	agree(r, "defaults", &file->defaults, &joined->defaults);
	agree(r, "mode", &file->mode, &joined->mode);
	agree(r, "existing_flows", &file->existing_flows, &joined->existing_flows);
	agree_on_order(r, &file->order, &joined->order);
	joined->flawed |= file->head_flawed || r->partial;
	array_push(r->arena, &joined->parts, file);
}

static enum policy_tier tier_of(const struct joined_group *joined)
{
	switch ((enum ast_tier)joined->tier.value) {
	case AST_TIER_ADMIN:
		return TIER_ADMIN;
	case AST_TIER_SUBNET:
		return TIER_SUBNET;
	case AST_TIER_NIC:
		break;
	}
	return TIER_NIC;
}

bool groups_know_tier(const struct joined_group *joined)
{
	return !joined->flawed || joined->tier.mark.line;
}

static void check_choices(struct resolving *r, const struct joined_group *joined)
{
	const struct policy_group *group = &joined->group;

	if (group->tier == TIER_ADMIN && joined->defaults.mark.line)
		diag_bad(r->diag, joined->defaults.mark,
			 "'defaults' in tier admin; expected it in subnet or nic, since what no "
			 "rule of admin matches goes on to them");
	if (group->tier != TIER_ADMIN && joined->order.mark.line)
		diag_bad(r->diag, joined->order.mark,
			 "'order' in tier %s, which holds one group; expected it in tier admin",
			 policy_tier_name(group->tier));
	if (group->tier != TIER_ADMIN && group->defaults_azure && !r->host->virtual_network.len &&
	    !r->host->flawed)
		diag_bad(r->diag, joined->defaults.mark,
			 "'defaults: azure' uses VirtualNetwork; expected 'virtual_network' in "
			 "host.yaml");
}

/* What the joined choices mean, with the defaults of the language and of host.yaml. */
static void settle(struct resolving *r, struct joined_group *joined)
{
	struct policy_group *group = &joined->group;
	int flows = joined->existing_flows.mark.line ? joined->existing_flows.value
						     : (int)r->host->existing_flows;

	group->tier = tier_of(joined);
	group->order = joined->order.value;
	group->audit = joined->mode.value == AST_AUDIT || r->host->mode == AST_AUDIT;
	group->keep = flows == AST_KEEP;
	group->defaults_azure = joined->defaults.value == AST_DEFAULTS_AZURE;
	if (groups_know_tier(joined))
		check_choices(r, joined);
}

/* The first group before end that is known to be of the tier, or NULL. */
static const struct joined_group *group_of_tier(const struct resolving *r, enum policy_tier tier,
						size_t end)
{
	for (size_t i = 0; i < end; i++)
		if (r->groups.at[i].group.tier == tier && !r->groups.at[i].flawed)
			return &r->groups.at[i];
	return NULL;
}

static void check_single(struct resolving *r, size_t i)
{
	const struct policy_group *group = &r->groups.at[i].group;
	const struct joined_group *first = group_of_tier(r, group->tier, i);

	if (!first)
		return;
	diag_bad(r->diag, group->mark,
		 "a second group in tier %s, '" STR_FMT "' of %s beside '" STR_FMT
		 "' of %s; expected one",
		 policy_tier_name(group->tier), STR_ARG(group->name),
		 r->groups.at[i].parts.at[0]->source->path, STR_ARG(first->group.name),
		 first->parts.at[0]->source->path);
	diag_note(r->diag, first->group.mark, "the first is here");
}

static void check_order(struct resolving *r, size_t i)
{
	const struct joined_group *joined = &r->groups.at[i];

	if (!joined->order.mark.line) {
		diag_bad(r->diag, joined->group.mark,
			 "group '" STR_FMT "' has no 'order'; expected 'order: N', since there is "
			 "more than one group of tier admin",
			 STR_ARG(joined->group.name));
		return;
	}
	for (size_t j = 0; j < i; j++) {
		const struct joined_group *other = &r->groups.at[j];

		if (other->group.tier != TIER_ADMIN || other->flawed || !other->order.mark.line ||
		    other->order.value != joined->order.value)
			continue;
		diag_bad(r->diag, joined->order.mark,
			 "'order' is %" PRIu64 ", as that of group '" STR_FMT
			 "'; expected another number",
			 joined->order.value, STR_ARG(other->group.name));
		diag_note(r->diag, other->order.mark, "given here");
		return;
	}
}

static void check_tiers(struct resolving *r)
{
	size_t n_admin = 0;

	for (size_t i = 0; i < r->groups.len; i++)
		n_admin += r->groups.at[i].group.tier == TIER_ADMIN;
	for (size_t i = 0; i < r->groups.len; i++)
		if (r->groups.at[i].flawed)
			continue;
		else if (r->groups.at[i].group.tier != TIER_ADMIN)
			check_single(r, i);
		else if (n_admin > 1)
			check_order(r, i);
}

/* Tier, order, name: so that the order of the files changes nothing. */
static int compare_groups(const void *a, const void *b)
{
	const struct policy_group *left = &((const struct joined_group *)a)->group;
	const struct policy_group *right = &((const struct joined_group *)b)->group;

	if (left->tier != right->tier)
		return left->tier < right->tier ? -1 : 1;
	if (left->order != right->order)
		return left->order < right->order ? -1 : 1;
	return str_compare_nocase(left->name, right->name);
}

static void list_names(struct resolving *r, const struct ast_file *file, uint32_t scope_id,
		       struct scope *scope)
{
	for (size_t i = 0; i < file->sets.len; i++) {
		const struct ast_set *set = &file->sets.at[i];
		struct named_set *named = arena_alloc(r->arena, sizeof(*named));

		*named = (struct named_set){.ast = set, .scope = scope_id, .id = NO_SET};
		array_push(r->arena, &scope->sets,
			   (struct name_entry){set->name.text, set->name.mark, named, 0});
		if (tag_find(set->name.text) != TAG_COUNT)
			diag_bad(r->diag, set->name.mark, "set '" STR_FMT "' has the name of a tag",
				 STR_ARG(set->name.text));
	}
	for (size_t i = 0; i < file->services.len; i++) {
		struct ast_service *service = &file->services.at[i];

		array_push(r->arena, &scope->services,
			   (struct name_entry){service->name.text, service->name.mark, service, 0});
	}
	for (size_t i = 0; i < file->rules.len; i++) {
		struct ast_rule *rule = &file->rules.at[i];

		if (!rule->name.mark.line)
			continue;
		array_push(r->arena, &scope->rules,
			   (struct name_entry){rule->name.text, rule->name.mark, rule, 0});
	}
}

static void sort_scope(struct resolving *r, struct scope *scope, const struct scope *outer)
{
	names_sort(&scope->sets);
	names_sort(&scope->services);
	names_sort(&scope->rules);
	names_refuse_twice(&scope->sets, outer ? &outer->sets : NULL, "set", r->diag);
	names_refuse_twice(&scope->services, outer ? &outer->services : NULL, "service", r->diag);
	names_refuse_twice(&scope->rules, NULL, "rule", r->diag);
}

void groups_join(struct resolving *r, struct ast_file *const *files, size_t n_files)
{
	for (size_t i = 0; i < n_files; i++)
		if (files[i]->group.mark.line)
			join_part(r, files[i]);
	for (size_t i = 0; i < r->groups.len; i++)
		settle(r, &r->groups.at[i]);
	check_tiers(r);
	if (r->groups.len)
		qsort(r->groups.at, r->groups.len, sizeof(*r->groups.at), compare_groups);
	for (size_t i = 0; i < n_files; i++)
		if (!files[i]->group.mark.line)
			list_names(r, files[i], NO_SCOPE, &r->shared);
	sort_scope(r, &r->shared, NULL);
	for (size_t i = 0; i < r->groups.len; i++) {
		struct joined_group *joined = &r->groups.at[i];

		for (size_t j = 0; j < joined->parts.len; j++)
			list_names(r, joined->parts.at[j], (uint32_t)i, &joined->scope);
		sort_scope(r, &joined->scope, &r->shared);
	}
}
