// SPDX-License-Identifier: GPL-2.0-only
/* Which links are covered, on hosts made by hand. */
#include <criterion/criterion.h>
#include <errno.h>

#include "host/facts.h"

/* A host in a line: each link with what the rules look at. */
struct host {
	struct arena *arena;
	struct diag *diag;
	struct host_facts facts;
	host_links links;
};

static void host_init(struct host *host)
{
	*host = (struct host){.arena = arena_new(), .diag = diag_new()};
}

static void host_fini(struct host *host)
{
	arena_free(host->arena);
	diag_free(host->diag);
}

static struct host_link *add(struct host *host, const char *name)
{
	struct host_link *link = array_add(host->arena, &host->facts.links);

	*link = (struct host_link){
		.ifindex = (uint32_t)host->facts.links.len,
		.name = name,
		.kind = "",
		.driver = "",
		.slave_kind = "",
		.up = true,
		.ethernet = true,
	};
	return link;
}

static struct host_link *add_device(struct host *host, const char *name)
{
	struct host_link *link = add(host, name);

	link->device = true;
	link->driver = "virtio_net";
	return link;
}

static void add_lo(struct host *host)
{
	struct host_link *link = add(host, "lo");

	link->loopback = true;
	link->ethernet = false;
}

/* The names of what is chosen, in their order, or the error. */
static const char *chosen(struct host *host, const char *first, const char *second)
{
	const struct host_pattern patterns[] = {{.text = str_of(first)}, {.text = str_of(second)}};
	size_t n = (size_t) !!first + !!second;
	const char *names = "";
	int err = host_select(host->arena, &host->facts, patterns, n, host->diag, &host->links);

	if (err)
		return arena_printf(host->arena, "%s", strerrorname_np(-err));
	for (size_t i = 0; i < host->links.len; i++)
		names = arena_printf(host->arena, "%s%s%s", names, i ? " " : "",
				     host->links.at[i]->name);
	return names;
}

/* The words of the last message. */
static const char *words(const struct host *host)
{
	size_t n = 0;
	const struct diag_message *messages = diag_messages(host->diag, &n);

	return n ? messages[n - 1].text : "";
}

/* lo, two cards, a veth, a tunnel, a bond over two cards. */
static void make_usual(struct host *host)
{
	struct host_link *tunnel;

	host_init(host);
	add_lo(host);
	add_device(host, "eth0")->up = true;
	add_device(host, "eth1")->up = false;
	add(host, "veth0")->kind = "veth";
	tunnel = add(host, "tun0");
	tunnel->ethernet = false;
	tunnel->kind = "tun";
}

Test(select, auto_takes_ethernet_links_with_a_device_up_or_down)
{
	struct host host;

	make_usual(&host);
	cr_assert_str_eq(chosen(&host, NULL, NULL), "eth0 eth1");
	host_fini(&host);
}

Test(select, auto_takes_the_netvsc_link_and_not_the_vf_below_it)
{
	struct host host;
	struct host_link *vf;

	host_init(&host);
	add_lo(&host);
	add_device(&host, "eth0")->driver = "hv_netvsc";
	vf = add_device(&host, "enP1s1");
	vf->driver = "mlx5_core";
	vf->master = 2;
	vf->netvsc_vf = true;
	cr_assert_str_eq(chosen(&host, NULL, NULL), "eth0");
	cr_assert_str_eq(host_why_not_auto(&host.facts, &host.facts.links.at[2]),
			 "a virtual function, covered through its netvsc link");
	cr_assert_str_eq(chosen(&host, "e*", NULL), "eth0");
	cr_assert_str_eq(chosen(&host, "enP1s1", NULL), "ENODEV");
	cr_assert_str_eq(words(&host), "'enP1s1' is a virtual function, which is covered through "
				       "its netvsc link: name that one");
	host_fini(&host);
}

Test(select, auto_takes_the_ports_of_a_bond_or_bridge_that_is_not_covered_itself)
{
	struct host host;

	host_init(&host);
	add(&host, "bond0")->kind = "bond";
	add(&host, "br0")->kind = "bridge";
	add_device(&host, "eth0")->master = 1;
	add_device(&host, "eth1")->master = 2;
	cr_assert_str_eq(chosen(&host, NULL, NULL), "eth0 eth1");
	host_fini(&host);
}

Test(select, auto_leaves_out_the_port_of_a_covered_master)
{
	struct host host;
	struct host_link *port;

	host_init(&host);
	add_device(&host, "team0");
	port = add_device(&host, "eth0");
	port->master = 1;
	cr_assert_str_eq(chosen(&host, NULL, NULL), "team0");
	cr_assert_str_eq(host_why_not_auto(&host.facts, &host.facts.links.at[1]),
			 "a port of a covered link");
	host_fini(&host);
}

Test(select, auto_that_finds_no_link_is_refused)
{
	struct host host;

	host_init(&host);
	add_lo(&host);
	add(&host, "veth0")->kind = "veth";
	cr_assert_str_eq(chosen(&host, NULL, NULL), "ENODEV");
	cr_assert_str_eq(words(&host),
			 "no Ethernet link with a device behind it; name the links to cover in "
			 "host.yaml (interfaces) or with --interface");
	host_fini(&host);
}

Test(select, every_link_that_auto_leaves_out_has_its_reason)
{
	struct host host;
	const char *why[5];

	make_usual(&host);
	for (size_t i = 0; i < 5; i++)
		why[i] = host_why_not_auto(&host.facts, &host.facts.links.at[i]);
	cr_assert_str_eq(why[0], "local traffic is not covered");
	cr_assert_null(why[1]);
	cr_assert_null(why[2]);
	cr_assert_str_eq(why[3], "no device behind it");
	cr_assert_str_eq(why[4], "not an Ethernet link");
	host_fini(&host);
}

Test(select, a_name_takes_a_link_that_auto_would_not)
{
	struct host host;

	make_usual(&host);
	cr_assert_str_eq(chosen(&host, "veth0", NULL), "veth0");
	host_fini(&host);
}

Test(select, names_and_globs_give_each_link_once_in_the_order_of_ifindex)
{
	struct host host;

	make_usual(&host);
	cr_assert_str_eq(chosen(&host, "veth0", "eth*"), "eth0 eth1 veth0");
	cr_assert_str_eq(chosen(&host, "eth1", "eth[01]"), "eth0 eth1");
	cr_assert_str_eq(chosen(&host, "eth?", "eth0"), "eth0 eth1");
	host_fini(&host);
}

Test(select, a_glob_passes_over_lo_and_what_is_not_ethernet)
{
	struct host host;

	make_usual(&host);
	cr_assert_str_eq(chosen(&host, "*", NULL), "eth0 eth1 veth0");
	cr_assert_str_eq(chosen(&host, "tun*", NULL), "ENODEV");
	cr_assert_str_eq(words(&host), "no Ethernet link matches 'tun*'");
	host_fini(&host);
}

Test(select, a_link_that_is_called_as_a_glob_can_be_named_and_hides_no_other)
{
	struct host host;

	make_usual(&host);
	add(&host, "eth*");
	add(&host, "en[a]");
	add(&host, "a\\b");
	cr_assert_str_eq(chosen(&host, "eth*", NULL), "eth0 eth1 eth*");
	cr_assert_str_eq(chosen(&host, "eth\\*", NULL), "eth*");
	cr_assert_str_eq(chosen(&host, "en[a]", NULL), "en[a]");
	cr_assert_str_eq(chosen(&host, "a\\b", NULL), "a\\b");
	host_fini(&host);
}

Test(select, what_cannot_be_covered_is_refused_by_its_name)
{
	struct host host;

	make_usual(&host);
	cr_assert_str_eq(chosen(&host, "lo", NULL), "ENODEV");
	cr_assert_str_eq(words(&host), "'lo' is the loopback link, which cannot be covered");
	cr_assert_str_eq(chosen(&host, "tun0", NULL), "ENODEV");
	cr_assert_str_eq(words(&host), "'tun0' is no Ethernet link");
	add(&host, "blue")->kind = "vrf";
	cr_assert_str_eq(chosen(&host, "blue", NULL), "ENODEV");
	cr_assert_str_eq(words(&host),
			 "'blue' is a VRF, whose packets cross the hooks of its ports alone: name "
			 "those");
	cr_assert_str_eq(chosen(&host, "bl*", NULL), "ENODEV");
	cr_assert_str_eq(words(&host), "no Ethernet link matches 'bl*'");
	cr_assert_str_eq(chosen(&host, "eth7", NULL), "ENODEV");
	cr_assert_str_eq(words(&host), "no link is called 'eth7'");
	host_fini(&host);
}

Test(select, one_wrong_pattern_refuses_all_and_every_wrong_one_is_told)
{
	struct host host;

	make_usual(&host);
	host.links.len = 77;
	cr_assert_str_eq(chosen(&host, "eth0", "nothing*"), "ENODEV");
	cr_assert_eq(host.links.len, 77, "the result was touched");
	cr_assert_eq(diag_n_errors(host.diag), 1);
	cr_assert_str_eq(chosen(&host, "none", "nothing*"), "ENODEV");
	cr_assert_eq(diag_n_errors(host.diag), 3);
	host_fini(&host);
}

Test(select, a_pattern_of_a_file_is_refused_with_its_place)
{
	const struct source source = {.path = "host.yaml", .text = STR("interfaces: [eth7]\n")};
	const struct host_pattern pattern = {.text = STR("eth7"), .at = {&source, 1, 14, 4}};
	const struct diag_message *messages;
	struct host host;
	size_t n = 0;

	make_usual(&host);
	cr_assert_eq(host_select(host.arena, &host.facts, &pattern, 1, host.diag, &host.links),
		     -ENODEV);
	messages = diag_messages(host.diag, &n);
	cr_assert_eq(n, 2);
	cr_assert_eq(messages[1].level, DIAG_NOTE);
	cr_assert_eq(messages[1].at.source, &source);
	cr_assert_eq(messages[1].at.column, 14);
	host_fini(&host);
}
