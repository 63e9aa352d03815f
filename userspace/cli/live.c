// SPDX-License-Identifier: GPL-2.0-only
/* The policy in force; see cli/live.h. */
#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "cli/live.h"
#include "kernel/bpffs.h"
#include "kernel/census.h"
#include "kernel/clock.h"
#include "kernel/instance.h"
#include "kernel/lost.h"
#include "kernel/netns.h"

void live_close(struct live *live)
{
	load_close(live->load);
	store_close(live->store);
	for (size_t i = 0; i < LIVE_KEPT; i++)
		arena_free(live->kept[i].arena);
	*live = (struct live){};
}

static int open_record(struct context *context, const struct host_facts *facts, struct live *live)
{
	int err = store_open_read(context->options.state, context->diag, &live->store);

	if (err == -ENOENT)
		return diag_refuse(context->diag, -EIO,
				   "generation %llu is in force, and the state directory '%s' that "
				   "belongs to it is gone; see --state",
				   (unsigned long long)live->generation, context->options.state);
	if (!err)
		err = store_read_record(live->store, context->arena, context->diag, &live->record);
	/* The rules of another instance would be told as if they were these. */
	if (!err)
		err = store_check_netns(live->store, &live->record, facts->netns_device,
					facts->netns_inode, context->diag);
	if (!err)
		err = instance_check_state(live->store, &live->record, context->options.pins,
					   context->diag);
	if (err)
		return err;
	store_settle(&live->record, context->arena, live->generation, clock_seconds());
	if (!store_knows_active(&live->record))
		return diag_refuse(context->diag, -EIO,
				   "generation %llu is in force, and state '%s' does not know it: "
				   "another one belongs to it (--state), or its record was moved "
				   "away; 'apply' again",
				   (unsigned long long)live->generation, context->options.state);
	return 0;
}

int live_open_pins(struct context *context, struct host_facts *ret_facts, struct live *ret_live)
{
	scoped(live_close) struct live live = {};
	int err = load_open_read(context->options.pins, context->diag, &live.load);

	if (!err)
		err = host_facts_read(context->arena, context->diag, ret_facts);
	/* Links and addresses of another namespace would be told as if they were those of the pins. */
	if (!err)
		err = netns_check(context->options.pins, ret_facts, context->diag);
	if (!err)
		err = load_active(live.load, context->diag, &live.generation);
	if (!err && !live.generation)
		err = -ENOENT;
	if (err)
		return err;
	*ret_live = live;
	live = (struct live){};
	return 0;
}

int live_open(struct context *context, struct live *ret_live)
{
	scoped(live_close) struct live live = {};
	struct host_facts facts;
	int err = live_open_pins(context, &facts, &live);

	if (!err)
		err = open_record(context, &facts, &live);
	if (!err)
		err = store_get_generation(live.store, &live.record, live.generation,
					   context->arena, context->diag, &live.image);
	/* It is a file of the state that is not well formed, and no policy that somebody wrote. */
	if ((err == -ENOENT && live.store) || err == -EBADMSG)
		return -EIO;
	if (err)
		return err;
	image_policy(context->arena, &live.image, &live.policy);
	*ret_live = live;
	live = (struct live){};
	return 0;
}

int live_active(const char *pins, struct diag *diag, uint64_t *ret_active)
{
	scoped(load_close) struct load *load = NULL;
	uint64_t active = 0;
	int err = load_open_read(pins, diag, &load);

	if (!err)
		err = load_active(load, diag, &active);
	if (err && err != -ENOENT)
		return err;
	*ret_active = active;
	return 0;
}

/* What programs of these pins do on the links. */
enum doing {
	DOING_NOTHING, /* there are none */
	DOING_PASS,
	DOING_FILTER, /* or it could not be looked at */
};

/* What lies there enforces nothing: a run has left it that was killed, or anybody else. */
static const char *of_left_overs(struct context *context, uint32_t version, enum doing doing)
{
	return arena_printf(context->arena,
			    "left-overs lie under '%s/v%u', and %s; 'detach' or the next 'apply' "
			    "clears them away",
			    context->options.pins, version,
			    doing == DOING_PASS ? "everything passes their programs"
						: "nothing filters by them");
}

/* Who of another ABI version enforces by these pins, or what it has left, in words; NULL: none is seen. */
static const char *of_other_versions(struct context *context, enum doing doing)
{
	scoped(diag_free) struct diag *quiet = diag_new();
	bpffs_versions versions = {};

	if (bpffs_find_versions(context->arena, context->options.pins, quiet, &versions))
		return NULL;
	for (size_t i = 0; i < versions.len; i++) {
		if (versions.at[i] != BH_ABI_VERSION && doing != DOING_FILTER)
			return of_left_overs(context, versions.at[i], doing);
		if (versions.at[i] != BH_ABI_VERSION)
			return arena_printf(context->arena,
					    "a bulkhead of ABI version %u goes on enforcing here "
					    "('%s/v%u'); 'apply' of this one takes over in place",
					    versions.at[i], context->options.pins, versions.at[i]);
	}
	return NULL;
}

/* Some of this version's pins are there, and maps are not. */
static const char *of_lost_pins(struct context *context, enum doing doing)
{
	const char *pins = context->options.pins;
	scoped(diag_free) struct diag *quiet = diag_new();
	bpffs_versions versions = {};

	if (bpffs_find_versions(context->arena, pins, quiet, &versions))
		return NULL;
	for (size_t i = 0; i < versions.len; i++) {
		if (versions.at[i] == BH_ABI_VERSION && doing != DOING_FILTER)
			return of_left_overs(context, versions.at[i], doing);
		if (versions.at[i] == BH_ABI_VERSION)
			return arena_printf(context->arena,
					    "pins under '%s/v%u' are missing: programs may go on "
					    "enforcing what cannot be read any more; 'apply' again",
					    pins, versions.at[i]);
	}
	return NULL;
}

/* What a run that has died, or whoever has removed pins, has left of this version; NULL: nothing. */
static const char *of_the_dead(struct context *context, enum doing doing)
{
	scoped(diag_free) struct diag *quiet = diag_new();
	scoped(load_close) struct load *load = NULL;
	int err = load_open_read(context->options.pins, quiet, &load);

	if (err)
		return err == -ENOENT ? of_lost_pins(context, doing) : NULL;
	if (lost_is_left(load_pins(load))) /* an apply over them has died */
		return of_lost_pins(context, doing);
	return arena_printf(context->arena,
			    "an 'apply' or 'detach' has died and left programs under '%s': no "
			    "policy is in force%s; run one of them again",
			    context->options.pins,
			    load_is_open(load) ? ", and everything passes" : "");
}

static enum doing ours_do(const census_programs *programs)
{
	enum doing doing = DOING_NOTHING;

	for (size_t i = 0; i < programs->len; i++) {
		if (programs->at[i].owner.ours && !programs->at[i].owner.passes)
			return DOING_FILTER;
		if (programs->at[i].owner.ours)
			doing = DOING_PASS;
	}
	return doing;
}

/* What others there are matters only where nothing of these pins filters. */
static enum view_filterer find_others(const census_programs *programs)
{
	enum view_filterer by = VIEW_FILTERER_NOBODY;

	for (size_t i = 0; i < programs->len; i++) {
		const struct instance_owner *owner = &programs->at[i].owner;

		if (owner->ours || owner->passes)
			continue;
		if (!owner->pins[0])
			return VIEW_FILTERER_NO_PINS;
		by = VIEW_FILTERER_INSTANCE;
	}
	return by;
}

static int take_census(struct context *context, struct diag *diag, census_programs *programs)
{
	struct host_facts facts;
	int err = host_facts_read(context->arena, diag, &facts);

	return err ? err
		   : census_take(context->arena, context->options.pins, &facts, diag, programs);
}

const char *live_tell_unseen(struct arena *arena, const struct diag *unseen)
{
	size_t n = 0;
	const struct diag_message *messages = diag_messages(unseen, &n);

	return n ? arena_printf(arena, "not all that runs on the links could be looked at: %s%s",
				messages[0].text,
				n > 1 ? arena_printf(arena, " (and %zu more)", n - 1) : "")
		 : NULL;
}

/* What was found where there is no policy. */
struct found {
	const char *version; /* each in words; NULL: nothing of it */
	const char *dead;
	const char *unseen;
	census_programs programs;
	census_others others;
};

static void find(struct context *context, struct found *ret_found)
{
	scoped(diag_free) struct diag *late = diag_new();
	struct found found = {};
	enum doing doing;

	if (take_census(context, late, &found.programs))
		found.unseen = live_tell_unseen(context->arena, late);
	doing = found.unseen ? DOING_FILTER : ours_do(&found.programs);
	found.version = of_other_versions(context, doing);
	found.dead = of_the_dead(context, doing);
	found.others = census_find_others(context->arena, context->options.pins, &found.programs);
	*ret_found = found;
}

/* Whether there is something that looks the same while somebody is at work. */
static bool is_doubtful(const struct found *found)
{
	bool some = found->dead;

	for (size_t i = 0; i < found->others.len; i++)
		some |= !found->others.at[i].pins[0];
	return some;
}

static enum view_filterer filterer_of(const struct found *found)
{
	enum view_filterer by = find_others(&found->programs);

	if (ours_do(&found->programs) == DOING_FILTER)
		return found->version ? VIEW_FILTERER_VERSION : VIEW_FILTERER_LOST_PINS;
	return found->unseen && by == VIEW_FILTERER_NOBODY ? VIEW_FILTERER_UNKNOWN : by;
}

/* at_work, when not NULL, stands for all that is doubtful. */
static void tell_found(struct arena *arena, const struct found *found, const char *at_work,
		       struct live_instead *ret_instead)
{
	const char *const words[] = {found->version, at_work ? at_work : found->dead,
				     found->unseen};
	struct live_instead instead = {.by = filterer_of(found)};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (words[i])
			array_push(arena, &instead.words, words[i]);
	for (size_t i = 0; i < found->others.len; i++)
		if (!at_work || found->others.at[i].pins[0])
			array_push(arena, &instead.words, found->others.at[i].words);
	*ret_instead = instead;
}

bool live_look_again(struct context *context, struct live_looks *looks)
{
	uint64_t now = clock_ns();

	store_look_for_work(context->options.state, &looks->after);
	if (now >= looks->until || store_was_idle(&looks->before, &looks->after))
		return false;
	/* In whole milliseconds, and not in none. */
	if (looks->after.is_on)
		store_await_work(&looks->after, (int)((looks->until - now) / 1000000) + 1);
	return true;
}

const char *live_tell_work(struct context *context, const struct live_looks *looks)
{
	const struct store_work *work = &looks->after;

	if (store_was_idle(&looks->before, work))
		return NULL;
	return arena_printf(
		context->arena, "an apply or detach%s %s at work here; ask again when it has ended",
		work->process ? arena_printf(context->arena, " (process %d)", (int)work->process)
			      : "",
		work->is_on ? "is" : "has just been");
}

int live_open_or_instead(struct context *context, struct live_looks *looks, struct live *ret_live,
			 struct live_instead *ret_instead)
{
	const uint64_t patience = 2ULL * 1000 * 1000 * 1000;
	const char *at_work = NULL;
	struct found found;
	bool doubtful;
	int err;

	if (!looks->until)
		looks->until = clock_ns() + patience;
	do {
		store_look_for_work(context->options.state, &looks->before);
		err = live_open(context, ret_live);
		if (err != -ENOENT)
			return err;
		find(context, &found);
		doubtful = is_doubtful(&found);
	} while (doubtful && live_look_again(context, looks));
	if (doubtful)
		at_work = live_tell_work(context, looks);
	tell_found(context->arena, &found, at_work, ret_instead);
	return -ENOENT;
}

int live_need(struct context *context, struct live *ret_live)
{
	struct live_looks looks = {};
	struct live_instead instead;
	int err = live_open_or_instead(context, &looks, ret_live, &instead);

	if (err != -ENOENT)
		return err;
	if (instead.words.len)
		return diag_refuse(context->diag, -ENOENT, "%s", instead.words.at[0]);
	return diag_refuse(context->diag, -ENOENT,
			   "bulkhead does not enforce here (no policy in force under '%s')",
			   context->options.pins);
}

int live_report(const struct live *live, struct arena *arena, struct diag *diag,
		struct counters_report *ret_report)
{
	const struct counters_source source = {
		.load = live->load,
		.store = live->store,
		.record = &live->record,
		.image = &live->image,
	};

	return counters_report(&source, arena, diag, ret_report);
}

static const struct image *read_image(const struct live *live, uint64_t generation,
				      struct arena *arena)
{
	scoped(diag_free) struct diag *quiet = diag_new();
	struct image *image = arena_alloc(arena, sizeof(*image));
	struct store_record now = {};

	if (!store_get_generation(live->store, &live->record, generation, arena, quiet, image))
		return image;
	/* What has come into force since is in the record that lies there now. */
	if (store_read_record(live->store, arena, quiet, &now) ||
	    store_get_generation(live->store, &now, generation, arena, quiet, image))
		return NULL;
	return image;
}

const struct image *live_image(struct live *live, uint64_t generation)
{
	struct live_kept *kept;

	if (generation == live->generation)
		return &live->image;
	for (size_t i = 0; i < LIVE_KEPT; i++) {
		if (live->kept[i].generation == generation)
			return live->kept[i].image;
	}
	kept = &live->kept[live->n_kept++ % LIVE_KEPT];
	arena_free(kept->arena);
	*kept = (struct live_kept){.generation = generation, .arena = arena_new()};
	kept->image = read_image(live, generation, kept->arena);
	return kept->image;
}

const char *live_rule_path(struct arena *arena, const struct image *image, uint32_t rule)
{
	const struct image_rule *found;

	if (!image || rule >= image->notes.rules.len)
		return "a rule of a policy that is no longer kept";
	found = &image->notes.rules.at[rule];
	return arena_printf(arena, "%s/%s", image->notes.groups.at[found->group].name, found->name);
}

struct view_place live_rule_place(const struct image *image, uint32_t rule)
{
	const struct image_rule *found;

	if (!image || rule >= image->notes.rules.len)
		return (struct view_place){};
	found = &image->notes.rules.at[rule];
	if (found->source == IMAGE_NO_SOURCE)
		return (struct view_place){};
	return (struct view_place){
		.file = image->notes.sources.at[found->source].path,
		.line = found->line,
	};
}

const char *live_link_name(struct arena *arena, const struct host_facts *facts, uint32_t ifindex)
{
	const struct host_link *link = host_link_by_index(facts, ifindex);

	return link ? link->name : arena_printf(arena, "ifindex %u", ifindex);
}

enum reason_kind {
	REASON_ALLOW,
	REASON_NEVER,
	REASON_DENY,
};

static const struct {
	enum reason_kind kind;
	const char *name;
} reasons[BH_REASON_COUNT] = {
#define X(group, constant, words) [BH_REASON_##constant] = {REASON_##group, words},
	BH_REASONS(X)
#undef X
};

const char *live_reason_name(enum bh_reason reason)
{
	return reason < BH_REASON_COUNT ? reasons[reason].name : "?";
}

const char *live_reason_kind(enum bh_reason reason)
{
	switch (reasons[reason].kind) {
	case REASON_ALLOW:
		return "allow";
	case REASON_NEVER:
		return "never-denied";
	case REASON_DENY:
		return "deny";
	}
	return "";
}

bool live_reason_off(const struct image *image, enum bh_reason reason)
{
	return image_head(image)->config.never_off >> reason & 1;
}

int live_catch_signals(struct diag *diag, int *ret_fd)
{
	struct sigaction hangup;
	sigset_t set;
	int fd;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	if (!sigaction(SIGHUP, NULL, &hangup) && hangup.sa_handler != SIG_IGN) /* nohup */
		(void)sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) || (fd = signalfd(-1, &set, SFD_CLOEXEC)) < 0)
		return diag_sys(diag, errno, "cannot wait for signals");
	*ret_fd = fd;
	return 0;
}
