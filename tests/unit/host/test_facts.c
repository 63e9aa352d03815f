// SPDX-License-Identifier: GPL-2.0-only
/* What is read of the namespace that the test runs in; it may be any. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/facts.h"

struct read {
	struct arena *arena;
	struct diag *diag;
	struct host_facts facts;
};

static void read_init(struct read *read)
{
	*read = (struct read){.arena = arena_new(), .diag = diag_new()};
	cr_assert_eq(host_facts_read(read->arena, read->diag, &read->facts), 0);
}

static void read_fini(struct read *read)
{
	diag_free(read->diag);
	arena_free(read->arena);
}

static const char *sys_path(struct read *read, size_t i, const char *below)
{
	return arena_printf(read->arena, "/sys/class/net/%s%s", read->facts.links.at[i].name,
			    below);
}

Test(facts, the_loopback_link_is_known_as_such_and_links_are_found_both_ways)
{
	const struct host_link *lo;
	struct read read;

	read_init(&read);
	lo = host_link_by_name(&read.facts, STR("lo"));
	cr_assert(lo && lo->loopback && !lo->ethernet && !lo->device);
	for (size_t i = 0; i < read.facts.links.len; i++) {
		const struct host_link *link = &read.facts.links.at[i];

		cr_assert_eq(host_link_by_index(&read.facts, link->ifindex), link);
		cr_assert_eq(host_link_by_name(&read.facts, str_of(link->name)), link);
		cr_assert(!i || link[-1].ifindex < link->ifindex, "not in the order of ifindex");
		cr_assert(link->kind && link->driver && link->slave_kind);
	}
	cr_assert_null(host_link_by_name(&read.facts, STR("no-such-link")));
	cr_assert_null(host_link_by_index(&read.facts, 0));
	read_fini(&read);
}

/* What /sys says of a link, where it shows this namespace: where it knows the same links. */
Test(facts, a_device_and_its_driver_are_those_that_sys_shows_where_it_shows_this_namespace)
{
	struct read read;

	read_init(&read);
	for (size_t i = 0; i < read.facts.links.len; i++)
		if (access(sys_path(&read, i, ""), F_OK) != 0)
			cr_skip_test("/sys is of another network namespace");
	for (size_t i = 0; i < read.facts.links.len; i++) {
		const struct host_link *link = &read.facts.links.at[i];
		char *driver = realpath(sys_path(&read, i, "/device/driver"), NULL);

		cr_assert_eq(link->device, access(sys_path(&read, i, "/device"), F_OK) == 0, "%s",
			     link->name);
		cr_assert_str_eq(link->driver, driver ? strrchr(driver, '/') + 1 : "", "%s",
				 link->name);
		free(driver);
	}
	read_fini(&read);
}

Test(facts, own_addresses_are_sorted_once_each_and_never_loopback)
{
	struct addr_range loopback = {};
	struct addr six = {};
	struct read read;

	read_init(&read);
	cr_assert_eq(addr_range_parse(STR("127.0.0.0/8"), &loopback), ADDR_OK);
	cr_assert_eq(addr_parse(STR("::1"), &six), ADDR_OK);
	for (size_t i = 0; i < read.facts.addresses.len; i++) {
		const struct addr *addr = &read.facts.addresses.at[i];

		cr_assert_not(addr_range_has(&loopback, addr));
		cr_assert_neq(addr_compare(addr, &six), 0);
		cr_assert(!i || addr_compare(&addr[-1], addr) < 0);
	}
	read_fini(&read);
}

Test(facts, the_namespace_is_that_of_the_process)
{
	struct stat about;
	struct read read;

	read_init(&read);
	cr_assert_eq(stat("/proc/self/ns/net", &about), 0);
	cr_assert_eq(read.facts.netns_device, about.st_dev);
	cr_assert_eq(read.facts.netns_inode, about.st_ino);
	read_fini(&read);
}
