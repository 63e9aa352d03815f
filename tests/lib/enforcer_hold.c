// SPDX-License-Identifier: GPL-2.0-only
/*
 * enforcer-hold COMMAND [ARG...]: loads the programs under test once and runs the command, all of
 * whose tests then use them, one at a time; see tests/lib/enforcer_held.c. Ends with its status. Under
 * another enforcer-hold it runs the command with that one's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/enforcer_inside.h"

int main(int argc, char **argv)
{
	scoped(enforcer_free) struct enforcer *enforcer = NULL;
	int status = 1;
	char words[96];
	pid_t child;

	if (argc < 2) {
		(void)fprintf(stderr, "usage: enforcer-hold COMMAND [ARG...]\n");
		return 2;
	}
	if (getenv(ENFORCER_HELD) || !enforcer_is_possible()) {
		(void)execvp(argv[1], argv + 1); /* without programs they skip, and say why */
		perror(argv[1]);
		return 127;
	}
	enforcer = enforcer_new();
	(void)snprintf(words, sizeof(words), "%d %d %d %d %d %d %d", getpid(),
		       memfd_create("enforcer-hold", MFD_CLOEXEC), enforcer->programs[0],
		       enforcer->programs[1], enforcer->programs[2], enforcer->programs[3],
		       enforcer->programs[ENFORCER_CARRY]);
	(void)setenv(ENFORCER_HELD, words, 1);
	child = fork();
	if (child == 0) {
		(void)execvp(argv[1], argv + 1);
		perror(argv[1]);
		_exit(127);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
