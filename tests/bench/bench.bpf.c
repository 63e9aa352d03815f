// SPDX-License-Identifier: GPL-2.0-only
/*
 * The benchmark's programs: the shipped headers, cut off after one more step each. What differs
 * from the shipped object is trace_replace() alone: BPF_PROG_RUN repeats one frame, so each
 * program parses it and then takes addresses, ports and protocol from a trace.
 */
#include <linux/bpf.h>
#include <linux/in.h>

#include <bpf/bpf_helpers.h>

#include "bpf/decide.bpf.h"
#include "bpf/frame.bpf.h"
#include "bpf/packet.bpf.h"
#include "bpf/parse.bpf.h"
#include "bpf/report.bpf.h"
#include "bpf/track.bpf.h"
#include "tests/bench/trace.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TRACE_LEN);
	__type(key, __u32);
	__type(value, struct trace4);
} bench_trace4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TRACE_LEN);
	__type(key, __u32);
	__type(value, struct trace6);
} bench_trace6 SEC(".maps");

/* The references: what the kernel's own structures cost on the same trace. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, LPM_LEN);
	__type(key, struct lpm_key);
	__type(value, __u32);
} bench_lpm SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, LRU_LEN);
	__type(key, struct bh_flow_key4);
	__type(value, struct bh_flow_state);
} bench_lru SEC(".maps");

/* Of new flows; userspace gives it as many entries as the memory of our tables is enough for. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct bh_flow_key4);
	__type(value, struct bh_flow_state);
} bench_new SEC(".maps");

/* Written by userspace before each run. */
__u32 bench_mask = 0;
__u32 bench_next = 0;

/* For prime: the TCP flags of each packet, and whether it is the answer to that of the trace. */
__u32 bench_flags = 0;
__u32 bench_turned = 0;

/* What the last packet became, for the verification: the row it counts in. */
__u32 bench_row = 0;
__u32 bench_hit = 0;

static __always_inline void trace_replace4(struct packet *packet)
{
	__u32 at = bench_next++ & bench_mask;
	const struct trace4 *trace = bpf_map_lookup_elem(&bench_trace4, &at);

	if (!trace)
		return;
	packet->source.word[3] = trace->source;
	packet->destination.word[3] = trace->destination;
	packet->source_port = trace->source_port;
	packet->destination_port = trace->destination_port;
	packet->class_source_port = bpf_ntohs(trace->source_port);
	packet->class_destination_port = bpf_ntohs(trace->destination_port);
	packet->protocol = trace->protocol;
	packet->tcp_flags = trace->tcp_flags;
}

static __always_inline void trace_replace6(struct packet *packet)
{
	__u32 at = bench_next++ & bench_mask;
	const struct trace6 *trace = bpf_map_lookup_elem(&bench_trace6, &at);

	if (!trace)
		return;
	packet->source.half[0] = trace->source[0];
	packet->source.half[1] = trace->source[1];
	packet->destination.half[0] = trace->destination[0];
	packet->destination.half[1] = trace->destination[1];
	packet->source_port = trace->source_port;
	packet->destination_port = trace->destination_port;
	packet->class_source_port = bpf_ntohs(trace->source_port);
	packet->class_destination_port = bpf_ntohs(trace->destination_port);
	packet->protocol = trace->protocol;
	packet->tcp_flags = trace->tcp_flags;
}

/* Parsed as by bh_xdp_frags, then taken from the trace. */
static __always_inline enum bh_reason bench_parse(struct xdp_md *ctx, struct packet *packet)
{
	enum bh_reason reason = parse_xdp_near(ctx, packet);

	if (packet->family == 4)
		trace_replace4(packet);
	else
		trace_replace6(packet);
	return reason;
}

static __always_inline struct packet bench_packet(struct xdp_md *ctx)
{
	return (struct packet){
		.direction = BH_IN,
		.hook = BH_HOOK_XDP,
		.ifindex = ctx->ingress_ifindex,
		.length = bpf_xdp_get_buff_len(ctx),
		.packets = 1,
	};
}

SEC("xdp.frags")
int empty(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_DROP;
}

/* Parsing, the trace, and the generation word; every field is looked at. */
SEC("xdp.frags")
int base(struct xdp_md *ctx)
{
	struct packet packet = bench_packet(ctx);
	struct decision decision = {.generation = decide_generation()};
	__u64 all;

	if (bench_parse(ctx, &packet) != BH_REASON_RULE || !decision.generation)
		return XDP_ABORTED;
	all = packet.source.half[0] ^ packet.source.half[1] ^ packet.destination.half[0] ^
	      packet.destination.half[1] ^ packet.class_source_port ^
	      packet.class_destination_port ^ packet.protocol ^ packet.tcp_flags;
	bench_row = all;
	return all & 1 ? XDP_DROP : XDP_PASS;
}

/* And the policy's word. */
static __always_inline int bench_classify(struct xdp_md *ctx, bool count)
{
	struct packet packet = bench_packet(ctx);
	struct decision decision = {.generation = decide_generation()};
	struct image_view view;

	if (bench_parse(ctx, &packet) != BH_REASON_RULE ||
	    image_open_at(&view, decision.generation) != BH_REASON_RULE)
		return XDP_ABORTED;
	judge(&packet, &view, &decision);
	bench_row = decision.row;
	if (count)
		report_count(&packet, &decision);
	return XDP_DROP + decision_passes(&decision);
}

SEC("xdp.frags")
int classify_only(struct xdp_md *ctx)
{
	return bench_classify(ctx, false);
}

SEC("xdp.frags")
int classify_count(struct xdp_md *ctx)
{
	return bench_classify(ctx, true);
}

/* The whole of bh_xdp_frags: never-denied list, policy, state with touch, counters, events. */
SEC("xdp.frags")
int full(struct xdp_md *ctx)
{
	struct packet packet = bench_packet(ctx);
	struct decision decision = {.generation = decide_generation()};
	enum bh_reason reason = bench_parse(ctx, &packet);

	decide(&packet, reason, &decision);
	bench_row = decision.row;
	return XDP_DROP + report(&packet, &decision);
}

/* The same, and neither counted nor told. */
SEC("xdp.frags")
int uncounted(struct xdp_md *ctx)
{
	struct packet packet = bench_packet(ctx);
	struct decision decision = {.generation = decide_generation()};
	enum bh_reason reason = bench_parse(ctx, &packet);

	decide(&packet, reason, &decision);
	bench_row = decision.row;
	return XDP_DROP + decision_passes(&decision);
}

/*
 * Not measured: the same with other flags, or for the answer, so that the flows of the trace are
 * opened and established before full meets them.
 */
SEC("xdp.frags")
int prime(struct xdp_md *ctx)
{
	struct packet packet = bench_packet(ctx);
	struct decision decision = {.generation = decide_generation()};
	enum bh_reason reason = bench_parse(ctx, &packet);

	packet.tcp_flags = bench_flags;
	if (bench_turned)
		flowkey_turn(&packet);
	decide(&packet, reason, &decision);
	bench_row = decision.row;
	return XDP_DROP + report(&packet, &decision);
}

/* Our prefix look-up alone, and the kernel's. */
SEC("xdp.frags")
int prefix(struct xdp_md *ctx)
{
	struct packet packet = bench_packet(ctx);
	struct image_view view;
	__u32 class = 0;

	if (bench_parse(ctx, &packet) != BH_REASON_RULE || image_open(&view) != BH_REASON_RULE ||
	    !classify_address4(&view, bpf_ntohl(packet.source.word[3]), &class))
		return XDP_ABORTED;
	bench_row = class;
	return class & 1 ? XDP_DROP : XDP_PASS;
}

SEC("xdp.frags")
int lpm_trie(struct xdp_md *ctx)
{
	struct packet packet = bench_packet(ctx);
	struct image_view view;
	struct lpm_key key = {.len = 32};
	const __u32 *class;

	if (bench_parse(ctx, &packet) != BH_REASON_RULE || image_open(&view) != BH_REASON_RULE)
		return XDP_ABORTED;
	key.address = packet.source.word[3];
	class = bpf_map_lookup_elem(&bench_lpm, &key);
	bench_row = class ? *class : 0;
	return class ? XDP_DROP : XDP_PASS;
}

/* Our flow table's hit, and the kernel's LRU hash's; no policy is asked. */
SEC("xdp.frags")
int flow_table(struct xdp_md *ctx)
{
	struct packet packet = bench_packet(ctx);
	struct decision decision = {.generation = decide_generation(), .verdict = BH_ALLOW};
	struct image_view view;
	struct quick quick = {.position = FLOW_NONE};
	bool hit;

	if (bench_parse(ctx, &packet) != BH_REASON_RULE ||
	    image_open_at(&view, decision.generation) != BH_REASON_RULE)
		return XDP_ABORTED;
	hit = quick_goes_on(&packet, &decision, &quick);
	bench_hit += hit;
	return hit ? XDP_PASS : XDP_DROP;
}

SEC("xdp.frags")
int lru_hash(struct xdp_md *ctx)
{
	struct packet packet = bench_packet(ctx);
	struct bh_flow_key4 key = {};
	struct bh_flow_state *state;
	struct image_view view;
	__u32 tick = clock_tick();

	if (bench_parse(ctx, &packet) != BH_REASON_RULE || image_open(&view) != BH_REASON_RULE)
		return XDP_ABORTED;
	key.local = packet.destination.word[3];
	key.remote = packet.source.word[3];
	key.local_port = packet.destination_port;
	key.remote_port = packet.source_port;
	key.protocol = packet.protocol;
	state = bpf_map_lookup_elem(&bench_lru, &key);
	if (!state)
		return XDP_DROP;
	if ((__u32)state->meta != tick)
		state->meta = tick;
	bench_hit++;
	return XDP_PASS;
}

/* ---- new flows: a SYN of a sender that no packet before it had; IPv4 ---- */

static __always_inline bool bench_syn(struct xdp_md *ctx, struct packet *packet)
{
	__u32 number = bench_next;

	if (bench_parse(ctx, packet) != BH_REASON_RULE)
		return false;
	packet->source.word[3] = number * 2654435761U;
	packet->protocol = IPPROTO_TCP;
	packet->tcp_flags = STATES_SYN;
	return true;
}

static __always_inline struct bh_flow_key4 bench_key(const struct packet *packet)
{
	return (struct bh_flow_key4){
		.local = packet->destination.word[3],
		.remote = packet->source.word[3],
		.local_port = packet->destination_port,
		.remote_port = packet->source_port,
		.protocol = packet->protocol,
	};
}

/* What all of them do before. */
SEC("xdp.frags")
int new_base(struct xdp_md *ctx)
{
	struct packet packet = bench_packet(ctx);
	struct decision decision = {.generation = decide_generation()};
	struct image_view view;

	if (!bench_syn(ctx, &packet) || image_open_at(&view, decision.generation) != BH_REASON_RULE)
		return XDP_ABORTED;
	bench_row = packet.source.word[3] ^ packet.destination.word[3] ^ packet.source_port ^
		    packet.destination_port;
	return XDP_PASS;
}

/* The insert alone: a way is claimed, filled, published and looked at again. */
SEC("xdp.frags")
int new_entry(struct xdp_md *ctx)
{
	struct packet packet = bench_packet(ctx);
	struct flow_query query = {};

	if (!bench_syn(ctx, &packet))
		return XDP_ABORTED;
	flowkey_query(&packet, BH_FLOW_TCP, decide_generation(), &query);
	query.meta = flow_meta(query.hash, BH_FLOW_LIVE, query.tick);
	query.rest = flow_rest(query.generation, 0, 0);
	if (flow_insert(&query, BH_TABLE_HALF_OPEN4) < 0)
		return XDP_ABORTED;
	bench_hit++;
	return XDP_PASS;
}

SEC("xdp.frags")
int lru_entry(struct xdp_md *ctx)
{
	struct packet packet = bench_packet(ctx);
	struct bh_flow_state state = {};
	struct bh_flow_key4 key;

	if (!bench_syn(ctx, &packet))
		return XDP_ABORTED;
	key = bench_key(&packet);
	state.meta = clock_tick();
	if (bpf_map_update_elem(&bench_new, &key, &state, BPF_ANY))
		return XDP_ABORTED;
	bench_hit++;
	return XDP_PASS;
}

/* All that state does with a SYN: both tables are searched before an entry is made. */
SEC("xdp.frags")
int new_flow(struct xdp_md *ctx)
{
	struct packet packet = bench_packet(ctx);
	struct decision decision = {.generation = decide_generation(), .verdict = BH_ALLOW};
	struct image_view view;
	struct quick quick = {.position = FLOW_NONE};

	if (!bench_syn(ctx, &packet) || image_open_at(&view, decision.generation) != BH_REASON_RULE)
		return XDP_ABORTED;
	track(&packet, &quick, &decision);
	bench_hit += decision.opened;
	return XDP_DROP + decision_passes(&decision);
}

SEC("xdp.frags")
int lru_flow(struct xdp_md *ctx)
{
	struct packet packet = bench_packet(ctx);
	struct bh_flow_state fresh = {};
	struct bh_flow_state *state;
	struct bh_flow_key4 key;

	if (!bench_syn(ctx, &packet))
		return XDP_ABORTED;
	key = bench_key(&packet);
	fresh.meta = clock_tick();
	state = bpf_map_lookup_elem(&bench_new, &key);
	if (state) {
		if (state->meta != fresh.meta)
			state->meta = fresh.meta;
		return XDP_PASS;
	}
	if (bpf_map_update_elem(&bench_new, &key, &fresh, BPF_ANY))
		return XDP_ABORTED;
	bench_hit++;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
