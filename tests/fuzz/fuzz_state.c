// SPDX-License-Identifier: GPL-2.0-only
/* The JSON of the state directory, as record and as totals; what is read is printed and read back. */
#include <errno.h>

#include "kernel/store_json.h"
#include "tests/fuzz/fuzz.h"

static void record(struct arena *arena, struct diag *diag, const char *text)
{
	struct store_record first, second;
	scoped(free) char *printed = NULL;
	int err = store_json_parse_record(text, "record.json", arena, diag, &first);

	fuzz_demand(err == 0 || err == -EBADMSG);
	if (err)
		return;
	printed = store_json_print_record(&first);
	fuzz_demand(printed);
	fuzz_demand(!store_json_parse_record(printed, "record.json", arena, diag, &second));
	fuzz_demand(first.last == second.last && first.links.len == second.links.len &&
		    first.addresses.len == second.addresses.len);
}

static void totals(struct arena *arena, struct diag *diag, const char *text)
{
	struct store_totals first, second;
	scoped(free) char *printed = NULL;
	int err = store_json_parse_totals(text, "counters.json", arena, diag, &first);

	fuzz_demand(err == 0 || err == -EBADMSG);
	if (err)
		return;
	printed = store_json_print_totals(&first);
	fuzz_demand(printed);
	fuzz_demand(!store_json_parse_totals(printed, "counters.json", arena, diag, &second));
	fuzz_demand(first.folded == second.folded && first.counts.len == second.counts.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *diag = diag_new();
	const char *text = arena_copy(arena, data, size);

	record(arena, diag, text);
	totals(arena, diag, text);
	fuzz_tell(diag, 0);
	return 0;
}
