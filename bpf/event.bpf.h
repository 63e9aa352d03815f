/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Events: which packets make one, how many a second, and their form. What is lost or over the
 * limit is counted, never silent.
 */
#ifndef BPF_EVENT_BPF_H
#define BPF_EVENT_BPF_H

#include <linux/types.h>

#include <bpf/bpf_endian.h>
#include <stdbool.h>

#include "bpf/clock.bpf.h"
#include "bpf/decision.bpf.h"
#include "bpf/image.bpf.h"
#include "bpf/packet.bpf.h"

/* While somebody watches, every deny makes an event. */
static __always_inline bool event_is_watched(void)
{
	__u32 key = 0;
	const struct bh_watch *watch = bpf_map_lookup_elem(&bh_watch, &key);

	return watch && watch->until &&
	       clock_jiffies() >> (machine.tick_shift & 31) <= watch->until;
}

/*
 * Of a rule with log: the first packet of each flow that it allows and each packet of none, each packet
 * that it denies or would deny.
 */
static __always_inline bool event_is_wanted(const struct decision *decision)
{
	if (decision->verdict != BH_ALLOW)
		return decision->flags & BH_OUTCOME_LOG || event_is_watched();
	return decision->flags & BH_OUTCOME_LOG &&
	       (decision->opened || decision->alone || decision->flags & BH_OUTCOME_NO_STATE);
}

/* Whether this rule, or reason, may have one more event in this second. */
static __always_inline bool event_is_within(const struct decision *decision, __u32 limit)
{
	__u32 key =
		decision->rule != BH_NO_RULE ? decision->rule : BH_NO_RULE + 1 + decision->reason;
	__u64 *count = bpf_map_lookup_elem(&bh_limits, &key);
	__u64 second = clock_jiffies() / (machine.hz | !machine.hz) << 32;

	if (!count)
		return false;
	if (*count >> 32 != second >> 32)
		*count = second;
	return (__u32)__sync_fetch_and_add(count, 1) < limit;
}

static __always_inline void event_fill(const struct packet *packet, const struct decision *decision,
				       struct bh_event *event)
{
	*event = (struct bh_event){
		.version = BH_EVENT_VERSION,
		.size = sizeof(*event),
		.ifindex = packet->ifindex,
		.time = bpf_ktime_get_boot_ns(),
		.generation = decision->generation,
		.rule = decision->rule,
		.outcome = decision->outcome,
		.reason = decision->reason,
		.verdict = decision->verdict,
		.direction = packet->direction,
		.hook = packet->hook,
		.length = packet->length,
		.packets = packet->packets,
		.source_port = packet->source_port,
		.destination_port = packet->destination_port,
		.protocol = packet->protocol,
		.family = packet->family,
		.tcp_flags = packet->tcp_flags,
		.by_flow = decision->by_flow,
		.ether_type = packet->ether_type,
		.later_fragment = packet->fragment == PACKET_LATER,
	};
	__builtin_memcpy(event->source, &packet->source, sizeof(event->source));
	__builtin_memcpy(event->destination, &packet->destination, sizeof(event->destination));
	if (!packet->source_port && !packet->destination_port)
		event->destination_port = bpf_htons(packet->class_destination_port);
}

/* Writes one, or notes why not. A global function: rare, and verified once. */
int event_write(const struct packet *packet, const struct decision *decision);

__attribute__((noinline)) int event_write(const struct packet *packet,
					  const struct decision *decision)
{
	struct image_view view;
	struct bh_event *event;
	__u32 limit = 1;

	if (!packet || !decision)
		return 0;
	if (image_open_at(&view, decision->generation) == BH_REASON_RULE)
		limit = image_head(&view)->config.log_limit;
	if (!event_is_within(decision, limit)) {
		note(BH_NOTE_EVENTS_LIMITED);
		return 0;
	}
	event = bpf_ringbuf_reserve(&bh_events, sizeof(*event), 0);
	if (!event) {
		note(BH_NOTE_EVENTS_LOST);
		return 0;
	}
	event_fill(packet, decision, event);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

#endif
