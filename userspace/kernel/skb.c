// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/skb.h"

#include <errno.h>
#include <string.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "base/scoped.h"

SCOPED(struct btf *, btf__free);

enum { NESTED_MAX = 8, POINTER_SIZE = 8 };

struct field {
	uint32_t at;   /* bits from the start of the struct */
	uint32_t bits; /* 0: it is no bit field */
};

/* A member by name, also of structs and unions without a name, which sk_buff is full of. */
static bool find(const struct btf *btf, uint32_t type, const char *name, uint32_t at, int depth,
		 struct field *ret_field)
{
	const struct btf_type *outer = btf__type_by_id(btf, type);
	const struct btf_member *member;

	if (!outer || !btf_is_composite(outer) || depth > NESTED_MAX)
		return false;
	member = btf_members(outer);
	for (uint32_t i = 0; i < btf_vlen(outer); i++, member++) {
		uint32_t here = at + btf_member_bit_offset(outer, i);
		const char *called = btf__name_by_offset(btf, member->name_off);

		if (called && strcmp(called, name) == 0) {
			*ret_field = (struct field){here, btf_member_bitfield_size(outer, i)};
			return true;
		}
		if ((!called || !called[0]) &&
		    find(btf, member->type, name, here, depth + 1, ret_field))
			return true;
	}
	return false;
}

static struct bh_skb find_layout(const struct btf *btf)
{
	struct field summed, start, offset, head, data;
	int type = btf__find_by_name_kind(btf, "sk_buff", BTF_KIND_STRUCT);

	if (type < 0 || !find(btf, (uint32_t)type, "ip_summed", 0, 0, &summed) ||
	    !find(btf, (uint32_t)type, "csum_start", 0, 0, &start) ||
	    !find(btf, (uint32_t)type, "csum_offset", 0, 0, &offset) ||
	    !find(btf, (uint32_t)type, "head", 0, 0, &head) ||
	    !find(btf, (uint32_t)type, "data", 0, 0, &data))
		return (struct bh_skb){};
	if (summed.bits != 2 || summed.at % 8 > 6 || start.bits || start.at % 8 || head.bits ||
	    offset.at != start.at + 16 || data.at != head.at + POINTER_SIZE * 8)
		return (struct bh_skb){};
	return (struct bh_skb){
		.known = 1,
		.summed = (uint16_t)(summed.at / 8),
		.shift = (uint16_t)(summed.at % 8),
		.checksum = (uint16_t)(start.at / 8),
		.ends = (uint16_t)(head.at / 8),
	};
}

int skb_layout(struct diag *diag, struct bh_skb *ret_layout)
{
	struct btf *types = btf__parse(SKB_TYPES, NULL);
	int err = (int)libbpf_get_error(types);
	scoped(btf__free) struct btf *btf = err ? NULL : types;

	if (err == -ENOMEM || err == -EMFILE || err == -ENFILE)
		return diag_sys(diag, -err, "cannot read the kernel's types '" SKB_TYPES "'");
	*ret_layout = btf ? find_layout(btf) : (struct bh_skb){};
	return 0;
}
