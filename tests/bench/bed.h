/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A bed: one seeded policy in force, the benchmark's programs over it, and the trace of packets
 * that they meet there.
 */
#ifndef TESTS_BENCH_BED_H
#define TESTS_BENCH_BED_H

#include "classify/image.h"
#include "policy/policy.h"
#include "tests/bench/programs.h"
#include "tests/lib/enforcer.h"
#include "tests/lib/random_policy.h"

/* Packets that are verified one by one, and kept as tuples for it. */
enum { BED_TUPLES = 10000 };

/* What the kernel's own trie holds: the prefixes of the policy's sets. */
typedef ARRAY(struct lpm_key) lpm_keys;

struct bed_form {
	enum addr_family family;
	uint32_t n_rules;
	uint32_t n_prefixes;
	uint32_t table_flows; /* of the established table, and of the half-open one */
	uint32_t n_flows; /* the trace repeats so many TCP flows that are allowed; 0: it is mixed */
	uint32_t table_half_open; /* a bed for new flows; 0: it is none, and as table_flows */
};

struct bed {
	struct arena *arena;
	struct bed_form form;
	struct random_policy made;
	struct policy policy;
	struct image image;
	struct enforcer *enforcer;
	struct programs *programs;
	struct tuple *tuples; /* the first packets of the trace; all of its flows */
	uint32_t n_tuples;
	bool *allowed;	    /* each packet of the trace, by the image */
	double established; /* share of the allowed ones that meet an established flow */
	lpm_keys lpm;
};

/* The same form gives the same policy and the same trace on every machine. */
struct bed *bed_new(const struct bed_form *form);
void bed_free(struct bed *bed);
SCOPED(struct bed *, bed_free);

/* Bytes of the IPv4 tables for established and for half-open flows together. */
uint64_t bed_table_bytes(const struct bed_form *form);

/* How many of the first n packets of the trace the policy allows. */
uint32_t bed_count_allowed(const struct bed *bed, uint32_t n);

/*
 * Opens and establishes a flow for each packet that is allowed, by packets in both directions;
 * established says for which share of them. Ends the benchmark if that is not nearly all.
 */
void bed_establish(struct bed *bed);

/* Fills the kernel's trie; the value of a prefix is its length. */
void bed_fill_lpm(struct bed *bed);

/* Fills the kernel's hash with the flows of the trace. IPv4. */
void bed_fill_lru(struct bed *bed);

#endif
