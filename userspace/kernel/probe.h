/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What this kernel can do, found by trying, once. Everything above decides by the answers in
 * struct probe and by nothing else, so tests can hand in those of another kernel.
 */
#ifndef KERNEL_PROBE_H
#define KERNEL_PROBE_H

#include "base/diag.h"
#include "bpf/abi.h"

/*
 * Kind, constant, what it is called in messages, first kernel that has it. Without a NEED
 * nothing is applied; a WANT has a fallback. One of the two of tcx and clsact is needed.
 */
#define PROBE_FEATURES(X)                                                                  \
	X(NEED, BPF, "the bpf system call", "4.18")                                        \
	X(NEED, ARRAY_OF_MAPS, "arrays of maps", "4.12")                                   \
	X(NEED, FREEZE, "maps that are read-only to programs and can be frozen", "5.2")    \
	X(NEED, MMAP, "arrays that can be mapped into memory", "5.5")                      \
	X(NEED, JIFFIES, "the helper bpf_jiffies64", "5.6")                                \
	X(NEED, RING_BUFFER, "ring buffers", "5.8")                                        \
	X(NEED, BOOT_TIME, "the helper bpf_ktime_get_boot_ns", "5.8")                      \
	X(NEED, XDP_LINK, "XDP links", "5.9")                                              \
	X(NEED, ATOMICS, "atomic operations that return a value", "5.12")                  \
	X(NEED, GLOBAL_POINTERS, "pointers as arguments of global functions", "5.13")      \
	X(WANT, CLSACT, "the clsact queueing discipline with cls_bpf", "4.5")              \
	X(WANT, TCX, "tcx links", "6.6")                                                   \
	X(WANT, XDP_FRAGS, "XDP programs for packets of several buffers", "5.18")          \
	X(WANT, READ_KERNEL, "bpf_probe_read_kernel, and the kernel's types (BTF)", "5.5") \
	X(WANT, TEST_RUN, "running a program on a given packet", "4.12")

enum probe_feature {
#define X(kind, constant, words, since) PROBE_##constant,
	PROBE_FEATURES(X)
#undef X
		PROBE_COUNT
};

struct probe {
	char release[65]; /* as uname says */
	bool has[PROBE_COUNT];
	struct bh_skb skb;	   /* known with READ_KERNEL, but where the kernel was not asked */
	bool jit;		   /* programs are compiled */
	int unprivileged_disabled; /* kernel.unprivileged_bpf_disabled: 0, 1, 2; -1: not told */
};

/*
 * Tries everything, but clsact only where there is no tcx: that takes a namespace, and
 * milliseconds, and who has tcx does not need it. Nothing stays behind. -EPERM with words when the
 * caller may not ask (without CAP_BPF and CAP_NET_ADMIN the answers would be lies), another -errno
 * with words when a trial failed for want of memory, descriptors or a network namespace: what is
 * not known is never said to be missing.
 */
int probe_kernel(struct diag *diag, struct probe *ret_probe);

/* Tries clsact too, for those who tell all; on an error as above the answer stays what it was. */
int probe_clsact(struct diag *diag, struct probe *probe);

/*
 * 0 when bulkhead can enforce with these answers; else -EOPNOTSUPP and one sentence that names
 * all that is missing, and the kernel that has it.
 */
int probe_check(const struct probe *probe, struct diag *diag);

/* For doctor. */
const char *probe_words(enum probe_feature feature);
const char *probe_since(enum probe_feature feature);
bool probe_is_needed(enum probe_feature feature);

#endif
