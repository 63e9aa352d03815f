/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The part of bpf/abi.h in which an address finds its class: the tables that address4 and address6
 * of struct bh_head lead to.
 */
#ifndef BPF_ADDRESSES_H
#define BPF_ADDRESSES_H

#include <linux/types.h>

/* How IPv4 addresses find their class. */
enum bh_address4 {
	BH_ADDRESS4_BLOCKS, /* a subtree per /16, of blocks of up to eight ranges: fastest */
	BH_ADDRESS4_RANGES, /* a sorted chunk per /16: smallest */
};

/*
 * address4: u32[65536] by the high 16 bits of an IPv4 address. Without BH_DEEP the element is
 * the class. With it, the rest is the address of
 *   blocks: a subtree u16[1 << width] by the next width bits, 4 to 13, plus that width; an element
 *     below 0x8000 is the class, else its other bits number the struct bh_block4 behind the
 *     subtree;
 *   ranges: a chunk { u32 n; u32 entry[n]; } of first address's low 16 bits << 16 | class, in
 *     ascending order, the first for 0: the last entry not above the address holds.
 *
 * address6: u32[(1 << address6_bits) + 8]. Addresses of 2000::/3 take their address6_bits
 * bits behind the first three, all others (1 << address6_bits) + their first three bits. Without
 * BH_DEEP the element is the class, else the address of a table, whose element for the address is
 * such an element again; one of these bits says which table:
 *   BH_FAN: u32[1 << width] by the width bits behind the first start bits, see bh_fan_index();
 *   BH_LEAF: a struct bh_leaf6 over the high 64 bits in host order;
 *   BH_LOW: a chunk over the low 64 bits;
 *   none: a chunk over the high 64 bits. A chunk is 8-byte aligned,
 *     { u32 n; u32 zero; u64 first[n]; u32 value[n]; }
 *     sorted, first[0] not above any address that gets here.
 * No way leads through more than BH_DEPTH6 of these; from a chunk over the high bits on to one over
 * the low ones alone, from there to classes.
 */
#define BH_DEEP 0x80000000U

/* Of an element with BH_DEEP that leads to a subtree, whose address is a multiple of 64. */
#define BH_SUBTREE_WIDTH     0x1fU
#define BH_SUBTREE_WIDTH_MIN 4
#define BH_SUBTREE_WIDTH_MAX 13

/*
 * Up to eight ranges of what an element of a subtree leaves of an address, its last 16 - width
 * bits. class[i] holds from key i - 1 up to key i. Keys are u16, four in a word, the first one in
 * its low bits, each as 0x8000 less the first address of its range: so the sum of it and of an
 * address has bit 15 set when the key is not above, and four are added at once. Absent: 0.
 */
#define BH_BLOCK4_RANGES 8
#define BH_BLOCK4_LANES	 0x0001000100010001ULL

struct bh_block4 {
	__u64 keys[2]; /* the last lane is always absent */
	__u16 class[BH_BLOCK4_RANGES];
};
_Static_assert(sizeof(struct bh_block4) == 32, "abi");

/* Which class of a block is that of an address; bits: what its subtree left of it. */
static inline __u32 bh_block4_find(const struct bh_block4 *block, __u64 bits)
{
	__u64 lanes = bits * BH_BLOCK4_LANES;
	__u64 sum = ((block->keys[0] + lanes) >> 15 & BH_BLOCK4_LANES) +
		    ((block->keys[1] + lanes) >> 15 & BH_BLOCK4_LANES);

	return (sum * BH_BLOCK4_LANES) >> 48;
}

#define BH_FAN	0x40000000U
#define BH_LEAF 0x1U
#define BH_LOW	0x2U

/* Of an element with BH_FAN, behind an address that is a multiple of 1024. */
#define BH_FAN_START 0x3fU
#define BH_FAN_WIDTH 0x3c0U /* one less, over 64 */
#define BH_FAN_MAX   16	    /* bits of width */
#define BH_FAN_ALIGN 1024

/* Tables that one address goes through at most: three times leaf and fan, a chunk, a low one. */
#define BH_DEPTH6 8

/*
 * Up to six values in one line of the cache, for keys in ascending order: value[i] holds from
 * first[i - 1] up to first[i]. A key is the high 64 bits of an address without the first three, so
 * that the sign of a difference tells which is above; BH_LEAF_NONE is above all.
 */
#define BH_LEAF_KEYS 5
#define BH_LEAF_NONE (1ULL << 61)

struct bh_leaf6 {
	__u64 first[BH_LEAF_KEYS];
	__u32 value[BH_LEAF_KEYS + 1];
};
_Static_assert(sizeof(struct bh_leaf6) == 64, "abi");

/* The address in an element with BH_DEEP. */
static inline __u32 bh_deep(__u32 element)
{
	return element & (element & BH_FAN ? ~(BH_DEEP | BH_FAN | (BH_FAN_ALIGN - 1))
					   : ~(BH_DEEP | BH_LEAF | BH_LOW));
}

static inline __u32 bh_fan_width(__u32 element)
{
	return ((element & BH_FAN_WIDTH) >> 6) + 1;
}

/* Which element of a fan is that of an address, by its high 64 bits. */
static inline __u32 bh_fan_index(__u32 element, __u64 high)
{
	return (high << (element & BH_FAN_START)) >> (64 - bh_fan_width(element));
}

#endif
