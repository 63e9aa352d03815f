// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames at the kernel's own speed: run by BPF_PROG_RUN with live frames, it fills each with the next
 * of its list and redirects it into a link.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/types.h>

#include <stdbool.h>

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

/* Writes a word that the checksum of TCP covers. UDP's is 0 and stays so. */
static __always_inline void put(__be16 *at, __be16 word, struct tcphdr *tcp, __u8 protocol)
{
	if (protocol == IPPROTO_TCP)
		tcp->check = adjust(tcp->check, *at, word);
	*at = word;
}

static __always_inline __be16 low_of(__u32 mixed)
{
	return bpf_htons(mixed);
}

static __always_inline __be16 port_of(__u32 mixed)
{
	return bpf_htons(1024 + (mixed >> 16) % 64000);
}

/*
 * The low 16 bits of an address and the port of that end, of a number times an odd one, so that
 * (nearly) 2^32 frames differ.
 */
static __always_inline void vary4(struct iphdr *ip, __u32 mixed, bool destination)
{
	struct tcphdr *tcp = (void *)(ip + 1);
	__be16 *source = (__be16 *)&ip->saddr + 1;
	__be16 *target = (__be16 *)&ip->daddr + 1;
	__be16 before = destination ? *target : *source;

	ip->check = adjust(ip->check, before, low_of(mixed));
	if (destination) {
		put(target, low_of(mixed), tcp, ip->protocol);
		put(&tcp->dest, port_of(mixed), tcp, ip->protocol);
		barrier(); /* or clang joins the branches, and the verifier loses the packet */
	} else {
		put(source, low_of(mixed), tcp, ip->protocol);
		put(&tcp->source, port_of(mixed), tcp, ip->protocol);
	}
}

static __always_inline void vary6(struct ipv6hdr *ip, __u32 mixed, bool destination)
{
	struct tcphdr *tcp = (void *)(ip + 1);

	if (destination) {
		put(&ip->daddr.in6_u.u6_addr16[7], low_of(mixed), tcp, ip->nexthdr);
		put(&tcp->dest, port_of(mixed), tcp, ip->nexthdr);
		barrier();
	} else {
		put(&ip->saddr.in6_u.u6_addr16[7], low_of(mixed), tcp, ip->nexthdr);
		put(&tcp->source, port_of(mixed), tcp, ip->nexthdr);
	}
}

static __always_inline void vary(__u8 *bytes, __u32 number, bool destination)
{
	const struct ethhdr *ethernet = (void *)bytes;

	if (ethernet->h_proto == bpf_htons(ETH_P_IPV6))
		vary6((void *)(ethernet + 1), number * 2654435761U, destination);
	else
		vary4((void *)(ethernet + 1), number * 2654435761U, destination);
}

SEC("xdp")
int generate(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;
	const void *end = (void *)(long)ctx->data_end;
	__u32 number = next++;
	__u32 every = settings.every | !settings.every;
	__u32 turn = number / every;
	__u32 at = settings.first + turn % (settings.n | !settings.n);
	const struct frame *frame;

	if (number % every)
		at = settings.other;
	else if (settings.span)
		number = settings.from + turn % settings.span;
	frame = bpf_map_lookup_elem(&frames, &at);

	if (!frame || (const void *)(data + sizeof(*frame)) > end)
		return XDP_ABORTED;
	__builtin_memcpy(data, frame, sizeof(*frame));
	if (frame->bytes[GENERATOR_FRAME_SIZE - 1])
		vary(data, number, frame->bytes[GENERATOR_FRAME_SIZE - 1] == GENERATOR_DESTINATION);
	sent++;
	return bpf_redirect(settings.ifindex, 0);
}

char LICENSE[] SEC("license") = "GPL";
