/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A described packet as an Ethernet frame, so that the loaded programs can be asked about it.
 */
#ifndef CLI_FRAME_H
#define CLI_FRAME_H

#include "policy/tuple.h"

enum { FRAME_MAX_SIZE = 128 };

/* What a TCP packet is in its connection. */
enum frame_tcp {
	FRAME_SYN,
	FRAME_SYN_ACK,
	FRAME_ACK,
};

/*
 * Writes the frame into buffer (FRAME_MAX_SIZE bytes) and returns its size. Neighbour discovery,
 * MLD and IGMP get the hop limit that makes them genuine, MLD a link-local source only if the tuple
 * has one. A fragment is the second of its datagram. tcp is for TCP alone.
 */
size_t frame_build(const struct tuple *tuple, enum frame_tcp tcp, uint8_t *buffer);

#endif
