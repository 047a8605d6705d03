/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv: reading and changing a database, the two kinds of design 5.
 *
 * Its life is in kv_open.c, its setting up in kv_options.c, the writing out of
 * what is in memory in kv_flush.c.
 */
#include "depot/kv_inside.h"
#include "depot/log.h"

enum {
	KV_RECORD_HEAD = 32, /* of a record in the log, about */
};

struct kv_batch {
	rocksdb_writebatch_t *writes; /* owns */
};

struct kv_iter {
	struct kv *kv; /* borrows */
	rocksdb_iterator_t *rep;
	rocksdb_readoptions_t *reads; /* owns; points into end[] */
	uint8_t end[];                /* first key after the prefix's */
};

/* Iterators of any kv that this thread has: it must not wait at a gate that
 * waits for them. */
static _Thread_local unsigned int kv_thread_iters;

bool kv_thread_has_iters(void)
{
	return kv_thread_iters > 0;
}

static void kv_enter(struct kv *kv)
{
	gate_enter(&kv->gate, kv_thread_iters > 0);
}

static void kv_leave(struct kv *kv)
{
	gate_leave(&kv->gate);
}

static bool kv_text_has(const char *text, const char *words)
{
	return strstr(text, words) != NULL;
}

/* The C API gives a status as text only: "Corruption: ...". */
static int kv_code_of(const char *text)
{
	if (kv_text_has(text, "lock hold by current process") ||
	    (kv_text_has(text, "While lock file") &&
	     kv_text_has(text, "Resource temporarily unavailable")))
		return -EBUSY;
	if (kv_text_has(text, "No space left on device") ||
	    kv_text_has(text, "NoSpace"))
		return -ENOSPC;
	if (kv_text_has(text, "Disk quota exceeded"))
		return -EDQUOT;
	if (strncmp(text, "Not implemented", 15) == 0 ||
	    kv_text_has(text, "unknown format_version") ||
	    kv_text_has(text, "Unknown Footer version"))
		return -EPROTONOSUPPORT;
	if (strncmp(text, "Corruption", 10) == 0)
		return -EBADMSG;
	return -EIO;
}

int kv_result(const char *path, const char *what, char *error)
{
	int rc;

	if (!error)
		return 0;
	rc = log_err(kv_code_of(error), "database %s: %s: %s", path, what,
		     error);
	rocksdb_free(error);
	return rc;
}

bool kv_is_full(int rc)
{
	return rc == -ENOSPC || rc == -EDQUOT;
}

int kv_error(struct kv *kv)
{
	return atomic_load(&kv->failed);
}

/* The first failure stays: what is in the log is not known any more. */
static void kv_fail(struct kv *kv, int rc)
{
	int none = 0;

	if (atomic_compare_exchange_strong(&kv->failed, &none, rc) &&
	    kv->on_failure)
		kv->on_failure(kv->on_failure_ctx);
}

void kv_on_failure(struct kv *kv, void (*failed)(void *ctx), void *ctx)
{
	kv->on_failure = failed;
	kv->on_failure_ctx = ctx;
}

void kv_on_recover(struct kv *kv, void (*recovered)(void *ctx, bool exact),
		   void *ctx)
{
	kv->on_recover = recovered;
	kv->on_recover_ctx = ctx;
}

static void kv_change_leave(struct kv *kv)
{
	atomic_fetch_sub(&kv->changes, 1);
	kv_leave(kv);
}

/* Begin a change; 0: it may be made, and kv_change_end() ends it. */
static int kv_change_begin(struct kv *kv)
{
	int rc;

	kv_enter(kv);
	atomic_fetch_add(&kv->changes, 1);
	rc = atomic_load(&kv->failed);
	if (rc < 0)
		kv_change_leave(kv);
	return rc;
}

/* keys: how many the change has.  takes error */
static int kv_change_end(struct kv *kv, const char *what, size_t keys,
			 char *error)
{
	int rc = kv_result(kv->path, what, error);

	if (rc == 0)
		atomic_fetch_add(&kv->written, keys);
	else
		kv_fail(kv, rc);
	kv_change_leave(kv);
	return rc;
}

/* While the gate is to be closed values are copies. */
static int kv_value_copy(struct kv_value *value)
{
	void *copy = malloc(MAX(value->len, (size_t)1));

	if (copy)
		memcpy(copy, value->data, value->len);
	rocksdb_pinnableslice_destroy(value->pin);
	*value = (struct kv_value){copy, copy ? value->len : 0, copy, NULL};
	return copy ? 0 : -ENOMEM;
}

static int kv_get_inside(struct kv *kv, const void *key, size_t key_len,
			 struct kv_value *value)
{
	char *error = NULL;

	if (!kv->db)
		return atomic_load(&kv->failed);
	value->pin =
	    rocksdb_get_pinned(kv->db, kv->reads, key, key_len, &error);
	if (error)
		return kv_result(kv->path, "get", error);
	if (!value->pin)
		return -ENOENT;
	value->data = (const uint8_t *)rocksdb_pinnableslice_value(value->pin,
								   &value->len);
	value->kv = kv;
	return gate_pin(&kv->gate) ? 0 : kv_value_copy(value);
}

int kv_get(struct kv *kv, const void *key, size_t key_len,
	   struct kv_value *value)
{
	int rc;

	*value = (struct kv_value){0};
	kv_enter(kv);
	rc = kv_get_inside(kv, key, key_len, value);
	kv_leave(kv);
	return rc;
}

void kv_value_release(struct kv_value *value)
{
	if (value->kv) {
		rocksdb_pinnableslice_destroy(value->pin);
		gate_unpin(&value->kv->gate);
	} else {
		free(value->pin);
	}
	*value = (struct kv_value){0};
}

struct kv_batch *kv_batch_new(void)
{
	struct kv_batch *batch = malloc(sizeof(*batch));

	if (batch)
		batch->writes = rocksdb_writebatch_create();
	return batch;
}

void kv_batch_free(struct kv_batch *batch)
{
	if (!batch)
		return;
	rocksdb_writebatch_destroy(batch->writes);
	free(batch);
}

void kv_batch_clear(struct kv_batch *batch)
{
	rocksdb_writebatch_clear(batch->writes);
}

void kv_batch_put(struct kv_batch *batch, const void *key, size_t key_len,
		  const void *value, size_t value_len)
{
	rocksdb_writebatch_put(batch->writes, key, key_len, value, value_len);
}

void kv_batch_delete(struct kv_batch *batch, const void *key, size_t key_len)
{
	rocksdb_writebatch_delete(batch->writes, key, key_len);
}

void kv_batch_delete_range(struct kv_batch *batch, const void *from,
			   size_t from_len, const void *to, size_t to_len)
{
	rocksdb_writebatch_delete_range(batch->writes, from, from_len, to,
					to_len);
}

size_t kv_batch_count(const struct kv_batch *batch)
{
	return (size_t)rocksdb_writebatch_count(batch->writes);
}

int kv_write(struct kv *kv, struct kv_batch *batch)
{
	int rc = kv_change_begin(kv);
	char *error = NULL;
	size_t len;

	if (rc < 0)
		return rc;
	kv_log_append_begin(&kv->log);
	rocksdb_write(kv->db, kv->writes, batch->writes, &error);
	rocksdb_writebatch_data(batch->writes, &len);
	kv_log_append_end(&kv->log, len + KV_RECORD_HEAD);
	return kv_change_end(kv, "write", kv_batch_count(batch), error);
}

int kv_put(struct kv *kv, const void *key, size_t key_len, const void *value,
	   size_t value_len)
{
	int rc = kv_change_begin(kv);
	char *error = NULL;

	if (rc < 0)
		return rc;
	kv_log_append_begin(&kv->log);
	rocksdb_put(kv->db, kv->writes, key, key_len, value, value_len, &error);
	kv_log_append_end(&kv->log, key_len + value_len + KV_RECORD_HEAD);
	return kv_change_end(kv, "put", 1, error);
}

int kv_delete(struct kv *kv, const void *key, size_t key_len)
{
	int rc = kv_change_begin(kv);
	char *error = NULL;

	if (rc < 0)
		return rc;
	kv_log_append_begin(&kv->log);
	rocksdb_delete(kv->db, kv->writes, key, key_len, &error);
	kv_log_append_end(&kv->log, key_len + KV_RECORD_HEAD);
	return kv_change_end(kv, "delete", 1, error);
}

/*
 * Not rocksdb_flush_wal(): when an append to a log fails, as on a full disk,
 * before that log was synced for the first time, then syncing it is an
 * assertion in RocksDB, and Debian's build has assertions on.  With a thread
 * that syncs all the time a full disk killed 13 of 60 processes.  RocksDB hands
 * each record to the kernel before a write returns, so that we can sync its
 * files.
 */
int kv_sync_log(struct kv *kv)
{
	int rc;

	ASSERT(kv->kind == KV_STATE);

	rc = kv_change_begin(kv);
	if (rc < 0)
		return rc;
#ifdef BROKEN_NO_LOG_SYNC
	kv_change_leave(kv);
	return 0; /* a control of the power-cut test */
#endif
	rc = kv_log_sync(
	    &kv->log, kv_property(kv, "rocksdb.current-super-version-number"));
	if (rc < 0) {
		log_err(rc, "database %s: sync of the log", kv->path);
		kv_fail(kv, rc);
	}
	kv_change_leave(kv);
	return rc;
}

int kv_flush(struct kv *kv)
{
	int rc = kv_change_begin(kv);

	if (rc < 0)
		return rc;
	rc = kv_flush_memory(kv);
	if (rc < 0)
		kv_fail(kv, rc);
	kv_change_leave(kv);
	return rc;
}

/* The C API's form tells no error; a failed table write shows at the next
 * change, which RocksDB then refuses.  Not a change: kv_recover() would wait
 * for it, so it enters like a read. */
int kv_compact(struct kv *kv, const void *from, size_t from_len, const void *to,
	       size_t to_len)
{
	int rc;

	kv_enter(kv);
	rc = atomic_load(&kv->failed);
	if (rc == 0)
		rocksdb_compact_range(kv->db, from, from_len, to, to_len);
	kv_leave(kv);
	return rc;
}

/* Length of the shortest key above all that begin with the prefix, put into
 * `end`; 0 when there is none. */
static size_t kv_prefix_end(const uint8_t *prefix, size_t len, uint8_t *end)
{
	while (len > 0 && prefix[len - 1] == 0xff)
		len--;
	if (len == 0)
		return 0;
	memcpy(end, prefix, len);
	end[len - 1]++;
	return len;
}

static bool kv_key_less(const void *a, size_t a_len, const void *b,
			size_t b_len)
{
	int order = memcmp(a, b, MIN(a_len, b_len));

	return order ? order < 0 : a_len < b_len;
}

static struct kv_iter *kv_iter_make(struct kv *kv, const void *prefix,
				    size_t prefix_len, const void *from,
				    size_t from_len, bool scan)
{
	struct kv_iter *it = malloc(sizeof(*it) + prefix_len);
	size_t end_len;

	if (!it)
		return NULL;
	kv_enter(kv);
	if (!kv->db) {
		kv_leave(kv);
		free(it);
		return NULL;
	}
	kv_thread_iters++;
	it->kv = kv;
	it->reads = rocksdb_readoptions_create();
	if (scan) {
		rocksdb_readoptions_set_readahead_size(it->reads,
						       KV_READ_AHEAD);
		rocksdb_readoptions_set_fill_cache(it->reads, 0);
	}
	end_len = kv_prefix_end(prefix, prefix_len, it->end);
	if (end_len > 0)
		rocksdb_readoptions_set_iterate_upper_bound(
		    it->reads, (const char *)it->end, end_len);
	it->rep = rocksdb_create_iterator(kv->db, it->reads);
	if (!from || kv_key_less(from, from_len, prefix, prefix_len))
		rocksdb_iter_seek(it->rep, prefix, prefix_len);
	else
		rocksdb_iter_seek(it->rep, from, from_len);
	return it;
}

struct kv_iter *kv_iter_new(struct kv *kv, const void *prefix,
			    size_t prefix_len, const void *from,
			    size_t from_len)
{
	return kv_iter_make(kv, prefix, prefix_len, from, from_len, false);
}

struct kv_iter *kv_scan_new(struct kv *kv, const void *prefix,
			    size_t prefix_len)
{
	return kv_iter_make(kv, prefix, prefix_len, NULL, 0, true);
}

bool kv_iter_valid(const struct kv_iter *it)
{
	return rocksdb_iter_valid(it->rep);
}

void kv_iter_next(struct kv_iter *it)
{
	rocksdb_iter_next(it->rep);
}

const uint8_t *kv_iter_key(const struct kv_iter *it, size_t *len)
{
	return (const uint8_t *)rocksdb_iter_key(it->rep, len);
}

const uint8_t *kv_iter_value(const struct kv_iter *it, size_t *len)
{
	return (const uint8_t *)rocksdb_iter_value(it->rep, len);
}

int kv_iter_error(const struct kv_iter *it)
{
	char *error = NULL;

	rocksdb_iter_get_error(it->rep, &error);
	return kv_result(it->kv->path, "iterate", error);
}

void kv_iter_free(struct kv_iter *it)
{
	if (!it)
		return;
	ASSERT(kv_thread_iters > 0);
	rocksdb_iter_destroy(it->rep);
	rocksdb_readoptions_destroy(it->reads);
	kv_thread_iters--;
	kv_leave(it->kv);
	free(it);
}

/*
 * What the next compaction writes before it deletes: all of level 0 is merged
 * with all of the first level below it that has files, which while much is
 * written grows far beyond its bound, since level 0 comes first; unless that is
 * the last: RocksDB then puts a level between.  By one who has entered.
 */
static uint64_t kv_unmerged(struct kv *kv)
{
	uint64_t levels[KV_LEVELS] = {0};
	const rocksdb_livefiles_t *files;
	int base = 1, count, level;

	if (!kv->db || kv->step == 0)
		return 0;
	files = rocksdb_livefiles(kv->db);
	count = rocksdb_livefiles_count(files);
	for (int i = 0; i < count; i++) {
		level = rocksdb_livefiles_level(files, i);
		if (level < KV_LEVELS)
			levels[level] += rocksdb_livefiles_size(files, i);
	}
	rocksdb_livefiles_destroy(files);
	while (base < KV_LEVELS - 1 && levels[base] == 0)
		base++;
	return levels[0] + (base < KV_LEVELS - 1 ? levels[base] : 0) +
	       2 * kv->step;
}

void kv_get_stats(struct kv *kv, struct kv_stats *stats)
{
	kv_enter(kv);
	stats->live_bytes = kv_property(kv, "rocksdb.live-sst-files-size");
	stats->memory_bytes =
	    kv_property(kv, "rocksdb.size-all-mem-tables") +
	    kv_property(kv, "rocksdb.estimate-table-readers-mem") +
	    kv_property(kv, "rocksdb.block-cache-usage");
	stats->unmerged_bytes = kv_unmerged(kv);
	stats->unwritten_bytes =
	    kv_property(kv, "rocksdb.cur-size-all-mem-tables");
	stats->keys_estimate = kv_property(kv, "rocksdb.estimate-num-keys");
	kv_leave(kv);
}
