/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What tests of connection state share: an enforcer with small tables, policies that admit by the
 * address of the other end, and flows that are all different and alike.
 */
#ifndef TESTS_BPF_SCENE_H
#define TESTS_BPF_SCENE_H

#include "tests/lib/enforcer.h"
#include "tests/lib/flows.h"
#include "tests/lib/frames.h"
#include "tests/lib/policy_text.h"

struct scene {
	struct arena *arena;
	struct enforcer *enforcer;
	struct loaded loaded; /* the policy in force */
	struct image image;
};

/* An enforcer without a policy. */
struct scene *scene_new(void);
void scene_free(struct scene *scene);
SCOPED(struct scene *, scene_free);

/*
 * Brings a policy into force; host NULL: small tables and nothing else. What cannot be loaded ends the
 * test.
 */
void scene_apply(struct scene *scene, const char *host, const char *policy);

/* The same with state pages of its own, see enforcer_apply_apart. */
void scene_apply_apart(struct scene *scene, const char *host, const char *policy);

/* Small tables, for hosts that say more than that. */
#define SCENE_TABLES "tables: {flows: 8192, half_open: 4096, fragments: 1024}\n"
#define SCENE_HOST   "bulkhead: 1\n" SCENE_TABLES

/*
 * Flows to and from peers "in" may be opened inbound, of "out" outbound, of "both" either way, whatever
 * their protocol; nothing else may. The rules are scene/in and scene/out.
 */
extern const char scene_policy[];

/* The same peers, and each rule denies; existing_flows as said, mode enforce or audit. */
const char *scene_denying(struct scene *scene, const char *existing_flows, const char *mode);

/* A flow under test. */
struct subject {
	enum addr_family family;
	uint8_t protocol;
	bool out;	 /* opened outbound */
	bool both;	 /* the policy admits the answers for themselves, too */
	uint16_t number; /* of the other end: flows of different numbers have nothing in common */
};

/* The packet that opens the flow; the answers are it turned around. ICMP: an echo request. */
struct tuple subject_opener(const struct subject *subject);

/* Sends a packet of the flow; whether it passes. */
bool scene_send(const struct scene *scene, const struct subject *subject, bool reply,
		unsigned tcp_flags);
bool scene_send_tuple(const struct scene *scene, const struct tuple *tuple, unsigned tcp_flags);

/* The one entry of the flow; false: there is none. Two or more end the test. */
bool scene_entry(const struct scene *scene, const struct subject *subject,
		 struct flowtable_entry *ret_entry);

const struct bh_config *scene_config(const struct scene *scene);

/* Moves the clock. */
void scene_wait(const struct scene *scene, uint32_t seconds);

/* What a flow that is opened now says of when it was. */
uint32_t scene_moment(const struct scene *scene);

/*
 * Where the one packet since the last call was counted: "scene/in", the name of a rule, or of a reason;
 * what of it, in ret_by. "" when it was not exactly one row.
 */
const char *scene_counted(struct scene *scene, struct bh_row *ret_by);

#endif
