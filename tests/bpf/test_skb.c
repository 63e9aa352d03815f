// SPDX-License-Identifier: GPL-2.0-only
/*
 * What only an skb has: a VLAN tag beside the bytes, headers outside the linear part, and segments
 * that the stack holds together in more bytes than a length can say.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "tests/bpf/link.h"
#include "tests/bpf/recipes.h"
#include "tests/tagger.skel.h"

enum { OPEN = 443, SHUT = 22, TYPE_VLAN = 0x8100, TYPE_QINQ = 0x88a8 };

SCOPED(struct tagger *, tagger__destroy);

static const enum addr_family families[] = {ADDR_V4, ADDR_V6};
static const enum enforcer_program tc_programs[] = {ENFORCER_TC_IN, ENFORCER_TC_OUT};

static const char *judged(enum enforcer_program program, uint16_t port)
{
	if (port == OPEN)
		return wire_is_out(program) ? "wire/out" : "wire/in";
	return wire_is_out(program) ? "wire/DenyAllOutBound" : "wire/DenyAllInBound";
}

/* ---- tags ---- */

#define PASS 0xffffffffU /* TC_ACT_UNSPEC */
#define DROP 2U		 /* TC_ACT_SHOT */

/* The rule or reason at which a frame is counted that gets this many tags first. */
static const char *counted_tagged(struct scene *scene, const struct tagger *tagger,
				  const struct frame *frame)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame->bytes,
		    .data_size_in = (uint32_t)frame->size);
	struct bh_row by;

	cr_assert_eq(bpf_prog_test_run_opts(bpf_program__fd(tagger->progs.tagger), &opts), 0);
	cr_assert(opts.retval == PASS || opts.retval == DROP, "tags cannot be put on: %u",
		  opts.retval);
	return scene_counted(scene, &by);
}

/* A packet with tags in its bytes and tags that the stack puts on. */
static void check_tags(struct scene *scene, struct tagger *tagger, enum enforcer_program program,
		       uint32_t in_frame, uint32_t pushed, uint16_t port)
{
	uint32_t key = 0;
	int fd = enforcer_program_fd(scene->enforcer, program);
	const char *expected = in_frame + pushed > 2 ? "too-many-tags" : judged(program, port);

	cr_assert_eq(bpf_map_update_elem(bpf_map__fd(tagger->maps.next), &key, &fd, 0), 0);
	tagger->data->tag_type = pushed & 1 ? TYPE_VLAN : TYPE_QINQ;
	tagger->bss->n_tags = pushed;
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		struct frame frame = {};
		const char *counted;

		frame_start(&frame);
		for (uint32_t tag = 0; tag < in_frame; tag++)
			frame_tag(&frame, tag ? TYPE_VLAN : TYPE_QINQ);
		wire_tcp(&frame, families[i], wire_is_out(program), port);
		frame_finish(&frame);
		counted = counted_tagged(scene, tagger, &frame);
		cr_assert_str_eq(counted, expected, "%s, %u tags in the frame and %u more: %s",
				 wire_program_names[program], in_frame, pushed, counted);
	}
}

Test(skb, a_tag_beside_the_bytes_counts_as_one_and_the_port_is_found_behind_all)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);
	scoped(tagger__destroy) struct tagger *tagger = tagger__open_and_load();

	cr_assert_not_null(tagger);
	for (size_t i = 0; i < ARRAY_LEN(tc_programs); i++)
		for (uint32_t in_frame = 0; in_frame < 4; in_frame++)
			for (uint32_t pushed = 0; pushed < 4; pushed++) {
				check_tags(scene, tagger, tc_programs[i], in_frame, pushed, OPEN);
				check_tags(scene, tagger, tc_programs[i], in_frame, pushed, SHUT);
			}
}

/* ---- outside the linear part ---- */

/*
 * A ring of AF_PACKET: what is sent through it is an skb that has the Ethernet header in its linear
 * part and all else in pages.
 */
struct ring {
	int fd;
	uint8_t *memory;
	size_t size;
};

enum { RING_FRAME = 32768 };

static void ring_close(struct ring *ring)
{
	(void)munmap(ring->memory, ring->size);
	(void)close(ring->fd);
}

static struct ring ring_open(const char *link)
{
	struct ring ring = {.size = RING_FRAME};
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(link)};
	struct tpacket_req request = {.tp_block_size = RING_FRAME,
				      .tp_block_nr = 1,
				      .tp_frame_size = RING_FRAME,
				      .tp_frame_nr = 1};
	int version = TPACKET_V2;

	ring.fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	cr_assert_geq(ring.fd, 0);
	cr_assert_eq(setsockopt(ring.fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)), 0);
	cr_assert_eq(setsockopt(ring.fd, SOL_PACKET, PACKET_TX_RING, &request, sizeof(request)), 0);
	ring.memory = mmap(NULL, ring.size, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, 0);
	cr_assert_neq(ring.memory, MAP_FAILED);
	cr_assert_eq(bind(ring.fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return ring;
}

static void ring_send(const struct ring *ring, const struct frame *frame)
{
	struct tpacket2_hdr *header = (void *)ring->memory;

	memcpy(ring->memory + TPACKET2_HDRLEN - sizeof(struct sockaddr_ll), frame->bytes,
	       frame->size);
	header->tp_len = frame->size;
	__atomic_store_n(&header->tp_status, TP_STATUS_SEND_REQUEST, __ATOMIC_RELEASE);
	/* What is denied on the way out is told to the sender. */
	cr_assert(send(ring->fd, NULL, 0, 0) >= 0 || errno == ENOBUFS, "%s", strerror(errno));
}

/* A link d0 to p0 on which nobody else speaks, with a program at one end of it. */
static struct ring far_link(const struct scene *scene, enum enforcer_program program)
{
	link_namespace("ip link add d0 type veth peer name p0 && for link in d0 p0; do"
		       " sysctl -q net.ipv6.conf.$link.disable_ipv6=1 &&"
		       " ip link set $link up || exit; done");
	link_attach(scene, wire_is_out(program) ? "d0" : "p0", program);
	return ring_open("d0");
}

/* Sends a frame and yields until it was counted: where. */
static const char *counted_far(struct scene *scene, const struct ring *ring,
			       const struct frame *frame)
{
	uint64_t before = enforcer_total(scene->enforcer, 0).packets;
	struct bh_row by;

	ring_send(ring, frame);
	return link_counted(scene, before + 1) ? scene_counted(scene, &by) : "";
}

static bool is_linear_only(const struct recipe *recipe)
{
	return !strcmp(recipe->what, "a tag that is cut");
}

static void check_far(struct scene *scene, enum enforcer_program program, const struct ring *ring)
{
	for (size_t i = 0; i < n_recipes; i++) {
		enum addr_family family = recipes[i].families & RECIPE_V6 ? ADDR_V6 : ADDR_V4;
		struct frame frame = {};
		const char *near, *far;
		struct bh_row by;

		if (!(recipes[i].programs & 1U << program) || is_linear_only(&recipes[i]))
			continue;
		enforcer_forget(scene->enforcer);
		recipes[i].make(scene, program, family, &frame);
		(void)enforcer_run(scene->enforcer, program, frame.bytes, frame.size, NULL);
		near = scene_counted(scene, &by);
		far = counted_far(scene, ring, &frame);
		cr_assert_str_eq(far, near, "%s at %s: %s, and %s in linear bytes", recipes[i].what,
				 wire_program_names[program], far, near);
	}
}

static void check_ports_far(struct scene *scene, enum enforcer_program program,
			    const struct ring *ring)
{
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		for (int open = 0; open < 2; open++) {
			uint16_t port = open ? OPEN : SHUT;
			struct frame frame = {};

			wire_udp(&frame, families[i], wire_is_out(program), port);
			frame_finish(&frame);
			cr_assert_str_eq(counted_far(scene, ring, &frame), judged(program, port));
		}
	}
}

static void headers_in_pages(enum enforcer_program program)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);
	struct ring ring = far_link(scene, program);

	scene_apply(scene, NULL, wire_https);
	check_ports_far(scene, program, &ring);
	scene_apply(scene, NULL, wire_open);
	check_far(scene, program, &ring);
	ring_close(&ring);
}

Test(skb, headers_outside_the_linear_part_are_read_on_the_way_in)
{
	headers_in_pages(ENFORCER_TC_IN);
}

Test(skb, headers_outside_the_linear_part_are_read_on_the_way_out)
{
	headers_in_pages(ENFORCER_TC_OUT);
}

/* ---- segments held together ---- */

enum { HOP_BY_HOP = 0, JUMBO = 0xc2 };

/* TCP of which no length tells how long it is; with the header in front that older stacks put there. */
static void make_big(struct frame *frame, enum addr_family family, bool out, bool jumbo_header,
		     uint16_t port)
{
	*frame = (struct frame){};
	wire_ip(frame, family, out);
	if (jumbo_header)
		frame_extension(frame, HOP_BY_HOP, "\xc2\x4\0\1\x11\x70", 6);
	frame_tcp(frame, 40000, port, FRAME_TCP_ACK);
	frame_zeros(frame, 2800);
	frame_finish(frame);
	frame_put16(frame, frame->ip_at + (family == ADDR_V4 ? 2 : 4), 0);
}

static void check_big(struct scene *scene, enum enforcer_program program, const struct frame *frame,
		      const char *verdict, const char *counted)
{
	const struct enforcer_context context = {.gso_size = 1400, .gso_segments = 2};
	const char *answer = wire_answer(scene, program, frame, &context);

	cr_assert_str_eq(answer, arena_printf(scene->loaded.arena, "%s %s", verdict, counted));
}

Test(skb, tcp_of_more_than_64_kilobytes_is_judged_where_the_stack_holds_it_together)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);
	struct frame frame;

	for (size_t i = 0; i < ARRAY_LEN(tc_programs); i++) {
		enum enforcer_program program = tc_programs[i];
		bool out = wire_is_out(program);

		for (int jumbo = 0; jumbo < 2; jumbo++) {
			make_big(&frame, ADDR_V6, out, jumbo, OPEN);
			check_big(scene, program, &frame, "allow", judged(program, OPEN));
			wire_expect(scene, program, &frame, "deny jumbogram", "from a wire");
			make_big(&frame, ADDR_V6, out, jumbo, SHUT);
			check_big(scene, program, &frame, "deny", judged(program, SHUT));
		}
		make_big(&frame, ADDR_V4, out, false, OPEN);
		check_big(scene, program, &frame, "allow", judged(program, OPEN));
		wire_expect(scene, program, &frame, "deny bad-length", "from a wire");
		make_big(&frame, ADDR_V4, out, false, SHUT);
		check_big(scene, program, &frame, "deny", judged(program, SHUT));
	}
}

enum { PROTO_UDP = 17, FRAGMENT_ID = 7, FIRST_SIZE = 64 };

/* The first fragment of a datagram, or the second one. */
static void make_fragment(struct frame *frame, enum addr_family family, bool out, bool later)
{
	*frame = (struct frame){};
	wire_ip(frame, family, out);
	frame_fragment(frame, FRAGMENT_ID, later ? FIRST_SIZE : 0, !later);
	if (later)
		frame_protocol(frame, PROTO_UDP);
	else
		frame_udp(frame, 40000, OPEN);
	frame_zeros(frame, later ? 32 : FIRST_SIZE - 8);
	frame_finish(frame);
}

/* The stack would cut it anew behind the hook, with a first fragment that nobody has judged. */
Test(skb, no_fragment_is_several_segments_held_together)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_open);
	struct frame frame;

	for (size_t i = 0; i < ARRAY_LEN(tc_programs) * ARRAY_LEN(families); i++) {
		enum enforcer_program program = tc_programs[i / ARRAY_LEN(families)];
		enum addr_family family = families[i % ARRAY_LEN(families)];

		for (int later = 0; later < 2; later++) {
			make_fragment(&frame, family, wire_is_out(program), later);
			wire_expect(scene, program, &frame,
				    arena_printf(scene->arena, "allow %s", judged(program, OPEN)),
				    "one by one");
			check_big(scene, program, &frame, "deny", "bad-length");
		}
	}
}

/* Of other protocols the stack makes none. */
Test(skb, udp_without_a_length_is_denied_even_where_it_is_held_together)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_open);

	for (size_t i = 0; i < ARRAY_LEN(tc_programs); i++) {
		bool out = wire_is_out(tc_programs[i]);
		struct frame frame = {};

		wire_udp(&frame, ADDR_V4, out, OPEN);
		frame_finish(&frame);
		frame_put16(&frame, frame.ip_at + 2, 0);
		check_big(scene, tc_programs[i], &frame, "deny", "bad-length");
		frame = (struct frame){};
		wire_udp(&frame, ADDR_V6, out, OPEN);
		frame_finish(&frame);
		frame_put16(&frame, frame.ip_at + 4, 0);
		check_big(scene, tc_programs[i], &frame, "deny", "jumbogram");
	}
}
