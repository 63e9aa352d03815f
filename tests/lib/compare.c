// SPDX-License-Identifier: GPL-2.0-only
/* Random policies and packets before several judges, which must agree. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/resolve.h"
#include "tests/lib/policy_text.h"
#include "tests/lib/random_policy.h"
#include "tests/lib/tables.h"

enum { BATCH = 100, MAX_DIFFERENCES = 10, PREFIXES_PER_RULE = 10 };

/* One policy before all judges. */
struct bench {
	struct arena *arena;
	struct random_policy made;
	struct policy policy;
	const struct judge *judges;
	size_t n_judges;
};

/* What the rules add up to: all of it, besides what the verdict says too. */
static bool same_outcome(const struct policy_outcome *a, const struct policy_outcome *b)
{
	for (int tier = 0; tier < TIER_COUNT; tier++)
		if (a->tier_rule[tier] != b->tier_rule[tier])
			return false;
	return a->rule == b->rule && a->log == b->log && a->keep == b->keep;
}

bool verdict_same(const struct verdict *a, const struct verdict *b)
{
	bool by_rules = a->reason == EVAL_RULE || a->reason == EVAL_NO_GROUP;

	return a->allow == b->allow && a->would_deny == b->would_deny && a->by_flow == b->by_flow &&
	       a->reason == b->reason && (!by_rules || same_outcome(&a->outcome, &b->outcome));
}

static void print_policy(const struct random_policy *made)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	struct str rest, line;

	if (!out)
		abort();
	random_policy_print(made, out);
	fclose(out);
	rest = str_of(text);
	while (str_cut(rest, '\n', &line, &rest))
		printf("#   " STR_FMT "\n", STR_ARG(line));
	free(text);
}

static bool judge_packet(const struct bench *bench, const struct tuple *tuple)
{
	struct verdict first = {}, other;
	char packet[TUPLE_TEXT_SIZE];
	int err = bench->judges[0].judge(&bench->policy, tuple, &bench->made.self, &first);

	for (size_t i = 1; !err && i < bench->n_judges; i++) {
		other = (struct verdict){};
		err = bench->judges[i].judge(&bench->policy, tuple, &bench->made.self, &other);
		if (!err && verdict_same(&first, &other))
			continue;
		printf("# %s\n#   %s: %s\n#   %s: %s\n", tuple_print(tuple, packet),
		       bench->judges[0].name, verdict_text(bench->arena, &bench->policy, &first),
		       bench->judges[i].name,
		       err ? strerror(-err) : verdict_text(bench->arena, &bench->policy, &other));
		if (bench->judges[i].detail)
			printf("#     %s\n", bench->judges[i].detail());
		return false;
	}
	return !err;
}

static int prepare(struct bench *bench, uint64_t seed, uint32_t n_rules)
{
	scoped(diag_free) struct diag *diag = diag_new();
	int err;

	if (n_rules)
		random_nsg_policy(bench->arena, seed, n_rules, n_rules * PREFIXES_PER_RULE,
				  RANDOM_BOTH, &bench->made);
	else
		random_policy(bench->arena, seed, &bench->made);
	err = resolve(bench->arena, bench->made.files.at, bench->made.files.len, &bench->made.host,
		      diag, &bench->policy);
	for (size_t i = 0; !err && i < bench->n_judges; i++)
		if (bench->judges[i].prepare)
			err = bench->judges[i].prepare(&bench->policy);
	return err;
}

static bool run_seed(const struct random_run *run, uint64_t seed, const struct judge *judges,
		     size_t n_judges)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct bench bench = {.arena = arena, .judges = judges, .n_judges = n_judges};
	struct rng rng = {seed};
	int err = prepare(&bench, seed, run->n_rules);
	bool ok = !err;

	if (err)
		printf("# seed %llu: the policy is refused: %s\n", (unsigned long long)seed,
		       strerror(-err));
	for (uint32_t i = 0; ok && i < run->n_packets; i++) {
		struct tuple tuple = random_packet(&rng, &bench.policy, &bench.made.self);

		ok = judge_packet(&bench, &tuple);
	}
	if (ok)
		return true;
	printf("# seed %llu, with this policy:\n", (unsigned long long)seed);
	print_policy(&bench.made);
	return false;
}

int random_compare(const struct random_run *run, const struct judge *judges, size_t n_judges)
{
	uint32_t n_batches = (run->n_policies + BATCH - 1) / BATCH;
	unsigned n_differences = 0;

	printf("1..%u\n", n_batches);
	for (uint32_t batch = 0; batch < n_batches; batch++) {
		uint64_t first = run->first_seed + (uint64_t)batch * BATCH;
		unsigned before = n_differences;

		for (uint64_t seed = first;
		     seed < first + BATCH && seed < run->first_seed + run->n_policies &&
		     n_differences < MAX_DIFFERENCES;
		     seed++)
			n_differences += !run_seed(run, seed, judges, n_judges);
		printf("%s %u - random policies from seed %llu\n",
		       n_differences == before && before < MAX_DIFFERENCES ? "ok" : "not ok",
		       batch + 1, (unsigned long long)first);
	}
	return n_differences ? 1 : 0;
}
