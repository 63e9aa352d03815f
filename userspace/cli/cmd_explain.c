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

/* Each is spoilt by another apply that comes just then. */
enum { TRIES = 10 };

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

/* The policy in force, and what its programs say. */
struct asked {
	struct live live;
	addr_list self;
	struct run *run;
	struct run_answer kernel;
};

static void scoped_asked_close(struct asked *asked)
{
	run_close(asked->run);
	live_close(&asked->live);
}

/* Loading takes longer than many an apply, and what is loaded serves the next generation, too. */
static int open_run(struct context *context, struct asked *asked)
{
	struct probe probe;
	int err = probe_kernel(context->diag, &probe);

	if (!err)
		err = privileges_keep(PRIVILEGE_BPF | PRIVILEGE_NET_ADMIN | PRIVILEGE_PERFMON |
					      PRIVILEGE_BY_ID,
				      context->diag);
	return err ? err : run_open(asked->live.load, &probe, context->diag, &asked->run);
}

static int ask_kernel(struct context *context, const struct tuple *tuple, struct asked *asked)
{
	enum frame_tcp tcp = tuple->established ? FRAME_ACK : FRAME_SYN;
	int err = asked->run ? 0 : open_run(context, asked);

	if (!err)
		err = run_begin(asked->run, asked->live.load, asked->live.generation,
				context->diag);
	if (!err && tuple->established)
		err = establish(asked->run, tuple, context->diag);
	return err ? err : send(asked->run, tuple, tcp, context->diag, &asked->kernel);
}

static int ask_once(struct context *context, const struct tuple *tuple, struct asked *asked)
{
	int err = live_need(context, &asked->live);

	if (!err)
		err = read_self(context, &asked->live, &asked->self);
	return err ? err : ask_kernel(context, tuple, asked);
}

/* Before another attempt. The programs stay, unless it is of other maps that one has to ask. */
static void forget(struct asked *asked)
{
	if (asked->live.load && load_is_gone(asked->live.load)) {
		run_close(asked->run);
		asked->run = NULL;
	}
	live_close(&asked->live);
}

/*
 * Where another generation has come into force meanwhile, what was found is of both, and so are words
 * of a failure: it begins anew. *asked is to be closed, on an error, too.
 */
static int ask(struct context *context, const struct tuple *tuple, struct asked *asked)
{
	const char *pins = context->options.pins;

	for (int i = 0; i < TRIES; i++) {
		scoped(diag_free) struct diag *late = diag_new();
		scoped(diag_free) struct diag *quiet = diag_new();
		struct context own = *context;
		uint64_t generation = 0, now = 0;
		int err, unseen;

		own.diag = late;
		forget(asked);
		(void)live_active(pins, quiet, &generation);
		err = ask_once(&own, tuple, asked);
		if (asked->live.load)
			generation = asked->live.generation;
		unseen = live_active(pins, err ? quiet : late, &now);
		if (!unseen && now != generation)
			continue;
		diag_take(context->diag, late, NULL);
		if (err || unseen)
			return err ? err : unseen;
		return privileges_keep(PRIVILEGE_BPF, context->diag);
	}
	return diag_refuse(
		context->diag, -EBUSY,
		"an 'apply' has changed the policy each of the %d times that it was asked; "
		"try again",
		TRIES);
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
				 !strcmp(decider, explain->decider);
}

static int explain_live(struct context *context, const struct tuple *tuple)
{
	scoped(asked_close) struct asked asked = {};
	struct view_explain explain;
	int err = ask(context, tuple, &asked);

	if (err)
		return err;
	explain = describe_trace(
		context->arena, &asked.live.policy,
		trace_packet(context->arena, &asked.live.policy, tuple, &asked.self));
	compare(context, &asked.live, &asked.kernel, &explain);
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
