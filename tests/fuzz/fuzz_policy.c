// SPDX-License-Identifier: GPL-2.0-only
/*
 * Policy text → tree → policy; what is taken is compiled, proven, encoded and decoded, and the image
 * answers packets as the plain loop does.
 */
#include <string.h>

#include "classify/build.h"
#include "classify/lookup.h"
#include "policy/parse.h"
#include "policy/resolve.h"
#include "prove/prove.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/judge_lookup.h"
#include "tests/lib/random_policy.h"
#include "tests/lib/whole.h"

/*
 * The structures with few IPv6 index bits: with 19, each input takes as long as fifty others, and
 * the same code is reached.
 */
enum { N_PACKETS = 20, N_STRUCTURES = 5, PROVED_MS = 200 };

static void compare_packet(const struct policy *policy, const struct image *image,
			   const struct tuple *packet)
{
	struct addr own = {};
	addr_list self = {.at = &own, .len = tuple_local(packet, &own)};
	struct tuple alone = *packet;
	struct verdict expected, found;

	alone.established = false;
	expected = eval(policy, &alone, &self);
	if (expected.reason != EVAL_RULE && expected.reason != EVAL_NO_GROUP)
		return;
	found = verdict_of_outcome(lookup(image, &alone, &self));
	fuzz_demand(expected.allow == found.allow && expected.would_deny == found.would_deny &&
		    expected.reason == found.reason && expected.outcome.rule == found.outcome.rule);
}

static void compare(const struct policy *policy, const struct image *image, uint64_t seed)
{
	const addr_list nobody = {};
	struct rng rng = {seed};

	for (int i = 0; i < N_PACKETS; i++) {
		struct tuple packet = random_packet(&rng, policy, &nobody);

		compare_packet(policy, image, &packet);
	}
}

static void decode_again(struct arena *arena, struct image *image, struct diag *diag)
{
	struct image again;
	uint8_t *data;
	size_t size;

	whole_encode(arena, image, &data, &size);
	fuzz_demand(!image_decode(arena, "fuzz", data, size, diag, &again));
	fuzz_demand(image_tables_equal(image, &again));
}

static int compile(struct arena *arena, const struct policy *policy, const struct source *source,
		   struct diag *diag)
{
	uint64_t seed = source->text.len * 31 + (source->text.len ? source->text.at[0] : 0);
	struct build_limits limits = judge_lookup_limits(seed % N_STRUCTURES);
	struct prove_result result;
	struct image image;
	int err = build(arena, policy, &source, 1, &limits, diag, &image);

	if (err)
		return err;
	if (prove_estimate(policy, &image) < PROVED_MS) {
		prove(arena, policy, &image, &result);
		fuzz_demand(result.answer == PROVE_HOLDS);
	}
	compare(policy, &image, seed);
	decode_again(arena, &image, diag);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	struct source *source = fuzz_source(arena, data, size);
	struct ast_file tree;
	struct ast_file *trees[] = {&tree};
	struct hostconf host;
	struct policy policy;
	int err = parse(arena, source, diag, &tree);

	hostconf_init(&host);
	if (!err)
		err = resolve(arena, trees, 1, &host, diag, &policy);
	if (!err && !diag_n_errors(diag))
		err = compile(arena, &policy, source, diag);
	fuzz_tell(diag, err);
	return 0;
}
