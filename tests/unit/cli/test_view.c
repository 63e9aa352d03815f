// SPDX-License-Identifier: GPL-2.0-only
/* Both views: nothing is missing in either, and what they make of the values. */
#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "cli/view.h"
#include "cli/words.h"

struct shown {
	struct view *view;
	char *text;
	size_t size;
	FILE *out;
};

static void start(struct shown *shown, bool json)
{
	*shown = (struct shown){};
	shown->out = open_memstream(&shown->text, &shown->size);
	cr_assert_not_null(shown->out);
	shown->view = view_new(json, shown->out);
}

static void done(struct shown *shown)
{
	view_free(shown->view);
	fclose(shown->out);
	free(shown->text);
}

/* What has been written, all of it. */
static const char *text_of(struct shown *shown)
{
	cr_assert_eq(view_end(shown->view), 0);
	fflush(shown->out);
	return shown->text;
}

/* The one line of text is one object of this schema. */
static json_t *object_of(const char *text)
{
	json_error_t error;
	json_t *object = json_loads(text, 0, &error);

	cr_assert_not_null(object, "%s: %s", error.text, text);
	cr_assert_eq(json_integer_value(json_object_get(object, "schema")), 1, "%s", text);
	cr_assert_eq(strchr(text, '\n'), text + strlen(text) - 1, "more than a line: %s", text);
	return object;
}

static void has_all_members(const struct view_ops *ops)
{
	void (*members[sizeof(*ops) / sizeof(void (*)(void))])(void);

	cr_assert_eq(sizeof(members), sizeof(*ops));
	memcpy(members, ops, sizeof(*ops));
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		cr_assert_not_null(members[i], "member %zu", i);
}

Test(view, no_member_of_either_view_is_missing)
{
	has_all_members(&view_text);
	has_all_members(&view_json);
}

static const struct view_rule a_rule = {
	.group = "web",
	.name = "allow-web",
	.tier = "nic",
	.direction = "inbound",
	.access = "allow",
	.priority = 100,
	.place = {"web.yaml", 7},
	.protocols = "tcp/443",
	.source = "any",
	.destination = "self",
	.enabled = true,
};

Test(view, a_rule_with_counters_has_other_columns_than_one_without)
{
	struct view_rule counted = a_rule;
	struct shown shown;

	start(&shown, false);
	shown.view->ops->rule(shown.view, &a_rule);
	cr_assert_str_eq(
		text_of(&shown),
		"DIRECTION  TIER  PRIO  RULE           ACCESS  PROTOCOL  SOURCE  DESTINATION  PLACE       "
		"MARKS\n"
		"in         nic    100  web/allow-web  allow   tcp/443   any     self         "
		"web.yaml:7\n");
	done(&shown);
	start(&shown, false);
	counted.counted = true;
	counted.audit = counted.log = true;
	counted.counts = (struct view_counts){.packets = 7, .bytes = 1536, .last = 86400};
	shown.view->ops->rule(shown.view, &counted);
	cr_assert_str_eq(text_of(&shown),
			 "DIRECTION  TIER  PRIO  RULE           ACCESS  PACKETS   BYTES  REPLIES  "
			 "FLOWS  WOULD  LAST                  PLACE       MARKS\n"
			 "in         nic    100  web/allow-web  allow         7  1.5 KB        -  "
			 "    -      -  1970-01-02T00:00:00Z  web.yaml:7  audit log\n");
	done(&shown);
}

Test(view, json_has_counters_only_where_they_are_known)
{
	struct view_rule counted = a_rule;
	struct shown shown;
	json_t *object, *rules;

	counted.counted = true;
	counted.counts.packets = UINT32_MAX + 1ULL;
	start(&shown, true);
	shown.view->ops->rule(shown.view, &a_rule);
	shown.view->ops->rule(shown.view, &counted);
	object = object_of(text_of(&shown));
	rules = json_object_get(object, "rules");
	cr_assert_eq(json_array_size(rules), 2);
	cr_assert_null(json_object_get(json_array_get(rules, 0), "packets"));
	cr_assert_eq(json_integer_value(json_object_get(json_array_get(rules, 1), "packets")),
		     4294967296);
	json_decref(object);
	done(&shown);
}

Test(view, a_disabled_rule_has_no_id_and_perhaps_no_access)
{
	struct view_rule disabled = a_rule;
	struct shown shown;
	json_t *object, *rules;

	disabled.enabled = false;
	disabled.access = NULL;
	start(&shown, true);
	shown.view->ops->rule(shown.view, &a_rule);
	shown.view->ops->rule(shown.view, &disabled);
	object = object_of(text_of(&shown));
	rules = json_object_get(object, "rules");
	cr_assert(json_is_integer(json_object_get(json_array_get(rules, 0), "id")));
	cr_assert(json_is_null(json_object_get(json_array_get(rules, 1), "id")));
	cr_assert(json_is_null(json_object_get(json_array_get(rules, 1), "access")));
	json_decref(object);
	done(&shown);
	start(&shown, false);
	shown.view->ops->rule(shown.view, &disabled);
	cr_assert_not_null(strstr(text_of(&shown), "web/allow-web  -       tcp/443"), "%s",
			   shown.text);
	done(&shown);
}

static const char *size_text(uint64_t size)
{
	static char text[32];
	struct view_check check = {.memory = size,
				   .address4 = "",
				   .product = {{.kind = ""}, {.kind = ""}},
				   .digest = ""};
	struct shown shown;
	const char *at;

	start(&shown, false);
	shown.view->ops->check(shown.view, &check);
	at = strstr(text_of(&shown), "), ");
	cr_assert_not_null(at);
	snprintf(text, sizeof(text), "%.*s", (int)(strstr(at, " in the kernel") - at - 3), at + 3);
	done(&shown);
	return text;
}

Test(view, of_one_there_is_one)
{
	scoped(arena_free) struct arena *arena = arena_new();

	cr_assert_str_eq(words_count(arena, 0, "prefix", "prefixes"), "0 prefixes");
	cr_assert_str_eq(words_count(arena, 1, "prefix", "prefixes"), "1 prefix");
	cr_assert_str_eq(words_count(arena, 2, "prefix", "prefixes"), "2 prefixes");
}

Test(view, bytes_are_told_in_the_largest_unit)
{
	cr_assert_str_eq(size_text(0), "0 B");
	cr_assert_str_eq(size_text(1023), "1023 B");
	cr_assert_str_eq(size_text(1024), "1.0 KB");
	cr_assert_str_eq(size_text(10 * 1024), "10 KB");
	cr_assert_str_eq(size_text(1024 * 1024 * 3 / 2), "1.5 MB");
	cr_assert_str_eq(size_text(5ULL << 40), "5.0 TB");
	cr_assert_str_eq(size_text(UINT64_MAX), "16 EB");
}

Test(view, what_has_no_direction_is_shown_in_none)
{
	struct view_stat stat = {.by = "note",
				 .name = "flow-ended",
				 .direction = "",
				 .packets = 2,
				 .packet_rate = -1,
				 .byte_rate = -1};
	struct shown shown;

	start(&shown, false);
	shown.view->ops->stat(shown.view, &stat);
	stat.direction = "outbound";
	shown.view->ops->stat(shown.view, &stat);
	cr_assert_str_eq(text_of(&shown),
			 "BY    NAME        DIRECTION  PACKETS  BYTES  PACKETS/S  BYTES/S\n"
			 "note  flow-ended  -                2    0 B\n"
			 "note  flow-ended  out              2    0 B\n");
	done(&shown);
}

static void flow_line(uint64_t age, uint64_t idle, uint64_t ends, const char *expected)
{
	struct view_flow flow = {
		.protocol = "tcp",
		.local = "l",
		.remote = "r",
		.direction = "outbound",
		.state = "closing",
		.age = age,
		.idle = idle,
		.ends = ends,
		.rule = "g/r",
	};
	struct shown shown;

	start(&shown, false);
	shown.view->ops->flow(shown.view, &flow);
	cr_assert_not_null(strstr(text_of(&shown), expected), "no '%s' in\n%s", expected,
			   shown.text);
	done(&shown);
}

Test(view, spans_are_told_in_two_units)
{
	flow_line(61, 0, 59, "  1m01s    0s   59s  g/r");
	flow_line(99, 60, 3599, "  1m39s  1m00s  59m59s  g/r");
	flow_line(3600, 3600, 86399, "  1h00m  1h00m  23h59m  g/r");
	flow_line(90000, 86400, 90000, "  1d01h  1d00h  1d01h  g/r");
}

Test(view, each_event_is_written_at_once_in_a_line_of_its_own)
{
	struct view_event event = {
		.time = 1500000000,
		.verdict = "deny",
		.direction = "inbound",
		.interface = "eth0",
		.packet = "in tcp 192.0.2.1:1 10.0.0.4:2",
		.decider = "web/DenyAllInBound",
		.place = {"web.yaml", 2},
		.length = 60,
		.packets = 1,
	};
	struct shown shown;
	char *line;

	start(&shown, false);
	shown.view->ops->event(shown.view, &event);
	fflush(shown.out);
	cr_assert_str_eq(shown.text, "1970-01-01T00:00:01.500Z deny       eth0  in tcp "
				     "192.0.2.1:1 10.0.0.4:2  by web/DenyAllInBound (web.yaml:2)  "
				     "60 bytes\n");
	done(&shown);
	start(&shown, true);
	shown.view->ops->event(shown.view, &event);
	shown.view->ops->event(shown.view, &event);
	fflush(shown.out);
	line = strchr(shown.text, '\n');
	cr_assert_not_null(line);
	json_decref(object_of(line + 1));
	line[1] = '\0';
	json_decref(object_of(shown.text));
	done(&shown);
}

static void is_told_as(const char *path, const char *expected)
{
	struct view_file file = {.path = path, .digest = "", .now = "gone"};
	struct shown shown;
	json_t *object;

	start(&shown, true);
	shown.view->ops->file(shown.view, &file);
	object = object_of(text_of(&shown));
	cr_assert_str_eq(json_string_value(json_object_get(
				 json_array_get(json_object_get(object, "files"), 0), "path")),
			 expected);
	json_decref(object);
	done(&shown);
}

Test(view, a_text_that_is_no_utf8_loses_in_json_what_is_none)
{
	is_told_as("/etc/b\xff.yaml", "/etc/b?.yaml");
	is_told_as("\xc3\xa4\xc3/\xed\xa0\x80\x1b", "\xc3\xa4?/???\x1b");
	is_told_as("\xf5\x80\x80\x80\xf4\x90\x80\x80", "????????");
	is_told_as("", "");
	is_told_as(NULL, "");
}

Test(view, links_whose_names_are_no_utf8_are_told_apart)
{
	struct view_hook hook = {.direction = "ingress", .hook = "tcx"};
	struct shown shown;
	json_t *object;

	start(&shown, true);
	for (int i = 0; i < 4; i++) {
		hook.interface = i < 2 ? "e\xff" : "e\xfe";
		hook.direction = i % 2 ? "egress" : "ingress";
		shown.view->ops->hook(shown.view, &hook);
	}
	object = object_of(text_of(&shown));
	cr_assert_eq(json_array_size(json_object_get(object, "links")), 2);
	json_decref(object);
	done(&shown);
}

Test(view, the_hooks_of_a_link_are_one_object)
{
	struct view_hook in = {.interface = "eth0", .direction = "ingress", .hook = "native"};
	struct view_hook out = {.interface = "eth0", .direction = "egress", .hook = "tcx"};
	struct shown shown;
	json_t *object, *link;

	start(&shown, true);
	shown.view->ops->hook(shown.view, &in);
	shown.view->ops->hook(shown.view, &out);
	object = object_of(text_of(&shown));
	cr_assert_eq(json_array_size(json_object_get(object, "links")), 1);
	link = json_array_get(json_object_get(object, "links"), 0);
	cr_assert_str_eq(
		json_string_value(json_object_get(json_object_get(link, "ingress"), "hook")),
		"native");
	cr_assert_str_eq(
		json_string_value(json_object_get(json_object_get(link, "egress"), "hook")), "tcx");
	json_decref(object);
	done(&shown);
}

Test(view, a_list_with_nothing_in_it_is_there_and_empty)
{
	struct shown shown;
	json_t *object;

	start(&shown, true);
	shown.view->ops->list(shown.view, "flows");
	object = object_of(text_of(&shown));
	cr_assert(json_is_array(json_object_get(object, "flows")));
	cr_assert_eq(json_array_size(json_object_get(object, "flows")), 0);
	json_decref(object);
	done(&shown);
	start(&shown, false);
	shown.view->ops->list(shown.view, "flows");
	cr_assert_str_eq(text_of(&shown), "no flows\n");
	done(&shown);
	start(&shown, false);
	shown.view->ops->list(shown.view, "rules");
	shown.view->ops->rule(shown.view, &a_rule);
	cr_assert_null(strstr(text_of(&shown), "no rules"));
	done(&shown);
}

Test(view, nothing_shown_is_nothing_written)
{
	struct shown shown;

	for (int json = 0; json < 2; json++) {
		start(&shown, json);
		cr_assert_str_eq(text_of(&shown), "");
		done(&shown);
	}
	cr_assert_eq(view_end(NULL), 0);
}

Test(view, output_that_cannot_be_written_is_told)
{
	FILE *full = fopen("/dev/full", "we");
	struct view_version version = {.version = "1"};
	struct view *view;

	cr_assert_not_null(full);
	view = view_new(false, full);
	view->ops->version(view, &version);
	cr_assert_eq(view_end(view), -ENOSPC);
	cr_assert(view_is_broken(view));
	view_free(view);
	fclose(full);
}

Test(view, a_file_has_no_colours_whatever_the_terminal)
{
	struct view_explain explain = {.packet = "p", .decider = "nd"};
	struct shown shown;

	setenv("TERM", "xterm", 1);
	unsetenv("NO_COLOR");
	start(&shown, false);
	cr_assert_not(shown.view->colour);
	shown.view->ops->explain(shown.view, &explain);
	cr_assert_null(strchr(text_of(&shown), '\033'));
	done(&shown);
	start(&shown, false);
	shown.view->colour = true;
	shown.view->ops->explain(shown.view, &explain);
	cr_assert_not_null(strstr(text_of(&shown), "\033[1;31mdeny\033[0m by nd"));
	done(&shown);
}
