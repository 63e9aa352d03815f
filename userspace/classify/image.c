// SPDX-License-Identifier: GPL-2.0-only
/* What every user of an image needs: its head, its outcomes, digests, comparison. */
#include "classify/image.h"

#include <nettle/sha2.h>

_Static_assert(SHA256_DIGEST_SIZE == sizeof(struct image_digest), "digest");

const struct bh_head *image_head(const struct image *image)
{
	return (const struct bh_head *)(const void *)image->tables;
}

const struct bh_outcome *image_outcome(const struct image *image, uint32_t outcome)
{
	return (const struct bh_outcome *)(const void *)(image->tables +
							 image_head(image)->outcomes) +
	       outcome;
}

const char *image_digest_print(const struct image_digest *digest, char *buffer)
{
	for (size_t i = 0; i < sizeof(digest->bytes); i++)
		(void)snprintf(buffer + i * 2, 3, "%02x", digest->bytes[i]);
	return buffer;
}

struct image_digest image_digest_of(const void *data, size_t size)
{
	return image_digest_of_all(&(struct image_bytes){data, size}, 1);
}

struct image_digest image_digest_of_all(const struct image_bytes *parts, size_t n)
{
	struct image_digest digest;
	struct sha256_ctx context;

	sha256_init(&context);
	for (size_t i = 0; i < n; i++)
		sha256_update(&context, parts[i].size, parts[i].data);
	sha256_digest(&context, sizeof(digest.bytes), digest.bytes);
	return digest;
}

bool image_tables_equal(const struct image *a, const struct image *b)
{
	return a->tables_size == b->tables_size && !memcmp(a->tables, b->tables, a->tables_size);
}
