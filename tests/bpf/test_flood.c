// SPDX-License-Identifier: GPL-2.0-only
/*
 * A hundred thousand established flows under floods from forged addresses: none is lost, and new
 * connections still come about. Time moves as it would at half a million packets a second.
 */
#include <criterion/criterion.h>

#include <string.h>

#include "tests/bpf/scene.h"

enum {
	WAYS = 262144,
	FLOWS = 100000,
	FLOOD = 250000,	    /* packets of one kind: the half-open table four times over */
	PER_TICK = 64000,   /* packets in 128 ms */
	ROUND_TRIP = 10000, /* packets: 20 ms */
	CONNECTIONS = 20,   /* at a time, while one kind of flood lasts */
	TRIES = 3,	    /* SYNs of one connection */
};

enum { PROTO_TCP = 6, PROTO_UDP = 17 };

/* ---- packets that differ in the other end's address and port alone ---- */

struct template
{
	struct frame frame;
	enum enforcer_program program;
	bool out;
};

/* Which packets a flow consists of; the remote end is filled in by send. */
enum packet {
	PACKET_SYN,
	PACKET_SYN_ACK,
	PACKET_ACK,
	PACKET_DATA,
	PACKET_REPLY,
	PACKET_RST,
	PACKET_QUERY,
	PACKET_ANSWER,
	PACKET_COUNT,
	PACKET_NONE = PACKET_COUNT, /* a round trip passes */
};

struct world {
	struct scene *scene;
	struct template packets[PACKET_COUNT];
	uint64_t n_sent;
};

static void make_packet(struct world *world, enum packet packet, uint8_t protocol, bool reply,
			uint8_t flags)
{
	struct template *template = &world->packets[packet];
	const struct subject subject = {ADDR_V4, protocol, false, false, 0};
	struct tuple tuple = subject_opener(&subject);

	if (reply)
		tuple = tuple_turn(&tuple);
	frame_of_tuple(&template->frame, &tuple, flags);
	template->program = reply ? ENFORCER_TC_OUT : ENFORCER_XDP;
	template->out = reply;
}

static void make_packets(struct world *world)
{
	make_packet(world, PACKET_SYN, PROTO_TCP, false, FRAME_TCP_SYN);
	make_packet(world, PACKET_SYN_ACK, PROTO_TCP, true, FRAME_TCP_SYN | FRAME_TCP_ACK);
	make_packet(world, PACKET_ACK, PROTO_TCP, false, FRAME_TCP_ACK);
	make_packet(world, PACKET_DATA, PROTO_TCP, false, FRAME_TCP_PSH | FRAME_TCP_ACK);
	make_packet(world, PACKET_REPLY, PROTO_TCP, true, FRAME_TCP_PSH | FRAME_TCP_ACK);
	make_packet(world, PACKET_RST, PROTO_TCP, true, FRAME_TCP_RST);
	make_packet(world, PACKET_QUERY, PROTO_UDP, false, 0);
	make_packet(world, PACKET_ANSWER, PROTO_UDP, true, 0);
}

/* remote: the low half is the peer's address within its /16, the high half is added to its port. */
static bool send(struct world *world, enum packet packet, uint32_t remote)
{
	struct template *template = &world->packets[packet];
	size_t address = template->frame.ip_at + (template->out ? 18 : 14);
	size_t port = template->frame.l4_at + (template->out ? 2 : 0);

	frame_put16(&template->frame, address, remote & 0xffff);
	frame_put16(&template->frame, port, 1024 + (remote >> 16));
	if (++world->n_sent % PER_TICK == 0)
		enforcer_advance(world->scene->enforcer, 128);
	return enforcer_run(world->scene->enforcer, template->program, template->frame.bytes,
			    template->frame.size, NULL);
}

/* ---- the flows that must live ---- */

static void establish(struct world *world)
{
	static const enum packet handshake[] = {PACKET_SYN, PACKET_SYN_ACK, PACKET_ACK,
						PACKET_REPLY};

	for (uint32_t i = 0; i < FLOWS; i++)
		for (size_t step = 0; step < 4; step++)
			cr_assert(send(world, handshake[step], i), "flow %u, step %zu", i, step);
}

static void check_alive(struct world *world, const char *when)
{
	uint32_t lost = 0;

	for (uint32_t i = 0; i < FLOWS; i++)
		lost += !send(world, PACKET_REPLY, i);
	cr_expect_eq(lost, 0, "%s: %u of %d established flows are lost", when, lost, FLOWS);
}

/* ---- floods ---- */

static void flood_syn(struct world *world, uint32_t remote)
{
	cr_expect(send(world, PACKET_SYN, remote));
	(void)send(world, PACKET_SYN_ACK, remote);
}

static void flood_ack(struct world *world, uint32_t remote)
{
	cr_expect(send(world, PACKET_ACK, remote));
	(void)send(world, PACKET_RST, remote);
}

static void flood_udp(struct world *world, uint32_t remote)
{
	cr_expect(send(world, PACKET_QUERY, remote));
	cr_expect(send(world, PACKET_ANSWER, remote));
}

/* ---- connections that begin during a flood ---- */

/* A round trip passes behind the host, or before it: what it opens looks like that. */
static const enum packet near_server[] = {PACKET_SYN, PACKET_SYN_ACK, PACKET_NONE, PACKET_ACK,
					  PACKET_REPLY};
static const enum packet far_server[] = {PACKET_SYN, PACKET_NONE, PACKET_SYN_ACK,
					 PACKET_ACK, PACKET_NONE, PACKET_REPLY};

struct connection {
	const enum packet *packets;
	size_t n_packets;
	size_t step;
	uint64_t due;	 /* when the round trip is over */
	uint32_t remote; /* 0: not begun */
	uint32_t tries;
};

static bool is_up(const struct connection *connection)
{
	return connection->step == connection->n_packets;
}

/* Sends what is due. Where a packet is denied, the client begins again a round trip later. */
static void go_on(struct world *world, struct connection *connection)
{
	while (!is_up(connection) && world->n_sent >= connection->due) {
		enum packet packet = connection->packets[connection->step];

		connection->tries += packet == PACKET_SYN;
		if (packet == PACKET_SYN && connection->tries > TRIES)
			return;
		if (packet == PACKET_NONE || !send(world, packet, connection->remote))
			connection->due = world->n_sent + ROUND_TRIP;
		if (packet != PACKET_NONE && connection->due > world->n_sent)
			connection->step = 0;
		else
			connection->step++;
	}
}

static struct connection connection_of(uint32_t number, uint32_t remote)
{
	bool far = number & 1;

	return (struct connection){
		.packets = far ? far_server : near_server,
		.n_packets = far ? ARRAY_LEN(far_server) : ARRAY_LEN(near_server),
		.remote = remote,
	};
}

typedef void flood_fn(struct world *world, uint32_t remote);

/* One kind of packets from ever other addresses, and connections that begin at even intervals. */
static void flood(struct world *world, flood_fn *one, uint32_t first, const char *name)
{
	struct connection connections[CONNECTIONS] = {};
	const uint32_t interval = FLOOD / 2 / CONNECTIONS;

	for (uint32_t i = 0; i < FLOOD; i++) {
		if (i % interval == 0 && i / interval < CONNECTIONS)
			connections[i / interval] =
				connection_of(i / interval, first + FLOOD + i / interval);
		for (uint32_t c = 0; i % 100 == 0 && c < CONNECTIONS; c++)
			go_on(world, &connections[c]);
		one(world, first + i);
	}
	for (uint32_t c = 0; c < CONNECTIONS; c++)
		cr_expect(connections[c].remote && is_up(&connections[c]),
			  "%s: connection %u does not come about", name, c);
	check_alive(world, name);
}

/*
 * Whoever answers makes streams of forged queries that come twice: they hold half of the ways at
 * most.
 */
static void flood_streams(struct world *world, uint32_t first)
{
	const uint32_t n = 50000; /* as many as the half-open table has not pushed out */

	for (uint32_t i = 0; i < n; i++)
		flood_udp(world, first + i);
	scene_wait(world->scene, 3);
	for (uint32_t i = 0; i < n; i++)
		flood_udp(world, first + i);
}

Test(flood, no_established_flow_is_lost_and_new_connections_come_about)
{
	if (!enforcer_is_possible())
		cr_skip_test("loading programs needs root");
	scoped(scene_free) struct scene *scene = scene_new();
	scoped(free) struct world *world = mem_calloc(1, sizeof(*world));
	uint32_t first = 1 << 20;

	world->scene = scene;
	scene_apply(scene, "bulkhead: 1\ntables: {flows: 262144}\n", scene_policy);
	make_packets(world);
	establish(world);
	cr_expect_eq(enforcer_note(scene->enforcer, BH_NOTE_ESTABLISHED_FULL), 0,
		     "%llu flows found no established way",
		     (unsigned long long)enforcer_note(scene->enforcer, BH_NOTE_ESTABLISHED_FULL));
	flood(world, flood_syn, first, "SYN");
	flood(world, flood_ack, first + (1 << 20), "ACK");
	flood(world, flood_udp, first + (2 << 20), "UDP");
	for (uint32_t i = 3; i < 6; i++)
		flood_streams(world, first + (i << 20));
	check_alive(world, "streams");
	cr_expect_leq(flows_count(scene->enforcer, scene_config(scene), BH_TABLE_ESTABLISHED4),
		      FLOWS + 3 * CONNECTIONS + WAYS / 2);
	cr_expect(enforcer_note(scene->enforcer, BH_NOTE_ESTABLISHED_FULL),
		  "the streams did not fill their half");
	cr_expect(enforcer_note(scene->enforcer, BH_NOTE_HALF_OPEN_EVICTED) > FLOOD);
}
