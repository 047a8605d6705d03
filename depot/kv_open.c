/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_open: the life of a database: opened, opened again behind a kv that has
 * failed, closed.
 */
#include <stdio.h>
#include <time.h>

#include "depot/clock.h"
#include "depot/io.h"
#include "depot/kv_inside.h"
#include "depot/log.h"
#include "depot/space.h"

enum {
	KV_TRY_MS = 5000,
	KV_DRAIN_S = 20, /* for values and iterators to be given back */
};

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

/* What has no log is lost by closing; it may be, see kv_recover(). */
static void kv_keep_memory(struct kv *kv)
{
	if (kv->db && kv->kind == KV_SHARDS && kv_flush_memory(kv) < 0)
		log_warn("database %s: what was in memory is lost", kv->path);
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
	int rc = kv_flush_memory(kv);

	if (rc == 0)
		rc = io_sync_dir(kv->path);
	if (rc < 0)
		atomic_store(&kv->failed, rc);
	return rc;
}

/* Where there was no room the last time, more must be free now; or it is long
 * ago: a quota does not show. */
static bool kv_may_have_room(struct kv *kv)
{
	struct space_stats stats;
	uint64_t now = clock_ms();

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
	if (!kv->db || atomic_load(&kv->changes) > 0)
		return;
	kv_keep_memory(kv);
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

	ASSERT(!kv_thread_has_iters());

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

	if (kv_error(kv) == 0)
		kv_keep_memory(kv);
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
