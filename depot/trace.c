/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace: records are gathered under one lock, and written 64 KiB at a time: who
 * records wants all of them, and pays for it.
 */
#include "depot/trace.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "depot/format.h"
#include "depot/io.h"

enum { TRACE_BUFFER = (64 << 10) / sizeof(struct format_trace_record) };

struct trace {
	atomic_bool on;
	pthread_mutex_t lock;
	/* guarded by lock: */
	int fd;
	int rc;
	uint64_t start_us, records, off;
	uint8_t key[SIPHASH_KEY_LEN];
	unsigned int count;
	struct format_trace_record buffer[TRACE_BUFFER];
};

static uint64_t trace_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

struct trace *trace_new(void)
{
	struct trace *trace = calloc(1, sizeof(*trace));

	if (trace)
		pthread_mutex_init(&trace->lock, NULL);
	return trace;
}

void trace_free(struct trace *trace)
{
	if (!trace)
		return;
	ASSERT(!atomic_load(&trace->on));
	pthread_mutex_destroy(&trace->lock);
	free(trace);
}

bool trace_is_on(const struct trace *trace)
{
	return atomic_load_explicit(&trace->on, memory_order_relaxed);
}

/* lock */
static void trace_write(struct trace *trace)
{
	size_t len = trace->count * sizeof(trace->buffer[0]);

	if (trace->rc == 0 && len > 0)
		trace->rc =
		    io_pwrite_all(trace->fd, trace->buffer, len, trace->off);
	if (trace->rc == 0) {
		trace->off += len;
		trace->records += trace->count;
	}
	trace->count = 0;
}

int trace_start(struct trace *trace, int fd)
{
	struct format_trace header = {.format_le = htole32(FORMAT_TRACE)};
	int rc = -EBUSY;

	memcpy(header.magic, FORMAT_TRACE_MAGIC, sizeof(header.magic));
	pthread_mutex_lock(&trace->lock);
	if (!atomic_load(&trace->on))
		rc = io_pwrite_all(fd, &header, sizeof(header), 0);
	if (rc == 0) {
		trace->fd = fd;
		trace->rc = 0;
		trace->start_us = trace_now_us();
		trace->records = 0;
		trace->off = sizeof(header);
		random_bytes(trace->key, sizeof(trace->key));
		atomic_store(&trace->on, true);
	}
	pthread_mutex_unlock(&trace->lock);
	return rc;
}

int trace_stop(struct trace *trace, uint64_t *records)
{
	int rc;

	pthread_mutex_lock(&trace->lock);
	ASSERT(atomic_load(&trace->on));
	trace_write(trace);
	atomic_store(&trace->on, false);
	*records = trace->records;
	rc = trace->rc;
	explicit_bzero(trace->key, sizeof(trace->key));
	pthread_mutex_unlock(&trace->lock);
	return rc;
}

void trace_note(struct trace *trace, const struct digest *name, uint32_t who,
		size_t len)
{
	struct format_trace_record *record;

	pthread_mutex_lock(&trace->lock);
	if (atomic_load(&trace->on) &&
	    trace->records + trace->count < TRACE_RECORDS_MAX) {
		record = &trace->buffer[trace->count++];
		record->time_us_le = htole64(trace_now_us() - trace->start_us);
		record->shard_le = htole64(
		    siphash64(trace->key, name->bytes, sizeof(name->bytes)));
		record->len_le = htole32((uint32_t)len);
		record->who_le =
		    who == 0 ? 0
			     : htole32((uint32_t)siphash64(trace->key, &who,
							   sizeof(who)) |
				       1);
		if (trace->count == TRACE_BUFFER)
			trace_write(trace);
	}
	pthread_mutex_unlock(&trace->lock);
}
