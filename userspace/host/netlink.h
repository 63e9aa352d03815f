/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Dumps through netlink: ask, take each answer, again from the start when what is dumped
 * changed meanwhile.
 */
#ifndef HOST_NETLINK_H
#define HOST_NETLINK_H

#include <stdbool.h>
#include <stdint.h>

#include <libmnl/libmnl.h>

#include "base/arena.h"

struct netlink_query {
	int bus;	  /* NETLINK_ROUTE, which is 0, or another */
	uint16_t type;	  /* RTM_GET… */
	const void *head; /* what stands behind the netlink header */
	size_t head_size;
	bool strict; /* what does not fit the head is not told, and a head that says too much is refused */
	void (*forget)(void *data); /* before each try: nothing has been taken */
	mnl_cb_t take;
	void *data; /* for both */
};

/* 0 or a negative errno. */
int netlink_dump(struct arena *arena, const struct netlink_query *query);

/* table[type] of the attributes behind the head, up to type max; table starts out empty. */
void netlink_attributes(const struct nlmsghdr *message, size_t head_size, uint16_t max,
			const struct nlattr **table);

/* The text of an attribute, which may lack its NUL. */
const char *netlink_text(struct arena *arena, const struct nlattr *attribute);

#endif
