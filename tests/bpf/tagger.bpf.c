// SPDX-License-Identifier: GPL-2.0-only
/*
 * Puts VLAN tags on an skb as a device or the stack does, the last one beside the bytes, and goes
 * on to the program under test. BPF_PROG_RUN itself knows no such skb.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/types.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define TAGS_MAX 4

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} next SEC(".maps");

__u32 n_tags = 0;
__u32 tag_type = ETH_P_8021Q;

/* Its answer when something went wrong is none that a program under test gives. */
SEC("tc")
int tagger(struct __sk_buff *ctx)
{
	for (__u32 i = 0; i < TAGS_MAX && i < n_tags; i++)
		if (bpf_skb_vlan_push(ctx, bpf_htons(tag_type), 100 + i))
			return 100;
	bpf_tail_call(ctx, &next, 0);
	return 101;
}

char LICENSE[] SEC("license") = "GPL";
