// SPDX-License-Identifier: GPL-2.0-only
/* See cli/asked.h. */
#include "cli/asked.h"

/* What one of the patterns that apply was given selects now; auto without a name. */
static int select_links(const struct asked *asked, const char *name, struct diag *diag,
			host_links *ret_links)
{
	const struct host_pattern pattern = {.text = str_of(name ? name : "")};

	return host_select(asked->arena, asked->facts, &pattern, name ? 1 : 0, diag, ret_links);
}

static bool is_to_be_covered(const struct store_record *record, uint32_t ifindex)
{
	for (size_t i = 0; i < record->links.len; i++)
		if (record->links.at[i].ifindex == ifindex && !record->links.at[i].let_go)
			return true;
	return false;
}

static bool is_among(const host_links *links, uint32_t ifindex)
{
	for (size_t i = 0; i < links->len; i++)
		if (links->at[i]->ifindex == ifindex)
			return true;
	return false;
}

/* One of those that were covered, whatever its ifindex was then. */
static bool has_programs(const attach_hooks *hooks, uint32_t ifindex)
{
	for (size_t i = 0; i < hooks->len; i++)
		if (hooks->at[i].ifindex == ifindex && !hooks->at[i].elsewhere)
			return true;
	return false;
}

/* A pattern that selects nothing any more keeps none of the others from being looked at. */
static bool compare_one(struct asked *asked, const char *name, host_links *selected)
{
	struct arena *arena = asked->arena;
	scoped(diag_free) struct diag *late = diag_new();
	host_links links = {};
	size_t n = 0;
	const char *by = name ? arena_printf(arena, "'%s'", name) : "interfaces: auto";

	if (select_links(asked, name, late, &links)) {
		array_push(arena, &asked->words,
			   name ? arena_printf(arena, "%s, so 'apply' is refused",
					       diag_messages(late, &n)[0].text)
				: "interfaces: auto finds no link, so 'apply' is refused");
		return false;
	}
	for (size_t i = 0; i < links.len; i++) {
		const struct host_link *link = links.at[i];

		if (is_among(selected, link->ifindex))
			continue;
		array_push(arena, selected, link);
		if (is_to_be_covered(asked->record, link->ifindex))
			continue;
		array_push(arena, &asked->words,
			   arena_printf(
				   arena,
				   has_programs(asked->hooks, link->ifindex)
					   ? "link %s is asked for by %s and has come back under "
					     "another ifindex; 'apply' counts it by its name again"
					   : "link %s is asked for by %s and is not covered; "
					     "'apply' covers it",
				   link->name, by));
	}
	return true;
}

static void tell_let_go(struct asked *asked, const host_links *selected)
{
	const struct store_record *record = asked->record;

	for (size_t i = 0; i < record->links.len; i++) {
		const struct host_link *link =
			host_link_by_index(asked->facts, record->links.at[i].ifindex);

		if (link && !record->links.at[i].let_go && !is_among(selected, link->ifindex) &&
		    has_programs(asked->hooks, link->ifindex))
			array_push(
				asked->arena, &asked->words,
				arena_printf(asked->arena,
					     "link %s is not asked for any more; 'apply' lets it "
					     "go, and all passes there",
					     link->name));
	}
}

void asked_compare(struct asked *asked)
{
	const struct store_generation *current = &asked->record->current;
	host_links selected = {};
	bool refused = false;

	if (!current->asked)
		return;
	if (!current->interfaces.len)
		refused = !compare_one(asked, NULL, &selected);
	for (size_t i = 0; i < current->interfaces.len; i++)
		refused |= !compare_one(asked, current->interfaces.at[i], &selected);
	if (!refused)
		tell_let_go(asked, &selected);
}
