// SPDX-License-Identifier: GPL-2.0-only
/* What rows mean, and the totals that outlive a generation: told by rule, reason and link. */
#include <criterion/criterion.h>

#include "classify/build.h"
#include "kernel/counters.h"
#include "tests/lib/policy_text.h"

static const char web_text[] =
	"bulkhead: 1\n"
	"group: web\n"
	"rules:\n"
	"  - {name: site, priority: 100, direction: inbound, access: allow,\n"
	"     services: [tcp/80], source: any, destination: any}\n"
	"  - {name: ssh, priority: 110, direction: inbound, access: allow,\n"
	"     services: [tcp/22], source: 10.0.0.0/8, destination: any}\n";

/* One generation: its image and the rows that it has counted. */
struct counted {
	struct loaded loaded;
	struct image image;
	struct counters counters;
	struct store_record record;
};

static void counted_init(struct counted *counted, const char *text, uint64_t generation)
{
	struct build_limits limits = build_limits_default();
	const struct source *source;
	struct arena *arena;

	*counted = (struct counted){};
	load_texts(&counted->loaded, NULL, (const char *const[]){text, NULL});
	cr_assert_eq(counted->loaded.err, 0, "%s", counted->loaded.messages);
	arena = counted->loaded.arena;
	source = counted->loaded.policy.groups.at[0].mark.source;
	cr_assert_eq(build(arena, &counted->loaded.policy, &source, 1, &limits,
			   counted->loaded.diag, &counted->image),
		     0);
	counted->counters = (struct counters){
		.generation = generation,
		.n_rows = counters_n_rows(&counted->image),
	};
	counted->counters.cells = arena_calloc(arena, (size_t)counted->counters.n_rows * BH_LINKS,
					       sizeof(struct counter));
	counted->record.current =
		(struct store_generation){.generation = generation, .applied = 5000};
	array_push(arena, &counted->record.links,
		   (struct store_link){.number = 1, .name = "eth0", .why_in = "", .why_out = ""});
}

static void counted_fini(struct counted *counted)
{
	unload(&counted->loaded);
}

static struct counter *cell(struct counted *counted, uint32_t link, uint32_t row)
{
	cr_assert_lt(row, counted->counters.n_rows);
	return &counted->counters.cells[(size_t)link * counted->counters.n_rows + row];
}

static uint32_t reason_row(enum bh_reason reason, enum bh_direction direction)
{
	return (uint32_t)reason * 2 + (uint32_t)direction;
}

/* The row of the outcome that a rule decides. */
static uint32_t rule_row(const struct counted *counted, const char *name)
{
	for (uint32_t i = 0; i < image_head(&counted->image)->n_outcomes; i++) {
		const struct bh_outcome *outcome = image_outcome(&counted->image, i);

		if (outcome->reason == BH_REASON_RULE && outcome->rule != BH_NO_RULE &&
		    strcmp(counted->image.notes.rules.at[outcome->rule].name, name) == 0)
			return BH_FIXED_ROWS + i;
	}
	cr_assert_fail("no outcome of %s", name);
	return 0;
}

static void fold(struct counted *counted, struct store_totals *totals, bool has_image)
{
	counters_fold(totals, counted->loaded.arena, &counted->counters,
		      has_image ? &counted->image : NULL, &counted->record);
}

static const struct store_count *find(const struct store_totals *totals, const char *key)
{
	const struct store_count *found = NULL;

	for (size_t i = 0; i < totals->counts.len; i++) {
		if (strcmp(totals->counts.at[i].key, key) != 0)
			continue;
		cr_assert_null(found, "'%s' is there twice", key);
		found = &totals->counts.at[i];
	}
	return found;
}

static uint64_t packets(const struct store_totals *totals, const char *key)
{
	const struct store_count *count = find(totals, key);

	cr_assert_not_null(count, "no '%s'", key);
	return count->packets;
}

#define SITE	 "rule\tweb\tsite\tinbound\tallow"
#define SSH	 "rule\tweb\tssh\tinbound\tallow"
#define DECIDED	 "decided\tweb\tsite\tinbound\tallow"
#define DENY_ALL "rule\tweb\tDenyAllInBound\tinbound\tdeny"

Test(totals, rows_are_summed_over_links_by_the_name_of_their_rule)
{
	struct store_totals totals = {};
	struct counted counted;
	const struct store_count *site;

	counted_init(&counted, web_text, 1);
	*cell(&counted, 0, rule_row(&counted, "site")) =
		(struct counter){.packets = 1, .bytes = 10, .last = 77};
	*cell(&counted, 1, rule_row(&counted, "site")) = (struct counter){.packets = 2,
									  .bytes = 20,
									  .reply_packets = 3,
									  .reply_bytes = 30,
									  .flows = 1,
									  .last = 76};
	fold(&counted, &totals, true);
	site = find(&totals, SITE);
	cr_assert_not_null(site);
	cr_assert_eq(site->packets, 3);
	cr_assert_eq(site->bytes, 30);
	cr_assert_eq(site->reply_packets, 3);
	cr_assert_eq(site->reply_bytes, 30);
	cr_assert_eq(site->flows, 1);
	cr_assert_eq(site->last, 77);
	cr_assert_eq(site->since, 5000, "since its generation came into force");
	cr_assert_eq(packets(&totals, DECIDED), 3);
	cr_assert_eq(packets(&totals, SSH), 0);
	cr_assert_eq(packets(&totals, "reason\trule\tinbound"), 3);
	cr_assert_eq(packets(&totals, "reason\trule\toutbound"), 0);
	cr_assert_eq(totals.folded, 1);
	counted_fini(&counted);
}

Test(totals, a_generation_is_folded_once)
{
	struct store_totals totals = {};
	struct counted counted;

	counted_init(&counted, web_text, 4);
	cell(&counted, 1, rule_row(&counted, "site"))->packets = 5;
	fold(&counted, &totals, true);
	fold(&counted, &totals, true);
	cr_assert_eq(packets(&totals, SITE), 5);
	counted.counters.generation = 3;
	fold(&counted, &totals, true);
	cr_assert_eq(packets(&totals, SITE), 5);
	cr_assert_eq(totals.folded, 4);
	counted.counters.generation = 5;
	fold(&counted, &totals, true);
	cr_assert_eq(packets(&totals, SITE), 10);
	counted_fini(&counted);
}

Test(totals, a_rule_keeps_its_totals_under_another_number)
{
	static const char moved[] = "bulkhead: 1\n"
				    "group: web\n"
				    "rules:\n"
				    "  - {name: first, priority: 100, direction: inbound, access: "
				    "deny,\n"
				    "     services: [tcp/9], source: any, destination: any}\n"
				    "  - {name: site, priority: 200, direction: inbound, access: "
				    "allow,\n"
				    "     services: [tcp/80], source: any, destination: any}\n";
	struct store_totals totals = {};
	struct counted before;
	struct counted after;

	counted_init(&before, web_text, 1);
	counted_init(&after, moved, 2);
	cell(&before, 1, rule_row(&before, "site"))->packets = 5;
	cell(&after, 1, rule_row(&after, "site"))->packets = 7;
	fold(&before, &totals, true);
	fold(&after, &totals, true);
	cr_assert_eq(packets(&totals, SITE), 12);
	cr_assert_eq(packets(&totals, SSH), 0, "a rule that is gone keeps its row");
	counted_fini(&before);
	counted_fini(&after);
}

Test(totals, a_lost_image_costs_the_rules_and_not_the_reasons_and_links)
{
	struct store_totals totals = {};
	struct counted counted;

	counted_init(&counted, web_text, 1);
	cell(&counted, 1, rule_row(&counted, "site"))->packets = 5;
	cell(&counted, 1, reason_row(BH_REASON_ARP, BH_IN))->packets = 2;
	fold(&counted, &totals, false);
	cr_assert_null(find(&totals, SITE));
	cr_assert_eq(packets(&totals, "reason\tarp\tinbound"), 2);
	cr_assert_eq(packets(&totals, "link\teth0\tinbound\tallow"), 2);
	cr_assert_eq(totals.folded, 1);
	counted_fini(&counted);
}

Test(totals, links_count_by_name_and_verdict_and_unknown_ones_together)
{
	struct store_totals totals = {};
	struct counted counted;

	counted_init(&counted, web_text, 1);
	cell(&counted, 1, rule_row(&counted, "site"))->packets = 5;
	cell(&counted, 1, rule_row(&counted, "DenyAllInBound"))->packets = 6;
	cell(&counted, 0, rule_row(&counted, "site"))->packets = 7;
	cell(&counted, 9, rule_row(&counted, "site"))->packets = 8;
	fold(&counted, &totals, true);
	cr_assert_eq(packets(&totals, "link\teth0\tinbound\tallow"), 5);
	cr_assert_eq(packets(&totals, "link\teth0\tinbound\tdeny"), 6);
	cr_assert_eq(packets(&totals, "link\t\tinbound\tallow"), 15);
	cr_assert_null(find(&totals, "link\teth0\toutbound\tallow"), "nothing went out");
	cr_assert_eq(packets(&totals, DENY_ALL), 6);
	counted_fini(&counted);
}

/* Only then does the sum over links stay that of all packets. */
Test(totals, what_audit_let_through_counts_at_its_link_as_would_deny)
{
	struct store_totals totals = {};
	struct counted counted;

	counted_init(&counted, web_text, 1);
	*cell(&counted, 1, rule_row(&counted, "DenyAllInBound")) =
		(struct counter){.packets = 10, .bytes = 1000, .would_denied = 4};
	*cell(&counted, 1, reason_row(BH_REASON_NOT_IP, BH_OUT)) =
		(struct counter){.packets = 3, .bytes = 300, .would_denied = 3};
	fold(&counted, &totals, true);
	cr_assert_eq(packets(&totals, "link\teth0\tinbound\tdeny"), 6);
	cr_assert_eq(packets(&totals, "link\teth0\tinbound\twould-deny"), 4);
	cr_assert_eq(find(&totals, "link\teth0\tinbound\tdeny")->bytes, 600);
	cr_assert_eq(find(&totals, "link\teth0\tinbound\twould-deny")->bytes, 400);
	cr_assert_eq(packets(&totals, "link\teth0\toutbound\twould-deny"), 3);
	cr_assert_null(find(&totals, "link\teth0\toutbound\tdeny"));
	cr_assert_eq(packets(&totals, DENY_ALL), 10);
	counted_fini(&counted);
}

/* ---- since ---- */

static uint64_t since(const struct store_totals *totals, const char *key)
{
	const struct store_count *count = find(totals, key);

	cr_assert_not_null(count, "no '%s'", key);
	return count->since;
}

Test(totals, a_rule_counts_since_it_came_and_anew_when_its_match_changes)
{
	static const char changed[] =
		"bulkhead: 1\n"
		"group: web\n"
		"rules:\n"
		"  - {name: site, priority: 100, direction: inbound, access: allow,\n"
		"     services: [tcp/8080], source: any, destination: any}\n"
		"  - {name: ssh, priority: 120, direction: inbound, access: allow,\n"
		"     services: [tcp/22], source: 10.0.0.0/8, destination: any}\n"
		"  - {name: new, priority: 130, direction: inbound, access: allow,\n"
		"     services: [tcp/25], source: any, destination: any}\n";
	struct store_totals totals = {};
	struct counted before;
	struct counted after;
	struct arena *arena;

	counted_init(&before, web_text, 1);
	counted_init(&after, changed, 2);
	arena = before.loaded.arena;
	counters_begin(&totals, arena, &before.image, NULL, 1000);
	cr_assert_eq(since(&totals, SITE), 1000);
	counters_begin(&totals, arena, &before.image, &before.image, 2000);
	cr_assert_eq(since(&totals, SITE), 1000, "nothing has changed");
	cell(&before, 1, rule_row(&before, "site"))->packets = 5;
	fold(&before, &totals, true);
	counters_begin(&totals, arena, &after.image, &before.image, 3000);
	cr_assert_eq(since(&totals, SITE), 3000, "another port");
	cr_assert_eq(packets(&totals, SITE), 5, "a changed match keeps what was counted");
	cr_assert_eq(since(&totals, SSH), 1000, "another priority is the same match");
	cr_assert_eq(since(&totals, "rule\tweb\tnew\tinbound\tallow"), 3000);
	counted_fini(&before);
	counted_fini(&after);
}

Test(totals, another_set_of_addresses_is_another_match)
{
	static const char changed[] =
		"bulkhead: 1\n"
		"group: web\n"
		"rules:\n"
		"  - {name: ssh, priority: 110, direction: inbound, access: allow,\n"
		"     services: [tcp/22], source: [10.0.0.0/8, 192.0.2.1], destination: any}\n";
	struct store_totals totals = {};
	struct counted before;
	struct counted after;

	counted_init(&before, web_text, 1);
	counted_init(&after, changed, 2);
	counters_begin(&totals, before.loaded.arena, &before.image, NULL, 1000);
	counters_begin(&totals, before.loaded.arena, &after.image, &before.image, 2000);
	cr_assert_eq(since(&totals, SSH), 2000);
	cr_assert_eq(since(&totals, SITE), 1000);
	counted_fini(&before);
	counted_fini(&after);
}

/* ---- sums ---- */

Test(totals, a_row_is_the_sum_of_its_links)
{
	struct counted counted;
	uint32_t row;

	counted_init(&counted, web_text, 1);
	row = rule_row(&counted, "ssh");
	for (uint32_t link = 0; link < BH_LINKS; link++)
		*cell(&counted, link, row) = (struct counter){.packets = 1, .last = link};
	cr_assert_eq(counters_row(&counted.counters, row).packets, BH_LINKS);
	cr_assert_eq(counters_row(&counted.counters, row).last, BH_LINKS - 1);
	cr_assert_eq(counters_row(&counted.counters, counted.counters.n_rows).packets, 0);
	counted_fini(&counted);
}
