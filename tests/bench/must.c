// SPDX-License-Identifier: GPL-2.0-only
#include "tests/bench/must.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void broken(const char *format, ...)
{
	va_list arguments;

	(void)fflush(stdout);
	va_start(arguments, format);
	(void)fputs("bench: ", stderr);
	(void)vfprintf(stderr, format, arguments);
	va_end(arguments);
	(void)fputc('\n', stderr);
	exit(STATUS_BROKEN);
}

void must(int err, const char *what)
{
	if (err)
		broken("%s: %s", what, strerror(err < 0 ? -err : err));
}
