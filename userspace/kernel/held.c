// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/held.h"

#include "base/array.h"
#include "base/str.h"

struct held_map {
	uint32_t id;
	int fd;
};

struct held_name {
	uint32_t program;
	const char *name;
};

struct held {
	struct arena *arena;
	ARRAY(struct held_map) maps; /* sorted by id */
	ARRAY(int) links;
	ARRAY(struct held_name) names;
	ARRAY(uint32_t) own;
};

struct held *held_new(void)
{
	struct arena *arena = arena_new();
	struct held *held = arena_calloc(arena, 1, sizeof(*held));

	held->arena = arena;
	return held;
}

void held_close_maps(struct held *held)
{
	for (size_t i = 0; i < held->maps.len; i++)
		(void)close(held->maps.at[i].fd);
	held->maps.len = 0;
}

void held_free(struct held *held)
{
	held_close_maps(held);
	for (size_t i = 0; i < held->links.len; i++)
		(void)close(held->links.at[i]);
	arena_free(held->arena);
}

/* The first of at least that id: the kernel gives them in rising order, so it is mostly the end. */
static size_t place_of(const struct held *held, uint32_t id)
{
	size_t first = 0;
	size_t end = held->maps.len;

	while (first < end) {
		size_t middle = first + (end - first) / 2;

		if (held->maps.at[middle].id < id)
			first = middle + 1;
		else
			end = middle;
	}
	return first;
}

void held_add_map(struct held *held, uint32_t id, int fd)
{
	size_t place = place_of(held, id);

	array_push(held->arena, &held->maps, (struct held_map){.id = id, .fd = fd});
	for (size_t i = held->maps.len - 1; i > place; i--)
		held->maps.at[i] = held->maps.at[i - 1];
	held->maps.at[place] = (struct held_map){.id = id, .fd = fd};
}

int held_map(const struct held *held, uint32_t id)
{
	size_t place = place_of(held, id);

	return place < held->maps.len && held->maps.at[place].id == id ? held->maps.at[place].fd
								       : -1;
}

void held_add_link(struct held *held, int fd)
{
	array_push(held->arena, &held->links, fd);
}

int held_link(const struct held *held, size_t i)
{
	return i < held->links.len ? held->links.at[i] : -1;
}

void held_add_name(struct held *held, uint32_t program, const char *name)
{
	array_push(
		held->arena, &held->names,
		(struct held_name){.program = program, .name = str_dup(held->arena, str_of(name))});
}

const char *held_name(const struct held *held, uint32_t program)
{
	for (size_t i = 0; i < held->names.len; i++)
		if (held->names.at[i].program == program)
			return held->names.at[i].name;
	return "";
}

void held_add_own(struct held *held, uint32_t program)
{
	array_push(held->arena, &held->own, program);
}

bool held_is_own(const struct held *held, uint32_t program)
{
	for (size_t i = 0; i < held->own.len; i++)
		if (held->own.at[i] == program)
			return true;
	return false;
}
