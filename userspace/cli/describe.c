// SPDX-License-Identifier: GPL-2.0-only
/* Rules and verdicts in words; see cli/describe.h. */
#include "cli/describe.h"

#include "policy/tags.h"

enum { SHOWN_ITEMS = 3 };

struct view_place describe_place(const struct mark *mark)
{
	return (struct view_place){
		.file = mark->source ? mark->source->path : NULL,
		.line = mark->line,
	};
}

/* Text that grows where it is: a rule may have tens of thousands of ports. */
typedef ARRAY(char) growing_text;

static void add_words(struct arena *arena, growing_text *text, const char *words)
{
	for (; *words; words++)
		array_push(arena, text, *words);
}

static const char *end_text(struct arena *arena, growing_text *text)
{
	array_push(arena, text, '\0');
	return text->at;
}

static const char *ports_text(struct arena *arena, const port_ranges *ports)
{
	growing_text text = {};

	for (size_t i = 0; i < ports->len; i++) {
		struct port_range range = ports->at[i];
		char words[16];

		if (range.first == range.last)
			(void)snprintf(words, sizeof(words), "%s%u", i ? "," : "", range.first);
		else
			(void)snprintf(words, sizeof(words), "%s%u-%u", i ? "," : "", range.first,
				       range.last);
		add_words(arena, &text, words);
	}
	return end_text(arena, &text);
}

static const char *clause_text(struct arena *arena, const struct policy_clause *clause)
{
	const char *name = clause->protocol < 0 ? "any" : policy_protocol_name(clause->protocol);
	const char *text = name ? name : arena_printf(arena, "%d", clause->protocol);

	if (clause->source_ports.len)
		text = arena_printf(arena, "%s from %s to", text,
				    ports_text(arena, &clause->source_ports));
	if (clause->destination_ports.len)
		text = arena_printf(arena, "%s/%s", text,
				    ports_text(arena, &clause->destination_ports));
	if (clause->icmp_type >= 0)
		text = arena_printf(arena, "%s/%d", text, clause->icmp_type);
	if (clause->icmp_code >= 0)
		text = arena_printf(arena, "%s/%d", text, clause->icmp_code);
	return text;
}

static const char *clauses_text(struct arena *arena, const struct policy_rule *rule)
{
	growing_text text = {};

	for (size_t i = 0; i < rule->clauses.len; i++) {
		add_words(arena, &text, i ? " " : "");
		add_words(arena, &text, clause_text(arena, &rule->clauses.at[i]));
	}
	return end_text(arena, &text);
}

static const char *with_item(struct arena *arena, const char *text, const char *item)
{
	return arena_printf(arena, "%s%s%s", text, text[0] ? "," : "", item);
}

/*
 * The names of the tags that lie wholly in the ranges, for as far as a name is shorter than what it
 * stands for; *ranges keeps what they leave. A set is known by its ranges alone: nothing else of
 * what the author wrote is in the image.
 */
static const char *take_tags(struct arena *arena, const struct policy *policy, const char *text,
			     addr_ranges *ranges)
{
	for (int tag = 0; tag < TAG_COUNT; tag++) {
		addr_ranges expanded = {}, outside = {}, rest = {};

		if (!tag_expand((enum tag)tag, arena, &policy->host, &expanded))
			continue;
		addr_ranges_subtract(arena, &expanded, ranges, &outside);
		if (outside.len)
			continue;
		addr_ranges_subtract(arena, ranges, &expanded, &rest);
		if (rest.len + 1 >= ranges->len)
			continue;
		text = with_item(arena, text, tag_name((enum tag)tag));
		*ranges = rest;
	}
	return text;
}

/* Tags, then the first few ranges; the rest is a number. */
static const char *set_text(struct arena *arena, const struct policy *policy,
			    const struct policy_set *set)
{
	scoped(arena_free) struct arena *scratch = arena_new();
	const char *text = set->any ? "any" : set->self ? "self" : "";
	addr_ranges ranges = set->ranges;
	char buffer[ADDR_RANGE_TEXT_SIZE];

	text = take_tags(scratch, policy, text, &ranges);
	for (size_t i = 0; i < ranges.len && i < SHOWN_ITEMS; i++)
		text = with_item(scratch, text, addr_range_print(&ranges.at[i], buffer));
	if (ranges.len > SHOWN_ITEMS)
		text = arena_printf(scratch, "%s,+%zu", text, ranges.len - SHOWN_ITEMS);
	return str_dup(arena, str_of(text));
}

static const char *access_text(const struct policy_rule *rule)
{
	return policy_access_name(rule->access);
}

struct view_rule describe_rule(struct arena *arena, const struct policy *policy,
			       const struct policy_rule *rule)
{
	const struct policy_group *group = &policy->groups.at[rule->group];

	return (struct view_rule){
		.id = rule->id,
		.group = str_dup(arena, group->name),
		.name = str_dup(arena, rule->name),
		.tier = policy_tier_name(rule->tier),
		.direction = policy_direction_name(rule->direction),
		.access = access_text(rule),
		.priority = rule->priority,
		.place = describe_place(&rule->mark),
		.description = str_dup(arena, rule->description),
		.protocols = clauses_text(arena, rule),
		.source = set_text(arena, policy, &policy->sets.at[rule->source]),
		.destination = set_text(arena, policy, &policy->sets.at[rule->destination]),
		.is_default = rule->is_default,
		.enabled = true,
		.log = rule->log,
		.audit = rule->audit,
	};
}

struct view_rule describe_disabled(const struct policy *policy, const struct policy_disabled *rule)
{
	const struct policy_group *group = &policy->groups.at[rule->group];

	return (struct view_rule){
		.group = group->name.at,
		.name = rule->name.at,
		.tier = policy_tier_name(group->tier),
		.direction = policy_direction_name(rule->direction),
		.access = rule->has_access ? policy_access_name(rule->access) : NULL,
		.priority = rule->priority,
		.place = describe_place(&rule->mark),
		.protocols = "",
		.source = "",
		.destination = "",
	};
}

const char *describe_decider(struct arena *arena, const struct policy *policy,
			     const struct verdict *verdict)
{
	if (verdict->reason == EVAL_RULE && verdict->outcome.rule != POLICY_NO_RULE)
		return policy_rule_path(arena, policy, verdict->outcome.rule);
	return eval_reason_name(verdict->reason);
}

static struct view_step describe_step(struct arena *arena, const struct policy *policy,
				      const struct trace_step *step)
{
	const struct policy_rule *rule = &policy->rules.at[step->rule];

	return (struct view_step){
		.priority = rule->priority,
		.rule = str_dup(arena, rule->name),
		.access = access_text(rule),
		.protocol = step->match.protocol,
		.source = step->match.source,
		.source_port = step->match.source_port,
		.destination = step->match.destination,
		.destination_port = step->match.destination_port,
		.matched = step->matched,
		.place = describe_place(&rule->mark),
	};
}

/* The groups of a tier, in their order, for its heading. */
static const char *groups_text(struct arena *arena, const struct policy *policy,
			       enum policy_tier tier)
{
	const char *text = "";

	for (size_t i = 0; i < policy->groups.len; i++) {
		if (policy->groups.at[i].tier == tier)
			text = arena_printf(arena, "%s%s" STR_FMT, text, text[0] ? ", " : "",
					    STR_ARG(policy->groups.at[i].name));
	}
	return text;
}

static struct view_tier describe_tier(struct arena *arena, const struct policy *policy,
				      const struct trace_tier *tier)
{
	struct view_step *steps = arena_calloc(arena, tier->steps.len, sizeof(*steps));

	for (size_t i = 0; i < tier->steps.len; i++)
		steps[i] = describe_step(arena, policy, &tier->steps.at[i]);
	return (struct view_tier){
		.name = policy_tier_name(tier->tier),
		.group = tier->has_group ? groups_text(arena, policy, tier->tier) : NULL,
		.reached = tier->reached,
		.n_steps = tier->steps.len,
		.steps = steps,
	};
}

struct view_explain describe_trace(struct arena *arena, const struct policy *policy,
				   const struct trace *trace)
{
	const struct trace *shown = trace->verdict.by_flow && trace->opener ? trace->opener : trace;
	struct view_tier *tiers = arena_calloc(arena, TIER_COUNT, sizeof(*tiers));
	const struct verdict *verdict = &trace->verdict;
	char *packet = arena_alloc(arena, TUPLE_TEXT_SIZE);
	char *opener = arena_alloc(arena, TUPLE_TEXT_SIZE);
	struct view_explain explain = {
		.packet = tuple_print(&trace->tuple, packet),
		.opener = shown != trace ? tuple_print(&shown->tuple, opener) : NULL,
		.before = trace->before_rules ? eval_reason_name(verdict->reason) : NULL,
		.n_tiers = trace->before_rules ? 0 : TIER_COUNT,
		.tiers = tiers,
		.allow = verdict->allow,
		.would_deny = verdict->would_deny,
		.by_flow = verdict->by_flow,
		.decider = describe_decider(arena, policy, verdict),
	};

	for (size_t i = 0; i < explain.n_tiers; i++)
		tiers[i] = describe_tier(arena, policy, &shown->tiers[i]);
	if (verdict->reason == EVAL_RULE && verdict->outcome.rule != POLICY_NO_RULE)
		explain.place = describe_place(&policy->rules.at[verdict->outcome.rule].mark);
	return explain;
}

enum { SENDERS_SHOWN = 5, LOCAL_SHOWN = 5 };

static const char *describe_sender(struct arena *arena, const struct host_sender *sender)
{
	const char *kind = sender->xdp ? "AF_XDP socket" : "packet socket";

	if (!sender->inode)
		return arena_printf(arena, "%s of somebody", kind);
	if (!sender->pid)
		return arena_printf(arena, "%s of inode %u", kind, sender->inode);
	return arena_printf(arena, "%s (pid %u, %s)", sender->name, sender->pid, kind);
}

const char *describe_senders(struct arena *arena, const host_senders *senders)
{
	const char *words = "";

	for (size_t i = 0; i < senders->len && i < SENDERS_SHOWN; i++)
		words = arena_printf(arena, "%s%s%s", words, i ? ", " : "; open now: ",
				     describe_sender(arena, &senders->at[i]));
	if (senders->len > SENDERS_SHOWN)
		words = arena_printf(arena, "%s and %zu more", words, senders->len - SENDERS_SHOWN);
	return words;
}

const char *describe_local(struct arena *arena, const struct host_facts *facts)
{
	const addr_ranges *local = &facts->local;
	char buffer[ADDR_RANGE_TEXT_SIZE];
	const char *words = "";

	for (size_t i = 0; i < local->len && i < LOCAL_SHOWN; i++)
		words = arena_printf(arena, "%s%s%s", words, i ? ", " : "",
				     addr_range_print(&local->at[i], buffer));
	if (local->len > LOCAL_SHOWN)
		words = arena_printf(arena, "%s and %zu more", words, local->len - LOCAL_SHOWN);
	if (!local->len)
		return NULL;
	return arena_printf(arena,
			    "%s, which local routes make the host's as a whole; name them in rules",
			    words);
}
