// SPDX-License-Identifier: GPL-2.0-only
/*
 * Results for programs: one JSON object a result, {"schema": 1, ...}; things of which there may
 * be several stand in lists. Events are an object a line. The forms are in bulkhead(8).
 */
#include <jansson.h>
#include <string.h>

#include "base/array.h"
#include "cli/view.h"

SCOPED(json_t *, json_decref);

enum { SCHEMA = 1 };

void view_json_take_memory(void)
{
	json_set_alloc_funcs(mem_alloc, free);
}

static json_t *root(struct view *view)
{
	if (!view->root)
		view->root = json_pack("{s:i}", "schema", SCHEMA);
	return view->root;
}

/* A path, or the name of a link, need not be UTF-8. */
static json_t *text(const char *text)
{
	size_t size = text ? strlen(text) + 1 : 1;
	scoped(free) char *copy = mem_alloc(size);

	memcpy(copy, text ? text : "", size);
	return json_string(str_make_utf8(copy));
}

static json_t *number(uint64_t number)
{
	return json_integer((json_int_t)number);
}

/* The list of that name, made where there is none yet. */
static json_t *list_of(struct view *view, const char *name)
{
	json_t *array = json_object_get(root(view), name);

	if (!array) {
		array = json_array();
		(void)json_object_set_new(root(view), name, array);
	}
	return array;
}

static void add_list(struct view *view, const char *name)
{
	(void)list_of(view, name);
}

/* Appends an object to the list of that name. */
static json_t *append(struct view *view, const char *list)
{
	json_t *object = json_object();

	(void)json_array_append_new(list_of(view, list), object);
	return object;
}

static void put(json_t *object, const char *key, json_t *value)
{
	(void)json_object_set_new(object, key, value);
}

static void put_place(json_t *object, const struct view_place *place)
{
	put(object, "file", text(place->file));
	put(object, "line", number(place->line));
}

static void put_counts(json_t *object, const struct view_counts *counts)
{
	put(object, "packets", number(counts->packets));
	put(object, "bytes", number(counts->bytes));
	put(object, "reply_packets", number(counts->reply_packets));
	put(object, "reply_bytes", number(counts->reply_bytes));
	put(object, "flows", number(counts->flows));
	put(object, "would_denied", number(counts->would_denied));
	put(object, "last", number(counts->last));
}

static json_t *product(const struct view_product *product)
{
	json_t *object = json_object();

	put(object, "by", text(product->kind));
	put(object, "source_classes", number(product->n_sources));
	put(object, "destination_classes", number(product->n_destinations));
	put(object, "service_classes", number(product->n_protocols));
	return object;
}

static void put_ns(json_t *object, const struct view_ns *ns)
{
	put(object, "ns", number((uint64_t)(ns->hot + 0.5)));
	put(object, "ns_cold", number((uint64_t)(ns->cold + 0.5)));
}

/* What a packet of each family is expected to take. */
static json_t *expected(const struct view_ns ns[2])
{
	json_t *object = json_object(), *ipv4 = json_object(), *ipv6 = json_object();

	put_ns(ipv4, &ns[0]);
	put_ns(ipv6, &ns[1]);
	put(object, "ipv4", ipv4);
	put(object, "ipv6", ipv6);
	return object;
}

static void add_structure(struct view *view, const struct view_structure *structure)
{
	json_t *object = append(view, "structures");

	put(object, "structure", text(structure->name));
	put(object, "chosen", text(structure->form));
	put(object, "bytes", number(structure->bytes));
	put(object, "in_image", json_boolean(structure->in_image));
	if (structure->timed)
		put_ns(object, &structure->ns);
	if (structure->explained) {
		json_t *why = json_array();

		for (size_t i = 0; i < structure->n_reasons; i++)
			(void)json_array_append_new(why, text(structure->reasons[i]));
		put(object, "why", why);
	}
}

static void add_check(struct view *view, const struct view_check *check)
{
	json_t *object = root(view);

	put(object, "files", number(check->n_files));
	put(object, "groups", number(check->n_groups));
	put(object, "rules_inbound", number(check->n_rules[0]));
	put(object, "rules_outbound", number(check->n_rules[1]));
	put(object, "rules_disabled", number(check->n_disabled));
	put(object, "prefixes", number(check->n_prefixes));
	put(object, "classes", number(check->n_classes));
	put(object, "outcomes", number(check->n_outcomes));
	put(object, "table_bytes", number(check->table_bytes));
	put(object, "pages", number(check->n_pages));
	put(object, "memory", number(check->memory));
	put(object, "address4", text(check->address4));
	put(object, "inbound", product(&check->product[0]));
	put(object, "outbound", product(&check->product[1]));
	put(object, "expected_inbound", expected(check->packet[0]));
	put(object, "expected_outbound", expected(check->packet[1]));
	put(object, "expected_flow", expected(check->flow));
	put(object, "image", text(check->digest));
	put(object, "warnings", number(check->n_warnings));
}

static void add_rule(struct view *view, const struct view_rule *rule)
{
	json_t *object = append(view, "rules");

	put(object, "id", rule->enabled ? number(rule->id) : json_null());
	put(object, "group", text(rule->group));
	put(object, "name", text(rule->name));
	put(object, "tier", text(rule->tier));
	put(object, "direction", text(rule->direction));
	put(object, "access", rule->access ? text(rule->access) : json_null());
	put(object, "priority", number(rule->priority));
	put_place(object, &rule->place);
	put(object, "description", text(rule->description));
	put(object, "protocols", text(rule->protocols));
	put(object, "source", text(rule->source));
	put(object, "destination", text(rule->destination));
	put(object, "default", json_boolean(rule->is_default));
	put(object, "enabled", json_boolean(rule->enabled));
	put(object, "log", json_boolean(rule->log));
	put(object, "audit", json_boolean(rule->audit));
	if (!rule->counted)
		return;
	put(object, "since", number(rule->since));
	put_counts(object, &rule->counts);
}

static void add_reason(struct view *view, const struct view_reason *reason)
{
	json_t *object = append(view, "reasons");

	put(object, "name", text(reason->name));
	put(object, "kind", text(reason->kind));
	put(object, "direction", text(reason->direction));
	put(object, "off", json_boolean(reason->off));
	if (reason->counted)
		put_counts(object, &reason->counts);
}

static json_t *step_object(const struct view_step *step)
{
	json_t *object = json_object();

	put(object, "rule", text(step->rule));
	put(object, "priority", number(step->priority));
	put(object, "access", text(step->access));
	put(object, "protocol", json_boolean(step->protocol));
	put(object, "source", json_boolean(step->source));
	put(object, "source_port", json_boolean(step->source_port));
	put(object, "destination", json_boolean(step->destination));
	put(object, "destination_port", json_boolean(step->destination_port));
	put(object, "matched", json_boolean(step->matched));
	put_place(object, &step->place);
	return object;
}

static json_t *tier_object(const struct view_tier *tier)
{
	json_t *object = json_object();
	json_t *steps = json_array();

	put(object, "tier", text(tier->name));
	put(object, "group", text(tier->group));
	put(object, "asked", json_boolean(tier->reached));
	for (size_t i = 0; i < tier->n_steps; i++)
		(void)json_array_append_new(steps, step_object(&tier->steps[i]));
	put(object, "rules", steps);
	return object;
}

static void add_explain(struct view *view, const struct view_explain *explain)
{
	json_t *object = append(view, "explained");
	json_t *tiers = json_array();

	put(object, "packet", text(explain->packet));
	put(object, "opener", text(explain->opener));
	put(object, "before_rules", text(explain->before));
	for (size_t i = 0; i < explain->n_tiers; i++)
		(void)json_array_append_new(tiers, tier_object(&explain->tiers[i]));
	put(object, "tiers", tiers);
	put(object, "verdict", text(explain->allow ? "allow" : "deny"));
	put(object, "would_deny", json_boolean(explain->would_deny));
	put(object, "by_flow", json_boolean(explain->by_flow));
	put(object, "decider", text(explain->decider));
	put_place(object, &explain->place);
	if (!explain->kernel)
		return;
	put(object, "kernel", text(explain->kernel));
	put(object, "kernel_agrees", json_boolean(explain->kernel_agrees));
}

static void add_difference(struct view *view, const struct view_difference *difference)
{
	json_t *object = append(view, "differences");

	put_place(object, &difference->place);
	put(object, "packet", text(difference->packet));
	put(object, "expected", text(difference->expected));
	put(object, "seen", text(difference->seen));
}

static void add_tested(struct view *view, const struct view_tested *tested)
{
	put(root(view), "rows", number(tested->n_rows));
	put(root(view), "differ", number(tested->n_differ));
	add_list(view, "differences");
	add_list(view, "explained");
}

/*
 * The object of a link, made at its first hook. Of names that are no UTF-8 two may be told alike: what has the
 * direction is another's; and one that is gone may have had a name that another has now.
 */
static json_t *link_object(struct view *view, const struct view_hook *hook)
{
	json_t *links = json_object_get(root(view), "links");
	scoped(json_decref) json_t *name = text(hook->interface);
	json_t *object;
	size_t i;

	json_array_foreach(links, i, object)
	{
		if (json_equal(json_object_get(object, "name"), name) &&
		    json_is_true(json_object_get(object, "gone")) == hook->gone &&
		    !json_object_get(object, hook->direction))
			return object;
	}
	object = append(view, "links");
	put(object, "name", json_incref(name));
	put(object, "gone", json_boolean(hook->gone));
	return object;
}

static void add_hook(struct view *view, const struct view_hook *hook)
{
	json_t *object = json_object();

	put(object, "hook", text(hook->hook));
	put(object, "why", text(hook->why));
	put(object, "program", number(hook->program));
	put(object, "first", json_boolean(hook->first));
	put(link_object(view, hook), hook->direction, object);
}

static json_t *answer_object(const struct view_answer *answer)
{
	static const char *const tiers[] = {"admin", "subnet", "nic"};
	json_t *object = json_object();

	put(object, "verdict", text(answer->verdict));
	put(object, "decider", text(answer->decider));
	put_place(object, &answer->place);
	for (size_t i = 0; i < ARRAY_LEN(tiers); i++)
		put(object, tiers[i], text(answer->tiers[i]));
	put(object, "direction", text(answer->direction));
	put(object, "log", json_boolean(answer->log));
	put(object, "keep", json_boolean(answer->keep));
	put(object, "no_state", json_boolean(answer->no_state));
	return object;
}

static void add_proof(struct view *view, const struct view_proof *proof)
{
	json_t *object = root(view);

	put(object, "proven", json_boolean(proof->holds));
	put(object, "segments", number(proof->n_segments));
	put(object, "services", number(proof->n_services));
	put(object, "pairs", number(proof->n_pairs));
	put(object, "combinations", number(proof->n_combinations));
	put(object, "milliseconds", number(proof->milliseconds));
	if (proof->fault)
		put(object, "fault", text(proof->fault));
	if (!proof->packet)
		return;
	put(object, "differ", number(proof->n_differ));
	put(object, "packet", text(proof->packet));
	put(object, "self", text(proof->self));
	put(object, "expected", answer_object(&proof->expected));
	put(object, "found", answer_object(&proof->found));
}

static void add_applied(struct view *view, const struct view_applied *applied)
{
	json_t *object = root(view);

	put(object, "changed", json_boolean(applied->changed));
	put(object, "first", json_boolean(applied->first));
	put(object, "hooks_changed", json_boolean(applied->hooks_changed));
	put(object, "addresses_changed", json_boolean(applied->addresses_changed));
	put(object, "generation", number(applied->generation));
	put(object, "image", text(applied->digest));
	put(object, "n_rules", number(applied->n_rules));
	put(object, "mode", text(applied->mode));
	put(object, "n_audit", number(applied->n_audit));
	put(object, "n_prefixes", number(applied->n_prefixes));
	put(object, "n_addresses", number(applied->n_addresses));
	put(object, "copied_flows", number(applied->n_moved_flows));
	put(object, "proven", json_boolean(applied->proven));
	put(object, "memory", number(applied->memory));
	put(object, "in_force_after", number(applied->in_force_after));
	put(object, "milliseconds", number(applied->milliseconds));
}

static void add_detached(struct view *view, const struct view_detached *detached)
{
	put(root(view), "was_enforcing", json_boolean(detached->was_enforcing));
	put(root(view), "hooks", number(detached->n_hooks));
	put(root(view), "generation", number(detached->generation));
	put(root(view), "left_overs", json_boolean(detached->left_overs));
}

static void add_status(struct view *view, const struct view_status *status)
{
	static const char *const lists[] = {"files", "links", "tables", "problems", "not_covered"};
	json_t *object = root(view);

	put(object, "enforcing", json_boolean(status->enforcing));
	put(object, "enforced_by", text(view_filterer_name(status->by)));
	put(object, "generation", number(status->generation));
	put(object, "since", number(status->since));
	put(object, "applied", number(status->applied));
	put(object, "image", text(status->digest));
	put(object, "mode", text(status->mode));
	put(object, "n_rules", number(status->n_rules));
	put(object, "n_audit", number(status->n_audit));
	put(object, "memory", number(status->memory));
	put(object, "unused_pages", number(status->n_unused_pages));
	put(object, "pins", text(status->pins));
	put(object, "state", text(status->state));
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		add_list(view, lists[i]);
}

static void add_file(struct view *view, const struct view_file *file)
{
	json_t *object = append(view, "files");

	put(object, "path", text(file->path));
	put(object, "sha256", text(file->digest));
	put(object, "now", text(file->now));
}

static void add_table(struct view *view, const struct view_table *table)
{
	json_t *object = append(view, "tables");

	put(object, "name", text(table->name));
	put(object, "used", number(table->used));
	put(object, "size", number(table->size));
}

static void add_remark(struct view *view, const struct view_remark *remark)
{
	put(append(view, remark->problem ? "problems" : "not_covered"), "words",
	    text(remark->words));
}

static void add_flow(struct view *view, const struct view_flow *flow)
{
	json_t *object = append(view, "flows");

	put(object, "protocol", text(flow->protocol));
	put(object, "local", text(flow->local));
	put(object, "remote", text(flow->remote));
	put(object, "direction", text(flow->direction));
	put(object, "state", text(flow->state));
	put(object, "age", number(flow->age));
	put(object, "idle", number(flow->idle));
	put(object, "ends", number(flow->ends));
	put(object, "rule", text(flow->rule));
	put(object, "audit", json_boolean(flow->audit));
	put(object, "kept", json_boolean(flow->kept));
	put(object, "picked_up", json_boolean(flow->picked_up));
}

static void add_stat(struct view *view, const struct view_stat *stat)
{
	json_t *object = append(view, "stats");

	put(object, "by", text(stat->by));
	put(object, "name", text(stat->name));
	put(object, "direction", text(stat->direction));
	put(object, "packets", number(stat->packets));
	put(object, "bytes", number(stat->bytes));
	if (stat->packet_rate < 0)
		return;
	put(object, "packets_per_second", json_real(stat->packet_rate));
	put(object, "bytes_per_second", json_real(stat->byte_rate));
}

static void add_round(struct view *view, uint64_t time)
{
	put(root(view), "time", number(time));
}

/* One result ends: an object a line, so that a stream of them can be read as it comes. */
static void write_root(struct view *view)
{
	json_t *object = view->root;

	view->root = NULL;
	if (!object)
		return;
	/* view_end sees the stream's error. Of what is not ASCII a terminal would obey some. */
	(void)json_dumpf(object, view->out, JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII);
	(void)fputc('\n', view->out);
	view_flush(view);
	json_decref(object);
}

static void add_event(struct view *view, const struct view_event *event)
{
	json_t *object = json_object();

	put(object, "time", number(event->time));
	put(object, "verdict", text(event->verdict));
	put(object, "direction", text(event->direction));
	put(object, "interface", text(event->interface));
	put(object, "packet", text(event->packet));
	put(object, "decider", text(event->decider));
	put_place(object, &event->place);
	put(object, "length", number(event->length));
	put(object, "packets", number(event->packets));
	put(object, "generation", number(event->generation));
	put(object, "by_flow", json_boolean(event->by_flow));
	put(root(view), "event", object);
	write_root(view);
}

static void add_watched(struct view *view, const struct view_watched *watched)
{
	put(root(view), "events", number(watched->n_events));
	put(root(view), "lost", number(watched->n_lost));
	put(root(view), "limited", number(watched->n_limited));
}

static void add_finding(struct view *view, const struct view_finding *finding)
{
	json_t *object = append(view, "findings");

	put(object, "level", text(finding->level));
	put(object, "subject", text(finding->subject));
	put(object, "words", text(finding->words));
}

static json_t *message_object(const struct diag_message *message)
{
	static const char *const levels[] = {
		[DIAG_ERROR] = "error",
		[DIAG_WARNING] = "warning",
		[DIAG_NOTE] = "note",
	};
	const struct mark *at = &message->at;
	json_t *object = json_object();

	put(object, "level", text(levels[message->level]));
	put_place(object, &(struct view_place){at->source ? at->source->path : NULL, at->line});
	put(object, "column", number(at->column));
	put(object, "words", text(message->text));
	return object;
}

static void add_failure(struct view *view, const struct view_failure *failure)
{
	json_t *object = root(view);
	json_t *messages = json_array();
	size_t n = 0;
	const struct diag_message *message = diag_messages(failure->diag, &n);

	if (failure->status) {
		object = json_object();
		put(object, "status", json_integer(failure->status));
		put(object, "meaning", text(failure->meaning));
		put(root(view), "error", object);
	}
	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(messages, message_object(&message[i]));
	put(object, "messages", messages);
}

static void add_help(struct view *view, const struct view_help *commands, size_t n_commands)
{
	for (size_t i = 0; i < n_commands; i++) {
		json_t *object = append(view, "commands");
		json_t *options = json_array();

		put(object, "name", text(commands[i].name));
		put(object, "args", text(commands[i].args));
		put(object, "summary", text(commands[i].summary));
		put(object, "more", text(commands[i].more));
		for (size_t j = 0; j < commands[i].n_options; j++) {
			json_t *option = json_object();

			put(option, "words", text(commands[i].options[j].words));
			put(option, "summary", text(commands[i].options[j].summary));
			(void)json_array_append_new(options, option);
		}
		put(object, "options", options);
	}
}

static void add_version(struct view *view, const struct view_version *version)
{
	put(root(view), "version", text(version->version));
	put(root(view), "abi", number(version->abi));
}

const struct view_ops view_json = {
	.list = add_list,
	.check = add_check,
	.structure = add_structure,
	.rule = add_rule,
	.reason = add_reason,
	.explain = add_explain,
	.difference = add_difference,
	.tested = add_tested,
	.proof = add_proof,
	.hook = add_hook,
	.applied = add_applied,
	.detached = add_detached,
	.status = add_status,
	.file = add_file,
	.table = add_table,
	.remark = add_remark,
	.flow = add_flow,
	.stat = add_stat,
	.round = add_round,
	.event = add_event,
	.watched = add_watched,
	.finding = add_finding,
	.failure = add_failure,
	.help = add_help,
	.version = add_version,
	.flush = write_root,
};
