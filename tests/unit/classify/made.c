// SPDX-License-Identifier: GPL-2.0-only
#include "tests/unit/classify/made.h"

#include <stdio.h>

void made_init(struct made *made)
{
	*made = (struct made){.arena = arena_new(), .diag = diag_new()};
	hostconf_init(&made->policy.host);
	array_push(made->arena, &made->policy.groups,
		   (struct policy_group){.name = STR("g"), .tier = TIER_NIC});
	array_push(made->arena, &made->policy.sets, (struct policy_set){.any = true});
	made->policy.has_group[TIER_NIC] = true;
}

void made_fini(struct made *made)
{
	diag_free(made->diag);
	arena_free(made->arena);
}

uint32_t made_set(struct made *made)
{
	(void)array_add(made->arena, &made->policy.sets);
	return made->policy.sets.len - 1;
}

void made_range4(struct made *made, uint32_t set, uint32_t first, uint32_t last)
{
	array_push(made->arena, &made->policy.sets.at[set].ranges,
		   (struct addr_range){addr_v4(first), addr_v4(last)});
}

static struct addr addr_v6(const uint64_t halves[2])
{
	struct addr addr = {.family = ADDR_V6};

	for (int i = 0; i < 16; i++)
		addr.bytes[i] = halves[i / 8] >> (56 - i % 8 * 8);
	return addr;
}

void made_range6(struct made *made, uint32_t set, const uint64_t first[2], const uint64_t last[2])
{
	array_push(made->arena, &made->policy.sets.at[set].ranges,
		   (struct addr_range){addr_v6(first), addr_v6(last)});
}

struct policy_rule *made_rule(struct made *made, uint32_t source, uint32_t destination)
{
	struct policy_rule *rule = array_add(made->arena, &made->policy.rules);
	uint32_t id = made->policy.rules.len - 1;

	*rule = (struct policy_rule){
		.id = id,
		.name = str_of(arena_printf(made->arena, "r%u", id)),
		.tier = TIER_NIC,
		.access = ACCESS_ALLOW,
		.priority = 100 + id,
		.source = source,
		.destination = destination,
	};
	array_push(made->arena, &rule->clauses,
		   (struct policy_clause){.protocol = -1, .icmp_type = -1, .icmp_code = -1});
	made->policy.n[DIRECTION_IN][TIER_NIC]++;
	return rule;
}

const char *made_words(struct made *made)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	const char *words;

	diag_print(made->diag, out);
	fclose(out);
	words = arena_printf(made->arena, "%s", text);
	free(text);
	return words;
}
