// SPDX-License-Identifier: GPL-2.0-only
/* bulkhead doctor: what this host and kernel can do, before anything is applied. */
#include <errno.h>
#include <unistd.h>

#include "cli/describe.h"
#include "cli/live.h"
#include "kernel/attach.h"
#include "kernel/bpffs.h"
#include "kernel/probe.h"

enum level {
	LEVEL_OK,
	LEVEL_NOTE,
	LEVEL_WARNING,
	LEVEL_ERROR,
	LEVEL_UNKNOWN,
};

struct doctor {
	struct context *context;
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

		say(doctor, level, "kernel",
		    arena_printf(arena, "%s%s%s%s", probe_words(feature),
				 probe->has[feature] ? "" : ": missing, since Linux ",
				 probe->has[feature] ? "" : probe_since(feature),
				 level == LEVEL_NOTE ? " (there is another way)" : ""));
	}
	if (!probe->has[PROBE_TCX] && !probe->has[PROBE_CLSACT])
		say(doctor, LEVEL_ERROR, "kernel", "neither tcx nor clsact: nothing at egress");
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

static void kernel(struct doctor *doctor)
{
	scoped(diag_free) struct diag *quiet = diag_new();
	struct probe probe = {};

	if (probe_kernel(quiet, &probe)) {
		size_t n = 0;

		say(doctor, LEVEL_UNKNOWN, "kernel",
		    geteuid() ? "what this kernel can do is not told to this user; run as root"
			      : diag_messages(quiet, &n)[0].text);
		return;
	}
	say(doctor, LEVEL_OK, "kernel",
	    arena_printf(doctor->context->arena, "Linux %s", probe.release));
	features(doctor, &probe);
	settings(doctor, &probe);
}

static void pins(struct doctor *doctor)
{
	const char *path = doctor->context->options.pins;
	struct arena *arena = doctor->context->arena;

	if (bpffs_has(path))
		say(doctor, LEVEL_OK, "pins", arena_printf(arena, "'%s' is on a bpffs", path));
	else
		say(doctor, LEVEL_NOTE, "pins",
		    arena_printf(arena, "'%s' is not there yet; apply makes it, and mounts bpffs",
				 path));
}

static const char *xdp_words(const struct host_link *link)
{
	switch (link->xdp) {
	case HOST_XDP_NONE:
		return "";
	case HOST_XDP_NATIVE:
		return ", XDP program (native)";
	case HOST_XDP_GENERIC:
		return ", XDP program (generic)";
	case HOST_XDP_OFFLOADED:
		return ", XDP program (offloaded)";
	case HOST_XDP_SEVERAL:
		return ", several XDP programs";
	}
	return "";
}

static void links(struct doctor *doctor)
{
	struct arena *arena = doctor->context->arena;
	struct host_facts facts;
	size_t n_auto = 0;

	if (host_facts_read(arena, doctor->context->diag, &facts)) {
		say(doctor, LEVEL_ERROR, "links", "links and addresses cannot be read");
		return;
	}
	for (size_t i = 0; i < facts.links.len; i++) {
		const struct host_link *link = &facts.links.at[i];
		const char *why = host_why_not_auto(&facts, link);

		n_auto += !why;
		say(doctor, LEVEL_OK, "link",
		    arena_printf(arena, "%s: %s%s%s, mtu %u%s; %s%s", link->name,
				 link->driver[0] ? link->driver
				 : link->kind[0] ? link->kind
						 : "no driver known",
				 link->up ? "" : ", down", link->carrier ? "" : ", no carrier",
				 link->mtu, xdp_words(link),
				 why ? "not covered by interfaces: auto: " : "covered",
				 why ? why : ""));
	}
	if (!n_auto)
		say(doctor, LEVEL_NOTE, "links",
		    "interfaces: auto finds no link here; name them in host.yaml");
	say(doctor, LEVEL_OK, "self",
	    arena_printf(arena, "%zu own addresses", facts.addresses.len));
	if (facts.platform_azure)
		say(doctor, LEVEL_NOTE, "platform",
		    "DMI says Azure; host.yaml should say platform: azure");
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

	kernel(&doctor);
	pins(&doctor);
	links(&doctor);
	coverage(&doctor);
	return doctor.error ? STATUS_NO : STATUS_DONE;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.args = "",
	.summary = "say what this host and kernel can do",
	.more = "9 when something would keep bulkhead from enforcing.\n",
	.options = OPTION_JSON | OPTION_PLACES,
	.run = run,
};
