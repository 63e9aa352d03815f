// SPDX-License-Identifier: GPL-2.0-only
/*
 * The classifiers of a link at clsact: whose they are, and in which order they run.
 */
#include <errno.h>

#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include "host/facts.h"
#include "host/netlink.h"

struct reading {
	struct arena *arena;
	struct host_filters *filters;
	host_qdiscs *qdiscs;
};

static void forget_qdiscs(void *data)
{
	((struct reading *)data)->qdiscs->len = 0;
}

static void forget_filters(void *data)
{
	((struct reading *)data)->filters->filters.len = 0;
}

static int take_qdisc(const struct nlmsghdr *message, void *data)
{
	const struct tcmsg *head = mnl_nlmsg_get_payload(message);
	const struct nlattr *table[TCA_MAX + 1] = {};
	struct reading *reading = data;
	struct host_qdisc qdisc = {.ifindex = (uint32_t)head->tcm_ifindex};

	if (head->tcm_parent != TC_H_CLSACT)
		return MNL_CB_OK;
	netlink_attributes(message, sizeof(*head), TCA_MAX, table);
	if (!table[TCA_KIND])
		return MNL_CB_OK;
	qdisc.kind = netlink_text(reading->arena, table[TCA_KIND]);
	array_push(reading->arena, reading->qdiscs, qdisc);
	return MNL_CB_OK;
}

static void read_bpf(struct arena *arena, const struct nlattr *options, struct host_filter *filter)
{
	const struct nlattr *attribute;

	mnl_attr_for_each_nested(attribute, options)
	{
		if (mnl_attr_get_type(attribute) == TCA_BPF_NAME)
			filter->name = netlink_text(arena, attribute);
		if (mnl_attr_get_type(attribute) == TCA_BPF_ID)
			filter->program = mnl_attr_get_u32(attribute);
	}
}

/* Each preference also shows a line of its own, without handle and options. */
static int take_filter(const struct nlmsghdr *message, void *data)
{
	const struct tcmsg *head = mnl_nlmsg_get_payload(message);
	const struct nlattr *table[TCA_MAX + 1] = {};
	struct reading *reading = data;
	struct host_filter filter = {
		.preference = TC_H_MAJ(head->tcm_info) >> 16,
		.handle = head->tcm_handle,
		.kind = "",
		.name = "",
	};

	netlink_attributes(message, sizeof(*head), TCA_MAX, table);
	if (table[TCA_KIND])
		filter.kind = netlink_text(reading->arena, table[TCA_KIND]);
	if (!table[TCA_OPTIONS] || !filter.handle)
		return MNL_CB_OK;
	if (strcmp(filter.kind, "bpf") == 0)
		read_bpf(reading->arena, table[TCA_OPTIONS], &filter);
	array_push(reading->arena, &reading->filters->filters, filter);
	return MNL_CB_OK;
}

int host_qdiscs_read(struct arena *arena, struct diag *diag, host_qdiscs *ret_qdiscs)
{
	host_qdiscs qdiscs = {};
	struct reading reading = {.arena = arena, .qdiscs = &qdiscs};
	const struct tcmsg all = {};
	int err = netlink_dump(arena, &(struct netlink_query){
					      .type = RTM_GETQDISC,
					      .head = &all,
					      .head_size = sizeof(all),
					      .forget = forget_qdiscs,
					      .take = take_qdisc,
					      .data = &reading,
				      });

	if (err)
		return diag_sys(diag, -err, "cannot list the queueing disciplines of links");
	*ret_qdiscs = qdiscs;
	return 0;
}

const struct host_qdisc *host_qdisc_of(const host_qdiscs *qdiscs, uint32_t ifindex)
{
	for (size_t i = 0; i < qdiscs->len; i++)
		if (qdiscs->at[i].ifindex == ifindex)
			return &qdiscs->at[i];
	return NULL;
}

int host_filters_read_at(struct arena *arena, const struct host_qdisc *qdisc, bool inbound,
			 struct diag *diag, struct host_filters *ret_filters)
{
	struct host_filters filters = {.qdisc = qdisc->kind};
	struct reading reading = {.arena = arena, .filters = &filters};
	const uint32_t minor = inbound ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS;
	const struct tcmsg side = {
		.tcm_ifindex = (int)qdisc->ifindex,
		.tcm_parent = TC_H_MAKE(TC_H_CLSACT, minor),
	};
	int err = netlink_dump(arena, &(struct netlink_query){
					      .type = RTM_GETTFILTER,
					      .head = &side,
					      .head_size = sizeof(side),
					      .forget = forget_filters,
					      .take = take_filter,
					      .data = &reading,
				      });

	if (err)
		return diag_sys(diag, -err, "cannot list the filters of link %u", qdisc->ifindex);
	*ret_filters = filters;
	return 0;
}

int host_filters_read(struct arena *arena, uint32_t ifindex, bool inbound, struct diag *diag,
		      struct host_filters *ret_filters)
{
	host_qdiscs qdiscs = {};
	int err = host_qdiscs_read(arena, diag, &qdiscs);
	const struct host_qdisc *qdisc = host_qdisc_of(&qdiscs, ifindex);

	if (!err && qdisc)
		return host_filters_read_at(arena, qdisc, inbound, diag, ret_filters);
	if (!err)
		*ret_filters = (struct host_filters){.qdisc = ""};
	return err;
}
