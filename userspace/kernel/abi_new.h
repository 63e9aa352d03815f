/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Numbers of the kernel's interface that are newer than Debian 12's headers (6.1).
 */
#ifndef KERNEL_ABI_NEW_H
#define KERNEL_ABI_NEW_H

#define BH_TCX_INGRESS 46 /* BPF_TCX_INGRESS, 6.6 */
#define BH_TCX_EGRESS  47
#define BH_LINK_TCX    11	 /* BPF_LINK_TYPE_TCX */
#define BH_F_BEFORE    (1U << 3) /* BPF_F_BEFORE, 6.6 */

#define BH_F_XDP_HAS_FRAGS (1U << 5) /* BPF_F_XDP_HAS_FRAGS, 5.18 */

#endif
