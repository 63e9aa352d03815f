// SPDX-License-Identifier: GPL-2.0-only
/* NAME FOLDER: the fuzzer NAME over each file of its kept corpus; TAP. A fault ends the program. */
#include <dirent.h>
#include <string.h>

#include "base/array.h"
#include "tests/fuzz/fuzz.h"

enum { SIZE_MAX_KEPT = 1 << 20 };

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool run_file(const char *path)
{
	scoped(fclose) FILE *in = fopen(path, "re");
	scoped(free) uint8_t *room = mem_alloc(SIZE_MAX_KEPT);
	scoped(free) uint8_t *exact = NULL;
	size_t size;

	if (!in)
		return false;
	size = fread(room, 1, SIZE_MAX_KEPT, in);
	/* A read behind the end is found. */
	exact = mem_alloc(size);
	memcpy(exact, room, size);
	(void)LLVMFuzzerTestOneInput(exact, size);
	return true;
}

int main(int argc, char **argv)
{
	scoped(arena_free) struct arena *arena = arena_new();
	ARRAY(char *) names = {};
	DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
	const struct dirent *entry;

	if (!folder) {
		fprintf(stderr, "usage: fuzz-NAME FOLDER\n");
		return 2;
	}
	while ((entry = readdir(folder)))
		if (entry->d_name[0] != '.')
			array_push(arena, &names,
				   arena_printf(arena, "%s/%s", argv[1], entry->d_name));
	(void)closedir(folder);
	if (names.len)
		qsort(names.at, names.len, sizeof(*names.at), compare_names);
	printf("1..%zu\n", names.len ? names.len : 1);
	if (!names.len)
		printf("not ok 1 - %s is empty\n", argv[1]);
	for (size_t i = 0; i < names.len; i++) {
		printf("# %s\n", names.at[i]);
		(void)fflush(stdout);
		printf("%s %zu - %s\n", run_file(names.at[i]) ? "ok" : "not ok", i + 1,
		       strrchr(names.at[i], '/') + 1);
	}
	return names.len ? 0 : 1;
}
