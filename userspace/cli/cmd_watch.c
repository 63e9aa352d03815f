// SPDX-License-Identifier: GPL-2.0-only
/* bulkhead watch: denied packets, and those of rules with log, as they happen. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/live.h"
#include "flow/reader.h"
#include "kernel/counters.h"
#include "kernel/privileges.h"
#include "kernel/watch.h"
#include "policy/tuple.h"

enum { LEASE_SECONDS = 5, RENEW_MILLISECONDS = 2000 };

struct watching {
	struct context *context;
	struct live *live;
	struct host_facts facts;
	uint64_t began; /* CLOCK_BOOTTIME, ns */
	uint64_t boot;	/* what to add to CLOCK_BOOTTIME for the time of day, ns */
	uint64_t n_events;
};

static uint64_t nanoseconds(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static struct addr addr_of(uint8_t family, const uint8_t *bytes)
{
	struct addr addr = {.family = family};

	if (family == ADDR_V4)
		memcpy(addr.bytes, bytes + 12, 4);
	else
		memcpy(addr.bytes, bytes, 16);
	return addr;
}

static const char *packet_text(struct arena *arena, const struct bh_event *event)
{
	struct tuple tuple = {
		.direction = event->direction == BH_IN ? DIRECTION_IN : DIRECTION_OUT,
		.protocol = event->protocol,
		.source = addr_of(event->family, event->source),
		.destination = addr_of(event->family, event->destination),
		.fragment = event->later_fragment,
	};
	char *text = arena_alloc(arena, TUPLE_TEXT_SIZE);

	if (event->family != ADDR_V4 && event->family != ADDR_V6)
		return arena_printf(arena, "%s ether-type 0x%04x",
				    event->direction == BH_IN ? "in" : "out",
				    ntohs(event->ether_type));
	if (tuple.fragment)
		return tuple_print(&tuple, text);
	if (tuple.protocol == IPPROTO_ICMP || tuple.protocol == IPPROTO_ICMPV6) {
		tuple.icmp_type = (uint8_t)(ntohs(event->destination_port) >> 8);
		tuple.icmp_code = (uint8_t)ntohs(event->destination_port);
	} else {
		tuple.source_port = ntohs(event->source_port);
		tuple.destination_port = ntohs(event->destination_port);
	}
	return tuple_print(&tuple, text);
}

static const char *verdict_text(uint8_t verdict)
{
	return verdict == BH_DENY ? "deny" : verdict == BH_ALLOW ? "allow" : "would-deny";
}

/* Rule and reason; of a reply and of a later fragment those of the outcome that let their flow in. */
static struct bh_outcome decided(const struct image *image, const struct bh_event *event)
{
	if (event->rule == BH_NO_RULE && event->reason == BH_REASON_RULE && image &&
	    event->outcome < image_head(image)->n_outcomes)
		return *image_outcome(image, event->outcome);
	return (struct bh_outcome){.rule = event->rule, .reason = event->reason};
}

static bool show_event(void *data, const struct bh_event *event)
{
	struct watching *watching = data;
	scoped(arena_free) struct arena *arena = arena_new();
	const struct image *image = live_image(watching->live, event->generation);
	struct bh_outcome by = decided(image, event);
	struct view_event shown;

	/* From before anybody watched, while the ring was nobody's: of others that came then there was no room. */
	if (event->time < watching->began)
		return true;
	shown = (struct view_event){
		.time = event->time + watching->boot,
		.verdict = verdict_text(event->verdict),
		.direction = event->direction == BH_IN ? "inbound" : "outbound",
		.interface = live_link_name(arena, &watching->facts, event->ifindex),
		.packet = packet_text(arena, event),
		.decider = by.rule == BH_NO_RULE ? live_reason_name((enum bh_reason)by.reason)
						 : live_rule_path(arena, image, by.rule),
		.length = event->length,
		.packets = event->packets,
		.generation = event->generation,
		.by_flow = event->by_flow,
	};
	if (by.rule != BH_NO_RULE)
		shown.place = live_rule_place(image, by.rule);
	watching->context->view->ops->event(watching->context->view, &shown);
	watching->n_events++;
	return !view_is_broken(watching->context->view) &&
	       (!watching->context->options.count ||
		watching->n_events < watching->context->options.count);
}

static int follow(struct watching *watching, struct reader *reader,
		  const struct bh_machine *machine, int signals, bool *ret_gone)
{
	struct pollfd fds[] = {
		{.fd = reader_fd(reader), .events = POLLIN},
		{.fd = signals, .events = POLLIN},
		/* Without a wish it tells that the reader of a pipe has gone. */
		{.fd = STDOUT_FILENO},
	};
	struct diag *diag = watching->context->diag;
	uint64_t renewed = 0;
	bool going = true;
	bool gone = false;
	int err = 0;

	while (!err && going && !gone && !(fds[1].revents & POLLIN) &&
	       !(fds[2].revents & POLLERR)) {
		uint64_t now = nanoseconds(CLOCK_MONOTONIC) / 1000000;

		if (!renewed || now - renewed >= RENEW_MILLISECONDS) {
			err = watch_renew(watching->live->load, machine, LEASE_SECONDS, diag);
			renewed = now;
			gone = load_is_gone(watching->live->load);
		}
		if (!err && poll(fds, ARRAY_LEN(fds), RENEW_MILLISECONDS / 2) < 0 && errno != EINTR)
			err = diag_sys(diag, errno, "cannot wait for events");
		if (!err)
			err = reader_drain(reader, diag, &going);
	}
	*ret_gone = gone;
	return err;
}

static int notes(struct context *context, const struct live *live, uint64_t *ret_notes)
{
	return counters_read_notes(live->load, context->diag, ret_notes);
}

static int run(struct context *context)
{
	scoped(live_close) struct live live = {};
	scoped(reader_close) struct reader *reader = NULL;
	scoped(close) int signals = -1;
	scoped(close) int claim = -1;
	struct watching watching = {.context = context, .live = &live};
	struct bh_machine machine;
	uint64_t before[BH_NOTE_COUNT], after[BH_NOTE_COUNT];
	struct view_watched watched;
	bool gone = false;
	int err = live_need(context, &live);

	if (!err)
		err = host_facts_read(context->arena, context->diag, &watching.facts);
	if (!err)
		err = load_machine(live.load, context->diag, &machine);
	if (!err)
		err = notes(context, &live, before);
	if (!err)
		err = watch_claim(live.load, context->diag, &claim);
	if (!err)
		err = live_catch_signals(context->diag, &signals);
	if (!err)
		err = reader_open(load_map_fd(live.load, LOAD_MAP_EVENTS), show_event, &watching,
				  context->diag, &reader);
	if (!err)
		err = privileges_keep(PRIVILEGE_BPF, context->diag);
	watching.began = nanoseconds(CLOCK_BOOTTIME);
	watching.boot = nanoseconds(CLOCK_REALTIME) - watching.began;
	if (!err)
		err = follow(&watching, reader, &machine, signals, &gone);
	if (!err)
		err = notes(context, &live, after);
	if (err)
		return err;
	watched = (struct view_watched){
		.n_events = watching.n_events,
		.n_lost = after[BH_NOTE_EVENTS_LOST] - before[BH_NOTE_EVENTS_LOST] +
			  reader_n_foreign(reader),
		.n_limited = after[BH_NOTE_EVENTS_LIMITED] - before[BH_NOTE_EVENTS_LIMITED],
	};
	context->view->ops->watched(context->view, &watched);
	if (gone)
		return diag_refuse(context->diag, -ENOENT,
				   "what was watched is gone: a detach has ended enforcing; "
				   "'bulkhead status' says what holds now");
	return STATUS_DONE;
}

const struct command cmd_watch = {
	.name = "watch",
	.args = "",
	.summary = "show denied packets and those of rules with log, as they happen",
	.options = OPTION_JSON | OPTION_PLACES | OPTION_COUNT,
	.run = run,
};
