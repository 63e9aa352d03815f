/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every type, limit and name that crosses the boundary between kernel and userspace; nothing
 * else. Both compilers read it. Numbers are in host order unless a type says __be.
 * There is no unnamed padding: spare bytes are called zero and are zero.
 */
#ifndef BPF_ABI_H
#define BPF_ABI_H

#include <linux/types.h>

#include "bpf/addresses.h"

#define BH_ABI_VERSION 9

enum bh_direction {
	BH_IN,
	BH_OUT,
	BH_DIRECTION_COUNT,
};

enum bh_hook {
	BH_HOOK_XDP,
	BH_HOOK_TC_IN,
	BH_HOOK_TC_OUT,
	BH_HOOK_COUNT,
};

enum bh_tier {
	BH_TIER_ADMIN,
	BH_TIER_SUBNET,
	BH_TIER_NIC,
	BH_TIER_COUNT,
};

/*
 * Why a packet was decided as it was: kind, constant, name. RULE and NO_GROUP are counted at
 * their outcome, every other reason in a row of its own per direction. NEVER are the reasons of
 * the never-denied list, each switched off by a bit of bh_config.never_off; DENY are refusals
 * that no rule can change; ALLOW are the rest.
 */
#define BH_REASONS(X)                                                                              \
	X(ALLOW, RULE, "rule")                                                                     \
	X(ALLOW, NO_GROUP, "no-group")                                                             \
	X(ALLOW, EXISTING_FLOW, "existing-flow")                                                   \
	X(NEVER, ARP, "arp")                                                                       \
	X(NEVER, ND, "nd")                                                                         \
	X(NEVER, MLD, "mld")                                                                       \
	X(NEVER, IGMP, "igmp")                                                                     \
	X(NEVER, DHCP, "dhcp")                                                                     \
	X(NEVER, DHCPV6, "dhcpv6")                                                                 \
	X(NEVER, EAPOL, "eapol")                                                                   \
	X(NEVER, SLOW, "slow")                                                                     \
	X(NEVER, LLDP, "lldp")                                                                     \
	X(NEVER, STP, "stp")                                                                       \
	X(NEVER, LOOPBACK, "loopback")                                                             \
	X(NEVER, ICMP_ERRORS, "icmp-errors")                                                       \
	X(NEVER, PLATFORM, "platform")                                                             \
	X(DENY, NO_POLICY, "no-policy")		      /* no generation is in force */              \
	X(DENY, IMAGE_FAULT, "image-fault")	      /* a table of the image could not be read */ \
	X(DENY, TRUNCATED, "truncated")		      /* a header reaches past the packet */       \
	X(DENY, BAD_LENGTH, "bad-length")	      /* lengths that contradict each other */     \
	X(DENY, BAD_HEADER, "bad-header")	      /* version or header length impossible */    \
	X(DENY, NOT_IP, "not-ip")		      /* an Ethernet type that nothing allows */   \
	X(DENY, TOO_MANY_TAGS, "too-many-tags")	      /* over two VLAN tags */                     \
	X(DENY, TOO_MANY_HEADERS, "too-many-headers") /* over eight IPv6 extension headers */      \
	X(DENY, SOURCE_ROUTE, "source-route")	      /* LSRR, SSRR, segments left */              \
	X(DENY, JUMBOGRAM, "jumbogram")                                                            \
	X(DENY, MARTIAN_SOURCE, "martian-source")                                                  \
	X(DENY, TCP_FLAGS, "tcp-flags")		      /* SYN+FIN, SYN+RST, none */                 \
	X(DENY, FRAGMENT_UNKNOWN, "fragment-unknown") /* its first was not admitted */             \
	X(DENY, FRAGMENT_SHORT, "fragment-short")     /* a first one without the whole header */   \
	X(DENY, FRAGMENT_OVERLAP, "fragment-overlap") /* a later one inside that header */         \
	X(DENY, FRAGMENT_FULL, "fragment-full") /* no way could be claimed for a first one */      \
	X(DENY, ICMP_REDIRECT, "icmp-redirect")                                                    \
	X(DENY, ICMP_ERROR_UNKNOWN, "icmp-error-unknown") /* quotes nothing known */               \
	X(DENY, ICMP_ERROR_NESTED, "icmp-error-nested")	  /* quotes an error or later fragment */  \
	X(DENY, FLOW_TABLE_FULL, "flow-table-full")                                                \
	X(DENY, OPEN_CHECKSUM, "open-checksum") /* would be written where something was judged */

enum bh_reason {
#define X(kind, constant, name) BH_REASON_##constant,
	BH_REASONS(X)
#undef X
		BH_REASON_COUNT
};

/* ---- the image: pages of flat tables, see docs/datapath.md ---- */

/*
 * The image is a linear space of bytes in pages of 1 MB. An address is a byte offset in that
 * space. A table whose address is below BH_PAGE_SIZE lies in page 0, which every packet looks
 * up once; others cost one more look-up of an array of maps. No element crosses a page, and
 * no table that is searched (a chunk, a subtree) does.
 *
 * Generation g lives in slot g & 1: its page p is element (g & 1) * BH_IMAGE_PAGES + p of
 * bh_image. A page that is missing where the image points to it denies with image-fault.
 */
#define BH_PAGE_BITS   20
#define BH_PAGE_SIZE   (1U << BH_PAGE_BITS)
#define BH_IMAGE_PAGES 512

#define BH_IMAGE_MAGIC 0x62686931 /* "bhi1" */

enum bh_verdict {
	BH_DENY,
	BH_ALLOW,
	BH_WOULD_DENY, /* passes, because the deny is in audit */
};

#define BH_OUTCOME_LOG	    0x01 /* an event for it */
#define BH_OUTCOME_KEEP	    0x02 /* the deny honours flows established before it */
#define BH_OUTCOME_NO_STATE 0x04 /* the turned tuple is allowed for the whole class pair */

#define BH_NO_RULE 0xffff

/*
 * What a packet of one pair of classes and one protocol class gets. Written by classify/build,
 * read by the programs and by counters. An outcome belongs to one direction. Example: a packet
 * let in by the nic rule 7 after the subnet rule 3, no admin rule:
 * { BH_ALLOW, 0, BH_IN, BH_REASON_RULE, 7, { BH_NO_RULE, 3, 7 } }.
 */
struct bh_outcome {
	__u8 verdict; /* enum bh_verdict in the low four bits, the others zero */
	__u8 flags;   /* BH_OUTCOME_* */
	__u8 direction;
	__u8 reason;			/* BH_REASON_RULE, or NO_GROUP with rule BH_NO_RULE */
	__u16 rule;			/* the deciding rule: its id in the image */
	__u16 tier_rule[BH_TIER_COUNT]; /* matched in each tier; BH_NO_RULE: none, not reached */
	__u32 zero;
};
_Static_assert(sizeof(struct bh_outcome) == 16, "abi");

/*
 * Ports of one protocol. A root is u32[256] by the high byte of the port, whose elements are
 * addresses of u16[256] blocks by the low byte, whose elements are classes. The protocol class
 * is cells[source class * n_destination + destination class], u16. With ICMP and ICMPv6 the
 * source port is 0 and the destination port type << 8 | code; with other protocols both are 0.
 * source_root 0: every source port is class 0.
 */
struct bh_proto_slot {
	__u32 source_root;
	__u32 destination_root; /* 0: class 0 */
	__u32 cells;
	__u32 n_destination;
};
_Static_assert(sizeof(struct bh_proto_slot) == 16, "abi");

/* How a source class, a destination class and a protocol class become an outcome. */
enum bh_product {
	BH_PRODUCT_PAIRS, /* by a table of all pairs of classes: fastest */
	BH_PRODUCT_BITS,  /* by a bit for each rule, where that table would be too large */
};

/* Rules of one direction that sets of bits can hold, in words of 64; each tier begins a word. */
#define BH_BITS_WORDS 256

/*
 * The tables of one direction, as addresses.
 * side[0] is of the source, side[1] of the destination: u16[2 * n_classes], element
 * class * 2 + self is the side's own class. Bit s of sides_address: the side needs the class
 * of its address (else class 0 is taken without a look-up); of sides_self: it needs the self bit.
 * slot_of: u16[512] by protocol, 256 added over IPv6 (ICMP and ICMPv6 have types over one
 * family only), an index of slots.
 * With BH_PRODUCT_PAIRS, pair: u16[n_source * n_destination], element source class *
 * n_destination + destination class is the pair class; row: u32[n_pair * row_len], element pair
 * class * row_len + (protocol class >> 5) is the address of a block of u16[32] whose element
 * protocol class & 31 is the outcome.
 * With BH_PRODUCT_BITS, pair: u32[n_source + n_destination + n_pair], addresses of sets of rules
 * u64[row_len] (not over a page's end): of source classes, of destination classes, of n_pair
 * protocol classes. A rule matches when its bit is in all three; that of rule i of a tier is
 * bit i & 63 of word i >> 6 behind the words of the tiers before. row: u16[] by the first rule
 * that matches in each tier, see bh_bits_row.
 */
struct bh_direction_head {
	__u32 side[2];
	__u8 sides_address;
	__u8 sides_self;
	__u8 product; /* enum bh_product */
	__u8 zero;
	__u32 n_destination;
	__u32 pair;
	__u32 slot_of;
	__u32 slots;
	__u32 row;
	__u32 row_len;
	__u32 n_source; /* these three for those who check an image */
	__u32 n_slots;
	__u32 n_pair;
	__u16 tier_end[BH_TIER_COUNT];	 /* bits: words up to the tier's end */
	__u16 tier_rules[BH_TIER_COUNT]; /* bits: its rules */
	__u32 zero2;
};
_Static_assert(sizeof(struct bh_direction_head) == 64, "abi");

/* The element of row: matched[t] is 0, or 1 + the first rule of tier t that matches. */
static inline __u32 bh_bits_row(const struct bh_direction_head *head, const __u32 *matched)
{
	return (matched[0] * (head->tier_rules[1] + 1) + matched[1]) * (head->tier_rules[2] + 1) +
	       matched[2];
}

enum bh_timeout {
	BH_TIMEOUT_TCP_ESTABLISHED,
	BH_TIMEOUT_TCP_HALF_OPEN,
	BH_TIMEOUT_TCP_CLOSING,
	BH_TIMEOUT_UDP,
	BH_TIMEOUT_UDP_STREAM,
	BH_TIMEOUT_ICMP,
	BH_TIMEOUT_OTHER,
	BH_TIMEOUT_FRAGMENT,
	BH_TIMEOUT_COUNT,
};

enum bh_table {
	BH_TABLE_HALF_OPEN4,
	BH_TABLE_HALF_OPEN6,
	BH_TABLE_ESTABLISHED4,
	BH_TABLE_ESTABLISHED6,
	BH_TABLE_FRAGMENTS,
	BH_TABLE_COUNT,
};

/* Where a state table lies in bh_state: buckets i and up of page first_page + i / per page. */
struct bh_table_place {
	__u32 first_page;
	__u32 mask; /* number of buckets, a power of two, less one */
};
_Static_assert(sizeof(struct bh_table_place) == 8, "abi");

/* What host.yaml sets; part of the image, so that it changes with the generation. */
struct bh_config {
	__u64 never_off;		  /* bit r: the never-denied reason r is switched off */
	__u32 timeouts[BH_TIMEOUT_COUNT]; /* seconds */
	struct bh_table_place tables[BH_TABLE_COUNT];
	__u32 log_limit; /* events per rule and second */
	__u8 audit;	 /* nothing is denied */
	__u8 tcp_pickup;
	__u8 keep; /* existing_flows: keep, where no group says otherwise */
	__u8 platform_azure;
};
_Static_assert(sizeof(struct bh_config) == 88, "abi");

/*
 * The first bytes of page 0. Written by classify/build; read by every packet.
 *
 * How an address finds its class by address4 and address6 stands in bpf/addresses.h.
 * An IPv4 class is below 0x8000 (so is every class).
 */
struct bh_head {
	__u32 magic;
	__u32 abi;
	__u32 n_pages;
	__u32 n_outcomes;
	__u32 outcomes; /* struct bh_outcome[n_outcomes] */
	__u32 n_classes;
	__u32 address4;
	__u32 address4_kind; /* enum bh_address4 */
	__u32 address6;
	__u32 address6_bits; /* 10 to 19 */
	__u32 zero[2];
	struct bh_direction_head direction[BH_DIRECTION_COUNT];
	struct bh_config config;
};
_Static_assert(sizeof(struct bh_head) == 264, "abi");

/* ---- outside the image: written by kernel/ from the host's facts ---- */

/*
 * The host's own addresses, for self: page of bh_self, replaced whole. An IPv4 address stands
 * as ::ffff:a.b.c.d, network order. The bucket of an address is
 * bh_self_hash(address, seed) & (BH_SELF_BUCKETS - 1); userspace draws seeds until no bucket
 * needs more than BH_SELF_WAYS. :: is an empty way.
 */
#define BH_SELF_BUCKETS 1024
#define BH_SELF_WAYS	4

struct bh_self {
	__u64 seed; /* odd */
	__u32 n;    /* addresses in the table; 0 with a look-up that always misses */
	__u32 zero;
	__u64 way[BH_SELF_BUCKETS][BH_SELF_WAYS][2];
};
_Static_assert(sizeof(struct bh_self) == 16 + 65536, "abi");

/*
 * high and low are the two halves of the address as they lie in memory. Folded in between: a product
 * carries upwards alone, and addresses that differ in the last bits of their /64, the highest ones here,
 * would share a bucket under every seed.
 */
static inline __u32 bh_self_hash(__u64 high, __u64 low, __u64 seed)
{
	__u64 mixed = (high ^ (low >> 29)) * seed;

	mixed ^= mixed >> 32;
	return (__u32)(((mixed ^ low) * seed) >> 40);
}

/*
 * Covered links: ifindex → small number for counters, and scope (0 for now). The slot of an
 * ifindex is (ifindex * multiplier) >> 24 in 32 bits; userspace draws odd multipliers until no two
 * links share one. A link that is not found counts as number 0.
 */
#define BH_LINKS      32 /* numbers, 0 included */
#define BH_LINK_SLOTS 256

struct bh_link {
	__u32 ifindex; /* 0: empty */
	__u16 number;
	__u16 scope;
};
_Static_assert(sizeof(struct bh_link) == 8, "abi");

struct bh_links {
	__u32 multiplier;
	__u32 zero;
	struct bh_link slot[BH_LINK_SLOTS];
};
_Static_assert(sizeof(struct bh_links) == 8 + 2048, "abi");

/*
 * The word that chooses what is in force; the one write of a flip. 0: nothing is, and nobody has
 * said what that means: deny. BH_ACTIVE_OPEN: nothing is, and everything passes, as without
 * programs; while they are put on the links for the first time, and while they are taken off.
 */
#define BH_ACTIVE_OPEN (1ULL << 63)

struct bh_active {
	__u64 generation;
};
_Static_assert(sizeof(struct bh_active) == 8, "abi");

/* Made once, when the maps are made; a reload of the programs takes it over. */
#define BH_SEEDS 6

struct bh_machine {
	__u64 seed[BH_SEEDS];  /* of the flow hash; random */
	__u32 hz;	       /* of the kernel's jiffies */
	__u32 tick_shift;      /* a tick is 1 << tick_shift jiffies, about 1/8 s */
	__u64 jiffies_at_zero; /* jiffies64 when CLOCK_MONOTONIC was 0, for ages; may wrap */
};
_Static_assert(sizeof(struct bh_machine) == 64, "abi");

/* Where this kernel's struct sk_buff holds what programs are not shown: offsets in bytes. */
struct bh_skb {
	__u16 known;	/* 0: the others are not, and no program reads there */
	__u16 summed;	/* the byte with ip_summed, of two bits */
	__u16 shift;	/* these bits in that byte */
	__u16 checksum; /* csum_start and behind it csum_offset, 16 bits each */
	__u16 ends;	/* head and behind it data, pointers */
};
_Static_assert(sizeof(struct bh_skb) == 10, "no padding");

/* While a watcher reads: every deny makes an event, not only those of rules with log. */
struct bh_watch {
	__u64 until; /* tick */
};
_Static_assert(sizeof(struct bh_watch) == 8, "abi");

/* ---- counters ---- */

/*
 * One line of counters per row, link and CPU. Row reason * 2 + direction for reasons, row
 * BH_FIXED_ROWS + outcome for what the policy decided. A packet is counted in exactly one row:
 * as packets or as reply_packets. Generation g's row r of link l lies in the inner map
 * ((g & 1) * BH_LINKS + l) * BH_ROW_PAGES + r / BH_PAGE_ROWS of bh_counters, element
 * r % BH_PAGE_ROWS.
 */
#define BH_REASONS_MAX 64 /* bits of never_off */
#define BH_FIXED_ROWS  (2 * BH_REASONS_MAX)
#define BH_PAGE_ROWS   256
#define BH_ROW_PAGES   256
#define BH_OUTCOMES    ((BH_ROW_PAGES - 1) * BH_PAGE_ROWS - BH_FIXED_ROWS)
#define BH_NO_ROW      (BH_ROW_PAGES * BH_PAGE_ROWS - 1) /* not counted; its page is never there */

_Static_assert(BH_REASON_COUNT <= BH_REASONS_MAX, "abi");

struct bh_row {
	__u64 packets; /* judged here by the policy or the reason; GSO segments count singly */
	__u64 bytes;   /* on the wire, from the Ethernet header on */
	__u64 reply_packets; /* let through as replies of flows that this outcome admitted */
	__u64 reply_bytes;
	__u64 flows;	    /* flows opened */
	__u64 would_denied; /* of packets and reply_packets, passed only because of audit */
	__u64 last;	    /* jiffies64 of the last packet */
	__u64 zero;
};
_Static_assert(sizeof(struct bh_row) == 64, "abi");

/* What happened besides verdicts; per CPU, bh_notes. */
#define BH_NOTES(X)                                                                         \
	X(HALF_OPEN_EVICTED, "half-open-evicted") /* the oldest of eight ways gave way */   \
	X(ESTABLISHED_FULL, "established-full")	  /* a flow stayed half-open */             \
	X(UNTRACKED, "untracked")		  /* passed, no way could be claimed */     \
	X(REPLY_UNTRACKED, "reply-untracked")	  /* denied: its opener had found no way */ \
	X(FLOW_ENDED, "flow-ended")		  /* by recheck after a flip */             \
	X(EVENTS_LOST, "events-lost")		  /* the ring buffer was full */            \
	X(EVENTS_LIMITED, "events-limited")	  /* over log_limit */                      \
	X(DUPLICATE, "duplicate-removed")	  /* two CPUs inserted one flow */          \
	X(UNCOUNTED, "uncounted")		  /* packets judged where no page of counters was */

enum bh_note {
#define X(constant, name) BH_NOTE_##constant,
	BH_NOTES(X)
#undef X
		BH_NOTE_COUNT
};

/* ---- flow state ---- */

/*
 * State tables lie in pages of 256 KB: page p of generation slot s is element
 * s * BH_STATE_PAGES + p of bh_state; both slots name the same pages unless a table size changed.
 * A bucket is four ways, each a state and its key, so that both are in one line of the cache: struct
 * bh_flow_key4 (ways of 32 bytes) or struct bh_flow_key6 (of 64 bytes; fragments use it too).
 *
 * Behind the buckets of a page stand the tags of their ways, u16[BH_WAYS] for each bucket: of whoever
 * claimed the way last, written before it is published and never cleared. Where none of a key's eight
 * ways has its tag, the key has no entry; so most packets without a flow read a sixteenth of the table.
 */
#define BH_STATE_PAGE_BITS 18
#define BH_STATE_PAGE_SIZE (1U << BH_STATE_PAGE_BITS)
#define BH_STATE_PAGES	   2048
#define BH_WAYS		   4
#define BH_WAY4_SIZE	   32
#define BH_WAY6_SIZE	   64
#define BH_OPENED_SHIFT	   3 /* ticks to what opened of a key counts, about a second */
#define BH_OPENED_MASK	   0xffffffU
#define BH_BUCKET4_SIZE	   (BH_WAYS * BH_WAY4_SIZE)
#define BH_BUCKET6_SIZE	   (BH_WAYS * BH_WAY6_SIZE)
#define BH_STATE_TAGS_SIZE (BH_STATE_PAGE_SIZE / BH_BUCKET4_SIZE * BH_WAYS * 2)

/* A page and its tags: what an element of bh_state holds. */
#define BH_STATE_VALUE_SIZE (BH_STATE_PAGE_SIZE + BH_STATE_TAGS_SIZE)

/* Where in it the tags of a bucket are, by its number in the page. */
static inline __u32 bh_state_tags(__u32 bucket)
{
	return BH_STATE_PAGE_SIZE + ((bucket * BH_WAYS * 2) & (BH_STATE_TAGS_SIZE - 1));
}

/*
 * meta: last tick (low 32 bits), flags (16), tag of the hash (high 16, never 0 while live); 0 is an
 * empty way. It is claimed and published by atomic operations only. The rest is valid while meta
 * is live, and changes as one word of 64 bits. Fragments: behind is header_end of the first one.
 */
struct bh_flow_state {
	__u64 meta;
	__u32 generation; /* in which it was last judged */
	__u16 row;	  /* counter row, in generation less behind */
	__u16 behind;	  /* kept flows: generations since the admitting one; with BH_FLOW_REPLIED:
			   * see there */
};
_Static_assert(sizeof(struct bh_flow_state) == 16, "abi");

#define BH_FLOW_LIVE	    0x0001
#define BH_FLOW_BUSY	    0x0002 /* claimed, key being written: not live yet */
#define BH_FLOW_OUT	    0x0004 /* opened outbound */
#define BH_FLOW_ESTABLISHED 0x0008
#define BH_FLOW_SYN_ACK	    0x0010 /* half-open: a SYN-ACK has passed as reply */
#define BH_FLOW_PICKED_UP   0x0020 /* opened by a mid-stream packet */
#define BH_FLOW_CLOSING	    0x0040
#define BH_FLOW_FIN_OPENER  0x0080 /* FIN or RST seen from the opener */
#define BH_FLOW_FIN_REPLIER 0x0100
#define BH_FLOW_AUDIT	    0x0200 /* admitted only because of audit */
#define BH_FLOW_KEPT	    0x0400 /* honoured by existing_flows: keep */
/* Half-open: a reply has passed; behind: of TCP what acknowledges the last one, else its tick. */
#define BH_FLOW_REPLIED	   0x0800
#define BH_FLOW_KIND_SHIFT 12	  /* enum bh_flow_kind, three bits: which time-outs hold */
#define BH_FLOW_ANSWERS	   0x8000 /* the policy denies its answers, which pass with it */

enum bh_flow_kind {
	BH_FLOW_TCP,
	BH_FLOW_UDP, /* and SCTP */
	BH_FLOW_ECHO,
	BH_FLOW_OTHER,
	BH_FLOW_FRAGMENT,
	BH_FLOW_CUT, /* TCP that recheck has ended, closing: its replier opens nothing but by a SYN */
	BH_FLOW_KIND_COUNT,
};

/* enum bh_flow_kind of the flags of a flow. */
static inline __u32 bh_flow_kind(__u32 flags)
{
	return flags >> BH_FLOW_KIND_SHIFT & 7;
}

/*
 * Either orientation of a flow has one key: the local end is the destination of an inbound packet
 * and the source of an outbound one; which side opened is BH_FLOW_OUT. Ports in network
 * order as on the wire. Echo: local_port is the identifier, remote_port 1 for one opened inbound
 * and 2 for outbound (host order), so that two opposite pings differ. Other protocols: 0.
 */
struct bh_flow_key4 {
	__be32 local;
	__be32 remote;
	__be16 local_port;
	__be16 remote_port;
	__u8 protocol;
	__u8 opened[3]; /* no part of the key, zero in hashes: when, tick >> BH_OPENED_SHIFT */
};
_Static_assert(sizeof(struct bh_flow_key4) == 16, "abi");

/*
 * The hash of a key over its words (two of struct bh_flow_key4, the first five of struct bh_flow_key6): NH of
 * RFC 4418, section 5.2.2, over halves of 32 bits, of which each meets its half of bh_machine.seed; two keys
 * have one sum under one of 2^32 seeds, whatever their senders choose. Then it is stirred with the last
 * seed, so that the few bits that number a bucket hang on all of the sum.
 */
static inline __u64 bh_flow_add(__u64 sum, __u64 word, __u64 seed)
{
	__u32 low = (__u32)word + (__u32)seed;
	__u32 high = (__u32)(word >> 32) + (__u32)(seed >> 32);

	return sum + (__u64)low * high;
}

static inline __u64 bh_flow_finish(__u64 sum, __u64 seed)
{
	sum = (sum ^ sum >> 32) * (seed | 1);
	sum = (sum ^ sum >> 29) * 0x9e3779b97f4a7c15;
	return sum ^ sum >> 32;
}

/* A fragment's key: local and remote are source and destination, the ports its identification. */
struct bh_flow_key6 {
	__u64 local[2];
	__u64 remote[2];
	__be16 local_port;
	__be16 remote_port;
	__u8 protocol;
	__u8 direction; /* fragments: enum bh_direction + 1; flows: 0 */
	__u8 family;	/* fragments: 4 or 6; flows: 0 */
	__u8 zero[6];
	__u8 opened[3]; /* as of struct bh_flow_key4; the last of a way in both */
};
_Static_assert(sizeof(struct bh_flow_key6) == 48, "abi");

_Static_assert(sizeof(struct bh_flow_state) + sizeof(struct bh_flow_key4) == BH_WAY4_SIZE, "abi");
_Static_assert(sizeof(struct bh_flow_state) + sizeof(struct bh_flow_key6) == BH_WAY6_SIZE, "abi");

/*
 * What the loader asks of bh_carry when the tables of a new generation have other sizes than those
 * of the one before, and so pages of their own: a frame that begins with this, run by BPF_PROG_RUN.
 * The answer is what the program returns.
 */
enum bh_carry {
	BH_CARRY_IS_ON, /* whether packets look for flows in the other slot, too */
	BH_CARRY_ON,	/* they do as soon as this generation is in force; 1 */
	BH_CARRY_OFF,	/* they do no longer; 1 */
	BH_CARRY_COUNT, /* ways of a table of the other slot; 0: there is no image */
	BH_CARRY_MOVE,	/* moves flows out of BH_CARRY_STEP of its ways: how many it has moved */
};

#define BH_CARRY_STEP 4096

struct bh_carry_order {
	__u8 frame[16];	  /* zero; the kernel wants an Ethernet header */
	__u64 generation; /* into which flows come; that before it had the other slot */
	__u32 what;	  /* enum bh_carry */
	__u32 table;	  /* enum bh_table */
	__u32 first;	  /* way */
	__u32 zero;
};
_Static_assert(sizeof(struct bh_carry_order) == 40, "abi");

/* ---- events ---- */

#define BH_EVENT_VERSION 1

struct bh_event {
	__u16 version;
	__u16 size; /* of this struct */
	__u32 ifindex;
	__u64 time; /* CLOCK_BOOTTIME ns on kernels that tell it, see docs/datapath.md */
	__u64 generation;
	__u16 rule;    /* id in that generation's image; BH_NO_RULE */
	__u16 outcome; /* id; 0xffff: decided by reason */
	__u8 reason;
	__u8 verdict; /* enum bh_verdict */
	__u8 direction;
	__u8 hook;
	__u32 length;	 /* bytes on the wire */
	__u32 packets;	 /* GSO segments */
	__u64 cgroup;	 /* 0 for now */
	__u8 source[16]; /* IPv4 as ::ffff:a.b.c.d */
	__u8 destination[16];
	__be16 source_port;	 /* ICMP: 0; later fragment: both 0, since nobody knows them */
	__be16 destination_port; /* ICMP: type, code as the two bytes */
	__u8 protocol;
	__u8 family; /* 4, 6; 0: not IP */
	__u8 tcp_flags;
	__u8 by_flow; /* 1: a reply of a flow */
	__be16 ether_type;
	__u8 later_fragment; /* 1: it is one */
	__u8 zero[5];
};
_Static_assert(sizeof(struct bh_event) == 96, "abi");

#endif
