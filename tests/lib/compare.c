// SPDX-License-Identifier: GPL-2.0-only
/* Random policies and packets before several judges, which must agree. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/resolve.h"
#include "tests/lib/policy_text.h"
#include "tests/lib/random_policy.h"
#include "tests/lib/shrink.h"
#include "tests/lib/tables.h"

enum { BATCH = 100, MAX_DIFFERENCES = 10, PREFIXES_PER_RULE = 10 };

/* One policy before all judges. */
struct bench {
	struct arena *arena;
	struct random_policy made;
	struct policy policy;
	const struct judge *judges;
	size_t n_judges;
	size_t other; /* the judge that differs from the first */
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

/* Whether one judge says what the first one says. */
static bool agrees(struct bench *bench, size_t other, const struct tuple *tuple, bool tell)
{
	const struct judge *one = &bench->judges[0], *two = &bench->judges[other];
	struct verdict first = {}, second = {};
	char packet[TUPLE_TEXT_SIZE];
	int err = one->judge(&bench->policy, tuple, &bench->made.self, &first);

	if (!err)
		err = two->judge(&bench->policy, tuple, &bench->made.self, &second);
	if (!err && verdict_same(&first, &second))
		return true;
	bench->other = other;
	if (!tell)
		return false;
	printf("# %s\n#   %s: %s\n#   %s: %s\n", tuple_print(tuple, packet), one->name,
	       verdict_text(bench->arena, &bench->policy, &first), two->name,
	       err ? strerror(-err) : verdict_text(bench->arena, &bench->policy, &second));
	if (two->detail)
		printf("#     %s\n", two->detail());
	return false;
}

static bool judge_packet(struct bench *bench, const struct tuple *tuple)
{
	for (size_t i = 1; i < bench->n_judges; i++)
		if (!agrees(bench, i, tuple, true))
			return false;
	return true;
}

/* made, before the judges. */
static int prepare(struct bench *bench)
{
	scoped(diag_free) struct diag *diag = diag_new();
	int err = resolve(bench->arena, bench->made.files.at, bench->made.files.len,
			  &bench->made.host, diag, &bench->policy);

	for (size_t i = 0; !err && i < bench->n_judges; i++)
		if (bench->judges[i].prepare)
			err = bench->judges[i].prepare(&bench->policy);
	return err;
}

static int make(struct bench *bench, uint64_t seed, uint32_t n_rules)
{
	if (n_rules)
		random_nsg_policy(bench->arena, seed, n_rules, n_rules * PREFIXES_PER_RULE,
				  RANDOM_BOTH, &bench->made);
	else
		random_policy(bench->arena, seed, &bench->made);
	return prepare(bench);
}

static bool still_differs(void *context, const struct shrink_case *candidate)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct bench bench = *(const struct bench *)context;

	bench.arena = arena;
	bench.made = candidate->policy;
	return !prepare(&bench) && !agrees(&bench, bench.other, &candidate->tuple, false);
}

static void keep(const struct bench *bench, const struct shrink_case *small, const char *dir,
		 uint64_t seed)
{
	const char *name = arena_printf(bench->arena, "found-%llu", (unsigned long long)seed);
	const char *note =
		arena_printf(bench->arena, "%s said otherwise.", bench->judges[bench->other].name);
	struct verdict verdict = {};
	int err =
		bench->judges[0].judge(&bench->policy, &small->tuple, &bench->made.self, &verdict);

	if (!err)
		err = shrink_keep(small, &bench->policy, &verdict, dir, name, note);
	if (err)
		printf("# cannot write %s/%s: %s\n", dir, name, strerror(-err));
	else
		printf("# kept as %s/%s.table\n", dir, name);
}

/* The difference again, as small as it gets. */
static void tell_small(struct bench *bench, const struct tuple *tuple, const struct random_run *run,
		       uint64_t seed)
{
	struct shrink_case small = {bench->made, *tuple};

	shrink(bench->arena, &small, still_differs, bench);
	bench->made = small.policy;
	if (prepare(bench) || agrees(bench, bench->other, &small.tuple, true))
		printf("# it came once and did not come again\n");
	else if (run->keep)
		keep(bench, &small, run->keep, seed);
	printf("# seed %llu, with this policy:\n", (unsigned long long)seed);
	print_policy(&bench->made);
}

static bool run_seed(const struct random_run *run, uint64_t seed, const struct judge *judges,
		     size_t n_judges)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct bench bench = {.arena = arena, .judges = judges, .n_judges = n_judges};
	struct rng rng = {seed};
	int err = make(&bench, seed, run->n_rules);

	if (err)
		printf("# seed %llu: the policy is refused: %s\n", (unsigned long long)seed,
		       strerror(-err));
	for (uint32_t i = 0; !err && i < run->n_packets; i++) {
		struct tuple tuple = random_packet(&rng, &bench.policy, &bench.made.self);

		if (judge_packet(&bench, &tuple))
			continue;
		tell_small(&bench, &tuple, run, seed);
		return false;
	}
	return !err;
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
