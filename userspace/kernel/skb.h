/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where this kernel's struct sk_buff holds what struct __sk_buff does not show, from the types that
 * the kernel tells of itself.
 */
#ifndef KERNEL_SKB_H
#define KERNEL_SKB_H

#include "base/diag.h"
#include "bpf/abi.h"

/* What the running kernel says of itself; a file of a package may be of another one. */
#define SKB_TYPES "/sys/kernel/btf/vmlinux"

/*
 * Reads SKB_TYPES: some megabytes, a tenth of a second. known is 0 where the kernel tells no types, or the
 * fields do not lie side by side as the programs read them. Where memory or descriptors are short that is not known:
 * a negative errno, with words.
 */
int skb_layout(struct diag *diag, struct bh_skb *ret_layout);

#endif
