// SPDX-License-Identifier: GPL-2.0-only
#include "tests/unit/kernel/folder.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"

char *folder_new(void)
{
	char *path = strdup("/tmp/bulkhead-test-XXXXXX");

	cr_assert(path && mkdtemp(path), "cannot make a folder");
	return path;
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *place)
{
	(void)about;
	(void)kind;
	(void)place;
	return remove(path);
}

void folder_free(char *path)
{
	(void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(path);
}

void folder_write(const char *path, const void *data, size_t size)
{
	/* A file that is cut to nothing and written anew goes to the disk at once; a new one not. */
	(void)unlink(path);
	scoped(fclose) FILE *out = fopen(path, "we");

	cr_assert(out && fwrite(data, 1, size, out) == size, "cannot write %s", path);
}

char *folder_read(const char *path, size_t *ret_size)
{
	scoped(fclose) FILE *in = fopen(path, "re");
	char *data = NULL;
	size_t size = 0;

	if (!in)
		return NULL;
	do {
		data = mem_realloc(data, size + 65537, 1);
		size += fread(data + size, 1, 65536, in);
	} while (!feof(in) && !ferror(in));
	data[size] = '\0';
	*ret_size = size;
	return data;
}
