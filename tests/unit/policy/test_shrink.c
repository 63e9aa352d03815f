// SPDX-License-Identifier: GPL-2.0-only
/*
 * Differences made small: with a judge that is wrong in a known way, what is left is what it takes to
 * be wrong, and the files that are written hold the same difference.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <ftw.h>

#include "tests/lib/policy_text.h"
#include "tests/lib/shrink.h"
#include "tests/lib/tables.h"

/* Wrong about TCP that a rule decides which is none of the default rules. */
static int judge_wrongly(const struct policy *policy, const struct tuple *tuple,
			 const addr_list *self, struct verdict *ret_verdict)
{
	*ret_verdict = eval(policy, tuple, self);
	if (tuple->protocol == 6 && ret_verdict->outcome.rule != POLICY_NO_RULE &&
	    ret_verdict->reason == EVAL_RULE &&
	    !policy->rules.at[ret_verdict->outcome.rule].is_default)
		ret_verdict->allow = !ret_verdict->allow;
	return 0;
}

static const struct judge judges[] = {
	{.name = "eval", .judge = judge_by_eval},
	{.name = "wrong", .judge = judge_wrongly},
};

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	(void)stat;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* The first seed from 1 on whose policy has a packet that shows the fault. */
static uint64_t first_found(char *dir)
{
	struct random_run run = {.n_policies = 1, .n_packets = 100, .keep = dir};

	for (run.first_seed = 1; run.first_seed < 100; run.first_seed++)
		if (random_compare(&run, judges, ARRAY_LEN(judges)))
			return run.first_seed;
	return 0;
}

Test(shrink, one_rule_and_one_packet_are_left_and_kept_as_a_case)
{
	char dir[] = "/tmp/bh-shrink-XXXXXX", name[32];
	struct loaded loaded;
	struct verdict wrong;
	struct addr one;
	addr_list self;
	uint64_t seed;

	cr_redirect_stdout();
	cr_assert_not_null(mkdtemp(dir));
	seed = first_found(dir);
	cr_assert_neq(seed, 0, "the fault never shows");
	snprintf(name, sizeof(name), "found-%llu", (unsigned long long)seed);
	load_files(&loaded, dir, name);
	cr_assert_eq(loaded.err, 0, "%s", loaded.messages);

	cr_expect_eq(loaded.policy.groups.len, 1);
	for (size_t i = 0, n = 0; i < loaded.policy.rules.len; i++) {
		const struct policy_rule *rule = &loaded.policy.rules.at[i];

		if (rule->is_default)
			continue;
		cr_expect_eq(++n, 1, "more than one rule is left");
		cr_expect(loaded.policy.sets.at[rule->source].any);
		cr_expect(loaded.policy.sets.at[rule->destination].any);
		cr_expect_eq(rule->clauses.at[0].protocol, -1);
	}
	cr_assert_eq(loaded.table.rows.len, 1);
	self = table_self(&loaded.table, &loaded.table.rows.at[0], &one);
	cr_expect_eq(self.len, 1, "own addresses that do not matter are left");
	wrong = eval(&loaded.policy, &loaded.table.rows.at[0].tuple, &self);
	cr_expect(table_row_agrees(&loaded.table.rows.at[0], &wrong));
	judge_wrongly(&loaded.policy, &loaded.table.rows.at[0].tuple, &self, &wrong);
	cr_expect(!table_row_agrees(&loaded.table.rows.at[0], &wrong));
	unload(&loaded);
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Nothing can go where everything matters. */
static bool differs_as_it_is(void *context, const struct shrink_case *candidate)
{
	(void)candidate;
	++*(size_t *)context;
	return false;
}

Test(shrink, what_does_not_differ_without_all_of_it_stays_whole)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct shrink_case at = {}, before;
	size_t n_tries = 0;

	random_policy(arena, 7, &at.policy);
	before = at;
	shrink(arena, &at, differs_as_it_is, &n_tries);
	cr_expect_gt(n_tries, 100, "only %zu steps were tried", n_tries);
	cr_expect_eq(memcmp(&at, &before, sizeof(at)), 0);
}
