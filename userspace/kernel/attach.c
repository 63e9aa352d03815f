// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/attach.h"

#include <errno.h>

#include "kernel/hook.h"

const char *attach_mode_name(enum attach_mode mode)
{
	switch (mode) {
	case ATTACH_AUTO:
		return "auto";
	case ATTACH_NATIVE:
		return "native";
	case ATTACH_TCX:
		return "tcx";
	case ATTACH_CLSACT:
		return "clsact";
	case ATTACH_GENERIC:
		return "generic";
	}
	return "";
}

enum bh_hook hook_of(enum bh_direction direction, enum attach_mode mode)
{
	if (direction == BH_OUT)
		return BH_HOOK_TC_OUT;
	return mode == ATTACH_NATIVE || mode == ATTACH_GENERIC ? BH_HOOK_XDP : BH_HOOK_TC_IN;
}

/* Also of other builds, and as libbpf names a filter: "bh_tc_in:[42]". */
bool hook_is_our_name(const char *name)
{
	struct str text = str_of(name);

	return str_starts(text, STR("bh_xdp")) || str_starts(text, STR("bh_tc_in")) ||
	       str_starts(text, STR("bh_tc_out"));
}

/* One link and direction on which there may be filters. */
struct place {
	struct hook hook;
	struct host_qdisc qdisc;
};

typedef ARRAY(struct place) place_list;

static int find_places(struct arena *arena, const struct host_facts *facts, struct diag *diag,
		       place_list *places)
{
	host_qdiscs qdiscs = {};
	int err = host_qdiscs_read(arena, diag, &qdiscs);

	for (size_t i = 0; i < facts->links.len; i++) {
		const struct host_link *link = &facts->links.at[i];
		const struct host_qdisc *qdisc = host_qdisc_of(&qdiscs, link->ifindex);

		if (!qdisc)
			continue;
		array_push(arena, places, (struct place){{link, BH_IN, ATTACH_CLSACT}, *qdisc});
		array_push(arena, places, (struct place){{link, BH_OUT, ATTACH_CLSACT}, *qdisc});
	}
	return err;
}

int attach_own(const struct load *load, const struct host_facts *facts, struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();
	place_list places = {};
	int err = find_places(arena, facts, diag, &places);

	for (size_t i = 0; i < places.len; i++) {
		int failed = hook_own_clsact(load, &places.at[i].hook, &places.at[i].qdisc, diag);

		err = err ? err : failed;
	}
	return err;
}

int attach_list(const struct load *load, struct arena *arena, const struct host_facts *facts,
		struct diag *diag, attach_hooks *hooks)
{
	place_list places = {};
	int err = hook_list_links(load, arena, facts, diag, hooks);
	int failed = find_places(arena, facts, diag, &places);

	err = err ? err : failed;
	for (size_t i = 0; i < places.len; i++) {
		failed = hook_list_clsact(load, arena, &places.at[i].hook, &places.at[i].qdisc,
					  diag, hooks);
		err = err ? err : failed;
	}
	return err;
}

static int put_in_mode(const struct load *load, struct arena *arena, const struct hook *hook,
		       const char **ret_why, struct attach_hook *done)
{
	if (hook->mode == ATTACH_CLSACT)
		return hook_put_clsact(load, arena, hook, ret_why, done);
	return hook_put_link(load, arena, hook, ret_why, done);
}

/* The modes of AUTO in its order, or the one that is wished. */
static size_t modes_to_try(enum bh_direction direction, enum attach_mode wish,
			   enum attach_mode modes[3])
{
	size_t n = 0;

	if (wish != ATTACH_AUTO) {
		modes[0] = wish;
		return 1;
	}
	if (direction == BH_IN)
		modes[n++] = ATTACH_NATIVE;
	modes[n++] = ATTACH_TCX;
	modes[n++] = ATTACH_CLSACT;
	return n;
}

/* Of the two modes of XDP, which share a hook, that which is wished. */
static int hold_in_mode(const struct load *load, const struct attach_wish *wish,
			enum attach_mode mode, struct diag *diag)
{
	const bool generic = mode == ATTACH_NATIVE && wish->mode == ATTACH_GENERIC;
	const struct hook hook = {
		.link = wish->link,
		.direction = wish->direction,
		.mode = generic ? ATTACH_GENERIC : mode,
	};

	if (hook.mode == ATTACH_CLSACT)
		return hook_check_clsact(load, &hook, diag);
	if (wish->mode == ATTACH_AUTO || wish->mode == hook.mode)
		return hook_hold_link(load, &hook, diag);
	return hook_check_link(load, &hook, diag);
}

/* Whatever the wish: at another mode another instance would judge the same packets. */
int attach_hold(const struct load *load, const struct attach_wish *wish, struct diag *diag)
{
	enum attach_mode modes[3];
	size_t n = modes_to_try(wish->direction, ATTACH_AUTO, modes);
	int err = 0;

	for (size_t i = 0; i < n && !err; i++)
		err = hold_in_mode(load, wish, modes[i], diag);
	return err;
}

static int cannot_attach(const struct attach_wish *wish, const char *refusals, int code,
			 struct diag *diag)
{
	return diag_refuse(diag, code, "cannot attach to %s of link '%s': %s",
			   wish->direction == BH_IN ? "ingress" : "egress", wish->link->name,
			   refusals);
}

int attach_check(const struct load *load, const struct attach_wish *wish, struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();
	const struct hook hook = {wish->link, wish->direction, wish->mode};
	const char *why = wish->mode == ATTACH_NATIVE || wish->mode == ATTACH_GENERIC
				  ? hook_why_not_xdp(load, arena, &hook)
				  : NULL;

	return why ? cannot_attach(wish,
				   arena_printf(arena, "%s: %s", attach_mode_name(wish->mode), why),
				   -ENODEV, diag)
		   : 0;
}

/* It is no fallback of AUTO, and whoever asks for it is told what it costs as if it were one. */
static const char generic_why[] =
	"asked for: costs what tcx costs, and sees merged buffers without a count of segments, no packet "
	"type and no VLAN tag that the card took off";

int attach_put(struct load *load, struct arena *arena, const struct attach_wish *wish,
	       struct diag *diag, struct attach_hook *ret_hook)
{
	const struct host_link *link = wish->link;
	const enum bh_direction direction = wish->direction;
	struct hook hook = {.link = link, .direction = direction};
	enum attach_mode modes[3];
	size_t n = modes_to_try(direction, wish->mode, modes);
	const char *refusals = "";
	bool final = false;

	for (size_t i = 0; i < n && !final; i++) {
		const char *why = "";
		int err;
		struct attach_hook done = {
			.ifindex = link->ifindex,
			.name = link->name,
			.direction = direction,
			.mode = modes[i],
			.program = load_program_id(load, hook_of(direction, modes[i])),
			.pinned = true,
			.current = true,
			.why = modes[i] == ATTACH_GENERIC ? generic_why : refusals,
			.pin = "",
		};

		hook.mode = modes[i];
		err = put_in_mode(load, arena, &hook, &why, &done);
		if (!err) {
			*ret_hook = done;
			return 0;
		}
		refusals = arena_printf(arena, "%s%s%s: %s", refusals, refusals[0] ? "; " : "",
					attach_mode_name(modes[i]), why);
		final = err == -ECANCELED;
	}
	return cannot_attach(wish, refusals, final ? -EIO : -ENODEV, diag);
}

int attach_remove(struct load *load, const struct attach_hook *hook, struct diag *diag)
{
	if (hook->mode == ATTACH_CLSACT)
		return hook_remove_clsact(hook, diag);
	return hook_remove_link(load, hook, diag);
}

int attach_tidy(const struct load *load, struct arena *arena, const struct host_facts *facts,
		struct diag *diag)
{
	int err = hook_remove_second_pins(load, arena, facts, diag);

	return err ? err : hook_remove_qdiscs(load, arena, facts, diag);
}
