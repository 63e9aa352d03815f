// SPDX-License-Identifier: GPL-2.0-only
#include "tests/lib/judge_program.h"

#include <errno.h>
#include <string.h>

#include "classify/lookup.h"
#include "tests/lib/dress.h"
#include "tests/lib/enforcer.h"
#include "tests/lib/judge_lookup.h"

enum {
	TABLE_ENTRIES = 1024,
	TIMEOUT = 30,		    /* seconds, of everything */
	AGE = (TIMEOUT + 1) * 1000, /* jiffies after which nothing is alive */
};

/* What is loaded, and the packet at hand. */
static struct {
	struct enforcer *enforcer;
	struct arena *arena; /* of the image */
	struct image image;
	struct addr *self; /* what stands in the table of own addresses */
	size_t self_len;
	size_t n_policies;
	uint64_t n_sent; /* since the policy was applied */
	bool force;
	unsigned n_dresses;
	struct rng rng;
	struct dress dress; /* of the last packet */
	char fault[96];	    /* why it has no verdict */
} bench;

void judge_program_dress(unsigned n_dresses)
{
	bench.n_dresses = n_dresses;
}

void judge_program_force(bool force)
{
	bench.force = force;
}

static const char *detail(void)
{
	static char text[DRESS_TEXT_SIZE + sizeof(bench.fault)];
	char dress[DRESS_TEXT_SIZE];

	snprintf(text, sizeof(text), "%s: %s", dress_print(&bench.dress, dress), bench.fault);
	return text;
}

/* ---- a policy ---- */

/* Small tables and short lives, so that it is quick to have none alive. */
static struct policy made_small(const struct policy *policy)
{
	struct policy small = *policy;

	small.host.table_flows = TABLE_ENTRIES;
	small.host.table_half_open = TABLE_ENTRIES;
	small.host.table_fragments = TABLE_ENTRIES;
	for (int i = 0; i < TIMEOUT_COUNT; i++)
		small.host.timeouts[i] = TIMEOUT;
	return small;
}

static bool adds_up(void)
{
	struct bh_row total = enforcer_total(bench.enforcer, 0);

	if (total.packets + total.reply_packets == bench.n_sent)
		return true;
	printf("# %llu packets were sent and %llu counted\n", (unsigned long long)bench.n_sent,
	       (unsigned long long)(total.packets + total.reply_packets));
	return false;
}

static int prepare(const struct policy *policy)
{
	size_t structure = bench.force ? bench.n_policies % JUDGES_LOOKUP_STRUCTURES : 0;
	struct build_limits limits = judge_lookup_limits(structure);
	scoped(diag_free) struct diag *diag = diag_new();
	struct policy small = made_small(policy);
	int err;

	if (!bench.enforcer)
		bench.enforcer = enforcer_new();
	else if (!adds_up())
		return -EPROTO;
	arena_free(bench.arena);
	bench.arena = arena_new();
	err = build(bench.arena, &small, NULL, 0, &limits, diag, &bench.image);
	if (err) {
		diag_print(diag, stdout);
		return err;
	}
	enforcer_apply(bench.enforcer, &bench.image);
	enforcer_forget(bench.enforcer);
	bench.n_policies++;
	bench.n_sent = 0;
	return 0;
}

bool judge_program_finish(void)
{
	bool ok = bench.enforcer && adds_up();

	enforcer_free(take(bench.enforcer));
	arena_free(take(bench.arena));
	free(take(bench.self));
	return ok;
}

static void set_self(const addr_list *self)
{
	size_t size = self->len * sizeof(*self->at);

	if (bench.self && bench.self_len == self->len && !memcmp(bench.self, self->at, size))
		return;
	enforcer_set_self(bench.enforcer, self);
	bench.self = mem_realloc(bench.self, self->len + 1, sizeof(*self->at));
	memcpy(bench.self, self->at, size);
	bench.self_len = self->len;
}

/* ---- what a counter row says ---- */

static const char *reason_name(uint32_t reason)
{
	static const char *const names[] = {
#define X(kind, constant, name) [BH_REASON_##constant] = name,
		BH_REASONS(X)
#undef X
	};

	return reason < BH_REASON_COUNT ? names[reason] : "no reason";
}

/* False: a reason that no described packet can have. */
static bool reason_of(uint32_t reason, enum eval_reason *ret_reason)
{
	for (int i = 0; i < EVAL_REASON_COUNT; i++) {
		if (strcmp(eval_reason_name(i), reason_name(reason)) != 0)
			continue;
		*ret_reason = i;
		return true;
	}
	return false;
}

/* What the programs did with a packet. */
struct done {
	bool passes;
	uint32_t row;
	struct bh_row by;
};

static int verdict_of_row(const struct done *done, struct verdict *ret_verdict)
{
	struct verdict verdict = {.outcome.rule = POLICY_NO_RULE};

	if (done->row >= BH_FIXED_ROWS) {
		verdict =
			verdict_of_outcome(image_outcome(&bench.image, done->row - BH_FIXED_ROWS));
	} else if (!reason_of(done->row / BH_DIRECTION_COUNT, &verdict.reason)) {
		snprintf(bench.fault, sizeof(bench.fault), "counted as %s",
			 reason_name(done->row / BH_DIRECTION_COUNT));
		return -EPROTO;
	}
	verdict.allow = done->passes;
	verdict.would_deny = done->by.would_denied > 0;
	verdict.by_flow = done->by.reply_packets > 0;
	*ret_verdict = verdict;
	return 0;
}

static uint32_t row_of_reason(enum eval_reason reason, const struct tuple *tuple)
{
	uint32_t i = 0;

	while (i < BH_REASON_COUNT && strcmp(reason_name(i), eval_reason_name(reason)) != 0)
		i++;
	return enforcer_reason_row(i, (enum bh_direction)tuple->direction);
}

/* Where the packet is likely counted, which saves a look at all rows. */
static uint32_t guess(const struct policy *policy, const struct tuple *tuple, const addr_list *self)
{
	struct lookup_steps steps;
	struct verdict before;

	if (eval_before_rules(policy, tuple, &before))
		return row_of_reason(before.reason, tuple);
	lookup_steps(&bench.image, tuple, self, &steps);
	return BH_FIXED_ROWS + steps.outcome;
}

/* ---- a packet ---- */

/* Who judges what comes in. */
struct hooks {
	const struct policy *policy;
	const addr_list *self;
	enum enforcer_program ingress;
};

/* Bytes of the frame's first buffer, in any dress with a seed; 0: as many as fit. */
static uint32_t first_buffer(enum enforcer_program program, const struct frame *frame)
{
	const uint32_t shortest = 14;

	if (program != ENFORCER_XDP_FRAGS || !bench.dress.seed || !enforcer_can_cut(bench.enforcer))
		return 0;
	return shortest + (uint32_t)(bench.dress.seed % (frame->size - shortest));
}

static int send_frame(const struct hooks *hooks, const struct tuple *tuple, uint32_t guessed,
		      const struct frame *frame, struct done *ret_done)
{
	enum enforcer_program program =
		tuple->direction == DIRECTION_IN ? hooks->ingress : ENFORCER_TC_OUT;
	const struct enforcer_context context = {.linear = first_buffer(program, frame)};
	struct done done = {.passes = enforcer_run(bench.enforcer, program, frame->bytes,
						   frame->size, &context)};

	bench.n_sent++;
	if (!enforcer_changed_at(bench.enforcer, guessed, &done.row, &done.by) ||
	    done.by.packets + done.by.reply_packets != 1) {
		snprintf(bench.fault, sizeof(bench.fault), "not counted once in one row");
		return -EPROTO;
	}
	*ret_done = done;
	return 0;
}

/* What a later fragment is whose first has not been seen, or is not remembered. */
static uint32_t unknown_row(const struct policy *policy, const struct tuple *tuple)
{
	struct tuple later = *tuple;
	struct verdict verdict = {};

	later.fragment = true;
	(void)eval_before_rules(policy, &later, &verdict);
	return row_of_reason(verdict.reason, tuple);
}

/* Whether a first fragment that is counted in the row is remembered: what rules admit, and leases. */
static bool is_remembered(uint32_t row)
{
	uint32_t reason = row / BH_DIRECTION_COUNT;

	return row >= BH_FIXED_ROWS || reason == BH_REASON_PLATFORM || reason == BH_REASON_DHCP ||
	       reason == BH_REASON_DHCPV6;
}

/* The rest of a datagram passes and counts as its first fragment did, if that is remembered. */
static int send_later(const struct hooks *hooks, const struct tuple *tuple,
		      const struct dress *dress, const struct done *first)
{
	uint32_t unknown = unknown_row(hooks->policy, tuple);
	uint32_t expected = unknown;
	struct frame frame;
	struct done later;
	int err;

	if (first->passes && is_remembered(first->row) &&
	    unknown / BH_DIRECTION_COUNT != BH_REASON_MARTIAN_SOURCE)
		expected = first->row;
	dress_later(&frame, tuple, dress);
	err = send_frame(hooks, tuple, expected, &frame, &later);
	if (err || (later.row == expected &&
		    (expected == unknown ||
		     (later.passes && later.by.reply_packets == first->by.reply_packets &&
		      later.by.would_denied == first->by.would_denied))))
		return err;
	snprintf(bench.fault, sizeof(bench.fault),
		 "its later fragment was counted in row %u and not in %u", later.row, expected);
	return -EPROTO;
}

/* Flags of a packet that is judged for itself: none of them changes what the policy says. */
static uint8_t draw_flags(const struct dress *dress, bool established)
{
	static const uint8_t alone[] = {
		FRAME_TCP_SYN,
		FRAME_TCP_SYN,
		FRAME_TCP_ACK,
		FRAME_TCP_RST,
		FRAME_TCP_SYN | FRAME_TCP_ACK,
		FRAME_TCP_FIN | FRAME_TCP_ACK,
	};

	if (established)
		return dress->seed & 1 ? FRAME_TCP_RST | FRAME_TCP_ACK
				       : FRAME_TCP_SYN | FRAME_TCP_ACK;
	return alone[dress->seed % ARRAY_LEN(alone)];
}

static int judge_dressed(const struct hooks *hooks, const struct tuple *tuple,
			 const struct dress *dress, struct verdict *ret_verdict)
{
	struct tuple opening = tuple_turn(tuple);
	struct frame frame;
	struct done done;
	int err = 0;

	bench.dress = *dress;
	bench.fault[0] = '\0';
	enforcer_advance(bench.enforcer, AGE);
	if (tuple->established) {
		frame_of_tuple(&frame, &opening, FRAME_TCP_SYN);
		err = send_frame(hooks, &opening, guess(hooks->policy, &opening, hooks->self),
				 &frame, &done);
	}
	if (err)
		return err;
	dress_frame(&frame, tuple, dress, draw_flags(dress, tuple->established));
	err = send_frame(hooks, tuple, guess(hooks->policy, tuple, hooks->self), &frame, &done);
	if (!err)
		err = verdict_of_row(&done, ret_verdict);
	return !err && dress->first ? send_later(hooks, tuple, dress, &done) : err;
}

static int judge_by(enum enforcer_program ingress, const struct policy *policy,
		    const struct tuple *tuple, const addr_list *self, struct verdict *ret_verdict)
{
	const struct hooks hooks = {policy, self, ingress};
	struct dress dress = {};
	struct verdict plain;
	int err;

	set_self(self);
	err = judge_dressed(&hooks, tuple, &dress, &plain);
	*ret_verdict = plain;
	for (unsigned i = 0; !err && i < bench.n_dresses; i++) {
		dress = dress_draw(&bench.rng, tuple);
		err = judge_dressed(&hooks, tuple, &dress, ret_verdict);
		if (!err && memcmp(ret_verdict, &plain, sizeof(plain)) != 0)
			return 0;
	}
	return err;
}

static int judge_xdp(const struct policy *policy, const struct tuple *tuple, const addr_list *self,
		     struct verdict *ret_verdict)
{
	return judge_by(ENFORCER_XDP, policy, tuple, self, ret_verdict);
}

static int judge_frags(const struct policy *policy, const struct tuple *tuple,
		       const addr_list *self, struct verdict *ret_verdict)
{
	return judge_by(ENFORCER_XDP_FRAGS, policy, tuple, self, ret_verdict);
}

static int judge_tc(const struct policy *policy, const struct tuple *tuple, const addr_list *self,
		    struct verdict *ret_verdict)
{
	return judge_by(ENFORCER_TC_IN, policy, tuple, self, ret_verdict);
}

size_t judges_program(struct judge judges[JUDGES_PROGRAM_MAX])
{
	size_t n = 0;

	if (!bench.enforcer)
		bench.enforcer = enforcer_new();
	judges[n++] = (struct judge){"program bh_xdp", prepare, judge_xdp, detail};
	if (enforcer_has(bench.enforcer, ENFORCER_XDP_FRAGS))
		judges[n++] = (struct judge){"program bh_xdp_frags", NULL, judge_frags, detail};
	judges[n++] = (struct judge){"program bh_tc_in", NULL, judge_tc, detail};
	return n;
}
