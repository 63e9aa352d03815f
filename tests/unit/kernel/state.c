// SPDX-License-Identifier: GPL-2.0-only
#include "tests/unit/kernel/state.h"

#include <criterion/criterion.h>
#include <string.h>

#include "bpf/abi.h"
#include "tests/unit/kernel/folder.h"

void at_init(struct at *at)
{
	*at = (struct at){.arena = arena_new(), .diag = diag_new(), .folder = folder_new()};
	cr_assert_eq(store_open(at->folder, NULL, at->diag, &at->store), 0);
}

void at_fini(struct at *at)
{
	store_close(at->store);
	folder_free(at->folder);
	diag_free(at->diag);
	arena_free(at->arena);
}

const char *at_path(struct at *at, const char *name)
{
	return arena_printf(at->arena, "%s/%s", at->folder, name);
}

const char *words(const struct diag *diag)
{
	size_t n = 0;
	const struct diag_message *messages = diag_messages(diag, &n);

	return n ? messages[n - 1].text : "";
}

struct store_generation generation(uint64_t number)
{
	return (struct store_generation){
		.generation = number,
		.digest = image_digest_of(&number, sizeof(number)),
		.applied = 1700000000 + number,
		.n_rows = (uint32_t)number + 128,
		.from = "",
		.asked = true,
	};
}

struct store_record full_record(struct arena *arena)
{
	struct store_record record = {
		.abi = BH_ABI_VERSION,
		.boot = "0b4bc0de-0000-4000-8000-000000000000",
		.netns_device = 4,
		.netns_inode = 4026531840,
		.pins = "/sys/fs/bpf/a \"b",
		.since = 1700000000,
		.last = 9007199254740993,
		.current = generation(12),
		.next = generation(13),
		.azure_dmi = true,
	};

	record.current.from = "/root/a \"b";
	array_push(arena, &record.current.folders, "/etc/bulkhead/policy.d");
	array_push(arena, &record.current.folders, "a \"b");
	array_push(arena, &record.current.interfaces, "eth*");
	array_push(arena, &record.current.interfaces, "a \"b");
	for (uint64_t i = 0; i < STORE_HISTORY; i++)
		array_push(arena, &record.history, generation(11 - i));
	array_push(arena, &record.links,
		   (struct store_link){1, 2, "eth0", "", "tcx: this kernel has no tcx", false});
	array_push(arena, &record.links,
		   (struct store_link){31, 4000000000, "a \"b\\c", "native: no", "", true});
	array_push(arena, &record.addresses, addr_v4(0x0a000001));
	array_push(arena, &record.addresses, ((struct addr){.family = ADDR_V6, .bytes = {0xfe}}));
	return record;
}

static void same_names(const store_names *a, const store_names *b)
{
	cr_assert_eq(a->len, b->len);
	for (size_t i = 0; i < a->len; i++)
		cr_assert_str_eq(a->at[i], b->at[i]);
}

static void same_generation(const struct store_generation *a, const struct store_generation *b)
{
	cr_assert_eq(a->generation, b->generation);
	cr_assert_str_eq(a->from ? a->from : "", b->from ? b->from : "");
	cr_assert_eq(a->asked, b->asked);
	same_names(&a->interfaces, &b->interfaces);
	same_names(&a->folders, &b->folders);
	cr_assert_eq(memcmp(&a->digest, &b->digest, sizeof(a->digest)), 0);
	cr_assert_eq(a->applied, b->applied);
	cr_assert_eq(a->n_rows, b->n_rows);
}

static void same_links(const struct store_record *a, const struct store_record *b)
{
	cr_assert_eq(a->links.len, b->links.len);
	for (size_t i = 0; i < a->links.len; i++) {
		cr_assert_eq(a->links.at[i].number, b->links.at[i].number);
		cr_assert_eq(a->links.at[i].ifindex, b->links.at[i].ifindex);
		cr_assert_str_eq(a->links.at[i].name, b->links.at[i].name);
		cr_assert_str_eq(a->links.at[i].why_in, b->links.at[i].why_in);
		cr_assert_str_eq(a->links.at[i].why_out, b->links.at[i].why_out);
		cr_assert_eq(a->links.at[i].let_go, b->links.at[i].let_go);
	}
}

void same_record(const struct store_record *a, const struct store_record *b)
{
	cr_assert_eq(a->abi, b->abi);
	cr_assert_str_eq(a->boot, b->boot);
	cr_assert_eq(a->netns_device, b->netns_device);
	cr_assert_eq(a->netns_inode, b->netns_inode);
	cr_assert_str_eq(a->pins, b->pins);
	cr_assert_eq(a->since, b->since);
	cr_assert_eq(a->last, b->last);
	cr_assert_eq(a->azure_dmi, b->azure_dmi);
	same_generation(&a->current, &b->current);
	same_generation(&a->next, &b->next);
	cr_assert_eq(a->history.len, b->history.len);
	for (size_t i = 0; i < a->history.len; i++)
		same_generation(&a->history.at[i], &b->history.at[i]);
	same_links(a, b);
	cr_assert_eq(a->addresses.len, b->addresses.len);
	for (size_t i = 0; i < a->addresses.len; i++)
		cr_assert_eq(addr_compare(&a->addresses.at[i], &b->addresses.at[i]), 0);
}
