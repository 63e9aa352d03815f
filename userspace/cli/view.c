// SPDX-License-Identifier: GPL-2.0-only
/* What both views share; see cli/view.h. */
#include "cli/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "cli/columns.h"

static bool wants_colour(FILE *out)
{
	const char *off = getenv("NO_COLOR");
	const char *terminal = getenv("TERM");

	return isatty(fileno(out)) && !(off && off[0]) && terminal && terminal[0] &&
	       strcmp(terminal, "dumb") != 0;
}

struct view *view_new(bool json, FILE *out)
{
	struct view *view = mem_calloc(1, sizeof(*view));

	if (json)
		view_json_take_memory();
	view->ops = json ? &view_json : &view_text;
	view->out = out;
	view->colour = wants_colour(out);
	view->arena = arena_new();
	view->columns = columns_new(view->arena);
	return view;
}

void view_free(struct view *view)
{
	if (view)
		arena_free(view->arena);
	free(view);
}

void view_messages(struct view *view, const struct diag *diag)
{
	const struct view_failure none = {.diag = diag};

	view->ops->failure(view, &none);
}

void view_forget(struct view *view)
{
	arena_free(view->arena);
	view->arena = arena_new();
	view->columns = columns_new(view->arena);
}

void view_flush(struct view *view)
{
	if (fflush(view->out) && !view->err)
		view->err = -errno;
}

bool view_is_broken(const struct view *view)
{
	return ferror(view->out);
}

int view_end(struct view *view)
{
	if (!view)
		return 0;
	view->ops->flush(view);
	view_flush(view);
	if (!ferror(view->out))
		return 0;
	return view->err ? view->err : -EIO;
}

const char *view_filterer_name(enum view_filterer by)
{
	static const char *const names[] = {
#define X(constant, name, words) [VIEW_FILTERER_##constant] = (name),
		VIEW_FILTERERS(X)
#undef X
	};

	return names[by];
}

const char *view_filterer_words(enum view_filterer by)
{
	static const char *const told[] = {
#define X(constant, name, words) [VIEW_FILTERER_##constant] = (words),
		VIEW_FILTERERS(X)
#undef X
	};

	return told[by];
}

const char *view_place_text(struct view *view, const struct view_place *place)
{
	if (!place->file || !place->file[0])
		return "";
	return str_make_visible(arena_printf(view->arena, "%s:%u", place->file, place->line));
}
