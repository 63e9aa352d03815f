// SPDX-License-Identifier: GPL-2.0-only
/* Sorted lists of names without regard to case, and the nearest of them. */
#include "policy/names.h"

#include <stdlib.h>

static int compare_entries(const void *a, const void *b)
{
	const struct name_entry *left = a, *right = b;
	int order = str_compare_nocase(left->text, right->text);

	if (order)
		return order;
	return left->order < right->order ? -1 : left->order > right->order;
}

void names_sort(name_list *names)
{
	for (size_t i = 0; i < names->len; i++)
		names->at[i].order = i;
	if (names->len)
		qsort(names->at, names->len, sizeof(*names->at), compare_entries);
}

const struct name_entry *names_find(const name_list *names, struct str text)
{
	size_t low = 0, high = names->len;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (str_compare_nocase(names->at[middle].text, text) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == names->len || !str_eq_nocase(names->at[low].text, text))
		return NULL;
	return &names->at[low];
}

void names_refuse_twice(const name_list *names, const name_list *outer, const char *what,
			struct diag *diag)
{
	for (size_t i = 0; i < names->len; i++) {
		const struct name_entry *entry = &names->at[i];
		const struct name_entry *first = names_find(names, entry->text);
		const struct name_entry *shared = outer ? names_find(outer, entry->text) : NULL;

		if (first == entry)
			first = shared;
		if (!first)
			continue;
		diag_bad(diag, entry->mark,
			 "%s '" STR_FMT "' stands twice; expected another name, since names are "
			 "compared without regard to case",
			 what, STR_ARG(entry->text));
		diag_note(diag, first->mark, "'" STR_FMT "' first stands here",
			  STR_ARG(first->text));
	}
}

void nearest_try(struct nearest *nearest, struct str candidate)
{
	unsigned distance = str_distance(nearest->wanted, candidate);
	size_t allowed =
		nearest->wanted.len < 6 ? 1 + nearest->wanted.len / 4 : nearest->wanted.len / 3;

	if (distance > allowed || (nearest->text.len && distance >= nearest->distance))
		return;
	nearest->text = candidate;
	nearest->distance = distance;
}

void nearest_try_all(struct nearest *nearest, const name_list *names)
{
	for (size_t i = 0; i < names->len && names->len <= NEAREST_MAX_NAMES; i++)
		nearest_try(nearest, names->at[i].text);
}

const char *nearest_hint(struct arena *arena, const struct nearest *nearest)
{
	if (!nearest->text.len)
		return "";
	return arena_printf(arena, "; did you mean '" STR_FMT "'?", STR_ARG(nearest->text));
}
