// SPDX-License-Identifier: GPL-2.0-only
/* See kernel/running.h. */
#include "kernel/running.h"

#include <errno.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel/abi_new.h"

int running_tcx_type(enum bh_direction direction)
{
	return direction == BH_IN ? BH_TCX_INGRESS : BH_TCX_EGRESS;
}

uint32_t running_xdp_program(const struct bpf_xdp_query_opts *xdp)
{
	return xdp->drv_prog_id	  ? xdp->drv_prog_id
	       : xdp->skb_prog_id ? xdp->skb_prog_id
				  : xdp->prog_id;
}

int running_read(uint32_t ifindex, enum bh_direction direction, enum attach_mode mode,
		 struct running *ret_running)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, xdp);
	int err;

	*ret_running = (struct running){};
	if (mode == ATTACH_TCX) {
		ret_running->n = RUNNING_MAX;
		err = bpf_prog_query((int)ifindex,
				     (enum bpf_attach_type)running_tcx_type(direction), 0, NULL,
				     ret_running->ids, &ret_running->n);
		if (err)
			ret_running->n = 0;
		return err == -EINVAL ? 0 : err;
	}
	err = bpf_xdp_query((int)ifindex, 0, &xdp);
	if (err)
		return err;
	ret_running->ids[0] = mode == ATTACH_GENERIC ? xdp.skb_prog_id : xdp.drv_prog_id;
	ret_running->n = ret_running->ids[0] ? 1 : 0;
	return 0;
}

int running_read_in_the_way(uint32_t ifindex, enum bh_direction direction, enum attach_mode mode,
			    struct running *ret_running)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, xdp);
	int err;

	if (mode == ATTACH_TCX)
		return running_read(ifindex, direction, mode, ret_running);
	err = bpf_xdp_query((int)ifindex, 0, &xdp);
	ret_running->ids[0] = running_xdp_program(&xdp);
	ret_running->n = !err && ret_running->ids[0];
	return err;
}

bool running_has(const struct running *running, uint32_t program)
{
	for (uint32_t i = 0; i < running->n; i++)
		if (running->ids[i] == program)
			return true;
	return false;
}
