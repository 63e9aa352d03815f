// SPDX-License-Identifier: GPL-2.0-only
/*
 * ICMP errors pass for what they quote: the quoted packet has to have gone the other way from the
 * address to which the error goes, and to belong to a live flow or to be allowed by the policy.
 * They keep no flow alive and establish none.
 */
#include <criterion/criterion.h>

#include "tests/bpf/wire.h"

enum { PROTO_TCP = 6, PROTO_UDP = 17 };

/* Inbound port 443 alone, so that what is known outbound is known by a flow. */
static const char only_in[] = "bulkhead: 1\ngroup: wire\nrules:\n"
			      "  - {name: in, priority: 100, direction: inbound, access: allow,\n"
			      "     services: [tcp/443, udp/443, icmp/8, icmpv6/128, gre],\n"
			      "     source: any, destination: any}\n";

static const enum addr_family families[] = {ADDR_V4, ADDR_V6};

static uint8_t type_of_error(enum addr_family family)
{
	return family == ADDR_V4 ? 3 : 1;
}

/* IP and ICMP up to what is quoted. out: the host sends it. */
static void start_error(struct frame *frame, enum addr_family family, bool out)
{
	*frame = (struct frame){};
	wire_ip(frame, family, out);
	frame_icmp(frame, type_of_error(family), family == ADDR_V4 ? 1 : 0, 0);
}

/* An error about a frame that went the other way, of which len bytes from IP on are quoted. */
static void quote(struct frame *frame, const struct frame *quoted, bool out, size_t len)
{
	start_error(frame, quoted->family, out);
	frame_payload(frame, quoted->bytes + quoted->ip_at, len);
	frame_finish(frame);
}

static void quote_all(struct frame *frame, const struct frame *quoted, bool out)
{
	quote(frame, quoted, out, quoted->size - quoted->ip_at);
}

/* The answer of the host in a connection to its port 443. */
static void answer(struct frame *frame, enum addr_family family, uint8_t protocol)
{
	*frame = (struct frame){};
	wire_ip(frame, family, true);
	if (protocol == PROTO_TCP)
		frame_tcp(frame, 443, 40000, FRAME_TCP_SYN | FRAME_TCP_ACK);
	else
		frame_udp(frame, 443, 40000);
	frame_zeros(frame, 16);
	frame_finish(frame);
}

static void request(struct frame *frame, enum addr_family family, uint8_t protocol)
{
	*frame = (struct frame){};
	if (protocol == PROTO_TCP)
		wire_tcp(frame, family, false, 443);
	else
		wire_udp(frame, family, false, 443);
	frame_finish(frame);
}

/* ---- known by a flow, in either orientation ---- */

static void errors_of_a_flow(struct scene *scene, enum enforcer_program ingress,
			     enum addr_family family, uint8_t protocol)
{
	struct frame opener, reply, error;

	enforcer_forget(scene->enforcer);
	request(&opener, family, protocol);
	answer(&reply, family, protocol);
	quote_all(&error, &reply, false);
	wire_expect(scene, ingress, &error, "deny icmp-error-unknown", "of no flow");
	wire_expect(scene, ingress, &opener, "allow wire/in", "the opener");
	wire_expect(scene, ingress, &error, "allow icmp-errors", "of a reply");
	/* The host's own word about what came in. */
	quote_all(&error, &opener, true);
	wire_expect(scene, ENFORCER_TC_OUT, &error, "allow icmp-errors", "of the opener");
}

Test(icmp, an_error_passes_for_a_flow_whichever_side_it_quotes)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, only_in);
	unsigned ingress = wire_programs(scene, WIRE_IN);

	for (int program = 0; program < ENFORCER_PROGRAM_COUNT; program++) {
		for (size_t i = 0; ingress & 1U << program && i < ARRAY_LEN(families); i++) {
			errors_of_a_flow(scene, program, families[i], PROTO_TCP);
			errors_of_a_flow(scene, program, families[i], PROTO_UDP);
		}
	}
}

/* Opened outbound, quoted as it was opened. */
Test(icmp, an_error_of_what_the_host_opened_passes)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);
	struct frame opener = {}, error, refused;

	wire_udp(&opener, ADDR_V6, true, 443);
	frame_finish(&opener);
	wire_expect(scene, ENFORCER_TC_OUT, &opener, "allow wire/out", "the opener");
	scene_apply(scene, NULL, only_in);
	quote_all(&error, &opener, false);
	wire_expect(scene, ENFORCER_XDP, &error, "deny icmp-error-unknown",
		    "of a flow that the policy has come to deny");
	scene_apply(scene, NULL, wire_https);
	wire_expect(scene, ENFORCER_XDP, &error, "allow icmp-errors", "of a flow");
	refused = (struct frame){};
	wire_udp(&refused, ADDR_V6, true, 444);
	frame_finish(&refused);
	quote_all(&error, &refused, false);
	wire_expect(scene, ENFORCER_XDP, &error, "deny icmp-error-unknown", "of another port");
}

/* ---- known by the policy ---- */

Test(icmp, an_error_passes_for_what_the_policy_allows_now)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		struct frame quoted = {}, error;

		wire_tcp(&quoted, families[i], true, 443);
		frame_finish(&quoted);
		quote_all(&error, &quoted, false);
		wire_expect(scene, ENFORCER_XDP, &error, "allow icmp-errors", "allowed");
		quoted = (struct frame){};
		wire_tcp(&quoted, families[i], true, 22);
		frame_finish(&quoted);
		quote_all(&error, &quoted, false);
		wire_expect(scene, ENFORCER_XDP, &error, "deny icmp-error-unknown", "not allowed");
	}
}

/* ---- all types of errors, and no others ---- */

static void check_type(struct scene *scene, enum addr_family family, uint8_t type, bool is_error)
{
	struct frame quoted = {}, frame = {};

	wire_tcp(&quoted, family, true, 443);
	frame_finish(&quoted);
	wire_ip(&frame, family, false);
	frame_icmp(&frame, type, 1, 0);
	frame_payload(&frame, quoted.bytes + quoted.ip_at, quoted.size - quoted.ip_at);
	frame_finish(&frame);
	wire_expect(scene, ENFORCER_XDP, &frame,
		    is_error ? "allow icmp-errors" : "deny wire/DenyAllInBound",
		    arena_printf(scene->loaded.arena, "type %u", type));
}

Test(icmp, errors_are_3_11_12_and_1_to_4)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);

	for (unsigned type = 0; type < 256; type++) {
		if (type != 5)
			check_type(scene, ADDR_V4, type, type == 3 || type == 11 || type == 12);
		if (type != 137 && (type < 133 || type > 136))
			check_type(scene, ADDR_V6, type, type >= 1 && type <= 4);
	}
}

/* ---- quotes that do not count ---- */

static void deny(struct scene *scene, const struct frame *error, const char *reason,
		 const char *what)
{
	const char *expected = arena_printf(scene->loaded.arena, "deny %s", reason);

	wire_expect(scene, ENFORCER_XDP, error, expected, what);
	wire_expect(scene, ENFORCER_TC_IN, error, expected, what);
	if (enforcer_has(scene->enforcer, ENFORCER_XDP_FRAGS))
		wire_expect(scene, ENFORCER_XDP_FRAGS, error, expected, what);
}

Test(icmp, a_quote_that_is_not_from_where_the_error_goes_is_denied)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_open);

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		struct frame quoted = {}, error;

		/* All is allowed either way, but the host did not send this. */
		wire_tcp(&quoted, families[i], true, 443);
		quoted.bytes[quoted.ip_at + (families[i] == ADDR_V4 ? 15 : 23)]++;
		frame_finish(&quoted);
		quote_all(&error, &quoted, false);
		deny(scene, &error, "icmp-error-unknown", "of another source");
		quoted = (struct frame){};
		wire_tcp(&quoted, families[i], false, 443);
		frame_finish(&quoted);
		quote_all(&error, &quoted, false);
		deny(scene, &error, "icmp-error-unknown", "of what went the same way");
	}
}

Test(icmp, a_quote_without_eight_bytes_of_layer_4_is_denied)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_open);

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		size_t whole = families[i] == ADDR_V4 ? 28 : 48;
		struct frame quoted = {}, error;

		wire_tcp(&quoted, families[i], true, 443);
		frame_finish(&quoted);
		for (size_t len = 0; len < whole; len++) {
			quote(&error, &quoted, false, len);
			deny(scene, &error, "icmp-error-unknown", "cut");
			/* What the frame holds behind the packet is not quoted. */
			frame_payload(&error, quoted.bytes + quoted.ip_at + len, 60 - len);
			deny(scene, &error, "icmp-error-unknown", "cut, and padded with the rest");
		}
		quote(&error, &quoted, false, whole);
		wire_expect(scene, ENFORCER_XDP, &error, "allow icmp-errors", "whole");
		wire_expect(scene, ENFORCER_TC_IN, &error, "allow icmp-errors", "whole");
	}
}

Test(icmp, a_quote_of_another_version_is_denied)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_open);

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		struct frame quoted = {}, error;

		wire_tcp(&quoted, families[i], true, 443);
		frame_finish(&quoted);
		quoted.bytes[quoted.ip_at] ^= 0x20;
		quote_all(&error, &quoted, false);
		deny(scene, &error, "icmp-error-unknown", "the other version");
	}
}

Test(icmp, an_error_of_an_error_is_denied)
{
	static const uint8_t types4[] = {3, 11, 12}, types6[] = {1, 2, 3, 4};
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_open);

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		bool v4 = families[i] == ADDR_V4;

		for (size_t j = 0; j < (v4 ? ARRAY_LEN(types4) : ARRAY_LEN(types6)); j++) {
			struct frame quoted = {}, error;

			wire_ip(&quoted, families[i], true);
			frame_icmp(&quoted, v4 ? types4[j] : types6[j], 0, 0);
			frame_zeros(&quoted, 48);
			frame_finish(&quoted);
			quote_all(&error, &quoted, false);
			deny(scene, &error, "icmp-error-nested", "an error");
		}
	}
}

Test(icmp, an_error_of_a_later_fragment_is_denied_and_of_a_first_is_not)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_open);

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		struct frame quoted = {}, error;

		wire_ip(&quoted, families[i], true);
		frame_fragment(&quoted, 7, 1480, false);
		frame_protocol(&quoted, PROTO_UDP);
		frame_zeros(&quoted, 64);
		frame_finish(&quoted);
		quote_all(&error, &quoted, false);
		deny(scene, &error, "icmp-error-nested", "of a later fragment");
		quoted = (struct frame){};
		wire_ip(&quoted, families[i], true);
		frame_fragment(&quoted, 7, 0, true);
		frame_udp(&quoted, 40000, 443);
		frame_zeros(&quoted, 64);
		frame_finish(&quoted);
		quote_all(&error, &quoted, false);
		wire_expect(scene, ENFORCER_XDP, &error, "allow icmp-errors", "of a first one");
	}
}

/* Options and extension headers stand in quotes, too. */
Test(icmp, a_quote_is_read_behind_its_options_and_extension_headers)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);
	struct frame quoted = {}, error;

	wire_ip(&quoted, ADDR_V4, true);
	frame_options(&quoted, "\x94\x4\0\0\x7\x7\x4\0\0\0\0", 11);
	frame_tcp(&quoted, 40000, 443, FRAME_TCP_SYN);
	frame_finish(&quoted);
	quote_all(&error, &quoted, false);
	wire_expect(scene, ENFORCER_XDP, &error, "allow icmp-errors", "with options");
	frame_put16(&quoted, quoted.l4_at + 2, 444);
	quote_all(&error, &quoted, false);
	wire_expect(scene, ENFORCER_XDP, &error, "deny icmp-error-unknown", "to another port");
}

static void chain(struct frame *quoted, int n_headers, uint16_t port)
{
	*quoted = (struct frame){};
	wire_ip(quoted, ADDR_V6, true);
	for (int i = 0; i < n_headers; i++)
		frame_extension(quoted, 60, "\x1\x4\0\0\0\0", 6);
	frame_tcp(quoted, 40000, port, FRAME_TCP_SYN);
	frame_finish(quoted);
}

Test(icmp, a_quote_has_at_most_eight_extension_headers)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);
	struct frame quoted, error;

	for (int n = 1; n <= 8; n++) {
		chain(&quoted, n, 443);
		quote_all(&error, &quoted, false);
		wire_expect(scene, ENFORCER_XDP, &error, "allow icmp-errors", "with headers");
		chain(&quoted, n, 444);
		quote_all(&error, &quoted, false);
		wire_expect(scene, ENFORCER_XDP, &error, "deny icmp-error-unknown",
			    "with headers, to another port");
	}
	scene_apply(scene, NULL, wire_open);
	chain(&quoted, 9, 443);
	quote_all(&error, &quoted, false);
	deny(scene, &error, "icmp-error-unknown", "nine headers");
}

enum { BLOCK = 2048, N_BLOCKS = 8 };

/* The largest extension header, of options that are skipped; next is what follows it. */
static uint8_t *add_block(uint8_t *at, uint8_t next)
{
	at[0] = next;
	at[1] = BLOCK / 8 - 1;
	for (size_t i = 2; i < BLOCK; i += 2 + at[i + 1]) {
		at[i] = 1;
		at[i + 1] = BLOCK - i - 2 > 255 ? 253 : BLOCK - i - 2;
	}
	return at + BLOCK;
}

static uint8_t *add_chain(uint8_t *at, const struct frame *ip, uint8_t last)
{
	memcpy(at, ip->bytes + ip->ip_at, 40);
	at[6] = 60;
	at += 40;
	for (int i = 1; i <= N_BLOCKS; i++)
		at = add_block(at, i < N_BLOCKS ? 60 : last);
	return at;
}

/*
 * Offsets in the programs go up to 32 KB. Here the quoted header of layer 4 lies behind that, and
 * where a wrapped offset would point to, there stand ports that the policy allows.
 */
Test(icmp, a_quote_further_than_offsets_reach_is_denied)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, wire_https);
	scoped(free) uint8_t *bytes = mem_calloc(1, 40000);
	struct frame outer = {}, inner = {};
	struct bh_row by;
	uint8_t *at;

	if (!enforcer_has(scene->enforcer, ENFORCER_XDP_FRAGS))
		cr_skip_test("frames of 32 KB need XDP with frags");
	wire_ip(&outer, ADDR_V6, false);
	wire_ip(&inner, ADDR_V6, true);
	memcpy(bytes, outer.bytes, 14);
	at = add_chain(bytes + 14, &outer, 58);
	at[0] = 1; /* unreachable */
	at = add_chain(at + 8, &inner, PROTO_TCP);
	memcpy(at, "\x9c\x40\0\x16", 4);			      /* 40000 to 22 */
	memcpy(bytes + (at - bytes - 0x8000), "\x9c\x40\x01\xbb", 4); /* 40000 to 443 */
	at += 20;
	bytes[14 + 4] = (at - bytes - 54) >> 8;
	bytes[14 + 5] = (at - bytes - 54) & 0xff;
	cr_assert_not(enforcer_run(scene->enforcer, ENFORCER_XDP_FRAGS, bytes, at - bytes, NULL));
	cr_assert_str_eq(scene_counted(scene, &by), "icmp-error-unknown");
}

/* ---- what errors leave alone ---- */

Test(icmp, an_error_keeps_no_flow_alive)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, only_in);
	struct frame opener, reply, error;

	request(&opener, ADDR_V4, PROTO_UDP);
	answer(&reply, ADDR_V4, PROTO_UDP);
	quote_all(&error, &reply, false);
	wire_expect(scene, ENFORCER_XDP, &opener, "allow wire/in", "the opener");
	for (int i = 0; i < 3; i++) {
		scene_wait(scene, 9);
		wire_expect(scene, ENFORCER_XDP, &error, "allow icmp-errors", "in time");
	}
	scene_wait(scene, 9);
	wire_expect(scene, ENFORCER_XDP, &error, "deny icmp-error-unknown", "after 36 s");
}

Test(icmp, an_error_establishes_no_flow_and_opens_none)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, only_in);
	struct frame opener, reply, error;
	const struct bh_config *config = scene_config(scene);

	request(&opener, ADDR_V4, PROTO_TCP);
	answer(&reply, ADDR_V4, PROTO_TCP);
	wire_expect(scene, ENFORCER_XDP, &opener, "allow wire/in", "the opener");
	quote_all(&error, &reply, false);
	wire_expect(scene, ENFORCER_XDP, &error, "allow icmp-errors", "in");
	quote_all(&error, &opener, true);
	wire_expect(scene, ENFORCER_TC_OUT, &error, "allow icmp-errors", "out");
	cr_assert_eq(flows_count(scene->enforcer, config, BH_TABLE_HALF_OPEN4), 1);
	cr_assert_eq(flows_count(scene->enforcer, config, BH_TABLE_ESTABLISHED4), 0);
}

/* The outer source is free: any router on the way may speak. */
Test(icmp, whoever_sends_the_error_does_not_matter)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, only_in);
	struct frame opener, reply, error;

	request(&opener, ADDR_V4, PROTO_TCP);
	answer(&reply, ADDR_V4, PROTO_TCP);
	wire_expect(scene, ENFORCER_XDP, &opener, "allow wire/in", "the opener");
	quote_all(&error, &reply, false);
	error.bytes[error.ip_at + 12] = 198;
	wire_expect(scene, ENFORCER_XDP, &error, "allow icmp-errors", "from a router");
}

Test(icmp, an_error_of_an_echo_passes_by_its_identifier)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, only_in);

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		bool v4 = families[i] == ADDR_V4;
		struct frame opener = {}, reply = {}, error;

		wire_ip(&opener, families[i], false);
		frame_icmp(&opener, v4 ? 8 : 128, 0, 77);
		frame_finish(&opener);
		wire_expect(scene, ENFORCER_XDP, &opener, "allow wire/in", "the request");
		wire_ip(&reply, families[i], true);
		frame_icmp(&reply, v4 ? 0 : 129, 0, 77);
		frame_finish(&reply);
		quote_all(&error, &reply, false);
		wire_expect(scene, ENFORCER_XDP, &error, "allow icmp-errors", "of the reply");
		frame_put16(&reply, reply.l4_at + 4, 78);
		quote_all(&error, &reply, false);
		wire_expect(scene, ENFORCER_XDP, &error, "deny icmp-error-unknown",
			    "of another identifier");
	}
}

Test(icmp, an_error_of_a_protocol_without_ports_passes_by_its_addresses)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, only_in);
	struct frame opener = {}, reply = {}, error;

	wire_ip(&opener, ADDR_V4, false);
	frame_protocol(&opener, 47);
	frame_zeros(&opener, 16);
	frame_finish(&opener);
	wire_ip(&reply, ADDR_V4, true);
	frame_protocol(&reply, 47);
	frame_zeros(&reply, 16);
	frame_finish(&reply);
	quote_all(&error, &reply, false);
	wire_expect(scene, ENFORCER_XDP, &error, "deny icmp-error-unknown", "before");
	wire_expect(scene, ENFORCER_XDP, &opener, "allow wire/in", "the opener");
	wire_expect(scene, ENFORCER_XDP, &error, "allow icmp-errors", "of the answer");
}

/* ---- under other settings ---- */

Test(icmp, with_the_list_entry_off_the_rules_judge_errors)
{
	scoped(scene_free) struct scene *scene =
		wire_scene(SCENE_HOST "never_denied: {icmp_errors: false}\n", wire_https);
	struct frame quoted = {}, error;

	wire_tcp(&quoted, ADDR_V4, true, 443);
	frame_finish(&quoted);
	quote_all(&error, &quoted, false);
	wire_expect(scene, ENFORCER_XDP, &error, "deny wire/DenyAllInBound", "by the rules");
	scene_apply(scene, SCENE_HOST "never_denied: {icmp_errors: false}\n", wire_open);
	quote(&error, &quoted, false, 3);
	wire_expect(scene, ENFORCER_XDP, &error, "allow wire/in", "whatever it quotes");
}

Test(icmp, what_audit_lets_pass_is_known)
{
	static const char audit[] =
		"bulkhead: 1\ngroup: wire\nmode: audit\nrules:\n"
		"  - {name: no, priority: 100, direction: outbound, access: deny,\n"
		"     protocol: tcp, source: any, destination: any}\n";
	scoped(scene_free) struct scene *scene = wire_scene(NULL, audit);
	struct frame quoted = {}, error;

	wire_tcp(&quoted, ADDR_V4, true, 443);
	frame_finish(&quoted);
	quote_all(&error, &quoted, false);
	wire_expect(scene, ENFORCER_XDP, &error, "allow icmp-errors", "of what would be denied");
}

Test(icmp, after_a_flip_an_error_passes_while_its_flow_would)
{
	scoped(scene_free) struct scene *scene = wire_scene(NULL, only_in);
	struct frame opener, reply, error;

	request(&opener, ADDR_V4, PROTO_TCP);
	answer(&reply, ADDR_V4, PROTO_TCP);
	quote_all(&error, &reply, false);
	wire_expect(scene, ENFORCER_XDP, &opener, "allow wire/in", "the opener");
	scene_apply(scene, NULL, only_in);
	wire_expect(scene, ENFORCER_XDP, &error, "allow icmp-errors", "allowed as before");
	scene_apply(scene, NULL, "bulkhead: 1\ngroup: wire\n");
	wire_expect(scene, ENFORCER_XDP, &error, "deny icmp-error-unknown", "no longer allowed");
}

/* The opener, its answer, and how the opener acknowledges that. */
static void establish(struct scene *scene, const struct frame *opener, const struct frame *reply)
{
	struct frame more = {};

	wire_expect(scene, ENFORCER_XDP, opener, "allow wire/in", "the opener");
	wire_expect(scene, ENFORCER_TC_OUT, reply, "allow wire/in reply", "its answer");
	wire_ip(&more, ADDR_V4, false);
	frame_tcp(&more, 40000, 443, FRAME_TCP_ACK);
	frame_put16(&more, more.l4_at + 10, 1 + 16); /* the SYN, and the 16 bytes behind it */
	frame_finish(&more);
	wire_expect(scene, ENFORCER_XDP, &more, "allow wire/in", "what establishes it");
}

Test(icmp, after_a_flip_an_error_passes_for_a_flow_that_is_kept)
{
#define DENIES(existing_flows)                                                             \
	"bulkhead: 1\ngroup: wire\nexisting_flows: " existing_flows "\nrules:\n"           \
	"  - {name: no, priority: 100, direction: inbound, access: deny, protocol: tcp,\n" \
	"     source: any, destination: any}\n"
	static const char keeps[] = DENIES("keep");
	static const char ends[] = DENIES("recheck");
#undef DENIES
	scoped(scene_free) struct scene *scene = wire_scene(NULL, only_in);
	struct frame opener, reply, of_reply, of_opener;

	request(&opener, ADDR_V4, PROTO_TCP);
	answer(&reply, ADDR_V4, PROTO_TCP);
	quote_all(&of_reply, &reply, false);
	quote_all(&of_opener, &opener, true);
	wire_expect(scene, ENFORCER_XDP, &opener, "allow wire/in", "the opener");
	scene_apply(scene, NULL, keeps);
	wire_expect(scene, ENFORCER_XDP, &of_reply, "deny icmp-error-unknown",
		    "half open: not kept");
	scene_apply(scene, NULL, only_in);
	establish(scene, &opener, &reply);
	scene_apply(scene, NULL, keeps);
	wire_expect(scene, ENFORCER_XDP, &of_reply, "allow icmp-errors", "of a reply, kept");
	wire_expect(scene, ENFORCER_TC_OUT, &of_opener, "allow icmp-errors", "of the opener, kept");
	scene_apply(scene, NULL, keeps);
	wire_expect(scene, ENFORCER_XDP, &of_reply, "allow icmp-errors", "after another flip");
	scene_apply(scene, NULL, ends);
	wire_expect(scene, ENFORCER_XDP, &of_reply, "deny icmp-error-unknown", "no longer kept");
	wire_expect(scene, ENFORCER_TC_OUT, &of_opener, "deny icmp-error-unknown",
		    "nor the opener");
}
