// SPDX-License-Identifier: GPL-2.0-only
/* bulkhead doctor: what this host and kernel can do, before anything is applied. */
#include <errno.h>
#include <unistd.h>

#include "classify/build.h"
#include "cli/describe.h"
#include "cli/hooks.h"
#include "cli/inputs.h"
#include "cli/live.h"
#include "cli/words.h"
#include "kernel/attach.h"
#include "kernel/bpffs.h"
#include "kernel/clock.h"
#include "kernel/hook.h"
#include "kernel/instance.h"
#include "kernel/netns.h"
#include "kernel/privileges.h"
#include "kernel/probe.h"
#include "kernel/skb.h"
#include "kernel/tables.h"

enum level {
	LEVEL_OK,
	LEVEL_NOTE,
	LEVEL_WARNING,
	LEVEL_ERROR,
	LEVEL_UNKNOWN,
};

struct doctor {
	struct context *context;
	struct hostconf host; /* the defaults, where there is none that apply would take */
	struct probe probe;
	bool probed;
	struct host_facts facts;
	bool error;
};

static void say(struct doctor *doctor, enum level level, const char *subject, const char *words)
{
	static const char *const levels[] = {
		[LEVEL_OK] = "ok",	 [LEVEL_NOTE] = "note",	      [LEVEL_WARNING] = "warning",
		[LEVEL_ERROR] = "error", [LEVEL_UNKNOWN] = "unknown",
	};
	struct view_finding finding = {
		.level = levels[level],
		.subject = subject,
		.words = words,
	};

	doctor->error |= level == LEVEL_ERROR;
	doctor->context->view->ops->finding(doctor->context->view, &finding);
}

static void features(struct doctor *doctor, const struct probe *probe)
{
	struct arena *arena = doctor->context->arena;

	for (int feature = 0; feature < PROBE_COUNT; feature++) {
		enum level level = probe->has[feature]	      ? LEVEL_OK
				   : probe_is_needed(feature) ? LEVEL_ERROR
							      : LEVEL_NOTE;

		if (feature == PROBE_READ_KERNEL)
			continue; /* checksums() tells what it is for */
		say(doctor, level, "kernel",
		    arena_printf(arena, "%s%s%s%s", probe_words(feature),
				 probe->has[feature] ? "" : ": missing, since Linux ",
				 probe->has[feature] ? "" : probe_since(feature),
				 level == LEVEL_NOTE ? " (there is another way)" : ""));
	}
	if (!probe->has[PROBE_TCX] && !probe->has[PROBE_CLSACT])
		say(doctor, LEVEL_ERROR, "kernel", "neither tcx nor clsact: nothing at egress");
}

/* Why a program at egress does not see what a sender has left open; NULL: it does. */
static const char *unseen(const struct probe *probe)
{
	scoped(diag_free) struct diag *quiet = diag_new();
	struct bh_skb layout = {};

	if (probe->has[PROBE_READ_KERNEL])
		return NULL;
	if (access(SKB_TYPES, R_OK))
		return "this kernel tells nothing of its types (" SKB_TYPES ")";
	if (skb_layout(quiet, &layout))
		return "memory or descriptors are too short to read this kernel's types";
	if (!layout.known)
		return "this kernel keeps packets in a way that is not known";
	return "this kernel lets no program read its memory, as under lockdown for "
	       "confidentiality";
}

static void checksums(struct doctor *doctor, const struct probe *probe)
{
	const char *why = unseen(probe);

	say(doctor, why ? LEVEL_WARNING : LEVEL_OK, "checksums",
	    why ? arena_printf(doctor->context->arena,
			       "%s: whoever may send frames of his own making can have two bytes "
			       "of them changed behind egress",
			       why)
		: "those that a sender leaves open are seen at egress");
}

static void settings(struct doctor *doctor, const struct probe *probe)
{
	say(doctor, probe->jit ? LEVEL_OK : LEVEL_WARNING, "jit",
	    probe->jit ? "programs are compiled"
		       : "net.core.bpf_jit_enable is off: every packet costs many times as much");
	switch (probe->unprivileged_disabled) {
	case 0:
		say(doctor, LEVEL_WARNING, "unprivileged",
		    "kernel.unprivileged_bpf_disabled is 0: any user may load programs");
		break;
	case 1:
		say(doctor, LEVEL_OK, "unprivileged",
		    "kernel.unprivileged_bpf_disabled is 1, until the next boot");
		break;
	case 2:
		say(doctor, LEVEL_OK, "unprivileged",
		    "kernel.unprivileged_bpf_disabled is 2; root can lower it again");
		break;
	default:
		say(doctor, LEVEL_UNKNOWN, "unprivileged",
		    "kernel.unprivileged_bpf_disabled cannot be read");
	}
}

/* Each message of what failed is a finding of its own, and so is each warning. */
static void say_all(struct doctor *doctor, enum level level, const char *subject,
		    const struct diag *diag)
{
	size_t n = 0;
	const struct diag_message *messages = diag_messages(diag, &n);

	for (size_t i = 0; i < n; i++)
		if (messages[i].level != DIAG_NOTE)
			say(doctor, messages[i].level == DIAG_ERROR ? level : LEVEL_WARNING,
			    subject, str_dup(doctor->context->arena, str_of(messages[i].text)));
}

static void kernel(struct doctor *doctor)
{
	scoped(diag_free) struct diag *quiet = diag_new();
	struct probe *probe = &doctor->probe;

	if (probe_kernel(quiet, probe) || probe_clsact(quiet, probe)) {
		size_t n = 0;

		say(doctor, LEVEL_UNKNOWN, "kernel",
		    geteuid() ? "what this kernel can do is not told to this user; run as root"
			      : diag_messages(quiet, &n)[0].text);
		return;
	}
	doctor->probed = true;
	say(doctor, LEVEL_OK, "kernel",
	    arena_printf(doctor->context->arena, "Linux %s", probe->release));
	features(doctor, probe);
	checksums(doctor, probe);
	settings(doctor, probe);
}

/* ---- host.yaml ---- */

/* What apply would read. Mistakes in it are told with their places, as check tells them. */
static void read_host(struct doctor *doctor)
{
	scoped(diag_free) struct diag *late = diag_new();
	struct context own = *doctor->context;
	struct inputs inputs = {};
	int err;

	own.diag = late;
	err = inputs_host(&own, &inputs);
	doctor->host = inputs.host;
	if (!err && !inputs.host.flawed) {
		say(doctor, LEVEL_OK, "host.yaml",
		    inputs.host.source ? arena_printf(own.arena, "'%s' is well formed",
						      inputs.host.source->path)
				       : "there is no " INPUTS_DEFAULT_HOST ": the defaults hold");
		return;
	}
	if (err) {
		say_all(doctor, err == -EACCES ? LEVEL_UNKNOWN : LEVEL_ERROR, "host.yaml", late);
	} else {
		diag_take(doctor->context->diag, late, NULL);
		say(doctor, LEVEL_ERROR, "host.yaml",
		    arena_printf(own.arena, "mistakes in it: %zu; below, the defaults hold",
				 diag_n_errors(late)));
	}
	hostconf_init(&doctor->host);
}

/* Where programs would sit by host.yaml. */
static void hooks(struct doctor *doctor)
{
	static const char *const names[] = {
		[HOOK_NATIVE] = "native XDP",
		[HOOK_GENERIC] = "generic XDP",
		[HOOK_TCX] = "tcx",
		[HOOK_CLSACT] = "clsact",
	};
	const struct hostconf *host = &doctor->host;
	struct arena *arena = doctor->context->arena;
	const char *tc = doctor->probe.has[PROBE_TCX] ? "tcx" : "clsact";

	if (!doctor->probe.has[PROBE_TCX] && !doctor->probe.has[PROBE_CLSACT])
		return;
	say(doctor, LEVEL_OK, "hooks",
	    arena_printf(
		    arena, "of a link: %s; %s outbound",
		    host->ingress == HOOK_AUTO
			    ? arena_printf(arena,
					   "native XDP inbound where the driver has it, else %s",
					   tc)
			    : arena_printf(arena, "%s inbound", names[host->ingress]),
		    host->egress == HOOK_AUTO ? tc : names[host->egress]));
}

/* A hook that is asked for by name has no fallback. */
static void one_hook(struct doctor *doctor, const char *way, enum hostconf_hook wish)
{
	enum probe_feature feature = wish == HOOK_TCX ? PROBE_TCX : PROBE_CLSACT;
	struct arena *arena = doctor->context->arena;

	if (wish != HOOK_TCX && wish != HOOK_CLSACT)
		return;
	if (!doctor->probed)
		say(doctor, LEVEL_UNKNOWN, "host.yaml",
		    arena_printf(arena, "hooks: %s asks for %s, which may be missing here", way,
				 probe_words(feature)));
	else if (!doctor->probe.has[feature])
		say(doctor, LEVEL_ERROR, "host.yaml",
		    arena_printf(arena, "hooks: %s asks for %s: missing, since Linux %s", way,
				 probe_words(feature), probe_since(feature)));
}

static void tables(struct doctor *doctor)
{
	struct bh_config config = {};
	uint64_t size = (uint64_t)build_state(&doctor->host, &config) * BH_STATE_VALUE_SIZE;
	uint64_t available = host_memory_available();

	if (available)
		say(doctor, size > available ? LEVEL_WARNING : LEVEL_OK, "tables",
		    arena_printf(doctor->context->arena,
				 "of flows and fragments: %llu MB, of %llu MB that are available",
				 (unsigned long long)size >> 20,
				 (unsigned long long)available >> 20));
}

/* What of host.yaml no link is needed for. */
static void host_settings(struct doctor *doctor)
{
	hooks(doctor);
	one_hook(doctor, "ingress", doctor->host.ingress);
	one_hook(doctor, "egress", doctor->host.egress);
	tables(doctor);
}

static void platform(struct doctor *doctor)
{
	bool told = doctor->host.platform_azure;

	if (doctor->facts.platform_azure && !told)
		say(doctor, LEVEL_WARNING, "platform",
		    "DMI says Azure; host.yaml should say platform: azure");
	if (told && !doctor->facts.platform_azure)
		say(doctor, LEVEL_WARNING, "platform",
		    "host.yaml says platform: azure, and DMI does not; the platform's addresses are "
		    "reachable outbound all the same");
}

/* ---- pins and links ---- */

static void pins(struct doctor *doctor)
{
	scoped(diag_free) struct diag *late = diag_new();
	const char *path = doctor->context->options.pins;
	struct arena *arena = doctor->context->arena;
	bool mounts = false;
	int err = bpffs_check(arena, path, late, &mounts);

	if (!err)
		err = netns_check(path, &doctor->facts, late);
	if (err)
		say_all(doctor, err == -EACCES ? LEVEL_UNKNOWN : LEVEL_ERROR, "pins", late);
	else if (bpffs_has(path))
		say(doctor, LEVEL_OK, "pins", arena_printf(arena, "'%s' is on a bpffs", path));
	else
		say(doctor, LEVEL_NOTE, "pins",
		    arena_printf(arena, "'%s' is not there yet; apply makes it%s", path,
				 mounts ? ", and mounts bpffs" : ""));
}

/* The record as apply reads it, before it changes anything. */
static int check_record(struct doctor *doctor, const struct store *store, struct diag *diag)
{
	const struct options *options = &doctor->context->options;
	struct arena *arena = doctor->context->arena;
	scoped(diag_free) struct diag *quiet = diag_new();
	struct store_record record = {};
	uint64_t active = 0;
	int err = store_read_record(store, arena, diag, &record);

	if (!err)
		err = store_check_netns(store, &record, doctor->facts.netns_device,
					doctor->facts.netns_inode, diag);
	if (!err)
		err = instance_check_state(store, &record, options->pins, diag);
	if (err)
		return err;
	(void)live_active(options->pins, quiet, &active);
	store_settle(&record, arena, active, clock_seconds());
	instance_warn_of_state(store, &record, active, options->pins, diag);
	return 0;
}

static void state(struct doctor *doctor)
{
	const char *path = doctor->context->options.state;
	scoped(diag_free) struct diag *late = diag_new();
	scoped(store_close) struct store *store = NULL;
	int err = store_open_read(path, late, &store);
	bool is_there = err != -ENOENT;

	if (!err)
		err = check_record(doctor, store, late);
	if (!err || !is_there)
		err = store_check(path, late);
	say_all(doctor, err == -EACCES ? LEVEL_UNKNOWN : LEVEL_ERROR, "state", late);
	if (!err && is_there && !diag_n_warnings(late))
		say(doctor, LEVEL_OK, "state",
		    arena_printf(doctor->context->arena, "'%s' can be read and written", path));
	if (!err && !is_there)
		say(doctor, LEVEL_NOTE, "state",
		    arena_printf(doctor->context->arena, "'%s' is not there yet; apply makes it",
				 path));
}

static const char *xdp_kind(enum host_xdp xdp)
{
	switch (xdp) {
	case HOST_XDP_NONE:
		return "";
	case HOST_XDP_NATIVE:
		return "native";
	case HOST_XDP_GENERIC:
		return "generic";
	case HOST_XDP_OFFLOADED:
		return "offloaded";
	case HOST_XDP_SEVERAL:
		return "and others";
	}
	return "";
}

/* What sits in the XDP hook of a link; without root nobody tells whose it is. */
static const char *xdp_words(struct arena *arena, const struct host_link *link)
{
	const char *name = link->xdp ? hook_program_name(arena, link->xdp_program) : "";

	if (!link->xdp)
		return "";
	return arena_printf(arena, ", XDP program %s%s(%s)%s", name, name[0] ? " " : "",
			    xdp_kind(link->xdp),
			    !name[0] || hook_is_our_name(name) ? "" : ", so no native XDP of ours");
}

static bool is_among(const host_links *links, const struct host_link *link)
{
	for (size_t i = 0; i < links->len; i++)
		if (links->at[i] == link)
			return true;
	return false;
}

static bool is_auto(const struct doctor *doctor)
{
	return !doctor->context->options.interfaces.len && doctor->host.interfaces_auto;
}

/* Where it is said which links are to be covered. */
static const char *asker(const struct doctor *doctor)
{
	return is_auto(doctor)				 ? "links"
	       : doctor->context->options.interfaces.len ? "--interface"
							 : "host.yaml";
}

/* The links that are asked for, each name and glob for itself, so that one that is refused hides no other. */
static host_links wanted_links(struct doctor *doctor)
{
	scoped(diag_free) struct diag *late = diag_new();
	struct arena *arena = doctor->context->arena;
	const host_patterns patterns = inputs_patterns(doctor->context, &doctor->host);
	host_links wanted = {};

	if (!patterns.len)
		(void)host_select(arena, &doctor->facts, NULL, 0, late, &wanted);
	for (size_t i = 0; i < patterns.len; i++) {
		host_links found = {};

		(void)host_select(arena, &doctor->facts, &patterns.at[i], 1, late, &found);
		for (size_t j = 0; j < found.len; j++)
			if (!is_among(&wanted, found.at[j]))
				array_push(arena, &wanted, found.at[j]);
	}
	say_all(doctor, LEVEL_ERROR, asker(doctor), late);
	return wanted;
}

/* Why the link is not to be covered, in words that end the line; NULL: it is. */
static const char *why_not_covered(const struct doctor *doctor, const host_links *wanted,
				   const struct host_link *link)
{
	const char *why;

	if (!is_auto(doctor))
		return is_among(wanted, link)			 ? NULL
		       : doctor->context->options.interfaces.len ? "--interface"
								 : "host.yaml's interfaces";
	why = host_why_not_auto(&doctor->facts, link);
	return why ? arena_printf(doctor->context->arena, "interfaces: auto: %s", why) : NULL;
}

/* What apply would find there, asked as it asks: another instance, or a program that has to go first. */
static void ask_link(struct doctor *doctor, const struct host_link *link)
{
	scoped(diag_free) struct diag *late = diag_new();
	scoped(load_close) struct load *load =
		load_of_version(doctor->context->options.pins, BH_ABI_VERSION);
	const struct attach_wish in = {link, BH_IN, hooks_mode_of(doctor->host.ingress)};
	const struct attach_wish out = {link, BH_OUT, hooks_mode_of(doctor->host.egress)};
	int err = attach_hold(load, &in, late);

	if (!err)
		err = attach_hold(load, &out, late);
	if (!err)
		err = attach_check(load, &in, late);
	say_all(doctor, err == -EPERM ? LEVEL_UNKNOWN : LEVEL_ERROR, "link", late);
}

static void one_link(struct doctor *doctor, const struct host_link *link, const char *why)
{
	struct arena *arena = doctor->context->arena;

	say(doctor, LEVEL_OK, "link",
	    arena_printf(arena, "%s: %s%s%s, mtu %u%s; %s%s", link->name,
			 link->driver[0] ? link->driver
			 : link->kind[0] ? link->kind
					 : "no driver known",
			 link->up ? "" : ", down", link->carrier ? "" : ", no carrier", link->mtu,
			 xdp_words(arena, link), why ? "not covered by " : "covered",
			 why ? why : ""));
}

static void links(struct doctor *doctor)
{
	struct arena *arena = doctor->context->arena;
	host_links wanted = wanted_links(doctor);
	size_t n = 0;

	for (size_t i = 0; i < doctor->facts.links.len; i++) {
		const struct host_link *link = &doctor->facts.links.at[i];
		const char *why = why_not_covered(doctor, &wanted, link);

		n += !why;
		one_link(doctor, link, why);
		if (!why)
			ask_link(doctor, link);
	}
	if (n > BH_LINKS - 1)
		say(doctor, LEVEL_ERROR, "links",
		    arena_printf(arena, "%zu links are to be covered; %d fit", n, BH_LINKS - 1));
}

/* Whether they find room is known once they have it: apply tries the same. */
static void self(struct doctor *doctor)
{
	const size_t n = doctor->facts.addresses.len;
	struct arena *arena = doctor->context->arena;
	scoped(diag_free) struct diag *late = diag_new();
	struct bh_self *table = arena_alloc(arena, sizeof(*table));
	const char *local = describe_local(arena, &doctor->facts);

	if (tables_make_self(doctor->facts.addresses.at, n, late, table))
		say_all(doctor, LEVEL_ERROR, "self", late);
	else
		say(doctor, LEVEL_OK, "self",
		    words_count(arena, n, "own address", "own addresses"));
	if (local)
		say(doctor, LEVEL_NOTE, "self", arena_printf(arena, "does not hold %s", local));
}

static void coverage(struct doctor *doctor)
{
	struct arena *arena = doctor->context->arena;
	host_senders senders;

	say(doctor, LEVEL_NOTE, "coverage",
	    "never seen: loopback and local-to-local traffic, what IPsec decrypts behind native "
	    "XDP");
	host_senders_read(arena, &senders);
	say(doctor, LEVEL_NOTE, "coverage",
	    arena_printf(arena,
			 "never seen: frames sent by PACKET_QDISC_BYPASS or AF_XDP, or redirected "
			 "past egress%s",
			 describe_senders(arena, &senders)));
}

static int run(struct context *context)
{
	struct doctor doctor = {.context = context};
	int err = host_facts_read(context->arena, context->diag, &doctor.facts);

	if (err)
		return err;
	kernel(&doctor);
	read_host(&doctor);
	host_settings(&doctor);
	pins(&doctor);
	state(&doctor);
	links(&doctor);
	self(&doctor);
	platform(&doctor);
	err = privileges_keep(PRIVILEGE_LOOK, context->diag);
	if (err)
		return err;
	coverage(&doctor);
	return doctor.error ? STATUS_NO : STATUS_DONE;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.args = "",
	.summary = "say what this host and kernel can do",
	.more = "9 when something would keep bulkhead from enforcing.\n",
	.options = OPTION_JSON | OPTION_HOST | OPTION_PLACES | OPTION_INTERFACE,
	.run = run,
};
