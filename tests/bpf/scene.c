// SPDX-License-Identifier: GPL-2.0-only
/* One enforcer, its policies, and flows between the host and its peers. */
#include "tests/bpf/scene.h"

#include <criterion/criterion.h>

#include "classify/build.h"

enum { PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_ICMPV6 = 58, PROTO_SCTP = 132 };
enum { ECHO_REQUEST4 = 8, ECHO_REQUEST6 = 128 };

/* Peers: 10.1, 10.2, 10.3 and 2001:db8:1, :2, :3. The host is 10.0.0.1 and 2001:db8::1. */
#define PEERS                                          \
	"sets:\n"                                      \
	"  in: [10.1.0.0/16, \"2001:db8:1::/48\"]\n"   \
	"  both: [10.2.0.0/16, \"2001:db8:2::/48\"]\n" \
	"  out: [10.3.0.0/16, \"2001:db8:3::/48\"]\n"

#define RULES(access)                                                                              \
	"rules:\n"                                                                                 \
	"  - {name: in, priority: 100, direction: inbound, access: " access ", protocol: any,\n"   \
	"     source: [in, both], destination: any}\n"                                             \
	"  - {name: out, priority: 100, direction: outbound, access: " access ", protocol: any,\n" \
	"     source: any, destination: [out, both]}\n"

enum { PEER_IN = 1, PEER_BOTH = 2, PEER_OUT = 3 };

const char scene_policy[] = "bulkhead: 1\ngroup: scene\n" PEERS RULES("allow");

struct scene *scene_new(void)
{
	struct scene *scene = mem_calloc(1, sizeof(*scene));

	scene->arena = arena_new();
	scene->enforcer = enforcer_new();
	return scene;
}

void scene_free(struct scene *scene)
{
	if (!scene)
		return;
	if (scene->loaded.arena)
		unload(&scene->loaded);
	enforcer_free(scene->enforcer);
	arena_free(scene->arena);
	free(scene);
}

static void load_scene(struct scene *scene, const char *host, const char *policy)
{
	const struct build_limits limits = build_limits_default();
	struct loaded loaded;

	load_texts(&loaded, host ? host : SCENE_HOST, (const char *const[]){policy, NULL});
	cr_assert_eq(loaded.err, 0, "%s", loaded.messages);
	if (scene->loaded.arena)
		unload(&scene->loaded);
	scene->loaded = loaded;
	cr_assert_eq(build(loaded.arena, &scene->loaded.policy, NULL, 0, &limits, loaded.diag,
			   &scene->image),
		     0);
}

void scene_apply(struct scene *scene, const char *host, const char *policy)
{
	load_scene(scene, host, policy);
	enforcer_apply(scene->enforcer, &scene->image);
}

void scene_apply_apart(struct scene *scene, const char *host, const char *policy)
{
	load_scene(scene, host, policy);
	enforcer_apply_apart(scene->enforcer, &scene->image);
}

const char *scene_denying(struct scene *scene, const char *existing_flows, const char *mode)
{
	return arena_printf(
		scene->loaded.arena,
		"bulkhead: 1\ngroup: scene\nexisting_flows: %s\nmode: %s\n" PEERS RULES("deny"),
		existing_flows, mode);
}

static struct addr host_address(enum addr_family family)
{
	if (family == ADDR_V4)
		return addr_v4(0x0a000001);
	return (struct addr){.family = ADDR_V6, .bytes = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}};
}

static struct addr peer_address(const struct subject *subject)
{
	uint8_t peer = subject->both ? PEER_BOTH : subject->out ? PEER_OUT : PEER_IN;

	if (subject->family == ADDR_V4)
		return addr_v4(0x0a000000 | (uint32_t)peer << 16 | subject->number);
	return (struct addr){
		.family = ADDR_V6,
		.bytes = {0x20, 0x01, 0x0d, 0xb8, 0,
			  peer, [14] = subject->number >> 8, [15] = subject->number & 0xff},
	};
}

static bool has_ports(uint8_t protocol)
{
	return protocol == PROTO_TCP || protocol == PROTO_UDP || protocol == PROTO_SCTP;
}

struct tuple subject_opener(const struct subject *subject)
{
	struct tuple tuple = {
		.direction = subject->out ? DIRECTION_OUT : DIRECTION_IN,
		.protocol = subject->protocol,
		.source = subject->out ? host_address(subject->family) : peer_address(subject),
		.destination = subject->out ? peer_address(subject) : host_address(subject->family),
	};

	if (has_ports(subject->protocol)) {
		tuple.source_port = 40000;
		tuple.destination_port = 443;
	}
	if (subject->protocol == PROTO_ICMP)
		tuple.icmp_type = ECHO_REQUEST4;
	if (subject->protocol == PROTO_ICMPV6)
		tuple.icmp_type = ECHO_REQUEST6;
	return tuple;
}

bool scene_send_tuple(const struct scene *scene, const struct tuple *tuple, unsigned tcp_flags)
{
	bool out = tuple->direction == DIRECTION_OUT;
	struct frame frame;

	frame_of_tuple(&frame, tuple, tcp_flags);
	return enforcer_run(scene->enforcer, out ? ENFORCER_TC_OUT : ENFORCER_XDP, frame.bytes,
			    frame.size, NULL);
}

bool scene_send(const struct scene *scene, const struct subject *subject, bool reply,
		unsigned tcp_flags)
{
	struct tuple tuple = subject_opener(subject);

	if (reply)
		tuple = tuple_turn(&tuple);
	return scene_send_tuple(scene, &tuple, tcp_flags);
}

bool scene_entry(const struct scene *scene, const struct subject *subject,
		 struct flowtable_entry *ret_entry)
{
	struct tuple opener = subject_opener(subject);
	uint32_t n = flows_find(scene->enforcer, scene_config(scene), &opener, ret_entry);

	cr_assert(n < 2, "%u entries of one flow", n);
	return n;
}

const struct bh_config *scene_config(const struct scene *scene)
{
	return &image_head(&scene->image)->config;
}

void scene_wait(const struct scene *scene, uint32_t seconds)
{
	enforcer_advance(scene->enforcer, (uint64_t)seconds * 1000);
}

uint32_t scene_moment(const struct scene *scene)
{
	uint64_t tick = enforcer_jiffies(scene->enforcer) >> 7; /* a tick is 128 jiffies */

	return (uint32_t)(tick >> BH_OPENED_SHIFT) & BH_OPENED_MASK;
}

static const char *const reason_names[] = {
#define X(kind, constant, name) [BH_REASON_##constant] = (name),
	BH_REASONS(X)
#undef X
};

const char *scene_counted(struct scene *scene, struct bh_row *ret_by)
{
	const struct bh_outcome *outcome;
	uint32_t row = 0;

	if (!enforcer_changed(scene->enforcer, &row, ret_by))
		return "";
	if (row < BH_FIXED_ROWS)
		return reason_names[row / BH_DIRECTION_COUNT];
	outcome = image_outcome(&scene->image, row - BH_FIXED_ROWS);
	if (outcome->rule == BH_NO_RULE)
		return reason_names[outcome->reason];
	return policy_rule_path(scene->loaded.arena, &scene->loaded.policy, outcome->rule);
}
