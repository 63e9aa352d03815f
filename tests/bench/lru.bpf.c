// SPDX-License-Identifier: GPL-2.0-only
/*
 * The reference for what a flood does to state: a filter that knows nothing but flows, in the
 * kernel's LRU hash of the same memory. From outside a SYN to a service opens a flow, from inside
 * nothing does; everything else passes only as part of one.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#include "bpf/frame.bpf.h"
#include "bpf/packet.bpf.h"
#include "bpf/parse.bpf.h"
#include "bpf/states.bpf.h"
#include "tests/bench/trace.h"

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, LRU_STATE_LEN);
	__type(key, struct bh_flow_key4);
	__type(value, struct bh_flow_state);
} lru_flows SEC(".maps");

static __always_inline bool is_service(__be16 port)
{
	return port == bpf_htons(80) || port == bpf_htons(443);
}

/* One key for both directions; local is the service. */
static __always_inline struct bh_flow_key4 key_of(const struct packet *packet, bool answer)
{
	struct bh_flow_key4 key = {.protocol = packet->protocol};

	key.local = answer ? packet->source.word[3] : packet->destination.word[3];
	key.remote = answer ? packet->destination.word[3] : packet->source.word[3];
	key.local_port = answer ? packet->source_port : packet->destination_port;
	key.remote_port = answer ? packet->destination_port : packet->source_port;
	return key;
}

SEC("xdp.frags")
int lru_state(struct xdp_md *ctx)
{
	struct packet packet = {
		.direction = BH_IN, .hook = BH_HOOK_XDP, .length = bpf_xdp_get_buff_len(ctx)};
	struct bh_flow_state fresh = {};
	struct bh_flow_state *state;
	struct bh_flow_key4 key;

	if (parse_xdp_near(ctx, &packet) != BH_REASON_RULE || packet.family != 4)
		return XDP_PASS;
	key = key_of(&packet, is_service(packet.source_port));
	state = bpf_map_lookup_elem(&lru_flows, &key);
	fresh.meta = bpf_jiffies64() >> 5;
	if (state) {
		if (state->meta != fresh.meta)
			state->meta = fresh.meta;
		return XDP_PASS;
	}
	if (packet.tcp_flags != STATES_SYN || !is_service(packet.destination_port))
		return XDP_DROP;
	return bpf_map_update_elem(&lru_flows, &key, &fresh, BPF_ANY) ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
