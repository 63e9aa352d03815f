// SPDX-License-Identifier: GPL-2.0-only
#include "tests/fuzz/fuzz.h"

struct source *fuzz_source(struct arena *arena, const uint8_t *data, size_t size)
{
	struct source *source = arena_alloc(arena, sizeof(*source));

	*source = (struct source){
		.path = "fuzz.yaml",
		.text = {.at = arena_copy(arena, data, size), .len = size},
	};
	return source;
}

void fuzz_tell(const struct diag *diag, int err)
{
	scoped(fclose) FILE *nowhere = fopen("/dev/null", "we");

	fuzz_demand(nowhere);
	fuzz_demand(err == 0 || diag_n_errors(diag));
	diag_print(diag, nowhere);
}
