// SPDX-License-Identifier: GPL-2.0-only
/*
 * The list of what is never a rule's business, under a policy that lets nothing pass: every entry
 * passes, what only looks like one does not, and each key of never_denied turns one entry off.
 */
#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <linux/mroute.h>
#include <net/if.h>

#include "tests/bpf/link.h"
#include "tests/bpf/wire.h"

#define NOTHING "bulkhead: 1\ngroup: wire\n"

#define RESERVED(last) "\x01\x80\xc2\0\0" last

enum { TCP = 6, UDP = 17, IGMP = 2, ICMPV6 = 58, HOP_BY_HOP = 0 };

/* A frame without IP, or a packet; what is not said is zero. */
struct shape {
	const char *to; /* six bytes; NULL: a station */
	uint16_t type;	/* no IP: Ethernet type, or length */
	const char *llc;
	const char *source; /* IP */
	const char *destination;
	uint8_t hop_limit; /* 0: 64 */
	uint8_t protocol;
	uint8_t icmp_type;
	uint8_t icmp_code;
	uint16_t source_port;
	uint16_t destination_port;
	uint16_t offset;   /* of a later fragment */
	bool router_alert; /* as hosts send MLD and IGMP */
	uint8_t n_tags;
};

static void upper(struct frame *frame, const struct shape *shape)
{
	if (shape->offset) {
		frame_protocol(frame, shape->protocol);
		frame_zeros(frame, 32);
	} else if (shape->protocol == ICMPV6 && frame->family == ADDR_V6) {
		frame_icmp(frame, shape->icmp_type, shape->icmp_code, 0);
		frame_zeros(frame, 24);
	} else if (shape->protocol == TCP) {
		frame_tcp(frame, shape->source_port, shape->destination_port, FRAME_TCP_SYN);
	} else if (shape->protocol == UDP) {
		frame_udp(frame, shape->source_port, shape->destination_port);
	} else {
		frame_protocol(frame, shape->protocol);
		frame_zeros(frame, 16);
	}
}

static void make(const struct shape *shape, struct frame *frame)
{
	struct addr source, destination;

	frame_start(frame);
	if (shape->to)
		frame_to(frame, (const uint8_t *)shape->to);
	for (int i = 0; i < shape->n_tags; i++)
		frame_tag(frame, 0x8100);
	if (shape->type) {
		frame_type(frame, shape->type);
		frame_payload(frame, shape->llc ? shape->llc : "", shape->llc ? 3 : 0);
		frame_zeros(frame, 46);
		return;
	}
	cr_assert_eq(addr_parse(str_of(shape->source), &source), 0);
	cr_assert_eq(addr_parse(str_of(shape->destination), &destination), 0);
	frame_ip(frame, &source, &destination, shape->hop_limit ? shape->hop_limit : 64);
	if (shape->router_alert && frame->family == ADDR_V4)
		frame_options(frame, "\x94\x4\0\0", 4);
	else if (shape->router_alert)
		frame_extension(frame, HOP_BY_HOP, "\x5\x2\0\0\x1\0", 6);
	if (shape->offset)
		frame_fragment(frame, 9, shape->offset, false);
	upper(frame, shape);
	frame_finish(frame);
}

#define ICMP(from, hops, kind, number)                                           \
	{                                                                        \
		.source = (from), .destination = "ff02::1", .hop_limit = (hops), \
		.protocol = ICMPV6, .icmp_type = (kind), .icmp_code = (number)   \
	}
#define ND(from, kind)	ICMP(from, 255, kind, 0)
#define MLD(from, kind) ICMP(from, 1, kind, 0)
#define PORTS(from, from_port, to, to_port, number)                                \
	{                                                                          \
		.source = (from), .source_port = (from_port), .destination = (to), \
		.destination_port = (to_port), .protocol = (number)                \
	}
#define UDP_PORTS(from, from_port, to, to_port) PORTS(from, from_port, to, to_port, UDP)
#define TO_PLATFORM(to, to_port, number)	PORTS("10.0.0.4", 40000, to, to_port, number)
#define OTHER(from, to, hops, number, behind)                                                     \
	{                                                                                         \
		.source = (from), .destination = (to), .hop_limit = (hops), .protocol = (number), \
		.offset = (behind)                                                                \
	}

/* ---- the entries ---- */

static const struct entry {
	enum bh_reason reason;
	enum hostconf_never key;
	unsigned programs;
	struct shape shape;
} entries[] = {
	{BH_REASON_ARP, NEVER_ARP, WIRE_ALL, {.type = 0x0806}},
	{BH_REASON_ARP, NEVER_ARP, WIRE_ALL, {.type = 0x0806, .to = "\xff\xff\xff\xff\xff\xff"}},
	{BH_REASON_ARP, NEVER_ARP, WIRE_ALL, {.type = 0x0806, .n_tags = 1}},
	{BH_REASON_ARP, NEVER_ARP, WIRE_ALL, {.type = 0x0806, .n_tags = 2}},
	{BH_REASON_ND, NEVER_ND, WIRE_ALL, ND("fe80::9", 133)},
	{BH_REASON_ND, NEVER_ND, WIRE_ALL, ND("fe80::9", 134)},
	{BH_REASON_ND, NEVER_ND, WIRE_ALL, ND("2001:db8:9::9", 135)},
	{BH_REASON_ND, NEVER_ND, WIRE_ALL, ND("2001:db8:9::9", 136)},
	{BH_REASON_ND, NEVER_ND, WIRE_ALL, ND("::", 135)},
	{BH_REASON_MLD, NEVER_MLD, WIRE_ALL, MLD("fe80::9", 130)},
	{BH_REASON_MLD, NEVER_MLD, WIRE_ALL, MLD("fe80::9", 131)},
	{BH_REASON_MLD, NEVER_MLD, WIRE_ALL, MLD("febf:ffff::9", 132)},
	{BH_REASON_MLD, NEVER_MLD, WIRE_ALL, MLD("::", 143)},
	{BH_REASON_MLD,
	 NEVER_MLD,
	 WIRE_ALL,
	 {.source = "fe80::9",
	  .destination = "ff02::16",
	  .hop_limit = 1,
	  .protocol = ICMPV6,
	  .icmp_type = 143,
	  .router_alert = true}},
	{BH_REASON_IGMP,
	 NEVER_IGMP,
	 WIRE_ALL,
	 {.source = "192.0.2.9", .destination = "224.0.0.1", .hop_limit = 1, .protocol = IGMP}},
	{BH_REASON_IGMP,
	 NEVER_IGMP,
	 WIRE_ALL,
	 {.source = "0.0.0.0",
	  .destination = "224.0.0.22",
	  .hop_limit = 1,
	  .protocol = IGMP,
	  .router_alert = true}},
	{BH_REASON_DHCP, NEVER_DHCP, WIRE_OUT, UDP_PORTS("0.0.0.0", 68, "255.255.255.255", 67)},
	{BH_REASON_DHCP, NEVER_DHCP, WIRE_OUT, UDP_PORTS("10.0.0.4", 68, "192.0.2.9", 67)},
	{BH_REASON_DHCP, NEVER_DHCP, WIRE_IN, UDP_PORTS("192.0.2.9", 67, "255.255.255.255", 68)},
	{BH_REASON_DHCP, NEVER_DHCP, WIRE_IN, UDP_PORTS("192.0.2.9", 67, "10.0.0.4", 68)},
	{BH_REASON_DHCPV6, NEVER_DHCPV6, WIRE_OUT, UDP_PORTS("fe80::4", 546, "ff02::1:2", 547)},
	{BH_REASON_DHCPV6, NEVER_DHCPV6, WIRE_IN, UDP_PORTS("fe80::9", 547, "fe80::4", 546)},
	{BH_REASON_EAPOL, NEVER_EAPOL, WIRE_ALL, {.type = 0x888e}},
	{BH_REASON_EAPOL, NEVER_EAPOL, WIRE_ALL, {.type = 0x888e, .to = RESERVED("\x03")}},
	{BH_REASON_SLOW, NEVER_SLOW, WIRE_ALL, {.type = 0x8809, .to = RESERVED("\x02")}},
	{BH_REASON_LLDP, NEVER_LLDP, WIRE_ALL, {.type = 0x88cc, .to = RESERVED("\x0e")}},
	{BH_REASON_LLDP, NEVER_LLDP, WIRE_ALL, {.type = 0x88cc, .to = RESERVED("\0")}},
	{BH_REASON_STP,
	 NEVER_STP,
	 WIRE_ALL,
	 {.type = 38, .to = RESERVED("\0"), .llc = "\x42\x42\x03"}},
	{BH_REASON_PLATFORM, NEVER_PLATFORM, WIRE_OUT, TO_PLATFORM("168.63.129.16", 53, UDP)},
	{BH_REASON_PLATFORM, NEVER_PLATFORM, WIRE_OUT, TO_PLATFORM("168.63.129.16", 53, TCP)},
	{BH_REASON_PLATFORM, NEVER_PLATFORM, WIRE_OUT, TO_PLATFORM("168.63.129.16", 80, TCP)},
	{BH_REASON_PLATFORM, NEVER_PLATFORM, WIRE_OUT, TO_PLATFORM("168.63.129.16", 32526, TCP)},
	{BH_REASON_PLATFORM, NEVER_PLATFORM, WIRE_OUT, TO_PLATFORM("169.254.169.254", 80, TCP)},
};

static const struct {
	const char *name;
	char kind; /* the first letter of it */
} reasons[BH_REASON_COUNT] = {
#define X(kind, constant, name) [BH_REASON_##constant] = {(name), #kind[0]},
	BH_REASONS(X)
#undef X
};

static const char *by_default_rule(enum enforcer_program program)
{
	return wire_is_out(program) ? "deny wire/DenyAllOutBound" : "deny wire/DenyAllInBound";
}

/* Sends a shape to each program of a set. */
static void expect(struct scene *scene, const struct shape *shape, unsigned programs,
		   const char *expected, const char *what)
{
	struct frame frame = {};

	make(shape, &frame);
	programs = wire_programs(scene, programs);
	for (int program = 0; program < ENFORCER_PROGRAM_COUNT; program++)
		if (programs & 1U << program)
			wire_expect(scene, program, &frame,
				    expected ? expected : by_default_rule(program), what);
}

static void expect_entry(struct scene *scene, const struct entry *entry)
{
	expect(scene, &entry->shape, entry->programs,
	       arena_printf(scene->loaded.arena, "allow %s", reasons[entry->reason].name),
	       reasons[entry->reason].name);
}

Test(never, every_entry_passes_whatever_the_rules_say)
{
	scoped(scene_free) struct scene *scene =
		wire_scene(SCENE_HOST "platform: azure\n", NOTHING);

	for (size_t i = 0; i < ARRAY_LEN(entries); i++)
		expect_entry(scene, &entries[i]);
}

/* The host's looped multicast cannot come by BPF_PROG_RUN; errors have a test of their own. */
Test(never, no_entry_is_left_out)
{
	for (int reason = 0; reason < BH_REASON_COUNT; reason++) {
		unsigned programs = 0;

		if (reasons[reason].kind != 'N' || reason == BH_REASON_LOOPBACK ||
		    reason == BH_REASON_ICMP_ERRORS)
			continue;
		for (size_t i = 0; i < ARRAY_LEN(entries); i++)
			if (entries[i].reason == (enum bh_reason)reason)
				programs |= entries[i].programs;
		cr_assert_eq(programs, reason == BH_REASON_PLATFORM ? WIRE_OUT : WIRE_ALL,
			     "%s is not tried at every hook", reasons[reason].name);
	}
}

/* ---- keys ---- */

/* Under a policy that lets everything pass, so that the rules are seen to judge. */
static void expect_off(struct scene *scene, const struct entry *entry)
{
	struct shape in = entry->shape;
	const char *what = reasons[entry->reason].name;

	if (in.type) {
		expect(scene, &in, entry->programs, "deny not-ip", what);
		return;
	}
	expect(scene, &in, entry->programs & WIRE_IN, "allow wire/in", what);
	expect(scene, &in, entry->programs & WIRE_OUT, "allow wire/out", what);
}

Test(never, each_key_turns_its_own_entry_off)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, NOTHING);

	for (int key = 0; key < NEVER_COUNT; key++) {
		const char *host =
			arena_printf(scene->loaded.arena,
				     SCENE_HOST "platform: azure\nnever_denied: {%s: false}\n",
				     hostconf_never_name(key));

		scene_apply(scene, host, wire_open);
		for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
			if (entries[i].key == (enum hostconf_never)key)
				expect_off(scene, &entries[i]);
			else
				expect_entry(scene, &entries[i]);
		}
	}
}

/* ---- near misses ---- */

static const struct miss {
	const char *what;
	unsigned programs;
	const char *expected; /* NULL: the default rule denies it */
	struct shape shape;
} misses[] = {
	{"RARP", WIRE_ALL, "deny not-ip", {.type = 0x8035}},
	{"ARP behind three tags", WIRE_ALL, "deny too-many-tags", {.type = 0x0806, .n_tags = 3}},
	/* source, hop limit, type, code */
	{"ND that was forwarded", WIRE_ALL, NULL, ICMP("fe80::9", 254, 135, 0)},
	{"ND with hop limit 1", WIRE_ALL, NULL, ICMP("fe80::9", 1, 135, 0)},
	{"ND with code 1", WIRE_ALL, NULL, ICMP("fe80::9", 255, 135, 1)},
	{"type 132 as ND", WIRE_ALL, NULL, ICMP("fe80::9", 255, 132, 0)},
	{"type 138 as ND", WIRE_ALL, NULL, ICMP("fe80::9", 255, 138, 0)},
	{"a redirect", WIRE_ALL, "deny icmp-redirect", ICMP("fe80::9", 255, 137, 0)},
	{"MLD that may be forwarded", WIRE_ALL, NULL, ICMP("fe80::9", 2, 130, 0)},
	{"MLD with hop limit 255", WIRE_ALL, NULL, ICMP("fe80::9", 255, 130, 0)},
	{"MLD from a global address", WIRE_ALL, NULL, ICMP("2001:db8:9::9", 1, 130, 0)},
	{"MLD from a site-local address", WIRE_ALL, NULL, ICMP("fec0::9", 1, 130, 0)},
	{"type 129 as MLD", WIRE_ALL, NULL, ICMP("fe80::9", 1, 129, 0)},
	{"type 142 as MLD", WIRE_ALL, NULL, ICMP("fe80::9", 1, 142, 0)},
	{"type 144 as MLD", WIRE_ALL, NULL, ICMP("fe80::9", 1, 144, 0)},
	/* source, destination, hop limit, protocol, offset */
	{"a later fragment of ND", WIRE_ALL, "deny fragment-unknown",
	 OTHER("fe80::9", "ff02::1", 255, ICMPV6, 24)},
	{"protocol 58 over IPv4", WIRE_ALL, NULL, OTHER("192.0.2.9", "10.0.0.4", 255, ICMPV6, 0)},
	{"IGMP that may be forwarded", WIRE_ALL, NULL, OTHER("192.0.2.9", "224.0.0.1", 2, IGMP, 0)},
	{"IGMP over IPv6", WIRE_ALL, NULL, OTHER("fe80::9", "ff02::1", 1, IGMP, 0)},
	{"a later fragment of IGMP", WIRE_ALL, "deny fragment-unknown",
	 OTHER("192.0.2.9", "224.0.0.1", 1, IGMP, 24)},
	{"a later fragment of DHCP", WIRE_IN, "deny fragment-unknown",
	 OTHER("192.0.2.9", "10.0.0.4", 64, UDP, 24)},
	{"an answer of a DHCP server", WIRE_OUT, NULL, UDP_PORTS("10.0.0.4", 67, "192.0.2.9", 68)},
	{"a question to a DHCP server", WIRE_IN, NULL, UDP_PORTS("192.0.2.9", 68, "10.0.0.4", 67)},
	{"one of a host without address", WIRE_IN, NULL,
	 UDP_PORTS("0.0.0.0", 68, "255.255.255.255", 67)},
	{"DHCP from another port", WIRE_IN, NULL, UDP_PORTS("192.0.2.9", 66, "10.0.0.4", 68)},
	{"DHCP to another port", WIRE_IN, NULL, UDP_PORTS("192.0.2.9", 67, "10.0.0.4", 69)},
	{"DHCP over IPv6", WIRE_IN, NULL, UDP_PORTS("fe80::9", 67, "fe80::4", 68)},
	{"DHCP over TCP", WIRE_IN, NULL, PORTS("192.0.2.9", 67, "10.0.0.4", 68, TCP)},
	{"a question to a DHCPv6 server", WIRE_IN, NULL, UDP_PORTS("fe80::9", 546, "fe80::4", 547)},
	{"an answer of a DHCPv6 server", WIRE_OUT, NULL, UDP_PORTS("fe80::4", 547, "fe80::9", 546)},
	{"DHCPv6 over IPv4", WIRE_IN, NULL, UDP_PORTS("192.0.2.9", 547, "10.0.0.4", 546)},
	{"the type above EAPOL", WIRE_ALL, "deny not-ip", {.type = 0x888f}},
	{"slow protocols to a station", WIRE_ALL, "deny not-ip", {.type = 0x8809}},
	{"to an address that bridges forward",
	 WIRE_ALL,
	 "deny not-ip",
	 {.type = 0x8809, .to = RESERVED("\x10")}},
	{"LLDP to a station", WIRE_ALL, "deny not-ip", {.type = 0x88cc}},
	{"STP to a station", WIRE_ALL, "deny not-ip", {.type = 38, .llc = "\x42\x42\x03"}},
	{"another LLC",
	 WIRE_ALL,
	 "deny not-ip",
	 {.type = 38, .to = RESERVED("\0"), .llc = "\x42\x43\x03"}},
	{"a type and no length",
	 WIRE_ALL,
	 "deny not-ip",
	 {.type = 0x0600, .to = RESERVED("\0"), .llc = "\x42\x42\x03"}},
	{"another port of the platform", WIRE_OUT, NULL, TO_PLATFORM("168.63.129.16", 8037, TCP)},
	{"its port 80 by UDP", WIRE_OUT, NULL, TO_PLATFORM("168.63.129.16", 80, UDP)},
	{"the address above", WIRE_OUT, NULL, TO_PLATFORM("168.63.129.17", 80, TCP)},
	{"DNS of the metadata service", WIRE_OUT, NULL, TO_PLATFORM("169.254.169.254", 53, TCP)},
	{"from the platform", WIRE_IN, NULL, PORTS("168.63.129.16", 40000, "10.0.0.4", 80, TCP)},
	{"to the platform from outside", WIRE_IN, NULL,
	 PORTS("192.0.2.9", 40000, "168.63.129.16", 80, TCP)},
};

Test(never, what_only_looks_like_an_entry_is_judged)
{
	scoped(scene_free) struct scene *scene =
		wire_scene(SCENE_HOST "platform: azure\n", NOTHING);

	for (size_t i = 0; i < ARRAY_LEN(misses); i++)
		expect(scene, &misses[i].shape, misses[i].programs, misses[i].expected,
		       misses[i].what);
}

/* From :: comes only what genuine ND and MLD may send. */
Test(never, the_unspecified_source_is_a_martian_where_it_is_no_entry)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, NOTHING);
	struct shape nd = ND("::", 135), mld = MLD("::", 143);
	struct shape igmp = {
		.source = "0.0.0.0", .destination = "224.0.0.1", .hop_limit = 2, .protocol = IGMP};

	nd.hop_limit = 254;
	mld.hop_limit = 2;
	expect(scene, &nd, WIRE_IN, "deny martian-source", "ND");
	expect(scene, &mld, WIRE_IN, "deny martian-source", "MLD");
	expect(scene, &igmp, WIRE_IN, "deny martian-source", "IGMP");
	expect(scene, &nd, WIRE_OUT, NULL, "ND");
}

/* ---- the platform ---- */

Test(never, without_platform_azure_its_addresses_are_judged)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, NOTHING);

	for (size_t i = 0; i < ARRAY_LEN(entries); i++)
		if (entries[i].reason == BH_REASON_PLATFORM)
			expect(scene, &entries[i].shape, WIRE_OUT, NULL, "platform");
}

Test(never, answers_of_the_platform_pass_by_state_and_count_with_it)
{
	scoped(scene_free) struct scene *scene =
		wire_scene(SCENE_HOST "platform: azure\n", NOTHING);
	const struct shape query = TO_PLATFORM("168.63.129.16", 53, UDP);
	const struct shape answer = UDP_PORTS("168.63.129.16", 53, "10.0.0.4", 40000);

	expect(scene, &answer, WIRE_IN, NULL, "an answer to nothing");
	expect(scene, &query, WIRE_OUT, "allow platform", "a query");
	expect(scene, &answer, WIRE_IN, "allow platform reply", "its answer");
}

/* ---- the host's own looped multicast ---- */

/* Forwards multicast of the group from link d0 to d1. */
static int multicast_router(const char *origin, const char *group)
{
	struct mfcctl route = {.mfcc_parent = 0, .mfcc_ttls = {[1] = 1}};
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IGMP);
	int version = 1;

	cr_assert_geq(fd, 0);
	if (setsockopt(fd, IPPROTO_IP, MRT_INIT, &version, sizeof(version)))
		return -1;
	for (vifi_t i = 0; i < 2; i++) {
		struct vifctl vif = {.vifc_vifi = i,
				     .vifc_flags = VIFF_USE_IFINDEX,
				     .vifc_threshold = 1,
				     .vifc_lcl_ifindex = (int)if_nametoindex(i ? "d1" : "d0")};

		cr_assert_eq(setsockopt(fd, IPPROTO_IP, MRT_ADD_VIF, &vif, sizeof(vif)), 0);
	}
	cr_assert_eq(inet_pton(AF_INET, origin, &route.mfcc_origin), 1);
	cr_assert_eq(inet_pton(AF_INET, group, &route.mfcc_mcastgrp), 1);
	cr_assert_eq(setsockopt(fd, IPPROTO_IP, MRT_ADD_MFC, &route, sizeof(route)), 0);
	return fd;
}

static void send_multicast(const char *group)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(5000)};
	struct ip_mreqn link = {.imr_ifindex = (int)if_nametoindex("d0")};
	scoped(close) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int ttl = 4;

	cr_assert_eq(inet_pton(AF_INET, group, &to.sin_addr), 1);
	cr_assert_eq(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &link, sizeof(link)), 0);
	cr_assert_eq(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof(ttl)), 0);
	cr_assert_eq(sendto(fd, "hello", 5, 0, (struct sockaddr *)&to, sizeof(to)), 5);
}

static uint64_t packets_of(const struct scene *scene, enum bh_reason reason,
			   enum bh_direction direction)
{
	return enforcer_row(scene->enforcer, 0, enforcer_reason_row(reason, direction)).packets;
}

/*
 * The copy that the stack makes for its own sockets comes back without an Ethernet header, and passes.
 * A router sends it on through another link: there it is an ordinary frame that is judged.
 */
Test(never, the_looped_multicast_of_the_host_passes_and_what_is_routed_of_it_is_judged)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, NOTHING);

	link_namespace(
		"ip link add d0 type veth peer name p0 && ip link add d1 type veth peer name p1 &&"
		" ip addr add 10.9.0.1/24 dev d0 && ip addr add 10.9.1.1/24 dev d1 &&"
		" for link in d0 p0 d1 p1; do ip link set $link up || exit; done");
	link_attach(scene, "d0", ENFORCER_TC_IN);
	link_attach(scene, "d1", ENFORCER_TC_OUT);
	scoped(close) int router = multicast_router("10.9.0.1", "239.1.2.3");

	if (router < 0)
		cr_skip_test("the kernel routes no multicast");
	scene_apply(scene, NULL, NOTHING);
	send_multicast("239.1.2.3");
	cr_assert(link_counted(scene, 2), "neither looped nor routed");
	cr_assert_eq(packets_of(scene, BH_REASON_LOOPBACK, BH_IN), 1);
	cr_assert_eq(packets_of(scene, BH_REASON_LOOPBACK, BH_OUT), 0, "routed out unjudged");

	scene_apply(scene, SCENE_HOST "never_denied: {loopback: false}\n", NOTHING);
	send_multicast("239.1.2.3");
	cr_assert(link_counted(scene, 1), "not looped");
	cr_assert_eq(packets_of(scene, BH_REASON_LOOPBACK, BH_IN), 0);
}
