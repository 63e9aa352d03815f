// SPDX-License-Identifier: GPL-2.0-only
/* Results for people: aligned columns, one thing a line, nothing that is not asked for. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/array.h"
#include "base/str.h"
#include "cli/columns.h"
#include "cli/view.h"
#include "cli/words.h"

#define TEXT(view, ...) arena_printf((view)->arena, __VA_ARGS__)

static bool has(const char *text)
{
	return text && text[0];
}

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

/* Never in columns, whose width would count the escape sequences. */
static const char *painted(struct view *view, const char *colour, const char *text)
{
	return view->colour ? TEXT(view, "\033[%sm%s\033[0m", colour, text) : text;
}

#define GREEN  "32"
#define YELLOW "33"
#define RED    "1;31"

static const char *number(struct view *view, uint64_t number)
{
	return TEXT(view, "%" PRIu64, number);
}

static const char *number_or_dash(struct view *view, uint64_t value)
{
	return value ? number(view, value) : "-";
}

static __attribute__((format(printf, 3, 4))) void pair(struct view *view, const char *name,
						       const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(view->out, "%-12s", name);
	vfprintf(view->out, format, args);
	va_end(args);
	fputc('\n', view->out);
}

static const char *short_digest(struct view *view, const char *digest)
{
	return TEXT(view, "%.12s", or_empty(digest));
}

static void show_list(struct view *view, const char *name)
{
	view->list = name;
}

/* What a packet of a family takes: in the caches, and among a million others. */
static void show_packet(struct view *view, const struct view_check *check, int family)
{
	const struct view_ns *in = &check->packet[0][family];
	const struct view_ns *out = &check->packet[1][family];
	const struct view_ns *flow = &check->flow[family];

	pair(view, family ? "IPv6 packet" : "IPv4 packet",
	     "about %.0f ns inbound, %.0f outbound, or %.0f by its flow; cold: %.0f, %.0f, %.0f",
	     in->hot, out->hot, flow->hot, in->cold, out->cold, flow->cold);
}

static void show_check(struct view *view, const struct view_check *check)
{
	fprintf(view->out, "%s well formed\n",
		words_count(view->arena, check->n_files, "file", "files"));
	pair(view, "groups", "%u", check->n_groups);
	pair(view, "rules", "%u inbound, %u outbound%s", check->n_rules[0], check->n_rules[1],
	     check->n_disabled ? TEXT(view, ", %u disabled", check->n_disabled) : "");
	pair(view, "prefixes", "%u", check->n_prefixes);
	pair(view, "classes", "%u", check->n_classes);
	pair(view, "outcomes", "%u", check->n_outcomes);
	pair(view, "tables", "%" PRIu64 " bytes (IPv4 as %s), %s in the kernel", check->table_bytes,
	     check->address4, words_bytes(view->arena, check->memory));
	for (int i = 0; i < 2; i++)
		pair(view, i ? "outbound" : "inbound",
		     "by %s of classes: %u of sources, %u of destinations, %u of services",
		     check->product[i].kind, check->product[i].n_sources,
		     check->product[i].n_destinations, check->product[i].n_protocols);
	for (int family = 0; family < 2; family++)
		show_packet(view, check, family);
	pair(view, "image", "%s", short_digest(view, check->digest));
	if (check->n_warnings)
		pair(view, "warnings", "%zu", check->n_warnings);
	fputc('\n', view->out);
}

/* With its reasons a paragraph, else a row. */
static void show_structure(struct view *view, const struct view_structure *structure)
{
	static const char *const heads[] = {"<TABLE", "<CHOSEN", ">BYTES", ">NS", ">COLD"};
	const struct view_ns *ns = &structure->ns;

	if (structure->explained) {
		view->list = NULL; /* there are some */
		fprintf(view->out, "%s: %s, %" PRIu64 " bytes", structure->name, structure->form,
			structure->bytes);
		if (structure->timed)
			fprintf(view->out, ", about %.0f ns, cold %.0f", ns->hot, ns->cold);
		fputc('\n', view->out);
		for (size_t i = 0; i < structure->n_reasons; i++)
			fprintf(view->out, "    %s\n", structure->reasons[i]);
		return;
	}
	columns_begin(view->columns, view->out, heads, ARRAY_LEN(heads));
	columns_row(view->columns,
		    (const char *[]){structure->name, structure->form,
				     number(view, structure->bytes),
				     structure->timed ? TEXT(view, "%.0f", ns->hot) : "-",
				     structure->timed ? TEXT(view, "%.0f", ns->cold) : "-"});
}

/* Those that are not empty, a blank between them. */
static const char *marks(struct view *view, const char *const *words, size_t n)
{
	const char *text = "";

	for (size_t i = 0; i < n; i++) {
		if (words[i][0])
			text = TEXT(view, "%s%s%s", text, text[0] ? " " : "", words[i]);
	}
	return text;
}

static const char *rule_marks(struct view *view, const struct view_rule *rule)
{
	return marks(view,
		     (const char *[]){rule->is_default ? "default" : "",
				      rule->enabled ? "" : "disabled", rule->audit ? "audit" : "",
				      rule->log ? "log" : ""},
		     4);
}

static void show_rule(struct view *view, const struct view_rule *rule)
{
	static const char *const counted[] = {
		"<DIRECTION", "<TIER",	">PRIO",  "<RULE", "<ACCESS", ">PACKETS", ">BYTES",
		">REPLIES",   ">FLOWS", ">WOULD", "<LAST", "<PLACE",  "<MARKS"};
	static const char *const plain[] = {"<DIRECTION", "<TIER",     ">PRIO",	  "<RULE",
					    "<ACCESS",	  "<PROTOCOL", "<SOURCE", "<DESTINATION",
					    "<PLACE",	  "<MARKS"};
	const char *name = TEXT(view, "%s/%s", rule->group, rule->name);
	const char *direction = rule->direction[0] == 'i' ? "in" : "out";
	const char *access = rule->access ? rule->access : "-";

	if (rule->counted) {
		columns_begin(view->columns, view->out, counted, ARRAY_LEN(counted));
		columns_row(
			view->columns,
			(const char *[]){
				direction, rule->tier, number(view, rule->priority), name, access,
				number_or_dash(view, rule->counts.packets),
				rule->counts.bytes ? words_bytes(view->arena, rule->counts.bytes)
						   : "-",
				number_or_dash(view, rule->counts.reply_packets),
				number_or_dash(view, rule->counts.flows),
				number_or_dash(view, rule->counts.would_denied),
				rule->counts.last ? words_instant(view->arena, rule->counts.last)
						  : "-",
				view_place_text(view, &rule->place), rule_marks(view, rule)});
		return;
	}
	columns_begin(view->columns, view->out, plain, ARRAY_LEN(plain));
	columns_row(view->columns,
		    (const char *[]){direction, rule->tier, number(view, rule->priority), name,
				     access, rule->protocols, rule->source, rule->destination,
				     view_place_text(view, &rule->place), rule_marks(view, rule)});
}

static void show_reason(struct view *view, const struct view_reason *reason)
{
	static const char *const heads[] = {"<REASON", "<KIND",	 "<DIRECTION", ">PACKETS",
					    ">BYTES",  ">WOULD", "<"};

	columns_begin(view->columns, view->out, heads, ARRAY_LEN(heads));
	columns_row(
		view->columns,
		(const char *[]){
			reason->name, reason->kind, reason->direction[0] == 'i' ? "in" : "out",
			reason->counted ? number_or_dash(view, reason->counts.packets) : "",
			reason->counted && reason->counts.bytes
				? words_bytes(view->arena, reason->counts.bytes)
				: (reason->counted ? "-" : ""),
			reason->counted ? number_or_dash(view, reason->counts.would_denied) : "",
			reason->off ? "off in host.yaml" : ""});
}

static const char *yes(bool value)
{
	return value ? "yes" : "no";
}

static void show_steps(struct view *view, const struct view_tier *tier)
{
	static const char *const heads[] = {"<   ",	 ">PRIO",   "<RULE", "<ACCESS",
					    "<PROTOCOL", "<SOURCE", "<PORT", "<DESTINATION",
					    "<PORT",	 "<PLACE"};

	for (size_t i = 0; i < tier->n_steps; i++) {
		const struct view_step *step = &tier->steps[i];

		columns_begin(view->columns, view->out, heads, ARRAY_LEN(heads));
		columns_row(view->columns,
			    (const char *[]){step->matched ? " =>" : "",
					     number(view, step->priority), step->rule, step->access,
					     yes(step->protocol), yes(step->source),
					     yes(step->source_port), yes(step->destination),
					     yes(step->destination_port),
					     view_place_text(view, &step->place)});
	}
	columns_flush(view->columns, view->out);
}

static void show_tier(struct view *view, const struct view_tier *tier)
{
	if (!has(tier->group))
		pair(view, tier->name, "no group");
	else if (!tier->reached)
		pair(view, tier->name, "%s, not asked", tier->group);
	else if (!tier->n_steps)
		pair(view, tier->name, "%s, no rule for this direction", tier->group);
	else
		pair(view, tier->name, "%s", tier->group);
	if (tier->reached)
		show_steps(view, tier);
}

static void show_explain(struct view *view, const struct view_explain *explain)
{
	pair(view, "packet", "%s", explain->packet);
	if (has(explain->opener))
		pair(view, "opened by", "%s", explain->opener);
	if (has(explain->before))
		pair(view, "rules", "not asked: decided before them by %s", explain->before);
	for (size_t i = 0; i < explain->n_tiers; i++)
		show_tier(view, &explain->tiers[i]);
	pair(view, "verdict", "%s by %s%s%s%s",
	     explain->allow ? painted(view, GREEN, "allow") : painted(view, RED, "deny"),
	     explain->decider,
	     has(explain->place.file) ? TEXT(view, " (%s)", view_place_text(view, &explain->place))
				      : "",
	     explain->by_flow ? ", as the reply of an established flow" : "",
	     explain->would_deny ? painted(view, YELLOW, ", which would deny it but is in audit")
				 : "");
	if (has(explain->kernel))
		pair(view, "kernel", "%s%s", explain->kernel,
		     explain->kernel_agrees
			     ? ""
			     : painted(view, RED, "   DISAGREES: please report this"));
}

static void show_difference(struct view *view, const struct view_difference *difference)
{
	fprintf(view->out, "%s: %s\n  expected %s, seen %s\n",
		view_place_text(view, &difference->place), difference->packet, difference->expected,
		painted(view, RED, difference->seen));
}

static void show_tested(struct view *view, const struct view_tested *tested)
{
	view->list = NULL;
	fprintf(view->out, "%s, %s%s\n", words_count(view->arena, tested->n_rows, "row", "rows"),
		painted(view, tested->n_differ ? RED : GREEN,
			TEXT(view, "%zu differ", tested->n_differ)),
		tested->n_shown < tested->n_differ
			? TEXT(view, ", the first %zu are shown", tested->n_shown)
			: "");
}

/* The decider and its place, then what is seen only when the verdicts are the same. */
static void show_answer(struct view *view, const char *whose, const struct view_answer *answer)
{
	pair(view, whose, "%s by %s%s", answer->verdict, answer->decider,
	     has(answer->place.file) ? TEXT(view, " (%s)", view_place_text(view, &answer->place))
				     : "");
	pair(view, "", "admin %s, subnet %s, nic %s; %s%s%s%s", answer->tiers[0], answer->tiers[1],
	     answer->tiers[2], answer->direction, answer->log ? ", log" : "",
	     answer->keep ? ", keep" : "", answer->no_state ? ", no state" : "");
}

static void show_proof_head(struct view *view, const struct view_proof *proof)
{
	if (proof->holds)
		fputs("proven: the image says of every packet what the policy says\n", view->out);
	else if (proof->fault)
		fprintf(view->out, "NOT proven: %s\n", proof->fault);
	else
		fprintf(view->out,
			"NOT proven: %" PRIu64 " of the combinations differ; one packet:\n",
			proof->n_differ);
}

static void show_proof(struct view *view, const struct view_proof *proof)
{
	show_proof_head(view, proof);
	if (has(proof->packet)) {
		pair(view, "packet", "%s%s%s", proof->packet, has(proof->self) ? " --self " : "",
		     or_empty(proof->self));
		show_answer(view, "policy", &proof->expected);
		show_answer(view, "image", &proof->found);
	}
	if (!has(proof->fault)) {
		pair(view, "addresses", "%" PRIu64 " segments, %" PRIu64 " pairs of classes",
		     proof->n_segments, proof->n_pairs);
		pair(view, "services", "%" PRIu64 " classes", proof->n_services);
		pair(view, "compared", "%" PRIu64 " combinations", proof->n_combinations);
	}
	if (!proof->holds)
		fputs("this is a fault of bulkhead, not of the policy: please report it\n",
		      view->out);
}

static void show_hook(struct view *view, const struct view_hook *hook)
{
	static const char *const heads[] = {"<LINK", "<HOOK", "<BY", "<WHY"};

	columns_begin(view->columns, view->out, heads, ARRAY_LEN(heads));
	columns_row(view->columns,
		    (const char *[]){hook->gone ? TEXT(view, "%s (gone)", hook->interface)
						: hook->interface,
				     hook->direction, hook->hook, or_empty(hook->why)});
}

/* What of a policy denies nothing, for the end of a line. */
static const char *audit_text(struct view *view, const char *mode, uint32_t n_audit,
			      uint32_t n_rules)
{
	if (has(mode) && !strcmp(mode, "audit"))
		return painted(view, YELLOW, ", in AUDIT: nothing is denied");
	return n_audit ? painted(view, YELLOW,
				 TEXT(view, ", %u of %u rules in AUDIT: they deny nothing", n_audit,
				      n_rules))
		       : "";
}

static void show_applied(struct view *view, const struct view_applied *applied)
{
	fprintf(view->out, "%s%" PRIu64 " %s%s%s\n",
		applied->changed ? "generation " : "nothing to change: generation ",
		applied->generation, applied->changed ? "is in force" : "has this policy",
		applied->first				      ? "; enforcing from now on"
		: !applied->changed && applied->hooks_changed ? "; hooks were brought up to date"
		: applied->addresses_changed ? "; own addresses were brought up to date"
					     : "",
		audit_text(view, applied->mode, applied->n_audit, applied->n_rules));
	pair(view, "image", "%s", short_digest(view, applied->digest));
	pair(view, "rules", "%u, over %s", applied->n_rules,
	     words_count(view->arena, applied->n_prefixes, "prefix", "prefixes"));
	pair(view, "self", "%s",
	     words_count(view->arena, applied->n_addresses, "own address", "own addresses"));
	pair(view, "memory", "%s in the kernel", words_bytes(view->arena, applied->memory));
	if (applied->n_moved_flows)
		pair(view, "flows", "%u moved into tables of another size", applied->n_moved_flows);
	pair(view, "proven", "%s",
	     applied->proven ? "yes: the image says what the policy says, for all packets"
	     : applied->not_to_be_proven ? "no: --no-prove was given"
					 : "no: it would take over 2 s; --prove does it");
	pair(view, "took", "%" PRIu64 " ms%s", applied->milliseconds,
	     applied->in_force_after
		     ? TEXT(view, ", in force after %" PRIu64 " ms", applied->in_force_after)
		     : "");
}

static void show_detached(struct view *view, const struct view_detached *detached)
{
	const char *of = TEXT(view, ", generation %" PRIu64 " is gone", detached->generation);

	if (detached->was_enforcing)
		fprintf(view->out, "no longer enforcing: %s taken off%s\n",
			words_count(view->arena, detached->n_hooks, "program", "programs"),
			detached->generation ? of : "");
	else if (detached->left_overs)
		fprintf(view->out, "nothing was enforced here: left-overs under '%s' are removed\n",
			detached->pins);
	else
		fputs("nothing to detach: bulkhead does not enforce here\n", view->out);
}

static void show_status(struct view *view, const struct view_status *status)
{
	if (!status->enforcing) {
		const char *by = painted(view, RED, view_filterer_words(status->by));
		const char *of = TEXT(view, " (generation %" PRIu64 ")", status->generation);

		fprintf(view->out, "%s%s\n", by, status->generation ? of : "");
		return;
	}
	pair(view, "enforcing", "since %s%s", words_instant(view->arena, status->since),
	     audit_text(view, status->mode, status->n_audit, status->n_rules));
	pair(view, "generation", "%" PRIu64 ", applied %s", status->generation,
	     words_instant(view->arena, status->applied));
	pair(view, "image", "%s, %u rules", short_digest(view, status->digest), status->n_rules);
	pair(view, "memory", "%s%s", words_bytes(view->arena, status->memory),
	     status->n_unused_pages
		     ? TEXT(view, ", %u page%s unused until the next apply", status->n_unused_pages,
			    status->n_unused_pages == 1 ? "" : "s")
		     : "");
}

static void show_file(struct view *view, const struct view_file *file)
{
	static const char *const heads[] = {"<FILE", "<SHA-256", "<NOW"};

	columns_begin(view->columns, view->out, heads, ARRAY_LEN(heads));
	columns_row(view->columns,
		    (const char *[]){file->path,
				     has(file->digest) ? short_digest(view, file->digest) : "-",
				     file->now});
}

static void show_table(struct view *view, const struct view_table *table)
{
	static const char *const heads[] = {"<TABLE", ">USED", ">OF"};

	columns_begin(view->columns, view->out, heads, ARRAY_LEN(heads));
	columns_row(view->columns, (const char *[]){table->name, number(view, table->used),
						    number(view, table->size)});
}

static void show_remark(struct view *view, const struct view_remark *remark)
{
	static const char *const problems[] = {"<PROBLEM"};
	static const char *const limits[] = {"<NOT COVERED"};

	columns_begin(view->columns, view->out, remark->problem ? problems : limits, 1);
	columns_row(view->columns, (const char *[]){remark->words});
}

static void show_flow(struct view *view, const struct view_flow *flow)
{
	static const char *const heads[] = {"<PROTO", "<DIRECTION", "<LOCAL", "<REMOTE", "<STATE",
					    ">AGE",   ">IDLE",	    ">ENDS",  "<RULE",	 "<MARKS"};

	columns_begin(view->columns, view->out, heads, ARRAY_LEN(heads));
	columns_row(view->columns,
		    (const char *[]){flow->protocol, flow->direction[0] == 'i' ? "in" : "out",
				     flow->local, flow->remote, flow->state,
				     words_span(view->arena, flow->age),
				     words_span(view->arena, flow->idle),
				     words_span(view->arena, flow->ends), flow->rule,
				     marks(view,
					   (const char *[]){flow->audit ? "audit" : "",
							    flow->kept ? "kept" : "",
							    flow->picked_up ? "picked-up" : ""},
					   3)});
}

static const char *rate(struct view *view, double value)
{
	return value < 0 ? "" : TEXT(view, "%.1f", value);
}

static void show_stat(struct view *view, const struct view_stat *stat)
{
	static const char *const heads[] = {"<BY",    "<NAME",	    "<DIRECTION", ">PACKETS",
					    ">BYTES", ">PACKETS/S", ">BYTES/S"};
	const char *direction = !has(stat->direction)	    ? "-"
				: stat->direction[0] == 'i' ? "in"
							    : "out";

	columns_begin(view->columns, view->out, heads, ARRAY_LEN(heads));
	columns_row(view->columns,
		    (const char *[]){stat->by, stat->name, direction, number(view, stat->packets),
				     words_bytes(view->arena, stat->bytes),
				     rate(view, stat->packet_rate), rate(view, stat->byte_rate)});
}

static void show_round(struct view *view, uint64_t time)
{
	fprintf(view->out, "%s\n", words_instant(view->arena, time));
}

static void show_event(struct view *view, const struct view_event *event)
{
	const char *time = words_instant(view->arena, event->time / 1000000000);
	const char *colour = event->verdict[0] == 'd'	? RED
			     : event->verdict[0] == 'a' ? GREEN
							: YELLOW;

	fprintf(view->out, "%.19s.%03uZ %s %s  %s  by %s%s%s  %u bytes\n", time,
		(unsigned)(event->time / 1000000 % 1000),
		painted(view, colour, TEXT(view, "%-10s", event->verdict)),
		str_make_visible(TEXT(view, "%s", event->interface)), event->packet, event->decider,
		has(event->place.file) ? " " : "",
		has(event->place.file) ? TEXT(view, "(%s)", view_place_text(view, &event->place))
				       : "",
		event->length);
	view_flush(view);
	view_forget(view);
}

static void show_watched(struct view *view, const struct view_watched *watched)
{
	fprintf(view->out, "%s, %" PRIu64 " lost, %" PRIu64 " limited\n",
		words_count(view->arena, watched->n_events, "event", "events"), watched->n_lost,
		watched->n_limited);
}

static void show_finding(struct view *view, const struct view_finding *finding)
{
	static const char *const heads[] = {"<LEVEL", "<SUBJECT", "<FINDING"};

	columns_begin(view->columns, view->out, heads, ARRAY_LEN(heads));
	columns_row(view->columns,
		    (const char *[]){finding->level, finding->subject, finding->words});
}

/* The messages are on stderr. */
static void show_failure(struct view *view, const struct view_failure *failure)
{
	(void)view;
	(void)failure;
}

static void show_one_help(struct view *view, const struct view_help *command)
{
	fprintf(view->out, "usage: bulkhead %s%s%s\n\n%s\n", command->name,
		command->args[0] ? " " : "", command->args, command->summary);
	if (has(command->more))
		fprintf(view->out, "\n%s", command->more);
	fputc('\n', view->out);
	for (size_t i = 0; i < command->n_options; i++)
		fprintf(view->out, "  %-21s %s\n", command->options[i].words,
			command->options[i].summary);
}

static void show_help(struct view *view, const struct view_help *commands, size_t n_commands)
{
	if (n_commands == 1) {
		show_one_help(view, commands);
		return;
	}
	fputs("usage: bulkhead COMMAND [OPTIONS] [WORDS]\n\n", view->out);
	for (size_t i = 0; i < n_commands; i++)
		fprintf(view->out, "  %-9s %s\n", commands[i].name, commands[i].summary);
	fputs("\n'bulkhead help COMMAND' shows its words and options; man bulkhead tells all.\n",
	      view->out);
}

static void show_version(struct view *view, const struct view_version *version)
{
	fprintf(view->out, "bulkhead %s (abi %u)\n", version->version, version->abi);
}

static void show_rest(struct view *view)
{
	if (view->list && columns_are_unused(view->columns))
		fprintf(view->out, "no %s\n", view->list);
	view->list = NULL;
	columns_print(view->columns, view->out);
	view_flush(view);
	view_forget(view);
}

const struct view_ops view_text = {
	.list = show_list,
	.check = show_check,
	.structure = show_structure,
	.rule = show_rule,
	.reason = show_reason,
	.explain = show_explain,
	.difference = show_difference,
	.tested = show_tested,
	.proof = show_proof,
	.hook = show_hook,
	.applied = show_applied,
	.detached = show_detached,
	.status = show_status,
	.file = show_file,
	.table = show_table,
	.remark = show_remark,
	.flow = show_flow,
	.stat = show_stat,
	.round = show_round,
	.event = show_event,
	.watched = show_watched,
	.finding = show_finding,
	.failure = show_failure,
	.help = show_help,
	.version = show_version,
	.flush = show_rest,
};
