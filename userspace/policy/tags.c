// SPDX-License-Identifier: GPL-2.0-only
/*
 * The computed tags. The tables follow IANA's registries of IPv4 and IPv6 special-purpose
 * addresses, column "Globally Reachable": what is not plainly true there is taken out, and what
 * is true inside such a block is put back.
 */
#include "policy/tags.h"

static const char *const unicast[] = {"0.0.0.0-223.255.255.255", "2000::/3"};

static const char *const unreachable[] = {
	"0.0.0.0/8",	   /* this network */
	"10.0.0.0/8",	   /* private */
	"100.64.0.0/10",   /* shared between provider and customer */
	"127.0.0.0/8",	   /* loopback */
	"169.254.0.0/16",  /* link-local */
	"172.16.0.0/12",   /* private */
	"192.0.0.0/24",	   /* protocol assignments */
	"192.0.2.0/24",	   /* documentation */
	"192.88.99.0/24",  /* 6to4 relay anycast, deprecated */
	"192.168.0.0/16",  /* private */
	"198.18.0.0/15",   /* benchmarks */
	"198.51.100.0/24", /* documentation */
	"203.0.113.0/24",  /* documentation */
	"2001::/23",	   /* protocol assignments: Teredo, benchmarks and others */
	"2001:db8::/32",   /* documentation */
	"2002::/16",	   /* 6to4 */
	"3fff::/20",	   /* documentation */
};

static const char *const reachable_after_all[] = {
	"192.0.0.9/32",	   /* port control protocol, anycast */
	"192.0.0.10/32",   /* TURN, anycast */
	"2001:1::1/128",   /* port control protocol, anycast */
	"2001:1::2/128",   /* TURN, anycast */
	"2001:1::3/128",   /* service registration, anycast */
	"2001:3::/32",	   /* automatic multicast tunnels */
	"2001:4:112::/48", /* AS112 */
	"2001:20::/28",	   /* ORCHID version 2 */
	"2001:30::/28",	   /* drone identifiers */
};

static const char *const platform_address = "168.63.129.16/32";

static void add_text(struct arena *arena, addr_ranges *ranges, const char *text)
{
	struct addr_range range;

	if (!addr_range_parse(str_of(text), &range))
		array_push(arena, ranges, range);
}

static addr_ranges ranges_of(struct arena *arena, const char *const *texts, size_t n)
{
	addr_ranges ranges = {};

	for (size_t i = 0; i < n; i++)
		add_text(arena, &ranges, texts[i]);
	addr_ranges_normalize(&ranges);
	return ranges;
}

/* virtual_network, where set, and what the platform adds to it. */
static addr_ranges own_network(struct arena *arena, const struct hostconf *host)
{
	addr_ranges ranges = {};

	for (size_t i = 0; i < host->virtual_network.len; i++)
		array_push(arena, &ranges, host->virtual_network.at[i].range);
	if (host->platform_azure)
		add_text(arena, &ranges, platform_address);
	addr_ranges_normalize(&ranges);
	return ranges;
}

static addr_ranges internet(struct arena *arena, const struct hostconf *host)
{
	addr_ranges all = ranges_of(arena, unicast, ARRAY_LEN(unicast));
	addr_ranges without = ranges_of(arena, unreachable, ARRAY_LEN(unreachable));
	addr_ranges own = own_network(arena, host);
	addr_ranges reachable = {}, result = {};

	addr_ranges_subtract(arena, &all, &without, &reachable);
	for (size_t i = 0; i < ARRAY_LEN(reachable_after_all); i++)
		add_text(arena, &reachable, reachable_after_all[i]);
	addr_ranges_normalize(&reachable);
	addr_ranges_subtract(arena, &reachable, &own, &result);
	return result;
}

const char *tag_name(enum tag tag)
{
	static const char *const names[TAG_COUNT] = {
		[TAG_INTERNET] = "Internet",
		[TAG_VIRTUAL_NETWORK] = "VirtualNetwork",
		[TAG_AZURE_LOAD_BALANCER] = "AzureLoadBalancer",
	};

	return names[tag];
}

enum tag tag_find(struct str name)
{
	enum tag tag = 0;

	while (tag < TAG_COUNT && !str_eq_nocase(str_of(tag_name(tag)), name))
		tag++;
	return tag;
}

bool tag_expand(enum tag tag, struct arena *arena, const struct hostconf *host,
		addr_ranges *ret_ranges)
{
	switch (tag) {
	case TAG_INTERNET:
		*ret_ranges = internet(arena, host);
		return true;
	case TAG_VIRTUAL_NETWORK:
		if (!host->virtual_network.len)
			return false;
		*ret_ranges = own_network(arena, host);
		return true;
	case TAG_AZURE_LOAD_BALANCER:
		*ret_ranges = ranges_of(arena, &platform_address, 1);
		return true;
	case TAG_COUNT:
		break;
	}
	return false;
}
