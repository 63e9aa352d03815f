/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where this kernel's struct sk_buff holds what struct __sk_buff does not show, from the types that
 * the kernel tells of itself.
 */
#ifndef KERNEL_SKB_H
#define KERNEL_SKB_H

#include "bpf/abi.h"

/*
 * Reads /sys/kernel/btf/vmlinux: some megabytes, some milliseconds. known is 0 where the kernel tells no
 * types, or the fields do not lie side by side as the programs read them.
 */
struct bh_skb skb_layout(void);

#endif
