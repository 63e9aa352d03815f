/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ring buffer of the programs → struct bh_event, one by one. It is handed a descriptor and
 * knows nothing of rules; several readers of one ring buffer take events from each other, see
 * watch_claim() of kernel/watch.h.
 */
#ifndef FLOW_READER_H
#define FLOW_READER_H

#include "base/diag.h"
#include "bpf/abi.h"

struct reader;

/* Called for each event, which is good during the call alone. Returns false to stop reading. */
typedef bool (*reader_take)(void *data, const struct bh_event *event);

void reader_close(struct reader *reader);
SCOPED(struct reader *, reader_close);

/* fd is the ring buffer's and stays the caller's. */
int reader_open(int fd, reader_take take_event, void *data, struct diag *diag,
		struct reader **ret_reader);

/* A descriptor that polls as readable when events are there. */
int reader_fd(const struct reader *reader);

/*
 * Hands over what is there. Records of another version are counted and passed over. False in
 * *ret_going when take has said so.
 */
int reader_drain(struct reader *reader, struct diag *diag, bool *ret_going);

/* Records that this build cannot read. */
uint64_t reader_n_foreign(const struct reader *reader);

#endif
