// SPDX-License-Identifier: GPL-2.0-only
/*
 * Maps and programs: adopted where they are pinned, made and pinned where not. Maps are pinned
 * before programs, and programs in a folder named after what was loaded, so that whatever a
 * killed run leaves is either complete or not believed.
 */
#include "kernel/load.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/enforce.skel.h"
#include "classify/image.h"
#include "kernel/bpffs.h"
#include "kernel/clock.h"
#include "kernel/held.h"
#include "kernel/load_skeleton.h"
#include "kernel/lost.h"
#include "kernel/privileges.h"
#include "kernel/skb.h"

enum { DIGEST_CHARS = 16 };

/* Ends the name of a folder of programs that ask a packet for its checksum. */
#define SEES_CHECKSUMS "-sums"

/* Programs that are pinned: those of the hooks, by their hook, and the one that carries flows over. */
enum { CARRY = BH_HOOK_COUNT, PINNED_COUNT };

struct load {
	struct arena *arena;
	const char *top;	  /* PINS */
	const char *pins;	  /* PINS/v<ABI> */
	struct enforce *skeleton; /* NULL in one that was opened to read */
	const char *log;	  /* where the verifier's words will stand */
	const char *folder;	  /* of the programs' pins */
	bool has_programs;
	bool reads_kernel; /* programs may */
	struct bh_skb skb; /* what they read, where the kernel was asked */
	struct held *held;
	int map_fd[LOAD_MAP_COUNT];
	int program_fd[PINNED_COUNT];
	uint32_t program_id[BH_HOOK_COUNT];
};

static const char *const map_names[] = {
#define X(constant, name) [LOAD_MAP_##constant] = name,
	LOAD_MAPS(X)
#undef X
};

/* The names of the pins of programs; those of bpf/enforce.bpf.c vary with the kernel. */
static const char *const pin_names[] = {
	[BH_HOOK_XDP] = "xdp",
	[BH_HOOK_TC_IN] = "tc_in",
	[BH_HOOK_TC_OUT] = "tc_out",
	[CARRY] = "carry",
};

struct load *load_of_version(const char *pins, uint32_t version)
{
	struct arena *arena = arena_new();
	struct load *load = arena_alloc(arena, sizeof(*load));

	libbpf_set_print(NULL);
	load->arena = arena;
	load->top = arena_printf(arena, "%s", pins);
	load->pins = arena_printf(arena, "%s/v%u", pins, version);
	load->held = held_new();
	for (int i = 0; i < LOAD_MAP_COUNT; i++)
		load->map_fd[i] = -1;
	for (int i = 0; i < PINNED_COUNT; i++)
		load->program_fd[i] = -1;
	return load;
}

static struct load *load_new(const char *pins)
{
	return load_of_version(pins, BH_ABI_VERSION);
}

void load_close(struct load *load)
{
	if (!load)
		return;
	for (int i = 0; i < LOAD_MAP_COUNT; i++)
		if (load->map_fd[i] >= 0)
			(void)close(load->map_fd[i]);
	for (int i = 0; i < PINNED_COUNT; i++)
		if (load->program_fd[i] >= 0)
			(void)close(load->program_fd[i]);
	enforce__destroy(load->skeleton);
	held_free(load->held);
	arena_free(load->arena);
}

struct held *load_held(const struct load *load)
{
	return load->held;
}

const char *load_pins(const struct load *load)
{
	return load->pins;
}

int load_map_fd(const struct load *load, enum load_map map)
{
	return load->map_fd[map];
}

const char *load_map_name(enum load_map map)
{
	return map_names[map];
}

int load_program_fd(const struct load *load, enum bh_hook hook)
{
	return load->program_fd[hook];
}

int load_carry_fd(const struct load *load)
{
	return load->program_fd[CARRY];
}

uint32_t load_program_id(const struct load *load, enum bh_hook hook)
{
	return load->program_id[hook];
}

static const char *map_path(struct arena *arena, const struct load *load, enum load_map map)
{
	return arena_printf(arena, "%s/maps/%s", load->pins, map_names[map]);
}

/* What helps where pins cannot be opened. */
static const char *root_words(int err)
{
	return geteuid() && (err == -EACCES || err == -EPERM) ? " (root is needed)" : "";
}

int load_open_read(const char *pins, struct diag *diag, struct load **ret_load)
{
	scoped(load_close) struct load *load = load_new(pins);

	privileges_raise_descriptors();
	if (access(load->pins, F_OK) && (errno == ENOENT || errno == ENOTDIR))
		return -ENOENT;
	for (int i = 0; i < LOAD_MAP_COUNT; i++) {
		const char *path = map_path(load->arena, load, (enum load_map)i);

		load->map_fd[i] = bpf_obj_get(path);
		if (load->map_fd[i] == -ENOENT)
			return -ENOENT;
		if (load->map_fd[i] < 0)
			return diag_sys(diag, -load->map_fd[i], "cannot open pin '%s'%s", path,
					root_words(load->map_fd[i]));
	}
	*ret_load = take(load);
	return 0;
}

static uint32_t map_id(int fd)
{
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &size) ? 0 : info.id;
}

bool load_is_gone(const struct load *load)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(close) int there = bpf_obj_get(map_path(arena, load, LOAD_MAP_ACTIVE));

	if (there < 0)
		return there == -ENOENT;
	return map_id(there) != map_id(load->map_fd[LOAD_MAP_ACTIVE]);
}

/* ---- the skeleton, shared with run.c ---- */

struct bpf_map *load_skeleton_map(const struct enforce *skeleton, enum load_map map)
{
	return bpf_object__find_map_by_name(skeleton->obj, map_names[map]);
}

/* ---- opening to change ---- */

static bool has_form(const struct bpf_map *map, const struct bpf_map_info *info)
{
	return info->type == bpf_map__type(map) && info->key_size == bpf_map__key_size(map) &&
	       info->value_size == bpf_map__value_size(map) &&
	       info->max_entries == bpf_map__max_entries(map) &&
	       info->map_flags == bpf_map__map_flags(map);
}

static int adopt_map(struct load *load, enum load_map map, struct diag *diag)
{
	struct bpf_map *want = load_skeleton_map(load->skeleton, map);
	const char *path = map_path(load->arena, load, map);
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info);
	scoped(close) int fd = bpf_obj_get(path);
	int err;

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return diag_sys(diag, -fd, "cannot open pin '%s'", path);
	err = bpf_obj_get_info_by_fd(fd, &info, &size);
	if (err)
		return diag_sys(diag, -err, "cannot ask for the form of '%s'", path);
	if (!has_form(want, &info))
		return diag_refuse(
			diag, -EINVAL,
			"pinned map '%s' has not the form that this build needs, though its ABI "
			"version is the same; run 'bulkhead detach' with the build that made it",
			path);
	err = bpf_map__reuse_fd(want, fd);
	if (err)
		return diag_sys(diag, -err, "cannot use pin '%s'", path);
	load->map_fd[map] = take_fd(fd);
	return 0;
}

static bool uses_map(const struct bpf_prog_info *program, const uint32_t *map_ids, uint32_t id)
{
	for (uint32_t i = 0; i < program->nr_map_ids; i++)
		if (map_ids[i] == id)
			return true;
	return false;
}

/*
 * A program of an earlier run serves only if it reads the word that this run writes; the one that
 * carries flows over reads no such word, but has to write into this run's tables.
 */
static bool program_uses_maps(const struct load *load, int fd, enum load_map wanted)
{
	uint32_t map_ids[2 * LOAD_MAP_COUNT] = {};
	struct bpf_prog_info program = {
		.nr_map_ids = ARRAY_LEN(map_ids),
		.map_ids = (uintptr_t)map_ids,
	};
	struct bpf_map_info map = {};
	uint32_t program_size = sizeof(program);
	uint32_t map_size = sizeof(map);

	if (load->map_fd[wanted] < 0 || bpf_obj_get_info_by_fd(fd, &program, &program_size) ||
	    bpf_obj_get_info_by_fd(load->map_fd[wanted], &map, &map_size))
		return false;
	return uses_map(&program, map_ids, map.id);
}

static void close_programs(struct load *load)
{
	for (int i = 0; i < PINNED_COUNT; i++) {
		if (load->program_fd[i] >= 0)
			(void)close(load->program_fd[i]);
		load->program_fd[i] = -1;
	}
}

static bool adopt_programs(struct load *load, const char *folder)
{
	for (int i = 0; i < LOAD_MAP_COUNT; i++)
		if (load->map_fd[i] < 0)
			return false;
	for (int i = 0; i < PINNED_COUNT; i++) {
		int fd = bpf_obj_get(arena_printf(load->arena, "%s/%s", folder, pin_names[i]));

		load->program_fd[i] = fd < 0 ? -1 : fd;
		if (fd < 0 ||
		    !program_uses_maps(load, fd, i == CARRY ? LOAD_MAP_STATE : LOAD_MAP_ACTIVE)) {
			close_programs(load);
			return false;
		}
	}
	return true;
}

static int dup_fd(int fd, struct diag *diag, int *ret_fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return diag_sys(diag, errno, "cannot keep a descriptor");
	*ret_fd = copy;
	return 0;
}

static int pin(int fd, const char *path, struct diag *diag)
{
	int err = bpf_obj_pin(fd, path);

	return err ? diag_sys(diag, -err, "cannot pin at '%s'", path) : 0;
}

static int pin_maps(struct load *load, struct diag *diag)
{
	int err = 0;

	for (int i = 0; i < LOAD_MAP_COUNT && !err; i++) {
		enum load_map map = (enum load_map)i;
		int fd = bpf_map__fd(load_skeleton_map(load->skeleton, map));

		if (load->map_fd[i] >= 0)
			continue;
		err = dup_fd(fd, diag, &load->map_fd[i]);
		if (!err)
			err = pin(load->map_fd[i], map_path(load->arena, load, map), diag);
	}
	return err;
}

static int pin_programs(struct load *load, const char *folder, struct diag *diag)
{
	int err = bpffs_remove(folder, diag);

	if (!err)
		err = bpffs_make(folder, diag);
	for (int i = 0; i < PINNED_COUNT && !err; i++) {
		struct bpf_program *program =
			i == CARRY ? load->skeleton->progs.bh_carry
				   : load_skeleton_program(load->skeleton, (enum bh_hook)i);

		err = dup_fd(bpf_program__fd(program), diag, &load->program_fd[i]);
		if (!err)
			err = pin(load->program_fd[i],
				  arena_printf(load->arena, "%s/%s", folder, pin_names[i]), diag);
	}
	return err;
}

/* What was loaded is the object and which of its programs; both are in the folder's name. */
static const char *programs_folder(const struct load *load, const struct probe *probe)
{
	size_t size = 0;
	const void *object = enforce__elf_bytes(&size);
	struct image_digest digest = image_digest_of(object, size);
	char text[IMAGE_DIGEST_TEXT_SIZE];

	return arena_printf(load->arena, "%s/programs/%.*s%s%s", load->pins, DIGEST_CHARS,
			    image_digest_print(&digest, text),
			    probe->has[PROBE_XDP_FRAGS] ? "-frags" : "",
			    probe->has[PROBE_READ_KERNEL] ? SEES_CHECKSUMS : "");
}

static bool has_all_programs(const struct load *load, const struct probe *probe)
{
	const char *folder = programs_folder(load, probe);

	for (int i = 0; i < PINNED_COUNT; i++)
		if (!bpffs_has(arena_printf(load->arena, "%s/%s", folder, pin_names[i])))
			return false;
	return true;
}

bool load_knows_kernel(const char *pins, struct probe *ret_probe)
{
	scoped(load_close) struct load *load = load_new(pins);
	struct probe probe = {};

	for (int i = 0; i < PROBE_COUNT; i++)
		probe.has[i] = true;
	for (int frags = 1; frags >= 0; frags--) {
		probe.has[PROBE_XDP_FRAGS] = frags;
		if (!has_all_programs(load, &probe))
			continue;
		*ret_probe = probe;
		return true;
	}
	return false;
}

bool load_sees_checksums(const struct load *load)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(diag_free) struct diag *quiet = diag_new();
	bpffs_names names = {};

	(void)bpffs_list(arena, arena_printf(arena, "%s/programs", load->pins), quiet, &names);
	for (size_t i = 0; i < names.len; i++)
		if (!strstr(names.at[i], SEES_CHECKSUMS))
			return false;
	return true;
}

/* Folders of other builds go once their programs are replaced on the links. */
int load_prune(const struct load *load, const struct probe *probe, struct diag *diag)
{
	const char *keep = strrchr(programs_folder(load, probe), '/') + 1;
	const char *programs = arena_printf(load->arena, "%s/programs", load->pins);
	bpffs_names names = {};
	int err = bpffs_list(load->arena, programs, diag, &names);

	for (size_t i = 0; i < names.len && !err; i++)
		if (strcmp(names.at[i], keep) != 0)
			err = bpffs_remove(
				arena_printf(load->arena, "%s/%s", programs, names.at[i]), diag);
	return err;
}

/*
 * The clock and the seeds, once for the life of the maps: the programs have them as constants,
 * bh_machine keeps them for the next load.
 */
static int choose_machine(const struct load *load, struct diag *diag, struct bh_machine *machine)
{
	int err = 0;

	if (load->map_fd[LOAD_MAP_MACHINE] >= 0)
		err = load_machine(load, diag, machine);
	if (err || machine->hz)
		return err;
	if (getrandom(machine->seed, sizeof(machine->seed), 0) != sizeof(machine->seed))
		return diag_sys(diag, errno, "cannot draw random numbers");
	return clock_calibrate(diag, machine);
}

static int keep_machine(const struct load *load, const struct bh_machine *machine,
			struct diag *diag)
{
	uint32_t key = 0;
	struct bh_machine kept = {};
	int err = load_machine(load, diag, &kept);

	if (err || kept.hz)
		return err;
	err = bpf_map_update_elem(load->map_fd[LOAD_MAP_MACHINE], &key, machine, BPF_ANY);
	return err ? diag_sys(diag, -err, "cannot write map bh_machine") : 0;
}

static int make_folders(const struct load *load, struct diag *diag)
{
	static const char *const folders[] = {"", "/maps", "/programs", "/links"};
	int err = 0;

	for (size_t i = 0; i < ARRAY_LEN(folders) && !err; i++)
		err = bpffs_make(arena_printf(load->arena, "%s%s", load->pins, folders[i]), diag);
	return err;
}

static int load_programs(struct load *load, struct diag *diag)
{
	struct bh_machine machine = {};
	int err = choose_machine(load, diag, &machine);

	/* It may be known that programs do, by the pins of some that are gone, and not what they read. */
	if (!err && load->reads_kernel && !load->skb.known)
		err = skb_layout(diag, &load->skb);
	if (err)
		return err;
	load_skeleton_configure(load->skeleton, &load->skb, &machine);
	err = load_skeleton_load(load->skeleton, load->log, diag);
	if (!err)
		err = pin_maps(load, diag);
	if (!err)
		err = keep_machine(load, &machine, diag);
	if (!err)
		err = pin_programs(load, load->folder, diag);
	return err;
}

static int ask_ids(struct load *load, struct diag *diag)
{
	for (int i = 0; i < BH_HOOK_COUNT; i++) {
		struct bpf_prog_info info = {};
		uint32_t size = sizeof(info);
		int err = bpf_obj_get_info_by_fd(load->program_fd[i], &info, &size);

		if (err)
			return diag_sys(diag, -err, "cannot ask for program %s", pin_names[i]);
		load->program_id[i] = info.id;
	}
	return 0;
}

int load_open(const char *pins, const struct probe *probe, struct diag *diag,
	      struct load **ret_load)
{
	scoped(load_close) struct load *load = load_new(pins);
	int err = load_skeleton_open(load->arena, probe, diag, &load->log, &load->skeleton);

	privileges_raise_descriptors();
	for (int i = 0; i < LOAD_MAP_COUNT && !err; i++)
		err = adopt_map(load, (enum load_map)i, diag);
	if (err)
		return err;
	load->folder = programs_folder(load, probe);
	load->reads_kernel = probe->has[PROBE_READ_KERNEL];
	load->skb = probe->skb;
	load->has_programs = adopt_programs(load, load->folder);
	*ret_load = take(load);
	return 0;
}

int load_remove(const struct load *load, const char *pins, struct diag *diag)
{
	const char *links = arena_printf(load->arena, "%s/links", load->pins);
	bpffs_names names = {};
	int err = bpffs_list(load->arena, links, diag, &names);

	if (err || names.len || lost_is_left(load->pins)) /* these tell whose a filter is */
		return err;
	err = bpffs_remove(load->pins, diag);
	return err ? err : bpffs_leave(pins, diag);
}

int load_make(struct load *load, struct diag *diag)
{
	bool is_fresh = !bpffs_has(load->pins);
	int err = make_folders(load, diag);

	if (!err && !load->has_programs)
		err = load_programs(load, diag);
	if (!err)
		err = ask_ids(load, diag);
	if (err && is_fresh) {
		scoped(diag_free) struct diag *late = diag_new();

		(void)load_remove(load, load->top, late);
		diag_take(diag, late, "what has been pinned stays: ");
	}
	return err;
}

int load_new_page(const struct load *load, enum load_map map, struct diag *diag, int *ret_fd)
{
	return load_skeleton_page(load->skeleton, map, diag, ret_fd);
}

/* ---- reading ---- */

int load_instructions(const struct load *load, struct diag *diag,
		      uint32_t ret_counts[BH_HOOK_COUNT])
{
	uint32_t counts[BH_HOOK_COUNT] = {};

	for (int i = 0; i < BH_HOOK_COUNT; i++) {
		struct bpf_prog_info info = {};
		uint32_t size = sizeof(info);
		int err = bpf_obj_get_info_by_fd(load->program_fd[i], &info, &size);

		if (err)
			return diag_sys(diag, -err, "cannot ask for program %s", pin_names[i]);
		counts[i] = info.verified_insns;
	}
	memcpy(ret_counts, counts, sizeof(counts));
	return 0;
}
