// SPDX-License-Identifier: GPL-2.0-only
/*
 * The programs under test, with the maps that the loader would fill. What became of a packet is
 * read in enforcer_counters.c.
 */
#include "tests/lib/enforcer_inside.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/enforce.skel.h"
#include "kernel/load_skeleton.h"
#include "kernel/tables.h"

enum {
	START_JIFFIES = 1 << 20,
	PASS_XDP = 2, /* XDP_PASS */
	DROP_TC = 2,  /* TC_ACT_SHOT */
};

void enforcer_fail(const struct enforcer *enforcer, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vfprintf(stderr, format, arguments);
	va_end(arguments);
	(void)fputc('\n', stderr);
	if (enforcer)
		diag_print(enforcer->diag, stderr);
	abort();
}

void enforcer_must(const struct enforcer *enforcer, int err, const char *what)
{
	if (err)
		enforcer_fail(enforcer, "%s: %s", what, strerror(err < 0 ? -err : err));
}

int enforcer_map(const struct enforcer *enforcer, const char *name)
{
	return bpf_object__find_map_fd_by_name(enforcer->skeleton->obj, name);
}

bool enforcer_is_possible(void)
{
	scoped(diag_free) struct diag *diag = diag_new();
	struct probe probe;

	return getenv(ENFORCER_HELD) || (!probe_kernel(diag, &probe) && probe.has[PROBE_TEST_RUN]);
}

static int take_event(void *context, void *data, size_t size)
{
	struct enforcer *enforcer = context;

	if (size < sizeof(struct bh_event))
		enforcer_fail(enforcer, "an event of %zu bytes", size);
	if (enforcer->events_len < enforcer->events_max)
		memcpy(&enforcer->events[enforcer->events_len], data, sizeof(struct bh_event));
	enforcer->events_len++;
	return 0;
}

static void set_clock(const struct enforcer *enforcer)
{
	uint32_t key = 0;

	enforcer_must(enforcer,
		      bpf_map_update_elem(enforcer_map(enforcer, "bh_clock"), &key,
					  &enforcer->jiffies, 0),
		      "cannot set the clock");
}

/* While nothing is in force, so that the frame is counted in a note alone, which is taken back. */
static bool try_to_cut(const struct enforcer *enforcer)
{
	static const uint8_t frame[128];
	scoped(free) uint64_t *zeros = mem_calloc(enforcer->n_cpus, sizeof(*zeros));
	struct xdp_md md = {.data_end = sizeof(frame) / 2};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame),
		    .ctx_in = &md, .ctx_size_in = sizeof(md));
	uint32_t note = BH_NOTE_UNCOUNTED;

	if (!enforcer_has(enforcer, ENFORCER_XDP_FRAGS) ||
	    bpf_prog_test_run_opts(enforcer_program_fd(enforcer, ENFORCER_XDP_FRAGS), &opts))
		return false;
	enforcer_must(enforcer,
		      bpf_map_update_elem(enforcer_map(enforcer, "bh_notes"), &note, zeros, 0),
		      "cannot take a note back");
	return true;
}

/* Programs and maps of its own. */
static void load(struct enforcer *enforcer, const struct probe *probe, const char *log,
		 bool reordering)
{
	const struct bh_machine machine = {
		.seed = {0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0,
			 0x082efa98ec4e6c89, 0x452821e638d01377, 0xbe5466cf34e90c6c},
		.hz = 1000,
		.tick_shift = 7,
	};
	const struct bpf_program *const programs[] = {
		[ENFORCER_XDP] = enforcer->skeleton->progs.bh_xdp,
		[ENFORCER_XDP_FRAGS] = enforcer->skeleton->progs.bh_xdp_frags,
		[ENFORCER_TC_IN] = enforcer->skeleton->progs.bh_tc_in,
		[ENFORCER_TC_OUT] = enforcer->skeleton->progs.bh_tc_out,
		[ENFORCER_CARRY] = enforcer->skeleton->progs.bh_carry,
	};

	load_skeleton_configure(enforcer->skeleton, &probe->skb, &machine);
	enforcer->skeleton->rodata->test_clock = true;
	enforcer->skeleton->rodata->weak_order |= reordering;
	(void)bpf_program__set_autoload(enforcer->skeleton->progs.bh_xdp, true);
	enforcer_must(enforcer, load_skeleton_load(enforcer->skeleton, log, enforcer->diag),
		      "cannot load the programs");
	for (int i = 0; i < ENFORCER_LOADED_COUNT; i++)
		enforcer->programs[i] = bpf_program__fd(programs[i]);
}

static struct enforcer *make(bool reordering)
{
	struct enforcer *enforcer = mem_calloc(1, sizeof(*enforcer));
	const char *log = NULL;
	struct probe probe = {};

	enforcer->arena = arena_new();
	enforcer->diag = diag_new();
	enforcer->n_cpus = libbpf_num_possible_cpus();
	enforcer->jiffies = START_JIFFIES;
	libbpf_set_print(NULL);
	if (reordering || !getenv(ENFORCER_HELD)) /* else nothing is loaded */
		enforcer_must(enforcer, probe_kernel(enforcer->diag, &probe),
			      "cannot ask the kernel");
	enforcer_must(enforcer,
		      load_skeleton_open(enforcer->arena, &probe, enforcer->diag, &log,
					 &enforcer->skeleton),
		      "cannot open the programs");
	/*
	 * Those of a holder are loaded as for this machine, and whoever has them keeps others
	 * waiting.
	 */
	if (reordering || !enforcer_take_held(enforcer))
		load(enforcer, &probe, log, reordering);
	enforcer->ring =
		ring_buffer__new(enforcer_map(enforcer, "bh_events"), take_event, enforcer, NULL);
	if (!enforcer->ring)
		enforcer_fail(enforcer, "cannot read the ring buffer");
	(void)enforcer_events(enforcer, NULL, 0); /* of a test before this one */
	set_clock(enforcer);
	enforcer->can_cut = try_to_cut(enforcer);
	return enforcer;
}

struct enforcer *enforcer_new(void)
{
	return make(false);
}

struct enforcer *enforcer_new_reordering(void)
{
	return make(true);
}

static void close_pages(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fds[i])
			(void)close(fds[i]);
}

void enforcer_free(struct enforcer *enforcer)
{
	if (!enforcer)
		return;
	close_pages(enforcer->image, ARRAY_LEN(enforcer->image));
	close_pages(enforcer->counters, ARRAY_LEN(enforcer->counters));
	close_pages(enforcer->state, ARRAY_LEN(enforcer->state));
	close_pages(enforcer->apart, ARRAY_LEN(enforcer->apart));
	close_pages(&enforcer->self, 1);
	for (int i = 0; enforcer->held_fd && i < ENFORCER_LOADED_COUNT; i++)
		scoped_close(&enforcer->programs[i]);
	close_pages(&enforcer->held_fd, 1);
	ring_buffer__free(enforcer->ring);
	enforce__destroy(enforcer->skeleton);
	diag_free(enforcer->diag);
	arena_free(enforcer->arena);
	free(enforcer->rows);
	free(enforcer->scratch);
	free(enforcer);
}

bool enforcer_has(const struct enforcer *enforcer, enum enforcer_program program)
{
	return enforcer->programs[program] >= 0;
}

int enforcer_program_fd(const struct enforcer *enforcer, enum enforcer_program program)
{
	return enforcer->programs[program];
}

uint32_t enforcer_instructions(const struct enforcer *enforcer, enum enforcer_program program)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);

	enforcer_must(enforcer, bpf_obj_get_info_by_fd(enforcer->programs[program], &info, &size),
		      "cannot ask for a program");
	return info.verified_insns;
}

/* ---- what the loader does ---- */

/* The page behind *fd, made and put under an index where there is none yet. */
static void want_page(const struct enforcer *enforcer, enum load_map map, uint32_t index, int *fd)
{
	int outer = bpf_map__fd(load_skeleton_map(enforcer->skeleton, map));

	if (*fd)
		return;
	enforcer_must(enforcer, load_skeleton_page(enforcer->skeleton, map, enforcer->diag, fd),
		      "cannot make a page");
	enforcer_must(enforcer, bpf_map_update_elem(outer, &index, fd, 0), "cannot put a page");
}

static void fill_page(const struct enforcer *enforcer, int fd, const void *value)
{
	uint32_t key = 0;

	enforcer_must(enforcer, bpf_map_update_elem(fd, &key, value, 0), "cannot fill a page");
}

/*
 * Puts pages under elements from first on: at once where the kernel can, since every update alone
 * waits for a grace period.
 */
void enforcer_put_state(const struct enforcer *enforcer, uint32_t first, const int *fds, uint32_t n)
{
	scoped(free) uint32_t *indices = mem_calloc(n, sizeof(*indices));
	int outer = enforcer_map(enforcer, "bh_state");
	uint32_t done = n;

	for (uint32_t i = 0; i < n; i++)
		indices[i] = first + i;
	if (!n || !bpf_map_update_batch(outer, indices, fds, &done, NULL))
		return;
	for (uint32_t i = 0; i < n; i++)
		enforcer_must(enforcer, bpf_map_update_elem(outer, &indices[i], &fds[i], 0),
			      "cannot put a page of state");
}

static void make_state_pages(const struct enforcer *enforcer, int *fds, uint32_t n)
{
	for (uint32_t page = 0; page < n; page++)
		enforcer_must(enforcer,
			      load_skeleton_page(enforcer->skeleton, LOAD_MAP_STATE, enforcer->diag,
						 &fds[page]),
			      "cannot make a page of state");
}

/* State pages up to n, each in both slots. */
static void want_state_pages(struct enforcer *enforcer, uint32_t n)
{
	uint32_t first = enforcer->n_state_pages;

	if (n <= first)
		return;
	make_state_pages(enforcer, &enforcer->state[first], n - first);
	for (uint32_t slot = 0; slot < 2; slot++)
		enforcer_put_state(enforcer, slot * BH_STATE_PAGES + first, &enforcer->state[first],
				   n - first);
	enforcer->n_state_pages = n;
}

void enforcer_forget(struct enforcer *enforcer)
{
	scoped(free) void *empty = mem_calloc(1, BH_STATE_VALUE_SIZE);
	uint64_t none = 0;

	for (uint32_t page = 0; page < enforcer->n_state_pages; page++)
		fill_page(enforcer, enforcer->state[page], empty);
	for (uint32_t page = 0; page < BH_STATE_PAGES && enforcer->apart[page]; page++)
		fill_page(enforcer, enforcer->apart[page], empty);
	for (uint32_t key = 0; key < BH_REASON_COUNT; key++) {
		uint32_t reason = BH_NO_RULE + 1 + key;

		enforcer_must(
			enforcer,
			bpf_map_update_elem(enforcer_map(enforcer, "bh_limits"), &reason, &none, 0),
			"cannot reset a limit");
	}
}

static int *counter_page(struct enforcer *enforcer, uint32_t slot, uint32_t link, uint32_t page)
{
	return &enforcer->counters[(slot * ENFORCER_LINKS + link) * BH_ROW_PAGES + page];
}

static void clear_counters(const struct enforcer *enforcer, int fd, const struct bh_row *zeros)
{
	uint32_t keys[BH_PAGE_ROWS];
	uint32_t n = BH_PAGE_ROWS;

	for (uint32_t i = 0; i < n; i++)
		keys[i] = i;
	enforcer_must(enforcer, bpf_map_update_batch(fd, keys, zeros, &n, NULL),
		      "cannot clear counters");
}

static void put_counters(struct enforcer *enforcer, uint32_t slot)
{
	uint32_t n_pages = (enforcer->n_rows + BH_PAGE_ROWS - 1) / BH_PAGE_ROWS;
	size_t n = (size_t)n_pages * BH_PAGE_ROWS * enforcer->n_cpus;

	enforcer->rows = mem_realloc(enforcer->rows, n, sizeof(*enforcer->rows));
	enforcer->scratch = mem_realloc(enforcer->scratch, n, sizeof(*enforcer->scratch));
	memset(enforcer->rows, 0, n * sizeof(*enforcer->rows));
	for (uint32_t link = 0; link < ENFORCER_LINKS; link++) {
		for (uint32_t page = 0; page < n_pages; page++) {
			int *fd = counter_page(enforcer, slot, link, page);

			want_page(enforcer, LOAD_MAP_COUNTERS,
				  (slot * BH_LINKS + link) * BH_ROW_PAGES + page, fd);
			clear_counters(enforcer, *fd, enforcer->rows);
		}
	}
}

/* What the image before had behind this one's end becomes empty. */
static void put_image(struct enforcer *enforcer, uint32_t slot, const struct image *image)
{
	scoped(free) void *empty = mem_calloc(1, BH_PAGE_SIZE);
	uint32_t end = enforcer->n_image_pages[slot];

	for (uint32_t page = 0; page < image->n_pages || page < end; page++) {
		uint32_t index = slot * BH_IMAGE_PAGES + page;

		want_page(enforcer, LOAD_MAP_IMAGE, index, &enforcer->image[index]);
		fill_page(enforcer, enforcer->image[index],
			  page < image->n_pages ? image->tables + (size_t)page * BH_PAGE_SIZE
						: empty);
	}
	enforcer->n_image_pages[slot] = image->n_pages;
}

static void apply(struct enforcer *enforcer, const struct image *image, bool apart)
{
	const struct bh_head *head = image_head(image);
	struct bh_active active = {.generation = enforcer->generation + 1};
	uint32_t slot = active.generation & 1;
	uint32_t n_state_pages = tables_state_pages(&head->config);
	uint32_t key = 0;

	put_image(enforcer, slot, image);
	enforcer->n_rows = BH_FIXED_ROWS + head->n_outcomes;
	put_counters(enforcer, slot);
	if (apart) {
		make_state_pages(enforcer, enforcer->apart, n_state_pages);
		enforcer_put_state(enforcer, slot * BH_STATE_PAGES, enforcer->apart, n_state_pages);
	} else {
		want_state_pages(enforcer, n_state_pages);
	}
	enforcer_must(enforcer,
		      bpf_map_update_elem(enforcer_map(enforcer, "bh_active"), &key, &active, 0),
		      "cannot flip");
	enforcer->generation = active.generation;
}

void enforcer_apply(struct enforcer *enforcer, const struct image *image)
{
	apply(enforcer, image, false);
}

void enforcer_apply_apart(struct enforcer *enforcer, const struct image *image)
{
	apply(enforcer, image, true);
}

uint32_t enforcer_carry(const struct enforcer *enforcer, enum bh_carry what, enum bh_table table,
			uint32_t first)
{
	const struct bh_carry_order order = {
		.generation = enforcer->generation,
		.what = what,
		.table = table,
		.first = first,
	};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = &order, .data_size_in = sizeof(order));

	enforcer_must(enforcer, bpf_prog_test_run_opts(enforcer->programs[ENFORCER_CARRY], &opts),
		      "cannot run an order");
	return opts.retval;
}

uint64_t enforcer_generation(const struct enforcer *enforcer)
{
	return enforcer->generation;
}

/* An address as the programs see it. */
static void halves_of(const struct addr *addr, uint64_t *halves)
{
	uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff};

	if (addr->family == ADDR_V4)
		memcpy(bytes + 12, addr->bytes, 4);
	else
		memcpy(bytes, addr->bytes, 16);
	memcpy(halves, bytes, 16);
}

/* False: a bucket has no way left under this seed. */
static bool fill_self(struct bh_self *table, const addr_list *self)
{
	for (size_t i = 0; i < self->len; i++) {
		uint64_t address[2];
		uint32_t bucket;
		int way = 0;

		halves_of(&self->at[i], address);
		bucket = bh_self_hash(address[0], address[1], table->seed) & (BH_SELF_BUCKETS - 1);
		while (way < BH_SELF_WAYS &&
		       (table->way[bucket][way][0] | table->way[bucket][way][1]))
			way++;
		if (way == BH_SELF_WAYS)
			return false;
		memcpy(table->way[bucket][way], address, sizeof(address));
		table->n++;
	}
	return true;
}

void enforcer_set_self(struct enforcer *enforcer, const addr_list *self)
{
	scoped(free) struct bh_self *table = mem_calloc(1, sizeof(*table));
	uint64_t seed = 0x9e3779b97f4a7c15;

	do {
		memset(table, 0, sizeof(*table));
		table->seed = seed;
		seed += 2;
	} while (!fill_self(table, self));
	want_page(enforcer, LOAD_MAP_SELF, 0, &enforcer->self);
	fill_page(enforcer, enforcer->self, table);
}

void enforcer_set_link(struct enforcer *enforcer, uint32_t ifindex, uint16_t number)
{
	struct bh_links links = {.multiplier = 0x9e3779b1};
	uint32_t key = 0;

	links.slot[(ifindex * links.multiplier) >> 24] =
		(struct bh_link){.ifindex = ifindex, .number = number};
	enforcer_must(enforcer,
		      bpf_map_update_elem(enforcer_map(enforcer, "bh_links"), &key, &links, 0),
		      "cannot number a link");
}

void enforcer_watch(struct enforcer *enforcer, uint64_t until)
{
	struct bh_watch watch = {.until = until};
	uint32_t key = 0;

	enforcer_must(enforcer,
		      bpf_map_update_elem(enforcer_map(enforcer, "bh_watch"), &key, &watch, 0),
		      "cannot watch");
}

void enforcer_advance(struct enforcer *enforcer, uint64_t jiffies)
{
	enforcer->jiffies += jiffies;
	set_clock(enforcer);
}

uint64_t enforcer_jiffies(const struct enforcer *enforcer)
{
	return enforcer->jiffies;
}

/* ---- packets ---- */

static int run(const struct enforcer *enforcer, enum enforcer_program program,
	       struct bpf_test_run_opts *opts)
{
	int err = bpf_prog_test_run_opts(enforcer->programs[program], opts);

	enforcer_must(enforcer, err, "cannot run a packet");
	return opts->retval;
}

bool enforcer_run(const struct enforcer *enforcer, enum enforcer_program program, const void *data,
		  size_t size, const struct enforcer_context *context)
{
	bool xdp = program == ENFORCER_XDP || program == ENFORCER_XDP_FRAGS;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = data, .data_size_in = (uint32_t)size);
	struct __sk_buff skb = {};
	struct xdp_md md = {};
	int result;

	if (xdp && context && context->linear) {
		md.data_end = context->linear;
		opts.ctx_in = &md;
		opts.ctx_size_in = sizeof(md);
	} else if (!xdp) {
		if (context) {
			skb.gso_segs = context->gso_segments;
			skb.gso_size = context->gso_size;
			skb.wire_len = context->wire_length;
		}
		opts.ctx_in = &skb; /* without one the kernel forgets the length on the wire */
		opts.ctx_size_in = sizeof(skb);
	}
	result = run(enforcer, program, &opts);
	return xdp ? result == PASS_XDP : result != DROP_TC;
}

bool enforcer_can_cut(const struct enforcer *enforcer)
{
	return enforcer->can_cut;
}

uint32_t enforcer_time(const struct enforcer *enforcer, enum enforcer_program program,
		       const void *data, size_t size, uint32_t n)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = data, .data_size_in = size,
		    .repeat = (int)n);

	(void)run(enforcer, program, &opts);
	return opts.duration;
}
