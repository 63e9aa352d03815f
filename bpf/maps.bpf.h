/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All maps, each with who writes it and who reads it. Userspace pins them under these names and
 * finds the types of their values in bpf/abi.h. Maps of pages (arrays of maps) hold one element
 * per page; what stands here as inner map is the form that every page has.
 */
#ifndef BPF_MAPS_BPF_H
#define BPF_MAPS_BPF_H

#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#include "bpf/abi.h"
#include "bpf/packet.bpf.h"

/*
 * What is in force. Userspace: one store of eight bytes per flip, in memory that it maps (which the
 * kernel refuses for BPF_F_RDONLY_PROG). Programs: read once per packet.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct bh_active);
} bh_active SEC(".maps");

/* A page of the image: filled, frozen and never changed by userspace. */
struct image_page {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, BH_PAGE_SIZE);
};

/* The images of two generations. Userspace: before the flip. Programs: every packet. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2 * BH_IMAGE_PAGES);
	__type(key, __u32);
	__array(values, struct image_page);
} bh_image SEC(".maps");

/* A table of own addresses: filled and frozen by userspace. */
struct self_page {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct bh_self));
};

/*
 * The host's own addresses, element 0. Userspace replaces it whole whenever they change.
 * Programs: classify, where the policy speaks of self. Missing: no address is self.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct self_page);
} bh_self SEC(".maps");

/*
 * Covered links. Userspace: at apply, and when links come and go. Programs: to number the
 * counters. A packet that meets a half-written value counts as of link 0.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct bh_links);
} bh_links SEC(".maps");

/* Clock and hash seeds. Userspace: once, before the first flip. Programs: track, report. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct bh_machine);
} bh_machine SEC(".maps");

/* Whether somebody watches. Userspace: a watcher renews it. Programs: report, at each deny. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct bh_watch);
} bh_watch SEC(".maps");

/* A page of counter rows of one generation and link. */
struct counter_page {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, BH_PAGE_ROWS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct bh_row));
};

/*
 * Counters of two generations, see struct bh_row. Userspace: puts empty pages before the flip,
 * reads, and folds those of the old generation. Programs: add, one row per packet.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2 * BH_LINKS * BH_ROW_PAGES);
	__type(key, __u32);
	__array(values, struct counter_page);
} bh_counters SEC(".maps");

/* What happened besides verdicts, by enum bh_note. Programs: add. Userspace: reads. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, BH_NOTE_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} bh_notes SEC(".maps");

/*
 * A page of a state table, and its tags. Mapped by nobody: the kernel begins the values of such an
 * array at a page of memory, so that no line of a bucket lies in two lines of the cache.
 */
struct state_page {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, BH_STATE_VALUE_SIZE);
};

/*
 * Flows and fragments. Userspace: puts the pages before the flip, reads them to list flows.
 * Programs: track reads and writes; bh_carry moves flows when a table size changes.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2 * BH_STATE_PAGES);
	__type(key, __u32);
	__array(values, struct state_page);
} bh_state SEC(".maps");

/* Why a flow may not be where it is looked for. */
struct untracked {
	__u64 last; /* when a packet last passed without finding a way: 1 << 32 | tick */
	__u64 carrying; /* the generation into whose slot it may be on its way, see bpf/flowcarry.bpf.h */
};

/*
 * Programs alone: track writes last, bh_carry writes carrying for userspace. No pin: it goes with
 * them.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct untracked);
} bh_untracked SEC(".maps");

/* struct bh_event. Programs: report writes. Userspace: one reader; losses are in bh_notes. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} bh_events SEC(".maps");

/*
 * Events so far in this second, by rule id, then by reason: second << 32 | events. Programs
 * alone read and write it; two CPUs at the border of a second may let one more pass.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BH_NO_RULE + 1 + BH_REASONS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} bh_limits SEC(".maps");

/* What an ICMP error quotes, while it is judged. Programs alone read and write it. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct packet);
} bh_quoted SEC(".maps");

#endif
