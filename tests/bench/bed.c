// SPDX-License-Identifier: GPL-2.0-only
#include "tests/bench/bed.h"

#include <time.h>

#include "classify/build.h"
#include "classify/lookup.h"
#include "policy/resolve.h"
#include "tests/bench/draw.h"
#include "tests/bench/must.h"
#include "tests/lib/frames.h"

enum { SEED = 20240229, PROTO_TCP = 6, ESTABLISH_SECONDS = 60, ESTABLISH_PERCENT = 95 };

/* All packets of the trace, once. */
static const struct stretch whole = {.mask = TRACE_LEN - 1, .n = TRACE_LEN};

static void make_policy(struct bed *bed)
{
	const struct bed_form *form = &bed->form;
	scoped(diag_free) struct diag *diag = diag_new();
	struct build_limits limits = build_limits_default();
	int err;

	random_nsg_policy(bed->arena, SEED + form->n_rules, form->n_rules, form->n_prefixes,
			  form->family == ADDR_V4 ? RANDOM_V4 : RANDOM_V6, &bed->made);
	bed->made.host.table_flows = form->table_flows;
	bed->made.host.table_half_open =
		form->table_half_open ? form->table_half_open : form->table_flows;
	err = resolve(bed->arena, bed->made.files.at, bed->made.files.len, &bed->made.host, diag,
		      &bed->policy);
	if (!err)
		err = build(bed->arena, &bed->policy, NULL, 0, &limits, diag, &bed->image);
	if (err)
		diag_print(diag, stderr);
	must(err, "cannot compile a policy");
}

/* ---- the trace ---- */

static __be16 port_be(uint16_t port)
{
	return (__be16)__builtin_bswap16(port);
}

static struct trace4 entry4(const struct tuple *tuple)
{
	struct trace4 entry = {
		.source_port = port_be(tuple->source_port),
		.destination_port = port_be(tuple->destination_port),
		.protocol = tuple->protocol,
		.tcp_flags = tuple->protocol == PROTO_TCP ? FRAME_TCP_ACK : 0,
	};

	memcpy(&entry.source, tuple->source.bytes, sizeof(entry.source));
	memcpy(&entry.destination, tuple->destination.bytes, sizeof(entry.destination));
	return entry;
}

static struct trace6 entry6(const struct tuple *tuple)
{
	struct trace6 entry = {
		.source_port = port_be(tuple->source_port),
		.destination_port = port_be(tuple->destination_port),
		.protocol = tuple->protocol,
		.tcp_flags = tuple->protocol == PROTO_TCP ? FRAME_TCP_ACK : 0,
	};

	memcpy(entry.source, tuple->source.bytes, sizeof(entry.source));
	memcpy(entry.destination, tuple->destination.bytes, sizeof(entry.destination));
	return entry;
}

/* What the plain loop says stands in verify.c; the image's own look-up is fast enough for all. */
static bool is_allowed(const struct bed *bed, const struct tuple *tuple)
{
	return lookup(&bed->image, tuple, &bed->made.self)->verdict != BH_DENY;
}

static struct tuple next_packet(struct bed *bed, struct rng *rng)
{
	struct tuple tuple;

	do
		tuple = draw_packet(rng, &bed->policy, &bed->made.self, bed->form.family);
	while (bed->form.n_flows && (tuple.protocol != PROTO_TCP || !is_allowed(bed, &tuple)));
	return tuple;
}

static void make_trace(struct bed *bed)
{
	bool v4 = bed->form.family == ADDR_V4;
	scoped(free) struct trace4 *four = mem_calloc(TRACE_LEN, sizeof(*four));
	scoped(free) struct trace6 *six = mem_calloc(TRACE_LEN, sizeof(*six));
	uint32_t n_distinct = bed->form.n_flows ? bed->form.n_flows : TRACE_LEN;
	struct rng rng = {SEED};

	bed->n_tuples = bed->form.n_flows ? bed->form.n_flows : BED_TUPLES;
	bed->tuples = arena_calloc(bed->arena, bed->n_tuples, sizeof(*bed->tuples));
	bed->allowed = arena_calloc(bed->arena, TRACE_LEN, sizeof(*bed->allowed));
	for (uint32_t i = 0; i < n_distinct; i++) {
		struct tuple tuple = next_packet(bed, &rng);

		if (i < bed->n_tuples)
			bed->tuples[i] = tuple;
		bed->allowed[i] = is_allowed(bed, &tuple);
		four[i] = entry4(&tuple);
		six[i] = entry6(&tuple);
	}
	for (uint32_t i = n_distinct; i < TRACE_LEN; i++) {
		bed->allowed[i] = bed->allowed[i - n_distinct];
		four[i] = four[i - n_distinct];
		six[i] = six[i - n_distinct];
	}
	if (v4)
		programs_set_trace4(bed->programs, four);
	else
		programs_set_trace6(bed->programs, six);
}

uint64_t bed_table_bytes(const struct bed_form *form)
{
	uint64_t half_open = form->table_half_open ? form->table_half_open : form->table_flows;

	return (form->table_flows + half_open) * BH_WAY4_SIZE;
}

/*
 * Of a bed for new flows: entries of a hash that takes the memory of our tables. An entry takes 80
 * bytes and a bucket 16, of which there are as many where it is a power of two.
 */
static uint32_t bed_n_new(const struct bed_form *form)
{
	return form->table_half_open ? (uint32_t)(bed_table_bytes(form) / 96) : 1;
}

struct bed *bed_new(const struct bed_form *form)
{
	struct arena *arena = arena_new();
	struct bed *bed = arena_alloc(arena, sizeof(*bed));

	bed->arena = arena;
	bed->form = *form;
	make_policy(bed);
	bed->enforcer = enforcer_new();
	enforcer_apply(bed->enforcer, &bed->image);
	enforcer_set_self(bed->enforcer, &bed->made.self);
	bed->programs = programs_new(bed->enforcer, form->family, bed_n_new(form));
	make_trace(bed);
	return bed;
}

void bed_free(struct bed *bed)
{
	if (!bed)
		return;
	programs_free(bed->programs);
	enforcer_free(bed->enforcer);
	arena_free(bed->arena);
}

uint32_t bed_count_allowed(const struct bed *bed, uint32_t n)
{
	uint32_t n_allowed = 0;

	for (uint32_t i = 0; i < n; i++)
		n_allowed += bed->allowed[i];
	return n_allowed;
}

/* ---- state ---- */

static void pass_all(struct bed *bed, uint8_t tcp_flags, bool turned)
{
	programs_set_prime(bed->programs, tcp_flags, turned);
	(void)programs_run(bed->programs, PROGRAM_PRIME, whole);
}

/*
 * A flow that is not TCP's is established by its opener, two seconds after its first answer, and has
 * half of the ways only: some of the largest traces find none and stay half-open.
 */
void bed_establish(struct bed *bed)
{
	uint32_t want = bed_count_allowed(bed, TRACE_LEN);
	time_t end = time(NULL) + ESTABLISH_SECONDS;
	uint32_t have = 0;
	uint32_t before;

	pass_all(bed, FRAME_TCP_SYN, false);
	pass_all(bed, FRAME_TCP_SYN | FRAME_TCP_ACK, true);
	pass_all(bed, FRAME_TCP_ACK, true);
	do {
		before = have;
		pass_all(bed, FRAME_TCP_ACK, false);
		have = programs_run(bed->programs, PROGRAM_FLOW_TABLE, whole).hits;
	} while ((have < want / 100 * ESTABLISH_PERCENT || have > before) && time(NULL) < end);
	if (have < want / 100 * ESTABLISH_PERCENT)
		broken("of %u packets that have a flow %u find it", want, have);
	bed->established = (double)have / want;
}

/* ---- the references ---- */

static struct lpm_key key_of(const struct addr_range *range)
{
	uint32_t differ = addr_to_v4(&range->first) ^ addr_to_v4(&range->last);
	struct lpm_key key = {.len = differ ? (uint32_t)__builtin_clz(differ) : 32};

	memcpy(&key.address, range->first.bytes, sizeof(key.address));
	return key;
}

void bed_fill_lpm(struct bed *bed)
{
	const struct ast_file *file = bed->made.files.at[0];
	ARRAY(__u32) lengths = {};

	for (size_t i = 0; i < file->sets.len; i++)
		for (size_t j = 0; j < file->sets.at[i].items.len; j++) {
			struct lpm_key key = key_of(&file->sets.at[i].items.at[j].range);

			array_push(bed->arena, &bed->lpm, key);
			array_push(bed->arena, &lengths, key.len);
		}
	programs_put_lpm(bed->programs, bed->lpm.at, lengths.at, (uint32_t)lengths.len);
}

void bed_fill_lru(struct bed *bed)
{
	uint32_t n = bed->form.n_flows;
	struct bh_flow_key4 *keys = arena_calloc(bed->arena, n, sizeof(*keys));

	for (uint32_t i = 0; i < n; i++) {
		struct trace4 entry = entry4(&bed->tuples[i]);

		keys[i] = (struct bh_flow_key4){
			.local = entry.destination,
			.remote = entry.source,
			.local_port = entry.destination_port,
			.remote_port = entry.source_port,
			.protocol = entry.protocol,
		};
	}
	programs_put_lru(bed->programs, keys, n);
}
