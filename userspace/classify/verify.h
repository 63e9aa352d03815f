/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether the tables of an image can be trusted: that each index and address in them leads to
 * where bpf/abi.h says. For decode.c, which gets them from a file.
 */
#ifndef CLASSIFY_VERIFY_H
#define CLASSIFY_VERIFY_H

#include "classify/image.h"

/* What is wrong first, in words; NULL: nothing. The notes have been read. */
const char *verify_tables(const struct image *image);

#endif
