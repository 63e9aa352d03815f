// SPDX-License-Identifier: GPL-2.0-only
/*
 * bulkhead explain: which rule decides this packet, and why not the others. On the policy in force the
 * loaded programs are asked too, and have to agree.
 */
#include <errno.h>
#include <string.h>

#include "cli/describe.h"
#include "cli/frame.h"
#include "cli/inputs.h"
#include "cli/live.h"
#include "kernel/apply.h"
#include "kernel/privileges.h"
#include "kernel/run.h"

static int answer(const struct view_explain *explain)
{
	return explain->allow ? STATUS_DONE : STATUS_NO;
}

static int explain_files(struct context *context, const struct tuple *tuple)
{
	struct inputs inputs;
	struct view_explain explain;
	addr_list self = {};
	struct addr local;
	int err = inputs_policy(context, context->options.policies.at,
				context->options.policies.len, NULL, &inputs);

	if (err)
		return err;
	if (context->options.self && inputs_self(context, &self))
		return STATUS_USAGE;
	if (!context->options.self && tuple_local(tuple, &local))
		array_push(context->arena, &self, local);
	explain = describe_trace(context->arena, &inputs.policy,
				 trace_packet(context->arena, &inputs.policy, tuple, &self));
	context->view->ops->explain(context->view, &explain);
	return answer(&explain);
}

/* Own addresses as the programs know them, one by one. */
static int read_self(struct context *context, const struct live *live, addr_list *ret_self)
{
	addr_ranges ranges = {};
	addr_list self = {};
	int err = apply_read_self(live->load, context->arena, context->diag, &ranges);

	for (size_t i = 0; i < ranges.len; i++) {
		struct addr addr = ranges.at[i].first;

		do
			array_push(context->arena, &self, addr);
		while (addr_compare(&addr, &ranges.at[i].last) && addr_next(&addr, &addr));
	}
	if (!err)
		*ret_self = self;
	return err;
}

static int send(struct run *run, const struct tuple *tuple, enum frame_tcp tcp, struct diag *diag,
		struct run_answer *ret_answer)
{
	enum bh_hook hook = tuple->direction == DIRECTION_IN ? BH_HOOK_XDP : BH_HOOK_TC_OUT;
	uint8_t frame[FRAME_MAX_SIZE];
	size_t size = frame_build(tuple, tcp, frame);

	return run_frame(run, hook, frame, size, diag, ret_answer);
}

/* Opens the flow of which the tuple is a reply, as its two ends would. */
static int establish(struct run *run, const struct tuple *tuple, struct diag *diag)
{
	struct tuple opener = tuple_turn(tuple);
	struct run_answer ignored;
	int err = send(run, &opener, FRAME_SYN, diag, &ignored);

	if (!err && tuple->protocol == 6)
		err = send(run, tuple, FRAME_SYN_ACK, diag, &ignored);
	if (!err && tuple->protocol == 6)
		err = send(run, &opener, FRAME_ACK, diag, &ignored);
	return err;
}

static int ask_kernel(struct context *context, const struct live *live, const struct tuple *tuple,
		      struct run_answer *ret_answer)
{
	scoped(run_close) struct run *run = NULL;
	struct probe probe;
	int err = probe_kernel(context->diag, &probe);

	/* Of either slot: an apply may come in between. */
	for (uint32_t slot = 0; slot < 2 && !err; slot++)
		err = load_hold_page(live->load, LOAD_MAP_IMAGE, slot * BH_IMAGE_PAGES,
				     context->diag);
	if (!err)
		err = privileges_keep(PRIVILEGE_BPF | PRIVILEGE_NET_ADMIN | PRIVILEGE_PERFMON,
				      context->diag);
	if (!err)
		err = run_open(live->load, &probe, context->diag, &run);
	if (!err)
		err = privileges_keep(PRIVILEGE_BPF, context->diag);
	if (!err && tuple->established)
		err = establish(run, tuple, context->diag);
	if (!err)
		err = send(run, tuple, tuple->established ? FRAME_ACK : FRAME_SYN, context->diag,
			   ret_answer);
	return err;
}

static const char *answer_decider(struct arena *arena, const struct image *image,
				  const struct run_answer *answer)
{
	const struct bh_outcome *outcome;

	if (answer->by_reason || answer->outcome >= image_head(image)->n_outcomes)
		return live_reason_name(answer->reason);
	outcome = image_outcome(image, answer->outcome);
	if (outcome->rule == BH_NO_RULE)
		return live_reason_name((enum bh_reason)outcome->reason);
	return live_rule_path(arena, image, outcome->rule);
}

static void compare(struct context *context, const struct live *live,
		    const struct run_answer *kernel, struct view_explain *explain)
{
	const char *decider = answer_decider(context->arena, &live->image, kernel);
	bool allow = kernel->verdict != BH_DENY;

	explain->kernel = arena_printf(context->arena, "%s by %s%s", allow ? "allow" : "deny",
				       decider, kernel->by_flow ? ", as reply of a flow" : "");
	explain->kernel_agrees = allow == explain->allow &&
				 (kernel->verdict == BH_WOULD_DENY) == explain->would_deny &&
				 kernel->by_flow == explain->by_flow &&
				 kernel->generation == live->generation &&
				 !strcmp(decider, explain->decider);
}

static int explain_live(struct context *context, const struct tuple *tuple)
{
	scoped(live_close) struct live live = {};
	struct run_answer kernel = {};
	struct view_explain explain;
	addr_list self = {};
	int err = live_need(context, &live);

	if (!err)
		err = read_self(context, &live, &self);
	if (!err)
		err = ask_kernel(context, &live, tuple, &kernel);
	if (err)
		return err;
	explain = describe_trace(context->arena, &live.policy,
				 trace_packet(context->arena, &live.policy, tuple, &self));
	compare(context, &live, &kernel, &explain);
	context->view->ops->explain(context->view, &explain);
	if (explain.kernel_agrees)
		return answer(&explain);
	return diag_refuse(context->diag, -EIO,
			   "the loaded program disagrees with the policy: it says '%s', and the "
			   "rules say '%s by %s'",
			   explain.kernel, explain.allow ? "allow" : "deny", explain.decider);
}

static int run(struct context *context)
{
	struct tuple tuple;

	if (inputs_packet(context, &tuple))
		return STATUS_USAGE;
	if (inputs_check_options(context))
		return STATUS_USAGE;
	if (context->options.policies.len)
		return explain_files(context, &tuple);
	return explain_live(context, &tuple);
}

const struct command cmd_explain = {
	.name = "explain",
	.args = "PACKET",
	.summary = "say which rule decides a packet, and why not the others",
	.more = "PACKET is DIRECTION PROTOCOL SOURCE DESTINATION [type N [code N]] [frag|established]:\n"
		"  in tcp 203.0.113.9:40000 10.0.1.4:443\n"
		"  out udp [2001:db8::1]:5000 [2001:db8:20::1]:53\n"
		"  in icmp 192.0.2.1 10.0.0.4 type 8 code 0\n"
		"0 when it is allowed, 9 when it is denied.\n",
	.options = OPTION_JSON | OPTION_HOST | OPTION_PLACES | OPTION_POLICY | OPTION_SELF,
	.min_args = 1,
	.max_args = SIZE_MAX,
	.run = run,
};
