// SPDX-License-Identifier: GPL-2.0-only
/*
 * Links, addresses and local routes through rtnetlink dumps; what netlink does not tell (the driver, the platform)
 * from /sys.
 */
#include "host/facts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/stat.h>

#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <libmnl/libmnl.h>

#include "host/netlink.h"

enum { SYS_TEXT_SIZE = 256 };

struct reading {
	struct arena *arena;
	struct host_facts *facts;
	struct {
		size_t links, addresses, local;
	} before; /* how many the dumps before this one have brought */
};

/* The first line of a file, without blanks at its end; "" when it cannot be read. */
static const char *sys_text(struct arena *arena, const char *path)
{
	char line[SYS_TEXT_SIZE];
	scoped(fclose) FILE *in = fopen(path, "re");
	size_t len;

	if (!in || !fgets(line, sizeof(line), in))
		return "";
	len = strcspn(line, "\n");
	while (len > 0 && line[len - 1] == ' ')
		len--;
	return str_dup(arena, (struct str){.at = line, .len = len});
}

/* The last part of a symbolic link's target; "" when there is none. */
static const char *sys_link_name(struct arena *arena, const char *path)
{
	char target[PATH_MAX];
	ssize_t len = readlink(path, target, sizeof(target) - 1);
	const char *slash;

	if (len <= 0)
		return "";
	target[len] = '\0';
	slash = strrchr(target, '/');
	return str_dup(arena, str_of(slash ? slash + 1 : target));
}

/*
 * The kernel names the device behind a link since 5.14. /sys/class/net is not asked: it shows the
 * network namespace in which it was mounted, where the same name and ifindex may be another link's.
 * Devices of a bus are those of the machine, whoever looks.
 */
static void read_device(struct arena *arena, const struct nlattr *const *table,
			struct host_link *link)
{
	const struct nlattr *bus = table[IFLA_PARENT_DEV_BUS_NAME];
	const struct nlattr *name = table[IFLA_PARENT_DEV_NAME];

	link->device = name;
	if (name && bus)
		link->driver = sys_link_name(
			arena, arena_printf(arena, "/sys/bus/%s/devices/%s/driver",
					    netlink_text(arena, bus), netlink_text(arena, name)));
}

static void read_link_info(struct arena *arena, const struct nlattr *info, struct host_link *link)
{
	const struct nlattr *attribute;

	mnl_attr_for_each_nested(attribute, info)
	{
		if (mnl_attr_get_type(attribute) == IFLA_INFO_KIND)
			link->kind = netlink_text(arena, attribute);
		if (mnl_attr_get_type(attribute) == IFLA_INFO_SLAVE_KIND)
			link->slave_kind = netlink_text(arena, attribute);
	}
}

static enum host_xdp xdp_of(uint8_t attached)
{
	switch (attached) {
	case XDP_ATTACHED_NONE:
		return HOST_XDP_NONE;
	case XDP_ATTACHED_DRV:
		return HOST_XDP_NATIVE;
	case XDP_ATTACHED_SKB:
		return HOST_XDP_GENERIC;
	case XDP_ATTACHED_HW:
		return HOST_XDP_OFFLOADED;
	default:
		return HOST_XDP_SEVERAL;
	}
}

static void read_xdp(const struct nlattr *xdp, struct host_link *link)
{
	const struct nlattr *attribute;

	mnl_attr_for_each_nested(attribute, xdp)
	{
		if (mnl_attr_get_type(attribute) == IFLA_XDP_ATTACHED)
			link->xdp = xdp_of(mnl_attr_get_u8(attribute));
		if (mnl_attr_get_type(attribute) == IFLA_XDP_PROG_ID)
			link->xdp_program = mnl_attr_get_u32(attribute);
	}
}

static int take_link(const struct nlmsghdr *message, void *data)
{
	const struct ifinfomsg *head = mnl_nlmsg_get_payload(message);
	const struct nlattr *table[IFLA_MAX + 1] = {};
	struct reading *reading = data;
	struct arena *arena = reading->arena;
	struct host_link link = {.kind = "", .driver = "", .slave_kind = ""};

	netlink_attributes(message, sizeof(*head), IFLA_MAX, table);
	if (!table[IFLA_IFNAME])
		return MNL_CB_OK;
	link.ifindex = (uint32_t)head->ifi_index;
	link.name = netlink_text(arena, table[IFLA_IFNAME]);
	link.up = head->ifi_flags & IFF_UP;
	link.carrier = head->ifi_flags & IFF_RUNNING;
	link.loopback = head->ifi_flags & IFF_LOOPBACK;
	link.ethernet = head->ifi_type == ARPHRD_ETHER;
	if (table[IFLA_MTU])
		link.mtu = mnl_attr_get_u32(table[IFLA_MTU]);
	if (table[IFLA_MASTER])
		link.master = mnl_attr_get_u32(table[IFLA_MASTER]);
	if (table[IFLA_LINKINFO])
		read_link_info(arena, table[IFLA_LINKINFO], &link);
	if (table[IFLA_XDP])
		read_xdp(table[IFLA_XDP], &link);
	read_device(arena, table, &link);
	array_push(arena, &reading->facts->links, link);
	return MNL_CB_OK;
}

static bool is_loopback(const struct addr *addr)
{
	static const uint8_t v6[16] = {[15] = 1};

	if (addr->family == ADDR_V4)
		return addr->bytes[0] == 127;
	return memcmp(addr->bytes, v6, sizeof(v6)) == 0;
}

static int family_of(uint8_t family)
{
	return family == AF_INET ? ADDR_V4 : family == AF_INET6 ? ADDR_V6 : 0;
}

/* False: it is no address of the family. */
static bool read_address(uint8_t family, const struct nlattr *attribute, struct addr *ret_addr)
{
	struct addr addr = {.family = (uint8_t)family_of(family)};
	size_t size = family == AF_INET ? 4 : 16;

	if (mnl_attr_get_payload_len(attribute) != size)
		return false;
	memcpy(addr.bytes, mnl_attr_get_payload(attribute), size);
	*ret_addr = addr;
	return true;
}

static void take_own(struct reading *reading, struct addr addr)
{
	/* The programs' table tells the two forms not apart: as another address it would never be there. */
	addr_unmap(&addr);
	if (!is_loopback(&addr))
		array_push(reading->arena, &reading->facts->addresses, addr);
}

/* IFA_LOCAL is the own one where the link is a point-to-point one; IPv6 often has no other. */
static int take_address(const struct nlmsghdr *message, void *data)
{
	const struct ifaddrmsg *head = mnl_nlmsg_get_payload(message);
	const struct nlattr *table[IFA_MAX + 1] = {};
	const struct nlattr *own;
	struct addr addr;

	if (!family_of(head->ifa_family))
		return MNL_CB_OK;
	netlink_attributes(message, sizeof(*head), IFA_MAX, table);
	own = table[IFA_LOCAL] ? table[IFA_LOCAL] : table[IFA_ADDRESS];
	if (own && read_address(head->ifa_family, own, &addr))
		take_own(data, addr);
	return MNL_CB_OK;
}

/* Own addresses bring routes, too, which say nothing new. One to everything has no destination. */
static int take_route(const struct nlmsghdr *message, void *data)
{
	const struct rtmsg *head = mnl_nlmsg_get_payload(message);
	const struct nlattr *table[RTA_MAX + 1] = {};
	struct addr addr = {.family = (uint8_t)family_of(head->rtm_family)};
	struct reading *reading = data;
	struct addr_range range;

	if (!addr.family || (head->rtm_type != RTN_LOCAL && head->rtm_type != RTN_ANYCAST))
		return MNL_CB_OK;
	netlink_attributes(message, sizeof(*head), RTA_MAX, table);
	if (table[RTA_DST] && !read_address(head->rtm_family, table[RTA_DST], &addr))
		return MNL_CB_OK;
	range = addr_range_of_prefix(&addr, head->rtm_dst_len);
	if (addr_compare(&range.first, &range.last) == 0)
		take_own(reading, addr);
	else if (!is_loopback(&range.first))
		array_push(reading->arena, &reading->facts->local, range);
	return MNL_CB_OK;
}

static void forget(void *data)
{
	const struct reading *reading = data;

	reading->facts->links.len = reading->before.links;
	reading->facts->addresses.len = reading->before.addresses;
	reading->facts->local.len = reading->before.local;
}

static int compare_links(const void *a, const void *b)
{
	const struct host_link *left = a;
	const struct host_link *right = b;

	return (left->ifindex > right->ifindex) - (left->ifindex < right->ifindex);
}

static int compare_addresses(const void *a, const void *b)
{
	return addr_compare(a, b);
}

static void sort_facts(struct host_facts *facts)
{
	size_t n = 0;

	if (facts->links.len)
		qsort(facts->links.at, facts->links.len, sizeof(*facts->links.at), compare_links);
	addr_ranges_normalize(&facts->local);
	if (!facts->addresses.len)
		return;
	qsort(facts->addresses.at, facts->addresses.len, sizeof(*facts->addresses.at),
	      compare_addresses);
	for (size_t i = 0; i < facts->addresses.len; i++)
		if (!n || addr_compare(&facts->addresses.at[n - 1], &facts->addresses.at[i]))
			facts->addresses.at[n++] = facts->addresses.at[i];
	facts->addresses.len = n;
}

static void mark_netvsc(struct host_facts *facts)
{
	for (size_t i = 0; i < facts->links.len; i++) {
		struct host_link *link = &facts->links.at[i];
		const struct host_link *master =
			link->master ? host_link_by_index(facts, link->master) : NULL;

		link->netvsc_vf = master && strcmp(master->driver, "hv_netvsc") == 0;
	}
}

/* The asset tag is what Azure itself documents; the names alone are those of any Hyper-V. */
static void read_platform(struct arena *arena, struct host_facts *facts)
{
	facts->vendor = sys_text(arena, "/sys/class/dmi/id/sys_vendor");
	facts->product = sys_text(arena, "/sys/class/dmi/id/product_name");
	facts->platform_azure = strcmp(sys_text(arena, "/sys/class/dmi/id/chassis_asset_tag"),
				       "7783-7084-3265-9085-8269-3286-77") == 0;
}

static int dump(struct reading *reading, uint16_t type, mnl_cb_t take, const void *head,
		size_t head_size)
{
	reading->before.links = reading->facts->links.len;
	reading->before.addresses = reading->facts->addresses.len;
	reading->before.local = reading->facts->local.len;
	return netlink_dump(reading->arena, &(struct netlink_query){
						    .type = type,
						    .head = head,
						    .head_size = head_size,
						    .strict = type == RTM_GETROUTE,
						    .forget = forget,
						    .take = take,
						    .data = reading,
					    });
}

/* Before a namespace has its first address it may have no table local, which is as good as an empty one. */
static int dump_routes_of(struct reading *reading, uint8_t family)
{
	const struct rtmsg head = {.rtm_family = family, .rtm_table = RT_TABLE_LOCAL};
	int err = dump(reading, RTM_GETROUTE, take_route, &head, sizeof(head));

	return err == -ENOENT ? 0 : err;
}

/* Of the table local alone: what others make local, they do for marked packets, say. */
static int dump_routes(struct reading *reading)
{
	int err = dump_routes_of(reading, AF_INET);

	return err ? err : dump_routes_of(reading, AF_INET6);
}

int host_facts_read(struct arena *arena, struct diag *diag, struct host_facts *ret_facts)
{
	struct host_facts facts = {};
	struct reading reading = {.arena = arena, .facts = &facts};
	const struct ifinfomsg links = {};
	const struct ifaddrmsg addresses = {};
	struct stat netns;
	int err;

	if (stat("/proc/self/ns/net", &netns))
		return diag_sys(diag, errno, "cannot read /proc/self/ns/net");
	facts.netns_device = netns.st_dev;
	facts.netns_inode = netns.st_ino;
	err = dump(&reading, RTM_GETLINK, take_link, &links, sizeof(links));
	if (err)
		return diag_sys(diag, -err, "cannot list the links");
	err = dump(&reading, RTM_GETADDR, take_address, &addresses, sizeof(addresses));
	if (err)
		return diag_sys(diag, -err, "cannot list the addresses");
	err = dump_routes(&reading);
	if (err)
		return diag_sys(diag, -err, "cannot list the routes of the table local");
	sort_facts(&facts);
	mark_netvsc(&facts);
	read_platform(arena, &facts);
	*ret_facts = facts;
	return 0;
}

uint64_t host_memory_available(void)
{
	static const char key[] = "MemAvailable:";
	scoped(fclose) FILE *in = fopen("/proc/meminfo", "re");
	char line[SYS_TEXT_SIZE];

	while (in && fgets(line, sizeof(line), in)) {
		struct str rest = str_of(line);
		struct str word;
		uint64_t kilobytes;

		if (str_word(&rest, &word) && str_eq(word, str_of(key)) && str_word(&rest, &word) &&
		    str_number(word, UINT64_MAX / 1024, &kilobytes))
			return kilobytes * 1024;
	}
	return 0;
}

const struct host_link *host_link_by_name(const struct host_facts *facts, struct str name)
{
	for (size_t i = 0; i < facts->links.len; i++)
		if (str_eq(str_of(facts->links.at[i].name), name))
			return &facts->links.at[i];
	return NULL;
}

const struct host_link *host_link_by_index(const struct host_facts *facts, uint32_t ifindex)
{
	for (size_t i = 0; i < facts->links.len; i++)
		if (facts->links.at[i].ifindex == ifindex)
			return &facts->links.at[i];
	return NULL;
}
