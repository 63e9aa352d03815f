/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the benchmark's programs and its driver share: entries of the trace, keys of the
 * references. Addresses and ports in network order.
 */
#ifndef TESTS_BENCH_TRACE_H
#define TESTS_BENCH_TRACE_H

#include <linux/types.h>

#define TRACE_LEN (1 << 20)
#define LPM_LEN	  (1 << 18)
#define LRU_LEN	  (1 << 18)

/* Takes 6.3 MB, as 131,072 established and 65,536 half-open ways of IPv4 do. */
#define LRU_STATE_LEN (1 << 16)

struct trace4 {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 tcp_flags;
	__u8 zero[2];
};
_Static_assert(sizeof(struct trace4) == 16, "one entry of the trace");

struct trace6 {
	__u64 source[2];
	__u64 destination[2];
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 tcp_flags;
	__u8 zero[2];
};
_Static_assert(sizeof(struct trace6) == 40, "one entry of the trace");

struct lpm_key {
	__u32 len;
	__be32 address;
};

#endif
