// SPDX-License-Identifier: GPL-2.0-only
/*
 * Products by bits of some ten thousand rules: sets over several words of summary, and packets for
 * which many words have to be looked at in vain. The program gives each the rule that the plain
 * loop gives it.
 */
#include <criterion/criterion.h>

#include <string.h>

#include "classify/build.h"
#include "tests/bpf/scene.h"

enum { GROUPS = 3, GROUP_WORDS = 52, WORDS = GROUPS * GROUP_WORDS, N_RULES = WORDS * 64 };
enum { PROTO_TCP = 6, FIRST_PRIORITY = 100, LAST_WORDS = 8 };

/*
 * The source and destination of a rule. In each word one matches the source alone, one the
 * destination alone, one a source that no other word has, one a source that every eighth word has;
 * the very last matches both.
 */
static const char *ends_of(struct arena *arena, uint32_t rule)
{
	uint32_t word = rule / 64;

	if (rule == N_RULES - 1)
		return "source: 10.1.0.1, destination: 10.0.0.1";
	switch (rule % 64) {
	case 0:
		return "source: 10.1.0.1, destination: 10.0.0.9";
	case 1:
		return "source: 10.1.0.9, destination: 10.0.0.1";
	case 2:
		return arena_printf(arena, "source: 10.2.0.%u, destination: any", word);
	case 3:
		return arena_printf(arena, "source: 10.3.0.%u, destination: any",
				    word % LAST_WORDS);
	}
	return "source: 10.9.0.9, destination: 10.9.0.9";
}

static const char *group_text(struct arena *arena, uint32_t group)
{
	const size_t size = (size_t)GROUP_WORDS * 64 * 160 + 100;
	char *text = arena_calloc(arena, size, 1);
	size_t len = (size_t)snprintf(text, size,
				      "bulkhead: 1\ngroup: g%u\ntier: admin\norder: %u\nrules:\n",
				      group, group + 1);

	for (uint32_t i = 0; i < GROUP_WORDS * 64; i++)
		len += (size_t)snprintf(
			text + len, size - len,
			"  - {name: r%u, priority: %u, direction: inbound, access: deny, "
			"protocol: any, %s}\n",
			i, FIRST_PRIORITY + i, ends_of(arena, group * GROUP_WORDS * 64 + i));
	cr_assert_lt(len, size);
	return text;
}

/* A tier behind those words. */
static const char behind[] =
	"bulkhead: 1\ngroup: behind\nrules:\n"
	"  - {name: allow, priority: 100, direction: inbound, access: allow, protocol: any,\n"
	"     source: 10.8.0.0/16, destination: any}\n";

static void apply_by_bits(struct scene *scene)
{
	struct build_limits limits = build_limits_default();
	const char *texts[GROUPS + 2] = {[GROUPS] = behind};

	limits.force_product = BH_PRODUCT_BITS;
	for (uint32_t group = 0; group < GROUPS; group++)
		texts[group] = group_text(scene->arena, group);
	load_texts(&scene->loaded, SCENE_HOST, texts);
	cr_assert_eq(scene->loaded.err, 0, "%s", scene->loaded.messages);
	cr_assert_eq(build(scene->loaded.arena, &scene->loaded.policy, NULL, 0, &limits,
			   scene->loaded.diag, &scene->image),
		     0);
	cr_assert_eq(image_head(&scene->image)->direction[BH_IN].product, BH_PRODUCT_BITS);
	cr_assert_eq(image_head(&scene->image)->direction[BH_IN].row_len, WORDS + 1);
	enforcer_apply(scene->enforcer, &scene->image);
}

/* Of a packet to the host: where it was counted is where the plain loop has it. */
static void check_from(struct scene *scene, uint32_t source)
{
	const struct tuple tuple = {
		.direction = DIRECTION_IN,
		.protocol = PROTO_TCP,
		.source = addr_v4(source),
		.destination = addr_v4(0x0a000001),
		.source_port = 40000,
		.destination_port = 443,
	};
	const addr_list nobody = {};
	struct verdict verdict = eval(&scene->loaded.policy, &tuple, &nobody);
	const char *wanted =
		policy_rule_path(scene->loaded.arena, &scene->loaded.policy, verdict.outcome.rule);
	struct bh_row row;

	cr_assert_eq(scene_send_tuple(scene, &tuple, FRAME_TCP_SYN), verdict.allow);
	cr_assert_str_eq(scene_counted(scene, &row), wanted, "from %#x", source);
}

Test(bits, a_rule_is_found_in_whichever_word_it_stands)
{
	scoped(scene_free) struct scene *scene = NULL;

	if (!enforcer_is_possible())
		cr_skip_test("loading programs needs root");
	scene = scene_new();
	apply_by_bits(scene);
	check_from(scene, 0x0a010001); /* every word in vain, then the very last rule */
	check_from(scene, 0x0a010009); /* the second rule of all */
	check_from(scene, 0x0a080001); /* the tier behind */
	check_from(scene, 0x0a070001); /* its default */
	for (uint32_t word = 0; word < WORDS; word++)
		check_from(scene, 0x0a020000 + word);
	for (uint32_t i = 0; i < LAST_WORDS; i++)
		check_from(scene, 0x0a030000 + i);
}
