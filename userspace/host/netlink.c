// SPDX-License-Identifier: GPL-2.0-only
#include "host/netlink.h"

#include <errno.h>
#include <string.h>

#include <linux/netlink.h>

#include "base/array.h"
#include "base/str.h"

SCOPED(struct mnl_socket *, mnl_socket_close);

enum { TRIES = 5, DUMP_SIZE = 32768, SEQUENCE = 1 };

static int ask(const struct mnl_socket *socket, char *buffer, const struct netlink_query *query)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);

	request->nlmsg_type = query->type;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	request->nlmsg_seq = SEQUENCE;
	memcpy(mnl_nlmsg_put_extra_header(request, query->head_size), query->head,
	       query->head_size);
	return mnl_socket_sendto(socket, request, request->nlmsg_len) < 0 ? -errno : 0;
}

/* What ends an answer begins with 0, or with why the kernel has not told all of it. */
static int end_answer(const struct nlmsghdr *message, void *data)
{
	const int *err = mnl_nlmsg_get_payload(message);

	(void)data;
	if (mnl_nlmsg_get_payload_len(message) < sizeof(*err))
		errno = EPROTO;
	else if (*err >= 0)
		return MNL_CB_STOP;
	else
		errno = -*err;
	return MNL_CB_ERROR;
}

static int dump_once(struct arena *arena, const struct netlink_query *query)
{
	scoped(mnl_socket_close) struct mnl_socket *socket =
		mnl_socket_open2(query->bus, SOCK_CLOEXEC);
	/* libmnl's own takes whatever ends a dump for its good end. */
	mnl_cb_t ends[] = {[NLMSG_ERROR] = end_answer, [NLMSG_DONE] = end_answer};
	char *buffer = arena_alloc(arena, DUMP_SIZE);
	int strict = query->strict;
	int more = MNL_CB_OK;
	int err;

	if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID))
		return -errno;
	/* Without it the kernel would tell what was not asked for, too, and it would be believed. */
	if (strict &&
	    mnl_socket_setsockopt(socket, NETLINK_GET_STRICT_CHK, &strict, sizeof(strict)))
		return -errno;
	err = ask(socket, buffer, query);
	if (err)
		return err;
	while (more == MNL_CB_OK) {
		ssize_t size = mnl_socket_recvfrom(socket, buffer, DUMP_SIZE);

		if (size < 0)
			return -errno;
		more = mnl_cb_run2(buffer, (size_t)size, SEQUENCE, mnl_socket_get_portid(socket),
				   query->take, query->data, ends, ARRAY_LEN(ends));
	}
	return more < 0 ? -errno : 0;
}

int netlink_dump(struct arena *arena, const struct netlink_query *query)
{
	int err = -EINTR;

	for (int i = 0; i < TRIES && err == -EINTR; i++) {
		query->forget(query->data);
		err = dump_once(arena, query);
	}
	return err;
}

void netlink_attributes(const struct nlmsghdr *message, size_t head_size, uint16_t max,
			const struct nlattr **table)
{
	const struct nlattr *attribute;

	mnl_attr_for_each(attribute, message, head_size)
	{
		if (mnl_attr_get_type(attribute) <= max)
			table[mnl_attr_get_type(attribute)] = attribute;
	}
}

const char *netlink_text(struct arena *arena, const struct nlattr *attribute)
{
	const char *text = mnl_attr_get_payload(attribute);
	size_t size = mnl_attr_get_payload_len(attribute);

	return str_dup(arena, (struct str){.at = text, .len = strnlen(text, size)});
}
