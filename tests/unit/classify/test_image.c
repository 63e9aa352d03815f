// SPDX-License-Identifier: GPL-2.0-only
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "classify/build.h"
#include "classify/encoded.h"
#include "classify/lookup.h"
#include "policy/resolve.h"
#include "tests/lib/policy_text.h"
#include "tests/lib/random_policy.h"
#include "tests/lib/whole.h"

static const char policy_text[] = "bulkhead: 1\n"
				  "group: web\n"
				  "existing_flows: keep\n"
				  "rules:\n"
				  "  - name: allow-web\n"
				  "    priority: 100\n"
				  "    direction: inbound\n"
				  "    access: allow\n"
				  "    protocol: tcp\n"
				  "    source_ports: 1024-65535\n"
				  "    destination_ports: [80, 443]\n"
				  "    source: [10.0.0.7, \"2001:db8::1\"]\n"
				  "    destination: self\n"
				  "    log: true\n"
				  "    description: the public site\n"
				  "  - name: ping\n"
				  "    priority: 110\n"
				  "    direction: inbound\n"
				  "    access: allow\n"
				  "    services: [icmp/8, icmpv6/128]\n"
				  "    source: any\n"
				  "    destination: any\n"
				  "  - name: later\n"
				  "    priority: 120\n"
				  "    direction: outbound\n"
				  "    access: allow\n"
				  "    enabled: false\n"
				  "    protocol: udp\n"
				  "    source: any\n"
				  "    destination: any\n";

/* An image and its encoded form. */
struct encoded {
	struct loaded loaded;
	struct image image;
	uint8_t *data;
	size_t size;
};

static void encode(struct encoded *encoded, enum bh_address4 kind)
{
	struct build_limits limits = build_limits_default();
	const struct source *source;

	limits.force_address4 = kind;
	load_texts(&encoded->loaded, NULL, (const char *const[]){policy_text, NULL});
	cr_assert_eq(encoded->loaded.err, 0, "%s", encoded->loaded.messages);
	source = encoded->loaded.policy.groups.at[0].mark.source;
	cr_assert_eq(build(encoded->loaded.arena, &encoded->loaded.policy, &source, 1, &limits,
			   encoded->loaded.diag, &encoded->image),
		     0);
	whole_encode(encoded->loaded.arena, &encoded->image, &encoded->data, &encoded->size);
}

static int decode(const void *data, size_t size, struct arena *arena, struct image *image)
{
	scoped(diag_free) struct diag *diag = diag_new();
	int r = image_decode(arena, "test", data, size, diag, image);

	cr_assert(r == 0 || (r == -EBADMSG && diag_n_errors(diag) == 1));
	return r;
}

/* Decodes a copy of exactly these bytes, so that a read behind them is found. */
static int decode_copy(const void *data, size_t size)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(free) uint8_t *copy = mem_alloc(size);
	struct image image;

	memcpy(copy, data, size);
	return decode(copy, size, arena, &image);
}

/* Makes lengths and checksums right again, so that what is behind them is read. */
static void mend(uint8_t *data, size_t tables_size, size_t notes_size)
{
	struct encoded_head head;

	memcpy(&head, data, sizeof(head));
	head.tables_size = tables_size;
	head.notes_size = notes_size;
	head.tables_checksum = crc32_z(0, data + sizeof(head), tables_size);
	head.notes_checksum = crc32_z(0, data + sizeof(head) + tables_size, notes_size);
	memcpy(data, &head, sizeof(head));
}

Test(image, what_is_decoded_is_what_was_encoded)
{
	struct encoded encoded;
	struct image image;
	uint8_t *again;
	size_t size;

	encode(&encoded, BH_ADDRESS4_BLOCKS);
	cr_assert_eq(decode(encoded.data, encoded.size, encoded.loaded.arena, &image), 0);
	cr_assert(image_tables_equal(&encoded.image, &image));
	cr_assert(!memcmp(&encoded.image.digest, &image.digest, sizeof(image.digest)));
	whole_encode(encoded.loaded.arena, &image, &again, &size);
	cr_assert_eq(size, encoded.size);
	cr_assert(!memcmp(again, encoded.data, size));
	unload(&encoded.loaded);
}

Test(image, a_sealed_image_has_the_digest_of_its_encoded_form)
{
	struct encoded encoded;
	struct image_digest digest;

	encode(&encoded, BH_ADDRESS4_BLOCKS);
	digest = image_digest_of(encoded.data, encoded.size);
	encoded.image.digest = (struct image_digest){};
	image_seal(&encoded.image);
	cr_assert(!memcmp(&encoded.image.digest, &digest, sizeof(digest)));
	unload(&encoded.loaded);
}

Test(image, notes_name_what_was_compiled)
{
	struct encoded encoded;
	const struct image_rule *rule;
	char digest[IMAGE_DIGEST_TEXT_SIZE];
	struct image image;

	encode(&encoded, BH_ADDRESS4_BLOCKS);
	cr_assert_eq(decode(encoded.data, encoded.size, encoded.loaded.arena, &image), 0);
	rule = &image.notes.rules.at[0];
	cr_assert_str_eq(rule->name, "allow-web");
	cr_assert_str_eq(rule->description, "the public site");
	cr_assert_str_eq(image.notes.groups.at[rule->group].name, "web");
	cr_assert_str_eq(image.notes.sources.at[rule->source].path, "a.yaml");
	cr_assert_eq(rule->line, 5);
	cr_assert(rule->log && !rule->is_default);
	cr_assert_eq(image.notes.disabled.len, 1);
	cr_assert_str_eq(image.notes.disabled.at[0].name, "later");
	cr_assert(image.notes.groups.at[0].keep);
	cr_assert_str_eq(image_digest_print(&image.notes.sources.at[0].digest, digest),
			 image_digest_print(&(struct image_digest[]){image_digest_of(
						    policy_text, sizeof(policy_text) - 1)}[0],
					    (char[IMAGE_DIGEST_TEXT_SIZE]){}));
	unload(&encoded.loaded);
}

Test(image, a_digest_is_sha256)
{
	struct image_digest digest = image_digest_of("abc", 3);
	char text[IMAGE_DIGEST_TEXT_SIZE];

	cr_assert_str_eq(image_digest_print(&digest, text),
			 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

Test(image, one_cut_at_any_byte_is_refused)
{
	struct encoded encoded;

	encode(&encoded, BH_ADDRESS4_RANGES);
	for (size_t size = 0; size < sizeof(struct encoded_head) + 512; size++)
		cr_assert_eq(decode_copy(encoded.data, size), -EBADMSG, "%zu", size);
	for (size_t size = 0; size < encoded.size; size += size + 99 < encoded.size ? 97 : 1)
		cr_assert_eq(decode_copy(encoded.data, size), -EBADMSG, "%zu", size);
	unload(&encoded.loaded);
}

Test(image, notes_cut_at_any_byte_are_refused_whatever_the_checksum_says)
{
	struct encoded encoded;
	size_t notes;

	encode(&encoded, BH_ADDRESS4_RANGES);
	notes = encoded.size - sizeof(struct encoded_head) - encoded.image.tables_size;
	for (size_t size = 0; size < notes; size++) {
		mend(encoded.data, encoded.image.tables_size, size);
		cr_assert_eq(decode_copy(encoded.data, encoded.size - notes + size), -EBADMSG,
			     "%zu", size);
	}
	unload(&encoded.loaded);
}

Test(image, tables_cut_anywhere_are_refused_whatever_the_checksum_says)
{
	struct encoded encoded;
	scoped(free) uint8_t *cut = NULL;
	size_t tables, notes;

	encode(&encoded, BH_ADDRESS4_BLOCKS);
	tables = encoded.image.tables_size;
	notes = encoded.size - sizeof(struct encoded_head) - tables;
	cut = mem_alloc(encoded.size);
	for (size_t size = 0; size < tables; size += size < 300 ? 1 : 1021) {
		memcpy(cut, encoded.data, sizeof(struct encoded_head) + size);
		memcpy(cut + sizeof(struct encoded_head) + size,
		       encoded.data + encoded.size - notes, notes);
		mend(cut, size, notes);
		cr_assert_eq(decode_copy(cut, sizeof(struct encoded_head) + size + notes), -EBADMSG,
			     "%zu", size);
	}
	unload(&encoded.loaded);
}

Test(image, a_flipped_bit_is_refused)
{
	struct encoded encoded;
	struct rng rng = {1};

	encode(&encoded, BH_ADDRESS4_RANGES);
	for (uint32_t i = 0; i < 1500; i++) {
		size_t byte = i < 300 ? i : rng_below(&rng, encoded.size);
		uint8_t bit = 1 << rng_below(&rng, 8);

		encoded.data[byte] ^= bit;
		cr_assert_eq(decode_copy(encoded.data, encoded.size), -EBADMSG, "%zu", byte);
		encoded.data[byte] ^= bit;
	}
	unload(&encoded.loaded);
}

/* Judges packets by an image that somebody has altered: any answer will do, if it is one. */
static void judge_some(const struct image *image, struct loaded *loaded)
{
	static const addr_list nobody;
	struct rng rng = {2};

	for (int i = 0; i < 40; i++) {
		struct tuple tuple = random_packet(&rng, &loaded->policy, &nobody);
		struct lookup_steps steps;

		lookup_steps(image, &tuple, &nobody, &steps);
		cr_assert_lt(steps.outcome, image_head(image)->n_outcomes);
	}
}

/* Flips bits of what lies from begin to end, mends the checksums, decodes, uses what decodes. */
static void flip_within(struct encoded *encoded, size_t begin, size_t end, uint32_t n)
{
	size_t tables = encoded->image.tables_size;
	size_t notes = encoded->size - sizeof(struct encoded_head) - tables;
	struct rng rng = {begin};

	for (uint32_t i = 0; i < n; i++) {
		scoped(arena_free) struct arena *arena = arena_new();
		size_t byte = begin + rng_below(&rng, end - begin);
		uint8_t bit = 1 << rng_below(&rng, 8);
		struct image image;

		encoded->data[byte] ^= bit;
		mend(encoded->data, tables, notes);
		if (!decode(encoded->data, encoded->size, arena, &image)) {
			struct policy policy;

			image_policy(arena, &image, &policy);
			judge_some(&image, &encoded->loaded);
		}
		encoded->data[byte] ^= bit;
	}
}

static void flip_everywhere(enum bh_address4 kind)
{
	struct encoded encoded;
	size_t tables = sizeof(struct encoded_head);
	const struct bh_head *head;

	encode(&encoded, kind);
	head = image_head(&encoded.image);
	flip_within(&encoded, tables, tables + sizeof(*head), 800);
	flip_within(&encoded, tables + sizeof(*head), tables + head->address4, 400);
	flip_within(&encoded, tables + head->address4, tables + head->address6, 100);
	flip_within(&encoded, tables + head->address6, tables + encoded.image.tables_size, 400);
	flip_within(&encoded, tables + encoded.image.tables_size, encoded.size, 800);
	unload(&encoded.loaded);
}

Test(image, altered_blocks_are_refused_or_can_be_used)
{
	flip_everywhere(BH_ADDRESS4_BLOCKS);
}

Test(image, altered_ranges_are_refused_or_can_be_used)
{
	flip_everywhere(BH_ADDRESS4_RANGES);
}

Test(image, a_comment_changes_the_digest_and_not_the_tables)
{
	struct build_limits limits = build_limits_default();
	struct encoded encoded;
	struct loaded other;
	struct image image;
	const struct source *source;
	uint8_t *data;
	size_t size;

	encode(&encoded, -1);
	load_texts(&other, NULL,
		   (const char *const[]){
			   arena_printf(encoded.loaded.arena, "# v2\n%s", policy_text), NULL});
	source = other.policy.groups.at[0].mark.source;
	cr_assert_eq(build(other.arena, &other.policy, &source, 1, &limits, other.diag, &image), 0);
	whole_encode(other.arena, &image, &data, &size);
	cr_assert(image_tables_equal(&encoded.image, &image));
	cr_assert(memcmp(&encoded.image.digest, &image.digest, sizeof(image.digest)));
	unload(&other);
	unload(&encoded.loaded);
}

Test(image, another_port_changes_the_tables)
{
	struct build_limits limits = build_limits_default();
	struct encoded encoded;
	struct loaded other;
	struct image image;
	char *text;

	encode(&encoded, -1);
	text = arena_printf(encoded.loaded.arena, "%s", policy_text);
	memcpy(strstr(text, "443"), "444", 3);
	load_texts(&other, NULL, (const char *const[]){text, NULL});
	cr_assert_eq(build(other.arena, &other.policy, NULL, 0, &limits, other.diag, &image), 0);
	cr_assert(!image_tables_equal(&encoded.image, &image));
	unload(&other);
	unload(&encoded.loaded);
}

static void compare_verdicts(const struct policy *a, const struct policy *b, uint64_t seed,
			     const addr_list *self)
{
	struct rng rng = {seed};

	for (int i = 0; i < 200; i++) {
		struct tuple tuple = random_packet(&rng, a, self);
		struct verdict first = eval(a, &tuple, self);
		struct verdict second = eval(b, &tuple, self);
		char text[TUPLE_TEXT_SIZE];

		cr_assert(first.allow == second.allow && first.would_deny == second.would_deny &&
				  first.reason == second.reason &&
				  first.by_flow == second.by_flow &&
				  !memcmp(&first.outcome, &second.outcome, sizeof(first.outcome)),
			  "seed %d: %s", (int)seed, tuple_print(&tuple, text));
	}
}

/* Through the encoded form, since that is where a live policy comes from. */
static void restore(uint64_t seed)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	struct build_limits limits = build_limits_default();
	struct random_policy made = {};
	struct policy policy, restored;
	struct image image, decoded;
	uint8_t *data;
	size_t size;

	random_policy(arena, seed, &made);
	cr_assert_eq(resolve(arena, made.files.at, made.files.len, &made.host, diag, &policy), 0);
	cr_assert_eq(build(arena, &policy, NULL, 0, &limits, diag, &image), 0);
	whole_encode(arena, &image, &data, &size);
	cr_assert_eq(decode(data, size, arena, &decoded), 0);
	image_policy(arena, &decoded, &restored);
	compare_verdicts(&policy, &restored, seed, &made.self);
}

Test(image, the_policy_of_an_image_judges_as_the_one_it_was_made_of)
{
	for (uint64_t seed = 1; seed <= 60; seed++)
		restore(seed);
}
