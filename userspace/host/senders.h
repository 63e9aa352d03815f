/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sockets that can send past every program at egress: packet sockets (PACKET_QDISC_BYPASS) and
 * AF_XDP. Which of them do the kernel does not tell, so all are named.
 */
#ifndef HOST_SENDERS_H
#define HOST_SENDERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/array.h"

struct host_sender {
	bool xdp;	  /* AF_XDP; else a packet socket */
	uint32_t inode;	  /* 0: not told */
	uint32_t pid;	  /* of one process that holds it; 0: not found */
	const char *name; /* of that process; "" */
};

typedef ARRAY(struct host_sender) host_senders;

/*
 * Those of the caller's network namespace, by sock_diag(7); a kernel without that for AF_XDP tells only
 * how many there are. Whose they are is read from /proc, where the caller may.
 */
void host_senders_read(struct arena *arena, host_senders *ret_senders);

#endif
