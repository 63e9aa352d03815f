// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames at the kernel's own speed: run by BPF_PROG_RUN with live frames, it fills each with the next
 * of its list and redirects it into a link.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/types.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "tests/lib/generator.h"

struct frame {
	__u8 bytes[GENERATOR_FRAME_SIZE];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, GENERATOR_FRAMES);
	__type(key, __u32);
	__type(value, struct frame);
} frames SEC(".maps");

struct generator_settings settings = {};
__u32 next = 0;
__u64 sent = 0;

/* RFC 1624: the checksum after a word of 16 bits has changed from old to new. */
static __always_inline __u16 adjust(__u16 checksum, __u16 old, __u16 new)
{
	__u32 sum = (__u16)~checksum + (__u16)~old + new;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/*
 * The low 24 bits of an IPv4 source and the port behind it, by an odd multiplier, so that 2^32
 * frames differ; the checksums of IP and TCP follow. UDP has none to follow: it is 0.
 */
static __always_inline void vary(__u8 *bytes, __u32 number)
{
	struct iphdr *ip = (void *)(bytes + ETH_HLEN);
	__be16 *port = (void *)(ip + 1);
	__be16 *halves = (void *)&ip->saddr;
	__u16 *tcp_checksum = (void *)((__u8 *)(ip + 1) + 16);
	__u32 mixed = number * 2654435761U;
	__be16 low = bpf_htons(mixed);
	__be16 from = bpf_htons(1024 + (mixed >> 16) % 64000);

	ip->check = adjust(ip->check, halves[1], low);
	if (ip->protocol == IPPROTO_TCP)
		*tcp_checksum = adjust(adjust(*tcp_checksum, halves[1], low), *port, from);
	halves[1] = low;
	*port = from;
}

SEC("xdp")
int generate(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;
	const void *end = (void *)(long)ctx->data_end;
	__u32 number = next++;
	__u32 at = settings.first + number % (settings.n | !settings.n);
	const struct frame *frame = bpf_map_lookup_elem(&frames, &at);

	if (!frame || (const void *)(data + sizeof(*frame)) > end)
		return XDP_ABORTED;
	__builtin_memcpy(data, frame, sizeof(*frame));
	if (frame->bytes[GENERATOR_FRAME_SIZE - 1])
		vary(data, number);
	sent++;
	return bpf_redirect(settings.ifindex, 0);
}

char LICENSE[] SEC("license") = "GPL";
