// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each step below takes the i-th of its chances, in a copy, and says false when there are not so many.
 * A chance is something that is still there, so that a step that is taken leaves one chance less.
 */
#include "tests/lib/shrink.h"

#include <errno.h>
#include <sys/stat.h>

typedef bool step_fn(struct arena *arena, struct shrink_case *at, size_t i);

/* ---- files and rules ---- */

#define remove_at(array, i)                                             \
	do {                                                            \
		memmove((array)->at + (i), (array)->at + (i) + 1,       \
			((array)->len - (i)-1) * sizeof(*(array)->at)); \
		(array)->len--;                                         \
	} while (0)

/* A copy of an array, so that the one of the case before stays as it is; of an empty one nothing. */
static void *copied(struct arena *arena, const void *at, size_t len, size_t size)
{
	return len ? memcpy(arena_calloc(arena, len, size), at, len * size) : NULL;
}

#define own_copy(arena, array)                                                         \
	((array)->at = copied(arena, (array)->at, (array)->len, sizeof(*(array)->at)), \
	 (array)->room = (array)->len)

static bool drop_file(struct arena *arena, struct shrink_case *at, size_t i)
{
	(void)arena;
	if (i >= at->policy.files.len)
		return false;
	remove_at(&at->policy.files, i);
	return true;
}

/* Half of a file's rules at once, the first one or the second. */
static bool drop_half(struct arena *arena, struct shrink_case *at, size_t i)
{
	(void)arena;
	for (size_t f = 0; f < at->policy.files.len; f++) {
		ast_rules *rules = &at->policy.files.at[f]->rules;
		size_t half = rules->len / 2;

		if (half && i < 2) {
			rules->len -= half;
			if (i)
				memmove(rules->at, rules->at + half,
					rules->len * sizeof(*rules->at));
			return true;
		}
		i -= half ? 2 : 0;
	}
	return false;
}

static struct ast_rule *rule_at(struct shrink_case *at, size_t i)
{
	for (size_t f = 0; f < at->policy.files.len; f++) {
		ast_rules *rules = &at->policy.files.at[f]->rules;

		if (i < rules->len)
			return &rules->at[i];
		i -= rules->len;
	}
	return NULL;
}

static bool drop_rule(struct arena *arena, struct shrink_case *at, size_t i)
{
	(void)arena;
	for (size_t f = 0; f < at->policy.files.len; f++) {
		ast_rules *rules = &at->policy.files.at[f]->rules;

		if (i < rules->len) {
			remove_at(rules, i);
			return true;
		}
		i -= rules->len;
	}
	return false;
}

static bool drop_shared(struct arena *arena, struct shrink_case *at, size_t i)
{
	(void)arena;
	for (size_t f = 0; f < at->policy.files.len; f++) {
		struct ast_file *file = at->policy.files.at[f];

		if (i < file->sets.len) {
			remove_at(&file->sets, i);
			return true;
		}
		i -= file->sets.len;
		if (i < file->services.len) {
			remove_at(&file->services, i);
			return true;
		}
		i -= file->services.len;
	}
	return false;
}

/* ---- what a rule says ---- */

static bool is_any(const ast_peers *peers)
{
	return peers->len == 1 && peers->at[0].kind == AST_PEER_ANY;
}

static bool forget_peers(struct arena *arena, struct mark mark, ast_peers *peers)
{
	if (is_any(peers))
		return false;
	*peers = (ast_peers){};
	array_push(arena, peers,
		   (struct ast_peer){.mark = mark, .kind = AST_PEER_ANY, .name = STR("any")});
	return true;
}

static bool forget_match(struct arena *arena, struct ast_rule *rule)
{
	if (!rule->has_services && rule->protocols.at[0].number == -1)
		return false;
	rule->has_services = false;
	rule->services.len = 0;
	rule->icmp_type = rule->icmp_code = (struct ast_number){};
	rule->protocols = (ast_protocols){};
	array_push(arena, &rule->protocols,
		   (struct ast_protocol){.mark = rule->mark, .number = -1});
	return true;
}

static bool forget_number(struct ast_number *number)
{
	bool was = number->mark.line;

	*number = (struct ast_number){};
	return was;
}

static bool forget_ports(ast_ports *ports)
{
	bool was = ports->len;

	ports->len = 0;
	return was;
}

static bool forget_choice(struct ast_choice *choice)
{
	bool was = choice->mark.line;

	*choice = (struct ast_choice){};
	return was;
}

static bool forget_flag(bool *flag, bool usual)
{
	bool was = *flag != usual;

	*flag = usual;
	return was;
}

enum { PARTS = 9 };

static bool forget_part(struct arena *arena, struct ast_rule *rule, size_t part)
{
	switch (part) {
	case 0:
		return forget_peers(arena, rule->mark, &rule->source);
	case 1:
		return forget_peers(arena, rule->mark, &rule->destination);
	case 2:
		return forget_match(arena, rule);
	case 3:
		return forget_number(&rule->icmp_code);
	case 4:
		return forget_number(&rule->icmp_type);
	case 5:
		return forget_ports(&rule->source_ports);
	case 6:
		return forget_ports(&rule->destination_ports);
	case 7:
		return forget_choice(&rule->mode);
	default:
		return forget_flag(&rule->log, false);
	}
}

/* Chances that are none any more are passed over: forget_part says so, and has changed nothing. */
static bool simplify_rule(struct arena *arena, struct shrink_case *at, size_t i)
{
	struct ast_rule *rule;

	for (size_t r = 0; (rule = rule_at(at, r)); r++)
		for (size_t part = 0; part < PARTS; part++) {
			struct ast_rule trial = *rule;

			if (forget_part(arena, &trial, part) && !i--)
				return forget_part(arena, rule, part);
		}
	return false;
}

/* One item of a list that has several. */
#define drop_item(arena, array, i)                                     \
	({                                                             \
		size_t chances_ = (array)->len > 1 ? (array)->len : 0; \
		bool done_ = *(i) < chances_;                          \
		if (done_) {                                           \
			own_copy(arena, array);                        \
			remove_at(array, *(i));                        \
		} else {                                               \
			*(i) -= chances_;                              \
		}                                                      \
		done_;                                                 \
	})

static bool drop_of_rule(struct arena *arena, struct shrink_case *at, size_t i)
{
	struct ast_rule *rule;

	for (size_t r = 0; (rule = rule_at(at, r)); r++)
		if (drop_item(arena, &rule->source, &i) ||
		    drop_item(arena, &rule->destination, &i) ||
		    drop_item(arena, &rule->services, &i) ||
		    drop_item(arena, &rule->protocols, &i) ||
		    drop_item(arena, &rule->source_ports, &i) ||
		    drop_item(arena, &rule->destination_ports, &i))
			return true;
	return false;
}

static bool drop_of_shared(struct arena *arena, struct shrink_case *at, size_t i)
{
	for (size_t f = 0; f < at->policy.files.len; f++) {
		struct ast_file *file = at->policy.files.at[f];

		for (size_t s = 0; s < file->sets.len; s++)
			if (drop_item(arena, &file->sets.at[s].items, &i))
				return true;
		for (size_t s = 0; s < file->services.len; s++)
			if (drop_item(arena, &file->services.at[s].items, &i))
				return true;
	}
	return false;
}

/* ---- what stands around the rules ---- */

static bool simplify_group(struct arena *arena, struct shrink_case *at, size_t i)
{
	(void)arena;
	for (size_t f = 0; f < at->policy.files.len; f++) {
		struct ast_choice *choices[] = {&at->policy.files.at[f]->mode,
						&at->policy.files.at[f]->existing_flows,
						&at->policy.files.at[f]->defaults};

		for (size_t c = 0; c < ARRAY_LEN(choices); c++)
			if (choices[c]->mark.line && !i--)
				return forget_choice(choices[c]);
	}
	return false;
}

static bool simplify_host(struct arena *arena, struct shrink_case *at, size_t i)
{
	struct hostconf *host = &at->policy.host, usual;

	(void)arena;
	hostconf_init(&usual);
	if (host->mode != usual.mode && !i--) {
		host->mode = usual.mode;
		return true;
	}
	if (host->no_group != usual.no_group && !i--) {
		host->no_group = usual.no_group;
		return true;
	}
	if (host->existing_flows != usual.existing_flows && !i--) {
		host->existing_flows = usual.existing_flows;
		return true;
	}
	if (host->virtual_network.len && !i--) {
		host->virtual_network.len = 0;
		return true;
	}
	if (host->platform_azure && !i--)
		return forget_flag(&host->platform_azure, false);
	for (int n = 0; n < NEVER_COUNT; n++)
		if (!host->never_denied[n] && !i--)
			return forget_flag(&host->never_denied[n], true);
	return false;
}

static bool drop_own(struct arena *arena, struct shrink_case *at, size_t i)
{
	return drop_item(arena, &at->policy.self, &i);
}

static bool simplify_packet(struct arena *arena, struct shrink_case *at, size_t i)
{
	(void)arena;
	if (at->tuple.established && !i--)
		return forget_flag(&at->tuple.established, false);
	if (at->tuple.icmp_code && !i--) {
		at->tuple.icmp_code = 0;
		return true;
	}
	return false;
}

/* ---- the search ---- */

/* Whatever a step may change in place; what lies deeper, steps copy themselves. */
static struct shrink_case copy_of(struct arena *arena, const struct shrink_case *at)
{
	struct shrink_case copy = *at;

	own_copy(arena, &copy.policy.files);
	own_copy(arena, &copy.policy.self);
	for (size_t f = 0; f < copy.policy.files.len; f++) {
		struct ast_file *file = arena_alloc(arena, sizeof(*file));

		*file = *at->policy.files.at[f];
		own_copy(arena, &file->rules);
		own_copy(arena, &file->sets);
		own_copy(arena, &file->services);
		copy.policy.files.at[f] = file;
	}
	return copy;
}

static bool take_step(struct arena *arena, struct shrink_case *at, step_fn *step,
		      shrink_differs_fn *differs, void *context)
{
	bool changed = false;
	size_t i = 0;

	for (;;) {
		struct shrink_case copy = copy_of(arena, at);

		if (!step(arena, &copy, i))
			return changed;
		if (differs(context, &copy)) {
			*at = copy;
			changed = true;
		} else {
			i++;
		}
	}
}

void shrink(struct arena *arena, struct shrink_case *at, shrink_differs_fn *differs, void *context)
{
	static step_fn *const steps[] = {
		drop_half,     drop_file,    drop_rule,	      drop_shared,
		simplify_rule, drop_of_rule, drop_of_shared,  simplify_group,
		simplify_host, drop_own,     simplify_packet,
	};
	bool changed;

	do {
		changed = false;
		for (size_t i = 0; i < ARRAY_LEN(steps); i++)
			changed |= take_step(arena, at, steps[i], differs, context);
	} while (changed);
}

/* ---- the files ---- */

static FILE *create(struct arena *arena, const char *dir, const char *name, const char *ending)
{
	return fopen(arena_printf(arena, "%s/%s%s", dir, name, ending), "we");
}

static void print_table(struct arena *arena, const struct shrink_case *kept,
			const struct policy *policy, const struct verdict *verdict, FILE *out)
{
	char own[ADDR_TEXT_SIZE], packet[TUPLE_TEXT_SIZE];
	const char *decider = eval_reason_name(verdict->reason);

	if (verdict->reason == EVAL_RULE && verdict->outcome.rule != POLICY_NO_RULE)
		decider = policy_rule_path(arena, policy, verdict->outcome.rule);
	if (kept->policy.self.len)
		fputs("self", out);
	for (size_t i = 0; i < kept->policy.self.len; i++)
		fprintf(out, " %s", addr_print(&kept->policy.self.at[i], own));
	fprintf(out, "\n%s = %s %s\n", tuple_print(&kept->tuple, packet),
		verdict->allow ? "allow" : "deny", decider);
}

int shrink_keep(const struct shrink_case *kept, const struct policy *policy,
		const struct verdict *verdict, const char *dir, const char *name, const char *note)
{
	scoped(arena_free) struct arena *arena = arena_new();
	const char *folder = arena_printf(arena, "%s/%s", dir, name);
	scoped(fclose) FILE *table = create(arena, dir, name, ".table");
	scoped(fclose) FILE *host = create(arena, dir, name, ".host.yaml");

	if (!table || !host || (mkdir(folder, 0755) && errno != EEXIST))
		return -errno;
	fprintf(table, "# %s\n", note);
	print_table(arena, kept, policy, verdict, table);
	random_policy_print_host(&kept->policy.host, host);
	for (size_t i = 0; i < kept->policy.files.len; i++) {
		scoped(fclose) FILE *file =
			create(arena, folder, kept->policy.files.at[i]->source->path, "");

		if (!file)
			return -errno;
		random_policy_print_file(kept->policy.files.at[i], file);
	}
	return ferror(table) || ferror(host) ? -EIO : 0;
}
