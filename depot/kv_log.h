/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_log: the log files of a state database, as kv.c syncs them.
 *
 * The database appends to them; here they are found, synced, and kept longer
 * than what was appended, by filler.  A sync of an append inside the file is
 * one write and one flush; one that makes the file longer makes the file system
 * commit its journal as well, which takes three to four times as long (ext4:
 * 165 and 670 us).
 *
 * Filler is bytes of 0xff.  They are no record's head, so that replay ends
 * where they begin, also where a power cut left them between records that were
 * not synced.  Zeros it skips up to its next block (32 KiB), and goes on there
 * if it finds a record's beginning.
 */
#ifndef DEPOT_KV_LOG_H
#define DEPOT_KV_LOG_H

#include <pthread.h>
#include <stdatomic.h>

#include "depot/base.h"

enum {
	KV_LOG_AHEAD = 256 << 10, /* filler put behind the records at once */
	KV_LOG_MARGIN = 64 << 10, /* with so few left more are put */
};

struct kv_log {
	const char *dir;           /* borrows */
	pthread_rwlock_t append;   /* shared: appending; alone: filling */
	atomic_uint_fast64_t done; /* bytes appended since the start, about */
	pthread_mutex_t lock;      /* held over a sync; guards all below */
	int fd;                    /* owns: the only log, or -1 */
	uint64_t version;          /* the database's when logs were listed */
	uint64_t named;            /* names up to this log are synced */
	uint64_t end;              /* of the file; 0: not known */
	uint64_t base;             /* `done` when the file ended at 0 */
};

void kv_log_init(struct kv_log *log, const char *dir);
void kv_log_fini(struct kv_log *log);
/* The database was closed, nobody appends: its next life has other logs. */
void kv_log_forget(struct kv_log *log);

/* Around every append of about `len` bytes. */
void kv_log_append_begin(struct kv_log *log);
void kv_log_append_end(struct kv_log *log, size_t len);

/*
 * All that was appended before the call is on stable media.  `version` changes
 * when the database begins a new log, before anything is appended to it.
 */
MUST_CHECK int kv_log_sync(struct kv_log *log, uint64_t version);

#endif
