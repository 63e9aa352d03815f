// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which links are covered: by the rules of auto, or by names and globs.
 */
#include <assert.h>
#include <errno.h>
#include <fnmatch.h>

#include "host/facts.h"

/* It has the form of an Ethernet link, and what is routed by it comes in and goes out by its ports alone. */
static bool is_vrf(const struct host_link *link)
{
	return strcmp(link->kind, "vrf") == 0;
}

/*
 * A device stands behind some masters too (netvsc), so a master that auto takes is one that has a
 * device; a bond or bridge has none and is not taken, and then its ports are.
 */
const char *host_why_not_auto(const struct host_facts *facts, const struct host_link *link)
{
	const struct host_link *master =
		link->master ? host_link_by_index(facts, link->master) : NULL;

	if (link->loopback)
		return "local traffic is not covered";
	if (!link->ethernet)
		return "not an Ethernet link";
	if (link->netvsc_vf)
		return "a virtual function, covered through its netvsc link";
	if (!link->device)
		return "no device behind it";
	if (master && !host_why_not_auto(facts, master))
		return "a port of a covered link";
	return NULL;
}

static void add_once(struct arena *arena, host_links *links, const struct host_link *link)
{
	for (size_t i = 0; i < links->len; i++)
		if (links->at[i] == link)
			return;
	array_push(arena, links, link);
}

static int refuse(struct diag *diag, const struct host_pattern *pattern, const char *words)
{
	(void)diag_refuse(diag, -ENODEV, "%s", words);
	if (pattern->at.source)
		diag_note(diag, pattern->at, "named here");
	return -ENODEV;
}

static bool is_glob(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (strchr("*?[", text.at[i]))
			return true;
	return false;
}

static int take_name(struct arena *arena, const struct host_facts *facts,
		     const struct host_pattern *pattern, struct diag *diag, host_links *links)
{
	const struct host_link *link = host_link_by_name(facts, pattern->text);
	const struct str text = pattern->text;

	if (!link)
		return refuse(
			diag, pattern,
			arena_printf(arena, "no link is called '" STR_FMT "'", STR_ARG(text)));
	if (link->loopback)
		return refuse(diag, pattern,
			      arena_printf(arena,
					   "'" STR_FMT "' is the loopback link, which cannot be "
					   "covered",
					   STR_ARG(text)));
	if (!link->ethernet)
		return refuse(
			diag, pattern,
			arena_printf(arena, "'" STR_FMT "' is no Ethernet link", STR_ARG(text)));
	if (is_vrf(link))
		return refuse(diag, pattern,
			      arena_printf(arena,
					   "'" STR_FMT
					   "' is a VRF, whose packets cross the hooks of "
					   "its ports alone: name those",
					   STR_ARG(text)));
	if (link->netvsc_vf)
		return refuse(diag, pattern,
			      arena_printf(arena,
					   "'" STR_FMT "' is a virtual function, which is covered "
					   "through its netvsc link: name that one",
					   STR_ARG(text)));
	add_once(arena, links, link);
	return 0;
}

/* Also the link that is called just that, which hides none that match: whoever may name a link could else. */
static int take_glob(struct arena *arena, const struct host_facts *facts,
		     const struct host_pattern *pattern, struct diag *diag, host_links *links)
{
	const char *glob = str_dup(arena, pattern->text);
	bool found = false;

	for (size_t i = 0; i < facts->links.len; i++) {
		const struct host_link *link = &facts->links.at[i];

		if (!link->ethernet || link->loopback || link->netvsc_vf || is_vrf(link) ||
		    (fnmatch(glob, link->name, 0) && strcmp(glob, link->name) != 0))
			continue;
		add_once(arena, links, link);
		found = true;
	}
	if (found)
		return 0;
	return refuse(diag, pattern, arena_printf(arena, "no Ethernet link matches '%s'", glob));
}

static int take_auto(struct arena *arena, const struct host_facts *facts, struct diag *diag,
		     host_links *links)
{
	for (size_t i = 0; i < facts->links.len; i++)
		if (!host_why_not_auto(facts, &facts->links.at[i]))
			array_push(arena, links, &facts->links.at[i]);
	if (links->len)
		return 0;
	return diag_refuse(diag, -ENODEV,
			   "no Ethernet link with a device behind it; name the links to cover in "
			   "host.yaml (interfaces) or with --interface");
}

static int compare_links(const void *a, const void *b)
{
	const struct host_link *left = *(const struct host_link *const *)a;
	const struct host_link *right = *(const struct host_link *const *)b;

	return (left->ifindex > right->ifindex) - (left->ifindex < right->ifindex);
}

int host_select(struct arena *arena, const struct host_facts *facts,
		const struct host_pattern *patterns, size_t n_patterns, struct diag *diag,
		host_links *ret_links)
{
	host_links links = {};
	int err = n_patterns ? 0 : take_auto(arena, facts, diag, &links);

	for (size_t i = 0; i < n_patterns; i++) {
		int bad = is_glob(patterns[i].text)
				  ? take_glob(arena, facts, &patterns[i], diag, &links)
				  : take_name(arena, facts, &patterns[i], diag, &links);

		err = err ? err : bad;
	}
	if (err)
		return err;
	assert(links.len > 0);
	qsort(links.at, links.len, sizeof(*links.at), compare_links);
	*ret_links = links;
	return 0;
}
