// SPDX-License-Identifier: GPL-2.0-only
/*
 * The steps, and what is asked of an image besides its classes: that every index leads
 * somewhere, and that the settings are those of host.yaml.
 */
#include "prove/prove.h"

#include "classify/verify.h"
#include "prove/bits.h"
#include "prove/runs.h"
#include "prove/set.h"
#include "prove/verdicts.h"

/* ---- settings ---- */

static bool same_never_denied(const struct hostconf *host, uint64_t never_off)
{
	uint64_t expected = 0;

#define X(constant, name)                          \
	if (!host->never_denied[NEVER_##constant]) \
		expected |= (uint64_t)1 << BH_REASON_##constant;
	HOSTCONF_NEVER_DENIED(X)
#undef X
	return never_off == expected;
}

static bool same_timeouts(const struct hostconf *host, const uint32_t timeouts[BH_TIMEOUT_COUNT])
{
	bool same = true;

#define X(constant, name, seconds) \
	same &= timeouts[BH_TIMEOUT_##constant] == host->timeouts[TIMEOUT_##constant];
	HOSTCONF_TIMEOUTS(X)
#undef X
	return same;
}

/* Each table is as large as was asked for, and no two share a page. */
static bool same_tables(const struct hostconf *host, const struct bh_table_place *tables)
{
	const struct {
		uint32_t entries;
		uint32_t bucket;
	} asked[BH_TABLE_COUNT] = {
		[BH_TABLE_HALF_OPEN4] = {host->table_half_open, BH_BUCKET4_SIZE},
		[BH_TABLE_HALF_OPEN6] = {host->table_half_open, BH_BUCKET6_SIZE},
		[BH_TABLE_ESTABLISHED4] = {host->table_flows, BH_BUCKET4_SIZE},
		[BH_TABLE_ESTABLISHED6] = {host->table_flows, BH_BUCKET6_SIZE},
		[BH_TABLE_FRAGMENTS] = {host->table_fragments, BH_BUCKET6_SIZE},
	};
	uint64_t pages[BH_STATE_PAGES / 64] = {};

	for (int i = 0; i < BH_TABLE_COUNT; i++) {
		uint64_t n = (uint64_t)tables[i].mask + 1;
		uint64_t size = n * asked[i].bucket;
		uint64_t end =
			tables[i].first_page + (size + BH_STATE_PAGE_SIZE - 1) / BH_STATE_PAGE_SIZE;

		if (n * BH_WAYS != (asked[i].entries > BH_WAYS ? asked[i].entries : BH_WAYS) ||
		    end > BH_STATE_PAGES || set_next(pages, tables[i].first_page, end) < end)
			return false;
		for (uint64_t page = tables[i].first_page; page < end; page++)
			set_put(pages, page, true);
	}
	return true;
}

/* The key of host.yaml whose setting differs; NULL: none does. */
static const char *find_setting(const struct hostconf *host, const struct bh_config *config)
{
	const struct {
		const char *key;
		bool same;
	} settings[] = {
		{"never_denied", same_never_denied(host, config->never_off)},
		{"timeouts", same_timeouts(host, config->timeouts)},
		{"tables", same_tables(host, config->tables)},
		{"log_limit", config->log_limit == host->log_limit},
		{"mode", config->audit == (host->mode == AST_AUDIT)},
		{"tcp_pickup", config->tcp_pickup == host->tcp_pickup},
		{"existing_flows", config->keep == (host->existing_flows == AST_KEEP)},
		{"platform", config->platform_azure == host->platform_azure},
	};

	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		if (!settings[i].same)
			return settings[i].key;
	return NULL;
}

/* ---- steps ---- */

/* What stands for the pairs of sides, and for those with each service, where they were not formed. */
static void count_bits(const struct side sides[2], const struct service_points *services,
		       struct prove_result *result)
{
	uint64_t n = 0;

	for (size_t s = 0; s < sides[0].points.len; s++)
		for (size_t d = 0; d < sides[1].points.len; d++)
			n += side_points_meet(&sides[0].points.at[s], &sides[1].points.at[d]);
	result->n_pairs += n;
	result->n_combinations += n * services->all.len;
}

/* Goes through all pairs. */
static void compare_pairs(struct arena *arena, const struct verdicts *known,
			  const struct side sides[2], struct prove_result *result)
{
	struct verdicts verdicts = *known;
	struct pair_points pairs;

	verdicts.pairs = &pairs;
	pair_points(arena, known->rules, known->image, sides, known->services->always, &pairs);
	result->n_pairs += pairs.n;
	verdicts_compare(arena, &verdicts, result);
	pair_points_fini(&pairs);
}

static void prove_direction(struct arena *arena, const struct policy *policy,
			    const struct image *image, enum policy_direction direction,
			    const struct address_points *addresses, struct prove_result *result)
{
	struct rules rules = rules_of(policy, direction);
	struct service_points services;
	struct side sides[2];
	struct verdicts verdicts = {&rules, image, addresses, &services, sides, NULL};

	service_points(arena, &rules, image, &services);
	for (int side = 0; side < 2; side++)
		side_find(arena, &rules, image, addresses, side, &sides[side]);
	result->n_services += services.all.len;
	if (bits_hold(&rules, image, sides, &services))
		count_bits(sides, &services, result);
	else
		compare_pairs(arena, &verdicts, sides, result);
	for (int side = 0; side < 2; side++)
		side_fini(&sides[side]);
	service_points_fini(&services);
}

static const char *find_fault(struct arena *arena, const struct policy *policy,
			      const struct image *image)
{
	const char *fault = verify_tables(image);
	const char *key;

	if (fault)
		return arena_printf(arena, "the tables are not sound: %s", fault);
	key = find_setting(&policy->host, &image_head(image)->config);
	if (key)
		return arena_printf(arena, "the image has another '%s' than host.yaml", key);
	return NULL;
}

/* The words for a difference that no packet which is left to the rules shows. */
static const char *unseen(struct arena *arena, const struct tuple *packet)
{
	char text[TUPLE_TEXT_SIZE];

	return arena_printf(arena,
			    "of packets that are decided before any rule, such as '%s', the image "
			    "has not what the rules add up to",
			    tuple_print(packet, text));
}

void prove(struct arena *arena, const struct policy *policy, const struct image *image,
	   struct prove_result *ret_result)
{
	scoped(arena_free) struct arena *scratch = arena_new();
	const char *fault = find_fault(arena, policy, image);
	struct address_points addresses = {};
	struct prove_result result = {};

	if (!fault && !address_points(scratch, policy, image, &addresses))
		fault = "the image tells apart more addresses than any policy could";
	if (fault)
		result.answer = PROVE_FAULT;
	for (int d = 0; d < DIRECTION_COUNT && !fault; d++)
		prove_direction(scratch, policy, image, d, &addresses, &result);
	if (result.answer == PROVE_FAULT)
		result.fault = fault ? fault : unseen(arena, &result.packet);
	result.n_segments = addresses.n_segments;
	address_points_fini(&addresses);
	*ret_result = result;
}

/* ---- what it will take ---- */

/* The cells of all slots: classes of source ports times classes of destination ports. */
static uint64_t count_cells(const struct image *image, enum bh_direction direction)
{
	const struct bh_direction_head *tables = &image_head(image)->direction[direction];
	const struct bh_proto_slot *slots = (const void *)(image->tables + tables->slots);
	uint64_t n = 0;

	for (uint32_t i = 0; i < tables->n_slots; i++) {
		uint32_t last = 0;

		for (uint32_t port = 0; slots[i].source_root && port < 65536; port++) {
			uint32_t class = runs_port_class(image, slots[i].source_root, port);

			last = class > last ? class : last;
		}
		n += (last + 1ULL) * slots[i].n_destination;
	}
	return n;
}

/* By bits: each set once, each row, and the count of what they stand for. */
static uint64_t estimate_bits(const struct bh_direction_head *tables, uint64_t n_words)
{
	uint64_t n_sets = (uint64_t)tables->n_source + tables->n_destination + tables->n_pair;
	uint64_t n_rows = 1;

	for (int tier = 0; tier < BH_TIER_COUNT; tier++)
		n_rows *= tables->tier_rules[tier] + 1ULL;
	return n_sets * n_words * 150 + n_rows * 100 +
	       (uint64_t)tables->n_source * tables->n_destination * 4;
}

/*
 * By pairs, or by bits that do not hold. What is as it should be is compared a block at a time, what is
 * wrong or not by pairs service by service.
 */
static uint64_t estimate_pairs(const struct bh_direction_head *tables, uint64_t n_words, bool wrong)
{
	uint64_t n_pairs = (uint64_t)tables->n_source * tables->n_destination;
	uint64_t n_rows = 4ULL * tables->n_pair;
	uint64_t n_columns = tables->row_len * 32ULL;
	uint64_t each = wrong ? 20 : 3;

	if (tables->product == BH_PRODUCT_BITS) {
		n_rows = n_pairs;
		n_columns = tables->n_pair;
		each += tables->row_len;
	}
	/* Sets of rules that lead to one row are looked at one by one. */
	if (n_rows > n_pairs)
		n_rows = n_pairs;
	return n_pairs * (100 + n_words * 20) + n_rows * n_columns * each;
}

/* In nanoseconds, as measured; rather too many than too few. */
static uint64_t estimate_direction(const struct policy *policy, const struct image *image,
				   enum bh_direction direction, bool wrong)
{
	const struct bh_direction_head *tables = &image_head(image)->direction[direction];
	uint64_t n_words = policy->rules.len / 64 + 1;
	uint64_t cells = count_cells(image, direction) * (100 + n_words * 4);

	if (tables->product == BH_PRODUCT_BITS && !wrong)
		return cells + estimate_bits(tables, n_words);
	return cells + estimate_pairs(tables, n_words, wrong);
}

static uint64_t estimate(const struct policy *policy, const struct image *image, bool wrong)
{
	uint64_t ns = 10000000 + image->tables_size * 2;

	if (verify_tables(image))
		return 0;
	for (size_t i = 0; i < policy->sets.len; i++)
		ns += policy->sets.at[i].ranges.len * 600;
	for (int d = 0; d < BH_DIRECTION_COUNT; d++)
		ns += estimate_direction(policy, image, d, wrong);
	return ns / 1000000;
}

uint64_t prove_estimate(const struct policy *policy, const struct image *image)
{
	return estimate(policy, image, false);
}

uint64_t prove_estimate_wrong(const struct policy *policy, const struct image *image)
{
	return estimate(policy, image, true);
}
