// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each protocol that some clause names has a slot, all others share slot 0. In a slot the clauses
 * that can match are numbered; a port's class is the set of those whose ports hold it, and a
 * cell, one class of source ports with one of destination ports, yields the set of rules.
 */
#include "classify/protocols.h"

#include <assert.h>
#include <errno.h>

#include "classify/bits.h"

enum {
	PROTO_ICMP = 1,
	PROTO_ICMPV6 = 58,
	N_PORTS = 65536,
};

/* A clause of the slot at hand. */
struct entry {
	uint32_t rule; /* counted from the first of the direction */
	const struct policy_clause *clause;
};

struct slot_maker {
	struct arena *arena;
	const struct direction_rules *rules;
	struct port_tables *tables;
	struct intern *classes; /* sets of rules */
	const uint64_t *wild;
	uint64_t *matched; /* the rules of the cell at hand */
	size_t n_rule_words;
	ARRAY(struct entry) entries;
};

/* What one side's ports of a slot come to. */
struct port_classes {
	uint64_t *entries; /* n times n_words: the entries that the class satisfies */
	uint32_t n;
	size_t n_words;
	uint32_t root; /* number + 1 */
};

struct direction_rules direction_rules_of(const struct policy *policy,
					  enum policy_direction direction)
{
	struct direction_rules rules = {
		.policy = policy,
		.direction = direction,
		.first = UINT32_MAX,
	};

	for (int tier = 0; tier < TIER_COUNT; tier++) {
		uint32_t n = policy->n[direction][tier];

		rules.n += n;
		if (n && policy->first[direction][tier] < rules.first)
			rules.first = policy->first[direction][tier];
	}
	return rules;
}

/* The destination "ports" of a clause by place; ICMP's are types and codes. False: no more. */
static bool port_range_at(const struct policy_clause *clause, bool destination, size_t i,
			  struct port_range *ret_range)
{
	const port_ranges *ports = destination ? &clause->destination_ports : &clause->source_ports;
	bool typed = destination && clause->icmp_type >= 0;

	if (ports->len ? i >= ports->len : i > 0)
		return false;
	if (ports->len)
		*ret_range = ports->at[i];
	else
		*ret_range = (struct port_range){0, N_PORTS - 1};
	if (typed) {
		ret_range->first =
			clause->icmp_type << 8 | (clause->icmp_code < 0 ? 0 : clause->icmp_code);
		ret_range->last =
			clause->icmp_type << 8 | (clause->icmp_code < 0 ? 0xff : clause->icmp_code);
	}
	return true;
}

/* The entries that begin or end at a port, sorted by port: a list of toggles. */
struct toggle {
	uint32_t port;
	uint32_t entry;
};

static int compare_toggles(const void *left, const void *right)
{
	const struct toggle *a = left;
	const struct toggle *b = right;

	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	return a->entry < b->entry ? -1 : a->entry > b->entry;
}

static size_t find_toggles(struct slot_maker *maker, bool destination, struct toggle **ret_toggles)
{
	ARRAY(struct toggle) toggles = {};
	struct port_range range;

	for (uint32_t e = 0; e < maker->entries.len; e++)
		for (size_t i = 0;
		     port_range_at(maker->entries.at[e].clause, destination, i, &range); i++) {
			array_push(maker->arena, &toggles, (struct toggle){range.first, e});
			array_push(maker->arena, &toggles, (struct toggle){range.last + 1U, e});
		}
	if (toggles.len)
		qsort(toggles.at, toggles.len, sizeof(*toggles.at), compare_toggles);
	*ret_toggles = toggles.at;
	return toggles.len;
}

static uint32_t put_root(struct slot_maker *maker, const uint16_t *class_of_port)
{
	uint32_t root[PROTOCOLS_PORTS];

	for (uint32_t high = 0; high < PROTOCOLS_PORTS; high++)
		root[high] = intern_put(maker->tables->blocks,
					class_of_port + (size_t)high * PROTOCOLS_PORTS,
					PROTOCOLS_PORTS * sizeof(*class_of_port));
	return intern_put(maker->tables->roots, root, sizeof(root)) + 1;
}

/* Ports from first up to the next run's have one class. */
struct port_run {
	uint32_t first;
	uint16_t class;
};

/* The runs of one side's ports, into room for one more than there are toggles. */
static size_t find_runs(struct slot_maker *maker, bool destination, struct intern *classes,
			uint64_t *state, struct port_run **ret_runs)
{
	size_t size = bits_words(maker->entries.len) * sizeof(*state);
	struct toggle *toggles;
	size_t n = find_toggles(maker, destination, &toggles);
	struct port_run *runs = arena_calloc(maker->arena, n + 1, sizeof(*runs));
	size_t n_runs = 0;
	size_t i = 0;

	for (uint32_t port = 0; port < N_PORTS; port = i < n ? toggles[i].port : N_PORTS) {
		for (; i < n && toggles[i].port == port; i++)
			bits_toggle(state, toggles[i].entry);
		runs[n_runs++] = (struct port_run){port, intern_put(classes, state, size)};
	}
	*ret_runs = runs;
	return n_runs;
}

static uint32_t put_runs(struct slot_maker *maker, const struct port_run *runs, size_t n)
{
	uint16_t *class_of_port = arena_calloc(maker->arena, N_PORTS, sizeof(*class_of_port));

	for (size_t i = 0; i < n; i++) {
		uint32_t end = i + 1 < n ? runs[i + 1].first : N_PORTS;

		for (uint32_t port = runs[i].first; port < end; port++)
			class_of_port[port] = runs[i].class;
	}
	return put_root(maker, class_of_port);
}

/* Classes of one side's ports. */
static void classify_ports(struct slot_maker *maker, bool destination,
			   struct port_classes *ret_classes)
{
	scoped(intern_free) struct intern *classes = intern_new();
	struct port_classes result = {.n_words = bits_words(maker->entries.len)};
	uint64_t *state = arena_calloc(maker->arena, result.n_words, sizeof(*state));
	size_t size = result.n_words * sizeof(*state);
	struct port_run *runs;
	size_t n_runs = find_runs(maker, destination, classes, state, &runs);

	result.n = intern_len(classes);
	result.entries = arena_alloc(maker->arena, result.n * size);
	for (uint32_t c = 0; c < result.n; c++)
		memcpy(result.entries + c * result.n_words, intern_get(classes, c), size);
	if (result.n > 1)
		result.root = put_runs(maker, runs, n_runs);
	*ret_classes = result;
}

/* The class of what satisfies these entries on both sides. */
static uint32_t cell(struct slot_maker *maker, const uint64_t *source, const uint64_t *destination,
		     size_t n_words)
{
	size_t size = maker->n_rule_words * sizeof(*maker->matched);

	memcpy(maker->matched, maker->wild, size);
	for (size_t w = 0; w < n_words; w++)
		for (uint64_t both = source[w] & destination[w]; both; both &= both - 1) {
			size_t e = w * 64 + __builtin_ctzll(both);

			assert(e < maker->entries.len && maker->entries.at);
			bits_add(maker->matched, maker->entries.at[e].rule);
		}
	return intern_put(maker->classes, maker->matched, size);
}

static int too_many_cells(const struct slot_maker *maker, int protocol,
			  const struct port_classes sides[2], struct diag *diag)
{
	const struct entry *large = &maker->entries.at[0];

	for (size_t e = 0; e < maker->entries.len; e++)
		if (maker->entries.at[e].clause->source_ports.len > large->clause->source_ports.len)
			large = &maker->entries.at[e];
	return diag_refuse(diag, -E2BIG,
			   "%s rules of protocol %d tell apart %u classes of source ports and %u "
			   "of destination ports: %llu cells, and %d fit; the rule with the most "
			   "source ports is '%s', with %zu ranges",
			   policy_direction_name(maker->rules->direction), protocol, sides[0].n,
			   sides[1].n, (unsigned long long)sides[0].n * sides[1].n,
			   PROTOCOLS_CELLS_MAX,
			   policy_rule_path(maker->arena, maker->rules->policy,
					    maker->rules->first + large->rule),
			   large->clause->source_ports.len);
}

/* A slot for the entries at hand; protocol is for the words of a refusal. */
static int make_slot(struct slot_maker *maker, int protocol, struct diag *diag,
		     struct proto_slot *ret_slot)
{
	struct port_classes sides[2];
	struct proto_slot slot = {};

	for (int side = 0; side < 2; side++) {
		classify_ports(maker, side, &sides[side]);
		slot.root[side] = sides[side].root;
		slot.n[side] = sides[side].n;
	}
	if ((uint64_t)slot.n[0] * slot.n[1] > PROTOCOLS_CELLS_MAX)
		return too_many_cells(maker, protocol, sides, diag);
	slot.cells = arena_calloc(maker->arena, (size_t)slot.n[0] * slot.n[1], sizeof(*slot.cells));
	for (uint32_t s = 0; s < slot.n[0]; s++)
		for (uint32_t d = 0; d < slot.n[1]; d++) {
			uint32_t class =
				cell(maker, sides[0].entries + s * sides[0].n_words,
				     sides[1].entries + d * sides[1].n_words, sides[1].n_words);

			if (class >= PROTOCOLS_CLASSES_MAX)
				return diag_refuse(diag, -E2BIG,
						   "%s rules tell apart more than the %d classes "
						   "of protocols and ports that fit",
						   policy_direction_name(maker->rules->direction),
						   PROTOCOLS_CLASSES_MAX);
			slot.cells[s * slot.n[1] + d] = class;
		}
	*ret_slot = slot;
	return 0;
}

/* The clauses that name the protocol. */
static void find_entries(struct slot_maker *maker, int protocol)
{
	const struct direction_rules *rules = maker->rules;

	maker->entries.len = 0;
	for (uint32_t r = 0; r < rules->n; r++) {
		const struct policy_rule *rule = &rules->policy->rules.at[rules->first + r];

		for (size_t c = 0; c < rule->clauses.len; c++)
			if (rule->clauses.at[c].protocol == protocol)
				array_push(maker->arena, &maker->entries,
					   (struct entry){r, &rule->clauses.at[c]});
	}
}

/* ICMP has its slot over IPv4 and ICMPv6 over IPv6 alone; other protocols over both. */
static void name_slot(struct protocols *protocols, int protocol, uint16_t slot)
{
	if (protocol != PROTO_ICMPV6)
		protocols->slot_of[protocol] = slot;
	if (protocol != PROTO_ICMP)
		protocols->slot_of[256 + protocol] = slot;
}

static void find_wild(struct arena *arena, const struct direction_rules *rules,
		      struct protocols *protocols, bool named[256])
{
	protocols->n_words = bits_words(rules->n);
	protocols->wild = arena_calloc(arena, protocols->n_words, sizeof(*protocols->wild));
	for (uint32_t r = 0; r < rules->n; r++) {
		const struct policy_rule *rule = &rules->policy->rules.at[rules->first + r];

		for (size_t c = 0; c < rule->clauses.len; c++) {
			if (rule->clauses.at[c].protocol < 0)
				bits_add(protocols->wild, r);
			else
				named[rule->clauses.at[c].protocol] = true;
		}
	}
}

int protocols_classify(struct arena *arena, const struct direction_rules *rules,
		       struct port_tables *tables, struct diag *diag,
		       struct protocols *ret_protocols)
{
	scoped(intern_free) struct intern *classes = intern_new();
	struct protocols protocols = {};
	bool named[256] = {};
	struct slot_maker maker = {
		.arena = arena,
		.rules = rules,
		.tables = tables,
		.classes = classes,
	};
	size_t size;

	find_wild(arena, rules, &protocols, named);
	size = protocols.n_words * sizeof(*protocols.rules);
	maker.wild = protocols.wild;
	maker.n_rule_words = protocols.n_words;
	maker.matched = arena_alloc(arena, size);
	for (int protocol = -1; protocol < 256; protocol++) {
		struct proto_slot slot;
		int r;

		if (protocol >= 0 && !named[protocol])
			continue;
		if (protocol >= 0)
			find_entries(&maker, protocol);
		r = make_slot(&maker, protocol, diag, &slot);
		if (r)
			return r;
		if (protocol >= 0)
			name_slot(&protocols, protocol, protocols.slots.len);
		array_push(arena, &protocols.slots, slot);
	}
	protocols.n_classes = intern_len(classes);
	protocols.rules = arena_alloc(arena, protocols.n_classes * size);
	for (uint32_t c = 0; c < protocols.n_classes; c++)
		memcpy(protocols.rules + c * protocols.n_words, intern_get(classes, c), size);
	*ret_protocols = protocols;
	return 0;
}
