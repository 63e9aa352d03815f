// SPDX-License-Identifier: GPL-2.0-only
/* bulkhead flows: the live flows, what admitted them, and how long they may stay silent. */
#include <arpa/inet.h>
#include <string.h>

#include "cli/live.h"
#include "kernel/clock.h"
#include "kernel/flowtable.h"
#include "kernel/privileges.h"

struct listing {
	struct context *context;
	struct live *live;
	const struct bh_config *config;
	struct bh_machine machine;
	uint32_t now; /* tick */
};

static uint32_t flags_of(const struct flowtable_entry *entry)
{
	return (uint32_t)(entry->state.meta >> 32) & 0xffff;
}

static bool is_narrow(const struct flowtable_entry *entry)
{
	return entry->table == BH_TABLE_HALF_OPEN4 || entry->table == BH_TABLE_ESTABLISHED4;
}

static struct addr addr_of(const struct flowtable_entry *entry, const void *bytes)
{
	struct addr addr = {.family = is_narrow(entry) ? ADDR_V4 : ADDR_V6};

	memcpy(addr.bytes, bytes, is_narrow(entry) ? 4 : 16);
	return addr;
}

static const char *end_text(struct arena *arena, const struct addr *addr, uint32_t kind,
			    uint16_t port)
{
	char buffer[ADDR_TEXT_SIZE];
	const char *text = addr_print(addr, buffer);

	if (kind == BH_FLOW_TCP || kind == BH_FLOW_UDP || kind == BH_FLOW_CUT)
		return arena_printf(arena, addr->family == ADDR_V6 ? "[%s]:%u" : "%s:%u", text,
				    ntohs(port));
	return arena_printf(arena, "%s", text);
}

static const char *state_text(uint32_t flags, uint32_t kind)
{
	if (kind == BH_FLOW_CUT)
		return "cut";
	if (flags & BH_FLOW_CLOSING)
		return "closing";
	if (flags & BH_FLOW_ESTABLISHED)
		return "established";
	if (kind == BH_FLOW_TCP)
		return flags & BH_FLOW_SYN_ACK ? "syn-ack" : "half-open";
	return flags & BH_FLOW_REPLIED ? "replied" : "unreplied";
}

/* The rule that admitted it, in the image of the generation to which its row belongs. */
static const char *rule_text(struct listing *listing, const struct flowtable_entry *entry)
{
	bool kept = flags_of(entry) & BH_FLOW_KEPT;
	uint64_t generation = entry->state.generation - (kept ? entry->state.behind : 0u);
	const struct image *image = live_image(
		listing->live, (listing->live->generation & ~0xffffffffULL) | generation);
	uint32_t outcome = entry->state.row - BH_FIXED_ROWS;

	if (entry->state.row < BH_FIXED_ROWS)
		return live_reason_name((enum bh_reason)(entry->state.row / BH_DIRECTION_COUNT));
	if (!image || outcome >= image_head(image)->n_outcomes)
		return "a rule of a policy that is no longer kept";
	if (image_outcome(image, outcome)->rule == BH_NO_RULE)
		return live_reason_name((enum bh_reason)image_outcome(image, outcome)->reason);
	return live_rule_path(listing->context->arena, image, image_outcome(image, outcome)->rule);
}

static const char *protocol_text(struct arena *arena, const struct flowtable_entry *entry)
{
	uint8_t protocol = is_narrow(entry) ? entry->key.four.protocol : entry->key.six.protocol;
	const char *name = policy_protocol_name(protocol);

	return name ? name : arena_printf(arena, "%u", protocol);
}

/* Seconds of so many ticks. */
static uint64_t seconds(const struct listing *listing, uint64_t ticks)
{
	return (ticks << listing->machine.tick_shift) / listing->machine.hz;
}

/*
 * Seconds since it was opened. What seems to be all but a minute of what is kept was opened after our
 * reading of the clock.
 */
static uint64_t age_of(const struct listing *listing, const struct flowtable_entry *entry)
{
	uint64_t age = ((listing->now >> BH_OPENED_SHIFT) - entry->opened) & BH_OPENED_MASK;

	return age > BH_OPENED_MASK - 60 ? 0 : seconds(listing, age << BH_OPENED_SHIFT);
}

static void show(void *data, const struct flowtable_entry *entry)
{
	struct listing *listing = data;
	struct arena *arena = listing->context->arena;
	uint32_t flags = flags_of(entry);
	uint32_t kind = bh_flow_kind(flags);
	uint32_t ticks = listing->now - (uint32_t)entry->state.meta;
	uint64_t idle = seconds(listing, ticks);
	uint64_t age = age_of(listing, entry);
	uint64_t limit = flowtable_timeout(listing->config, entry);
	bool narrow = is_narrow(entry);
	struct addr local = addr_of(entry, narrow ? (const void *)&entry->key.four.local
						  : (const void *)entry->key.six.local);
	struct addr remote = addr_of(entry, narrow ? (const void *)&entry->key.four.remote
						   : (const void *)entry->key.six.remote);
	struct view_flow flow;

	/* A tick that was written after ours was read is no age at all. */
	if ((int32_t)ticks < 0)
		idle = 0;
	if (entry->table == BH_TABLE_FRAGMENTS || idle > limit)
		return;
	flow = (struct view_flow){
		.protocol = protocol_text(arena, entry),
		.local = end_text(arena, &local, kind,
				  narrow ? entry->key.four.local_port : entry->key.six.local_port),
		.remote =
			end_text(arena, &remote, kind,
				 narrow ? entry->key.four.remote_port : entry->key.six.remote_port),
		.direction = flags & BH_FLOW_OUT ? "outbound" : "inbound",
		.state = state_text(flags, kind),
		.age = age > idle ? age : idle,
		.idle = idle,
		.ends = limit - idle,
		.rule = rule_text(listing, entry),
		.audit = flags & BH_FLOW_AUDIT,
		.kept = flags & BH_FLOW_KEPT,
		.picked_up = flags & BH_FLOW_PICKED_UP,
	};
	listing->context->view->ops->flow(listing->context->view, &flow);
}

static int run(struct context *context)
{
	scoped(live_close) struct live live = {};
	struct listing listing = {.context = context, .live = &live};
	struct flowtable_tables tables;
	int err = live_need(context, &live);

	if (!err)
		err = load_machine(live.load, context->diag, &listing.machine);
	if (err)
		return err;
	listing.config = &image_head(&live.image)->config;
	tables = (struct flowtable_tables){live.generation, listing.config};
	listing.now = (uint32_t)clock_tick(&listing.machine);
	err = flowtable_hold(live.load, &tables, context->diag);
	if (!err)
		err = privileges_keep(PRIVILEGE_BPF, context->diag);
	if (err)
		return err;
	context->view->ops->list(context->view, "flows");
	err = flowtable_walk(live.load, &tables, show, &listing, context->diag);
	return err ? err : STATUS_DONE;
}

const struct command cmd_flows = {
	.name = "flows",
	.args = "",
	.summary = "list the live flows",
	.options = OPTION_JSON | OPTION_PLACES,
	.run = run,
};
