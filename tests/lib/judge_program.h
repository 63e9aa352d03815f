/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The judges that send a packet through the loaded programs, by BPF_PROG_RUN. A verdict is what the
 * programs did and the one counter row in which they counted it; policy/eval and the packet's
 * description have no part in it. A reply goes behind the packet that opens its flow; each
 * packet meets flow tables in which nothing is alive.
 */
#ifndef TESTS_JUDGE_PROGRAM_H
#define TESTS_JUDGE_PROGRAM_H

#include "tests/lib/judges.h"

/*
 * Inbound packets go to bh_xdp, bh_xdp_frags or bh_tc_in, outbound ones to bh_tc_out. They
 * share what is loaded: the first one prepares for all. Where the kernel does not know XDP with
 * frags, the second one is missing.
 */
enum { JUDGES_PROGRAM_MAX = 3 };
size_t judges_program(struct judge judges[JUDGES_PROGRAM_MAX]);

/*
 * Each packet goes plain, and then in so many dresses of tests/lib/dress.h; none before this is
 * called. Whichever verdict differs from the first is the one that the judge gives.
 */
void judge_program_dress(unsigned n_dresses);

/* With every policy another structure of the image is forced, in turn. */
void judge_program_force(bool force);

/*
 * Whether the counters of the policy at hand add up to the packets that were sent; prepare asks
 * it of the policy before. The last thing to be called.
 */
bool judge_program_finish(void);

#endif
