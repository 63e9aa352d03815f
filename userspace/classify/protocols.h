/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Protocols with ports, or with ICMP types → classes, for one direction: two have one class when
 * the same rules match them, addresses aside. What stands here is struct bh_proto_slot with
 * numbers of roots in place of addresses.
 */
#ifndef CLASSIFY_PROTOCOLS_H
#define CLASSIFY_PROTOCOLS_H

#include "classify/intern.h"
#include "policy/policy.h"

enum {
	PROTOCOLS_PORTS = 256, /* elements of a root, and of a block */
	PROTOCOLS_SLOT_OF = 512,
	PROTOCOLS_CELLS_MAX = 1 << 22, /* of one slot */
	PROTOCOLS_CLASSES_MAX = 65536,
};

/* Blocks of classes and roots of block numbers (u32), shared by all slots of both directions. */
struct port_tables {
	struct intern *blocks;
	struct intern *roots;
};

struct proto_slot {
	uint32_t root[2]; /* source, destination: number + 1; 0: all ports are class 0 */
	uint32_t n[2];	  /* classes */
	uint16_t *cells;
};

struct protocols {
	uint16_t slot_of[PROTOCOLS_SLOT_OF];
	ARRAY(struct proto_slot) slots;
	uint32_t n_classes;
	size_t n_words;	 /* of one class, a bit for each rule of the direction */
	uint64_t *rules; /* n_classes times n_words */
	uint64_t *wild;	 /* the rules that match every protocol and port */
};

/* The rules of a direction stand together; their bits count from the first. */
struct direction_rules {
	const struct policy *policy;
	enum policy_direction direction;
	uint32_t first;
	uint32_t n;
};

struct direction_rules direction_rules_of(const struct policy *policy,
					  enum policy_direction direction);

/* -E2BIG with words when source and destination ports multiply to more than fits. */
int protocols_classify(struct arena *arena, const struct direction_rules *rules,
		       struct port_tables *tables, struct diag *diag,
		       struct protocols *ret_protocols);

#endif
