/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The many ways in which one described packet can go over the wire: VLAN tags, IPv4 options, IPv6
 * extension headers, as a first fragment, with TCP options, payload and padding behind its end.
 * None of them changes what becomes of it.
 */
#ifndef TESTS_DRESS_H
#define TESTS_DRESS_H

#include "tests/lib/frames.h"
#include "tests/lib/rng.h"

enum { DRESS_EXTENSIONS_MAX = 8, DRESS_OPTIONS_MAX = 40, DRESS_TEXT_SIZE = 320 };

/* All zero: the plain packet. */
struct dress {
	uint8_t n_tags;	   /* 0 to 2 */
	uint8_t n_options; /* bytes of IPv4 options, a multiple of 4 */
	uint8_t n_extensions;
	uint8_t extension[DRESS_EXTENSIONS_MAX]; /* 44: an atomic fragment, or the fragment */
	uint8_t n_blocks[DRESS_EXTENSIONS_MAX];	 /* of 8 bytes, beyond the first */
	bool first;				 /* a first fragment, more follow */
	uint8_t n_tcp_options;			 /* in words */
	uint8_t tcp_flags; /* besides those that are asked for: PSH, URG, ECE, CWR */
	uint16_t payload;  /* bytes; in a first fragment multiples of 8 */
	uint8_t padding;   /* behind the IP packet */
	uint32_t id;	   /* of the fragments */
	uint64_t seed;	   /* of option bytes */
};

/* Any dress that the tuple can wear. */
struct dress dress_draw(struct rng *rng, const struct tuple *tuple);

void dress_frame(struct frame *frame, const struct tuple *tuple, const struct dress *dress,
		 uint8_t tcp_flags);

/* Where the dress is a first fragment: the next fragment of the same datagram, its last. */
void dress_later(struct frame *frame, const struct tuple *tuple, const struct dress *dress);

/* In words; buffer: DRESS_TEXT_SIZE. */
const char *dress_print(const struct dress *dress, char *buffer);

#endif
