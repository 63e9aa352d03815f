// SPDX-License-Identifier: GPL-2.0-only
/* Described packets, dressed up. */
#include "tests/lib/dress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TYPE_TAG = 0x8100,
	TYPE_SERVICE_TAG = 0x88a8,
	HOP_BY_HOP = 0,
	ROUTING = 43,
	FRAGMENT = 44,
	DESTINATION = 60,
	PROTO_TCP = 6,
	BLOCKS_MAX = 180, /* BPF_PROG_RUN takes about 3 KB */
	LATER_OFFSET = 1480,
	LAST_OFFSET = 40000, /* behind any header */
};

static bool has_extension(const struct dress *dress, uint8_t type)
{
	for (int i = 0; i < dress->n_extensions; i++)
		if (dress->extension[i] == type)
			return true;
	return false;
}

/* Hop-by-hop stands first or nowhere, a fragment header once. */
static void draw_extensions(struct rng *rng, struct dress *dress, bool fragment)
{
	static const uint8_t types[] = {ROUTING, DESTINATION, DESTINATION, FRAGMENT};
	int n = rng_chance(rng, 30) ? 0 : 1 + (int)rng_below(rng, DRESS_EXTENSIONS_MAX);
	uint32_t room = BLOCKS_MAX;

	for (int i = 0; i < n; i++) {
		uint8_t type = types[rng_below(rng, ARRAY_LEN(types))];

		if (!i && rng_chance(rng, 40))
			type = HOP_BY_HOP;
		if (type == FRAGMENT && has_extension(dress, FRAGMENT))
			type = DESTINATION;
		if (room > 4 && rng_chance(rng, 30))
			dress->n_blocks[i] = rng_below(rng, rng_chance(rng, 20) ? room : 4);
		room -= dress->n_blocks[i];
		dress->extension[dress->n_extensions++] = type;
	}
	if (!fragment || has_extension(dress, FRAGMENT))
		return;
	if (dress->n_extensions == DRESS_EXTENSIONS_MAX)
		dress->n_extensions--;
	dress->extension[dress->n_extensions++] = FRAGMENT;
}

struct dress dress_draw(struct rng *rng, const struct tuple *tuple)
{
	struct dress dress = {.id = (uint32_t)rng_next(rng), .seed = rng_next(rng)};

	dress.n_tags = rng_chance(rng, 60) ? 0 : 1 + rng_below(rng, 2);
	dress.first = !tuple->fragment && rng_chance(rng, 20);
	dress.payload = rng_chance(rng, 50) ? 0 : rng_below(rng, 1200);
	if (dress.first)
		dress.payload = dress.payload / 8 * 8;
	dress.padding = rng_chance(rng, 70) ? 0 : rng_below(rng, 50);
	if (tuple->source.family == ADDR_V6)
		draw_extensions(rng, &dress, tuple->fragment || dress.first);
	else if (rng_chance(rng, 40))
		dress.n_options = 4 * rng_below(rng, DRESS_OPTIONS_MAX / 4 + 1);
	if (tuple->protocol == PROTO_TCP && rng_chance(rng, 50))
		dress.n_tcp_options = (uint8_t)rng_below(rng, 11);
	dress.tcp_flags = rng_below(rng, 256) &
			  ~(FRAME_TCP_FIN | FRAME_TCP_SYN | FRAME_TCP_RST | FRAME_TCP_ACK);
	return dress;
}

/* Record route, timestamp, router alert, an unknown one, paddings; behind an end what it likes. */
static size_t draw_option4(struct rng *rng, uint8_t *at, size_t room)
{
	static const uint8_t types[] = {7, 68, 148, 0x9e, 1, 1, 0};
	uint8_t type = types[rng_below(rng, ARRAY_LEN(types))];
	size_t len;

	at[0] = type;
	if (type == 1)
		return 1;
	if (type == 0) {
		memset(at + 1, 131, room - 1); /* source routing, were it not behind the end */
		return room;
	}
	if (room < 2) {
		at[0] = 1;
		return 1;
	}
	len = 2 + rng_below(rng, (uint32_t)room - 1);
	at[1] = (uint8_t)len;
	for (size_t i = 2; i < len; i++)
		at[i] = (uint8_t)rng_next(rng);
	return len;
}

static void add_options4(struct frame *frame, const struct dress *dress)
{
	uint8_t options[DRESS_OPTIONS_MAX] = {};
	struct rng rng = {dress->seed};
	size_t at = 0;

	while (at < dress->n_options)
		at += draw_option4(&rng, options + at, dress->n_options - at);
	if (dress->n_options)
		frame_options(frame, options, dress->n_options);
}

/* Options that any host skips, PadN and unknown ones, and Pad1 for a last byte. */
static void add_options6(struct frame *frame, uint8_t type, struct rng *rng, size_t size)
{
	uint8_t body[2048];
	size_t at = 0;

	while (at < size) {
		size_t room = size - at;
		size_t len;

		if (room < 2) {
			body[at++] = 0;
			continue;
		}
		if (room > 257)
			len = 100 + rng_below(rng, 156);
		else
			len = rng_chance(rng, 50) ? 0 : room - 2;
		body[at] = rng_chance(rng, 50) ? 1 : 0x1e;
		body[at + 1] = (uint8_t)len;
		for (size_t i = 0; i < len; i++)
			body[at + 2 + i] = (uint8_t)rng_next(rng);
		at += 2 + len;
	}
	frame_extension(frame, type, body, size);
}

static void add_routing(struct frame *frame, struct rng *rng, size_t size)
{
	uint8_t body[2048];

	for (size_t i = 0; i < size; i++)
		body[i] = (uint8_t)rng_next(rng);
	body[0] = rng_below(rng, 5);
	body[1] = 0; /* segments left */
	frame_extension(frame, ROUTING, body, size);
}

/* Up to, and with, the fragment header when that is all that is wanted. */
static void add_extensions(struct frame *frame, const struct dress *dress, uint32_t offset,
			   bool more)
{
	struct rng rng = {dress->seed};

	if ((offset || more) && !has_extension(dress, FRAGMENT))
		frame_fragment(frame, dress->id, offset, more);
	for (int i = 0; i < dress->n_extensions; i++) {
		size_t size = 6 + dress->n_blocks[i] * (size_t)8;
		uint8_t type = dress->extension[i];

		if (type == FRAGMENT)
			frame_fragment(frame, dress->id, offset, more);
		else if (type == ROUTING)
			add_routing(frame, &rng, size);
		else
			add_options6(frame, type, &rng, size);
		if (type == FRAGMENT && offset)
			return;
	}
}

static void add_network(struct frame *frame, const struct tuple *tuple, const struct dress *dress,
			uint32_t offset, bool more)
{
	frame_start(frame);
	for (int i = 0; i < dress->n_tags; i++)
		frame_tag(frame, i || dress->n_tags == 1 ? TYPE_TAG : TYPE_SERVICE_TAG);
	frame_ip(frame, &tuple->source, &tuple->destination, frame_hop_limit(tuple));
	if (tuple->source.family == ADDR_V6) {
		add_extensions(frame, dress, offset, more);
		return;
	}
	add_options4(frame, dress);
	if (offset || more)
		frame_fragment(frame, dress->id, offset, more);
}

/* The header that the tuple speaks of, with what may stand behind it. */
static void add_upper(struct frame *frame, const struct tuple *tuple, const struct dress *dress,
		      uint8_t tcp_flags)
{
	static const uint8_t payload[2048] = "what nobody looks at";
	size_t len;

	frame_upper(frame, tuple, tcp_flags | dress->tcp_flags);
	if (frame->protocol == PROTO_TCP && !tuple->fragment) {
		frame->bytes[frame->l4_at + 12] += dress->n_tcp_options << 4;
		frame_zeros(frame, (size_t)dress->n_tcp_options * 4);
	}
	frame_payload(frame, payload, dress->payload);
	len = frame->size - frame->l4_at;
	if (dress->first)
		frame_zeros(frame, (len + 7) / 8 * 8 - len);
}

void dress_frame(struct frame *frame, const struct tuple *tuple, const struct dress *dress,
		 uint8_t tcp_flags)
{
	add_network(frame, tuple, dress, tuple->fragment ? LATER_OFFSET : 0, dress->first);
	add_upper(frame, tuple, dress, tcp_flags);
	frame_finish(frame);
	frame_zeros(frame, dress->padding);
}

void dress_later(struct frame *frame, const struct tuple *tuple, const struct dress *dress)
{
	uint8_t next = tuple->protocol;
	int i = 0;

	add_network(frame, tuple, dress, LAST_OFFSET, false);
	while (i < dress->n_extensions && dress->extension[i] != FRAGMENT)
		i++;
	if (i + 1 < dress->n_extensions)
		next = dress->extension[i + 1];
	frame_protocol(frame, next);
	frame_zeros(frame, 64);
	frame_finish(frame);
}

const char *dress_print(const struct dress *dress, char *buffer)
{
	FILE *out = fmemopen(buffer, DRESS_TEXT_SIZE, "w");

	if (!out)
		abort();
	fprintf(out, "%u tags, %u bytes of options,", dress->n_tags, dress->n_options);
	for (int i = 0; i < dress->n_extensions; i++)
		fprintf(out, " extension %d of %d,", dress->extension[i],
			8 + dress->n_blocks[i] * 8);
	fprintf(out, "%s %u words of tcp options, payload %u, padding %u",
		dress->first ? " first fragment," : "", dress->n_tcp_options, dress->payload,
		dress->padding);
	fclose(out);
	buffer[DRESS_TEXT_SIZE - 1] = '\0';
	return buffer;
}
