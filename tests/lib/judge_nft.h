/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The judge that shares neither code nor authors with the others: nftables, in a namespace of its
 * own that ends with the process. Its ruleset is printed out of the same resolved policy
 * (tests/lib/nft_print.h); each packet is sent as a frame into a device, and the frame that comes
 * out tells the verdict. It knows no connections: a reply is looked up as policy/eval describes it,
 * by asking about the opener, too.
 */
#ifndef TESTS_JUDGE_NFT_H
#define TESTS_JUDGE_NFT_H

#include "tests/lib/judges.h"
#include "tests/lib/nft_print.h"

/* Why nftables cannot be asked here; NULL: it can. Makes the namespace. */
const char *judge_nft_missing(void);

extern const struct judge judge_nft;

/* The rulesets of policies from now on are printed with this mistake. */
void judge_nft_fault(enum nft_fault fault);

#endif
