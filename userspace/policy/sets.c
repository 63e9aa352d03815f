// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sets: names and lists of addresses become address sets, equal ones becoming one. A list that
 * is one name is the set of that name, so that a large tag or set costs its addresses once.
 */
#include "policy/resolving.h"

#include <errno.h>
#include <stdlib.h>

/* The parts of a list before they are joined. */
struct collected {
	bool any;
	bool self;
	bool bad;
	addr_ranges literal;
	ARRAY(uint32_t) sets;
};

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
	return hash ^ hash >> 29;
}

static uint64_t hash_set(const struct policy_set *set)
{
	uint64_t hash = mix((uint64_t)set->any << 1 | set->self, set->ranges.len);

	for (size_t i = 0; i < set->ranges.len; i++) {
		const struct addr_range *range = &set->ranges.at[i];
		uint64_t words[4];

		memcpy(words, range->first.bytes, 16);
		memcpy(words + 2, range->last.bytes, 16);
		for (size_t j = 0; j < ARRAY_LEN(words); j++)
			hash = mix(hash, words[j]);
		hash = mix(hash, range->first.family);
	}
	return hash;
}

static bool same_set(const struct policy_set *a, const struct policy_set *b)
{
	return a->any == b->any && a->self == b->self && a->ranges.len == b->ranges.len &&
	       (!a->ranges.len ||
		!memcmp(a->ranges.at, b->ranges.at, a->ranges.len * sizeof(*a->ranges.at)));
}

static void put_in_slot(struct resolving *r, uint32_t id)
{
	size_t slot = hash_set(&r->policy.sets.at[id]) & (r->n_set_slots - 1);

	while (r->set_slots[slot] != NO_SET)
		slot = (slot + 1) & (r->n_set_slots - 1);
	r->set_slots[slot] = id;
}

static void make_slots(struct resolving *r, size_t n)
{
	r->n_set_slots = n;
	r->set_slots = arena_calloc(r->arena, n, sizeof(*r->set_slots));
	memset(r->set_slots, 0xff, n * sizeof(*r->set_slots));
	for (uint32_t i = 0; i < r->policy.sets.len; i++)
		put_in_slot(r, i);
}

/* Adds a set to the sum; past the limit says so once, and no set is made any more. */
static void count_ranges(struct resolving *r, const struct policy_set *set, struct mark at)
{
	r->n_ranges += set->ranges.len;
	if (set->ranges.len > r->largest_set) {
		r->largest_set = set->ranges.len;
		r->largest_at = at;
	}
	if (r->n_ranges <= RESOLVE_MAX_RANGES)
		return;
	r->n_ranges_bad = true;
	diag_refuse(
		r->diag, -E2BIG,
		"the different address sets of the policy add up to %zu ranges or more; at most "
		"%d fit (the largest, at %s:%u, has %zu)",
		r->n_ranges, RESOLVE_MAX_RANGES,
		r->largest_at.source ? r->largest_at.source->path : "a tag", r->largest_at.line,
		r->largest_set);
}

/*
 * The id of an equal set, or of a copy of this one; NO_SET past the limit. The ranges are
 * normalized; at is the place of what the set is made of.
 */
static uint32_t intern(struct resolving *r, const struct policy_set *set, struct mark at)
{
	size_t slot = hash_set(set) & (r->n_set_slots - 1);
	struct policy_set copy = *set;

	while (r->set_slots[slot] != NO_SET) {
		if (same_set(&r->policy.sets.at[r->set_slots[slot]], set))
			return r->set_slots[slot];
		slot = (slot + 1) & (r->n_set_slots - 1);
	}
	count_ranges(r, set, at);
	if (r->n_ranges_bad)
		return NO_SET;
	copy.ranges.at =
		arena_copy(r->arena, set->ranges.at, set->ranges.len * sizeof(*set->ranges.at));
	copy.ranges.room = copy.ranges.len;
	array_push(r->arena, &r->policy.sets, copy);
	r->set_slots[slot] = (uint32_t)r->policy.sets.len - 1;
	if (r->policy.sets.len * 2 > r->n_set_slots)
		make_slots(r, r->n_set_slots * 4);
	return (uint32_t)r->policy.sets.len - 1;
}

uint32_t sets_foreign(struct resolving *r, uint32_t set_id, struct mark at)
{
	struct policy_set set;

	if (set_id == NO_SET || !r->policy.sets.at[set_id].self)
		return set_id;
	while (r->foreign.len <= set_id)
		array_push(r->arena, &r->foreign, (uint32_t)NO_SET);
	if (r->foreign.at[set_id] == NO_SET) {
		set = r->policy.sets.at[set_id];
		set.self = false;
		r->foreign.at[set_id] = intern(r, &set, at);
	}
	return r->foreign.at[set_id];
}

bool sets_are_mapped(const struct resolving *r, uint32_t set_id)
{
	const struct policy_set *set = &r->policy.sets.at[set_id];
	struct addr_range mapped;

	if (set->any || set->self || addr_range_parse(STR("::ffff:0:0/96"), &mapped))
		return false;
	for (size_t i = 0; i < set->ranges.len; i++)
		if (!addr_range_has(&mapped, &set->ranges.at[i].first) ||
		    !addr_range_has(&mapped, &set->ranges.at[i].last))
			return false;
	return set->ranges.len;
}

void sets_start(struct resolving *r)
{
	for (int tag = 0; tag < TAG_COUNT; tag++)
		r->tag_sets[tag] = NO_SET;
	make_slots(r, 1024);
}

uint32_t sets_any(struct resolving *r)
{
	return intern(r, &(struct policy_set){.any = true}, (struct mark){});
}

uint32_t sets_of_tag(struct resolving *r, enum tag tag)
{
	scoped(arena_free) struct arena *scratch = arena_new();
	struct policy_set set = {};

	if (r->tag_sets[tag] != NO_SET)
		return r->tag_sets[tag];
	if (!tag_expand(tag, scratch, r->host, &set.ranges))
		return NO_SET;
	return r->tag_sets[tag] = intern(r, &set, (struct mark){});
}

unsigned sets_families(const struct resolving *r, uint32_t set_id)
{
	const struct policy_set *set = &r->policy.sets.at[set_id];
	unsigned families = 0;

	if (set->any || set->self)
		return FAMILY_BOTH;
	if (!set->ranges.len)
		return 0;
	families |= set->ranges.at[0].first.family == ADDR_V4 ? FAMILY_V4 : 0;
	families |= array_last(&set->ranges)->first.family == ADDR_V6 ? FAMILY_V6 : 0;
	return families;
}

/* Appends what is in either; both are normalized, and so is the result. */
static addr_ranges join_two(struct arena *scratch, const addr_ranges *a, const addr_ranges *b)
{
	addr_ranges joined = {};
	size_t i = 0, j = 0;

	while (i < a->len || j < b->len) {
		bool from_a = j == b->len ||
			      (i < a->len && addr_compare(&a->at[i].first, &b->at[j].first) < 0);
		const struct addr_range *next = from_a ? &a->at[i++] : &b->at[j++];
		struct addr_range *last = joined.len ? array_last(&joined) : NULL;
		struct addr behind;

		if (!last ||
		    (addr_compare(&last->last, &next->first) < 0 &&
		     (!addr_next(&last->last, &behind) || addr_compare(&behind, &next->first))))
			array_push(scratch, &joined, *next);
		else if (addr_compare(&last->last, &next->last) < 0)
			last->last = next->last;
	}
	return joined;
}

/* Few lists are merged, which is quick for large ones; many are sorted together. */
static addr_ranges join_all(struct resolving *r, struct arena *scratch, struct collected *c)
{
	addr_ranges joined = c->literal;

	addr_ranges_normalize(&joined);
	if (c->sets.len <= 8) {
		for (size_t i = 0; i < c->sets.len; i++)
			joined = join_two(scratch, &joined,
					  &r->policy.sets.at[c->sets.at[i]].ranges);
		return joined;
	}
	for (size_t i = 0; i < c->sets.len; i++) {
		const addr_ranges *ranges = &r->policy.sets.at[c->sets.at[i]].ranges;

		for (size_t j = 0; j < ranges->len; j++)
			array_push(scratch, &joined, ranges->at[j]);
	}
	addr_ranges_normalize(&joined);
	return joined;
}

/* What comes of a join may be there already; the work is counted all the same. */
static void count_joined(struct resolving *r, const struct collected *c, struct mark at)
{
	r->n_joined += c->literal.len;
	for (size_t i = 0; i < c->sets.len; i++)
		r->n_joined += r->policy.sets.at[c->sets.at[i]].ranges.len;
	if (r->n_joined <= RESOLVE_MAX_JOINED)
		return;
	r->n_ranges_bad = true;
	diag_refuse(r->diag, -E2BIG,
		    "the sets that lists of addresses join have %zu ranges or more, each counted "
		    "where it is used; at most %d fit (the last one is at %s:%u)",
		    r->n_joined, RESOLVE_MAX_JOINED, at.source ? at.source->path : "", at.line);
}

static int compare_ids(const void *a, const void *b)
{
	const uint32_t *left = a, *right = b;

	return *left < *right ? -1 : *left > *right;
}

/* Each set once, so that a list which names the same ones is known again. */
static void sort_sets(struct collected *c)
{
	size_t n = 0;

	if (c->sets.len)
		qsort(c->sets.at, c->sets.len, sizeof(*c->sets.at), compare_ids);
	for (size_t i = 0; i < c->sets.len; i++)
		if (!n || c->sets.at[n - 1] != c->sets.at[i])
			c->sets.at[n++] = c->sets.at[i];
	c->sets.len = n;
}

static bool same_join(const struct join *join, const struct collected *c)
{
	return join->self == c->self && join->n_sets == c->sets.len &&
	       (!c->sets.len || !memcmp(join->sets, c->sets.at, c->sets.len * sizeof(*c->sets.at)));
}

/* The slot of an equal join, or the empty one for it. */
static uint32_t *slot_of_join(struct resolving *r, const struct collected *c)
{
	uint64_t hash = c->self;
	size_t slot;

	if (!r->join_slots) {
		r->join_slots = arena_calloc(r->arena, RESOLVE_JOIN_SLOTS, sizeof(*r->join_slots));
		memset(r->join_slots, 0xff, RESOLVE_JOIN_SLOTS * sizeof(*r->join_slots));
	}
	for (size_t i = 0; i < c->sets.len; i++)
		hash = mix(hash, c->sets.at[i]);
	slot = hash & (RESOLVE_JOIN_SLOTS - 1);
	while (r->join_slots[slot] != NO_SET && !same_join(&r->joins.at[r->join_slots[slot]], c))
		slot = (slot + 1) & (RESOLVE_JOIN_SLOTS - 1);
	return &r->join_slots[slot];
}

static uint32_t join(struct resolving *r, struct arena *scratch, struct collected *c,
		     struct mark at)
{
	struct policy_set set = {.self = c->self};

	count_joined(r, c, at);
	if (r->n_ranges_bad)
		return NO_SET;
	set.ranges = join_all(r, scratch, c);
	return intern(r, &set, at);
}

/* The set of a list of names alone: many rules may have the same ones, and large. */
static uint32_t join_sets(struct resolving *r, struct arena *scratch, struct collected *c,
			  struct mark at)
{
	uint32_t *slot = slot_of_join(r, c);
	struct join made = {.self = c->self, .n_sets = c->sets.len};

	if (*slot != NO_SET)
		return r->joins.at[*slot].id;
	made.id = join(r, scratch, c, at);
	if (r->joins.len == RESOLVE_JOIN_SLOTS / 2)
		return made.id;
	made.sets = arena_copy(r->arena, c->sets.at, c->sets.len * sizeof(*c->sets.at));
	*slot = (uint32_t)r->joins.len;
	array_push(r->arena, &r->joins, made);
	return made.id;
}

static struct named_set *find_set(const struct resolving *r, uint32_t scope, struct str name)
{
	const struct name_entry *entry = NULL;

	if (scope != NO_SCOPE)
		entry = names_find(&r->groups.at[scope].scope.sets, name);
	if (!entry)
		entry = names_find(&r->shared.sets, name);
	return entry ? entry->thing : NULL;
}

/* The group that has a set of this name for itself alone, for the message. */
static const struct joined_group *owner_of_set(const struct resolving *r, struct str name)
{
	for (size_t i = 0; i < r->groups.len; i++)
		if (names_find(&r->groups.at[i].scope.sets, name))
			return &r->groups.at[i];
	return NULL;
}

static void refuse_unknown(struct resolving *r, uint32_t scope, const struct ast_peer *peer)
{
	const struct joined_group *owner =
		diag_is_full(r->diag) ? NULL : owner_of_set(r, peer->name);
	struct nearest nearest = {.wanted = peer->name};

	if (r->partial)
		return;
	if (owner) {
		diag_bad(r->diag, peer->mark,
			 "no set '" STR_FMT
			 "' here; expected it in this group or in a file without "
			 "a group, since that of group '" STR_FMT "' is seen there alone",
			 STR_ARG(peer->name), STR_ARG(owner->group.name));
		return;
	}
	if (diag_n_errors(r->diag) < NEAREST_MAX_ERRORS) {
		if (scope != NO_SCOPE)
			nearest_try_all(&nearest, &r->groups.at[scope].scope.sets);
		nearest_try_all(&nearest, &r->shared.sets);
	}
	if (!diag_is_full(r->diag)) {
		for (int tag = 0; tag < TAG_COUNT; tag++)
			nearest_try(&nearest, str_of(tag_name(tag)));
		nearest_try(&nearest, STR("any"));
		nearest_try(&nearest, STR("self"));
	}
	diag_bad(r->diag, peer->mark, "no set or tag '" STR_FMT "'%s", STR_ARG(peer->name),
		 nearest.text.len ? nearest_hint(r->arena, &nearest)
				  : "; expected a set of this group or of all files, Internet, "
				    "VirtualNetwork or AzureLoadBalancer");
}

enum { CYCLE_HEAD = 6, CYCLE_TAIL = 2 };

/* "a -> b -> a", from where the path first comes by the set; a long one is cut in its middle. */
static const char *cycle_text(const struct resolving *r, struct arena *arena,
			      const struct named_set *set)
{
	const char *text = "";
	size_t first = 0;

	while (r->path[first] != set)
		first++;
	for (size_t i = first; i < r->path_len; i++) {
		if (i == first + CYCLE_HEAD && i + CYCLE_TAIL < r->path_len) {
			text = arena_printf(arena, "%s... -> ", text);
			i = r->path_len - CYCLE_TAIL;
		}
		text = arena_printf(arena, "%s" STR_FMT " -> ", text,
				    STR_ARG(r->path[i]->ast->name.text));
	}
	return arena_printf(arena, "%s" STR_FMT, text, STR_ARG(set->ast->name.text));
}

static uint32_t refuse_cycle(struct resolving *r, const struct named_set *set, struct mark use)
{
	scoped(arena_free) struct arena *arena = arena_new();

	diag_bad(r->diag, use, "set '" STR_FMT "' contains itself: %s; expected no cycle",
		 STR_ARG(set->ast->name.text),
		 diag_is_full(r->diag) ? "" : cycle_text(r, arena, set));
	return NO_SET;
}

static void resolve_named(struct resolving *r, struct named_set *set);

static uint32_t id_of_named(struct resolving *r, struct named_set *set, struct mark use)
{
	struct named_set *user = r->path_len ? r->path[r->path_len - 1] : NULL;

	if (set->state == SET_BUSY)
		return refuse_cycle(r, set, use);
	if (set->state == SET_NEW && r->path_len < RESOLVE_SET_DEPTH)
		resolve_named(r, set);
	if (user && (set->state == SET_NEW || set->depth >= RESOLVE_SET_DEPTH)) {
		diag_bad(r->diag, use, "sets in sets go deeper here; expected at most %d levels",
			 RESOLVE_SET_DEPTH);
		return NO_SET;
	}
	if (user && user->depth <= set->depth)
		user->depth = set->depth + 1;
	return set->id;
}

static uint32_t id_of_peer(struct resolving *r, uint32_t scope, const struct ast_peer *peer)
{
	struct named_set *set = find_set(r, scope, peer->name);
	enum tag tag = tag_find(peer->name);
	uint32_t id;

	if (tag == TAG_COUNT && set)
		return id_of_named(r, set, peer->mark);
	if (tag == TAG_COUNT) {
		refuse_unknown(r, scope, peer);
		return NO_SET;
	}
	id = sets_of_tag(r, tag);
	if (id == NO_SET && !r->n_ranges_bad && !r->host->flawed)
		diag_bad(r->diag, peer->mark,
			 "tag '%s' is not known here; expected 'virtual_network' in host.yaml",
			 tag_name(tag));
	return id;
}

static void collect(struct resolving *r, struct arena *scratch, uint32_t scope,
		    const struct ast_peer *peer, struct collected *c)
{
	uint32_t id;

	switch (peer->kind) {
	case AST_PEER_ANY:
		c->any = true;
		break;
	case AST_PEER_SELF:
		c->self = true;
		break;
	case AST_PEER_RANGE:
		array_push(scratch, &c->literal, peer->range);
		break;
	case AST_PEER_NAME:
		id = id_of_peer(r, scope, peer);
		if (id == NO_SET)
			c->bad = true;
		else
			array_push(scratch, &c->sets, id);
		break;
	}
}

uint32_t sets_of_peers(struct resolving *r, uint32_t scope, const ast_peers *peers)
{
	scoped(arena_free) struct arena *scratch = arena_new();
	struct collected c = {};

	for (size_t i = 0; i < peers->len && !r->n_ranges_bad; i++)
		collect(r, scratch, scope, &peers->at[i], &c);
	if (c.bad || r->n_ranges_bad || !peers->len)
		return NO_SET;
	if (c.any)
		return sets_any(r);
	sort_sets(&c);
	if (c.sets.len == 1 && !c.self && !c.literal.len)
		return c.sets.at[0];
	if (!c.literal.len)
		return join_sets(r, scratch, &c, peers->at[0].mark);
	return join(r, scratch, &c, peers->at[0].mark);
}

static void resolve_named(struct resolving *r, struct named_set *set)
{
	set->state = SET_BUSY;
	set->depth = 1;
	r->path[r->path_len++] = set;
	set->id = sets_of_peers(r, set->scope, &set->ast->items);
	if (set->ast->flawed)
		set->id = NO_SET;
	r->path_len--;
	set->state = SET_DONE;
}

void sets_resolve_named(struct resolving *r, const struct scope *scope)
{
	for (size_t i = 0; i < scope->sets.len; i++) {
		struct named_set *set = scope->sets.at[i].thing;

		if (set->state == SET_NEW)
			resolve_named(r, set);
	}
}

void sets_renumber(struct resolving *r)
{
	struct policy *policy = &r->policy;
	uint32_t *number = arena_calloc(r->arena, policy->sets.len, sizeof(*number));
	__typeof__(policy->sets) used = {};

	memset(number, 0xff, policy->sets.len * sizeof(*number));
	for (size_t i = 0; i < policy->rules.len; i++) {
		uint32_t *side[] = {&policy->rules.at[i].source, &policy->rules.at[i].destination};

		for (size_t j = 0; j < ARRAY_LEN(side); j++) {
			if (number[*side[j]] == NO_SET) {
				number[*side[j]] = (uint32_t)used.len;
				array_push(r->arena, &used, policy->sets.at[*side[j]]);
			}
			*side[j] = number[*side[j]];
		}
	}
	policy->sets.at = used.at;
	policy->sets.len = used.len;
	policy->sets.room = used.room;
}
