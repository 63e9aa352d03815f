// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench-make: everything that a comparison needs, out of one policy.
 *
 *	bench-make DIR NAME 4|6 PACKETS
 *
 * Reads the policy DIR/NAME and the own addresses of DIR/NAME.table. Writes the same policy for its
 * peers, DIR/NAME.nft, .map, .ipset, .iptables and .hosts, a file being empty where the language does
 * not suffice; and DIR/NAME.frames for the generator: PACKETS frames that the plain loop denies, then
 * as many that it allows. The image must say the same of all of them. Prints JSON: how many there are.
 */
#include <stdlib.h>

#include "classify/build.h"
#include "classify/lookup.h"
#include "tests/bench/draw.h"
#include "tests/bench/must.h"
#include "tests/bench/ruleset.h"
#include "tests/lib/frames.h"
#include "tests/lib/generator.h"
#include "tests/lib/judge_lookup.h"
#include "tests/lib/policy_text.h"

enum { SEED = 20240229, TRIES = 400 };

struct make {
	struct arena *arena;
	struct loaded loaded;
	struct image image;
	struct ruleset ruleset;
	const char *prefix; /* DIR/NAME */
	uint32_t n_wanted;
	uint32_t n[2]; /* denied, allowed */
	struct tuple *tuples[2];
};

static void load(struct make *make, const char *dir, const char *name, enum addr_family family)
{
	struct build_limits limits = build_limits_default();
	int err;

	load_files(&make->loaded, dir, name);
	if (make->loaded.err)
		broken("%s", make->loaded.messages);
	make->ruleset = (struct ruleset){
		.policy = &make->loaded.policy, .self = &make->loaded.table.self, .family = family};
	err = build(make->arena, &make->loaded.policy, NULL, 0, &limits, make->loaded.diag,
		    &make->image);
	if (err)
		diag_print(make->loaded.diag, stderr);
	must(err, "cannot compile the policy");
}

/* ---- packets ---- */

/* What a stack takes as coming from afar and as not its own to answer, whatever the filter says. */
static bool is_plain(const struct make *make, const struct tuple *tuple)
{
	const addr_list *self = make->ruleset.self;

	for (size_t i = 0; i < self->len; i++)
		if (!addr_compare(&self->at[i], &tuple->source))
			return false;
	if (tuple->source.family == ADDR_V6)
		return tuple->source.bytes[0] < 0xfe && tuple->destination.bytes[0] < 0xfe;
	return tuple->source.bytes[0] && tuple->source.bytes[0] < 224 &&
	       tuple->destination.bytes[0] && tuple->destination.bytes[0] != 127 &&
	       tuple->destination.bytes[0] < 224;
}

static bool judge(const struct make *make, const struct tuple *tuple)
{
	struct verdict want = eval(&make->loaded.policy, tuple, make->ruleset.self);
	struct verdict have = verdict_of_outcome(lookup(&make->image, tuple, make->ruleset.self));
	char text[TUPLE_TEXT_SIZE];

	if (!verdict_same(&want, &have))
		broken("%s: expected %s, and the image says %s", tuple_print(tuple, text),
		       verdict_text(make->arena, &make->loaded.policy, &want),
		       verdict_text(make->arena, &make->loaded.policy, &have));
	return want.allow;
}

static void draw(struct make *make)
{
	struct rng rng = {SEED};

	for (int i = 0; i < 2; i++)
		make->tuples[i] = arena_calloc(make->arena, make->n_wanted, sizeof(struct tuple));
	for (uint32_t i = 0; i / TRIES < make->n_wanted; i++) {
		struct tuple tuple = draw_packet(&rng, &make->loaded.policy, make->ruleset.self,
						 make->ruleset.family);
		bool allowed;

		if (make->n[0] == make->n_wanted && make->n[1] == make->n_wanted)
			return;
		if (!is_plain(make, &tuple))
			continue;
		allowed = judge(make, &tuple);
		if (make->n[allowed] < make->n_wanted)
			make->tuples[allowed][make->n[allowed]++] = tuple;
	}
	broken("%u packets are denied and %u allowed, of %u that were wanted", make->n[0],
	       make->n[1], make->n_wanted);
}

static FILE *create(const struct make *make, const char *suffix)
{
	FILE *out = fopen(arena_printf(make->arena, "%s.%s", make->prefix, suffix), "we");

	if (!out)
		broken("cannot write '%s.%s'", make->prefix, suffix);
	return out;
}

static void write_frames(const struct make *make)
{
	scoped(fclose) FILE *out = create(make, "frames");
	scoped(free) struct frame *frame = mem_calloc(1, sizeof(*frame));

	for (int allowed = 0; allowed < 2; allowed++)
		for (uint32_t i = 0; i < make->n[allowed]; i++) {
			uint8_t bytes[GENERATOR_FRAME_SIZE] = {};

			frame_of_tuple(frame, &make->tuples[allowed][i], FRAME_TCP_ACK);
			if (frame->size >= sizeof(bytes))
				broken("a frame of %zu bytes", frame->size);
			memcpy(bytes, frame->bytes, frame->size);
			(void)fwrite(bytes, sizeof(bytes), 1, out);
		}
}

static void write_rulesets(const struct make *make)
{
	scoped(fclose) FILE *nft = create(make, "nft");
	scoped(fclose) FILE *map = create(make, "map");
	scoped(fclose) FILE *ipset = create(make, "ipset");
	scoped(fclose) FILE *iptables = create(make, "iptables");
	scoped(fclose) FILE *hosts = create(make, "hosts");

	ruleset_nft(&make->ruleset, nft);
	(void)ruleset_nft_map(&make->ruleset, map);
	ruleset_ipset(&make->ruleset, ipset);
	ruleset_iptables(&make->ruleset, iptables);
	(void)ruleset_denied_hosts(&make->ruleset, hosts);
}

int main(int argc, char **argv)
{
	struct make make = {.arena = arena_new()};

	if (argc != 5)
		broken("usage: bench-make DIR NAME 4|6 PACKETS");
	make.prefix = arena_printf(make.arena, "%s/%s", argv[1], argv[2]);
	make.n_wanted = (uint32_t)strtoul(argv[4], NULL, 10);
	load(&make, argv[1], argv[2], argv[3][0] == '6' ? ADDR_V6 : ADDR_V4);
	draw(&make);
	write_frames(&make);
	write_rulesets(&make);
	printf("{\"denied\": %u, \"allowed\": %u}\n", make.n[0], make.n[1]);
	unload(&make.loaded);
	arena_free(make.arena);
	return 0;
}
