/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_inside: what the files of kv share.  Nobody else includes it.
 *
 * Phases of a database:
 * 1. kv_open: options are built for the kind, the log is replayed.
 * 2. Open: read and written by any thread; kv_sync_log() by the log thread.
 * 3. Failed: after a failed write, sync or flush all three return that error,
 *    without asking RocksDB, until it is opened again; reads go on.
 * 4. kv_recover: the gate is closed, RocksDB closed and opened, its sequence
 *    number compared, the gate opened: 2 again.  Without room: open for
 *    reading only, and still 3.
 * 5. kv_close: values, batches and iterators must be gone.  RocksDB waits for
 *    its background jobs; what has no log is written out before.
 */
#ifndef DEPOT_KV_INSIDE_H
#define DEPOT_KV_INSIDE_H

#include <pthread.h>
#include <rocksdb/c.h>
#include <stdatomic.h>

#include "depot/gate.h"
#include "depot/kv.h"
#include "depot/kv_log.h"

enum {
	KV_READ_AHEAD = 2 << 20, /* bytes, of compactions and scans */
	KV_LEVELS = 7,           /* RocksDB's default */
};

/* Not changed after kv_open() but for the atomics and what has a lock. */
struct kv {
	struct gate gate;  /* around all that uses db */
	rocksdb_t *db;     /* gate; owns; NULL: it could not be opened */
	uint64_t sequence; /* gate; of the last change before the opening */
	bool exact;        /* gate; nothing that failed was found */
	bool lost; /* recover_lock; something that was written is gone */
	uint64_t tried_free, tried_ms;  /* recover_lock: when it was full */
	struct space *space;            /* borrows; NULL */
	size_t write_buffer;            /* bytes of one */
	int level0_max;                 /* files, from which writes wait */
	uint64_t step;                  /* of a compaction; 0: any number */
	rocksdb_options_t *options;     /* owns */
	rocksdb_cache_t *cache;         /* owns; NULL for KV_SHARDS */
	rocksdb_readoptions_t *reads;   /* owns */
	rocksdb_writeoptions_t *writes; /* owns */
	rocksdb_flushoptions_t *flush;  /* owns */
	enum kv_kind kind;
	char *path;                   /* owns; for messages */
	atomic_int failed;            /* 0, or the first -errno of a change */
	atomic_uint changes;          /* under way */
	_Atomic uint64_t written;     /* keys changed since the opening */
	pthread_mutex_t recover_lock; /* of kv_recover(), held throughout */
	void (*on_failure)(void *ctx);
	void *on_failure_ctx;
	void (*on_recover)(void *ctx, bool exact);
	void *on_recover_ctx;
	struct kv_log log;
};

/* Whether this thread has an iterator of any kv. */
bool kv_thread_has_iters(void);

/* -errno of RocksDB's text, told with what was done to which database; 0: NULL.
 * takes error */
int kv_result(const char *path, const char *what, char *error);

/* kv->options, for kv->kind; the sizes as in struct kv_options. */
void kv_set_options(struct kv *kv, size_t memory_max, uint64_t disk_max);

/* An integer property of RocksDB's, 0 when it has none.  By one who has
 * entered. */
uint64_t kv_property(struct kv *kv, const char *name);

/*
 * Memtables to durable tables.  By one who has entered, or alone.  -ENOSPC:
 * level 0 is full and compactions, which would empty it, fail; others as
 * kv_result().
 */
MUST_CHECK int kv_flush_memory(struct kv *kv);

#endif
