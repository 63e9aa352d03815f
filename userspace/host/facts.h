/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the host is: the links and own addresses of the caller's network namespace, and the
 * platform. Read once through netlink, and through /sys where netlink does not tell; nothing is
 * changed. Facts never reach resolve or build: kernel/ writes them into tables of their own.
 */
#ifndef HOST_FACTS_H
#define HOST_FACTS_H

#include "base/addr.h"
#include "base/array.h"
#include "base/diag.h"

/* A program that sits in the XDP hook of a link, ours or another's. */
enum host_xdp {
	HOST_XDP_NONE,
	HOST_XDP_NATIVE,
	HOST_XDP_GENERIC,
	HOST_XDP_OFFLOADED,
	HOST_XDP_SEVERAL,
};

/* Texts are "" where nothing is known, never NULL. */
struct host_link {
	uint32_t ifindex;
	const char *name;
	const char *kind;   /* of rtnetlink: "veth", "bond", "vlan"; "" for hardware */
	const char *driver; /* "virtio_net", "hv_netvsc" */
	uint32_t mtu;
	uint32_t master;	/* ifindex of the bond or bridge that it is a port of; 0: none */
	const char *slave_kind; /* "bond", "bridge": the kind of that master */
	bool up;		/* administratively */
	bool carrier;
	bool ethernet; /* frames have an Ethernet header */
	bool loopback;
	bool device;	/* a device stands behind it: PCI, virtio, VMbus */
	bool netvsc_vf; /* the virtual function below a netvsc link; never to be covered itself */
	enum host_xdp xdp;
	uint32_t xdp_program; /* its id; 0: none, or not told */
};

struct host_facts {
	ARRAY(struct host_link) links; /* in the order of ifindex */
	ARRAY(struct addr) addresses;  /* own unicast ones, sorted, each once; see below */
	addr_ranges local;	       /* what is the host's own as a whole; sorted, none touch */
	bool platform_azure;	       /* what DMI says */
	const char *vendor;	       /* DMI's sys_vendor and product_name */
	const char *product;
	uint64_t netns_device; /* of /proc/self/ns/net: device and inode name the namespace */
	uint64_t netns_inode;
};

/*
 * addresses are the unicast addresses of the namespace, whatever link they lie on (one on lo that
 * is not a loopback address is the host's own, too), link-local included, tentative ones too;
 * 127.0.0.0/8 and ::1 not. With them stand those that a route of the table local alone makes the host's: a
 * single one of type local, as a cloud's agent enters it for a load balancer, and the anycast one that a router
 * has for each prefix. A route of type local to a prefix (AnyIP; an address on lo makes one) is in local.
 *
 * Needs no root. /sys, which may have been mounted in another network namespace than the caller's, is
 * asked only for what belongs to the machine. A kernel before 5.14 tells of no device.
 */
int host_facts_read(struct arena *arena, struct diag *diag, struct host_facts *ret_facts);

/* Bytes of memory that could be had without swapping; 0: not told. */
uint64_t host_memory_available(void);

/* NULL where there is none. */
const struct host_link *host_link_by_name(const struct host_facts *facts, struct str name);
const struct host_link *host_link_by_index(const struct host_facts *facts, uint32_t ifindex);

/* A classifier on the clsact queueing discipline of a link. */
struct host_filter {
	uint32_t preference; /* lower ones run first */
	uint32_t handle;
	const char *kind; /* "bpf" */
	const char *name; /* of a BPF one: what its maker called it */
	uint32_t program; /* id; 0: none, or not BPF */
};

struct host_filters {
	const char *qdisc;		   /* "clsact", "ingress"; "" when there is none */
	ARRAY(struct host_filter) filters; /* of one direction, in the order in which they run */
};

int host_filters_read(struct arena *arena, uint32_t ifindex, bool inbound, struct diag *diag,
		      struct host_filters *ret_filters);

/* What stands where clsact would, on whichever link: without it a link has no such classifiers. */
struct host_qdisc {
	uint32_t ifindex;
	const char *kind; /* "clsact", "ingress" */
};

typedef ARRAY(struct host_qdisc) host_qdiscs;

/*
 * Those of all links, by one dump: the kernel gives them all, whichever link is asked about, so who
 * looks at many links reads them once.
 */
int host_qdiscs_read(struct arena *arena, struct diag *diag, host_qdiscs *ret_qdiscs);

/* NULL: the link has none. */
const struct host_qdisc *host_qdisc_of(const host_qdiscs *qdiscs, uint32_t ifindex);

/* host_filters_read where the discipline is known. */
int host_filters_read_at(struct arena *arena, const struct host_qdisc *qdisc, bool inbound,
			 struct diag *diag, struct host_filters *ret_filters);

typedef ARRAY(const struct host_link *) host_links;

/* A name or a glob (*, ?, [set]) of links, and where it was written (source NULL: --interface). */
struct host_pattern {
	struct str text;
	struct mark at;
};

typedef ARRAY(struct host_pattern) host_patterns;

/*
 * Which links are to be covered, in the order of ifindex, each once. n_patterns 0 is auto:
 * Ethernet links with a device behind them, up or down, no VF under netvsc, no port of a bond
 * or bridge that is itself chosen, not lo.
 * With patterns: every one must match a link; a glob takes the Ethernet links that it matches, no
 * lo, no VRF and no such VF; a plain name of what a glob passes over is refused.
 * -ENODEV with words for: a pattern that matches nothing, a refused name, auto that finds no link.
 */
int host_select(struct arena *arena, const struct host_facts *facts,
		const struct host_pattern *patterns, size_t n_patterns, struct diag *diag,
		host_links *ret_links);

/* Why auto does not take the link, in words for status and doctor; NULL: it does. */
const char *host_why_not_auto(const struct host_facts *facts, const struct host_link *link);

#endif
