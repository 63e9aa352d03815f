// SPDX-License-Identifier: GPL-2.0-only
/*
 * The steps, and what is asked of an image besides its classes: that every index leads
 * somewhere, and that the settings are those of host.yaml.
 */
#include "prove/prove.h"

#include "classify/verify.h"
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

static void prove_direction(struct arena *arena, const struct policy *policy,
			    const struct image *image, enum policy_direction direction,
			    const struct address_points *addresses, struct prove_result *result)
{
	struct rules rules = rules_of(policy, direction);
	struct service_points services;
	struct pair_points pairs;
	struct verdicts verdicts = {&rules, image, addresses, &services, &pairs};

	service_points(arena, &rules, image, &services);
	pair_points(arena, &rules, image, addresses, services.always, &pairs);
	result->n_services += services.all.len;
	result->n_pairs += pairs.n;
	verdicts_compare(arena, &verdicts, result);
	pair_points_fini(&pairs);
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

void prove(struct arena *arena, const struct policy *policy, const struct image *image,
	   struct prove_result *ret_result)
{
	scoped(arena_free) struct arena *scratch = arena_new();
	struct prove_result result = {.fault = find_fault(arena, policy, image)};
	struct address_points addresses = {};

	if (!result.fault && !address_points(scratch, policy, image, &addresses))
		result.fault = "the image tells apart more addresses than any policy could";
	if (result.fault)
		result.answer = PROVE_FAULT;
	for (int d = 0; d < DIRECTION_COUNT && !result.fault; d++)
		prove_direction(scratch, policy, image, d, &addresses, &result);
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

/* In nanoseconds, as measured; rather too many than too few. */
static uint64_t estimate_direction(const struct policy *policy, const struct image *image,
				   enum bh_direction direction)
{
	const struct bh_direction_head *tables = &image_head(image)->direction[direction];
	uint64_t n_words = policy->rules.len / 64 + 1;
	uint64_t n_pairs = (uint64_t)tables->n_source * tables->n_destination;
	uint64_t n_rows = 4ULL * tables->n_pair;
	uint64_t n_columns = tables->row_len * 32ULL;
	uint64_t each = 16;

	if (tables->product == BH_PRODUCT_BITS) {
		n_rows = n_pairs;
		n_columns = tables->n_pair;
		each += tables->row_len;
	}
	/* Sets of rules that lead to one row are looked at one by one. */
	if (n_rows > n_pairs)
		n_rows = n_pairs;
	return n_pairs * (100 + n_words * 2) + n_rows * n_columns * each +
	       count_cells(image, direction) * (100 + n_words * 4);
}

uint64_t prove_estimate(const struct policy *policy, const struct image *image)
{
	uint64_t ns = 10000000 + image->tables_size * 2;

	if (verify_tables(image))
		return 0;
	for (size_t i = 0; i < policy->sets.len; i++)
		ns += policy->sets.at[i].ranges.len * 400;
	for (int d = 0; d < BH_DIRECTION_COUNT; d++)
		ns += estimate_direction(policy, image, d);
	return ns / 1000000;
}
