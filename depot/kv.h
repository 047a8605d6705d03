/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv: an ordered key-value store on disk.  Only its files include
 * <rocksdb/c.h>.
 *
 * Two kinds of database, because a write stall holds up all of one (design 5):
 * KV_SHARDS (plain SST values, no block cache, WAL off, flushed by the caller)
 * and KV_STATE (WAL always on).  Thread-safe but for kv_close.
 *
 * Durability of KV_STATE: kv_write() returns when the batch is in the log file
 * (it survives the death of the process); kv_sync_log() when everything written
 * before the call is on stable media.
 *
 * After a failed change (write, put, delete), kv_sync_log or kv_flush the
 * database has failed: all of them return the same error from then on, until
 * kv_recover() has opened it again.  Reads go on, and show what they showed
 * before: nothing of the failed change.
 *
 * A change that failed has an unknown outcome until kv_recover() or a new
 * kv_open(): it may be in the log.  kv_recover() counts: each change takes a
 * sequence number for each of its keys, and what has returned 0 since the
 * opening adds up to one number.  Found the same after the opening: all that
 * returned 0 is there, and nothing that failed ("exact": what ENOSPC leads to
 * in all cases seen, since a record that met it is torn).  A higher one: all
 * that returned 0 is there, and something that failed may be, too; who keeps in
 * memory what the database says reads it again (kv_on_recover).  A lower one:
 * something is lost, and the database stays failed with -EIO.
 */
#ifndef DEPOT_KV_H
#define DEPOT_KV_H

#include "depot/base.h"

struct kv;
struct kv_batch;
struct kv_iter;
struct space;

enum kv_kind { KV_SHARDS, KV_STATE };

/*
 * Open, creating it if absent.  -EBUSY: another process has it open.
 * -EBADMSG: damaged (of a shards database what can be read is saved first, and
 * the rest moved into its directory lost/).  memory_max bounds write buffers
 * and block cache, bytes.
 */
MUST_CHECK int kv_open(const char *path, enum kv_kind kind, size_t memory_max,
		       struct kv **kv);
/*
 * The same on a disk that may be full: KV_STATE gives up the reserve of `space`
 * (borrowed until kv_close; may be NULL) for room to open, and write buffers
 * stay below its floor.  Success also when there is no room at all and the
 * database can be read: kv_error() is -ENOSPC then, as after a failed change.
 */
MUST_CHECK int kv_open_on(const char *path, enum kv_kind kind,
			  size_t memory_max, struct space *space,
			  struct kv **kv);
/* The same with all that can be said about it. */
struct kv_options {
	size_t memory_max;
	uint64_t disk_max;   /* KV_SHARDS: its files, and what a compaction
				takes besides, are cut to fit; 0: any number */
	struct space *space; /* borrowed; NULL */
};
MUST_CHECK int kv_open_with(const char *path, enum kv_kind kind,
			    const struct kv_options *options, struct kv **kv);
void kv_close(struct kv *kv); /* takes kv; NULL allowed */

/* A value, pinned inside the database until kv_value_release(). */
struct kv_value {
	const uint8_t *data; /* borrows from pin */
	size_t len;
	void *pin;     /* owns: RocksDB's, or a copy when kv is NULL */
	struct kv *kv; /* borrows */
};

/* -ENOENT: no such key; *value is then empty, and may be released.  Release
 * soon, and before kv_close(): kv_recover() waits for it. */
MUST_CHECK int kv_get(struct kv *kv, const void *key, size_t key_len,
		      struct kv_value *value);
void kv_value_release(struct kv_value *value);

struct kv_batch *kv_batch_new(void); /* NULL: no memory */
void kv_batch_free(struct kv_batch *batch);
void kv_batch_clear(struct kv_batch *batch);
void kv_batch_put(struct kv_batch *batch, const void *key, size_t key_len,
		  const void *value, size_t value_len);
void kv_batch_delete(struct kv_batch *batch, const void *key, size_t key_len);
/* Delete all keys in [from, to). */
void kv_batch_delete_range(struct kv_batch *batch, const void *from,
			   size_t from_len, const void *to, size_t to_len);
size_t kv_batch_count(const struct kv_batch *batch);

/* Apply all of a batch or nothing.  KV_SHARDS: not in any log until
 * kv_flush(). */
MUST_CHECK int kv_write(struct kv *kv, struct kv_batch *batch);
MUST_CHECK int kv_put(struct kv *kv, const void *key, size_t key_len,
		      const void *value, size_t value_len);
MUST_CHECK int kv_delete(struct kv *kv, const void *key, size_t key_len);

MUST_CHECK int kv_sync_log(struct kv *kv); /* KV_STATE */
/* Memtables to durable tables.  -ENOSPC also when tables have to be merged
 * first and there is no room for that: it does not wait for room. */
MUST_CHECK int kv_flush(struct kv *kv);

/* Rewrite the tables of the keys in [from, to], so that what was deleted there
 * gives its space back.  Takes as long as that takes; writes and reads go on.
 */
MUST_CHECK int kv_compact(struct kv *kv, const void *from, size_t from_len,
			  const void *to, size_t to_len);

/* 0, or why changes are refused. */
int kv_error(struct kv *kv);
/* The disk or a quota is full: what passes when there is room again. */
bool kv_is_full(int rc);

/*
 * Close RocksDB and open it again behind a kv that has failed; 0 at once when
 * it has not.  Other threads may call kv_*() meanwhile: they wait.  Values are
 * waited for, so the caller, and whom it waits for, must hold none, nor an
 * iterator.  On return, for KV_STATE, all that had returned 0 is on stable
 * media; for KV_SHARDS what the last kv_flush() had written.
 *
 * -ENOSPC, -EDQUOT: no room to open it for writing.  It is open for reading,
 * refuses changes as before, and wants to be tried again.  -ETIMEDOUT: a value
 * or an iterator was kept too long; nothing has happened.  Others: it stays
 * failed.
 */
MUST_CHECK int kv_recover(struct kv *kv);
/*
 * Set once, before threads use the kv.  failed() is called when changes begin
 * to be refused: on the thread of the change, whatever locks it holds, so it
 * only wakes somebody.  recovered() is called by kv_recover() before it
 * returns, when others use the kv again.
 */
void kv_on_failure(struct kv *kv, void (*failed)(void *ctx), void *ctx);
void kv_on_recover(struct kv *kv, void (*recovered)(void *ctx, bool exact),
		   void *ctx);

/*
 * Iterate over the keys that begin with `prefix`, in byte order, from the
 * first key >= `from` (NULL: from the prefix itself).  A snapshot: later
 * writes are not seen.  Keys and values are borrowed until the next step.  The
 * thread that made it frees it, soon, waiting for nobody: see kv_recover().
 */
struct kv_iter *kv_iter_new(struct kv *kv, const void *prefix,
			    size_t prefix_len, const void *from,
			    size_t from_len); /* NULL: none */
/* Likewise over all of them, once: reads ahead and leaves the cache to others.
 */
struct kv_iter *kv_scan_new(struct kv *kv, const void *prefix,
			    size_t prefix_len);
bool kv_iter_valid(const struct kv_iter *it); /* false: end, or an error */
void kv_iter_next(struct kv_iter *it);
const uint8_t *kv_iter_key(const struct kv_iter *it, size_t *len);
const uint8_t *kv_iter_value(const struct kv_iter *it, size_t *len);
/* 0 when the end was reached without an error. */
MUST_CHECK int kv_iter_error(const struct kv_iter *it);
void kv_iter_free(struct kv_iter *it);

struct kv_stats {
	uint64_t live_bytes;      /* of SST files */
	uint64_t memory_bytes;    /* memtables, table readers, block cache */
	uint64_t unwritten_bytes; /* memtables: in no file yet */
	uint64_t unmerged_bytes;  /* about, of files that a compaction will
				     write again, all at once */
	uint64_t keys_estimate;
};
void kv_get_stats(struct kv *kv, struct kv_stats *stats);

#endif
