/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tags: names that stand for addresses and that nobody defines in a policy. Those here are
 * computed; those of a tag file will stand beside them.
 *
 * Internet: globally reachable unicast, by IANA's registries of special-purpose addresses: IPv4
 * without what they mark as not globally reachable, without multicast and 240.0.0.0/4; IPv6
 * 2000::/3 likewise (without 6to4 and Teredo); less virtual_network, and less 168.63.129.16 with
 * platform: azure.
 * VirtualNetwork: virtual_network of host.yaml, and 168.63.129.16 with platform: azure.
 * AzureLoadBalancer: 168.63.129.16.
 */
#ifndef POLICY_TAGS_H
#define POLICY_TAGS_H

#include "policy/hostconf.h"

enum tag {
	TAG_INTERNET,
	TAG_VIRTUAL_NETWORK,
	TAG_AZURE_LOAD_BALANCER,
	TAG_COUNT,
};

/* The name as it is printed. */
const char *tag_name(enum tag tag);

/* The tag of that name, case ignored; TAG_COUNT when it is none. */
enum tag tag_find(struct str name);

/*
 * The addresses of a tag, normalized, in the arena. False, and *ret_ranges untouched, when the
 * tag needs virtual_network and host.yaml does not say it.
 */
bool tag_expand(enum tag tag, struct arena *arena, const struct hostconf *host,
		addr_ranges *ret_ranges);

#endif
