// SPDX-License-Identifier: GPL-2.0-only
#include "tests/bench/options.h"

#include <getopt.h>
#include <stddef.h>

#include "base/str.h"
#include "tests/bench/must.h"

struct bench_options bench_options(int argc, char **argv, uint32_t rounds, bool has_tiny)
{
	static const struct option words[] = {
		{"rounds", required_argument, NULL, 'r'},
		{"json", required_argument, NULL, 'j'},
		{"tiny", no_argument, NULL, 't'},
		{},
	};
	struct bench_options options = {.rounds = rounds};
	uint64_t number = 0;
	int word;

	while ((word = getopt_long(argc, argv, "", words, NULL)) >= 0) {
		if (word == 'j')
			options.json = optarg;
		else if (word == 't' && has_tiny)
			options.tiny = true;
		else if (word == 'r' && str_number(str_of(optarg), 1000, &number) && number)
			options.rounds = (uint32_t)number;
		else
			broken("usage: %s [--rounds N] [--json FILE]%s", argv[0],
			       has_tiny ? " [--tiny]" : "");
	}
	return options;
}
