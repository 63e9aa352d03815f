/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The end of every packet: counted in exactly one row, by the decision that was taken for it, and
 * told of where an event is wanted.
 */
#ifndef BPF_REPORT_BPF_H
#define BPF_REPORT_BPF_H

#include "bpf/clock.bpf.h"
#include "bpf/decision.bpf.h"
#include "bpf/event.bpf.h"
#include "bpf/packet.bpf.h"

/* The small number of a link, 0 for one that is not listed. */
static __always_inline __u32 report_link(__u32 ifindex)
{
	__u32 key = 0;
	const struct bh_links *links = bpf_map_lookup_elem(&bh_links, &key);
	const struct bh_link *link;

	if (!links)
		return 0;
	link = &links->slot[(ifindex * links->multiplier) >> 24];
	return link->ifindex == ifindex ? link->number & (BH_LINKS - 1) : 0;
}

static __always_inline struct bh_row *report_row(__u64 generation, __u16 row, __u32 ifindex)
{
	__u32 slot = generation & 1;
	__u32 page = (slot * BH_LINKS + report_link(ifindex)) * BH_ROW_PAGES + row / BH_PAGE_ROWS;
	__u32 element = row % BH_PAGE_ROWS;
	void *rows = bpf_map_lookup_elem(&bh_counters, &page);

	return rows ? bpf_map_lookup_elem(rows, &element) : 0;
}

static __always_inline void report_count(const struct packet *packet,
					 const struct decision *decision)
{
	struct bh_row *row =
		report_row(decision->generation - decision->behind, decision->row, packet->ifindex);

	if (!row) {
		if (decision->row != BH_NO_ROW)
			note(BH_NOTE_UNCOUNTED);
		return;
	}
	if (decision->by_flow) {
		row->reply_packets += packet->packets;
		row->reply_bytes += packet->length;
	} else {
		row->packets += packet->packets;
		row->bytes += packet->length;
	}
	row->flows += decision->opened;
	if (decision->verdict == BH_WOULD_DENY)
		row->would_denied += packet->packets;
	row->last = clock_jiffies();
}

/* The one exit: counts, tells, and says whether the packet passes: 1 or 0. */
static __always_inline __u32 report(const struct packet *packet, const struct decision *decision)
{
	barrier(); /* the verifier forgets what led here, and looks at the rest once */
	report_count(packet, decision);
	if (event_is_wanted(decision))
		event_write(packet, decision);
	return decision_passes(decision);
}

#endif
