/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The image of one generation, as one packet reads it: opened once, then elements by their
 * address. Tables of page 0 cost a masked addition to a pointer, others one more look-up of the
 * array of maps, which the verifier inlines. Every offset is masked into its page, so a
 * corrupt image gives a wrong class and never a wrong access.
 */
#ifndef BPF_IMAGE_BPF_H
#define BPF_IMAGE_BPF_H

#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#include "bpf/abi.h"
#include "bpf/maps.bpf.h"

struct image_view {
	const __u8 *near; /* page 0 */
	__u64 generation;
};

/* A page of the generation; NULL where userspace has put none. */
static __always_inline const __u8 *image_far(const struct image_view *view, __u32 address)
{
	__u32 page = (view->generation & 1) * BH_IMAGE_PAGES + (address >> BH_PAGE_BITS);
	__u32 zero = 0;
	void *inner = bpf_map_lookup_elem(&bh_image, &page);

	return inner ? bpf_map_lookup_elem(inner, &zero) : NULL;
}

/*
 * The page in which the table or element at an address lies; NULL where it is missing, which
 * ends the packet with BH_REASON_IMAGE_FAULT.
 */
static __always_inline const __u8 *image_page(const struct image_view *view, __u32 address)
{
	return address < BH_PAGE_SIZE ? view->near : image_far(view, address);
}

/* Elements at an address within its page; they are aligned, so that none crosses its end. */
static __always_inline __u16 image_u16(const __u8 *page, __u32 address)
{
	return *(const __u16 *)(page + (address & (BH_PAGE_SIZE - 2)));
}

static __always_inline __u32 image_u32(const __u8 *page, __u32 address)
{
	return *(const __u32 *)(page + (address & (BH_PAGE_SIZE - 4)));
}

static __always_inline __u64 image_u64(const __u8 *page, __u32 address)
{
	return *(const __u64 *)(page + (address & (BH_PAGE_SIZE - 8)));
}

static __always_inline const struct bh_head *image_head(const struct image_view *view)
{
	return (const struct bh_head *)view->near;
}

/*
 * Opens a generation that was in force when the packet, or the flow it belongs to, was
 * first judged. BH_REASON_RULE: it is open; else what denies the packet.
 */
static __always_inline enum bh_reason image_open_at(struct image_view *view, __u64 generation)
{
	view->generation = generation;
	view->near = image_far(view, 0);
	return view->near ? BH_REASON_RULE : BH_REASON_IMAGE_FAULT;
}

/* Opens what is in force; once per packet, which is judged wholly by it. */
static __always_inline enum bh_reason image_open(struct image_view *view)
{
	__u32 zero = 0;
	const struct bh_active *active = bpf_map_lookup_elem(&bh_active, &zero);

	if (!active || (__s64)active->generation <= 0)
		return BH_REASON_NO_POLICY;
	return image_open_at(view, active->generation);
}

/* An outcome by its id; NULL: its page is missing. */
static __always_inline const struct bh_outcome *image_outcome(const struct image_view *view,
							      __u32 outcome)
{
	__u32 address = image_head(view)->outcomes + outcome * sizeof(struct bh_outcome);
	const __u8 *page = image_page(view, address);

	if (!page)
		return NULL;
	barrier_var(page); /* or clang adds before the check, and kernels before 6.15 refuse that */
	return (const struct bh_outcome *)(page +
					   (address & (BH_PAGE_SIZE - sizeof(struct bh_outcome))));
}

#endif
