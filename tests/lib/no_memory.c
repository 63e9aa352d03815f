// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loaded before a program, it refuses one piece of memory: the one whose number stands in NO_MEMORY_AT.
 * How many were asked for is written to the file NO_MEMORY_COUNT at the end.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * glibc's own, which those below stand before.
 * NOLINTBEGIN(bugprone-reserved-identifier): the names are glibc's
 */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *memory, size_t size);
/* NOLINTEND(bugprone-reserved-identifier) */

static unsigned long asked;

static bool is_refused(void)
{
	const char *at = getenv("NO_MEMORY_AT");
	unsigned long number = __atomic_add_fetch(&asked, 1, __ATOMIC_RELAXED);

	if (!at || strtoul(at, NULL, 10) != number)
		return false;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return is_refused() ? NULL : __libc_malloc(size);
}

void *calloc(size_t nmemb, size_t size)
{
	return is_refused() ? NULL : __libc_calloc(nmemb, size);
}

void *realloc(void *ptr, size_t size)
{
	return is_refused() ? NULL : __libc_realloc(ptr, size);
}

static __attribute__((destructor)) void tell(void)
{
	const char *path = getenv("NO_MEMORY_COUNT");
	unsigned long n = asked;
	FILE *out = path ? fopen(path, "we") : NULL;

	if (!out)
		return;
	(void)fprintf(out, "%lu\n", n);
	(void)fclose(out);
}
