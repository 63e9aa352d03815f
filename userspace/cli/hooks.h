/* SPDX-License-Identifier: GPL-2.0-only */
/* Our programs on the links: as host.yaml asks for them, and as views show them. */
#ifndef CLI_HOOKS_H
#define CLI_HOOKS_H

#include "cli/command.h"
#include "kernel/attach.h"
#include "kernel/store.h"
#include "policy/hostconf.h"

/* What host.yaml asks for, as a wish to the kernel's side. */
enum attach_mode hooks_mode_of(enum hostconf_hook hook);

/* record tells what links that are gone were called; NULL where there is none, or none is to be asked. */
void hooks_show(struct context *context, const struct store_record *record,
		const attach_hooks *hooks);

#endif
