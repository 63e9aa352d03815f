// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random policies: that they are the same for the same seed, that they read back from the YAML
 * that is printed of them, and that every rule matches what its tree says, judged by a walk over
 * the tree that shares no code with resolve or eval.
 */
#include <criterion/criterion.h>

#include "policy/parse.h"
#include "policy/resolve.h"
#include "policy/tags.h"
#include "tests/lib/random_policy.h"

enum { N_POLICIES = 300, N_PACKETS = 60 };

static void resolved(struct arena *arena, const struct random_policy *made, struct policy *policy)
{
	scoped(diag_free) struct diag *diag = diag_new();
	int err = resolve(arena, made->files.at, made->files.len, &made->host, diag, policy);
	size_t n = 0;

	cr_assert_eq(err, 0, "%s", err ? diag_messages(diag, &n)[0].text : "");
}

static const struct ast_file *file_of(const struct random_policy *made, struct mark mark)
{
	for (size_t i = 0; i < made->files.len; i++)
		if (made->files.at[i]->source == mark.source)
			return made->files.at[i];
	return NULL;
}

static const struct ast_rule *tree_of(const struct random_policy *made,
				      const struct policy_rule *rule)
{
	const struct ast_file *file = file_of(made, rule->mark);

	for (size_t i = 0; file && i < file->rules.len; i++)
		if (file->rules.at[i].mark.line == rule->mark.line)
			return &file->rules.at[i];
	return NULL;
}

static bool is_own(const struct random_policy *made, const struct addr *addr)
{
	for (size_t i = 0; i < made->self.len; i++)
		if (!memcmp(&made->self.at[i], addr, sizeof(*addr)))
			return true;
	return false;
}

static bool in_tag(const struct random_policy *made, struct str name, const struct addr *addr)
{
	scoped(arena_free) struct arena *arena = arena_new();
	addr_ranges ranges = {};

	cr_assert(tag_expand(tag_find(name), arena, &made->host, &ranges));
	for (size_t i = 0; i < ranges.len; i++)
		if (addr_range_has(&ranges.at[i], addr))
			return true;
	return false;
}

static bool in_peers(const struct random_policy *made, const ast_peers *peers,
		     const struct addr *addr)
{
	const struct ast_file *shared = made->files.at[0];

	for (size_t i = 0; i < peers->len; i++) {
		const struct ast_peer *peer = &peers->at[i];

		if (peer->kind == AST_PEER_ANY ||
		    (peer->kind == AST_PEER_SELF && is_own(made, addr)) ||
		    (peer->kind == AST_PEER_RANGE && addr_range_has(&peer->range, addr)))
			return true;
		if (peer->kind != AST_PEER_NAME)
			continue;
		if (tag_find(peer->name) != TAG_COUNT && in_tag(made, peer->name, addr))
			return true;
		for (size_t j = 0; j < shared->sets.len; j++)
			if (str_eq(shared->sets.at[j].name.text, peer->name) &&
			    in_peers(made, &shared->sets.at[j].items, addr))
				return true;
	}
	return false;
}

static bool in_ports(const ast_ports *ports, uint16_t port)
{
	for (size_t i = 0; i < ports->len; i++)
		if (ports->at[i].range.first <= port && port <= ports->at[i].range.last)
			return true;
	return !ports->len;
}

static bool says_every_port(const ast_ports *ports)
{
	for (uint32_t port = 0; port <= UINT16_MAX; port++)
		if (!in_ports(ports, (uint16_t)port))
			return false;
	return true;
}

static bool is_port_protocol(int protocol)
{
	return protocol == 6 || protocol == 17 || protocol == 132;
}

static bool is_protocol(int protocol, const struct tuple *tuple)
{
	if (protocol == 1 || protocol == 58)
		return tuple->protocol == protocol &&
		       tuple->source.family == (protocol == 1 ? ADDR_V4 : ADDR_V6);
	return protocol == -1 || tuple->protocol == protocol;
}

static bool in_item(const struct random_policy *made, const struct ast_service_item *item,
		    const struct tuple *tuple)
{
	const struct ast_file *shared = made->files.at[0];

	if (!item->is_name)
		return is_protocol(item->protocol, tuple) &&
		       (!item->has_ports || port_range_has(item->ports, tuple->destination_port)) &&
		       (item->icmp_type == -1 || item->icmp_type == tuple->icmp_type) &&
		       (item->icmp_code == -1 || item->icmp_code == tuple->icmp_code);
	for (size_t i = 0; i < shared->services.len; i++) {
		const struct ast_service *service = &shared->services.at[i];

		if (!str_eq(service->name.text, item->name))
			continue;
		for (size_t j = 0; j < service->items.len; j++)
			if (in_item(made, &service->items.at[j], tuple))
				return true;
	}
	return false;
}

static bool in_traffic(const struct random_policy *made, const struct ast_rule *rule,
		       const struct tuple *tuple)
{
	bool with_ports =
		!says_every_port(&rule->source_ports) || !says_every_port(&rule->destination_ports);

	for (size_t i = 0; i < rule->services.len; i++)
		if (in_item(made, &rule->services.at[i], tuple))
			return true;
	for (size_t i = 0; i < rule->protocols.len; i++) {
		if (!is_protocol(rule->protocols.at[i].number, tuple))
			continue;
		if (with_ports && (!is_port_protocol(tuple->protocol) ||
				   !in_ports(&rule->source_ports, tuple->source_port) ||
				   !in_ports(&rule->destination_ports, tuple->destination_port)))
			continue;
		if ((!rule->icmp_type.mark.line || rule->icmp_type.value == tuple->icmp_type) &&
		    (!rule->icmp_code.mark.line || rule->icmp_code.value == tuple->icmp_code))
			return true;
	}
	return false;
}

/* Inbound, nothing is from the host itself. */
static bool in_source(const struct random_policy *made, const struct policy_rule *rule,
		      const struct ast_rule *tree, const struct tuple *tuple)
{
	struct random_policy seen = *made;

	if (rule->direction == DIRECTION_IN)
		seen.self.len = 0;
	return in_peers(&seen, &tree->source, &tuple->source);
}

static void check_rule(const struct random_policy *made, const struct policy *policy,
		       const struct policy_rule *rule, const struct tuple *tuple)
{
	const struct ast_rule *tree = tree_of(made, rule);
	char text[TUPLE_TEXT_SIZE];
	struct rule_match match;
	bool matches, expected;

	if (rule->is_default)
		return;
	cr_assert_not_null(tree);
	expected = in_source(made, rule, tree, tuple) &&
		   in_peers(made, &tree->destination, &tuple->destination) &&
		   in_traffic(made, tree, tuple);
	matches = eval_rule(policy, rule, tuple, &made->self, &match);
	cr_assert_eq(matches, expected, STR_FMT ": %s", STR_ARG(rule->name),
		     tuple_print(tuple, text));
	cr_assert_eq(match.source, in_source(made, rule, tree, tuple));
	cr_assert_eq(match.protocol && match.source_port && match.destination_port,
		     in_traffic(made, tree, tuple));
}

Test(random, every_rule_matches_what_its_tree_says)
{
	uint32_t n_matches = 0;

	for (uint64_t seed = 0; seed < N_POLICIES; seed++) {
		scoped(arena_free) struct arena *arena = arena_new();
		struct rng rng = {seed};
		struct random_policy made;
		struct policy policy;

		random_policy(arena, seed, &made);
		resolved(arena, &made, &policy);
		for (int i = 0; i < N_PACKETS; i++) {
			struct tuple tuple = random_packet(&rng, &policy, &made.self);
			const struct policy_rule *rule =
				&policy.rules.at[rng_below(&rng, (uint32_t)policy.rules.len)];

			if (tuple.fragment)
				continue;
			check_rule(&made, &policy, rule, &tuple);
			n_matches += eval(&policy, &tuple, &made.self).reason == EVAL_RULE;
		}
	}
	cr_assert_gt(n_matches, N_POLICIES * N_PACKETS / 2, "only %u packets met a rule",
		     n_matches);
}

static void same_policy(const struct policy *a, const struct policy *b)
{
	cr_assert_eq(a->rules.len, b->rules.len);
	cr_assert_eq(a->sets.len, b->sets.len);
	cr_assert_eq(a->disabled.len, b->disabled.len);
	cr_assert_eq(memcmp(a->first, b->first, sizeof(a->first)), 0);
	cr_assert_eq(memcmp(a->n, b->n, sizeof(a->n)), 0);
	for (size_t i = 0; i < a->sets.len; i++) {
		cr_assert_eq(a->sets.at[i].any, b->sets.at[i].any);
		cr_assert_eq(a->sets.at[i].self, b->sets.at[i].self);
		cr_assert_eq(a->sets.at[i].ranges.len, b->sets.at[i].ranges.len);
		for (size_t j = 0; j < a->sets.at[i].ranges.len; j++)
			cr_assert_eq(memcmp(&a->sets.at[i].ranges.at[j],
					    &b->sets.at[i].ranges.at[j], sizeof(struct addr_range)),
				     0);
	}
	for (size_t i = 0; i < a->rules.len; i++) {
		const struct policy_rule *x = &a->rules.at[i], *y = &b->rules.at[i];

		cr_assert(str_eq(x->name, y->name));
		cr_assert(x->source == y->source && x->destination == y->destination &&
			  x->access == y->access && x->audit == y->audit && x->log == y->log &&
			  x->tier == y->tier && x->direction == y->direction &&
			  x->group == y->group && x->priority == y->priority &&
			  x->clauses.len == y->clauses.len);
		for (size_t j = 0; j < x->clauses.len; j++)
			cr_assert(x->clauses.at[j].protocol == y->clauses.at[j].protocol &&
				  x->clauses.at[j].icmp_type == y->clauses.at[j].icmp_type &&
				  x->clauses.at[j].icmp_code == y->clauses.at[j].icmp_code &&
				  x->clauses.at[j].destination_ports.len ==
					  y->clauses.at[j].destination_ports.len &&
				  x->clauses.at[j].source_ports.len ==
					  y->clauses.at[j].source_ports.len);
	}
}

static const struct source *printed(struct arena *arena, const char *path, char *text, size_t size)
{
	struct source *source = arena_alloc(arena, sizeof(*source));

	source->path = path;
	source->text = (struct str){.at = arena_copy(arena, text, size), .len = size};
	free(text);
	return source;
}

static const struct source *file_as_yaml(struct arena *arena, const struct ast_file *file)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	random_policy_print_file(file, out);
	fclose(out);
	return printed(arena, "printed.yaml", text, size);
}

static const struct source *host_as_yaml(struct arena *arena, const struct hostconf *host)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	random_policy_print_host(host, out);
	fclose(out);
	return printed(arena, "host.yaml", text, size);
}

/* The first message of a diag, so that a failure says what was refused. */
static const char *first_message(const struct diag *diag)
{
	size_t n = 0;
	const struct diag_message *messages = diag_messages(diag, &n);

	return n ? messages[0].text : "";
}

Test(random, what_is_printed_as_yaml_is_the_same_policy)
{
	for (uint64_t seed = 0; seed < N_POLICIES; seed++) {
		scoped(arena_free) struct arena *arena = arena_new();
		scoped(diag_free) struct diag *diag = diag_new();
		struct random_policy made, again = {};
		struct policy policy, policy_again = {};
		int err;

		random_policy(arena, seed, &made);
		resolved(arena, &made, &policy);
		err = hostconf_parse(arena, host_as_yaml(arena, &made.host), diag, &again.host);
		cr_assert_eq(err, 0, "seed %d: %s", (int)seed, first_message(diag));
		for (size_t i = 0; i < made.files.len; i++) {
			struct ast_file *file = arena_alloc(arena, sizeof(*file));

			err = parse(arena, file_as_yaml(arena, made.files.at[i]), diag, file);
			cr_assert_eq(err, 0, "seed %d: %s", (int)seed, first_message(diag));
			array_push(arena, &again.files, file);
		}
		resolved(arena, &again, &policy_again);
		same_policy(&policy, &policy_again);
	}
}

Test(random, the_order_of_the_files_changes_nothing)
{
	for (uint64_t seed = 0; seed < N_POLICIES; seed++) {
		scoped(arena_free) struct arena *arena = arena_new();
		struct random_policy made, turned = {};
		struct policy policy, policy_turned = {};

		random_policy(arena, seed, &made);
		resolved(arena, &made, &policy);
		turned.host = made.host;
		for (size_t i = made.files.len; i > 0; i--)
			array_push(arena, &turned.files, made.files.at[i - 1]);
		resolved(arena, &turned, &policy_turned);
		same_policy(&policy, &policy_turned);
	}
}

Test(random, the_same_seed_gives_the_same_policy_and_packets)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct rng rng = {7}, rng_again = {7};
	struct random_policy made, again;
	struct policy policy, policy_again = {};

	random_policy(arena, 7, &made);
	random_policy(arena, 7, &again);
	resolved(arena, &made, &policy);
	resolved(arena, &again, &policy_again);
	same_policy(&policy, &policy_again);
	for (int i = 0; i < 1000; i++) {
		struct tuple tuple = random_packet(&rng, &policy, &made.self);
		struct tuple tuple_again = random_packet(&rng_again, &policy_again, &again.self);

		cr_assert_eq(memcmp(&tuple, &tuple_again, sizeof(tuple)), 0);
	}
	random_policy(arena, 8, &again);
	cr_assert_neq(again.files.at[1]->rules.len * 1000 + again.files.len,
		      made.files.at[1]->rules.len * 1000 + made.files.len,
		      "another seed gives the same policy");
}

Test(random, packets_print_and_read_back)
{
	scoped(arena_free) struct arena *arena = arena_new();
	struct random_policy made;
	struct rng rng = {1};
	struct policy policy;

	random_policy(arena, 3, &made);
	resolved(arena, &made, &policy);
	for (int i = 0; i < 5000; i++) {
		scoped(diag_free) struct diag *diag = diag_new();
		struct tuple tuple = random_packet(&rng, &policy, &made.self), again = {};
		char text[TUPLE_TEXT_SIZE];

		cr_assert_eq(tuple_parse(str_of(tuple_print(&tuple, text)), (struct mark){}, diag,
					 &again),
			     0, "%s: %s", text, first_message(diag));
		cr_assert_eq(memcmp(&tuple, &again, sizeof(tuple)), 0, "%s", text);
	}
}

Test(random, the_large_policy_has_the_asked_size)
{
	static const enum random_family families[] = {RANDOM_V4, RANDOM_V6, RANDOM_BOTH};

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		scoped(arena_free) struct arena *arena = arena_new();
		struct random_policy made;
		struct policy policy;
		size_t n_prefixes = 0;

		random_nsg_policy(arena, 1, 1000, 20000, families[i], &made);
		resolved(arena, &made, &policy);
		for (size_t j = 0; j < made.files.at[0]->sets.len; j++)
			n_prefixes += made.files.at[0]->sets.at[j].items.len;
		cr_assert_eq(policy.rules.len, 1002);
		cr_assert(n_prefixes > 19900 && n_prefixes <= 20000, "%zu", n_prefixes);
	}
}
