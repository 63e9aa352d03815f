// SPDX-License-Identifier: GPL-2.0-only
/*
 * What becomes of flows when the policy changes: every cell of its table in docs/datapath.md, what a
 * kept flow may do, and who says that it is kept.
 */
#include <criterion/criterion.h>

#include "tests/bpf/cells.h"

enum { PROTO_TCP = 6 };

static const char established[] = ">SYN <SYN-ACK >ACK <ACK";

/* ---- the table ---- */

enum before { BEFORE_ALLOWS, BEFORE_KEEPS, BEFORE_AUDITS };

struct entry_case {
	const char *name;   /* as the page says it */
	enum before before; /* the policy under which the packets are sent */
	const char *packets;
	const char *answer; /* what the replier may send next */
};

static const struct entry_case entries[] = {
	{"half-open", BEFORE_ALLOWS, ">SYN", "<SYN-ACK"},
	{"answered", BEFORE_ALLOWS, ">SYN <SYN-ACK", "<ACK"},
	{"picked-up", BEFORE_ALLOWS, ">data", "<data"},
	{"established", BEFORE_ALLOWS, established, "<data"},
	{"closing", BEFORE_ALLOWS, ">data <data >data <FIN-ACK", "<FIN-ACK"},
	{"kept", BEFORE_KEEPS, established, "<data"},
	{"audit half-open", BEFORE_AUDITS, ">SYN", "<SYN-ACK"},
	{"audit established", BEFORE_AUDITS, established, "<data"},
};

struct change {
	const char *name; /* as the page says it */
	const char *mode; /* NULL: the rules allow */
};

static const struct change changes[] = {
	{"allows", NULL},
	{"denies", "enforce"},
	{"would deny", "audit"},
};

enum { SUBJECTS = ARRAY_LEN(entries) * 8 };

/* Families, directions and the side that speaks first: eight of each entry. */
static struct subject subject_of(uint32_t i)
{
	return (struct subject){i & 1 ? ADDR_V6 : ADDR_V4, PROTO_TCP, i & 2, false,
				(uint16_t)(i + 1)};
}

static const struct entry_case *entry_of(uint32_t i)
{
	return &entries[i / 8];
}

static bool is_reply(uint32_t i)
{
	return i & 4;
}

/* Entries of every kind, each begun under a policy of its own. */
static void begin(struct scene *scene)
{
	enforcer_forget(scene->enforcer);
	scene_apply(scene, NULL, scene_policy);
	for (uint32_t i = 0; i < SUBJECTS; i++) {
		struct subject subject = subject_of(i);

		if (entry_of(i)->before != BEFORE_AUDITS)
			play(scene, &subject, entry_of(i)->packets);
	}
	scene_apply(scene, NULL, scene_denying(scene, "keep", "enforce"));
	for (uint32_t i = 0; i < SUBJECTS; i++) {
		struct subject subject = subject_of(i);

		if (entry_of(i)->before == BEFORE_KEEPS)
			play(scene, &subject, ">ACK");
	}
	scene_apply(scene, NULL, scene_denying(scene, "recheck", "audit"));
	for (uint32_t i = 0; i < SUBJECTS; i++) {
		struct subject subject = subject_of(i);

		if (entry_of(i)->before == BEFORE_AUDITS)
			play(scene, &subject, entry_of(i)->packets);
	}
}

/* "pass → kept": the verdict, and what marks the entry. */
struct flip_cell {
	bool pass;
	struct str becomes; /* "kept", "audit", "cut"; empty: no mark */
};

static struct flip_cell flip_cell_of(struct str text)
{
	struct flip_cell cell = {.pass = str_starts(text, STR("pass"))};
	struct str rest = text;
	struct str word;

	cr_assert(cell.pass || str_starts(text, STR("deny")), "a cell says " STR_FMT,
		  STR_ARG(text));
	while (str_word(&rest, &word))
		cell.becomes = word;
	if (str_eq(text, STR("pass")))
		cell.becomes = (struct str){};
	return cell;
}

static const char *direction_rule(bool out, bool by_default)
{
	if (by_default)
		return out ? "scene/DenyAllOutBound" : "scene/DenyAllInBound";
	return out ? "scene/out" : "scene/in";
}

/* Where the packet counts: at its flow's rule, unless it is denied or the flow is kept. */
static void check_count(struct scene *scene, uint32_t i, const struct flip_cell *cell)
{
	struct subject subject = subject_of(i);
	bool kept = str_eq(cell->becomes, STR("kept"));
	bool audit = str_eq(cell->becomes, STR("audit"));
	bool by_flow = cell->pass && !kept && is_reply(i);
	const char *where = direction_rule(subject.out, false);
	const char *counted;
	struct bh_row by;

	if (!cell->pass && is_reply(i))
		where = direction_rule(!subject.out, true);
	counted = scene_counted(scene, &by);
	cr_expect_str_eq(counted, kept ? "existing-flow" : where, "%s %u", entry_of(i)->name, i);
	cr_expect_eq(by.reply_packets, by_flow, "%s %u", entry_of(i)->name, i);
	cr_expect_eq(by.packets, !by_flow, "%s %u", entry_of(i)->name, i);
	cr_expect_eq(by.would_denied, audit, "%s %u", entry_of(i)->name, i);
	cr_expect_eq(by.flows, 0, "%s %u", entry_of(i)->name, i);
}

static bool is_cut(const struct subject *subject, const struct flowtable_entry *entry)
{
	char name[STATE_NAME_SIZE];

	return !strcmp(state_name(subject, entry, name), "cut");
}

static void check_marks(const struct scene *scene, uint32_t i, const struct flip_cell *cell)
{
	struct subject subject = subject_of(i);
	struct flowtable_entry entry = {};
	bool exists = scene_entry(scene, &subject, &entry);
	uint32_t marks = flows_flags(&entry) & (BH_FLOW_KEPT | BH_FLOW_AUDIT);
	uint32_t want = str_eq(cell->becomes, STR("kept"))    ? BH_FLOW_KEPT
			: str_eq(cell->becomes, STR("audit")) ? BH_FLOW_AUDIT
							      : 0;

	cr_assert(exists, "%s %u: gone", entry_of(i)->name, i);
	cr_expect_eq(is_cut(&subject, &entry), str_eq(cell->becomes, STR("cut")), "%s %u",
		     entry_of(i)->name, i);
	if (!cell->pass)
		return;
	cr_expect_eq(marks, want, "%s %u: marks %#x", entry_of(i)->name, i, marks);
	cr_expect_eq(entry.state.generation, enforcer_generation(scene->enforcer), "%s %u",
		     entry_of(i)->name, i);
}

static void try_change(struct scene *scene, const page_rows *rows, const struct change *change,
		       bool keep)
{
	uint64_t ended;
	struct bh_row by;

	begin(scene);
	scene_apply(scene, NULL,
		    change->mode ? scene_denying(scene, keep ? "keep" : "recheck", change->mode)
				 : scene_policy);
	for (uint32_t i = 0; i < SUBJECTS; i++) {
		struct subject subject = subject_of(i);
		const struct page_row *row =
			find_row(rows, str_of(entry_of(i)->name), str_of(change->name));
		struct flip_cell cell = flip_cell_of(row->cell[keep ? 3 : 2]);

		(void)scene_counted(scene, &by);
		ended = enforcer_note(scene->enforcer, BH_NOTE_FLOW_ENDED);
		cr_expect_eq(play(scene, &subject, is_reply(i) ? entry_of(i)->answer : ">ACK"),
			     cell.pass, "%s %u, which the policy now %s, with %s",
			     entry_of(i)->name, i, change->name, keep ? "keep" : "recheck");
		check_count(scene, i, &cell);
		check_marks(scene, i, &cell);
		cr_expect_eq(enforcer_note(scene->enforcer, BH_NOTE_FLOW_ENDED) - ended,
			     !cell.pass);
	}
}

static struct scene *scene_of_flips(void)
{
	if (!enforcer_is_possible())
		cr_skip_test("loading programs needs root");
	return scene_new();
}

Test(flips, each_entry_meets_each_change_of_policy_as_the_page_says)
{
	scoped(scene_free) struct scene *scene = scene_of_flips();
	scoped(arena_free) struct arena *arena = arena_new();
	page_rows rows = {};

	cr_assert_eq(
		page_table(arena, DATAPATH_PAGE, "The first packet after a policy change", &rows),
		0);
	for (size_t i = 0; i < ARRAY_LEN(changes) * 2; i++)
		try_change(scene, &rows, &changes[i / 2], i & 1);
}

Test(flips, a_syn_that_the_policy_denies_ends_no_flow)
{
	scoped(scene_free) struct scene *scene = scene_of_flips();
	struct flowtable_entry entry = {};

	begin(scene);
	scene_apply(scene, NULL, scene_denying(scene, "recheck", "enforce"));
	for (uint32_t i = 0; i < SUBJECTS; i++) {
		struct subject subject = subject_of(i);

		cr_expect_not(play(scene, &subject, is_reply(i) ? "<SYN" : ">SYN"));
		cr_expect(scene_entry(scene, &subject, &entry), "%s %u", entry_of(i)->name, i);
		cr_expect_lt(entry.state.generation, enforcer_generation(scene->enforcer), "%s %u",
			     entry_of(i)->name, i);
		cr_expect_not(play(scene, &subject, ">ACK"));
		cr_expect(scene_entry(scene, &subject, &entry), "%s %u", entry_of(i)->name, i);
		cr_expect(is_cut(&subject, &entry), "%s %u", entry_of(i)->name, i);
	}
}

/* ---- cut connections ---- */

enum { CUTS = KINDS * 3 * 4 };

/* Every kind of packet, from each column of the page; families and directions. */
static struct subject cut_of(uint32_t i)
{
	return (struct subject){i & 1 ? ADDR_V6 : ADDR_V4, PROTO_TCP, i & 2, i / 4 % 3 == 2,
				(uint16_t)(i + 1)};
}

static void try_cut(struct scene *scene, const page_rows *rows, uint32_t i)
{
	const struct kind *kind = &kinds[i / 12];
	struct subject subject = cut_of(i);
	struct cell cell =
		cell_of(find_row(rows, STR("cut"), str_of(kind->name))->cell[2 + i / 4 % 3]);
	struct flowtable_entry entry = {};
	char buffer[STATE_NAME_SIZE];
	const char *is;
	struct bh_row by;

	(void)scene_counted(scene, &by);
	cr_expect_eq(scene_send(scene, &subject, i / 4 % 3, kind->tcp_flags), cell.pass, "%s %u",
		     kind->name, i);
	(void)scene_counted(scene, &by);
	cr_expect_eq(by.reply_packets, 0, "%s %u: passes by the flow", kind->name, i);
	cr_expect_eq(by.flows, cell.next.len != 0, "%s %u", kind->name, i);
	cr_assert(scene_entry(scene, &subject, &entry), "%s %u", kind->name, i);
	is = state_name(&subject, &entry, buffer);
	cr_expect(str_eq(str_of(is), cell.next.len ? cell.next : STR("cut")), "%s %u: now %s",
		  kind->name, i, is);
}

Test(flips, a_connection_that_was_cut_is_opened_by_whom_the_page_says)
{
	scoped(scene_free) struct scene *scene = scene_of_flips();
	scoped(arena_free) struct arena *arena = arena_new();
	page_rows rows = {};

	cr_assert_eq(page_table(arena, DATAPATH_PAGE, "A TCP packet of a connection that was cut",
				&rows),
		     0);
	for (int phase = 0; phase < 3; phase++) {
		scene_apply(scene, NULL,
			    phase == 1 ? scene_denying(scene, "recheck", "enforce") : scene_policy);
		for (uint32_t i = 0; i < CUTS; i++) {
			struct subject subject = cut_of(i);

			if (phase == 2)
				try_cut(scene, &rows, i);
			else
				cr_expect_eq(play(scene, &subject, phase ? "<data" : established),
					     !phase);
		}
	}
}

Test(flips, a_cut_connection_ages_like_an_established_one)
{
	scoped(scene_free) struct scene *scene = scene_of_flips();
	struct subject subject = {ADDR_V4, PROTO_TCP, false, true, 1};
	struct flowtable_entry entry = {};

	scene_apply(scene, NULL, scene_policy);
	play(scene, &subject, established);
	scene_apply(scene, NULL, scene_denying(scene, "recheck", "enforce"));
	cr_expect_not(play(scene, &subject, ">data"));
	scene_apply(scene, NULL, scene_policy);
	scene_wait(scene, 7440 - 1);
	cr_expect(play(scene, &subject, "<data"));
	scene_wait(scene, 7440 - 1);
	cr_assert(scene_entry(scene, &subject, &entry));
	cr_expect(is_cut(&subject, &entry), "dated by what passes");
	scene_wait(scene, 2);
	cr_expect(play(scene, &subject, "<data"));
	cr_assert(scene_entry(scene, &subject, &entry));
	cr_expect_not(is_cut(&subject, &entry));
}

/* ---- kept flows ---- */

/* An established flow whose opener the policy denies from now on. */
static void make_kept(struct scene *scene, const struct subject *subject, const char *packets)
{
	scene_apply(scene, NULL, scene_policy);
	play(scene, subject, packets);
	scene_apply(scene, NULL, scene_denying(scene, "keep", "enforce"));
}

Test(flips, a_kept_flow_passes_both_ways_as_existing_flow_and_never_a_syn)
{
	scoped(scene_free) struct scene *scene = scene_of_flips();
	struct subject subject = {ADDR_V4, PROTO_TCP, false, false, 0};
	struct bh_row by;

	for (uint32_t i = 0; i < KINDS * 4; i++) {
		bool syn = kinds[i / 4].tcp_flags == FRAME_TCP_SYN;

		subject.number++;
		subject.out = i & 1;
		make_kept(scene, &subject, i & 2 ? established : ">data <data >data <RST");
		for (int reply = 0; reply < 2; reply++) {
			(void)scene_counted(scene, &by);
			cr_expect_eq(scene_send(scene, &subject, reply, kinds[i / 4].tcp_flags),
				     !syn, "%s", kinds[i / 4].name);
			cr_expect_eq(!strcmp(scene_counted(scene, &by), "existing-flow"), !syn,
				     "%s", kinds[i / 4].name);
		}
	}
}

Test(flips, a_kept_flow_ages_like_any_other)
{
	scoped(scene_free) struct scene *scene = scene_of_flips();
	struct subject subject = {ADDR_V4, PROTO_TCP, true, false, 1};

	make_kept(scene, &subject, established);
	scene_wait(scene, 7440 - 1);
	cr_expect(play(scene, &subject, "<ACK"));
	cr_expect(play(scene, &subject, "<FIN-ACK"));
	scene_wait(scene, 60 + 1);
	cr_expect_not(play(scene, &subject, ">ACK"));
	cr_expect_not(play(scene, &subject, "<ACK"));
}

/* Whether an established flow lives on under another policy. */
static bool survives(struct scene *scene, const char *host, const char *policy)
{
	static uint16_t number = 100;
	struct subject subject = {ADDR_V4, PROTO_TCP, false, false, ++number};

	scene_apply(scene, NULL, scene_policy);
	play(scene, &subject, established);
	scene_apply(scene, host, policy);
	return play(scene, &subject, ">data") && play(scene, &subject, "<data");
}

/* One group that denies all that comes in, with keys of its own. */
#define DENYING(tier, keys)                                                                  \
	"bulkhead: 1\ngroup: deny\ntier: " tier "\n" keys "rules:\n"                         \
	"  - {name: none, priority: 100, direction: inbound, access: deny, protocol: any,\n" \
	"     source: any, destination: any}\n"

#define KEEP	"existing_flows: keep\n"
#define RECHECK "existing_flows: recheck\n"

Test(flips, a_kept_flow_names_the_rule_that_let_it_in)
{
	scoped(scene_free) struct scene *scene = scene_of_flips();
	struct subject subject = {ADDR_V4, PROTO_TCP, false, false, 1};
	struct flowtable_entry before, after;
	uint16_t behind = 0;

	scene_apply(scene, NULL, scene_policy);
	play(scene, &subject, established);
	cr_assert(scene_entry(scene, &subject, &before));
	for (int i = 0; i < 3; i++) {
		/* Twice unseen, then met. */
		scene_apply(scene, NULL, DENYING("nic", KEEP));
		scene_apply(scene, NULL, DENYING("admin", KEEP));
		behind += 2;
		cr_assert(play(scene, &subject, i & 1 ? ">ACK" : "<ACK"));
		cr_assert(scene_entry(scene, &subject, &after));
		cr_expect_eq(after.state.row, before.state.row);
		cr_expect_eq(after.state.behind, behind, "%u generations behind, and not %u",
			     after.state.behind, behind);
	}
}

Test(flips, the_group_whose_rule_denies_says_whether_a_flow_is_kept)
{
	static const char no_group[] = "bulkhead: 1\nsets:\n  a: [10.0.0.1]\n";
	scoped(scene_free) struct scene *scene = scene_of_flips();

	cr_expect(survives(scene, NULL, DENYING("nic", KEEP)));
	cr_expect_not(survives(scene, NULL, DENYING("nic", "")));
	cr_expect_not(survives(scene, SCENE_HOST KEEP, DENYING("nic", RECHECK)));
	cr_expect(survives(scene, NULL, DENYING("admin", KEEP)));
	cr_expect_not(survives(scene, NULL, DENYING("admin", "")));
	cr_expect(survives(scene, SCENE_HOST KEEP, DENYING("admin", "")));
	cr_expect_not(survives(scene, SCENE_HOST KEEP, DENYING("admin", RECHECK)));
	cr_expect(survives(scene, SCENE_HOST KEEP, no_group));
	cr_expect_not(survives(scene, SCENE_HOST RECHECK, no_group));
}
