// SPDX-License-Identifier: GPL-2.0-only
/*
 * bulkhead status: what is enforced, since when, from which files, and what is not covered.
 * 0 when all that was asked for is enforced, else 9.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "cli/asked.h"
#include "cli/describe.h"
#include "cli/hooks.h"
#include "cli/live.h"
#include "kernel/apply.h"
#include "kernel/census.h"
#include "kernel/fill.h"
#include "kernel/flowtable.h"
#include "kernel/privileges.h"
#include "policy/source.h"

struct asking {
	struct context *context;
	const struct live *live;
	const char *at_work; /* an apply or detach that is at work, in words; NULL: none */
	struct host_facts facts;
	attach_hooks hooks;
	census_programs programs;
	struct diag *unseen; /* what could not be looked at on the links */
	ARRAY(struct view_file) files;
	uint64_t memory; /* of the kernel */
	bool problem;
};

static __attribute__((format(printf, 2, 3))) void problem(struct asking *asking, const char *format,
							  ...)
{
	va_list args;
	struct view_remark remark = {.problem = true};

	va_start(args, format);
	remark.words = arena_vprintf(asking->context->arena, format, args);
	va_end(args);
	asking->problem = true;
	asking->context->view->ops->remark(asking->context->view, &remark);
}

static void show_head(struct asking *asking)
{
	const struct live *live = asking->live;
	struct context *context = asking->context;
	scoped(diag_free) struct diag *quiet = diag_new();
	char *digest = arena_alloc(context->arena, IMAGE_DIGEST_TEXT_SIZE);
	struct view_status status = {
		.enforcing = true,
		.by = VIEW_FILTERER_PINS,
		.generation = live->generation,
		.since = live->record.since,
		.applied = live->record.current.applied,
		.digest = image_digest_print(&live->image.digest, digest),
		.mode = image_head(&live->image)->config.audit ? "audit" : "enforce",
		.n_rules = (uint32_t)live->policy.rules.len,
		.n_audit = policy_count_audit(&live->policy),
		.pins = context->options.pins,
		.state = context->options.state,
		.memory = asking->memory,
	};

	(void)fill_count_unused(live->load, quiet, &status.n_unused_pages);
	context->view->ops->status(context->view, &status);
}

/* A path as it was given to apply, from where that ran. */
static const char *path_from(struct arena *arena, const char *from, const char *path)
{
	return path[0] == '/' || !from || !from[0] ? path
						   : arena_printf(arena, "%s/%s", from, path);
}

/*
 * Whether a source is still what it was when it was applied. Of a relative path that is not here nothing
 * can be said where the record does not tell where apply ran.
 */
static const char *file_now(const char *from, const struct image_source *source)
{
	scoped(diag_free) struct diag *quiet = diag_new();
	scoped(arena_free) struct arena *arena = arena_new();
	const char *path = path_from(arena, from, source->path);
	source_files files = {};
	struct image_digest digest;

	if (source_open(arena, path, quiet, &files) || files.len != 1)
		return path[0] == '/' ? "gone" : "not here";
	digest = image_digest_of(files.at[0]->source.text.at, files.at[0]->source.text.len);
	return memcmp(&digest, &source->digest, sizeof(digest)) ? "changed" : "unchanged";
}

static void find_files(struct asking *asking)
{
	const char *from = asking->live->record.current.from;
	const struct image_notes *notes = &asking->live->image.notes;
	struct context *context = asking->context;

	for (size_t i = 0; i < notes->sources.len; i++) {
		char *digest = arena_alloc(context->arena, IMAGE_DIGEST_TEXT_SIZE);
		struct view_file file = {
			.path = notes->sources.at[i].path,
			.digest = image_digest_print(&notes->sources.at[i].digest, digest),
			.now = file_now(from, &notes->sources.at[i]),
		};

		array_push(context->arena, &asking->files, file);
	}
}

static bool is_source(const struct image_notes *notes, const char *path)
{
	for (size_t i = 0; i < notes->sources.len; i++)
		if (!strcmp(notes->sources.at[i].path, path))
			return true;
	return false;
}

/* Files that have come to where apply looked: the next one reads them. */
static void find_new_files(struct asking *asking)
{
	const struct store_generation *current = &asking->live->record.current;
	struct context *context = asking->context;
	scoped(diag_free) struct diag *quiet = diag_new();

	for (size_t i = 0; i < current->folders.len; i++) {
		const char *folder = current->folders.at[i];
		const char *path = path_from(context->arena, current->from, folder);
		/* What was put before a relative path is not shown. */
		size_t before = strlen(path) - strlen(folder);
		source_files files = {};

		if (path[0] == '/')
			(void)source_open(context->arena, path, quiet, &files);
		for (size_t j = 0; j < files.len; j++) {
			struct view_file file = {.path = files.at[j]->source.path + before,
						 .now = "new"};

			if (!is_source(&asking->live->image.notes, file.path))
				array_push(context->arena, &asking->files, file);
		}
	}
}

static void show_files(struct asking *asking)
{
	struct view *view = asking->context->view;

	find_files(asking);
	find_new_files(asking);
	for (size_t i = 0; i < asking->files.len; i++)
		view->ops->file(view, &asking->files.at[i]);
}

/* What is in force is what the files said, not what they say. Of what is not here nothing is known. */
static void check_files(struct asking *asking)
{
	for (size_t i = 0; i < asking->files.len; i++) {
		const struct view_file *file = &asking->files.at[i];

		if (!strcmp(file->now, "changed"))
			problem(asking,
				"file '%s' has changed since it was applied; 'apply' puts it in force",
				file->path);
		else if (!strcmp(file->now, "gone"))
			problem(asking,
				"file '%s' is gone, and what it said is still in force; 'apply' puts in "
				"force what is left",
				file->path);
		else if (!strcmp(file->now, "new"))
			problem(asking,
				"file '%s' has come to where 'apply' looks, which puts it in force",
				file->path);
	}
}

/* Why a hook is not a better one: what apply met, since the hooks themselves do not tell. */
static void recall_why(const struct store_record *record, attach_hooks *hooks)
{
	for (size_t i = 0; i < hooks->len; i++) {
		struct attach_hook *hook = &hooks->at[i];

		for (size_t j = 0; j < record->links.len; j++) {
			const struct store_link *link = &record->links.at[j];

			if (link->ifindex == hook->ifindex && !hook->why[0])
				hook->why = hook->direction == BH_IN ? link->why_in : link->why_out;
		}
	}
}

static bool has_hook(const attach_hooks *hooks, uint32_t ifindex, enum bh_direction direction)
{
	for (size_t i = 0; i < hooks->len; i++) {
		if (hooks->at[i].ifindex == ifindex && hooks->at[i].direction == direction &&
		    !hooks->at[i].elsewhere)
			return true;
	}
	return false;
}

/* Whether a program is missing, which may be because somebody is at work. */
static bool misses_hooks(const struct asking *asking)
{
	const struct store_record *record = &asking->live->record;

	for (size_t i = 0; i < record->links.len; i++) {
		const struct store_link *link = &record->links.at[i];

		if (!link->let_go && host_link_by_index(&asking->facts, link->ifindex) &&
		    (!has_hook(&asking->hooks, link->ifindex, BH_IN) ||
		     !has_hook(&asking->hooks, link->ifindex, BH_OUT)))
			return true;
	}
	return false;
}

static void tell_missing(struct asking *asking, const struct store_link *link, const char *way)
{
	const struct host_link *now = host_link_by_index(&asking->facts, link->ifindex);
	struct arena *arena = asking->context->arena;

	if (asking->at_work)
		return;
	problem(asking, "link %s%s has no program of ours at %s%s", link->name,
		now && strcmp(now->name, link->name)
			? arena_printf(arena, " (ifindex %u, now %s)", link->ifindex, now->name)
			: "",
		way, diag_n_errors(asking->unseen) ? ", as far as could be looked at" : "");
}

/* Every link of the record has both of its programs, and they run first. */
static void check_hooks(struct asking *asking)
{
	const struct store_record *record = &asking->live->record;
	const attach_hooks *hooks = &asking->hooks;

	if (asking->at_work)
		problem(asking, "%s", asking->at_work);
	for (size_t i = 0; i < record->links.len; i++) {
		const struct store_link *link = &record->links.at[i];

		if (link->let_go)
			continue;
		if (!host_link_by_index(&asking->facts, link->ifindex)) {
			problem(asking, "link %s (ifindex %u) is gone", link->name, link->ifindex);
			continue;
		}
		if (!has_hook(hooks, link->ifindex, BH_IN))
			tell_missing(asking, link, "ingress");
		if (!has_hook(hooks, link->ifindex, BH_OUT))
			tell_missing(asking, link, "egress");
	}
	for (size_t i = 0; i < hooks->len; i++) {
		const struct attach_hook *hook = &hooks->at[i];
		const char *way = hook->direction == BH_IN ? "ingress" : "egress";

		if (hook->elsewhere)
			problem(asking,
				"what was put at %s of ifindex %u has moved with its link into another "
				"network namespace; 'apply' takes it off there",
				way, hook->put_at);
		else if (hook->ifindex && !hook->first)
			problem(asking, "another program runs before ours at %s of %s", way,
				hook->name);
	}
}

/* Whether another apply would leave the links as they are. */
static void check_asked(struct asking *asking)
{
	struct asked asked = {
		.arena = asking->context->arena,
		.facts = &asking->facts,
		.record = &asking->live->record,
		.hooks = &asking->hooks,
	};

	asked_compare(&asked);
	for (size_t i = 0; i < asked.words.len; i++)
		problem(asking, "%s", asked.words.at[i]);
}

static void check_self(struct asking *asking)
{
	scoped(diag_free) struct diag *quiet = diag_new();
	addr_ranges known = {}, now = {};

	if (apply_read_self(asking->live->load, asking->context->arena, quiet, &known)) {
		problem(asking, "the own addresses that the programs use cannot be read");
		return;
	}
	for (size_t i = 0; i < asking->facts.addresses.len; i++)
		array_push(asking->context->arena, &now,
			   (struct addr_range){asking->facts.addresses.at[i],
					       asking->facts.addresses.at[i]});
	addr_ranges_normalize(&known);
	addr_ranges_normalize(&now);
	if (known.len != now.len ||
	    (now.len && memcmp(known.at, now.at, now.len * sizeof(*now.at)) != 0))
		problem(asking,
			"self is stale: the host's own addresses have changed since the last "
			"apply; 'apply' brings them up to date");
}

static void count_entry(void *data, const struct flowtable_entry *entry)
{
	uint32_t *used = data;

	used[entry->table]++;
}

/* How full the flow tables are; entries past their time-out count until their way is needed. */
static void show_tables(struct asking *asking)
{
	static const char *const names[BH_TABLE_COUNT] = {
		[BH_TABLE_HALF_OPEN4] = "half-open IPv4",
		[BH_TABLE_HALF_OPEN6] = "half-open IPv6",
		[BH_TABLE_ESTABLISHED4] = "established IPv4",
		[BH_TABLE_ESTABLISHED6] = "established IPv6",
		[BH_TABLE_FRAGMENTS] = "fragments",
	};
	const struct bh_config *config = &image_head(&asking->live->image)->config;
	const struct flowtable_tables tables = {asking->live->generation, config};
	scoped(diag_free) struct diag *quiet = diag_new();
	uint32_t used[BH_TABLE_COUNT] = {};

	if (flowtable_walk(asking->live->load, &tables, count_entry, used, quiet)) {
		problem(asking, "the flow tables cannot be read");
		return;
	}
	for (int table = 0; table < BH_TABLE_COUNT; table++) {
		struct view_table shown = {
			.name = names[table],
			.used = used[table],
			.size = flowtable_size(config, (enum bh_table)table),
		};

		asking->context->view->ops->table(asking->context->view, &shown);
	}
}

static void uncovered(struct asking *asking, const char *words)
{
	struct view_remark remark = {.words = words};

	asking->context->view->ops->remark(asking->context->view, &remark);
}

static void show_uncovered(struct asking *asking)
{
	const attach_hooks *hooks = &asking->hooks;
	struct arena *arena = asking->context->arena;
	const census_others others =
		census_find_others(arena, asking->context->options.pins, &asking->programs);
	const char *local = describe_local(arena, &asking->facts);
	host_senders senders;

	for (size_t i = 0; i < asking->facts.links.len; i++) {
		const struct host_link *link = &asking->facts.links.at[i];

		if (!link->loopback && !has_hook(hooks, link->ifindex, BH_IN))
			uncovered(asking, arena_printf(arena, "link %s%s%s", link->name,
						       link->kind[0] ? ", kind " : "", link->kind));
	}
	for (size_t i = 0; i < others.len; i++)
		uncovered(asking, others.at[i].words);
	uncovered(asking, "loopback and local-to-local traffic");
	if (local)
		uncovered(asking, arena_printf(arena, "by self: %s", local));
	host_senders_read(arena, &senders);
	uncovered(asking, arena_printf(arena,
				       "frames sent by PACKET_QDISC_BYPASS or AF_XDP, or "
				       "redirected past egress%s",
				       describe_senders(arena, &senders)));
	if (!load_sees_checksums(asking->live->load))
		uncovered(asking, "checksums that a sender leaves open, which are written behind "
				  "egress; 'doctor' says why");
	for (size_t i = 0; i < hooks->len; i++) {
		if (hooks->at[i].mode == ATTACH_NATIVE || hooks->at[i].mode == ATTACH_GENERIC) {
			uncovered(asking, "what IPsec decrypts behind XDP: seen as esp");
			break;
		}
	}
}

/* What only an id opens comes first; what is left looks at links, files and processes. */
static int open_by_id(struct asking *asking)
{
	const struct live *live = asking->live;
	const struct flowtable_tables tables = {live->generation,
						&image_head(&live->image)->config};
	struct diag *diag = asking->context->diag;
	int err = flowtable_hold(live->load, &tables, diag);

	if (!err)
		err = load_hold_page(live->load, LOAD_MAP_SELF, 0, diag);
	if (!err)
		err = load_memory(live->load, diag, &asking->memory);
	return err;
}

static int not_enforcing(struct asking *asking, const struct live_instead *instead)
{
	struct context *context = asking->context;
	struct view_status status = {
		.by = instead->by,
		.pins = context->options.pins,
		.state = context->options.state,
	};

	context->view->ops->status(context->view, &status);
	for (size_t i = 0; i < instead->words.len; i++)
		problem(asking, "%s", instead->words.at[i]);
	return STATUS_NO;
}

/* What cannot be looked at on one link is no reason to tell nothing of the others. */
static void look_at_links(struct asking *asking)
{
	const struct live *live = asking->live;
	struct arena *arena = asking->context->arena;

	(void)attach_own(live->load, &asking->facts, asking->unseen);
	(void)census_take(arena, asking->context->options.pins, &asking->facts, asking->unseen,
			  &asking->programs);
	(void)attach_list(live->load, arena, &asking->facts, asking->unseen, &asking->hooks);
}

/* A generation is in force, and the state does not tell what it is: that, in words, and what the pins tell. */
static int show_unread(struct asking *asking, const struct diag *why)
{
	struct context *context = asking->context;
	struct view_status status = {
		.by = VIEW_FILTERER_PINS,
		.generation = asking->live->generation,
		.pins = context->options.pins,
		.state = context->options.state,
	};
	const char *unseen;
	size_t n = 0;
	const struct diag_message *messages = diag_messages(why, &n);
	int err;

	(void)load_memory(asking->live->load, asking->unseen, &status.memory);
	look_at_links(asking);
	err = privileges_keep(PRIVILEGE_BPF | PRIVILEGE_NET_ADMIN | PRIVILEGE_LOOK, context->diag);
	if (err)
		return err;
	context->view->ops->status(context->view, &status);
	hooks_show(context, NULL, &asking->hooks);
	for (size_t i = 0; i < n; i++)
		problem(asking, "%s", messages[i].text);
	if (!asking->hooks.len)
		problem(asking, "none of its programs is found on a link");
	unseen = live_tell_unseen(context->arena, asking->unseen);
	if (unseen)
		problem(asking, "%s", unseen);
	show_uncovered(asking);
	return STATUS_NO;
}

/* The words of live_open, which has failed with err: of the state, if the pins alone can be opened. */
static int unread(struct asking *asking, struct live *live, const struct diag *why, int err)
{
	scoped(diag_free) struct diag *quiet = diag_new();
	struct context only_pins = *asking->context;

	only_pins.diag = quiet;
	if (!live_open_pins(&only_pins, &asking->facts, live))
		return show_unread(asking, why);
	diag_take(asking->context->diag, why, NULL);
	return err;
}

static void show(struct asking *asking)
{
	const char *unseen = live_tell_unseen(asking->context->arena, asking->unseen);

	show_head(asking);
	show_files(asking);
	recall_why(&asking->live->record, &asking->hooks);
	hooks_show(asking->context, &asking->live->record, &asking->hooks);
	show_tables(asking);
	if (unseen)
		problem(asking, "%s", unseen);
	check_files(asking);
	check_hooks(asking);
	check_asked(asking);
	check_self(asking);
	show_uncovered(asking);
}

/* One look, shown unless there is to be another one. */
static int look(struct context *context, struct live_looks *looks, bool *ret_again)
{
	scoped(live_close) struct live live = {};
	scoped(diag_free) struct diag *unseen = diag_new();
	scoped(diag_free) struct diag *late = diag_new();
	struct asking asking = {.context = context, .live = &live, .unseen = unseen};
	struct context opening = *context;
	struct live_instead instead;
	int err;

	opening.diag = late;
	err = live_open_or_instead(&opening, looks, &live, &instead);
	*ret_again = false;
	if (err == -ENOENT)
		return not_enforcing(&asking, &instead);
	if (err)
		return unread(&asking, &live, late, err);
	diag_take(context->diag, late, NULL);
	err = host_facts_read(context->arena, context->diag, &asking.facts);
	if (!err)
		err = open_by_id(&asking);
	if (err)
		return err;
	look_at_links(&asking);
	if (misses_hooks(&asking)) {
		*ret_again = live_look_again(context, looks);
		if (*ret_again)
			return 0;
		asking.at_work = live_tell_work(context, looks);
	}
	err = privileges_keep(PRIVILEGE_BPF | PRIVILEGE_NET_ADMIN | PRIVILEGE_LOOK, context->diag);
	if (err)
		return err;
	show(&asking);
	return asking.problem ? STATUS_NO : STATUS_DONE;
}

static int run(struct context *context)
{
	struct live_looks looks = {};
	bool again = true;
	int status = STATUS_DONE;

	while (again)
		status = look(context, &looks, &again);
	return status;
}

const struct command cmd_status = {
	.name = "status",
	.args = "",
	.summary = "say what is enforced, since when, and what is not covered",
	.more = "0 when all that was asked for is enforced, else 9.\n",
	.options = OPTION_JSON | OPTION_PLACES,
	.run = run,
};
