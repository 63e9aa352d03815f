// SPDX-License-Identifier: GPL-2.0-only
#include "host/senders.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <linux/packet_diag.h>
#include <linux/sock_diag.h>
#include <linux/xdp_diag.h>

#include "base/scoped.h"
#include "base/str.h"
#include "host/netlink.h"

SCOPED(DIR *, closedir);

struct reading {
	struct arena *arena;
	host_senders *senders;
	size_t before; /* of another kind */
};

static void forget(void *data)
{
	struct reading *reading = data;

	reading->senders->len = reading->before;
}

static int take_packet(const struct nlmsghdr *message, void *data)
{
	const struct packet_diag_msg *found = mnl_nlmsg_get_payload(message);
	struct reading *reading = data;
	const struct host_sender sender = {.inode = found->pdiag_ino, .name = ""};

	array_push(reading->arena, reading->senders, sender);
	return MNL_CB_OK;
}

static int take_xdp(const struct nlmsghdr *message, void *data)
{
	const struct xdp_diag_msg *found = mnl_nlmsg_get_payload(message);
	struct reading *reading = data;
	const struct host_sender sender = {.xdp = true, .inode = found->xdiag_ino, .name = ""};

	array_push(reading->arena, reading->senders, sender);
	return MNL_CB_OK;
}

/* False: this kernel does not list them. */
static bool read_kind(struct reading *reading, const void *head, size_t head_size, mnl_cb_t take_it)
{
	reading->before = reading->senders->len;
	if (!netlink_dump(reading->arena, &(struct netlink_query){
						  .bus = NETLINK_SOCK_DIAG,
						  .type = SOCK_DIAG_BY_FAMILY,
						  .head = head,
						  .head_size = head_size,
						  .forget = forget,
						  .take = take_it,
						  .data = reading,
					  }))
		return true;
	forget(reading);
	return false;
}

/* How many there are of a protocol of /proc/net/protocols: its name, a size, the number. */
static uint64_t count_sockets(struct str protocol)
{
	scoped(fclose) FILE *in = fopen("/proc/thread-self/net/protocols", "re");
	char line[256];
	uint64_t n = 0;

	while (in && fgets(line, sizeof(line), in)) {
		struct str rest = str_of(line);
		struct str name = {};
		struct str size = {};
		struct str count = {};

		if (str_word(&rest, &name) && str_eq(name, protocol) && str_word(&rest, &size) &&
		    str_word(&rest, &count))
			(void)str_number(count, UINT32_MAX, &n);
	}
	return n;
}

/* ---- whose ---- */

static bool is_number(const char *name)
{
	return name[0] && !name[strspn(name, "0123456789")];
}

static void name_process(struct arena *arena, const char *pid, struct host_sender *sender)
{
	scoped(fclose) FILE *in = fopen(arena_printf(arena, "/proc/%s/comm", pid), "re");
	char comm[32] = "";
	uint64_t number = 0;

	if (in && fgets(comm, sizeof(comm), in))
		comm[strcspn(comm, "\n")] = '\0';
	if (str_number(str_of(pid), UINT32_MAX, &number))
		sender->pid = (uint32_t)number;
	sender->name = str_dup(arena, str_of(comm));
}

static struct host_sender *find(const host_senders *senders, const char *socket)
{
	for (size_t i = 0; i < senders->len; i++) {
		char text[32];

		(void)snprintf(text, sizeof(text), "socket:[%u]", senders->at[i].inode);
		if (strcmp(text, socket) == 0)
			return &senders->at[i];
	}
	return NULL;
}

/* The descriptors of one process. */
static void look_into(struct arena *arena, const char *pid, host_senders *senders)
{
	const char *folder = arena_printf(arena, "/proc/%s/fd", pid);
	scoped(closedir) DIR *fds = opendir(folder);
	const struct dirent *entry;

	while (fds && (entry = readdir(fds))) {
		char socket[32];
		ssize_t len = readlinkat(dirfd(fds), entry->d_name, socket, sizeof(socket) - 1);
		struct host_sender *sender;

		if (len < 0)
			continue;
		socket[len] = '\0';
		sender = find(senders, socket);
		if (sender && !sender->pid)
			name_process(arena, pid, sender);
	}
}

static void find_owners(struct arena *arena, host_senders *senders)
{
	scoped(closedir) DIR *processes = opendir("/proc");
	const struct dirent *entry;

	while (processes && (entry = readdir(processes)))
		if (is_number(entry->d_name))
			look_into(arena, entry->d_name, senders);
}

void host_senders_read(struct arena *arena, host_senders *ret_senders)
{
	const struct packet_diag_req packet = {.sdiag_family = AF_PACKET};
	const struct xdp_diag_req xdp = {.sdiag_family = AF_XDP};
	host_senders senders = {};
	struct reading reading = {.arena = arena, .senders = &senders};

	(void)read_kind(&reading, &packet, sizeof(packet), take_packet);
	if (!read_kind(&reading, &xdp, sizeof(xdp), take_xdp))
		for (uint64_t n = count_sockets(STR("XDP")); n; n--)
			array_push(arena, &senders,
				   ((struct host_sender){.xdp = true, .name = ""}));
	if (senders.len)
		find_owners(arena, &senders);
	*ret_senders = senders;
}
