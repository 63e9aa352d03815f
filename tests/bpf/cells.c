// SPDX-License-Identifier: GPL-2.0-only
/* Names of packets and states, and the cells of the page. */
#include "tests/bpf/cells.h"

#include <criterion/criterion.h>

/* Bare: neither SYN, FIN, RST nor ACK. */
const struct kind kinds[KINDS] = {
	{"SYN", FRAME_TCP_SYN},
	{"SYN-ACK", FRAME_TCP_SYN | FRAME_TCP_ACK},
	{"ACK", FRAME_TCP_ACK},
	{"data", FRAME_TCP_PSH | FRAME_TCP_ACK},
	{"FIN-ACK", FRAME_TCP_FIN | FRAME_TCP_ACK},
	{"FIN", FRAME_TCP_FIN},
	{"RST", FRAME_TCP_RST},
	{"RST-ACK", FRAME_TCP_RST | FRAME_TCP_ACK},
	{"bare", FRAME_TCP_PSH},
	{"stray-ACK", FRAME_TCP_ACK | FRAME_TCP_STRAY},
};

uint16_t flags_of(struct str name)
{
	for (size_t i = 0; i < KINDS; i++)
		if (str_eq(name, str_of(kinds[i].name)))
			return kinds[i].tcp_flags;
	cr_assert_fail("no packet is called " STR_FMT, STR_ARG(name));
	return 0;
}

bool play(const struct scene *scene, const struct subject *subject, const char *packets)
{
	struct str rest = str_of(packets);
	bool passes = false;
	struct str word;

	while (str_word(&rest, &word))
		passes = scene_send(scene, subject, word.at[0] == '<',
				    flags_of((struct str){word.at + 1, word.len - 1}));
	return passes;
}

/* ---- what an entry is called ---- */

const char *state_name(const struct subject *subject, const struct flowtable_entry *entry,
		       char *buffer)
{
	uint32_t flags = flows_flags(entry);
	bool ended = flags & (BH_FLOW_FIN_OPENER | BH_FLOW_FIN_REPLIER);
	bool turned = subject->out != (bool)(flags & BH_FLOW_OUT);
	const char *name = "half-open";

	if (bh_flow_kind((uint32_t)(entry->state.meta >> 32)) == BH_FLOW_CUT)
		return "cut";
	if (flags & BH_FLOW_CLOSING)
		return "closing";
	if (flags & BH_FLOW_ESTABLISHED)
		return "established";
	if (flags & BH_FLOW_PICKED_UP)
		name = flags & BH_FLOW_REPLIED ? "picked-up replied" : "picked-up";
	else if (flags & BH_FLOW_SYN_ACK)
		name = flags & BH_FLOW_REPLIED ? "answered" : "reopened";
	else if (flags & BH_FLOW_REPLIED)
		name = "replied";
	(void)snprintf(buffer, STATE_NAME_SIZE, "%s%s%s", name, ended ? " ended" : "",
		       turned ? " turned" : "");
	return buffer;
}

uint32_t end_of(bool reply)
{
	return reply ? BH_FLOW_FIN_REPLIER : BH_FLOW_FIN_OPENER;
}

/* ---- the page ---- */

bool lists(struct str cell, struct str name)
{
	struct str item;

	while (page_item(&cell, &item))
		if (str_eq(item, name))
			return true;
	return false;
}

const struct page_row *find_row(const page_rows *rows, struct str state, struct str kind)
{
	const struct page_row *found = NULL;

	for (size_t i = 0; i < rows->len; i++) {
		if (!lists(rows->at[i].cell[0], state) || !lists(rows->at[i].cell[1], kind))
			continue;
		cr_assert_null(found, "line %zu says again what " STR_FMT " does to " STR_FMT,
			       rows->at[i].line, STR_ARG(kind), STR_ARG(state));
		found = &rows->at[i];
	}
	cr_assert(found, "the page does not say what " STR_FMT " does to " STR_FMT, STR_ARG(kind),
		  STR_ARG(state));
	return found;
}

struct cell cell_of(struct str text)
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
