/* SPDX-License-Identifier: GPL-2.0-only */
/* Our programs on the links, as views show them. */
#ifndef CLI_HOOKS_H
#define CLI_HOOKS_H

#include "cli/command.h"
#include "kernel/attach.h"

void hooks_show(struct context *context, const attach_hooks *hooks);

#endif
