// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loaded before a program, it refuses one piece of memory: the one whose number stands in NO_MEMORY_AT.
 * Where NO_MEMORY_OF names a library, only what that asks for is counted: what stands in its own calls of
 * malloc, calloc and realloc, and not what strdup or fopen ask for on its behalf. How many were asked for is written to
 * the file NO_MEMORY_COUNT at the end.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * glibc's own, which those below stand before.
 * NOLINTBEGIN(bugprone-reserved-identifier): the names are glibc's
 */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *memory, size_t size);
/* NOLINTEND(bugprone-reserved-identifier) */

static unsigned long asked;

static bool is_counted(const void *caller)
{
	const char *library = getenv("NO_MEMORY_OF");
	Dl_info about;

	return !library || (dladdr(caller, &about) && strstr(about.dli_fname, library));
}

static bool is_refused(const void *caller)
{
	const char *at = getenv("NO_MEMORY_AT");
	unsigned long number;

	if (!is_counted(caller))
		return false;
	number = __atomic_add_fetch(&asked, 1, __ATOMIC_RELAXED);
	if (!at || strtoul(at, NULL, 10) != number)
		return false;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return is_refused(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t nmemb, size_t size)
{
	return is_refused(__builtin_return_address(0)) ? NULL : __libc_calloc(nmemb, size);
}

void *realloc(void *ptr, size_t size)
{
	return is_refused(__builtin_return_address(0)) ? NULL : __libc_realloc(ptr, size);
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
