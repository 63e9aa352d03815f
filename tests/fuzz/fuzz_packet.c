// SPDX-License-Identifier: GPL-2.0-only
/*
 * The packet parser of the programs, compiled for this machine. The first byte says the
 * direction, the rest is a frame. It lies at the end of a page behind which nothing is mapped, and
 * is read twice: directly and by helper. Both have to say the same.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

/* Of libbpf's own pointers nothing can be set from 1.5 on, where they are const. */
#define bpf_xdp_load_bytes   load_bytes
#define bpf_xdp_get_buff_len get_buff_len

static long load_bytes(struct xdp_md *ctx, __u32 offset, void *to, __u32 size);
static __u64 get_buff_len(struct xdp_md *ctx);

#include "bpf/parse.bpf.h"
#include "tests/fuzz/fuzz.h"

enum { ROOM = 64 * 1024, PAGE = 4096, LOWEST = 16 * 1024 * 1024 };

/* The frame at hand, for the helpers, which are handed no more than a context. */
static const uint8_t *frame_at;
static uint32_t frame_size;

static long load_bytes(struct xdp_md *ctx, __u32 offset, void *to, __u32 size)
{
	(void)ctx;
	if (offset > frame_size || size > frame_size - offset)
		return -1;
	memcpy(to, frame_at + offset, size);
	return 0;
}

static __u64 get_buff_len(struct xdp_md *ctx)
{
	(void)ctx;
	return frame_size;
}

/* A context holds addresses in 32 bits, and only one machine has MAP_32BIT. */
static uint8_t *map_low(void)
{
	uint8_t *low = MAP_FAILED;

	for (uintptr_t at = LOWEST; low == MAP_FAILED && at < UINT32_MAX - ROOM - PAGE;
	     at += LOWEST)
		low = mmap((void *)at, ROOM + PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	fuzz_demand(low != MAP_FAILED);
	fuzz_demand(!mprotect(low + ROOM, PAGE, PROT_NONE));
	return low;
}

static void check(const struct packet *packet, int reason)
{
	fuzz_demand(reason >= 0 && reason < BH_REASON_COUNT);
	fuzz_demand(packet->packets >= 1);
	if (reason != BH_REASON_RULE)
		return;
	fuzz_demand(packet->family == 4 || packet->family == 6);
	fuzz_demand(packet->l4_offset <= frame_size);
	fuzz_demand(packet->fragment == PACKET_LATER || packet->protocol != IPPROTO_TCP ||
		    packet->l4_offset + sizeof(struct tcphdr) <= frame_size);
	fuzz_demand(packet->fragment == PACKET_LATER || packet->protocol != IPPROTO_UDP ||
		    packet->l4_offset + sizeof(struct udphdr) <= frame_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t *low;
	struct packet near = {}, far = {};
	struct xdp_md ctx = {};
	int reason;

	if (!size || size > ROOM / 2)
		return 0;
	low = low ? low : map_low();
	near.direction = far.direction = data[0] & 1;
	frame_size = (uint32_t)size - 1;
	frame_at = low + ROOM - frame_size;
	memcpy(low + ROOM - frame_size, data + 1, frame_size);
	ctx.data = (uint32_t)(uintptr_t)frame_at;
	ctx.data_end = ctx.data + frame_size;
	reason = parse_xdp(&ctx, &near);
	check(&near, reason);
	fuzz_demand(parse_xdp_far(&ctx, &far) == reason);
	if (reason == BH_REASON_RULE)
		fuzz_demand(!memcmp(&near, &far, sizeof(near)));
	return 0;
}
