/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The programs of bench.bpf.c, on the maps of an enforcer: what is in force there is what they
 * read, through the same generation word and the same pages.
 */
#ifndef TESTS_BENCH_PROGRAMS_H
#define TESTS_BENCH_PROGRAMS_H

#include "base/scoped.h"
#include "tests/bench/trace.h"
#include "tests/lib/enforcer.h"

#define PROGRAMS(X)                       \
	X(EMPTY, empty)                   \
	X(BASE, base)                     \
	X(CLASSIFY, classify_only)        \
	X(CLASSIFY_COUNT, classify_count) \
	X(FULL, full)                     \
	X(UNCOUNTED, uncounted)           \
	X(PRIME, prime)                   \
	X(PREFIX, prefix)                 \
	X(LPM_TRIE, lpm_trie)             \
	X(FLOW_TABLE, flow_table)         \
	X(LRU_HASH, lru_hash)             \
	X(NEW_BASE, new_base)             \
	X(NEW_ENTRY, new_entry)           \
	X(LRU_ENTRY, lru_entry)           \
	X(NEW_FLOW, new_flow)             \
	X(LRU_FLOW, lru_flow)

enum program {
#define X(constant, name) PROGRAM_##constant,
	PROGRAMS(X)
#undef X
		PROGRAM_COUNT
};

const char *program_name(enum program program);

struct programs;

/* n_new: entries of the kernel's hash of new flows. */
struct programs *programs_new(const struct enforcer *enforcer, enum addr_family family,
			      uint32_t n_new);
void programs_free(struct programs *programs);
SCOPED(struct programs *, programs_free);

/* The trace that all of them take packets from; TRACE_LEN entries of the family. */
void programs_set_trace4(struct programs *programs, const struct trace4 *entries);
void programs_set_trace6(struct programs *programs, const struct trace6 *entries);

/* Entries of the references. */
void programs_put_lpm(struct programs *programs, const struct lpm_key *keys, const __u32 *values,
		      uint32_t n);
void programs_put_lru(struct programs *programs, const struct bh_flow_key4 *keys, uint32_t n);

/* Bytes of the kernel's hash of new flows, as the kernel accounts them. */
uint64_t programs_new_bytes(const struct programs *programs);

/* What prime makes of the packets. */
void programs_set_prime(struct programs *programs, uint8_t tcp_flags, bool turned);

/* n packets, the first that of an entry; of the trace only the first mask + 1 entries. */
struct stretch {
	uint32_t first;
	uint32_t mask;
	uint32_t n;
};

/* What the last packet became. */
struct passed {
	uint32_t action; /* XDP_PASS, XDP_DROP, XDP_ABORTED */
	uint32_t row;
	uint32_t hits; /* of all packets, of flow_table and lru_hash; of new flows: entered ones */
	double ns;     /* of one packet, as CPU time of this thread */
};

struct passed programs_run(struct programs *programs, enum program program, struct stretch stretch);

#endif
