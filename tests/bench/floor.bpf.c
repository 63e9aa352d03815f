// SPDX-License-Identifier: GPL-2.0-only
/* The least that a filter can do: drop everything. */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

SEC("xdp")
int floor_drop(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_DROP;
}

/* For frames of several buffers, as bulkhead's own: what the link does for any such program. */
SEC("xdp.frags")
int floor_pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
