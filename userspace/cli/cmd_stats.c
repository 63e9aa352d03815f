// SPDX-License-Identifier: GPL-2.0-only
/* bulkhead stats: packets and bytes, and their rates, by verdict, interface, tier and reason. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "cli/live.h"
#include "kernel/clock.h"
#include "kernel/counters.h"
#include "kernel/privileges.h"

/* One line: what it is of, and its sums. */
struct line {
	const char *by;
	const char *name;
	const char *direction; /* "": it has none */
	uint64_t packets;
	uint64_t bytes;
};

typedef ARRAY(struct line) stat_lines;

static void add_line(struct arena *arena, stat_lines *lines, const char *by, const char *name,
		     const char *direction, const struct counter *count)
{
	array_push(arena, lines,
		   (struct line){
			   .by = by,
			   .name = name,
			   .direction = direction,
			   .packets = count->packets,
			   .bytes = count->bytes,
		   });
}

static void add(struct arena *arena, stat_lines *lines, const char *by, const char *name,
		enum bh_direction direction, const struct counter *count)
{
	add_line(arena, lines, by, name, policy_direction_name((enum policy_direction)direction),
		 count);
}

/*
 * What went in one direction: the packets that are counted at it, and the replies that are counted at
 * the other one, where their flows were opened.
 */
static void add_crossed(struct counter *sum, const struct counter *own, const struct counter *other)
{
	sum->packets += own->packets + other->reply_packets;
	sum->bytes += own->bytes + other->reply_bytes;
}

static void by_verdict(struct arena *arena, const struct counters_report *report, stat_lines *lines)
{
	static const char *const names[] = {
		[BH_DENY] = "denied", [BH_ALLOW] = "allowed", [BH_WOULD_DENY] = "would-deny"};

	for (int direction = 0; direction < BH_DIRECTION_COUNT; direction++) {
		struct counter all = {};

		for (int verdict = 0; verdict < 3; verdict++) {
			struct counter sum = {};

			for (size_t i = 0; i < report->links.len; i++)
				add_crossed(&sum, &report->links.at[i].count[direction][verdict],
					    &report->links.at[i].count[!direction][verdict]);
			all.packets += sum.packets;
			all.bytes += sum.bytes;
			add(arena, lines, "verdict", names[verdict], direction, &sum);
		}
		add(arena, lines, "total", "all", direction, &all);
	}
}

/*
 * What a link is called now that counts under the name by which it was covered. Of two that had it, the one
 * that is covered counts.
 */
static const char *name_now(const struct live *live, const struct host_facts *facts,
			    const char *name)
{
	const char *found = NULL;

	for (size_t i = 0; i < live->record.links.len; i++) {
		const struct store_link *link = &live->record.links.at[i];
		const struct host_link *now = host_link_by_index(facts, link->ifindex);

		if (now && !strcmp(link->name, name) && (!found || !link->let_go))
			found = now->name;
	}
	return found ? found : name;
}

/* A name that one link had and another has is one line: counters are kept by name. */
static void add_by_name(struct arena *arena, stat_lines *lines, const char *name,
			enum bh_direction direction, const struct counter *count)
{
	const char *way = policy_direction_name((enum policy_direction)direction);

	for (size_t i = 0; i < lines->len; i++) {
		struct line *line = &lines->at[i];

		if (strcmp(line->by, "interface") || strcmp(line->name, name) ||
		    strcmp(line->direction, way))
			continue;
		line->packets += count->packets;
		line->bytes += count->bytes;
		return;
	}
	add(arena, lines, "interface", name, direction, count);
}

static void by_link(struct arena *arena, const struct live *live, const struct host_facts *facts,
		    const struct counters_report *report, stat_lines *lines)
{
	for (size_t i = 0; i < report->links.len; i++) {
		const struct counters_link *link = &report->links.at[i];

		for (int direction = 0; direction < BH_DIRECTION_COUNT; direction++) {
			struct counter sum = {};

			for (int verdict = 0; verdict < 3; verdict++)
				add_crossed(&sum, &link->count[direction][verdict],
					    &link->count[!direction][verdict]);
			if (link->name[0])
				add_by_name(arena, lines, name_now(live, facts, link->name),
					    direction, &sum);
			else if (sum.packets)
				add(arena, lines, "interface", "other", direction, &sum);
		}
	}
}

/* What each tier decided; the replies of what it let in go out, and the other way round. */
static void by_tier(struct arena *arena, const struct live *live,
		    const struct counters_report *report, stat_lines *lines)
{
	static const struct counter none = {};
	struct counter sums[TIER_COUNT][BH_DIRECTION_COUNT] = {};

	for (size_t i = 0; i < report->rules.len; i++) {
		const struct policy_rule *rule = &live->policy.rules.at[i];
		const struct counter *decided = &report->rules.at[i].decided;

		add_crossed(&sums[rule->tier][rule->direction], decided, &none);
		add_crossed(&sums[rule->tier][!rule->direction], &none, decided);
	}
	for (int tier = 0; tier < TIER_COUNT; tier++) {
		for (int direction = 0; direction < BH_DIRECTION_COUNT; direction++) {
			if (live->policy.has_group[tier])
				add(arena, lines, "tier", policy_tier_name(tier), direction,
				    &sums[tier][direction]);
		}
	}
}

static void by_reason(struct arena *arena, const struct counters_report *report, stat_lines *lines)
{
	for (int reason = 0; reason < BH_REASON_COUNT; reason++) {
		for (int direction = 0; direction < BH_DIRECTION_COUNT; direction++) {
			const struct counter *count = report->reasons[reason].count;
			struct counter sum = {};

			add_crossed(&sum, &count[direction], &count[!direction]);
			if (sum.packets)
				add(arena, lines, "reason", live_reason_name(reason), direction,
				    &sum);
		}
	}
}

/* What has happened beside the verdicts, whichever way the packets went. */
static void by_note(struct arena *arena, const struct counters_report *report, stat_lines *lines)
{
	static const char *const names[] = {
#define X(constant, name) [BH_NOTE_##constant] = name,
		BH_NOTES(X)
#undef X
	};

	for (int note = 0; note < BH_NOTE_COUNT; note++) {
		struct counter count = {.packets = report->notes[note]};

		if (count.packets)
			add_line(arena, lines, "note", names[note], "", &count);
	}
}

static const struct line *find(const stat_lines *before, const struct line *line)
{
	for (size_t i = 0; before && i < before->len; i++) {
		const struct line *old = &before->at[i];

		if (!strcmp(old->direction, line->direction) && !strcmp(old->by, line->by) &&
		    !strcmp(old->name, line->name))
			return old;
	}
	return NULL;
}

static double rate(uint64_t now, uint64_t before, double seconds)
{
	return now > before ? (double)(now - before) / seconds : 0;
}

static void show(struct context *context, const stat_lines *now, const stat_lines *before,
		 double seconds)
{
	static const struct line none = {};

	context->view->ops->list(context->view, "stats");
	for (size_t i = 0; i < now->len; i++) {
		const struct line *line = &now->at[i];
		const struct line *old = find(before, line);
		struct view_stat stat = {
			.by = line->by,
			.name = line->name,
			.direction = line->direction,
			.packets = line->packets,
			.bytes = line->bytes,
			.packet_rate = -1,
			.byte_rate = -1,
		};

		if (before) {
			old = old ? old : &none;
			stat.packet_rate = rate(line->packets, old->packets, seconds);
			stat.byte_rate = rate(line->bytes, old->bytes, seconds);
		}
		context->view->ops->stat(context->view, &stat);
	}
}

static double monotonic(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool goes_on(const struct options *options)
{
	return options->watch || options->count || options->interval;
}

/* Each round of those that go on opens the counters of what is in force by then. */
static int give_up_rights(struct context *context, const struct live *live)
{
	unsigned keep = PRIVILEGE_BPF | (goes_on(&context->options) ? PRIVILEGE_BY_ID : 0);
	int err = counters_hold(live->load, context->diag);

	return err ? err : privileges_keep(keep, context->diag);
}

static int collect(struct context *context, struct arena *arena, stat_lines *lines,
		   double *ret_time)
{
	struct context own = *context;
	scoped(live_close) struct live live = {};
	struct counters_report report = {};
	struct host_facts facts;
	int err;

	/* Each round has memory of its own, so that watching does not grow. */
	own.arena = arena;
	err = live_need(&own, &live);
	if (!err)
		err = host_facts_read(arena, context->diag, &facts);
	if (!err)
		err = give_up_rights(context, &live);
	if (!err)
		err = live_report(&live, arena, context->diag, &report);
	if (err)
		return err;
	*ret_time = monotonic();
	by_verdict(arena, &report, lines);
	by_link(arena, &live, &facts, &report, lines);
	by_tier(arena, &live, &report, lines);
	by_reason(arena, &report, lines);
	by_note(arena, &report, lines);
	return 0;
}

/* True when a signal asked to end before the time was over. */
static bool wait_seconds(int signals, unsigned seconds)
{
	struct pollfd poll_for = {.fd = signals, .events = POLLIN};

	return poll(&poll_for, 1, (int)seconds * 1000) > 0;
}

static int watch(struct context *context, struct arena *first, const stat_lines *start,
		 double began)
{
	unsigned seconds = context->options.interval ? context->options.interval : 1;
	struct arena *before_arena = first;
	stat_lines before = *start;
	scoped(close) int signals = -1;
	bool going = true;
	int err = live_catch_signals(context->diag, &signals);

	for (uint64_t round = 0;
	     !err && going && (!context->options.count || round < context->options.count);
	     round++) {
		struct arena *arena;
		stat_lines now = {};
		double time = began;

		if (wait_seconds(signals, seconds))
			break;
		arena = arena_new();
		err = collect(context, arena, &now, &time);
		if (!err) {
			context->view->ops->round(context->view, clock_seconds());
			show(context, &now, &before, time - began);
			context->view->ops->flush(context->view);
			going = !view_is_broken(context->view);
		}
		if (before_arena != first)
			arena_free(before_arena);
		before_arena = arena;
		before = now;
		began = time;
	}
	if (before_arena != first)
		arena_free(before_arena);
	return err;
}

static int run(struct context *context)
{
	scoped(arena_free) struct arena *arena = arena_new();
	stat_lines now = {};
	double time;
	int err = collect(context, arena, &now, &time);

	if (err)
		return err;
	if (goes_on(&context->options))
		return watch(context, arena, &now, time);
	show(context, &now, NULL, 0);
	return STATUS_DONE;
}

const struct command cmd_stats = {
	.name = "stats",
	.args = "",
	.summary = "packets, bytes and rates by verdict, interface, tier and reason",
	.options = OPTION_JSON | OPTION_PLACES | OPTION_INTERVAL | OPTION_COUNT,
	.run = run,
};
