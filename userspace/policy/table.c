// SPDX-License-Identifier: GPL-2.0-only
/* Reads verdict tables line by line, and binds their rows to the rules of a policy. */
#include "policy/table.h"

#include <errno.h>
#include <stdlib.h>

#include "policy/names.h"
#include "policy/source.h"

struct reader {
	struct arena *arena;
	struct diag *diag;
	struct mark line; /* column 1 of the line being read */
	struct str text;  /* of the line, without its end */
	struct table table;
	struct mark self_mark;
};

/* The place of a slice of the line; an empty one stands for the line's end. */
static struct mark place(const struct reader *reader, struct str slice)
{
	const char *end = slice.len ? slice.at : reader->text.at + reader->text.len;
	struct mark mark = reader->line;

	for (const char *c = reader->text.at; c < end; c++)
		mark.column += ((unsigned char)*c & 0xc0) != 0x80;
	mark.len = (uint32_t)slice.len;
	return mark;
}

/* self and network stand once and before the packets. */
static int check_head(struct reader *reader, struct str word, const struct mark *first)
{
	if (first->line) {
		diag_bad(reader->diag, place(reader, word),
			 "'" STR_FMT "' stands twice; expected once", STR_ARG(word));
		diag_note(reader->diag, *first, "first here");
		return -EBADMSG;
	}
	if (reader->table.rows.len)
		return diag_bad(reader->diag, place(reader, word),
				"'" STR_FMT "' behind a packet; expected it before the first",
				STR_ARG(word));
	return 0;
}

static int compare_addrs(const void *a, const void *b)
{
	return addr_compare(a, b);
}

static int read_self(struct reader *reader, struct str word, struct str rest)
{
	struct table *table = &reader->table;
	struct addr addr;

	if (check_head(reader, word, &reader->self_mark))
		return -EBADMSG;
	reader->self_mark = place(reader, word);
	table->has_self = true;
	while (str_word(&rest, &word)) {
		if (addr_parse(word, &addr))
			return diag_bad(reader->diag, place(reader, word),
					"'" STR_FMT
					"' is no address; expected one like 10.0.0.4 or "
					"2001:db8::4",
					STR_ARG(word));
		array_push(reader->arena, &table->self, addr);
	}
	if (!table->self.len)
		return diag_bad(reader->diag, place(reader, rest),
				"nothing behind 'self'; expected the host's own addresses");
	qsort(table->self.at, table->self.len, sizeof(*table->self.at), compare_addrs);
	return 0;
}

static int read_network(struct reader *reader, struct str word, struct str rest)
{
	struct table *table = &reader->table;
	struct ast_peer peer = {.kind = AST_PEER_RANGE};

	if (check_head(reader, word, &table->network_mark))
		return -EBADMSG;
	table->network_mark = place(reader, word);
	table->has_network = true;
	while (str_word(&rest, &word)) {
		peer.mark = place(reader, word);
		if (addr_range_parse(word, &peer.range))
			return diag_bad(reader->diag, peer.mark,
					"'" STR_FMT
					"' is no prefix; expected one like 10.0.0.0/16, "
					"without host bits",
					STR_ARG(word));
		array_push(reader->arena, &table->network, peer);
	}
	if (!table->network.len)
		return diag_bad(reader->diag, place(reader, rest),
				"nothing behind 'network'; expected prefixes");
	return 0;
}

static int read_verdict(struct reader *reader, struct str text, struct table_row *row)
{
	struct str word = {}, decider = {}, more = {};

	if (!str_word(&text, &word))
		return diag_bad(reader->diag, place(reader, word),
				"no verdict; expected allow or deny, and what decides");
	if (!str_eq(word, STR("allow")) && !str_eq(word, STR("deny")))
		return diag_bad(reader->diag, place(reader, word),
				"'" STR_FMT "' is no verdict; expected allow or deny",
				STR_ARG(word));
	row->allow = str_eq(word, STR("allow"));
	if (!str_word(&text, &decider))
		return diag_bad(
			reader->diag, place(reader, decider),
			"nothing says what decides; expected a rule, as name or group/name, "
			"or a reason such as nd");
	if (str_word(&text, &more))
		return diag_bad(reader->diag, place(reader, more),
				"'" STR_FMT "' is one word too many; expected nothing behind the "
				"rule but a comment",
				STR_ARG(more));
	row->decider = (struct ast_name){.text = decider, .mark = place(reader, decider)};
	return 0;
}

static int read_packet(struct reader *reader, struct str text)
{
	struct table_row row = {.rule = POLICY_NO_RULE};
	struct str packet, verdict;

	if (!str_cut(text, '=', &packet, &verdict))
		return diag_bad(
			reader->diag, place(reader, text),
			"no '='; expected PACKET = allow|deny RULE, or first self or network");
	packet = str_trim(packet);
	row.mark = place(reader, packet.len ? packet : text);
	if (tuple_parse(packet, row.mark, reader->diag, &row.tuple) ||
	    read_verdict(reader, verdict, &row))
		return -EBADMSG;
	array_push(reader->arena, &reader->table.rows, row);
	return 0;
}

static void read_line(struct reader *reader)
{
	struct str text = reader->text, comment, rest, word;

	(void)str_cut(text, '#', &text, &comment);
	text = str_trim(text);
	rest = text;
	if (!str_word(&rest, &word))
		return;
	if (str_eq(word, STR("self")))
		(void)read_self(reader, word, rest);
	else if (str_eq(word, STR("network")))
		(void)read_network(reader, word, rest);
	else
		(void)read_packet(reader, text);
}

int table_parse(struct arena *arena, const struct source *source, struct diag *diag,
		struct table *ret_table)
{
	struct reader reader = {.arena = arena, .diag = diag, .line = {.source = source, 0, 1, 0}};
	struct str rest = source->text;
	size_t n_before = diag_n_errors(diag);
	bool more = true;

	if (source_check_order_mark(source, diag))
		return -EBADMSG;
	while (more) {
		reader.line.line++;
		reader.text = rest;
		more = str_cut(rest, '\n', &reader.text, &rest);
		if (reader.text.len && reader.text.at[reader.text.len - 1] == '\r')
			reader.text.len--;
		read_line(&reader);
	}
	if (diag_n_errors(diag) != n_before)
		return -EBADMSG;
	if (!reader.table.rows.len)
		return diag_bad(diag, (struct mark){.source = source},
				"no packet in the table; expected PACKET = allow|deny RULE");
	*ret_table = reader.table;
	return 0;
}

void table_set_network(const struct table *table, struct hostconf *host)
{
	host->flawed |= table->flawed;
	if (!table->has_network)
		return;
	host->virtual_network = table->network;
	host->virtual_network_mark = table->network_mark;
}

/* What table_bind looks names up in. */
struct binding {
	struct arena *arena;
	const struct policy *policy;
	struct diag *diag;
	name_list rules; /* const struct policy_rule */
};

static enum eval_reason reason_of(struct str name)
{
	enum eval_reason reason = EVAL_RULE + 1;

	while (reason < EVAL_REASON_COUNT && !str_eq(str_of(eval_reason_name(reason)), name))
		reason++;
	return reason;
}

/* Whether a rule is meant by "name" or "group/name". */
static bool is_meant(const struct policy *policy, uint32_t group, struct str name,
		     struct str written)
{
	struct str head, tail;

	if (!str_cut(written, '/', &head, &tail))
		return str_eq_nocase(name, written);
	return str_eq_nocase(name, tail) && str_eq_nocase(policy->groups.at[group].name, head);
}

static int refuse_unknown(const struct binding *binding, const struct table_row *row)
{
	const struct policy *policy = binding->policy;
	struct str written = row->decider.text, group = {}, name = written;
	struct nearest nearest = {};

	for (size_t i = 0; i < policy->disabled.len; i++)
		if (is_meant(policy, policy->disabled.at[i].group, policy->disabled.at[i].name,
			     written))
			return diag_bad(binding->diag, row->decider.mark,
					"rule '" STR_FMT "' is disabled; expected one that is not, "
					"or a reason",
					STR_ARG(written));
	(void)str_cut(written, '/', &group, &name);
	nearest.wanted = name;
	if (diag_n_errors(binding->diag) < NEAREST_MAX_ERRORS)
		nearest_try_all(&nearest, &binding->rules);
	for (enum eval_reason reason = EVAL_RULE + 1; reason < EVAL_REASON_COUNT; reason++)
		nearest_try(&nearest, str_of(eval_reason_name(reason)));
	return diag_bad(binding->diag, row->decider.mark, "no rule or reason '" STR_FMT "'%s",
			STR_ARG(written),
			nearest.text.len ? nearest_hint(binding->arena, &nearest)
					 : "; expected a rule, as name or group/name, or a reason "
					   "such as nd");
}

/* A reason by its name, which no rule may have, too: nobody could tell which of them is meant. */
static int bind_reason(const struct binding *binding, const struct table_row *row)
{
	const struct name_entry *entry = names_find(&binding->rules, row->decider.text);
	const struct policy_rule *rule;

	if (!entry)
		return 0;
	rule = entry->thing;
	return diag_bad(binding->diag, row->decider.mark,
			"'" STR_FMT
			"' is the name of a reason and of a rule; expected '%s' for the rule",
			STR_ARG(row->decider.text),
			policy_rule_path(binding->arena, binding->policy, rule->id));
}

static int bind_row(const struct binding *binding, struct table_row *row)
{
	const struct policy *policy = binding->policy;
	struct str written = row->decider.text, group, name = written;
	const struct policy_rule *found = NULL;
	const struct name_entry *entry;
	size_t left;

	row->reason = reason_of(written);
	if (row->reason != EVAL_REASON_COUNT)
		return bind_reason(binding, row);
	row->reason = EVAL_RULE;
	(void)str_cut(written, '/', &group, &name);
	entry = names_find(&binding->rules, name);
	left = entry ? binding->rules.len - (size_t)(entry - binding->rules.at) : 0;
	for (; left && str_eq_nocase(entry->text, name); entry++, left--) {
		const struct policy_rule *rule = entry->thing;

		if (!is_meant(policy, rule->group, rule->name, written))
			continue;
		if (found)
			return diag_bad(binding->diag, row->decider.mark,
					"'" STR_FMT "' is not unique; expected '%s' or '%s'",
					STR_ARG(written),
					policy_rule_path(binding->arena, policy, found->id),
					policy_rule_path(binding->arena, policy, rule->id));
		found = rule;
	}
	if (!found)
		return refuse_unknown(binding, row);
	row->rule = found->id;
	return 0;
}

int table_bind(struct arena *arena, const struct policy *policy, struct table *table,
	       struct diag *diag)
{
	struct binding binding = {.arena = arena, .policy = policy, .diag = diag};
	int result = 0;

	for (size_t i = 0; i < policy->rules.len; i++) {
		struct policy_rule *rule = &policy->rules.at[i];

		array_push(
			arena, &binding.rules,
			(struct name_entry){.text = rule->name, .mark = rule->mark, .thing = rule});
	}
	names_sort(&binding.rules);
	for (size_t i = 0; i < table->rows.len; i++)
		if (bind_row(&binding, &table->rows.at[i]))
			result = -EBADMSG;
	return result;
}

addr_list table_self(const struct table *table, const struct table_row *row, struct addr *one)
{
	addr_list self = {.at = one};

	if (table->has_self)
		return table->self;
	self.len = tuple_local(&row->tuple, one);
	return self;
}

bool table_row_agrees(const struct table_row *row, const struct verdict *verdict)
{
	if (row->allow != verdict->allow || row->reason != verdict->reason)
		return false;
	return row->rule == POLICY_NO_RULE || row->rule == verdict->outcome.rule;
}
