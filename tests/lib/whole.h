/* SPDX-License-Identifier: GPL-2.0-only */
/* An encoded image in one piece, as it is read. */
#ifndef TESTS_LIB_WHOLE_H
#define TESTS_LIB_WHOLE_H

#include "classify/image.h"

/* image_encode(), its pieces joined in the arena. */
void whole_encode(struct arena *arena, struct image *image, uint8_t **ret_data, size_t *ret_size);

#endif
