// SPDX-License-Identifier: GPL-2.0-only
#include "tests/bench/verify.h"

#include <linux/bpf.h>

#include "tests/bench/must.h"
#include "tests/lib/judge_lookup.h"
#include "tests/lib/policy_text.h"

static struct stretch one_packet(uint32_t at)
{
	return (struct stretch){.first = at, .mask = TRACE_LEN - 1, .n = 1};
}

/* What a program made of one packet, as a verdict of the policy. */
static struct verdict verdict_of(const struct bed *bed, const struct passed *passed)
{
	uint32_t outcome = passed->row - BH_FIXED_ROWS;

	if (passed->row < BH_FIXED_ROWS || outcome >= image_head(&bed->image)->n_outcomes)
		broken("a packet is counted in row %u, where no rule's are", passed->row);
	return verdict_of_outcome(image_outcome(&bed->image, outcome));
}

static void compare(const struct bed *bed, enum program program, const struct tuple *tuple,
		    const struct passed *passed)
{
	struct verdict want = eval(&bed->policy, tuple, &bed->made.self);
	struct verdict have = verdict_of(bed, passed);
	char text[TUPLE_TEXT_SIZE];

	if (verdict_same(&want, &have) && want.allow == (passed->action == XDP_PASS))
		return;
	broken("%s over %u rules, %s: expected %s, got %s and action %u", program_name(program),
	       bed->form.n_rules, tuple_print(tuple, text),
	       verdict_text(bed->arena, &bed->policy, &want),
	       verdict_text(bed->arena, &bed->policy, &have), passed->action);
}

void verify_policy(struct bed *bed)
{
	static const enum program programs[] = {PROGRAM_CLASSIFY, PROGRAM_CLASSIFY_COUNT,
						PROGRAM_FULL};
	uint64_t before = enforcer_total(bed->enforcer, 0).packets;
	uint64_t counted;

	for (uint32_t i = 0; i < bed->n_tuples; i++)
		for (size_t j = 0; j < ARRAY_LEN(programs); j++) {
			struct passed passed =
				programs_run(bed->programs, programs[j], one_packet(i));

			compare(bed, programs[j], &bed->tuples[i], &passed);
		}
	counted = enforcer_total(bed->enforcer, 0).packets - before;
	if (counted != 2ULL * bed->n_tuples)
		broken("of %u packets that are counted twice, %llu were", bed->n_tuples,
		       (unsigned long long)counted);
}

/* ---- prefixes ---- */

/* A number for the sets of the policy in which an address lies, all of them. */
static uint64_t membership(const struct policy *policy, const struct addr *addr)
{
	uint64_t hash = 0;

	for (size_t i = 0; i < policy->sets.len; i++) {
		const struct policy_set *set = &policy->sets.at[i];

		hash = (hash ^ addr_ranges_have(&set->ranges, addr)) * 0x9e3779b97f4a7c15;
		hash ^= hash >> 32;
	}
	return hash;
}

static uint32_t longest_match(const lpm_keys *keys, const struct addr *addr)
{
	uint32_t address = addr_to_v4(addr);
	uint32_t longest = 0;

	for (size_t i = 0; i < keys->len; i++) {
		uint32_t len = keys->at[i].len;
		uint32_t differ = (address ^ __builtin_bswap32(keys->at[i].address)) >> (32 - len);

		if (len > longest && !differ)
			longest = len;
	}
	return longest;
}

void verify_prefixes(struct bed *bed)
{
	uint32_t n_classes = image_head(&bed->image)->n_classes;
	uint64_t *sets_of = arena_calloc(bed->arena, n_classes, sizeof(*sets_of));

	for (uint32_t i = 0; i < bed->n_tuples; i++) {
		const struct addr *addr = &bed->tuples[i].source;
		uint32_t class = programs_run(bed->programs, PROGRAM_PREFIX, one_packet(i)).row;
		uint32_t len = programs_run(bed->programs, PROGRAM_LPM_TRIE, one_packet(i)).row;
		uint64_t sets = membership(&bed->policy, addr);

		if (class >= n_classes || (sets_of[class] && sets_of[class] != sets))
			broken("two addresses of class %u lie in different sets", class);
		sets_of[class] = sets;
		if (len != longest_match(&bed->lpm, addr))
			broken("the trie matches %u bits, a plain search %u", len,
			       longest_match(&bed->lpm, addr));
	}
	for (uint32_t a = 0; a < n_classes; a++)
		for (uint32_t b = 0; b < a; b++)
			if (sets_of[a] && sets_of[a] == sets_of[b])
				broken("classes %u and %u are of the same sets", a, b);
}

/* ---- flows ---- */

/* Our quick look ends at the first way with the right tag: one in many thousands is another flow's. */
void verify_flows(struct bed *bed, struct stretch stretch)
{
	uint32_t ours = programs_run(bed->programs, PROGRAM_FLOW_TABLE, stretch).hits;
	uint32_t kernels = stretch.n; /* whose keys are those of IPv4 */

	if (bed->form.family == ADDR_V4)
		kernels = programs_run(bed->programs, PROGRAM_LRU_HASH, stretch).hits;

	if (kernels != stretch.n || ours < stretch.n - stretch.n / 1000)
		broken("of %u packets %u find their flow in our table, %u in the kernel's hash",
		       stretch.n, ours, kernels);
}
