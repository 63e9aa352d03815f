/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * struct packet → outcome, by the tables of the image that stand in bpf/abi.h: address → class
 * → class of the side, the two → class of the pair, protocol and ports → class, the two →
 * outcome. No helper is called but look-ups that the verifier inlines, and nothing loops but
 * the bounded search of a chunk. userspace/classify/lookup.c does the same over the same bytes.
 */
#ifndef BPF_CLASSIFY_BPF_H
#define BPF_CLASSIFY_BPF_H

#include <linux/types.h>

#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/abi.h"
#include "bpf/image.bpf.h"
#include "bpf/maps.bpf.h"
#include "bpf/packet.bpf.h"

/* Halvings that a chunk of one page may take: up to 2^17 elements. */
#define CLASSIFY_SEARCH_MAX 17

/* All ones when a < b, else 0: a borrow, since branches would multiply what is verified. */
static __always_inline __u32 classify_below(__u64 a, __u64 b)
{
	return 0 - (__u32)(((~a & b) | ((~a | b) & (a - b))) >> 63);
}

/*
 * The class of an IPv4 address in a chunk of ranges: entries are first << 16 | class, so that the
 * last one not above (low << 16 | 0xffff) holds.
 */
static __always_inline __u32 classify_ranges4(const __u8 *page, __u32 chunk, __u32 address)
{
	__u64 key = address << 16 | 0xffff;
	__u32 entry = chunk + 4;
	__u32 n = image_u32(page, chunk);

#pragma clang loop unroll(disable)
	for (int i = 0; i < CLASSIFY_SEARCH_MAX && n > 1; i++) {
		__u32 half = n >> 1;
		__u64 middle = image_u32(page, entry + half * 4);

		/* Both are below 2^32: the borrow of their difference is the comparison. */
		entry += half * 4 & ((__u32)((key - middle) >> 63) - 1);
		n -= half;
	}
	return image_u32(page, entry) & 0xffff;
}

/*
 * All ones when a bit is set, else 0: what chooses between two values without a branch. Where the
 * branch hung on the packet's address it would be guessed, half of the time wrongly, and with it
 * all that is under way of the packet behind.
 */
static __always_inline __u32 classify_mask(__u32 value, int bit)
{
	__u32 mask = (__s32)(value << (31 - bit)) >> 31;

	barrier_var(mask);
	return mask;
}

/*
 * The class of an address below an element of the root: the subtree's element, and where that is
 * no class the one in its block. What is not there to be read is read at the start of page 0.
 */
static __always_inline __u32 classify_blocks4(const __u8 *page, __u32 subtree, __u32 address,
					      __u32 deep)
{
	__u32 width = subtree & BH_SUBTREE_WIDTH;
	__u32 low = address & 0xffff;
	__u32 shift = 16 - width;
	__u32 element, deeper, block;

	subtree &= ~(BH_SUBTREE_WIDTH | 0x20);
	element = image_u16(page, (subtree + (low >> (shift & 31)) * 2) & deep);
	deeper = classify_mask(element, 15) & deep;
	block = (subtree + (2 << width) + (element & 0x7fff) * sizeof(struct bh_block4)) & deeper &
		(BH_PAGE_SIZE - sizeof(struct bh_block4));
	low &= (1 << (shift & 31)) - 1;
	block += offsetof(struct bh_block4, class) +
		 (bh_block4_find((const void *)(page + block), low) & 7) * 2;
	barrier_var(block); /* or clang leaves out the mask that Linux 6.1 has to see */
	return (element & ~deeper) | (image_u16(page, block) & deeper);
}

/* False: a page is missing. */
static __always_inline bool classify_address4(const struct image_view *view, __u32 address,
					      __u32 *ret_class)
{
	const struct bh_head *head = image_head(view);
	__u32 at = head->address4 + (address >> 16) * 4;
	const __u8 *page = image_page(view, at);
	__u32 element, subtree, deep;

	if (!page)
		return false;
	element = image_u32(page, at);
	deep = classify_mask(element, 31);
	subtree = element & ~BH_DEEP & deep;
	page = image_far(view, subtree);
	if (!page)
		return false;
	if (head->address4_kind == BH_ADDRESS4_BLOCKS)
		subtree = classify_blocks4(page, subtree, address, deep);
	else if (deep)
		subtree = classify_ranges4(page, subtree, address);
	*ret_class = (element & ~deep) | (subtree & deep);
	return true;
}

/* The value of a chunk for one half of an IPv6 address: { n, zero, u64 first[n], value[n] }. */
static __always_inline __u32 classify_chunk6(const __u8 *page, __u32 chunk, __u64 key)
{
	__u32 n_all = image_u32(page, chunk);
	__u32 first = chunk + 8;
	__u32 at = first;
	__u32 n = n_all;

#pragma clang loop unroll(disable)
	for (int i = 0; i < CLASSIFY_SEARCH_MAX && n > 1; i++) {
		__u32 half = n >> 1;

		at += half * 8 & ~classify_below(key, image_u64(page, at + half * 8));
		n -= half;
	}
	return image_u32(page, first + n_all * 8 + ((at - first) >> 1));
}

/* The value of a leaf: the keys are compared all at once, without a branch. */
static __always_inline __u32 classify_leaf6(const __u8 *page, __u32 address, __u64 high)
{
	const struct bh_leaf6 *leaf =
		(const void *)(page + (address & (BH_PAGE_SIZE - sizeof(struct bh_leaf6))));
	__u64 key = high & (BH_LEAF_NONE - 1);
	__u32 above = 0;

#pragma unroll
	for (int i = 0; i < BH_LEAF_KEYS; i++)
		above += (key - leaf->first[i]) >> 63;
	return image_u32(page, address + sizeof(leaf->first) + (BH_LEAF_KEYS - above) * 4);
}

/*
 * The class of an IPv6 address by the tables that an element leads to; below 0: a page is missing,
 * or there is no end to them. A global function: what is verified here is so once.
 */
int classify_deep6(__u64 generation, __u32 element, __u64 high, __u64 low);

__attribute__((noinline)) int classify_deep6(__u64 generation, __u32 element, __u64 high, __u64 low)
{
	const struct image_view view = {.generation = generation};

#pragma clang loop unroll(disable)
	for (int i = 0; i < BH_DEPTH6 && element & BH_DEEP; i++) {
		__u32 at = bh_deep(element);
		const __u8 *page;

		if (element & BH_FAN)
			at += bh_fan_index(element, high) * 4;
		page = image_far(&view, at);
		if (!page)
			break;
		if (element & BH_FAN)
			element = image_u32(page, at);
		else if (element & BH_LEAF)
			element = classify_leaf6(page, at, high);
		else
			element = classify_chunk6(page, at, element & BH_LOW ? low : high);
	}
	return element;
}

static __always_inline bool classify_address6(const struct image_view *view,
					      const union packet_address *address, __u32 *ret_class)
{
	const struct bh_head *head = image_head(view);
	__u64 high = bpf_be64_to_cpu(address->half[0]);
	__u32 bits = head->address6_bits & 31;
	__u32 at = high >> 61;
	const __u8 *page;
	int class;

	if (at == 1)
		at = (high << 3) >> (64 - bits);
	else
		at += 1U << bits;
	at = head->address6 + at * 4;
	page = image_page(view, at);
	if (!page)
		return false;
	class = image_u32(page, at);
	if (class < 0)
		class = classify_deep6(view->generation, class, high,
				       bpf_be64_to_cpu(address->half[1]));
	*ret_class = class;
	return class >= 0;
}

/*
 * Whether an address is one of the host's own: 1 or 0. ::ffff:a.b.c.d over IPv6 is not the
 * IPv4 address that stands in the table in this form. False: no table.
 */
static __always_inline bool classify_self(const union packet_address *address, __u8 family,
					  __u32 *ret_self)
{
	__u64 unmapped = address->half[0] | (address->word[2] ^ bpf_htonl(0xffff)) | (family ^ 6);
	__u64 never = classify_below(unmapped, 1);
	__u64 high = address->half[0];
	__u64 low = address->half[1];
	__u32 zero = 0;
	void *inner = bpf_map_lookup_elem(&bh_self, &zero);
	const struct bh_self *self = inner ? bpf_map_lookup_elem(inner, &zero) : NULL;
	__u32 bucket;
	__u32 hit = 0;

	if (!self)
		return false;
	bucket = bh_self_hash(high, low, self->seed) & (BH_SELF_BUCKETS - 1);
	for (int way = 0; way < BH_SELF_WAYS; way++)
		hit |= !((self->way[bucket][way][0] ^ high) | (self->way[bucket][way][1] ^ low) |
			 never);
	*ret_self = hit & !!(high | low); /* :: is an empty way */
	return true;
}

/* The class of one side: 0 the source, 1 the destination. False: a page is missing. */
static __always_inline bool classify_side(const struct image_view *view,
					  const struct bh_direction_head *tables,
					  const struct packet *packet, int side, __u32 *ret_class)
{
	const union packet_address *address = side ? &packet->destination : &packet->source;
	__u32 class = 0;
	__u32 self = 0;
	const __u8 *page;

	if (tables->sides_address & 1 << side) {
		if (packet->family == 4) {
			if (!classify_address4(view, bpf_ntohl(address->word[3]), &class))
				return false;
		} else if (!classify_address6(view, address, &class)) {
			return false;
		}
	}
	if (tables->sides_self & 1 << side && !classify_self(address, packet->family, &self))
		return false;
	self = tables->side[side] + (class * 2 + self) * 2;
	page = image_page(view, self);
	if (!page)
		return false;
	*ret_class = image_u16(page, self);
	return true;
}

/* The class of a port; 0 where no rule asks for it. False: a page is missing. */
static __always_inline bool classify_port(const struct image_view *view, __u32 root, __u32 port,
					  __u32 *ret_class)
{
	const __u8 *page;
	__u32 at;

	*ret_class = 0;
	if (!root)
		return true;
	at = root + (port >> 8) * 4;
	page = image_page(view, at);
	if (!page)
		return false;
	at = image_u32(page, at) + (port & 0xff) * 2;
	page = image_page(view, at);
	if (!page)
		return false;
	*ret_class = image_u16(page, at);
	return true;
}

static __always_inline bool classify_protocol(const struct image_view *view,
					      const struct bh_direction_head *tables,
					      const struct packet *packet, __u32 *ret_class)
{
	__u32 at = tables->slot_of + ((packet->family == 6) * 256 + packet->protocol) * 2;
	const __u8 *page = image_page(view, at);
	const struct bh_proto_slot *slot;
	__u32 source, destination;

	if (!page)
		return false;
	at = tables->slots + image_u16(page, at) * sizeof(*slot);
	page = image_page(view, at);
	if (!page)
		return false;
	slot = (const void *)(page + (at & (BH_PAGE_SIZE - sizeof(*slot))));
	if (!classify_port(view, slot->source_root, packet->class_source_port, &source) ||
	    !classify_port(view, slot->destination_root, packet->class_destination_port,
			   &destination))
		return false;
	at = slot->cells + (source * slot->n_destination + destination) * 2;
	page = image_page(view, at);
	if (!page)
		return false;
	*ret_class = image_u16(page, at);
	return true;
}

/* The outcome of a pair of side classes and a protocol class. False: a page is missing. */
static __always_inline bool classify_product(const struct image_view *view,
					     const struct bh_direction_head *tables, __u32 cell,
					     __u32 protocol, __u32 *ret_outcome)
{
	__u32 at = tables->pair + cell * 2;
	const __u8 *page = image_page(view, at);

	if (!page)
		return false;
	at = tables->row + (image_u16(page, at) * tables->row_len + (protocol >> 5)) * 4;
	page = image_page(view, at);
	if (!page)
		return false;
	at = image_u32(page, at) + (protocol & 31) * 2;
	page = image_page(view, at);
	if (!page)
		return false;
	*ret_outcome = image_u16(page, at);
	return true;
}

/* ---- bits ---- */

/* In place of an outcome: the three classes, for classify_by_bits. */
#define CLASSIFY_BITS (1ULL << 63)

static __always_inline __u64 classify_classes(__u32 source, __u32 destination, __u32 protocol)
{
	return CLASSIFY_BITS | (__u64)(protocol & 0xffff) << 32 | (destination & 0xffff) << 16 |
	       (source & 0xffff);
}

/* Of a word with one bit: 1 when that is not in the mask; a borrow, without a branch. */
static __always_inline __u32 classify_lacks(__u64 bit, __u64 mask)
{
	return ((bit & mask) - 1) >> 63;
}

/* The number of the lowest bit of a word that is not 0; the instruction set has nothing for it. */
static __always_inline __u32 classify_lowest(__u64 word)
{
	__u64 bit = word & (0 - word);

	return classify_lacks(bit, 0x00000000ffffffff) << 5 |
	       classify_lacks(bit, 0x0000ffff0000ffff) << 4 |
	       classify_lacks(bit, 0x00ff00ff00ff00ff) << 3 |
	       classify_lacks(bit, 0x0f0f0f0f0f0f0f0f) << 2 |
	       classify_lacks(bit, 0x3333333333333333) << 1 |
	       classify_lacks(bit, 0x5555555555555555);
}

/* Words that one call looks at: its loop is verified once, however many calls there are. */
#define CLASSIFY_CHUNK 32

/*
 * Three sets of rules by their addresses, two of them in one word: 1 + the first rule that is in
 * all of them, counted from word first on, below word end and in one chunk; 0: there is none; below
 * 0: a page is missing. Not image_page(): page 0 or another, three times, are ways that the
 * verifier would all go.
 */
int classify_chunk(__u64 generation, __u64 two, __u32 third, __u32 first, __u32 end);

__attribute__((noinline)) int classify_chunk(__u64 generation, __u64 two, __u32 third, __u32 first,
					     __u32 end)
{
	struct image_view view = {.generation = generation};
	const __u8 *source = image_far(&view, (__u32)two);
	const __u8 *destination = image_far(&view, two >> 32);
	const __u8 *protocol = image_far(&view, third);
	__u32 at = first * 8;

	if (!source || !destination || !protocol)
		return -1;
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < CLASSIFY_CHUNK && first + i < end; i++, at += 8) {
		__u64 word = image_u64(source, (__u32)two + at) &
			     image_u64(destination, (__u32)(two >> 32) + at) &
			     image_u64(protocol, third + at);

		if (word)
			return i * 64 + classify_lowest(word) + 1;
	}
	return 0;
}

/*
 * The same over all words; below 0: a page is missing. A function of its own, since old kernels
 * know at which turn each loop ended, and would go on from every one into the next tier.
 */
int classify_first(__u64 generation, __u64 two, __u32 third, __u32 first, __u32 end);

__attribute__((noinline)) int classify_first(__u64 generation, __u64 two, __u32 third, __u32 first,
					     __u32 end)
{
#pragma clang loop unroll(disable)
	for (__u32 at = 0; at < BH_BITS_WORDS && first + at < end; at += CLASSIFY_CHUNK) {
		int found = classify_chunk(generation, two, third, first + at, end);

		if (found)
			return found < 0 ? found : found + (int)at * 64;
	}
	return 0;
}

/* The address of a set by its number; 0: the page is missing. */
static __always_inline __u32 classify_set(const struct image_view *view,
					  const struct bh_direction_head *tables, __u32 number)
{
	const __u8 *page = image_far(view, tables->pair + number * 4);

	return page ? image_u32(page, tables->pair + number * 4) : 0;
}

/* The outcome of classes as classify_classes() joins them; below 0: a page is missing. */
int classify_by_bits(__u64 generation, __u64 classes, __u32 direction);

__attribute__((noinline)) int classify_by_bits(__u64 generation, __u64 classes, __u32 direction)
{
	const struct bh_direction_head *tables;
	struct image_view view;
	const volatile __u16 *ends;
	__u32 protocol, row = 0, fault = 0;
	const __u8 *page;
	__u64 two;

	if (image_open_at(&view, generation) != BH_REASON_RULE)
		return -1;
	tables = &image_head(&view)->direction[direction & 1];
	two = classify_set(&view, tables, classes & 0xffff) |
	      (__u64)classify_set(&view, tables, tables->n_source + (classes >> 16 & 0xffff)) << 32;
	protocol = classify_set(
		&view, tables, tables->n_source + tables->n_destination + (classes >> 32 & 0xffff));
	/* Read anew for each use: what one loop tells of its end would go on into the next. */
	ends = tables->tier_end;
#pragma unroll
	for (int tier = 0; tier < BH_TIER_COUNT; tier++) {
		__u32 found = classify_first(generation, two, protocol, tier ? ends[tier - 1] : 0,
					     ends[tier]);

		fault |= found;
		row = row * (tables->tier_rules[tier] + 1) + found;
	}
	if (fault >> 31)
		return -1;
	page = image_far(&view, tables->row + row * 2);
	return page ? image_u16(page, tables->row + row * 2) : -1;
}

/*
 * The outcome of a packet that reaches the rules. BH_REASON_RULE and *ret_outcome set, or
 * BH_REASON_IMAGE_FAULT. An image with bits gives the classes instead: CLASSIFY_BITS is set.
 */
static __always_inline enum bh_reason classify(const struct image_view *view,
					       const struct packet *packet, __u64 *ret_outcome)
{
	const struct bh_direction_head *tables =
		&image_head(view)->direction[packet->direction & 1];
	__u32 source, destination, protocol, outcome;

	if (!classify_side(view, tables, packet, 0, &source) ||
	    !classify_side(view, tables, packet, 1, &destination) ||
	    !classify_protocol(view, tables, packet, &protocol))
		return BH_REASON_IMAGE_FAULT;
	if (tables->product == BH_PRODUCT_BITS) {
		*ret_outcome = classify_classes(source, destination, protocol);
		return BH_REASON_RULE;
	}
	if (!classify_product(view, tables, source * tables->n_destination + destination, protocol,
			      &outcome))
		return BH_REASON_IMAGE_FAULT;
	*ret_outcome = outcome;
	return BH_REASON_RULE;
}

#endif
