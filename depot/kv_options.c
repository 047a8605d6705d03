/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_options: RocksDB's settings for the two kinds of database, and why.
 */
#include "depot/kv_inside.h"
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
	KV_STATE_LEVEL0 = 40,
	KV_MERGE_FILES_MIN = 4, /* of level 0; RocksDB's default */
	KV_MERGE_FILES_MAX = 12,
	KV_SHARDS_LEVEL0 = 20,
	KV_SHARDS_LEVEL0_STOP = 36,
	KV_BYTES_PER_SYNC = 1 << 20,
	KV_MANIFEST_STEP = 64 << 10, /* 4 MiB ahead would count as store */
	KV_DISK_FILES = 256,         /* of a bounded database, about */
	KV_FILE_MIN = 256 << 10,
	KV_DISK_STEPS = 64,   /* a part that a compaction takes */
	KV_DISK_BUFFERS = 64, /* what its write buffers may hold of it */
	KV_FILE_MAX = 32 << 20,
};

#define KV_MEM_BLOOM 0.05 /* of a write buffer */

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

/* From so many files of level 0 on writes are slowed down, then stopped. */
static void kv_set_level0(struct kv *kv, int slow, int stop)
{
	kv->level0_max = slow;
	rocksdb_options_set_level0_slowdown_writes_trigger(kv->options, slow);
	rocksdb_options_set_level0_stop_writes_trigger(kv->options, stop);
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

/*
 * Names are drawn by lot, so that a merge of level 0 writes all of the next
 * level anew: it is worth waiting for more files, which costs a look into a
 * filter for each in a lookup.  Not for more than a compaction may take.  And
 * most lookups are for what is not here, in the memtables neither: a filter
 * costs less than the way down a list that is in no processor's cache.
 */
static void kv_set_lookups(struct kv *kv)
{
	rocksdb_options_t *o = kv->options;
	size_t files = KV_MERGE_FILES_MAX;

	if (kv->step > 0)
		files = kv_clamp(kv->step / kv->write_buffer,
				 KV_MERGE_FILES_MIN, KV_MERGE_FILES_MAX);
	rocksdb_options_set_level0_file_num_compaction_trigger(o, (int)files);
	rocksdb_options_set_memtable_prefix_bloom_size_ratio(o, KV_MEM_BLOOM);
	rocksdb_options_set_memtable_whole_key_filtering(o, 1);
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
	kv_set_level0(kv, KV_SHARDS_LEVEL0, KV_SHARDS_LEVEL0_STOP);
	kv_set_lookups(kv);
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
	rocksdb_options_set_memtable_prefix_bloom_size_ratio(o, KV_MEM_BLOOM);
	rocksdb_options_set_memtable_whole_key_filtering(o, 1);
	rocksdb_options_set_wal_recovery_mode(o,
					      rocksdb_point_in_time_recovery);
	/* Off: each write reaches the kernel before it returns, and so outlives
	 * the process; kv_sync_log() relies on it, too. */
	rocksdb_options_set_manual_wal_flush(o, 0);
	/* Both databases share RocksDB's threads.  While a long compaction of
	 * shards has them, many small files are better than slow CREATEs. */
	kv_set_level0(kv, KV_STATE_LEVEL0, 2 * KV_STATE_LEVEL0);
}

/*
 * A database that is closed does not write out its memory by itself: it would
 * wait for compactions without an end where the disk is full.  kv_open.c asks
 * for it.  The C API has this option as text only.
 */
static void kv_set_close(rocksdb_options_t *o)
{
	char *error = NULL;

	rocksdb_get_options_from_string(o, "avoid_flush_during_shutdown=true",
					o, &error);
	ASSERT(!error);
}

void kv_set_options(struct kv *kv, size_t memory_max, uint64_t disk_max)
{
	rocksdb_block_based_table_options_t *table;

	table = rocksdb_block_based_options_create();
	rocksdb_block_based_options_set_filter_policy(
	    table, rocksdb_filterpolicy_create_bloom_full(KV_BLOOM_BITS));
	kv_set_close(kv->options);
	kv_set_common(kv->options);
	if (kv->kind == KV_SHARDS)
		kv_set_shards(kv, table, memory_max, disk_max);
	else
		kv_set_state(kv, table, memory_max);
	rocksdb_options_set_block_based_table_factory(kv->options, table);
	rocksdb_block_based_options_destroy(table);
}
