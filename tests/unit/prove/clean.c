// SPDX-License-Identifier: GPL-2.0-only
/*
 * clean N: random policies, each in every structure that an image can have, are proven; and larger
 * ones, with the processor time that it took: the table of docs/proof.md.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "policy/resolve.h"
#include "prove/prove.h"
#include "tests/lib/judge_lookup.h"
#include "tests/lib/random_policy.h"

static const struct {
	uint32_t n_rules;
	uint32_t n_prefixes;
	enum random_family family;
	const char *family_name;
} large[] = {
	{100, 1500, RANDOM_BOTH, "both families"},
	{1000, 175000, RANDOM_V4, "IPv4"},
	{1000, 175000, RANDOM_V6, "IPv6"},
	{1000, 175000, RANDOM_BOTH, "both families"},
	{3900, 200000, RANDOM_BOTH, "both families"},
};

static uint64_t cpu_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool resolved(struct arena *arena, const struct random_policy *made, struct policy *policy)
{
	scoped(diag_free) struct diag *diag = diag_new();
	int err = resolve(arena, made->files.at, made->files.len, &made->host, diag, policy);

	if (err)
		diag_print(diag, stdout);
	return !err;
}

/* Builds with the limits, and proves. */
static bool holds(struct arena *arena, const struct policy *policy, struct build_limits limits,
		  bool told)
{
	scoped(diag_free) struct diag *diag = diag_new();
	struct prove_result result;
	char packet[TUPLE_TEXT_SIZE];
	struct image image;
	uint64_t start, built, proven;

	start = cpu_ms();
	if (build(arena, policy, NULL, 0, &limits, diag, &image)) {
		diag_print(diag, stdout);
		return false;
	}
	built = cpu_ms();
	prove(arena, policy, &image, &result);
	proven = cpu_ms();
	if (told)
		printf("# %" PRIu64 " ms to build, %" PRIu64 " ms to prove, %" PRIu64
		       " were expected; %zu rules, %" PRIu64 " segments, %" PRIu64
		       " pairs, %" PRIu64 " combinations\n",
		       built - start, proven - built, prove_estimate(policy, &image),
		       policy->rules.len, result.n_segments, result.n_pairs, result.n_combinations);
	if (result.answer == PROVE_FAULT)
		printf("# %s\n", result.fault);
	if (result.answer == PROVE_DIFFERS)
		printf("# %s: expected %u by %u, found %u by %u\n",
		       tuple_print(&result.packet, packet), result.expected.verdict,
		       result.expected.rule, result.found.verdict, result.found.rule);
	return result.answer == PROVE_HOLDS;
}

static bool small_holds(uint64_t seed)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct random_policy made;
	struct policy policy;
	bool ok;

	random_policy(arena, seed, &made);
	ok = resolved(arena, &made, &policy);
	for (size_t i = 0; ok && i < JUDGES_LOOKUP_STRUCTURES; i++)
		ok = holds(arena, &policy, judge_lookup_limits(i), false);
	if (!ok)
		printf("# seed %" PRIu64 "\n", seed);
	return ok;
}

static bool large_holds(size_t i)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct random_policy made;
	struct policy policy;
	bool ok;

	random_nsg_policy(arena, 1, large[i].n_rules, large[i].n_prefixes, large[i].family, &made);
	ok = resolved(arena, &made, &policy) && holds(arena, &policy, build_limits_default(), true);
	printf("%s %zu - %u rules over %u prefixes are proven, %s\n", ok ? "ok" : "not ok", 2 + i,
	       large[i].n_rules, large[i].n_prefixes, large[i].family_name);
	return ok;
}

int main(int argc, char **argv)
{
	unsigned long n = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
	unsigned n_bad = 0;

	if (!n) {
		fprintf(stderr, "usage: clean N\n");
		return 2;
	}
	printf("1..%zu\n", 1 + ARRAY_LEN(large));
	for (uint64_t seed = 1; seed <= n; seed++)
		n_bad += !small_holds(seed);
	printf("%s 1 - %lu random policies are proven in every structure\n",
	       n_bad ? "not ok" : "ok", n);
	for (size_t i = 0; i < ARRAY_LEN(large); i++)
		n_bad += !large_holds(i);
	return n_bad ? 1 : 0;
}
