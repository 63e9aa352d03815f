// SPDX-License-Identifier: GPL-2.0-only
#include "cli/words.h"

#include <inttypes.h>
#include <time.h>

const char *words_count(struct arena *arena, uint64_t n, const char *one, const char *several)
{
	return arena_printf(arena, "%" PRIu64 " %s", n, n == 1 ? one : several);
}

const char *words_bytes(struct arena *arena, uint64_t size)
{
	static const char units[] = "KMGTPE";
	double value = (double)size;
	int unit = -1;

	while (value >= 1024 && unit < 5) {
		value /= 1024;
		unit++;
	}
	if (unit < 0)
		return arena_printf(arena, "%" PRIu64 " B", size);
	return arena_printf(arena, value < 10 ? "%.1f %cB" : "%.0f %cB", value, units[unit]);
}

const char *words_span(struct arena *arena, uint64_t seconds)
{
	if (seconds < 60)
		return arena_printf(arena, "%" PRIu64 "s", seconds);
	if (seconds < 3600)
		return arena_printf(arena, "%" PRIu64 "m%02" PRIu64 "s", seconds / 60,
				    seconds % 60);
	if (seconds < 86400)
		return arena_printf(arena, "%" PRIu64 "h%02" PRIu64 "m", seconds / 3600,
				    seconds / 60 % 60);
	return arena_printf(arena, "%" PRIu64 "d%02" PRIu64 "h", seconds / 86400,
			    seconds / 3600 % 24);
}

const char *words_instant(struct arena *arena, uint64_t seconds)
{
	time_t time = (time_t)seconds;
	struct tm utc;
	char text[32];

	if (!seconds || !gmtime_r(&time, &utc) ||
	    !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc))
		return "never";
	return arena_printf(arena, "%s", text);
}
