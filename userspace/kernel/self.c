// SPDX-License-Identifier: GPL-2.0-only
/* Steps of an apply: the table of own addresses. With numbers.c a part of applying.h. */
#include "kernel/applying.h"

#include <errno.h>

#include <bpf/bpf.h>

#include "kernel/fill.h"
#include "kernel/tables.h"

int apply_read_self(const struct load *load, struct arena *arena, struct diag *diag,
		    addr_ranges *ret_addresses)
{
	struct bh_self *self = arena_alloc(arena, sizeof(*self));
	uint32_t key = 0;
	scoped(close) int fd = -1;
	int err = load_page_fd(load, LOAD_MAP_SELF, 0, diag, &fd);

	if (err == -ENOENT) {
		*ret_addresses = (addr_ranges){};
		return 0;
	}
	if (!err && bpf_map_lookup_elem(fd, &key, self))
		err = diag_sys(diag, errno, "cannot read a page of map bh_self");
	if (err)
		return err;
	tables_read_self(self, arena, ret_addresses);
	return 0;
}

static bool same_addresses(const struct host_facts *facts, const addr_ranges *now)
{
	if (facts->addresses.len != now->len)
		return false;
	for (size_t i = 0; i < now->len; i++)
		if (addr_compare(&facts->addresses.at[i], &now->at[i].first) != 0)
			return false;
	return true;
}

static bool are_recorded(const struct applying *run)
{
	const struct host_facts *facts = run->request->facts;

	if (facts->addresses.len != run->record.addresses.len)
		return false;
	for (size_t i = 0; i < facts->addresses.len; i++)
		if (addr_compare(&facts->addresses.at[i], &run->record.addresses.at[i]) != 0)
			return false;
	return true;
}

int applying_finds_other_self(struct applying *run, bool *ret_other)
{
	const struct bh_head *head = image_head(run->request->image);
	addr_ranges now = {};
	int err;

	*ret_other = false;
	if (!head->direction[BH_IN].sides_self && !head->direction[BH_OUT].sides_self)
		return 0;
	err = apply_read_self(run->load, run->arena, run->diag, &now);
	*ret_other = !err && !(same_addresses(run->request->facts, &now) && are_recorded(run));
	return err;
}

int applying_make_self(struct applying *run)
{
	const struct host_facts *facts = run->request->facts;
	addr_ranges now = {};
	int err = apply_read_self(run->load, run->arena, run->diag, &now);

	if (err || (now.len && same_addresses(facts, &now)))
		return err;
	run->result.addresses_changed = !same_addresses(facts, &now);
	return fill_self(run->load, run->self, run->diag, &run->self_page);
}

int applying_put_self(struct applying *run)
{
	const struct host_facts *facts = run->request->facts;
	int err = run->self_page < 0 ? 0 : fill_put_self(run->load, run->self_page, run->diag);

	if (err)
		return err;
	run->result.n_addresses = (uint32_t)facts->addresses.len;
	/* Not in the place of the old ones, which a copy of the record still names. */
	memset(&run->record.addresses, 0, sizeof(run->record.addresses));
	for (size_t i = 0; i < facts->addresses.len; i++)
		array_push(run->arena, &run->record.addresses, facts->addresses.at[i]);
	return 0;
}
