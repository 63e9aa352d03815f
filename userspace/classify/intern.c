// SPDX-License-Identifier: GPL-2.0-only
/* Records one behind the other in one piece of memory, found by open addressing. */
#include "classify/intern.h"

#include <string.h>

#include "base/arena.h"

struct record {
	size_t offset;
	size_t size;
	uint64_t hash;
};

struct intern {
	uint8_t *data;
	size_t data_len;
	size_t data_room;
	struct record *records;
	uint32_t len;
	uint32_t room;
	uint32_t *slots; /* id + 1; 0 is empty */
	uint32_t mask;
};

enum { FIRST_SLOTS = 256 };

struct intern *intern_new(void)
{
	struct intern *intern = mem_calloc(1, sizeof(*intern));

	intern->slots = mem_calloc(FIRST_SLOTS, sizeof(*intern->slots));
	intern->mask = FIRST_SLOTS - 1;
	return intern;
}

void intern_free(struct intern *intern)
{
	if (!intern)
		return;
	free(intern->data);
	free(intern->records);
	free(intern->slots);
	free(intern);
}

static uint64_t mix(uint64_t hash, const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	hash = (hash ^ word) * 0xff51afd7ed558ccdU;
	return hash ^ hash >> 32;
}

/*
 * Four words at a time, of which none waits for another: records of a thousand bytes come by the
 * million.
 */
static uint64_t hash_of(const uint8_t *bytes, size_t size)
{
	uint64_t hash = size * 0x9e3779b97f4a7c15U;
	uint64_t lane[4] = {hash, hash + 1, hash + 2, hash + 3};
	uint8_t rest[8] = {};

	for (; size >= sizeof(lane); bytes += sizeof(lane), size -= sizeof(lane))
		for (size_t i = 0; i < 4; i++)
			lane[i] = mix(lane[i], bytes + i * 8);
	for (size_t i = 0; i < 4; i++)
		hash = (hash ^ lane[i]) * 0x9e3779b97f4a7c15U;
	for (; size >= 8; bytes += 8, size -= 8)
		hash = mix(hash, bytes);
	memcpy(rest, bytes, size);
	hash = mix(hash, rest);
	return hash ^ hash >> 29;
}

static void place(struct intern *intern, uint32_t id)
{
	uint32_t slot = intern->records[id].hash & intern->mask;

	while (intern->slots[slot])
		slot = (slot + 1) & intern->mask;
	intern->slots[slot] = id + 1;
}

static void grow_slots(struct intern *intern)
{
	uint32_t n = (intern->mask + 1) * 2;

	free(intern->slots);
	intern->slots = mem_calloc(n, sizeof(*intern->slots));
	intern->mask = n - 1;
	for (uint32_t id = 0; id < intern->len; id++)
		place(intern, id);
}

static uint32_t append(struct intern *intern, const void *record, size_t size, uint64_t hash)
{
	size_t padded = (size + 7) & ~(size_t)7;

	if (intern->data_len + padded > intern->data_room) {
		intern->data_room = (intern->data_room + padded) * 2;
		intern->data = mem_realloc(intern->data, intern->data_room, 1);
	}
	if (intern->len == intern->room) {
		intern->room = intern->room ? intern->room * 2 : FIRST_SLOTS;
		intern->records =
			mem_realloc(intern->records, intern->room, sizeof(*intern->records));
	}
	intern->records[intern->len] = (struct record){intern->data_len, size, hash};
	memcpy(intern->data + intern->data_len, record, size);
	memset(intern->data + intern->data_len + size, 0, padded - size);
	intern->data_len += padded;
	return intern->len++;
}

uint32_t intern_put(struct intern *intern, const void *record, size_t size)
{
	return intern_put_hashed(intern, record, size, hash_of(record, size));
}

uint32_t intern_put_hashed(struct intern *intern, const void *record, size_t size, uint64_t hash)
{
	uint32_t slot = hash & intern->mask;
	uint32_t id;

	for (; intern->slots[slot]; slot = (slot + 1) & intern->mask) {
		const struct record *found = &intern->records[intern->slots[slot] - 1];

		if (found->hash == hash && found->size == size &&
		    !memcmp(intern->data + found->offset, record, size))
			return intern->slots[slot] - 1;
	}
	id = append(intern, record, size, hash);
	if (intern->len > intern->mask / 4 * 3)
		grow_slots(intern);
	else
		intern->slots[slot] = id + 1;
	return id;
}

const void *intern_get(const struct intern *intern, uint32_t id)
{
	return intern->data + intern->records[id].offset;
}

size_t intern_size(const struct intern *intern, uint32_t id)
{
	return intern->records[id].size;
}

uint32_t intern_len(const struct intern *intern)
{
	return intern->len;
}

void intern_cut(struct intern *intern, uint32_t len)
{
	if (len >= intern->len)
		return;
	intern->data_len = intern->records[len].offset;
	intern->len = len;
	memset(intern->slots, 0, (intern->mask + (size_t)1) * sizeof(*intern->slots));
	for (uint32_t id = 0; id < len; id++)
		place(intern, id);
}
