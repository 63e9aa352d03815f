// SPDX-License-Identifier: GPL-2.0-only
/* Reading events; see flow/reader.h. */
#include <errno.h>

#include <bpf/libbpf.h>

#include "base/arena.h"
#include "flow/reader.h"

struct reader {
	struct ring_buffer *ring;
	reader_take on_event;
	void *data;
	uint64_t n_foreign;
	bool going;
};

/* libbpf stops at the first negative answer, and what it has not shown stays in the ring. */
static int take_record(void *context, void *record, size_t size)
{
	struct reader *reader = context;
	const struct bh_event *event = record;

	if (size < sizeof(*event) || event->version != BH_EVENT_VERSION) {
		reader->n_foreign++;
		return 0;
	}
	reader->going = reader->on_event(reader->data, event);
	return reader->going ? 0 : -ECANCELED;
}

void reader_close(struct reader *reader)
{
	if (reader)
		ring_buffer__free(reader->ring);
	free(reader);
}

int reader_open(int fd, reader_take take_event, void *data, struct diag *diag,
		struct reader **ret_reader)
{
	scoped(reader_close) struct reader *reader = mem_calloc(1, sizeof(*reader));

	reader->on_event = take_event;
	reader->data = data;
	reader->going = true;
	reader->ring = ring_buffer__new(fd, take_record, reader, NULL);
	if (!reader->ring)
		return diag_sys(diag, errno, "cannot read the ring buffer of events");
	*ret_reader = take(reader);
	return 0;
}

int reader_fd(const struct reader *reader)
{
	return ring_buffer__epoll_fd(reader->ring);
}

int reader_drain(struct reader *reader, struct diag *diag, bool *ret_going)
{
	int n = ring_buffer__consume(reader->ring);

	if (n < 0 && n != -ECANCELED)
		return diag_sys(diag, -n, "cannot read the ring buffer of events");
	*ret_going = reader->going;
	return 0;
}

uint64_t reader_n_foreign(const struct reader *reader)
{
	return reader->n_foreign;
}
