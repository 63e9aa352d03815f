/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A resolved policy as somebody else's ruleset: an nftables table that decides what the policy
 * decides and writes into the frame how it came to it. Nothing is asked of policy/eval, of
 * policy_combine or of the image: precedence stands here a second time, in words of nft.
 */
#ifndef TESTS_NFT_PRINT_H
#define TESTS_NFT_PRINT_H

#include <stdio.h>

#include "policy/eval.h"

/* Devices of the namespace: frames of either direction come in at one, and leave by the third. */
#define NFT_DEVICE_IN	"judge-in"
#define NFT_DEVICE_OUT	"judge-out"
#define NFT_DEVICE_SEEN "judge-seen"

/*
 * What the ruleset writes over the two addresses of the Ethernet header, in network order. Whoever
 * sends a frame sets all but sequence to NFT_NONE and, of a single byte, zero.
 */
struct nft_note {
	uint16_t tier_rule[TIER_COUNT]; /* matched; NFT_NONE: none, or not reached */
	uint16_t rule;			/* that decided, NFT_NONE: none */
	uint8_t reason;			/* enum eval_reason */
	uint8_t flags;			/* NFT_LOG, NFT_KEEP of what decided */
	uint8_t verdict;		/* NFT_PASS and perhaps NFT_WOULD_DENY */
	uint8_t sequence;		/* left as it is */
};

_Static_assert(sizeof(struct nft_note) == 12, "two Ethernet addresses");

enum { NFT_NONE = 0xffff };
enum { NFT_LOG = 1, NFT_KEEP = 2 };
enum { NFT_PASS = 1, NFT_WOULD_DENY = 2 };

/* Mistakes to be made on purpose, so that a test sees what becomes of a difference. */
enum nft_fault {
	NFT_FAITHFUL,
	NFT_LAST_PORT, /* the last port of a range of destination ports is left out */
};

/* The whole ruleset, in place of what was there, for nft -f. self stays empty. */
void nft_print(const struct policy *policy, enum nft_fault fault, FILE *out);

/* What gives the ruleset other own addresses, for nft -f. */
void nft_print_self(const addr_list *self, FILE *out);

#endif
