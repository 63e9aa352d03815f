// SPDX-License-Identifier: GPL-2.0-only
/* bpf/checksum.bpf.h, compiled for this machine: over which bytes a checksum may be written. */
#include <criterion/criterion.h>

#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#include "bpf/checksum.bpf.h"

enum { BYTES = 64 };

struct layer {
	const char *name;
	struct packet packet;
	const char
		*judged; /* a letter for each of the first bytes: x where nothing may be written */
};

/*
 * Two bytes are written, so that the one before a judged one may not be their first. TCP: ports, data
 * offset and flags, the rest of the header; UDP: ports and length; ICMP: type, code, identifier.
 */
static const struct layer layers[] = {
	{"tcp", {.family = 4, .protocol = 6}, "xxxxxxxxxxxxxxxx.xxx"},
	{"tcp v6", {.family = 6, .protocol = 6}, "xxxxxxxxxxxxxxxx.xxx"},
	{"tcp, first fragment",
	 {.family = 4, .protocol = 6, .fragment = PACKET_FIRST},
	 "xxxxxxxxxxxxxxxx.xxx"},
	{"tcp, later fragment", {.family = 4, .protocol = 6, .fragment = PACKET_LATER}, ""},
	{"udp", {.family = 4, .protocol = 17}, "xxxxxx"},
	{"sctp", {.family = 6, .protocol = 132}, "xxxxxxxx"},
	{"icmp", {.family = 4, .protocol = 1}, "xx.xxxxx"},
	{"icmpv6", {.family = 6, .protocol = 58}, "xx.xxxxx"},
	{"icmp error",
	 {.family = 4, .protocol = 1, .icmp_error = 1},
	 "xx.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
	{"gre", {.family = 4, .protocol = 47}, ""},
	{"esp", {.family = 6, .protocol = 50}, ""},
	{"no ip", {}, "xx"},
};

Test(checksum, is_written_over_nothing_that_was_judged)
{
	for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++) {
		const struct layer *layer = &layers[i];
		size_t n = strlen(layer->judged);

		for (__u32 into = 0; into < BYTES; into++)
			cr_assert_eq(checksum_is_apart(&layer->packet, into),
				     into >= n || layer->judged[into] != 'x', "%s, byte %u",
				     layer->name, into);
	}
}
