// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loaded before the test programs of another machine, which an emulator runs (tests/meson.build).
 * Criterion runs each test in its own program started anew, and that the kernel here cannot start:
 * the emulator is started with it instead.
 */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WORDS_MAX = 1024, EMULATOR_WORDS = 8 };

int execve(const char *path, char *const argv[], char *const envp[]);

static bool is_own_program(const char *path)
{
	char own[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", own, sizeof(own) - 1);

	return len > 0 && strlen(path) == (size_t)len && memcmp(path, own, (size_t)len) == 0;
}

/* Appends the words of from to the n that are there, and the end. The new number, or -1. */
static int append(const char **words, int n, char *const *from)
{
	for (; *from && n < WORDS_MAX - 1; n++)
		words[n] = *from++;
	words[n] = NULL;
	return *from ? -1 : n;
}

/* What is of this machine cannot load what is of the other. The emulator knows to load it again. */
static void drop_preload(const char **words)
{
	const char **kept = words;

	for (; *words; words++)
		if (strncmp(*words, "LD_PRELOAD=", strlen("LD_PRELOAD=")) != 0)
			*kept++ = *words;
	*kept = NULL;
}

/* Sets words to what starts a program in the emulator, which meson names. False: there is none. */
static bool name_emulator(const char **words, int *ret_n)
{
	static char line[PATH_MAX];
	const char *wrapper = getenv("MESON_EXE_WRAPPER");

	*ret_n = 0;
	if (!wrapper || strlen(wrapper) >= sizeof(line))
		return false;
	memcpy(line, wrapper, strlen(wrapper) + 1);
	for (char *word = strtok(line, " "); word && *ret_n < EMULATOR_WORDS;
	     word = strtok(NULL, " "))
		words[(*ret_n)++] = word;
	return *ret_n > 0;
}

int execve(const char *path, char *const argv[], char *const envp[])
{
	const char *words[WORDS_MAX];
	const char *env[WORDS_MAX];
	int n = 0;
	bool own = is_own_program(path) && name_emulator(words, &n);

	if (own)
		words[n++] = path;
	if (append(words, n, own ? argv + 1 : argv) < 0 || append(env, 0, envp) < 0) {
		errno = E2BIG;
		return -1;
	}
	drop_preload(env);
	if (own)
		return execvpe(words[0], (char *const *)words, (char *const *)env);
	return (int)syscall(SYS_execve, path, words, env);
}
