// SPDX-License-Identifier: GPL-2.0-only
#include "tests/lib/whole.h"

#include <string.h>

void whole_encode(struct arena *arena, struct image *image, uint8_t **ret_data, size_t *ret_size)
{
	struct image_encoded encoded;
	size_t size = 0, len = 0;
	uint8_t *data;

	image_encode(arena, image, &encoded);
	for (size_t i = 0; i < ARRAY_LEN(encoded.pieces); i++)
		size += encoded.pieces[i].size;
	data = arena_alloc(arena, size);
	for (size_t i = 0; i < ARRAY_LEN(encoded.pieces); i++) {
		memcpy(data + len, encoded.pieces[i].data, encoded.pieces[i].size);
		len += encoded.pieces[i].size;
	}
	*ret_data = data;
	*ret_size = size;
}
