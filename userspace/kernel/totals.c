// SPDX-License-Identifier: GPL-2.0-only
/*
 * What rows mean: sums by rule, reason and link, and the totals that outlive generations. The
 * other half of counters.h.
 */
#include <errno.h>
#include <stdlib.h>

#include "kernel/counters.h"

/* ---- keys ---- */

static const char *const direction_names[] = {
	[BH_IN] = "inbound",
	[BH_OUT] = "outbound",
};

static const char *const verdict_names[] = {
	[BH_DENY] = "deny",
	[BH_ALLOW] = "allow",
	[BH_WOULD_DENY] = "would-deny",
};

static const char *const access_names[] = {
	[IMAGE_ALLOW] = "allow",
	[IMAGE_DENY] = "deny",
	[IMAGE_ALWAYS_ALLOW] = "always-allow",
};

static const char *const reason_names[] = {
#define X(kind, constant, name) [BH_REASON_##constant] = name,
	BH_REASONS(X)
#undef X
};

/* What a reason does to the packet. RULE and NO_GROUP are told by their outcome. */
#define ALLOW BH_ALLOW
#define NEVER BH_ALLOW
#define DENY  BH_DENY
static const enum bh_verdict reason_verdicts[] = {
#define X(kind, constant, name) [BH_REASON_##constant] = kind,
	BH_REASONS(X)
#undef X
};
#undef ALLOW
#undef NEVER
#undef DENY

static const char *rule_key(struct arena *arena, const struct image *image, uint32_t rule,
			    const char *what)
{
	const struct image_rule *one = &image->notes.rules.at[rule];

	return arena_printf(arena, "%s\t%s\t%s\t%s\t%s", what,
			    image->notes.groups.at[one->group].name, one->name,
			    direction_names[one->direction], access_names[one->access]);
}

static const char *reason_key(struct arena *arena, enum bh_reason reason,
			      enum bh_direction direction)
{
	return arena_printf(arena, "reason\t%s\t%s", reason_names[reason],
			    direction_names[direction]);
}

static const char *link_key(struct arena *arena, const char *name, enum bh_direction direction,
			    enum bh_verdict verdict)
{
	return arena_printf(arena, "link\t%s\t%s\t%s", name, direction_names[direction],
			    verdict_names[verdict]);
}

/* ---- rows into rules, reasons and links ---- */

/* What rows mean; sums that are kept beside each other until they get names. */
struct sums {
	struct counter *rules; /* by id */
	struct counter *decided;
	uint32_t n_rules;
	struct counter reasons[BH_REASON_COUNT][BH_DIRECTION_COUNT];
	struct counter links[BH_LINKS][BH_DIRECTION_COUNT][3];
};

/* Audit lets packets of a row through that was made to deny: they count under would-deny. */
static void add_verdict(struct counter to[3], enum bh_verdict verdict, const struct counter *cell)
{
	struct counter rest = *cell;
	uint64_t all = cell->packets + cell->reply_packets;

	if (cell->would_denied && cell->would_denied < all && verdict == BH_DENY) {
		/* Both in one row: bytes are shared out as the packets are. */
		struct counter part = {.packets = cell->would_denied, .last = cell->last};

		part.bytes = (uint64_t)((unsigned __int128)cell->bytes * cell->would_denied / all);
		part.would_denied = cell->would_denied;
		rest.packets -= part.packets < rest.packets ? part.packets : rest.packets;
		rest.bytes -= part.bytes;
		rest.would_denied = 0;
		counters_add(&to[BH_WOULD_DENY], &part);
	} else if (cell->would_denied) {
		verdict = BH_WOULD_DENY;
	}
	counters_add(&to[verdict], &rest);
}

static void add_fixed(struct sums *sums, uint32_t link, uint32_t row, const struct counter *cell)
{
	enum bh_reason reason = (enum bh_reason)(row / 2);
	enum bh_direction direction = (enum bh_direction)(row % 2);

	if (reason >= BH_REASON_COUNT)
		return;
	counters_add(&sums->reasons[reason][direction], cell);
	add_verdict(sums->links[link][direction], reason_verdicts[reason], cell);
}

static bool decides(const struct bh_outcome *outcome, uint32_t rule)
{
	return outcome->reason == BH_REASON_RULE && outcome->rule == rule;
}

static void add_outcome(struct sums *sums, uint32_t link, const struct bh_outcome *outcome,
			const struct counter *cell)
{
	enum bh_direction direction = (enum bh_direction)(outcome->direction & 1);
	uint32_t verdict = outcome->verdict & 0xf;

	counters_add(&sums->reasons[outcome->reason % BH_REASON_COUNT][direction], cell);
	add_verdict(sums->links[link][direction],
		    verdict <= BH_WOULD_DENY ? (enum bh_verdict)verdict : BH_DENY, cell);
	for (int tier = 0; tier < BH_TIER_COUNT; tier++) {
		uint32_t rule = outcome->tier_rule[tier];

		if (rule < sums->n_rules)
			counters_add(&sums->rules[rule], cell);
	}
	if (outcome->rule < sums->n_rules && decides(outcome, outcome->rule))
		counters_add(&sums->decided[outcome->rule], cell);
}

static bool is_zero(const struct counter *cell)
{
	return !cell->packets && !cell->reply_packets && !cell->flows;
}

static struct sums *sum_up(struct arena *arena, const struct counters *counters,
			   const struct image *image)
{
	struct sums *sums = arena_alloc(arena, sizeof(*sums));

	sums->n_rules = image ? (uint32_t)image->notes.rules.len : 0;
	sums->rules = arena_calloc(arena, sums->n_rules, sizeof(*sums->rules));
	sums->decided = arena_calloc(arena, sums->n_rules, sizeof(*sums->decided));
	for (uint32_t link = 0; link < BH_LINKS; link++) {
		for (uint32_t row = 0; row < counters->n_rows; row++) {
			const struct counter *cell =
				&counters->cells[(size_t)link * counters->n_rows + row];

			if (is_zero(cell))
				continue;
			if (row < BH_FIXED_ROWS)
				add_fixed(sums, link, row, cell);
			else if (image)
				add_outcome(sums, link, image_outcome(image, row - BH_FIXED_ROWS),
					    cell);
		}
	}
	return sums;
}

/* ---- totals: sorted by key ---- */

static int compare_keys(const void *a, const void *b)
{
	return strcmp(((const struct store_count *)a)->key, ((const struct store_count *)b)->key);
}

static void sort_totals(struct store_totals *totals)
{
	if (totals->counts.len)
		qsort(totals->counts.at, totals->counts.len, sizeof(*totals->counts.at),
		      compare_keys);
}

static struct store_count *find_count(const struct store_totals *totals, const char *key)
{
	const struct store_count wanted = {.key = key};

	if (!totals->counts.len)
		return NULL;
	return bsearch(&wanted, totals->counts.at, totals->counts.len, sizeof(*totals->counts.at),
		       compare_keys);
}

/* Additions collected first, so that the totals are sorted once. */
struct addition {
	const char *key;
	const struct counter *counter;
};

typedef ARRAY(struct addition) additions;

static void collect_named(struct arena *arena, const struct sums *sums, const struct image *image,
			  additions *list)
{
	for (uint32_t i = 0; image && i < sums->n_rules; i++) {
		array_push(arena, list,
			   (struct addition){rule_key(arena, image, i, "rule"), &sums->rules[i]});
		array_push(
			arena, list,
			(struct addition){rule_key(arena, image, i, "decided"), &sums->decided[i]});
	}
	for (int reason = 0; reason < BH_REASON_COUNT; reason++)
		for (int direction = 0; direction < BH_DIRECTION_COUNT; direction++)
			array_push(arena, list,
				   (struct addition){reason_key(arena, (enum bh_reason)reason,
								(enum bh_direction)direction),
						     &sums->reasons[reason][direction]});
}

static const char *link_name(const struct store_record *record, uint32_t number)
{
	for (size_t i = 0; i < record->links.len; i++)
		if (record->links.at[i].number == number)
			return record->links.at[i].name;
	return "";
}

static void collect_links(struct arena *arena, const struct sums *sums,
			  const struct store_record *record, additions *list)
{
	for (uint32_t link = 0; link < BH_LINKS; link++) {
		const struct counter *cells = &sums->links[link][0][0];

		for (uint32_t i = 0; i < BH_DIRECTION_COUNT * 3; i++)
			if (!is_zero(&cells[i]))
				array_push(
					arena, list,
					(struct addition){link_key(arena, link_name(record, link),
								   (enum bh_direction)(i / 3),
								   (enum bh_verdict)(i % 3)),
							  &cells[i]});
	}
}

static void add_missing(struct store_totals *totals, struct arena *arena, const additions *list,
			uint64_t since)
{
	size_t sorted = totals->counts.len;
	struct store_totals before = *totals;

	for (size_t i = 0; i < list->len; i++) {
		before.counts.at = totals->counts.at;
		before.counts.len = sorted;
		if (!find_count(&before, list->at[i].key))
			array_push(arena, &totals->counts,
				   (struct store_count){.key = list->at[i].key, .since = since});
	}
	sort_totals(totals);
	/* Links that share a name, or none, share a key. */
	if (totals->counts.len > sorted) {
		size_t n = 1;

		for (size_t i = 1; i < totals->counts.len; i++)
			if (strcmp(totals->counts.at[i].key, totals->counts.at[n - 1].key) != 0)
				totals->counts.at[n++] = totals->counts.at[i];
		totals->counts.len = n;
	}
}

static void add_count(struct store_count *to, const struct counter *from)
{
	to->packets += from->packets;
	to->bytes += from->bytes;
	to->reply_packets += from->reply_packets;
	to->reply_bytes += from->reply_bytes;
	to->flows += from->flows;
	to->would_denied += from->would_denied;
	if (from->last > to->last)
		to->last = from->last;
}

void counters_fold(struct store_totals *totals, struct arena *arena,
		   const struct counters *counters, const struct image *image,
		   const struct store_record *record)
{
	const struct store_generation *entry = store_find_generation(record, counters->generation);
	additions list = {};
	struct sums *sums;

	if (counters->generation <= totals->folded)
		return;
	sums = sum_up(arena, counters, image);
	sort_totals(totals);
	collect_named(arena, sums, image, &list);
	collect_links(arena, sums, record, &list);
	add_missing(totals, arena, &list, entry ? entry->applied : 0);
	for (size_t i = 0; i < list.len; i++)
		add_count(find_count(totals, list.at[i].key), list.at[i].counter);
	totals->folded = counters->generation;
}

/* ---- since ---- */

static bool same_ranges(const addr_ranges *a, const addr_ranges *b)
{
	return a->len == b->len && (!a->len || memcmp(a->at, b->at, a->len * sizeof(*a->at)) == 0);
}

static bool same_set(const struct image *a, uint32_t set_a, const struct image *b, uint32_t set_b)
{
	const struct image_set *one = &a->notes.sets.at[set_a];
	const struct image_set *other = &b->notes.sets.at[set_b];

	return one->any == other->any && one->self == other->self &&
	       same_ranges(&one->ranges, &other->ranges);
}

static bool same_ports(const struct port_range *a, size_t n_a, const struct port_range *b,
		       size_t n_b)
{
	return n_a == n_b && (!n_a || memcmp(a, b, n_a * sizeof(*a)) == 0);
}

static bool same_clause(const struct image_clause *a, const struct image_clause *b)
{
	return a->protocol == b->protocol && a->icmp_type == b->icmp_type &&
	       a->icmp_code == b->icmp_code &&
	       same_ports(a->source_ports.at, a->source_ports.len, b->source_ports.at,
			  b->source_ports.len) &&
	       same_ports(a->destination_ports.at, a->destination_ports.len,
			  b->destination_ports.at, b->destination_ports.len);
}

/* What the rule is about; its priority and what stands before it are not its match. */
static bool same_match(const struct image *a, const struct image_rule *rule_a,
		       const struct image *b, const struct image_rule *rule_b)
{
	if (rule_a->clauses.len != rule_b->clauses.len ||
	    !same_set(a, rule_a->source_set, b, rule_b->source_set) ||
	    !same_set(a, rule_a->destination_set, b, rule_b->destination_set))
		return false;
	for (size_t i = 0; i < rule_a->clauses.len; i++)
		if (!same_clause(&rule_a->clauses.at[i], &rule_b->clauses.at[i]))
			return false;
	return true;
}

/* Rules of an image by key, as counts whose packets are the rule's id. */
static struct store_totals index_rules(struct arena *arena, const struct image *image)
{
	struct store_totals index = {};

	for (uint32_t i = 0; image && i < image->notes.rules.len; i++)
		array_push(arena, &index.counts,
			   (struct store_count){.key = rule_key(arena, image, i, "rule"),
						.packets = i});
	sort_totals(&index);
	return index;
}

static bool match_changed(const struct store_totals *index, const struct image *before,
			  const struct image *image, uint32_t rule, const char *key)
{
	const struct store_count *was = find_count(index, key);

	return was && !same_match(before, &before->notes.rules.at[was->packets], image,
				  &image->notes.rules.at[rule]);
}

void counters_begin(struct store_totals *totals, struct arena *arena, const struct image *image,
		    const struct image *before, uint64_t now)
{
	struct store_totals index = index_rules(arena, before);
	additions list = {};

	for (uint32_t i = 0; i < image->notes.rules.len; i++)
		array_push(arena, &list,
			   (struct addition){.key = rule_key(arena, image, i, "rule")});
	sort_totals(totals);
	add_missing(totals, arena, &list, now);
	for (uint32_t i = 0; i < image->notes.rules.len; i++)
		if (match_changed(&index, before, image, i, list.at[i].key))
			find_count(totals, list.at[i].key)->since = now;
}

/* ---- the report ---- */

static struct counter with_total(const struct store_totals *totals, const char *key,
				 const struct counter *live, uint64_t *since)
{
	const struct store_count *count = find_count(totals, key);
	struct counter sum = *live;

	if (!count)
		return sum;
	counters_add(&sum, &(struct counter){
				   .packets = count->packets,
				   .bytes = count->bytes,
				   .reply_packets = count->reply_packets,
				   .reply_bytes = count->reply_bytes,
				   .flows = count->flows,
				   .would_denied = count->would_denied,
				   .last = count->last,
			   });
	if (since && count->since)
		*since = count->since;
	return sum;
}

static struct counters_link *report_link(struct counters_report *report, struct arena *arena,
					 const char *name)
{
	struct counters_link *link;

	for (size_t i = 0; i < report->links.len; i++)
		if (strcmp(report->links.at[i].name, name) == 0)
			return &report->links.at[i];
	link = array_add(arena, &report->links);
	link->name = name;
	return link;
}

static void report_live_links(struct counters_report *report, struct arena *arena,
			      const struct sums *sums, const struct store_record *record)
{
	for (uint32_t number = 0; number < BH_LINKS; number++) {
		const char *name = link_name(record, number);
		struct counters_link *link;

		if (number && !name[0])
			continue;
		link = report_link(report, arena, name);
		for (int i = 0; i < BH_DIRECTION_COUNT * 3; i++)
			counters_add(&link->count[i / 3][i % 3],
				     &sums->links[number][i / 3][i % 3]);
	}
}

/* Keys of links are the only place where a name has to be read back out of a key. */
static void report_old_links(struct counters_report *report, struct arena *arena,
			     const struct store_totals *totals)
{
	for (size_t i = 0; i < totals->counts.len; i++) {
		const struct store_count *count = &totals->counts.at[i];
		struct str rest;
		struct str name;
		struct str head;

		if (!str_cut(str_of(count->key), '\t', &head, &rest) ||
		    !str_eq(head, STR("link")) || !str_cut(rest, '\t', &name, &rest))
			continue;
		for (int j = 0; j < BH_DIRECTION_COUNT * 3; j++) {
			const char *text = str_dup(arena, name);
			const char *key = link_key(arena, text, (enum bh_direction)(j / 3),
						   (enum bh_verdict)(j % 3));

			if (strcmp(key, count->key) == 0)
				counters_add(
					&report_link(report, arena, text)->count[j / 3][j % 3],
					&(struct counter){.packets = count->packets,
							  .bytes = count->bytes,
							  .reply_packets = count->reply_packets,
							  .reply_bytes = count->reply_bytes,
							  .flows = count->flows,
							  .would_denied = count->would_denied,
							  .last = count->last});
		}
	}
}

/* A kill between flip and fold left the generation before unfolded: it is folded here, unwritten. */
static int fold_unwritten(const struct counters_source *source, struct arena *arena,
			  struct diag *diag, struct store_totals *totals)
{
	scoped(diag_free) struct diag *unheard = diag_new();
	const struct store_record *record = source->record;
	const struct store_generation *last = record->history.len ? &record->history.at[0] : NULL;
	struct counters counters = {};
	struct image image = {};
	bool known;
	int err;

	if (!last || last->generation <= totals->folded ||
	    ((last->generation ^ record->current.generation) & 1) == 0)
		return 0;
	known = !store_get_image(source->store, &last->digest, arena, unheard, &image);
	err = counters_read(source->load, arena, last->generation, last->n_rows, diag, &counters);
	if (!err)
		counters_fold(totals, arena, &counters, known ? &image : NULL, record);
	return err;
}

static int read_totals(const struct counters_source *source, struct arena *arena, struct diag *diag,
		       bool *incomplete, struct store_totals *totals)
{
	scoped(diag_free) struct diag *quiet = diag_new();
	const struct mark nowhere = {};

	if (store_read_totals(source->store, arena, quiet, totals)) {
		diag_warn(diag, nowhere,
			  "the counters of earlier generations in '%s' cannot be read",
			  store_path(source->store));
		*incomplete = true;
	}
	sort_totals(totals);
	return fold_unwritten(source, arena, diag, totals);
}

static void report_rules(struct counters_report *report, struct arena *arena,
			 const struct sums *sums, const struct image *image,
			 const struct store_totals *totals, uint64_t applied)
{
	for (uint32_t i = 0; i < sums->n_rules; i++) {
		struct counters_rule *rule = array_add(arena, &report->rules);

		rule->since = applied;
		rule->count = with_total(totals, rule_key(arena, image, i, "rule"), &sums->rules[i],
					 &rule->since);
		rule->decided = with_total(totals, rule_key(arena, image, i, "decided"),
					   &sums->decided[i], NULL);
	}
}

int counters_report(const struct counters_source *source, struct arena *arena, struct diag *diag,
		    struct counters_report *ret_report)
{
	struct counters_report *report = arena_alloc(arena, sizeof(*report));
	struct store_totals totals = {};
	struct counters live = {};
	struct sums *sums;
	int err = read_totals(source, arena, diag, &report->incomplete, &totals);

	if (!err)
		err = counters_read(source->load, arena, source->record->current.generation,
				    counters_n_rows(source->image), diag, &live);
	if (!err)
		err = counters_read_notes(source->load, diag, report->notes);
	if (err)
		return err;
	sums = sum_up(arena, &live, source->image);
	report_rules(report, arena, sums, source->image, &totals, source->record->current.applied);
	for (int i = 0; i < BH_REASON_COUNT * BH_DIRECTION_COUNT; i++)
		report->reasons[i / 2].count[i % 2] = with_total(
			&totals,
			reason_key(arena, (enum bh_reason)(i / 2), (enum bh_direction)(i % 2)),
			&sums->reasons[i / 2][i % 2], NULL);
	report_live_links(report, arena, sums, source->record);
	report_old_links(report, arena, &totals);
	*ret_report = *report;
	return 0;
}
