/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv: an ordered key-value store on disk.  The only includer of <rocksdb/c.h>.
 *
 * Two kinds of database, because a write stall holds up all of one (design 5):
 * KV_SHARDS (plain SST values, no block cache, WAL off, flushed by the caller)
 * and KV_STATE (WAL always on).  Thread-safe but for kv_close.
 *
 * Durability of KV_STATE: kv_write() returns when the batch is in the log file
 * (it survives the death of the process); kv_sync_log() when everything written
 * before the call is on stable media.  After a failed change (write, put,
 * delete), kv_sync_log or kv_flush the outcome is unknown, and all of them
 * return the same error from then on: the caller must stop acknowledging, close
 * and open again.  Reads go on.
 */
#ifndef DEPOT_KV_H
#define DEPOT_KV_H

#include "depot/base.h"

struct kv;
struct kv_batch;
struct kv_iter;

enum kv_kind { KV_SHARDS, KV_STATE };

/*
 * Open, creating it if absent.  -EBUSY: another process has it open.
 * -EBADMSG: damaged.  memory_max bounds write buffers and block cache, bytes.
 */
MUST_CHECK int kv_open(const char *path, enum kv_kind kind, size_t memory_max,
		       struct kv **kv);
void kv_close(struct kv *kv); /* takes kv; NULL allowed */

/* A value, pinned inside the database until kv_value_release(). */
struct kv_value {
	const uint8_t *data; /* borrows from pin */
	size_t len;
	void *pin; /* owns */
};

/* -ENOENT: no such key; *value is then empty, and may be released.  Release
 * before kv_close(). */
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
MUST_CHECK int kv_flush(struct kv *kv);    /* memtables to durable SSTs */

/*
 * Iterate over the keys that begin with `prefix`, in byte order, from the
 * first key >= `from` (NULL: from the prefix itself).  A snapshot: later
 * writes are not seen.  Keys and values are borrowed until the next step.
 */
struct kv_iter *kv_iter_new(struct kv *kv, const void *prefix,
			    size_t prefix_len, const void *from,
			    size_t from_len); /* NULL: no memory */
bool kv_iter_valid(const struct kv_iter *it); /* false: end, or an error */
void kv_iter_next(struct kv_iter *it);
const uint8_t *kv_iter_key(const struct kv_iter *it, size_t *len);
const uint8_t *kv_iter_value(const struct kv_iter *it, size_t *len);
/* 0 when the end was reached without an error. */
MUST_CHECK int kv_iter_error(const struct kv_iter *it);
void kv_iter_free(struct kv_iter *it);

struct kv_stats {
	uint64_t live_bytes;   /* of SST files */
	uint64_t memory_bytes; /* memtables, table readers, block cache */
	uint64_t keys_estimate;
};
void kv_get_stats(struct kv *kv, struct kv_stats *stats);

#endif
