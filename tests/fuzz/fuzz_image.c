// SPDX-License-Identifier: GPL-2.0-only
/*
 * A saved image. The first byte says what the rest is: 0, a file as it is; 1, words of eight bytes
 * that each replace four bytes of a good file (offset, then value); 2, its notes. Lengths and
 * checksums are made right again, as what is behind them is to be reached. What decode takes can
 * be looked up in, proven and printed.
 */
#include <string.h>
#include <zlib.h>

#include "classify/build.h"
#include "classify/encoded.h"
#include "classify/lookup.h"
#include "policy/parse.h"
#include "policy/resolve.h"
#include "prove/prove.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/random_policy.h"
#include "tests/lib/whole.h"

static const char policy_text[] = "bulkhead: 1\n"
				  "group: web\n"
				  "rules:\n"
				  "  - {name: web, priority: 100, direction: inbound,\n"
				  "     access: allow, services: [tcp/443, udp/1-9, icmp/8],\n"
				  "     source: [10.0.0.0/9, \"2001:db8::1\"], destination: self,\n"
				  "     description: words, log: true}\n"
				  "  - {name: off, priority: 100, direction: outbound,\n"
				  "     access: deny, protocol: any, source: any,\n"
				  "     destination: any, enabled: false}\n";

enum { FILE_AS_IT_IS, FILE_PATCHED, FILE_NOTES, PROVED_MS = 100 };

struct file {
	uint8_t *data;
	size_t size;
};

static struct file good_file(struct arena *arena, struct diag *diag)
{
	struct build_limits limits = build_limits_default();
	const struct source *source =
		fuzz_source(arena, (const uint8_t *)policy_text, sizeof(policy_text) - 1);
	struct ast_file *tree = arena_alloc(arena, sizeof(*tree));
	struct hostconf host;
	struct policy policy;
	struct image image;
	struct file file;

	hostconf_init(&host);
	fuzz_demand(!parse(arena, source, diag, tree));
	fuzz_demand(!resolve(arena, &tree, 1, &host, diag, &policy));
	fuzz_demand(!build(arena, &policy, &source, 1, &limits, diag, &image));
	whole_encode(arena, &image, &file.data, &file.size);
	return file;
}

/* A copy of a good file, which is made once. */
static struct file copy_of_good(struct arena *arena, struct diag *diag)
{
	static struct file good;

	if (!good.data) {
		scoped(arena_free) struct arena *making = arena_new();
		struct file made = good_file(making, diag);

		good = (struct file){mem_alloc(made.size), made.size};
		memcpy(good.data, made.data, made.size);
	}
	return (struct file){arena_copy(arena, good.data, good.size), good.size};
}

static void patch(struct file *file, const uint8_t *data, size_t size)
{
	for (; size >= 8; data += 8, size -= 8) {
		uint32_t offset;

		memcpy(&offset, data, sizeof(offset));
		memcpy(file->data + offset % (file->size - 4), data + 4, 4);
	}
}

static void replace_notes(struct arena *arena, struct file *file, const uint8_t *data, size_t size)
{
	struct encoded_head head;
	uint8_t *joined;
	size_t start;

	memcpy(&head, file->data, sizeof(head));
	start = sizeof(head) + head.tables_size;
	joined = arena_alloc(arena, start + size);
	memcpy(joined, file->data, start);
	memcpy(joined + start, data, size);
	head.notes_size = size;
	memcpy(joined, &head, sizeof(head));
	*file = (struct file){joined, start + size};
}

/* Checksums as the bytes want them, where the lengths are those of the file. */
static void mend(struct file *file)
{
	struct encoded_head head;

	if (file->size < sizeof(head))
		return;
	memcpy(&head, file->data, sizeof(head));
	if (head.tables_size > file->size - sizeof(head) ||
	    head.notes_size != file->size - sizeof(head) - head.tables_size)
		return;
	head.tables_checksum = crc32_z(0, file->data + sizeof(head), head.tables_size);
	head.notes_checksum =
		crc32_z(0, file->data + sizeof(head) + head.tables_size, head.notes_size);
	memcpy(file->data, &head, sizeof(head));
}

static void use(struct arena *arena, struct image *image)
{
	scoped(fclose) FILE *nowhere = fopen("/dev/null", "we");
	const addr_list nobody = {};
	struct prove_result result;
	struct rng rng = {1};
	struct policy policy;
	uint8_t *data;
	size_t size;

	fuzz_demand(nowhere);
	image_print(image, nowhere);
	image_policy(arena, image, &policy);
	for (int i = 0; i < 20; i++) {
		struct tuple packet = random_packet(&rng, &policy, &nobody);

		fuzz_demand(lookup(image, &packet, &nobody)->verdict <= BH_WOULD_DENY);
	}
	if (prove_estimate_wrong(&policy, image) < PROVED_MS)
		prove(arena, &policy, image, &result);
	whole_encode(arena, image, &data, &size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	struct file file = {};
	scoped(free) uint8_t *exact = NULL;
	struct image image;
	int err;

	if (!size)
		return 0;
	if (data[0] == FILE_AS_IT_IS)
		file = (struct file){arena_copy(arena, data + 1, size - 1), size - 1};
	else
		file = copy_of_good(arena, diag);
	if (data[0] == FILE_PATCHED)
		patch(&file, data + 1, size - 1);
	else if (data[0] == FILE_NOTES)
		replace_notes(arena, &file, data + 1, size - 1);
	mend(&file);
	/* A read behind the end is found. */
	exact = mem_alloc(file.size);
	if (file.size)
		memcpy(exact, file.data, file.size);
	err = image_decode(arena, "fuzz", exact, file.size, diag, &image);
	if (!err)
		use(arena, &image);
	fuzz_tell(diag, err);
	return 0;
}
