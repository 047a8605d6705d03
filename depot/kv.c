/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv: RocksDB, set up in the two ways of design 5.
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
 *    its background jobs, and writes out what has no log.
 */
#include "depot/kv.h"

#include <rocksdb/c.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "depot/gate.h"
#include "depot/io.h"
#include "depot/kv_log.h"
#include "depot/log.h"
#include "depot/space.h"

enum {
	KV_BLOOM_BITS = 10,
	KV_WRITE_BUFFER_MIN = 256 << 10,
	KV_WRITE_BUFFER_MAX = 64 << 20,
	KV_WRITE_BUFFER_COUNT = 3,
	KV_CACHE_MIN = 1 << 20,
	KV_BACKGROUND_JOBS = 2,
	KV_INFO_LOG_NONE = 6, /* rocksdb::NUM_INFO_LOG_LEVELS: above all */
	KV_INFO_LOG_COUNT = 1,
	KV_L0_SLOWDOWN = 40,
	KV_L0_STOP = 80,
	KV_BYTES_PER_SYNC = 1 << 20,
	KV_READ_AHEAD = 2 << 20,
	KV_MANIFEST_STEP = 64 << 10, /* 4 MiB ahead would count as store */
	KV_TRY_MS = 5000,
	KV_DRAIN_S = 20,     /* for values and iterators to be given back */
	KV_DISK_FILES = 256, /* of a bounded database, about */
	KV_FILE_MIN = 256 << 10,
	KV_LEVELS = 7,        /* RocksDB's default */
	KV_DISK_STEPS = 64,   /* a part that a compaction takes */
	KV_DISK_BUFFERS = 64, /* what its write buffers may hold of it */
	KV_FILE_MAX = 32 << 20,
	KV_RECORD_HEAD = 32, /* of a record in the log, about */
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

/* takes error, RocksDB's text or NULL. */
static int kv_result(const char *path, const char *what, char *error)
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

static size_t kv_clamp(size_t value, size_t min, size_t max)
{
	return MAX(min, MIN(value, max));
}

/* What both kinds share. */
static void kv_set_common(rocksdb_options_t *o)
{
	rocksdb_options_set_create_if_missing(o, 1);
	rocksdb_options_set_compression(o, rocksdb_no_compression);
	rocksdb_options_set_max_open_files(o, -1);
	rocksdb_options_set_skip_stats_update_on_db_open(o, 1);
	rocksdb_options_set_max_background_jobs(o, KV_BACKGROUND_JOBS);
	rocksdb_options_set_level_compaction_dynamic_level_bytes(o, 1);
	rocksdb_options_set_max_write_buffer_number(o, KV_WRITE_BUFFER_COUNT);
	/* Writes a file out as it grows: its last sync must not hold up the
	 * guests' own syncs. */
	rocksdb_options_set_bytes_per_sync(o, KV_BYTES_PER_SYNC);
	rocksdb_options_compaction_readahead_size(o, KV_READ_AHEAD);
	rocksdb_options_set_manifest_preallocation_size(o, KV_MANIFEST_STEP);

	/*
	 * Nothing goes into its diary, the file LOG.  When a line of it meets a
	 * full disk, the next one is an assertion in RocksDB, and Debian's
	 * build has assertions on: the process ended while it was closing the
	 * database to recover.  The C API has no logger of ours.  (With a
	 * maximum size of the file headers would be written all the same.)
	 */
	rocksdb_options_set_info_log_level(o, KV_INFO_LOG_NONE);
	rocksdb_options_set_keep_log_file_num(o, KV_INFO_LOG_COUNT);
	rocksdb_options_set_stats_dump_period_sec(o, 0);
	rocksdb_options_set_stats_persist_period_sec(o, 0);
}

static void kv_set_write_buffer(struct kv *kv, size_t total)
{
	rocksdb_options_t *o = kv->options;

	kv->write_buffer = kv_clamp(total / KV_WRITE_BUFFER_COUNT,
				    KV_WRITE_BUFFER_MIN, KV_WRITE_BUFFER_MAX);
	rocksdb_options_set_write_buffer_size(o, kv->write_buffer);
	rocksdb_options_set_db_write_buffer_size(
	    o, MAX(total, KV_WRITE_BUFFER_MIN));
}

/* What is in memory must find room on a disk where growth is refused.  Shards
 * are only lost to a second fetch: they may have more. */
static size_t kv_write_buffers(const struct kv *kv, size_t total)
{
	uint64_t floor = kv->space ? space_floor(kv->space) : SIZE_MAX / 2;

	return MIN(total, kv->kind == KV_STATE ? floor : 2 * floor);
}

/* Shards: one long value a key, the page cache serves, lost memtables are
 * fetched again. */
static void kv_set_disk(struct kv *kv, uint64_t disk_max)
{
	rocksdb_options_t *o = kv->options;
	uint64_t file =
	    MIN(MAX(disk_max / KV_DISK_FILES, (uint64_t)KV_FILE_MIN),
		(uint64_t)KV_FILE_MAX);

	/* A compaction writes anew before it deletes: what one takes at a
	 * time, and the level that all of level 0 is merged into. */
	kv->step = MAX(disk_max / KV_DISK_STEPS, 4 * file);
	rocksdb_options_set_target_file_size_base(o, file);
	rocksdb_options_set_max_bytes_for_level_base(o, kv->step);
	rocksdb_options_set_max_compaction_bytes(o, kv->step);
}

static void kv_set_shards(struct kv *kv,
			  rocksdb_block_based_table_options_t *table,
			  size_t memory_max, uint64_t disk_max)
{
	rocksdb_block_based_options_set_no_block_cache(table, 1);
	if (disk_max > 0) {
		kv_set_disk(kv, disk_max);
		memory_max = MIN(memory_max, disk_max / KV_DISK_BUFFERS);
	}
	kv_set_write_buffer(kv, kv_write_buffers(kv, memory_max));
	rocksdb_writeoptions_disable_WAL(kv->writes, 1);
}

/*
 * State: small records, half of the memory for hot blocks, half for writes.
 *
 * Log recovery stops at the first bad record and keeps all before it.  A kill
 * leaves at most a torn last record; a power cut may in addition leave holes in
 * what was not synced, and those are followed by good records, which the mode
 * "tolerate corrupted tail" takes for damage and refuses to open.  All that was
 * acknowledged as stable lies before the first hole.
 */
static void kv_set_state(struct kv *kv,
			 rocksdb_block_based_table_options_t *table,
			 size_t memory_max)
{
#ifdef BROKEN_REPLY_FIRST
	/* The kill test's control: a batch is in no log when its call is
	 * answered, only in memory. */
	rocksdb_writeoptions_disable_WAL(kv->writes, 1);
#endif
	rocksdb_options_t *o = kv->options;

	kv->cache =
	    rocksdb_cache_create_lru(MAX(memory_max / 2, (size_t)KV_CACHE_MIN));
	rocksdb_block_based_options_set_block_cache(table, kv->cache);
	kv_set_write_buffer(kv, kv_write_buffers(kv, memory_max / 2));
	rocksdb_options_set_memtable_prefix_bloom_size_ratio(o, 0.05);
	rocksdb_options_set_memtable_whole_key_filtering(o, 1);
	rocksdb_options_set_wal_recovery_mode(o,
					      rocksdb_point_in_time_recovery);
	/* Off: each write reaches the kernel before it returns, and so outlives
	 * the process; kv_sync_log() relies on it, too. */
	rocksdb_options_set_manual_wal_flush(o, 0);
	/* Both databases share RocksDB's threads.  While a long compaction of
	 * shards has them, many small files are better than slow CREATEs. */
	rocksdb_options_set_level0_slowdown_writes_trigger(o, KV_L0_SLOWDOWN);
	rocksdb_options_set_level0_stop_writes_trigger(o, KV_L0_STOP);
}

static void kv_set_options(struct kv *kv, size_t memory_max, uint64_t disk_max)
{
	rocksdb_block_based_table_options_t *table;

	table = rocksdb_block_based_options_create();
	rocksdb_block_based_options_set_filter_policy(
	    table, rocksdb_filterpolicy_create_bloom_full(KV_BLOOM_BITS));
	kv_set_common(kv->options);
	if (kv->kind == KV_SHARDS)
		kv_set_shards(kv, table, memory_max, disk_max);
	else
		kv_set_state(kv, table, memory_max);
	rocksdb_options_set_block_based_table_factory(kv->options, table);
	rocksdb_block_based_options_destroy(table);
}

/* The C API aborts where it has no memory, so nothing of it is NULL. */
static struct kv *kv_new(const char *path, enum kv_kind kind,
			 const struct kv_options *options)
{
	CLEANUP_FREE struct kv *kv = calloc(1, sizeof(*kv));

	if (!kv)
		return NULL;
	kv->path = strdup(path);
	if (!kv->path)
		return NULL;
	kv->kind = kind;
	kv->space = options->space;
	kv->exact = true;
	gate_init(&kv->gate);
	pthread_mutex_init(&kv->recover_lock, NULL);
	kv_log_init(&kv->log, kv->path);
	kv->options = rocksdb_options_create();
	kv->reads = rocksdb_readoptions_create();
	kv->writes = rocksdb_writeoptions_create();
	kv->flush = rocksdb_flushoptions_create();
	rocksdb_flushoptions_set_wait(kv->flush, 1);
	kv_set_options(kv, options->memory_max, options->disk_max);
	return STEAL(kv);
}

/* --- opening, and opening again ------------------------------------------ */

static int kv_open_rocksdb(struct kv *kv, bool read_only)
{
	char *error = NULL;

	ASSERT(!kv->db);
	if (read_only)
		kv->db = rocksdb_open_for_read_only(kv->options, kv->path, 0,
						    &error);
	else
		kv->db = rocksdb_open(kv->options, kv->path, &error);
	if (error)
		kv->db = NULL;
	return kv_result(kv->path, "open", error);
}

/*
 * What can be read of a damaged shards database is saved, the rest goes into
 * its directory lost/: a shard that is not here is fetched again.  Never the
 * state database: there a part is worse than none.
 */
static int kv_salvage(struct kv *kv)
{
	char *error = NULL;
	int rc;

	log_warn("database %s: damaged; what can be read of it is saved",
		 kv->path);
	rocksdb_repair_db(kv->options, kv->path, &error);
	rc = kv_result(kv->path, "repair", error);
	return rc < 0 ? rc : kv_open_rocksdb(kv, false);
}

/*
 * For writing; else, on a full disk, without the reserve's bytes; else for
 * reading: that writes nothing, and shows what the log has, too.  Sets
 * kv->failed.  < 0: kv->db is NULL.
 */
static int kv_open_somehow(struct kv *kv)
{
	int rc = kv_open_rocksdb(kv, false), why;

	if (rc == -EBADMSG && kv->kind == KV_SHARDS)
		rc = kv_salvage(kv);
	if (kv_is_full(rc) && kv->kind == KV_STATE && space_give_up(kv->space))
		rc = kv_open_rocksdb(kv, false);
	why = rc;
	if (kv_is_full(rc) && kv->space)
		rc = kv_open_rocksdb(kv, true);
	atomic_store(&kv->failed, why);
	if (rc < 0)
		return rc;
	kv->sequence = rocksdb_get_latest_sequence_number(kv->db);
	atomic_store(&kv->written, 0);
	if (why < 0) {
		log_warn("database %s: no room to open it for writing",
			 kv->path);
		space_trouble(kv->space);
	}
	return 0;
}

int kv_open_with(const char *path, enum kv_kind kind,
		 const struct kv_options *options, struct kv **kv)
{
	struct kv *made;
	int rc;

	ASSERT(path && kv);
	ASSERT(kind == KV_SHARDS || kind == KV_STATE);

	made = kv_new(path, kind, options);
	if (!made)
		return -ENOMEM;
	rc = kv_open_somehow(made);
	if (rc < 0) {
		kv_close(made);
		return rc;
	}
	*kv = made;
	return 0;
}

int kv_open_on(const char *path, enum kv_kind kind, size_t memory_max,
	       struct space *space, struct kv **kv)
{
	struct kv_options options = {.memory_max = memory_max, .space = space};

	return kv_open_with(path, kind, &options, kv);
}

int kv_open(const char *path, enum kv_kind kind, size_t memory_max,
	    struct kv **kv)
{
	return kv_open_on(path, kind, memory_max, NULL, kv);
}

static void kv_close_rocksdb(struct kv *kv)
{
	if (kv->db)
		rocksdb_close(kv->db);
	kv->db = NULL;
	kv_log_forget(&kv->log);
}

/* What had returned 0 must be there.  `want`: its sequence number. */
static int kv_check_sequence(struct kv *kv, uint64_t want)
{
	/* Without a log what was in memory is lost, and may be. */
	if (kv->kind == KV_SHARDS)
		return 0;
	if (kv->sequence > want)
		kv->exact = false;
	if (kv->sequence >= want)
		return 0;
	kv->lost = true;
	atomic_store(&kv->failed, -EIO);
	return log_err(-EIO,
		       "database %s: %llu changes that were written are lost",
		       kv->path, (unsigned long long)(want - kv->sequence));
}

/*
 * What the log held, the opening has written to tables and synced (RocksDB does
 * that unless avoid_flush_during_recovery is set).  The flush is for the day
 * when it does not; names are synced for certain.
 */
static int kv_make_stable(struct kv *kv)
{
	char *error = NULL;
	int rc;

	rocksdb_flush(kv->db, kv->flush, &error);
	rc = kv_result(kv->path, "flush", error);
	if (rc == 0)
		rc = io_sync_dir(kv->path);
	if (rc < 0)
		atomic_store(&kv->failed, rc);
	return rc;
}

static uint64_t kv_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Where there was no room the last time, more must be free now; or it is long
 * ago: a quota does not show. */
static bool kv_may_have_room(struct kv *kv)
{
	struct space_stats stats;
	uint64_t now = kv_now_ms();

	if (!kv->space)
		return true;
	space_get_stats(kv->space, &stats);
	if (kv->tried_ms != 0 && stats.free <= kv->tried_free &&
	    now - kv->tried_ms < KV_TRY_MS)
		return false;
	kv->tried_free = stats.free;
	kv->tried_ms = now;
	return true;
}

/*
 * After a flush that failed RocksDB sleeps a second before its thread ends; its
 * own second tries (a file manager that it makes for itself does them) may be
 * under way, too.  Reads need not wait for that.  Changes that are under way
 * may need those threads: they end first, and no new ones come.
 */
static void kv_end_background(struct kv *kv)
{
	static const struct timespec pause = {0, 1000000};

	for (int i = 0; i < KV_TRY_MS && atomic_load(&kv->changes) > 0; i++)
		nanosleep(&pause, NULL);
	if (kv->db && atomic_load(&kv->changes) == 0)
		rocksdb_cancel_all_background_work(kv->db, 1);
}

/* recover_lock is held. */
static int kv_reopen(struct kv *kv)
{
	int before = atomic_load(&kv->failed);
	uint64_t want;
	int rc;

	if (kv_is_full(before) && !kv_may_have_room(kv))
		return before;
	kv_end_background(kv);
	rc = kv->lost ? -EIO : gate_close(&kv->gate, KV_DRAIN_S);
	if (rc < 0)
		return log_err(rc, "database %s: not opened again", kv->path);
	want = kv->sequence + atomic_load(&kv->written);
	kv_close_rocksdb(kv);
	rc = kv_open_somehow(kv);
	if (rc == 0)
		rc = kv_check_sequence(kv, want);
	if (rc == 0)
		rc = atomic_load(&kv->failed);
	if (rc == 0)
		rc = kv_make_stable(kv);
	gate_open(&kv->gate);
	return rc;
}

int kv_recover(struct kv *kv)
{
	bool again, exact = true;
	int rc = 0;

	ASSERT(kv_thread_iters == 0);

	pthread_mutex_lock(&kv->recover_lock);
	again = kv_error(kv) < 0;
	if (again) {
		rc = kv_reopen(kv);
		exact = kv->exact;
		if (rc == 0) {
			kv->exact = true;
			kv->tried_ms = 0;
		}
	}
	pthread_mutex_unlock(&kv->recover_lock);
	if (!again || rc < 0)
		return rc;
	log_info("database %s: opened again%s", kv->path,
		 exact ? "" : "; something that had failed is there");
	if (kv->on_recover)
		kv->on_recover(kv->on_recover_ctx, exact);
	return 0;
}

void kv_close(struct kv *kv)
{
	if (!kv)
		return;
	ASSERT(gate_is_idle(&kv->gate));

	kv_close_rocksdb(kv);
	rocksdb_flushoptions_destroy(kv->flush);
	rocksdb_writeoptions_destroy(kv->writes);
	rocksdb_readoptions_destroy(kv->reads);
	rocksdb_options_destroy(kv->options);
	if (kv->cache)
		rocksdb_cache_destroy(kv->cache);
	pthread_mutex_destroy(&kv->recover_lock);
	gate_destroy(&kv->gate);
	kv_log_fini(&kv->log);
	free(kv->path);
	free(kv);
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

/* By one who has entered. */
static uint64_t kv_property(struct kv *kv, const char *name)
{
	uint64_t value;

	if (!kv->db)
		return 0;
	return rocksdb_property_int(kv->db, name, &value) == 0 ? value : 0;
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
	char *error = NULL;

	if (rc < 0)
		return rc;
	rocksdb_flush(kv->db, kv->flush, &error);
	return kv_change_end(kv, "flush", 0, error);
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
