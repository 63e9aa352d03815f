/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The capabilities that a run gives up once what needs them is done. docs/security.md says when, and
 * what is opened before.
 */
#ifndef KERNEL_PRIVILEGES_H
#define KERNEL_PRIVILEGES_H

#include "base/diag.h"

/* What a run may still need, as bits. */
enum privilege {
	PRIVILEGE_BPF = 1 << 0,	      /* maps, programs, bpf links */
	PRIVILEGE_NET_ADMIN = 1 << 1, /* programs of the network, and their hooks */
	PRIVILEGE_PERFMON = 1 << 2,   /* programs and maps as the verifier knows them from root */
	PRIVILEGE_LOOK = 1 << 3,  /* what other users own: their files, their processes' sockets */
	PRIVILEGE_BY_ID = 1 << 4, /* what has no pin: CAP_SYS_ADMIN, and with it nearly all */
};

/*
 * The process has these capabilities from here on, those among them that it had, and no others; none
 * come back, by exec neither. CAP_SYS_ADMIN stays in the place of CAP_BPF or CAP_PERFMON where it
 * has to stand for them. On an error, with words, the process may still have more.
 */
int privileges_keep(unsigned keep, struct diag *diag);

/* As many descriptors at a time as the hard limit allows, for pages that are held open. */
void privileges_raise_descriptors(void);

#endif
