// SPDX-License-Identifier: GPL-2.0-only
#include "tests/lib/judge_nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/lib/dress.h"

enum { PROTO_ICMP = 1, PROTO_ICMPV6 = 58, TCP_SYN = FRAME_TCP_SYN, WAIT_MS = 10000 };

/* What has been set up, and the packet at hand. */
static struct {
	bool tried;
	const char *missing;
	int netns;
	int wire[DIRECTION_COUNT]; /* leads to the device of a direction */
	int seen;		   /* where frames come out */
	enum nft_fault fault;
	bool loaded;	/* the ruleset of the policy at hand */
	addr_list self; /* as the ruleset has them */
	struct rng rng;
	struct dress dress;
	uint8_t sequence;
	const char *trouble; /* why it has no verdict */
} bed = {.netns = -1};

void judge_nft_fault(enum nft_fault fault)
{
	bed.fault = fault;
}

/* ---- the namespace ---- */

static bool make_devices(void)
{
	static const char script[] =
		"sysctl -q -w net.ipv6.conf.default.disable_ipv6=1 && set -e;"
		"for name in " NFT_DEVICE_IN " " NFT_DEVICE_OUT " " NFT_DEVICE_SEEN "; do "
		"ip link add $name mtu 9000 type veth peer name $name-end mtu 9000;"
		"ip link set $name up; ip link set $name-end up; done";

	/* NOLINTNEXTLINE(cert-env33-c): words of our own alone */
	return !system(script);
}

static int open_wire(const char *device)
{
	struct sockaddr_ll at = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex(device),
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof(at)))
		return -1;
	return fd;
}

/* In the new namespace; its sockets stay there. */
static const char *set_up(void)
{
	if (!make_devices())
		return "no veth links in a namespace of its own";
	bed.wire[DIRECTION_IN] = open_wire(NFT_DEVICE_IN "-end");
	bed.wire[DIRECTION_OUT] = open_wire(NFT_DEVICE_OUT "-end");
	bed.seen = open_wire(NFT_DEVICE_SEEN "-end");
	if (bed.wire[DIRECTION_IN] < 0 || bed.wire[DIRECTION_OUT] < 0 || bed.seen < 0)
		return "no packet sockets";
	return NULL;
}

static const char *try_set_up(void)
{
	scoped(close) int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	const char *missing;

	/* NOLINTNEXTLINE(cert-env33-c) */
	if (system("nft --version >/dev/null 2>&1"))
		return "nft is not installed";
	if (home < 0 || unshare(CLONE_NEWNET))
		return "no network namespace of its own";
	missing = set_up();
	bed.netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (setns(home, CLONE_NEWNET))
		abort();
	return missing;
}

const char *judge_nft_missing(void)
{
	if (!bed.tried)
		bed.missing = try_set_up();
	bed.tried = true;
	return bed.missing;
}

/* ---- the ruleset ---- */

/* nft in the namespace, which reads what is written. */
static FILE *nft_open(void)
{
	char command[96];

	snprintf(command, sizeof(command), "exec nsenter --net=/proc/%d/fd/%d nft -f -",
		 (int)getpid(), bed.netns);
	return popen(command, "we"); /* NOLINT(cert-env33-c) */
}

static int nft_close(FILE *nft)
{
	if (!pclose(nft))
		return 0;
	bed.trouble = "nft refuses the ruleset";
	return -EPROTO;
}

/* One run of nft is enough for ruleset and own addresses, which come only with the first packet. */
static int prepare(const struct policy *policy)
{
	(void)policy;
	bed.loaded = false;
	return judge_nft_missing() ? -ENOTSUP : 0;
}

static bool self_is(const addr_list *self)
{
	return bed.self.len == self->len &&
	       (!self->len || !memcmp(bed.self.at, self->at, self->len * sizeof(*self->at)));
}

static int load(const struct policy *policy, const addr_list *self)
{
	FILE *nft;

	if (bed.loaded && self_is(self))
		return 0;
	nft = nft_open();
	if (!nft)
		return -errno;
	if (!bed.loaded)
		nft_print(policy, bed.fault, nft);
	nft_print_self(self, nft);
	bed.loaded = true;
	bed.self.at = mem_realloc(bed.self.at, self->len + 1, sizeof(*self->at));
	memcpy(bed.self.at, self->at, self->len * sizeof(*self->at));
	bed.self.len = self->len;
	return nft_close(nft);
}

/* ---- a frame ---- */

static int trouble(const char *what)
{
	bed.trouble = what;
	return -EPROTO;
}

static int send_frame(enum policy_direction direction, struct frame *frame)
{
	const struct nft_note blank = {
		.tier_rule = {NFT_NONE, NFT_NONE, NFT_NONE},
		.rule = NFT_NONE,
		.sequence = ++bed.sequence,
	};

	memcpy(frame->bytes, &blank, sizeof(blank));
	if (send(bed.wire[direction], frame->bytes, frame->size, 0) != (ssize_t)frame->size)
		return trouble("the frame cannot be sent");
	return 0;
}

static int receive_note(struct nft_note *ret_note)
{
	struct pollfd seen = {.fd = bed.seen, .events = POLLIN};
	struct nft_note note = {};

	if (poll(&seen, 1, WAIT_MS) != 1)
		return trouble("the frame does not come out");
	if (recv(bed.seen, &note, sizeof(note), MSG_TRUNC) < (ssize_t)sizeof(note) ||
	    note.sequence != bed.sequence)
		return trouble("another frame came out");
	*ret_note = note;
	return 0;
}

static uint32_t rule_of(uint16_t be)
{
	return ntohs(be) == NFT_NONE ? POLICY_NO_RULE : ntohs(be);
}

static struct verdict verdict_of(const struct nft_note *note)
{
	struct verdict verdict = {
		.allow = note->verdict & NFT_PASS,
		.would_deny = note->verdict & NFT_WOULD_DENY,
		.reason = note->reason,
		.outcome = {.rule = rule_of(note->rule),
			    .log = note->flags & NFT_LOG,
			    .keep = note->flags & NFT_KEEP,
			    .no_group = note->reason == EVAL_NO_GROUP},
	};

	verdict.outcome.allow = verdict.allow;
	verdict.outcome.would_deny = verdict.would_deny;
	for (int tier = 0; tier < TIER_COUNT; tier++)
		verdict.outcome.tier_rule[tier] = rule_of(note->tier_rule[tier]);
	return verdict;
}

static int ask_dressed(const struct tuple *tuple, struct verdict *ret_verdict)
{
	struct frame frame;
	struct nft_note note;
	int err;

	dress_frame(&frame, tuple, &bed.dress, TCP_SYN);
	err = send_frame(tuple->direction, &frame);
	if (!err)
		err = receive_note(&note);
	if (!err)
		*ret_verdict = verdict_of(&note);
	return err;
}

/* Plain, and in a dress that must change nothing; nft looks behind one VLAN tag, but not two. */
static int ask(const struct tuple *tuple, struct verdict *ret_verdict)
{
	struct verdict plain, dressed;
	int err;

	bed.dress = (struct dress){};
	err = ask_dressed(tuple, &plain);
	if (err)
		return err;
	bed.dress = dress_draw(&bed.rng, tuple);
	if (bed.dress.n_tags > 1)
		bed.dress.n_tags = 1;
	err = ask_dressed(tuple, &dressed);
	if (!err && !verdict_same(&plain, &dressed))
		err = trouble("in this dress it fares otherwise than plain");
	if (!err)
		*ret_verdict = plain;
	return err;
}

/* ---- a packet ---- */

static bool by_rules(const struct verdict *verdict)
{
	return verdict->reason == EVAL_RULE || verdict->reason == EVAL_NO_GROUP;
}

/* A packet that a flow of the turned tuple can let through; of ICMP only the answer to an echo. */
static bool can_be_reply(const struct tuple *tuple)
{
	bool v4 = tuple->source.family == ADDR_V4;

	if (tuple->protocol == (v4 ? PROTO_ICMP : PROTO_ICMPV6))
		return tuple->established && tuple->icmp_type == (v4 ? 0 : 129);
	return tuple->established;
}

static int judge(const struct policy *policy, const struct tuple *tuple, const addr_list *self,
		 struct verdict *ret_verdict)
{
	struct tuple opening = tuple_turn(tuple);
	struct verdict verdict, opener;
	int err;

	bed.trouble = "";
	err = load(policy, self);
	if (!err)
		err = ask(tuple, &verdict);
	if (err)
		return err;
	*ret_verdict = verdict;
	if (!can_be_reply(tuple) || !by_rules(&verdict) || (verdict.allow && !verdict.would_deny))
		return 0;
	err = ask(&opening, &opener);
	if (err || !opener.allow || !(by_rules(&opener) || opener.reason == EVAL_PLATFORM))
		return err;
	opener.by_flow = true;
	*ret_verdict = opener;
	return 0;
}

static const char *detail(void)
{
	static char text[DRESS_TEXT_SIZE + 64];
	char dress[DRESS_TEXT_SIZE];

	snprintf(text, sizeof(text), "%s: %s", dress_print(&bed.dress, dress), bed.trouble);
	return text;
}

const struct judge judge_nft = {
	.name = "nftables",
	.prepare = prepare,
	.judge = judge,
	.detail = detail,
};
