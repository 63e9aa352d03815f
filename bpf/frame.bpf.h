/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bytes of a packet as a hook sees them: a linear part that is read directly, and behind it
 * whatever the driver or the stack keeps in fragments, which a helper copies. The kind is a
 * constant in every program, so that each holds only what its hook can do.
 */
#ifndef BPF_FRAME_BPF_H
#define BPF_FRAME_BPF_H

#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <linux/types.h>

#include <stdbool.h>

#include <bpf/bpf_helpers.h>

/*
 * FAR reads nothing but by helper, wherever the bytes lie: slower, and verified apart, since two
 * ways to read each header would multiply what the verifier has to look at.
 */
enum frame_kind {
	FRAME_XDP,	/* linear as a whole */
	FRAME_XDP_NEAR, /* the linear part; kernels from 5.18 */
	FRAME_XDP_FAR,
	FRAME_SKB_NEAR, /* the linear part */
	FRAME_SKB_FAR,
};

struct frame {
	void *ctx;
	const void *data;
	const void *end; /* of the linear part */
	enum frame_kind kind;
	__u32 length; /* linear part and fragments */
	__u32 tags;   /* VLAN tags that the stack took off and keeps beside the packet */
	bool bare;    /* begins with the network header */
	__u32 gso;    /* payload of each segment, where the stack holds several together; else 0 */
	__be16 type;  /* of the network header of a bare one */
};

/* A difference of packet pointers has to be taken in 64 bits. */
static __always_inline __u32 frame_linear(const void *data, const void *end)
{
	__u64 len = end - data;

	barrier_var(len);
	return len;
}

/* length: of the whole frame. */
static __always_inline struct frame frame_xdp_of(struct xdp_md *ctx, enum frame_kind kind,
						 __u32 length)
{
	return (struct frame){
		.ctx = ctx,
		.data = (const void *)(long)ctx->data,
		.end = (const void *)(long)ctx->data_end,
		.kind = kind,
		.length = length,
	};
}

/* The same where nobody has asked for the length yet; of several buffers by a helper. */
static __always_inline struct frame frame_xdp(struct xdp_md *ctx, enum frame_kind kind)
{
	const void *data = (const void *)(long)ctx->data;
	const void *end = (const void *)(long)ctx->data_end;

	return frame_xdp_of(
		ctx, kind, kind == FRAME_XDP ? frame_linear(data, end) : bpf_xdp_get_buff_len(ctx));
}

static __always_inline struct frame frame_skb(struct __sk_buff *ctx, enum frame_kind kind)
{
	return (struct frame){
		.ctx = ctx,
		.data = (const void *)(long)ctx->data,
		.end = (const void *)(long)ctx->data_end,
		.kind = kind,
		.length = ctx->len,
		.tags = ctx->vlan_present,
		.bare = ctx->pkt_type == PACKET_LOOPBACK,
		.gso = ctx->gso_size,
		.type = ctx->protocol,
	};
}

/*
 * The linear part anew, as the verifier knew it at the start: how far it was read no longer
 * tells one way here from another.
 */
static __always_inline void frame_reload(struct frame *frame)
{
	barrier();
	if (frame->kind == FRAME_XDP || frame->kind == FRAME_XDP_NEAR) {
		frame->data = (const void *)(long)((struct xdp_md *)frame->ctx)->data;
		frame->end = (const void *)(long)((struct xdp_md *)frame->ctx)->data_end;
	} else if (frame->kind == FRAME_SKB_NEAR) {
		frame->data = (const void *)(long)((struct __sk_buff *)frame->ctx)->data;
		frame->end = (const void *)(long)((struct __sk_buff *)frame->ctx)->data_end;
	}
}

/* By helper. False: the frame ends before, or this kind has none. */
static __always_inline bool frame_read_far(const struct frame *frame, __u32 offset, void *to,
					   __u32 size)
{
	if (frame->kind == FRAME_XDP_FAR)
		return !bpf_xdp_load_bytes(frame->ctx, offset, to, size);
	if (frame->kind == FRAME_SKB_FAR)
		return !bpf_skb_load_bytes(frame->ctx, offset, to, size);
	return false;
}

static __always_inline bool frame_is_far(const struct frame *frame)
{
	return frame->kind == FRAME_XDP_FAR || frame->kind == FRAME_SKB_FAR;
}

/* Offsets are below this; a mask that keeps what the verifier knows of them simple. */
#define FRAME_OFFSET_MASK 0x7fff
#define FRAME_HEADER_MAX  64 /* no header that is read at once is longer */

/*
 * Copies a header at an offset below 32 KB, whose size is that of *to. False: the frame, or for
 * a near kind its linear part, ends before.
 */
#define frame_read(frame, offset, to)                                             \
	({                                                                        \
		const typeof(*(to)) *at_ = (frame)->data + (offset);              \
		bool read_ = false;                                               \
                                                                                  \
		_Static_assert(sizeof(*(to)) <= FRAME_HEADER_MAX, "skb_hold");    \
		barrier_var(at_);                                                 \
		if (frame_is_far(frame)) {                                        \
			read_ = frame_read_far(frame, offset, to, sizeof(*(to))); \
		} else if ((const void *)(at_ + 1) <= (frame)->end) {             \
			*(to) = *at_;                                             \
			read_ = true;                                             \
		}                                                                 \
		read_;                                                            \
	})

/*
 * An offset about which the verifier forgets by which way it came to be, so that it looks at what
 * follows once.
 */
static __always_inline __u32 frame_offset(__u32 offset)
{
	barrier_var(offset);
	return offset & FRAME_OFFSET_MASK;
}

#endif
