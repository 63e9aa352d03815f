/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The encoded form of an image, for encode.c and decode.c: a head, the tables as they are, the
 * notes. Numbers are little endian. Notes are, in this order, each list with its count (u32)
 * before it: sources, groups, sets, rules, disabled rules, virtual network, flags (u8).
 */
#ifndef CLASSIFY_ENCODED_H
#define CLASSIFY_ENCODED_H

#include <stdint.h>

/* The tables are written as they lie in memory. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "images are little endian");

#define ENCODED_MAGIC	0x656c6b6862696d67U
#define ENCODED_VERSION 1

struct encoded_head {
	uint64_t magic;
	uint32_t version;
	uint32_t zero;
	uint64_t tables_size;
	uint64_t notes_size;
	uint32_t tables_checksum; /* CRC-32 */
	uint32_t notes_checksum;
};
_Static_assert(sizeof(struct encoded_head) == 40, "file format");

enum {
	ENCODED_NO_GROUP_ALLOW = 1,
	ENCODED_EXISTING_FLOWS_KEEP = 2,

	ENCODED_ANY = 1, /* sets */
	ENCODED_SELF = 2,

	ENCODED_AUDIT = 1, /* groups, rules */
	ENCODED_KEEP = 2,
	ENCODED_DEFAULTS_AZURE = 4,
	ENCODED_LOG = 2,
	ENCODED_IS_DEFAULT = 4,
};

#endif
