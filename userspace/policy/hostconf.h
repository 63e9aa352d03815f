/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * host.yaml: what belongs to the machine and not to the policy. Read by policy/hostconf with
 * the strictness of policy files.
 */
#ifndef POLICY_HOSTCONF_H
#define POLICY_HOSTCONF_H

#include "policy/ast.h"

enum hostconf_hook {
	HOOK_AUTO,
	HOOK_NATIVE,  /* XDP in the driver; ingress only */
	HOOK_GENERIC, /* XDP on an skb; ingress only */
	HOOK_TCX,
	HOOK_CLSACT,
};

/* The never-denied list of docs/datapath.md; the names are the keys of host.yaml. */
#define HOSTCONF_NEVER_DENIED(X)      \
	X(ARP, "arp")                 \
	X(ND, "nd")                   \
	X(MLD, "mld")                 \
	X(IGMP, "igmp")               \
	X(DHCP, "dhcp")               \
	X(DHCPV6, "dhcpv6")           \
	X(EAPOL, "eapol")             \
	X(SLOW, "slow")               \
	X(LLDP, "lldp")               \
	X(STP, "stp")                 \
	X(LOOPBACK, "loopback")       \
	X(ICMP_ERRORS, "icmp_errors") \
	X(PLATFORM, "platform")

enum hostconf_never {
#define X(constant, name) NEVER_##constant,
	HOSTCONF_NEVER_DENIED(X)
#undef X
		NEVER_COUNT
};

/* Time-outs in seconds, the names being the keys of host.yaml. */
#define HOSTCONF_TIMEOUTS(X)                        \
	X(TCP_ESTABLISHED, "tcp_established", 7440) \
	X(TCP_HALF_OPEN, "tcp_half_open", 30)       \
	X(TCP_CLOSING, "tcp_closing", 60)           \
	X(UDP, "udp", 30)                           \
	X(UDP_STREAM, "udp_stream", 180)            \
	X(ICMP, "icmp", 30)                         \
	X(OTHER, "other", 600)                      \
	X(FRAGMENT, "fragment", 30)

enum hostconf_timeout {
#define X(constant, name, seconds) TIMEOUT_##constant,
	HOSTCONF_TIMEOUTS(X)
#undef X
		TIMEOUT_COUNT
};

struct hostconf {
	const struct source *source;	   /* NULL: no host.yaml, all defaults */
	bool interfaces_auto;		   /* default */
	ARRAY(struct ast_name) interfaces; /* names and globs, when not auto */
	enum hostconf_hook ingress;
	enum hostconf_hook egress;
	enum ast_mode mode;
	enum ast_existing_flows existing_flows;
	enum ast_access no_group;  /* AST_ALLOW or AST_DENY */
	ast_peers virtual_network; /* AST_PEER_RANGE; empty: unset */
	struct mark virtual_network_mark;
	bool platform_azure;
	bool tcp_pickup;
	uint32_t timeouts[TIMEOUT_COUNT];
	uint32_t table_flows;	  /* entries, a power of two; of each address family */
	uint32_t table_half_open; /* the same */
	uint32_t table_fragments;
	bool never_denied[NEVER_COUNT];
	uint32_t log_limit; /* events per rule and second */
	bool flawed;	    /* some of it was refused: what seems unset may have been meant */
};

/* The defaults of the language. */
void hostconf_init(struct hostconf *conf);

/*
 * Reads a host.yaml that is already in memory. Every mistake goes into diag, -EBADMSG if there
 * was one; *ret_conf is then untouched.
 */
int hostconf_parse(struct arena *arena, const struct source *source, struct diag *diag,
		   struct hostconf *ret_conf);

bool hostconf_has_key(struct str key);

const char *hostconf_never_name(enum hostconf_never never);
const char *hostconf_timeout_name(enum hostconf_timeout timeout);

#endif
