// SPDX-License-Identifier: GPL-2.0-only
/* host.yaml → settings. */
#include "policy/hostconf.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	struct hostconf host;

	hostconf_init(&host);
	fuzz_tell(diag, hostconf_parse(arena, fuzz_source(arena, data, size), diag, &host));
	return 0;
}
