/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How flows come into tables of another size: behind the flip, out of the slot of the generation before
 * into that of the one in force, while packets pass. A flow moves when a packet wants it or when
 * the loader, by bh_carry, comes to its way; nothing else moves what lies in the old tables. It is
 * entered into the new table before it leaves the old one, so whoever looks first in the old and
 * then in the new one finds it.
 */
#ifndef BPF_FLOWCARRY_BPF_H
#define BPF_FLOWCARRY_BPF_H

#include "bpf/flowinsert.bpf.h"
#include "bpf/flowkey.bpf.h"
#include "bpf/flowtable.bpf.h"
#include "bpf/image.bpf.h"
#include "bpf/maps.bpf.h"

/* Where flows move while a packet looks for its own, by the generation that is the packet's. */
enum flow_moves {
	FLOW_STAYS, /* they do not, or the flip is still to come */
	FLOW_COMES, /* into its slot */
	FLOW_GOES,  /* into the other one: the packet has begun before the flip */
};

/* A global function, because the stack of those that ask is short. */
int flow_moves(__u64 generation);

__attribute__((noinline)) int flow_moves(__u64 generation)
{
	const struct untracked *at = flow_untracked();
	const struct bh_active *active;
	__u32 zero = 0;
	__u64 into;

	if (!at)
		return FLOW_STAYS;
	into = flow_load(&at->carrying);
	active = into ? bpf_map_lookup_elem(&bh_active, &zero) : NULL;
	if (!active || flow_load(&active->generation) != into)
		return FLOW_STAYS;
	return generation == into ? FLOW_COMES : FLOW_GOES;
}

/*
 * 0: all tables have the sizes of the other slot's, and so lie in its pages:
 * applying_prepare_state() puts these into both.
 */
static __always_inline __u64 flow_slots_differ(const struct image_view *view,
					       const struct image_view *other)
{
	const struct bh_table_place *here = image_head(view)->config.tables;
	const struct bh_table_place *there = image_head(other)->config.tables;
	__u64 differ = 0;

#pragma unroll
	for (int i = 0; i < BH_TABLE_COUNT; i++)
		differ |= flow_load(here + i) ^ flow_load(there + i);
	return differ;
}

/* Meta of an established flow that finds no way: half-open, its answers pass, and it tries again. */
static __always_inline __u64 flow_carry_demoted(__u64 meta)
{
	const __u32 lost = BH_FLOW_ESTABLISHED | BH_FLOW_CLOSING | BH_FLOW_ANSWERS;
	bool tcp = bh_flow_kind(flow_flags(meta)) == BH_FLOW_TCP;

	meta &= ~((__u64)lost << 32);
	return meta | (__u64)(tcp ? BH_FLOW_SYN_ACK : BH_FLOW_REPLIED) << 32;
}

/*
 * Enters what has been found in a table into the new one; where that is full of established flows, into
 * the half-open one. Its position, and meta and rest in query; negative: it finds no way.
 */
static __always_inline int flow_carry_enter(struct flow_query *query, __u32 table)
{
	__u64 meta = query->meta;
	__u64 rest = query->rest;
	struct bh_flow_state *state;
	int position = FLOW_NONE;
	int stands;

#pragma clang loop unroll(disable)
	for (int i = 0; i < 2 && position < 0; i++) {
		if (i) {
			if (table != BH_TABLE_ESTABLISHED4 && table != BH_TABLE_ESTABLISHED6)
				return FLOW_NONE;
			note(BH_NOTE_ESTABLISHED_FULL);
			table -= BH_TABLE_ESTABLISHED4;
			meta = flow_carry_demoted(meta);
			rest = flow_rest(rest, rest >> 32, 0);
		}
		query->meta = meta;
		query->rest = rest;
		position = flow_insert(query, table);
	}
	/* Another CPU may have moved and established this very flow since this one has found it. */
	if (position < 0 || table > BH_TABLE_HALF_OPEN6 || query->found == FLOW_THEIRS)
		return position;
	stands = flow_find(query, table + BH_TABLE_ESTABLISHED4);
	if (stands < 0)
		return position;
	state = flow_at(position);
	if (state)
		flow_release(state, meta);
	return stands;
}

/*
 * Moves the flow of query's key from a table of the other slot into that of query's generation: 1.
 * 0: it is not there, finds no way, or somebody else was faster. Whoever moves it has seen one
 * entry of it stand in the new table before the old one goes, its own or another's; what packets
 * that have begun before the flip have marked in the old one meanwhile comes into that.
 */
int flow_carry(struct flow_query *query, __u32 table);

FLOW_LOOPS int flow_carry(struct flow_query *query, __u32 table)
{
	struct image_view view, other;
	struct bh_flow_state *state;
	__u64 meta, rest, taken;
	__u32 marks = FLOW_MARKS;
	__u32 opened;
	int from, to;

	if (!query || image_open_at(&view, query->generation) != BH_REASON_RULE ||
	    image_open_at(&other, query->generation - 1) != BH_REASON_RULE ||
	    !flow_slots_differ(&view, &other))
		return 0;
	query->generation--;
	from = flow_find(query, table);
	query->generation++;
	meta = query->meta;
	rest = query->rest;
	if (from < 0 || flow_expired(&view, meta, query->tick))
		return 0;
	to = flow_find(query, table);
	if (to >= 0 && flow_expired(&view, query->meta, query->tick)) {
		state = flow_at(to);
		if (state)
			flow_swap(state, query->meta, 0);
		to = FLOW_NONE;
	}
	if (to < 0) {
		query->meta = meta;
		query->rest = rest;
		to = flow_carry_enter(query, table);
	}
	state = flow_at(from);
	if (to < 0 || !state)
		return 0;
	opened = flow_opened(state, query->wide);
	taken = flow_release(state, meta);
	state = flow_at(to);
	if (!(flow_flags(query->meta) & BH_FLOW_ESTABLISHED))
		marks &= ~BH_FLOW_CLOSING;
	if (state) {
		flow_inherit(state, query->meta, taken, marks);
		flow_set_opened(state, query->wide, opened);
	}
	return taken != 0;
}

/*
 * The same for a way of the other slot, whatever flow lives there. number: among all ways of the table.
 */
int flow_carry_way(__u64 generation, __u32 table, __u32 number);

FLOW_LOOPS int flow_carry_way(__u64 generation, __u32 table, __u32 number)
{
	const __u32 narrow = 1 << BH_TABLE_HALF_OPEN4 | 1 << BH_TABLE_ESTABLISHED4;
	struct flow_query query = {
		.generation = generation,
		.tick = clock_tick(),
		.wide = !(narrow >> (table & 7) & 1),
	};
	__u32 bucket = number / BH_WAYS;
	__u32 way = number % BH_WAYS;
	struct image_view other;
	const __u8 *page;
	__u32 offset, mask;

	if (image_open_at(&other, generation - 1) != BH_REASON_RULE)
		return 0;
	mask = flow_place(&other, table)->mask;
	page = flow_page(flow_element(&other, table, bucket, flow_shift(query.wide)));
	if (!page || bucket > mask)
		return 0;
	offset = flow_bucket(bucket, mask, flow_shift(query.wide), false) +
		 way * flow_way_size(query.wide);
	if (!(flow_flags(flow_word(page, offset)) & BH_FLOW_LIVE))
		return 0;
	offset += FLOW_KEY;
	query.word[0] = flow_word(page, offset);
	query.word[1] = flow_word(page, offset + 8);
	if (query.wide) {
		query.word[2] = flow_word(page, offset + 16);
		query.word[3] = flow_word(page, offset + 24);
		query.word[4] = flow_word(page, offset + 32);
		query.hash = flow_hash6(query.word);
	} else {
		query.word[1] &= FLOW_LAST4;
		query.hash = flow_hash4(query.word);
	}
	return flow_carry(&query, table);
}

/*
 * How many of so many ways' flows were moved; and of BH_CARRY_STEP ways', so that each loop is
 * short.
 */
#define FLOW_CARRY_WAYS 64

int flow_carry_ways(__u64 generation, __u32 table, __u32 first);
int flow_carry_step(__u64 generation, __u32 table, __u32 first);

FLOW_LOOPS int flow_carry_ways(__u64 generation, __u32 table, __u32 first)
{
	int n = 0;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < FLOW_CARRY_WAYS; i++)
		n += flow_carry_way(generation, table, first + i);
	return n;
}

FLOW_LOOPS int flow_carry_step(__u64 generation, __u32 table, __u32 first)
{
	int n = 0;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < BH_CARRY_STEP; i += FLOW_CARRY_WAYS)
		n += flow_carry_ways(generation, table, first + i);
	return n;
}

/* Ways of a table of the other slot; 0: it is not there. */
static __always_inline __u32 flow_carry_count(__u64 generation, __u32 table)
{
	struct image_view other;

	if (image_open_at(&other, generation - 1) != BH_REASON_RULE)
		return 0;
	return (flow_place(&other, table)->mask + 1) * BH_WAYS;
}

/* Does what the loader wants, and answers as enum bh_carry says. */
static __always_inline __u32 flow_carry_obey(const struct bh_carry_order *order)
{
	struct untracked *at = flow_untracked();

	if (!at || order->table >= BH_TABLE_COUNT)
		return 0;
	switch (order->what) {
	case BH_CARRY_IS_ON:
		return at->carrying != 0;
	case BH_CARRY_ON:
	case BH_CARRY_OFF:
		at->carrying = order->what == BH_CARRY_ON ? order->generation : 0;
		return 1;
	case BH_CARRY_COUNT:
		return flow_carry_count(order->generation, order->table);
	case BH_CARRY_MOVE:
		return flow_carry_step(order->generation, order->table, order->first);
	}
	return 0;
}

#endif
