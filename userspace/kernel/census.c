// SPDX-License-Identifier: GPL-2.0-only
/* See kernel/census.h. */
#include "kernel/census.h"

#include <errno.h>
#include <time.h>

#include "kernel/clock.h"
#include "kernel/hook.h"
#include "kernel/running.h"

/* One link, on which programs are looked for. */
struct asking {
	struct arena *arena;
	const char *pins;
	const struct host_link *link;
	const struct host_qdisc *qdisc; /* NULL: no filters */
	struct diag *diag;
	census_programs *programs;
};

static int add(const struct asking *asking, enum bh_direction direction, uint32_t id)
{
	struct census_program program = {.link = asking->link, .direction = direction, .id = id};
	int err = instance_find(asking->arena, asking->pins, id, asking->diag, &program.owner);

	if (!err && !program.owner.gone)
		array_push(asking->arena, asking->programs, program);
	return err;
}

/* One by XDP or tcx: only its id is known so far. */
static int add_if_ours(const struct asking *asking, enum bh_direction direction, uint32_t id)
{
	const char *name = "";
	int err = hook_read_name(asking->arena, id, &name);

	if (err)
		return diag_sys(asking->diag, -err,
				"cannot ask what program %u on link '%s' is called%s", id,
				asking->link->name,
				err == -EPERM ? " (which takes CAP_SYS_ADMIN)" : "");
	return hook_is_our_name(name) ? add(asking, direction, id) : 0;
}

/* Generic XDP has no program where native has one. */
static int ask_hook(const struct asking *asking, enum bh_direction direction, enum attach_mode mode)
{
	struct running running;
	int err = running_read_in_the_way(asking->link->ifindex, direction, mode, &running);

	if (err == -ENODEV) /* the link has gone */
		return 0;
	if (err)
		return diag_sys(asking->diag, -err, "cannot ask what runs on link '%s'",
				asking->link->name);
	for (uint32_t i = 0; i < running.n; i++) {
		int failed = add_if_ours(asking, direction, running.ids[i]);

		err = err ? err : failed;
	}
	return err;
}

static int ask_clsact(const struct asking *asking, enum bh_direction direction)
{
	struct host_filters filters = {.qdisc = ""};
	int err = 0;

	if (asking->qdisc)
		err = host_filters_read_at(asking->arena, asking->qdisc, direction == BH_IN,
					   asking->diag, &filters);
	for (size_t i = 0; i < filters.filters.len; i++) {
		const struct host_filter *filter = &filters.filters.at[i];
		int failed = 0;

		if (hook_is_our_name(filter->name))
			failed = add(asking, direction, filter->program);
		err = err ? err : failed;
	}
	return err;
}

static int ask_link(const struct asking *asking)
{
	int err = ask_hook(asking, BH_IN, ATTACH_NATIVE);

	for (int direction = BH_IN; direction <= BH_OUT; direction++) {
		int tcx = ask_hook(asking, (enum bh_direction)direction, ATTACH_TCX);
		int clsact = ask_clsact(asking, (enum bh_direction)direction);

		err = err ? err : tcx ? tcx : clsact;
	}
	return err;
}

int census_take(struct arena *arena, const char *pins, const struct host_facts *facts,
		struct diag *diag, census_programs *programs)
{
	host_qdiscs qdiscs = {};
	int err = host_qdiscs_read(arena, diag, &qdiscs);

	for (size_t i = 0; i < facts->links.len; i++) {
		const struct host_link *link = &facts->links.at[i];
		const struct asking asking = {
			.arena = arena,
			.pins = pins,
			.link = link,
			.qdisc = host_qdisc_of(&qdiscs, link->ifindex),
			.diag = diag,
			.programs = programs,
		};
		int failed = ask_link(&asking);

		err = err ? err : failed;
	}
	return err;
}

/* ---- others ---- */

static bool is_of(const struct census_program *program, const char *pins)
{
	return !program->owner.ours && strcmp(program->owner.pins, pins) == 0;
}

/* Whether one before it is of the same instance. */
static bool is_told(const census_programs *programs, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (is_of(&programs->at[i], programs->at[index].owner.pins))
			return true;
	return false;
}

/* "eth0 (ingress, program 5), eth0 (egress, program 6)" */
static const char *places_of(struct arena *arena, const census_programs *programs, const char *pins)
{
	const char *text = "";

	for (size_t i = 0; i < programs->len; i++) {
		const struct census_program *program = &programs->at[i];

		if (is_of(program, pins))
			text = arena_printf(arena, "%s%s'%s' (%s, program %u)", text,
					    text[0] ? ", " : "", program->link->name,
					    program->direction == BH_IN ? "ingress" : "egress",
					    program->id);
	}
	return text;
}

/* Whether all of its programs let everything pass. */
static bool all_pass(const census_programs *programs, const char *pins)
{
	for (size_t i = 0; i < programs->len; i++)
		if (is_of(&programs->at[i], pins) && !programs->at[i].owner.passes)
			return false;
	return true;
}

static const char *tell(struct arena *arena, const char *pins, const struct census_other *other,
			const char *places)
{
	const char *passes = other->passes ? " (and lets everything pass)" : "";

	if (other->pins[0])
		return arena_printf(
			arena,
			"another bulkhead, with pins '%s' and not '%s', is on link %s%s; "
			"name its --pins and --state",
			other->pins, pins, places, passes);
	return arena_printf(arena,
			    "a bulkhead whose pins are not to be found (not '%s') is on link %s%s; "
			    "name its --pins and --state%s",
			    pins, places, passes, instance_remedy());
}

census_others census_find_others(struct arena *arena, const char *pins,
				 const census_programs *programs)
{
	census_others others = {};

	for (size_t i = 0; i < programs->len; i++) {
		const struct instance_owner *owner = &programs->at[i].owner;
		struct census_other other = {.pins = owner->pins};

		if (owner->ours || is_told(programs, i))
			continue;
		other.passes = all_pass(programs, owner->pins);
		other.words = tell(arena, pins, &other, places_of(arena, programs, owner->pins));
		array_push(arena, &others, other);
	}
	return others;
}

static int look_for_others(const char *pins, const struct host_facts *facts, bool only_lost,
			   struct diag *diag)
{
	scoped(arena_free) struct arena *arena = arena_new();
	census_programs programs = {};
	census_others others;
	int err = census_take(arena, pins, facts, diag, &programs);

	if (err)
		return err;
	others = census_find_others(arena, pins, &programs);
	for (size_t i = 0; i < others.len; i++) {
		const struct census_other *other = &others.at[i];

		if (other->passes)
			continue;
		if (only_lost && other->pins[0])
			diag_warn(diag, (struct mark){}, "%s", other->words);
		else
			err = diag_refuse(diag, -ENODEV, "%s", other->words);
	}
	return err;
}

int census_refuse_others(const char *pins, const struct host_facts *facts, bool only_lost,
			 struct diag *diag)
{
	const struct timespec between = {.tv_nsec = HOOK_LOOK_NS};
	const uint64_t start = clock_ns();

	for (;;) {
		scoped(diag_free) struct diag *late = diag_new();
		int err = look_for_others(pins, facts, only_lost, late);

		if (err != -ENODEV || clock_ns() - start >= HOOK_OTHER_NS) {
			diag_take(diag, late, NULL);
			return err;
		}
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &between, NULL);
	}
}
