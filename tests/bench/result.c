// SPDX-License-Identifier: GPL-2.0-only
#include "tests/bench/result.h"

#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "base/str.h"
#include "tests/bench/must.h"

/* The value of the first line of a file that begins with key; the whole line for an empty key. */
static json_t *line_of(const char *path, const char *key)
{
	scoped(fclose) FILE *in = fopen(path, "re");
	char line[256];

	while (in && fgets(line, sizeof(line), in)) {
		struct str text = str_of(line);
		struct str before;

		if (!str_starts(text, str_of(key)))
			continue;
		if (key[0])
			(void)str_cut(text, ':', &before, &text);
		while (text.len && (text.at[0] == ' ' || text.at[0] == '\t'))
			text = (struct str){.at = text.at + 1, .len = text.len - 1};
		while (text.len && text.at[text.len - 1] == '\n')
			text.len--;
		return json_stringn(text.at, text.len);
	}
	return json_string("unknown");
}

static json_t *machine(void)
{
	struct utsname name;

	if (uname(&name))
		broken("cannot ask for the kernel");
	return json_pack(
		"{s:o, s:i, s:s, s:s, s:o, s:s, s:s, s:s}", "cpu",
		line_of("/proc/cpuinfo", "model name"), "cpus", (int)sysconf(_SC_NPROCESSORS_ONLN),
		"architecture", name.machine, "kernel", name.release, "spectre_v2",
		line_of("/sys/devices/system/cpu/vulnerabilities/spectre_v2", ""), "bulkhead",
		BULKHEAD_VERSION, "libbpf", libbpf_version_string(), "clang", BENCH_CLANG);
}

json_t *result_new(const char *tier)
{
	return json_pack("{s:s, s:o, s:[], s:[]}", "tier", tier, "machine", machine(), "results",
			 "gates");
}

void result_add(json_t *result, json_t *what, struct figures figures)
{
	(void)json_object_set_new(what, "median", json_real(figures.median));
	(void)json_object_set_new(what, "p10", json_real(figures.p10));
	(void)json_object_set_new(what, "p90", json_real(figures.p90));
	(void)json_array_append_new(json_object_get(result, "results"), what);
}

void result_gate(json_t *result, const char *name, double figure, enum gate_kind kind, double limit)
{
	bool holds = kind == GATE_AT_MOST ? figure <= limit : figure >= limit;
	const char *words = kind == GATE_AT_MOST ? "at most" : "at least";

	printf("%-68s %7.2f, %s %5.2f: %s\n", name, figure, words, limit,
	       holds ? "holds" : "falls short");
	(void)json_array_append_new(json_object_get(result, "gates"),
				    json_pack("{s:s, s:f, s:s, s:f, s:b}", "name", name, "figure",
					      figure, "kind", words, "limit", limit, "holds",
					      holds));
}

int result_end(json_t *result, const char *path)
{
	json_t *gate;
	size_t i;
	int status = 0;

	json_array_foreach(json_object_get(result, "gates"), i, gate)
	{
		if (!json_is_true(json_object_get(gate, "holds")))
			status = STATUS_GATE;
	}
	if (path && json_dump_file(result, path, JSON_INDENT(1) | JSON_REAL_PRECISION(6)))
		broken("cannot write '%s'", path);
	json_decref(result);
	return status;
}
