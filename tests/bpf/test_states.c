// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every cell of the tables of connection state in docs/datapath.md, by packets through the
 * loaded programs: the page is the data, and a row that is missing, twice or wrong fails. States are
 * reached by packets alone, by every way that there is of reaching them.
 */
#include <criterion/criterion.h>

#include "tests/bpf/cells.h"

enum { PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_GRE = 47, PROTO_ESP = 50 };
enum { PROTO_ICMPV6 = 58, PROTO_SCTP = 132, PROTO_TEST = 253 };

/* ---- states, and how packets lead there: > from the opener, < from the replier ---- */

struct recipe {
	const char *state;
	const char *packets;
};

static const struct recipe recipes[] = {
	{"half-open", ">SYN"},
	{"half-open", ">SYN >SYN >ACK"},
	{"half-open", ">SYN <ACK >ACK"},
	{"half-open ended", ">SYN >RST"},
	{"half-open ended", ">SYN >FIN-ACK"},
	{"half-open ended", ">SYN <RST-ACK"},
	{"half-open ended", ">SYN <RST >FIN"},
	{"answered", ">SYN <SYN-ACK"},
	{"answered", ">SYN <SYN-ACK >SYN >stray-ACK <data <SYN-ACK"},
	{"answered", ">SYN <SYN-ACK >RST >SYN <SYN-ACK"},
	{"answered", ">SYN <SYN-ACK >ACK >FIN-ACK >SYN <SYN-ACK"},
	{"answered ended", ">SYN <SYN-ACK >RST"},
	{"answered ended", ">SYN <SYN-ACK <RST"},
	{"answered ended", ">SYN <RST <SYN-ACK >FIN"},
	{"reopened", ">SYN <SYN-ACK >ACK >FIN-ACK >SYN"},
	{"reopened", ">SYN <SYN-ACK >RST >SYN >ACK"},
	{"reopened", ">data >RST >SYN"},
	{"reopened ended", ">SYN <SYN-ACK >ACK <RST >SYN >RST"},
	{"reopened ended", ">SYN <SYN-ACK >FIN >SYN <RST"},
	{"picked-up", ">ACK"},
	{"picked-up", ">bare"},
	{"picked-up", ">data >SYN <bare"},
	{"picked-up ended", ">data >FIN-ACK"},
	{"picked-up ended", ">data <RST"},
	{"picked-up ended", ">data <RST >RST"},
	{"picked-up replied", ">data <ACK"},
	{"picked-up replied", ">stray-ACK <data >stray-ACK"},
	{"picked-up replied", ">data <SYN-ACK"},
	{"picked-up replied ended", ">data <data >RST"},
	{"picked-up replied ended", ">data <ACK <RST"},
	{"established", ">SYN <SYN-ACK >ACK"},
	{"established", ">SYN <SYN-ACK <data >data"},
	{"established", ">SYN <SYN-ACK >ACK >FIN-ACK <ACK"},
	{"established", ">SYN <SYN-ACK >ACK >RST >SYN <SYN-ACK >ACK"},
	{"established", ">data <data >data"},
	{"established", ">data <ACK >ACK >RST <data"},
	{"established", ">data <ACK >ACK <FIN-ACK >ACK"},
	{"closing", ">SYN <SYN-ACK >ACK >FIN-ACK"},
	{"closing", ">SYN <SYN-ACK >FIN-ACK"},
	{"closing", ">SYN <SYN-ACK >RST >ACK"},
	{"closing", ">SYN <SYN-ACK <RST >ACK"},
	{"closing", ">SYN <SYN-ACK >ACK <RST <ACK"},
	{"closing", ">data <data >data <RST"},
	{"closing", ">data <data >data >RST >data"},
	{"closing", ">data <data >data >FIN-ACK <FIN-ACK"},
	{"closing", ">data <data >data <RST >data >RST"},
};

enum { ROW_NAME_SIZE = STATE_NAME_SIZE + sizeof(" by the sender") };

/* The same as rows of the page say it: who has ended a flow, where that counts. */
static struct str row_name(const char *state, const struct flowtable_entry *entry, bool reply,
			   char *buffer)
{
	bool sender = flows_flags(entry) & end_of(reply);

	if (strcmp(state, "closing") != 0)
		return str_of(state);
	(void)snprintf(buffer, ROW_NAME_SIZE, "%s by the %s", state, sender ? "sender" : "other");
	return str_of(buffer);
}

/* ---- TCP ---- */

enum column { FROM_OPENER = 2, FROM_REPLIER, FROM_REPLIER_ADMITTED };

struct trial {
	struct scene *scene;
	const page_rows *rows;
	struct subject subject;
	const struct recipe *recipe;
	const struct kind *kind;
	enum column column;
	char where[160]; /* for messages */
};

/* The marks of who has sent FIN or RST, as they must be afterwards. */
static uint32_t ends_after(const struct trial *trial, const struct flowtable_entry *before,
			   const struct cell *cell)
{
	const uint32_t both = BH_FLOW_FIN_OPENER | BH_FLOW_FIN_REPLIER;
	uint8_t ending = trial->kind->tcp_flags & (FRAME_TCP_FIN | FRAME_TCP_RST);
	bool opens = cell->next.len && trial->kind->tcp_flags == FRAME_TCP_SYN;
	uint32_t ends = flows_flags(before) & both;

	if (opens)
		return 0;
	return cell->pass && ending ? ends | end_of(trial->column != FROM_OPENER) : ends;
}

static void check_entry(const struct trial *trial, const struct cell *cell,
			const struct flowtable_entry *before, const struct flowtable_entry *after)
{
	const uint32_t both = BH_FLOW_FIN_OPENER | BH_FLOW_FIN_REPLIER;
	uint32_t now = (uint32_t)(enforcer_jiffies(trial->scene->enforcer) >> 7);
	char name[STATE_NAME_SIZE];
	struct str is = str_of(state_name(&trial->subject, after, name));
	struct str want = cell->next.len ? cell->next : str_of(trial->recipe->state);

	cr_expect(str_eq(is, want), "%s: now " STR_FMT ", and not " STR_FMT, trial->where,
		  STR_ARG(is), STR_ARG(want));
	cr_expect_eq((uint32_t)after->state.meta == now, !cell->ignored, "%s: %sdated",
		     trial->where, cell->ignored ? "" : "not ");
	cr_expect_eq(flows_flags(after) & both, ends_after(trial, before, cell), "%s: ends are %#x",
		     trial->where, flows_flags(after) & both);
	if (cell->ignored)
		cr_expect(!memcmp(&before->state, &after->state, sizeof(after->state)),
			  "%s: the entry has changed", trial->where);
}

/* A packet counts once: where the policy says, or as a reply where its flow was admitted. */
static void check_count(const struct trial *trial, const struct cell *cell, bool opens,
			const char *counted, const struct bh_row *by)
{
	bool out = trial->subject.out == (trial->column == FROM_OPENER);
	bool by_flow = trial->column == FROM_REPLIER && cell->pass;
	const char *admits = out ? "scene/out" : "scene/in";
	const char *denies = out ? "scene/DenyAllOutBound" : "scene/DenyAllInBound";
	const char *row = cell->pass ? admits : denies;

	if (by_flow)
		row = trial->subject.out ? "scene/out" : "scene/in";
	cr_expect_str_eq(counted, row, "%s: counted at %s, and not at %s", trial->where, counted,
			 row);
	cr_expect_eq(by->reply_packets, by_flow, "%s: %u replies", trial->where,
		     (unsigned)by->reply_packets);
	cr_expect_eq(by->packets, !by_flow, "%s: %u packets", trial->where, (unsigned)by->packets);
	cr_expect_eq(by->flows, opens, "%s: %u flows", trial->where, (unsigned)by->flows);
}

static void try_cell(struct trial *trial)
{
	bool reply = trial->column != FROM_OPENER;
	struct flowtable_entry before = {};
	struct flowtable_entry after = {};
	const struct page_row *row;
	char name[STATE_NAME_SIZE];
	char of_row[ROW_NAME_SIZE];
	const char *counted;
	struct bh_row by;
	struct cell cell;
	bool pass;

	play(trial->scene, &trial->subject, trial->recipe->packets);
	cr_assert(scene_entry(trial->scene, &trial->subject, &before), "%s: no entry",
		  trial->where);
	cr_assert_str_eq(state_name(&trial->subject, &before, name), trial->recipe->state, "%s",
			 trial->where);
	row = find_row(trial->rows, row_name(trial->recipe->state, &before, reply, of_row),
		       str_of(trial->kind->name));
	cell = cell_of(row->cell[trial->column]);
	scene_wait(trial->scene, 1);
	(void)scene_counted(trial->scene, &by);
	pass = scene_send(trial->scene, &trial->subject, reply, trial->kind->tcp_flags);
	counted = scene_counted(trial->scene, &by);
	cr_expect_eq(pass, cell.pass, "%s: %s (line %zu)", trial->where,
		     pass ? "passes" : "is denied", row->line);
	cr_assert(scene_entry(trial->scene, &trial->subject, &after), "%s: the entry is gone",
		  trial->where);
	check_entry(trial, &cell, &before, &after);
	check_count(trial, &cell, cell.next.len && trial->kind->tcp_flags == FRAME_TCP_SYN, counted,
		    &by);
}

/* Every recipe, packet and column for flows of one family, opened one way. */
static void try_all(struct trial *trial, enum addr_family family, bool out)
{
	static const enum column columns[] = {FROM_OPENER, FROM_OPENER, FROM_REPLIER,
					      FROM_REPLIER_ADMITTED};
	uint16_t number = 0;

	for (size_t i = 0; i < ARRAY_LEN(recipes) * ARRAY_LEN(kinds) * ARRAY_LEN(columns); i++) {
		size_t column = i % ARRAY_LEN(columns);

		trial->recipe = &recipes[i / ARRAY_LEN(columns) / ARRAY_LEN(kinds)];
		trial->kind = &kinds[i / ARRAY_LEN(columns) % ARRAY_LEN(kinds)];
		trial->column = columns[column];
		trial->subject = (struct subject){family, PROTO_TCP, out, column & 1, ++number};
		(void)snprintf(trial->where, sizeof(trial->where), "IPv%d %s, %s, then %s%s%s",
			       family, out ? "out" : "in", trial->recipe->packets,
			       column < 2 ? ">" : "<", trial->kind->name,
			       column & 1 ? " (admitted both ways)" : "");
		try_cell(trial);
	}
}

static void read_page(const struct scene *scene, const char *heading, page_rows *ret_rows)
{
	cr_assert_eq(page_table(scene->loaded.arena, DATAPATH_PAGE, heading, ret_rows), 0,
		     "no table under '%s'", heading);
}

static struct scene *scene_of_states(void)
{
	struct scene *scene;

	if (!enforcer_is_possible())
		cr_skip_test("loading programs needs root");
	scene = scene_new();
	scene_apply(scene, NULL, scene_policy);
	return scene;
}

Test(states, a_tcp_packet_does_to_each_entry_what_the_page_says)
{
	scoped(scene_free) struct scene *scene = scene_of_states();
	page_rows rows = {};
	struct trial trial = {.scene = scene, .rows = &rows};

	read_page(scene, "A TCP packet that meets an entry", &rows);
	for (int i = 0; i < 4; i++)
		try_all(&trial, i & 1 ? ADDR_V6 : ADDR_V4, i & 2);
}

/* What became of a packet with these flags that came after the packets of a recipe. */
struct outcome {
	bool pass;
	bool exists;
	uint32_t flags;
};

static struct outcome try_flags(const struct scene *scene, const struct subject *subject,
				const char *packets, bool reply, unsigned tcp_flags)
{
	struct flowtable_entry entry = {};
	struct outcome outcome;

	play(scene, subject, packets);
	outcome.pass = scene_send(scene, subject, reply, tcp_flags);
	outcome.exists = scene_entry(scene, subject, &entry);
	outcome.flags = flows_flags(&entry);
	return outcome;
}

/* The flags alone that a packet is named by; a reset is one whatever else it says. */
static unsigned named_flags(unsigned tcp_flags)
{
	unsigned flags =
		tcp_flags & (FRAME_TCP_FIN | FRAME_TCP_SYN | FRAME_TCP_RST | FRAME_TCP_ACK);

	if (flags & FRAME_TCP_RST)
		flags &= ~FRAME_TCP_FIN;
	return flags ? flags : FRAME_TCP_PSH;
}

Test(states, a_packet_is_what_syn_fin_rst_and_ack_make_of_it_and_no_other_flag_counts)
{
	static const char *const packets[] = {"",     ">SYN",	   ">SYN <SYN-ACK",
					      ">ACK", ">ACK <ACK", ">SYN <SYN-ACK >ACK"};
	scoped(scene_free) struct scene *scene = scene_of_states();
	struct subject subject = {ADDR_V4, PROTO_TCP, false, false, 0};

	for (uint32_t i = 0; i < ARRAY_LEN(packets) * 512; i++) {
		const char *before = packets[i / 512];
		uint8_t flags = i & 0xff;
		bool reply = i & 0x100;
		struct outcome raw, named;

		if (!(flags & 0x3f) ||
		    (flags & FRAME_TCP_SYN && flags & (FRAME_TCP_FIN | FRAME_TCP_RST)))
			continue; /* the parser denies these */
		subject.number++;
		raw = try_flags(scene, &subject, before, reply, flags);
		subject.number++;
		named = try_flags(scene, &subject, before, reply, named_flags(flags));
		cr_expect(raw.pass == named.pass && raw.exists == named.exists &&
				  raw.flags == named.flags,
			  "after '%s' flags %#x %s", before, flags, reply ? "back" : "on");
	}
}

/* ---- packets without an entry ---- */

/* A packet as the page lists it, and the subject that sends it. */
struct first {
	const char *name;
	uint8_t protocol;
	uint16_t tcp_flags;
	bool reply; /* as if it were the answer: an echo reply */
};

static void check_first(struct scene *scene, const struct first *first, struct subject *subject,
			struct str opens)
{
	struct flowtable_entry entry = {};
	char name[STATE_NAME_SIZE];
	struct str is = STR("none");
	const char *counted;
	struct bh_row by;
	bool pass;

	subject->number++;
	(void)scene_counted(scene, &by);
	pass = scene_send(scene, subject, first->reply, first->tcp_flags);
	counted = scene_counted(scene, &by);
	if (scene_entry(scene, subject, &entry))
		is = str_of(state_name(subject, &entry, name));
	cr_expect(pass, "%s: is denied", first->name);
	cr_expect(str_eq(is, opens), "%s opens " STR_FMT ", and not " STR_FMT, first->name,
		  STR_ARG(is), STR_ARG(opens));
	cr_expect_str_eq(counted, subject->out == first->reply ? "scene/in" : "scene/out", "%s",
			 first->name);
	cr_expect_eq(by.packets, 1, "%s", first->name);
	cr_expect_eq(by.flows, !str_eq(opens, STR("none")), "%s", first->name);
}

/* From a side that the policy does not let open anything. */
static void check_denied(const struct scene *scene, const struct first *first,
			 struct subject *subject)
{
	struct flowtable_entry entry;
	bool out = subject->out;

	subject->number++;
	cr_expect_not(scene_send(scene, subject, true, first->tcp_flags), "%s back", first->name);
	cr_expect_not(scene_entry(scene, subject, &entry), "%s back", first->name);
	subject->out = !out;
	cr_expect_not(scene_entry(scene, subject, &entry), "%s back", first->name);
	subject->out = out;
}

static void try_firsts(struct scene *scene, const page_rows *rows, size_t column)
{
	static const struct first firsts[] = {
		{"UDP", PROTO_UDP, 0, false},
		{"SCTP", PROTO_SCTP, 0, false},
		{"echo request", PROTO_ICMP, 0, false},
		{"echo reply", PROTO_ICMP, 0, true},
		{"GRE", PROTO_GRE, 0, false},
		{"ESP", PROTO_ESP, 0, false},
		{"any other protocol", PROTO_TEST, 0, false},
	};

	for (size_t i = 0; i < (KINDS + ARRAY_LEN(firsts)) * 4; i++) {
		struct subject subject = {i & 1 ? ADDR_V6 : ADDR_V4, PROTO_TCP, i & 2, false,
					  (uint16_t)(i * 2)};
		struct first first;

		if (i / 4 < KINDS)
			first = (struct first){kinds[i / 4].name, PROTO_TCP, kinds[i / 4].tcp_flags,
					       false};
		else
			first = firsts[i / 4 - KINDS];
		subject.protocol = first.protocol;
		if (first.protocol == PROTO_ICMP && i & 1)
			subject.protocol = PROTO_ICMPV6;
		subject.both = first.reply;
		check_first(scene, &first, &subject,
			    find_row(rows, STR("none"), str_of(first.name))->cell[column]);
		subject.both = false;
		check_denied(scene, &first, &subject);
	}
}

Test(states, what_a_packet_without_an_entry_opens_is_what_the_page_says)
{
	scoped(scene_free) struct scene *scene = scene_of_states();
	page_rows rows = {};

	read_page(scene, "A packet that meets none", &rows);
	try_firsts(scene, &rows, 2);
	enforcer_forget(scene->enforcer);
	scene_apply(scene, SCENE_HOST "tcp_pickup: false\n", scene_policy);
	read_page(scene, "A packet that meets none", &rows);
	try_firsts(scene, &rows, 3);
}

Test(states, icmp_that_is_no_echo_opens_nothing_and_is_the_reply_of_nothing)
{
	scoped(scene_free) struct scene *scene = scene_of_states();
	struct subject subject = {ADDR_V4, PROTO_ICMP, true, false, 1};
	struct tuple ask = subject_opener(&subject);
	struct tuple answer = tuple_turn(&ask);
	const struct bh_config *config = scene_config(scene);

	ask.icmp_type = 13; /* timestamp, and its reply */
	answer.icmp_type = 14;
	cr_expect(scene_send_tuple(scene, &ask, 0));
	cr_expect_not(scene_send_tuple(scene, &answer, 0));
	cr_expect_eq(flows_count(scene->enforcer, config, BH_TABLE_HALF_OPEN4), 0);
}

/* ---- everything but TCP ---- */

static void check_other(struct trial *trial, struct str state)
{
	bool reply = trial->column != FROM_OPENER;
	const struct page_row *row = find_row(trial->rows, state, STR("any"));
	struct cell cell = cell_of(row->cell[trial->column]);
	struct flowtable_entry before = {};
	struct flowtable_entry after = {};
	const char *counted;
	struct bh_row by;
	bool pass;

	cr_assert(scene_entry(trial->scene, &trial->subject, &before), "%s", trial->where);
	(void)scene_counted(trial->scene, &by);
	pass = scene_send(trial->scene, &trial->subject, reply, 0);
	counted = scene_counted(trial->scene, &by);
	cr_expect_eq(pass, cell.pass, "%s: %s", trial->where, pass ? "passes" : "is denied");
	cr_assert(scene_entry(trial->scene, &trial->subject, &after), "%s", trial->where);
	check_entry(trial, &cell, &before, &after);
	check_count(trial, &cell, false, counted, &by);
}

/* Brings the subject into the state that a row begins with. */
static void lead_to(const struct trial *trial, const char *state)
{
	const struct scene *scene = trial->scene;

	(void)scene_send(scene, &trial->subject, false, 0);
	if (!strcmp(state, "half-open"))
		return;
	(void)scene_send(scene, &trial->subject, true, 0);
	if (!strcmp(state, "replied"))
		return;
	scene_wait(scene, 3);
	if (strcmp(state, "established") == 0)
		(void)scene_send(scene, &trial->subject, false, 0);
}

static void try_other(struct trial *trial, const char *state)
{
	static const struct recipe replied = {"replied", ""};
	struct recipe recipe = {state, ""};

	trial->recipe = strcmp(state, "replied 2 s ago") == 0 ? &replied : &recipe;
	(void)snprintf(trial->where, sizeof(trial->where), "protocol %u over IPv%d, %s, %s, %s",
		       trial->subject.protocol, trial->subject.family,
		       trial->subject.out ? "out" : "in", state,
		       trial->column == FROM_OPENER ? "on" : "back");
	lead_to(trial, state);
	scene_wait(trial->scene, 1);
	check_other(trial, str_of(state));
}

Test(states, a_packet_of_another_protocol_does_to_each_entry_what_the_page_says)
{
	static const char *const states[] = {"half-open", "replied", "replied 2 s ago",
					     "established"};
	static const uint8_t protocols[] = {PROTO_UDP, PROTO_SCTP, PROTO_ICMP,
					    PROTO_GRE, PROTO_ESP,  PROTO_TEST};
	static const struct kind any = {"any", 0};
	scoped(scene_free) struct scene *scene = scene_of_states();
	page_rows rows = {};
	struct trial trial = {.scene = scene, .rows = &rows, .kind = &any};

	read_page(scene, "Any other packet that meets an entry", &rows);
	for (uint32_t i = 0; i < ARRAY_LEN(protocols) * ARRAY_LEN(states) * 16; i++) {
		uint8_t protocol = protocols[i / 16 / ARRAY_LEN(states)];

		trial.column = (i & 3) < 2 ? FROM_OPENER : FROM_OPENER + (i & 3) - 1;
		trial.subject = (struct subject){
			.family = i & 4 ? ADDR_V6 : ADDR_V4,
			.protocol = protocol == PROTO_ICMP && i & 4 ? PROTO_ICMPV6 : protocol,
			.out = i & 8,
			.both = i & 1,
			.number = (uint16_t)(i + 1),
		};
		try_other(&trial, states[i / 16 % ARRAY_LEN(states)]);
	}
}
