// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every cell of the tables of connection state in docs/datapath.md, by packets through the
 * loaded programs: the page is the data, and a row that is missing, twice or wrong fails. States are
 * reached by packets alone, by every way that there is of reaching them.
 */
#include <criterion/criterion.h>

#include "tests/bpf/scene.h"
#include "tests/lib/page.h"

enum { PROTO_TCP = 6, PROTO_UDP = 17 };

/* ---- packets ---- */

struct kind {
	const char *name;
	uint8_t tcp_flags;
};

/* Bare: neither SYN, FIN, RST nor ACK. */
static const struct kind kinds[] = {
	{"SYN", FRAME_TCP_SYN},
	{"SYN-ACK", FRAME_TCP_SYN | FRAME_TCP_ACK},
	{"ACK", FRAME_TCP_ACK},
	{"data", FRAME_TCP_PSH | FRAME_TCP_ACK},
	{"FIN-ACK", FRAME_TCP_FIN | FRAME_TCP_ACK},
	{"FIN", FRAME_TCP_FIN},
	{"RST", FRAME_TCP_RST},
	{"RST-ACK", FRAME_TCP_RST | FRAME_TCP_ACK},
	{"bare", FRAME_TCP_PSH},
};

/* ---- states, and how packets lead there: > from the opener, < from the replier ---- */

struct recipe {
	const char *state;
	const char *packets;
};

static const struct recipe recipes[] = {
	{"half-open", ">SYN"},
	{"half-open", ">SYN >SYN >ACK"},
	{"half-open ended", ">SYN >RST"},
	{"half-open ended", ">SYN >FIN-ACK"},
	{"half-open ended", ">SYN <RST-ACK"},
	{"half-open ended", ">SYN <RST >FIN"},
	{"answered", ">SYN <SYN-ACK"},
	{"answered", ">SYN <SYN-ACK >ACK >data <SYN-ACK"},
	{"answered ended", ">SYN <SYN-ACK >RST"},
	{"answered ended", ">SYN <SYN-ACK <RST"},
	{"answered ended", ">SYN <RST <SYN-ACK >FIN"},
	{"picked-up", ">ACK"},
	{"picked-up", ">bare"},
	{"picked-up", ">data <SYN-ACK"},
	{"picked-up ended", ">data >FIN-ACK"},
	{"picked-up ended", ">data <RST"},
	{"picked-up ended", ">data <RST >RST"},
	{"established", ">SYN <SYN-ACK >ACK <ACK"},
	{"established", ">SYN <SYN-ACK <data"},
	{"established", ">data <data"},
	{"established", ">data <ACK >RST <data"},
	{"established", ">data <ACK <FIN-ACK >ACK"},
	{"closing", ">SYN <SYN-ACK >ACK <ACK >FIN-ACK"},
	{"closing", ">SYN <SYN-ACK >ACK >FIN-ACK <ACK"},
	{"closing", ">SYN <SYN-ACK <FIN-ACK"},
	{"closing", ">data <data <RST"},
	{"closing", ">data <data >RST >data"},
	{"closing", ">data <data >FIN-ACK <FIN-ACK"},
	{"closing", ">data <data <RST >data >RST"},
};

static uint8_t flags_of(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (str_eq(name, str_of(kinds[i].name)))
			return kinds[i].tcp_flags;
	cr_assert_fail("no packet is called " STR_FMT, STR_ARG(name));
	return 0;
}

static void play(const struct scene *scene, const struct subject *subject, const char *packets)
{
	struct str rest = str_of(packets);
	struct str word;

	while (str_word(&rest, &word))
		(void)scene_send(scene, subject, word.at[0] == '<',
				 flags_of((struct str){word.at + 1, word.len - 1}));
}

/* ---- what an entry is called ---- */

enum { STATE_NAME_SIZE = 40 };

static const char *state_name(const struct subject *subject, const struct flowtable_entry *entry,
			      char *buffer)
{
	uint32_t flags = flows_flags(entry);
	bool ended = flags & (BH_FLOW_FIN_OPENER | BH_FLOW_FIN_REPLIER);
	bool turned = subject->out != (bool)(flags & BH_FLOW_OUT);
	const char *name = "half-open";

	if (flags & BH_FLOW_CLOSING)
		return "closing";
	if (flags & BH_FLOW_ESTABLISHED)
		return "established";
	if (flags & BH_FLOW_PICKED_UP)
		name = "picked-up";
	else if (flags & BH_FLOW_SYN_ACK)
		name = "answered";
	(void)snprintf(buffer, STATE_NAME_SIZE, "%s%s%s", name, ended ? " ended" : "",
		       turned ? " turned" : "");
	return buffer;
}

static uint32_t end_of(bool reply)
{
	return reply ? BH_FLOW_FIN_REPLIER : BH_FLOW_FIN_OPENER;
}

/* The same as rows of the page say it: of a closing flow, who has ended. */
static struct str row_name(const char *state, const struct flowtable_entry *entry, bool reply)
{
	if (strcmp(state, "closing") != 0)
		return str_of(state);
	return flows_flags(entry) & end_of(reply) ? STR("closing by the sender")
						  : STR("closing by the other");
}

/* ---- the page ---- */

static bool lists(struct str cell, struct str name)
{
	struct str item;

	while (page_item(&cell, &item))
		if (str_eq(item, name))
			return true;
	return false;
}

static const struct page_row *find_row(const page_rows *rows, struct str state, struct str kind)
{
	const struct page_row *found = NULL;

	for (size_t i = 0; i < rows->len; i++) {
		if (!lists(rows->at[i].cell[0], state) || !lists(rows->at[i].cell[1], kind))
			continue;
		cr_assert(!found, "lines %zu and %zu both say what " STR_FMT " does to " STR_FMT,
			  found->line, rows->at[i].line, STR_ARG(kind), STR_ARG(state));
		found = &rows->at[i];
	}
	cr_assert(found, "the page does not say what " STR_FMT " does to " STR_FMT, STR_ARG(kind),
		  STR_ARG(state));
	return found;
}

/* "deny", "pass", "pass, ignored", "pass → STATE". */
struct cell {
	bool pass;
	bool ignored;
	struct str next; /* empty: the state does not change */
};

static struct cell cell_of(struct str text)
{
	static const struct str arrow = {"pass → ", sizeof("pass → ") - 1};
	struct cell cell = {.pass = true};

	if (str_starts(text, arrow))
		cell.next = (struct str){text.at + arrow.len, text.len - arrow.len};
	else if (str_eq(text, STR("pass, ignored")))
		cell.ignored = true;
	else if (str_eq(text, STR("deny")))
		cell = (struct cell){.ignored = true};
	else
		cr_assert(str_eq(text, STR("pass")), "a cell says " STR_FMT, STR_ARG(text));
	return cell;
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
	const char *counted;
	struct bh_row by;
	struct cell cell;
	bool pass;

	play(trial->scene, &trial->subject, trial->recipe->packets);
	cr_assert(scene_entry(trial->scene, &trial->subject, &before), "%s: no entry",
		  trial->where);
	cr_assert_str_eq(state_name(&trial->subject, &before, name), trial->recipe->state, "%s",
			 trial->where);
	row = find_row(trial->rows, row_name(trial->recipe->state, &before, reply),
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

	cr_assert_eq(page_table(scene->loaded.arena, DATAPATH_PAGE,
				"A TCP packet that meets an entry", &rows),
		     0);
	for (int i = 0; i < 4; i++)
		try_all(&trial, i & 1 ? ADDR_V6 : ADDR_V4, i & 2);
}
