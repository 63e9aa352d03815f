/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tree: what the operator wrote in one policy file, with places. policy/parse makes it,
 * policy/resolve reads it. Text is slices into the source; nothing here is freed alone.
 *
 * A node that may be missing has a mark with line 0 when it is. Everything that can be judged
 * by looking at one node alone has been judged when a tree is handed out. What that judgement
 * refused is left out, and its owner is flawed: the tree goes on to resolve all the same, which
 * refuses it, and tells what else is wrong. What is said below of a node holds for flawless ones.
 */
#ifndef POLICY_AST_H
#define POLICY_AST_H

#include "base/addr.h"
#include "base/array.h"
#include "base/diag.h"
#include "base/str.h"

/* A piece of text and where it stands. */
struct ast_name {
	struct str text;
	struct mark mark; /* line 0: not given */
};

enum ast_tier {
	AST_TIER_ADMIN,
	AST_TIER_SUBNET,
	AST_TIER_NIC,
};

enum ast_direction {
	AST_INBOUND,
	AST_OUTBOUND,
};

enum ast_access {
	AST_ALLOW,
	AST_DENY,
	AST_ALWAYS_ALLOW,
};

enum ast_defaults {
	AST_DEFAULTS_DENY,
	AST_DEFAULTS_AZURE,
};

enum ast_mode {
	AST_ENFORCE,
	AST_AUDIT,
};

enum ast_existing_flows {
	AST_RECHECK,
	AST_KEEP,
};

/* A choice out of an enum above, with its place. */
struct ast_choice {
	struct mark mark; /* line 0: not given, and value is the default of the language */
	int value;
};

struct ast_number {
	struct mark mark;
	uint64_t value;
};

/* One item of source, destination or a set. */
enum ast_peer_kind {
	AST_PEER_ANY,	/* any; not in sets */
	AST_PEER_SELF,	/* self; not in sets */
	AST_PEER_RANGE, /* an address, a prefix or a-b */
	AST_PEER_NAME,	/* a set or a tag, by name */
};

struct ast_peer {
	struct mark mark;
	enum ast_peer_kind kind;
	union {				 /* large sets have very many */
		struct addr_range range; /* AST_PEER_RANGE */
		struct str name;	 /* AST_PEER_NAME */
	};
};

typedef ARRAY(struct ast_peer) ast_peers;

/* any, N or N-M; the range of any is 0-65535 */
struct ast_port {
	struct mark mark;
	struct port_range range;
	bool any;
};

typedef ARRAY(struct ast_port) ast_ports;

/*
 * any, a name or a number. number is -1 for any. How an IPv4-only or IPv6-only protocol
 * restricts families is resolve's business.
 */
struct ast_protocol {
	struct mark mark;
	int number;
};

typedef ARRAY(struct ast_protocol) ast_protocols;

/*
 * One item of a service: NAME of another service, or PROTOCOL[/PORTS], icmp/TYPE[/CODE].
 * protocol as in struct ast_protocol, never -1. has_ports only with tcp, udp, sctp; type and
 * code are -1 for any and only given with icmp and icmpv6.
 */
struct ast_service_item {
	struct mark mark;
	bool is_name;
	struct str name;
	int protocol;
	bool has_ports;
	struct port_range ports;
	int icmp_type;
	int icmp_code;
};

typedef ARRAY(struct ast_service_item) ast_service_items;

struct ast_set {
	struct ast_name name;
	bool flawed;
	ast_peers items; /* never empty; AST_PEER_RANGE and AST_PEER_NAME only */
};

struct ast_service {
	struct ast_name name;
	bool flawed;
	ast_service_items items; /* never empty; a service may not name a service */
};

/* Either services, or protocol with ports and ICMP type: parse has refused both and neither. */
struct ast_rule {
	struct mark mark;    /* of the name, or of the whole where that is missing */
	bool peers_flawed;   /* of source and destination not all was understood */
	bool traffic_flawed; /* nor of protocols, ports, services */
	struct ast_name name;
	struct ast_number priority;
	struct ast_choice direction; /* enum ast_direction */
	struct ast_choice access;    /* enum ast_access */
	ast_peers source;	     /* never empty */
	ast_peers destination;	     /* never empty */
	bool has_services;
	ast_service_items services; /* names, and items in place */
	ast_protocols protocols;
	ast_ports source_ports;	     /* empty: any; with services too */
	ast_ports destination_ports; /* empty: any */
	struct ast_number icmp_type; /* mark.line 0: any */
	struct ast_number icmp_code;
	bool log;
	bool enabled;
	struct ast_choice mode; /* enum ast_mode */
	struct ast_name description;
};

typedef ARRAY(struct ast_set) ast_sets;
typedef ARRAY(struct ast_service) ast_services;
typedef ARRAY(struct ast_rule) ast_rules;

/* One file. Without a group it holds sets and services for all files. */
struct ast_file {
	const struct source *source;
	bool unread;			  /* not there, or no YAML: it may hold any name */
	bool flawed;			  /* anything in the file */
	bool head_flawed;		  /* a key of the file itself, group to order */
	struct ast_name group;		  /* line 0: a file of shared names */
	struct ast_choice tier;		  /* enum ast_tier */
	struct ast_choice defaults;	  /* enum ast_defaults */
	struct ast_choice mode;		  /* enum ast_mode */
	struct ast_choice existing_flows; /* enum ast_existing_flows; line 0: host.yaml's */
	struct ast_number order;	  /* line 0: not given */
	ast_sets sets;
	ast_services services;
	ast_rules rules;
};

#endif
