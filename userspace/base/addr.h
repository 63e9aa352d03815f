/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IPv4 and IPv6 addresses, prefixes, address ranges, port ranges: parse, print, compare,
 * cover. All pure; no name is ever resolved.
 */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/array.h"
#include "base/str.h"

enum addr_family {
	ADDR_V4 = 4,
	ADDR_V6 = 6,
};

/*
 * One address. bytes is in network order; an IPv4 address stands in the first four, the other
 * twelve are zero. Two equal addresses are equal by memcmp of the struct.
 */
struct addr {
	uint8_t family; /* enum addr_family */
	uint8_t zero[3];
	uint8_t bytes[16];
};

/* All addresses from first to last, both included, of one family; first <= last. */
struct addr_range {
	struct addr first;
	struct addr last;
};

/* Ports from first to last, both included, host order; 0-65535 is every port. */
struct port_range {
	uint16_t first;
	uint16_t last;
};

typedef ARRAY(struct addr_range) addr_ranges;

/* Why a text is no address, prefix or range; ADDR_OK is 0. */
enum addr_error {
	ADDR_OK,
	ADDR_NOT_AN_ADDRESS,  /* does not look like one at all */
	ADDR_BAD_ADDRESS,     /* looks like one and is wrong: 10.0.0.256, 10.0.0, 1::2::3 */
	ADDR_BAD_LENGTH,      /* what stands behind '/' is no number */
	ADDR_LENGTH_TOO_LONG, /* over 32 or 128 */
	ADDR_HOST_BITS,	      /* 10.0.0.1/8 */
	ADDR_REVERSED,	      /* the range ends before it begins */
	ADDR_MIXED,	      /* the range begins and ends in different families */
};

enum { ADDR_TEXT_SIZE = 48, ADDR_RANGE_TEXT_SIZE = 100 };

/*
 * Strict: IPv4 is four decimal numbers without leading zeros; IPv6 is RFC 4291 text (RFC 5952
 * not demanded), with the dotted quad allowed at its end, without zone.
 */
enum addr_error addr_parse(struct str text, struct addr *ret_addr);

/* An address, a prefix (a.b.c.d/n) or a range (a-b, blanks around '-' not allowed). */
enum addr_error addr_range_parse(struct str text, struct addr_range *ret_range);

/* Writes RFC 5952 text; returns buffer, which has ADDR_TEXT_SIZE bytes. */
const char *addr_print(const struct addr *addr, char *buffer);

/* An address, a prefix where the range is one, else "a-b"; buffer: ADDR_RANGE_TEXT_SIZE. */
const char *addr_range_print(const struct addr_range *range, char *buffer);

struct addr addr_v4(uint32_t host_order);
uint32_t addr_to_v4(const struct addr *addr); /* host order; the address must be IPv4 */

/* One of ::ffff:0:0/96 becomes the IPv4 address that it stands for. */
void addr_unmap(struct addr *addr);

/* IPv4 before IPv6, then by number. */
int addr_compare(const struct addr *a, const struct addr *b);
bool addr_range_has(const struct addr_range *range, const struct addr *addr);

/* The address behind and before; false, and untouched, at the end of the family. */
bool addr_next(const struct addr *addr, struct addr *ret_next);
bool addr_previous(const struct addr *addr, struct addr *ret_previous);

/* The prefix of len bits that addr lies in. */
struct addr_range addr_range_of_prefix(const struct addr *addr, unsigned len);

/* The whole of a family. */
struct addr_range addr_range_all(enum addr_family family);

/* Sorts, then joins what overlaps or touches. */
void addr_ranges_normalize(addr_ranges *ranges);

/* By binary search; ranges must be normalized. */
bool addr_ranges_have(const addr_ranges *ranges, const struct addr *addr);

/* Appends what is in a and not in b; both must be normalized, and the result is. */
void addr_ranges_subtract(struct arena *arena, const addr_ranges *a, const addr_ranges *b,
			  addr_ranges *result);

/*
 * Takes the first of the prefixes that it takes to write a range off it: true, and rest is what is left;
 * false: this was the last one, and rest stays as it was.
 */
bool addr_range_take_prefix(struct addr_range *rest, struct addr_range *ret_prefix);

/* How many prefixes it takes to write the range. */
unsigned addr_range_n_prefixes(const struct addr_range *range);

bool port_range_has(struct port_range range, uint16_t port);

#endif
