/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kv_full: databases on a disk that fills up, opened again under threads.
 *
 * The disk is this process's own: write() and the syncs, RocksDB's too, are
 * replaced by ones that meet ENOSPC when told to, for one kind of file.
 */
#include "depot/kv.h"

#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "depot/kv_log.h"
#include "depot/space.h"
#include "tests/lib/check.h"
#include "tests/lib/tmpdir.h"

enum { FULL_MEMORY = 8 << 20, FULL_VALUE = 500 };

/* --- the disk ------------------------------------------------------------ */

enum disk_how {
	DISK_FULL,      /* so many bytes more, then ENOSPC */
	DISK_SYNC_FULL, /* a sync says ENOSPC */
	DISK_NO_MERGE,  /* ENOSPC for compactions, flushes have room */
};

static pthread_mutex_t disk_lock = PTHREAD_MUTEX_INITIALIZER;
static const char *disk_kind; /* disk_lock; NULL: all is well; "": any file */
static enum disk_how disk_how;
static size_t disk_room;
static unsigned int disk_struck;
static bool disk_until_reserve;   /* room comes from giving up the reserve */
static char disk_synced[1 << 16]; /* names of files that were synced */

static void disk_order(const char *kind, enum disk_how how, size_t room)
{
	pthread_mutex_lock(&disk_lock);
	disk_kind = kind;
	disk_how = how;
	disk_room = room;
	disk_struck = 0;
	disk_until_reserve = false;
	disk_synced[0] = '\0';
	pthread_mutex_unlock(&disk_lock);
}

static bool disk_is(int fd, char *name, size_t cap)
{
	char link[32];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, name, cap - 1);
	name[MAX(len, 0)] = '\0';
	return strstr(name, "/state/") || strstr(name, "/shards/");
}

/* disk_lock is held. */
static bool disk_strikes(const char *name)
{
	return disk_kind && strstr(name, disk_kind);
}

/* RocksDB calls its threads for compactions so. */
static bool disk_is_merging(void)
{
	char name[16] = "";

	pthread_getname_np(pthread_self(), name, sizeof(name));
	return strcmp(name, "rocksdb:low") == 0;
}

ssize_t write(int fd, const void *buf, size_t len)
{
	char name[4096];
	size_t take = len;
	bool fails = false;

	if (fd > 2 && disk_is(fd, name, sizeof(name))) {
		pthread_mutex_lock(&disk_lock);
		if (disk_strikes(name) && disk_how == DISK_FULL) {
			take = MIN(len, disk_room);
			disk_room -= take;
			fails = take == 0 && len > 0;
		}
		if (disk_strikes(name) && disk_how == DISK_NO_MERGE)
			fails = disk_is_merging();
		disk_struck += fails;
		pthread_mutex_unlock(&disk_lock);
	}
	if (fails) {
		errno = ENOSPC;
		return -1;
	}
	return syscall(SYS_write, fd, buf, take);
}

static int disk_sync(int fd, long number)
{
	char name[4096];
	bool fails = false;

	if (disk_is(fd, name, sizeof(name))) {
		pthread_mutex_lock(&disk_lock);
		fails = disk_strikes(name) && disk_how == DISK_SYNC_FULL;
		disk_struck += fails;
		if (!fails && strlen(disk_synced) + 300 < sizeof(disk_synced)) {
			strcat(disk_synced, strrchr(name, '/'));
			strcat(disk_synced, ",");
		}
		pthread_mutex_unlock(&disk_lock);
	}
	if (fails) {
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(number, fd);
}

int fdatasync(int fd)
{
	return disk_sync(fd, SYS_fdatasync);
}

int fsync(int fd)
{
	return disk_sync(fd, SYS_fsync);
}

int ftruncate(int fd, off_t len)
{
	char link[32], name[4096];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, name, sizeof(name) - 1);
	name[MAX(n, 0)] = '\0';
	pthread_mutex_lock(&disk_lock);
	if (disk_until_reserve && len == 0 && strstr(name, "/reserve"))
		disk_kind = NULL;
	pthread_mutex_unlock(&disk_lock);
	return (int)syscall(SYS_ftruncate, fd, len);
}

/* --- a database on it ---------------------------------------------------- */

struct full {
	char *dir, *path;    /* own */
	struct space *space; /* owns */
	struct kv *kv;       /* owns */
	uint64_t acked;      /* keys from 0 on that are written */
	atomic_uint failures, recoveries, inexact;
};

static void full_failed(void *ctx)
{
	struct full *f = ctx;

	atomic_fetch_add(&f->failures, 1);
}

static void full_recovered(void *ctx, bool exact)
{
	struct full *f = ctx;

	atomic_fetch_add(&f->recoveries, 1);
	atomic_fetch_add(&f->inexact, !exact);
}

static void full_open(struct full *f, enum kv_kind kind)
{
	int rc = kv_open_on(f->path, kind, FULL_MEMORY, f->space, &f->kv);

	CU_ASSERT_EQUAL_FATAL(rc, 0);
	kv_on_failure(f->kv, full_failed, f);
	kv_on_recover(f->kv, full_recovered, f);
}

static void full_init(struct full *f, enum kv_kind kind)
{
	memset(f, 0, sizeof(*f));
	f->dir = tmpdir_new();
	f->path = tmpdir_path(f->dir, kind == KV_STATE ? "state" : "shards");
	CU_ASSERT_EQUAL_FATAL(space_open(f->dir, &f->space), 0);
	full_open(f, kind);
}

static void full_free(struct full *f)
{
	disk_order(NULL, DISK_FULL, 0);
	kv_close(f->kv);
	space_close(f->space);
	tmpdir_remove(f->dir);
	free(f->path);
}

static int full_put(struct full *f, uint64_t number)
{
	uint8_t key[8], value[FULL_VALUE];

	be64_put(key, number);
	check_fill(value, sizeof(value), number + 1);
	return kv_put(f->kv, key, sizeof(key), value, sizeof(value));
}

static bool full_has(struct kv *kv, uint64_t number)
{
	CLEANUP(kv_value_release) struct kv_value got;
	uint8_t key[8], value[FULL_VALUE];

	be64_put(key, number);
	check_fill(value, sizeof(value), number + 1);
	return kv_get(kv, key, sizeof(key), &got) == 0 &&
	       got.len == sizeof(value) &&
	       memcmp(got.data, value, sizeof(value)) == 0;
}

/* Exactly those that were acknowledged. */
static void full_check(struct full *f)
{
	uint64_t there = 0;

	while (there < f->acked && full_has(f->kv, there))
		there++;
	CU_ASSERT_EQUAL(there, f->acked);
	CU_ASSERT_FALSE(full_has(f->kv, f->acked));
}

static void full_put_many(struct full *f, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++, f->acked++)
		CU_ASSERT_EQUAL_FATAL(full_put(f, f->acked), 0);
}

/* Write until it fails; true: with ENOSPC. */
static bool full_fill(struct full *f)
{
	int rc = 0;

	for (unsigned int i = 0; i < 100000 && rc == 0; i++) {
		rc = full_put(f, f->acked);
		f->acked += rc == 0;
	}
	return rc == -ENOSPC;
}

static void full_check_failed(struct full *f)
{
	CU_ASSERT_EQUAL(kv_error(f->kv), -ENOSPC);
	CU_ASSERT_EQUAL(kv_put(f->kv, "x", 1, "x", 1), -ENOSPC);
	CU_ASSERT_EQUAL(kv_delete(f->kv, "x", 1), -ENOSPC);
	CU_ASSERT_EQUAL(kv_flush(f->kv), -ENOSPC);
	full_check(f);
}

/* This disk's room does not show: it may be some seconds until it is tried. */
static int full_recover(struct full *f)
{
	static const struct timespec pause = {0, 100000000};
	int rc = kv_recover(f->kv);

	for (int i = 0; i < 100 && rc == -ENOSPC; i++) {
		nanosleep(&pause, NULL);
		rc = kv_recover(f->kv);
	}
	return rc;
}

/* --- tests --------------------------------------------------------------- */

static const char *const full_kinds[] = {".log", ".sst", "MANIFEST", ""};

/* Each kind of file meets the wall, at several places; room comes back. */
static void test_full_kinds(void)
{
	static const size_t rooms[] = {0, 100, 40000};

	for (size_t k = 0; k < ARRAY_LEN(full_kinds); k++) {
		struct full f;

		full_init(&f, KV_STATE);
		for (size_t r = 0; r < ARRAY_LEN(rooms); r++) {
			full_put_many(&f, 100);
			disk_order(full_kinds[k], DISK_FULL,
				   k == 2 ? r : rooms[r]);
			check_mute();
			/* A MANIFEST is written at a flush only. */
			CU_ASSERT_TRUE(full_fill(&f) ||
				       kv_flush(f.kv) == -ENOSPC);
			CU_ASSERT_TRUE(disk_struck > 0);
			full_check_failed(&f);
			disk_order(NULL, DISK_FULL, 0);
			CU_ASSERT_EQUAL_FATAL(kv_recover(f.kv), 0);
			check_unmute();
			CU_ASSERT_EQUAL(kv_error(f.kv), 0);
			full_check(&f);
			CU_ASSERT_EQUAL(atomic_load(&f.failures), r + 1);
			CU_ASSERT_EQUAL(atomic_load(&f.recoveries), r + 1);
			full_put_many(&f, 10);
			CU_ASSERT_EQUAL(kv_sync_log(f.kv), 0);
		}
		CU_ASSERT_EQUAL(atomic_load(&f.inexact), 0);
		CU_ASSERT_EQUAL(kv_recover(f.kv), 0); /* nothing to do */
		CU_ASSERT_EQUAL(atomic_load(&f.recoveries), ARRAY_LEN(rooms));
		kv_close(f.kv);
		full_open(&f, KV_STATE);
		full_check(&f);
		full_free(&f);
	}
}

/* No room comes: it can be read all the time, opened from anew, too. */
static void test_full_stays(void)
{
	struct full f;

	full_init(&f, KV_STATE);
	full_put_many(&f, 3000);
	disk_order("", DISK_FULL, 100);
	check_mute();
	CU_ASSERT_TRUE(full_fill(&f));
	for (int i = 0; i < 5; i++) {
		CU_ASSERT_EQUAL(kv_recover(f.kv), -ENOSPC);
		full_check_failed(&f);
	}
	kv_close(f.kv);
	full_open(&f, KV_STATE);
	full_check_failed(&f);
	CU_ASSERT_EQUAL(kv_recover(f.kv), -ENOSPC);
	full_check_failed(&f);
	disk_order(NULL, DISK_FULL, 0);
	CU_ASSERT_EQUAL_FATAL(full_recover(&f), 0);
	check_unmute();
	full_check(&f);
	full_put_many(&f, 10);
	CU_ASSERT_EQUAL(atomic_load(&f.inexact), 0);
	full_free(&f);
}

/* The reserve is what the recovery lives on, and an opening. */
static void test_full_reserve(void)
{
	struct space_stats stats;
	struct full f;

	for (int open = 0; open < 2; open++) {
		full_init(&f, KV_STATE);
		space_get_stats(f.space, &stats);
		CU_ASSERT_TRUE(stats.whole);
		full_put_many(&f, 1000);
		if (open)
			kv_close(f.kv);
		disk_order("", DISK_FULL, 100);
		disk_until_reserve = true;
		check_mute();
		if (open) {
			full_open(&f, KV_STATE);
		} else {
			CU_ASSERT_TRUE(full_fill(&f));
			CU_ASSERT_EQUAL_FATAL(kv_recover(f.kv), 0);
		}
		check_unmute();
		CU_ASSERT_EQUAL(kv_error(f.kv), 0);
		full_check(&f);
		full_put_many(&f, 10);
		space_get_stats(f.space, &stats);
		CU_ASSERT_EQUAL(stats.given_up, 1);
		full_free(&f);
	}
}

static void full_each_file(const char *dir, const char *end,
			   void (*fn)(const char *dir, const char *name))
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	while ((entry = readdir(d))) {
		size_t len = strlen(entry->d_name), end_len = strlen(end);

		if (len > end_len &&
		    strcmp(entry->d_name + len - end_len, end) == 0)
			fn(dir, entry->d_name);
	}
	closedir(d);
}

static void full_check_synced(const char *dir, const char *name)
{
	char item[300];

	(void)dir;
	snprintf(item, sizeof(item), "/%s,", name);
	CU_ASSERT_PTR_NOT_NULL(strstr(disk_synced, item));
}

static void full_remove_file(const char *dir, const char *name)
{
	CLEANUP_FREE char *path = tmpdir_path(dir, name);

	CU_ASSERT_EQUAL(unlink(path), 0);
}

/*
 * A sync of the log fails.  After the recovery all that was written is in
 * tables that are synced: it is there without any log.
 */
static void test_full_sync(void)
{
	struct full f;

	full_init(&f, KV_STATE);
	full_put_many(&f, 500);
	CU_ASSERT_EQUAL(kv_sync_log(f.kv), 0);
	full_put_many(&f, 500);
	disk_order(".log", DISK_SYNC_FULL, 0);
	check_mute();
	CU_ASSERT_EQUAL(kv_sync_log(f.kv), -ENOSPC);
	full_check_failed(&f);
	disk_order(NULL, DISK_FULL, 0);
	CU_ASSERT_EQUAL(kv_sync_log(f.kv), -ENOSPC);
	CU_ASSERT_EQUAL_FATAL(kv_recover(f.kv), 0);
	check_unmute();
	full_each_file(f.path, ".sst", full_check_synced);
	CU_ASSERT_PTR_NOT_NULL(strstr(disk_synced, "/MANIFEST"));
	CU_ASSERT_PTR_NOT_NULL(strstr(disk_synced, ".sst,"));
	full_each_file(f.path, ".log", full_remove_file);
	kv_close(f.kv);
	full_open(&f, KV_STATE);
	CU_ASSERT_EQUAL(f.acked, 1000);
	full_check(&f);
	full_free(&f);
}

static off_t full_log_size;

static void full_stat_log(const char *dir, const char *name)
{
	char path[600];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (stat(path, &st) == 0)
		full_log_size = MAX(full_log_size, st.st_size);
}

/* The logs of a database that was opened again are kept ahead like the first's
 * (kv_log.h): by steps, not by every sync. */
static void test_full_log_ahead(void)
{
	unsigned int longer = 0;
	off_t size = 0;
	struct full f;

	full_init(&f, KV_STATE);
	full_put_many(&f, 4000);
	CU_ASSERT_EQUAL(kv_sync_log(f.kv), 0);
	CU_ASSERT_EQUAL(kv_sync_log(f.kv), 0);
	disk_order(".log", DISK_SYNC_FULL, 0);
	check_mute();
	CU_ASSERT_EQUAL(kv_sync_log(f.kv), -ENOSPC);
	disk_order(NULL, DISK_FULL, 0);
	CU_ASSERT_EQUAL_FATAL(kv_recover(f.kv), 0);
	check_unmute();
	for (int i = 0; i < 200; i++) {
		/* The log is new, and empty at first. */
		if (i > 2)
			full_put_many(&f, 1);
		CU_ASSERT_EQUAL(kv_sync_log(f.kv), 0);
		full_log_size = 0;
		full_each_file(f.path, ".log", full_stat_log);
		longer += full_log_size > size;
		size = full_log_size;
	}
	CU_ASSERT_TRUE(longer >= 1 && longer <= 3);
	CU_ASSERT_TRUE(size >= 197 * FULL_VALUE + KV_LOG_MARGIN);
	full_check(&f);
	kv_close(f.kv);
	full_open(&f, KV_STATE);
	full_check(&f);
	full_free(&f);
}

static bool full_put_lies;

/* As of rocksdb/c.h: a put that fails, and is there all the same. */
void rocksdb_put(void *db, const void *options, const char *key, size_t key_len,
		 const char *value, size_t value_len, char **error);
void rocksdb_put(void *db, const void *options, const char *key, size_t key_len,
		 const char *value, size_t value_len, char **error)
{
	void (*real)(void *, const void *, const char *, size_t, const char *,
		     size_t, char **);
	void *symbol = dlsym(RTLD_NEXT, "rocksdb_put");

	memcpy(&real, &symbol, sizeof(real));
	real(db, options, key, key_len, value, value_len, error);
	if (full_put_lies && !*error)
		*error = strdup("IO error: No space left on device");
}

/* Told, not lost.  (RocksDB cuts its log, when it is closed, to what it knows
 * to be good: it takes more than a full disk to get here.) */
static void test_full_inexact(void)
{
	struct full f;

	full_init(&f, KV_STATE);
	full_put_many(&f, 100);
	check_mute();
	full_put_lies = true;
	CU_ASSERT_EQUAL(full_put(&f, f.acked), -ENOSPC);
	full_put_lies = false;
	CU_ASSERT_EQUAL(kv_error(f.kv), -ENOSPC);
	CU_ASSERT_EQUAL_FATAL(kv_recover(f.kv), 0);
	check_unmute();
	CU_ASSERT_EQUAL(atomic_load(&f.inexact), 1);
	f.acked++; /* it is there, whole */
	full_check(&f);
	full_put_many(&f, 10);
	full_free(&f);
}

static void full_cut_file(const char *dir, const char *name)
{
	CLEANUP_FREE char *path = tmpdir_path(dir, name);

	CU_ASSERT_EQUAL(truncate(path, 3000), 0);
}

/* What was written is gone: never well again, and said. */
static void test_full_lost(void)
{
	struct full f;

	full_init(&f, KV_STATE);
	full_put_many(&f, 100);
	disk_order(".log", DISK_SYNC_FULL, 0);
	check_mute();
	CU_ASSERT_EQUAL(kv_sync_log(f.kv), -ENOSPC);
	disk_order(NULL, DISK_FULL, 0);
	full_each_file(f.path, ".log", full_cut_file);
	CU_ASSERT_EQUAL(kv_recover(f.kv), -EIO);
	CU_ASSERT_EQUAL(kv_recover(f.kv), -EIO);
	CU_ASSERT_EQUAL(kv_error(f.kv), -EIO);
	CU_ASSERT_EQUAL(kv_put(f.kv, "x", 1, "x", 1), -EIO);
	check_unmute();
	CU_ASSERT_EQUAL(atomic_load(&f.recoveries), 0);
	full_free(&f);
}

/* Shards have no log: what was flushed is there, and it goes on. */
static void test_full_shards(void)
{
	struct full f;

	full_init(&f, KV_SHARDS);
	for (int i = 0; i < 3; i++) {
		uint64_t flushed;

		full_put_many(&f, 200);
		CU_ASSERT_EQUAL(kv_flush(f.kv), 0);
		flushed = f.acked;
		full_put_many(&f, 200);
		disk_order(".sst", DISK_FULL, 1000);
		check_mute();
		CU_ASSERT_EQUAL(kv_flush(f.kv), -ENOSPC);
		full_check_failed(&f);
		CU_ASSERT_EQUAL(kv_recover(f.kv), 0);
		disk_order(NULL, DISK_FULL, 0);
		check_unmute();
		f.acked = flushed;
		full_check(&f);
		full_put_many(&f, 10);
		CU_ASSERT_EQUAL(kv_flush(f.kv), 0);
	}
	full_free(&f);
}

/* Tables of which each has the last one's keys: none can just be moved. */
static int full_table(struct full *f)
{
	f->acked = 0;
	full_put_many(f, 20);
	return kv_flush(f->kv);
}

/* Many tables, and compactions find no room: a flush says so, and the database
 * can be closed.  It waited for ever, and the daemon with it. */
static void test_full_unmerged(void)
{
	static const enum kv_kind kinds[] = {KV_SHARDS, KV_STATE};

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct full f;
		int rc = 0;

		full_init(&f, kinds[k]);
		disk_order(".sst", DISK_NO_MERGE, 0);
		check_mute();
		alarm(60);
		for (int i = 0; i < 200 && rc == 0; i++)
			rc = full_table(&f);
		CU_ASSERT_EQUAL(rc, -ENOSPC);
		CU_ASSERT_TRUE(disk_struck > 0);
		full_check_failed(&f);
		disk_order(NULL, DISK_FULL, 0);
		CU_ASSERT_EQUAL(full_recover(&f), 0);
		if (kinds[k] == KV_STATE)
			full_check(&f);
		CU_ASSERT_EQUAL(full_table(&f), 0);
		full_check(&f);
		disk_order(".sst", DISK_NO_MERGE, 0);
		for (rc = 0; rc == 0;)
			rc = full_table(&f);
		kv_close(f.kv); /* failed, and the disk still full */
		f.kv = NULL;
		alarm(0);
		check_unmute();
		full_free(&f);
	}
}

/* --- under threads ------------------------------------------------------- */

static atomic_bool full_stop;
static atomic_ullong full_reads, full_scans;

struct full_writer {
	struct full *f;
	uint64_t first, acked; /* keys first, first + 1, ... */
	uint64_t failed;
};

static void *full_writer_main(void *arg)
{
	struct full_writer *w = arg;

	while (!atomic_load(&full_stop)) {
		struct timespec pause = {0, 200000};

		if (full_put(w->f, w->first + w->acked) == 0) {
			w->acked++;
		} else {
			w->failed++;
			nanosleep(&pause, NULL);
		}
	}
	return NULL;
}

/* Values held over other calls; what was there stays. */
static void *full_reader_main(void *arg)
{
	struct full *f = arg;
	uintptr_t wrong = 0;
	uint8_t key[8];

	for (uint64_t i = 0; !atomic_load(&full_stop); i++) {
		struct kv_value value;

		be64_put(key, i % 100);
		wrong += kv_get(f->kv, key, sizeof(key), &value) != 0;
		wrong += !full_has(f->kv, (i + 1) % 100);
		wrong += value.len != FULL_VALUE;
		kv_value_release(&value);
		atomic_fetch_add(&full_reads, 1);
	}
	return (void *)wrong;
}

static void *full_scanner_main(void *arg)
{
	struct full *f = arg;
	uintptr_t wrong = 0;

	while (!atomic_load(&full_stop)) {
		uint8_t zeros[7] = {0};
		struct kv_iter *it = kv_iter_new(f->kv, zeros, 7, NULL, 0);
		unsigned int seen = 0;

		for (; it && kv_iter_valid(it); kv_iter_next(it), seen++)
			/* Another way in while the iterator is there. */
			wrong += seen < 100 && !full_has(f->kv, seen);
		wrong += !it || kv_iter_error(it) != 0 || seen < 100;
		kv_iter_free(it);
		atomic_fetch_add(&full_scans, 1);
	}
	return (void *)wrong;
}

static void full_turns(struct full *f, unsigned int turns)
{
	static const struct timespec pause = {0, 5000000};
	uint64_t slowest = 0;

	for (unsigned int i = 0; i < turns; i++) {
		uint64_t begin;

		nanosleep(&pause, NULL);
		disk_order(full_kinds[i % 2 ? 0 : 3], DISK_FULL, i * 997);
		while (kv_error(f->kv) == 0)
			nanosleep(&pause, NULL);
		if (i == 4)
			CU_ASSERT_EQUAL(kv_recover(f->kv), i % 2 ? 0 : -ENOSPC);
		disk_order(NULL, DISK_FULL, 0);
		begin = check_now_ns();
		CU_ASSERT_EQUAL_FATAL(full_recover(f), 0);
		slowest = MAX(slowest, check_now_ns() - begin);
	}
	printf("slowest of %u recoveries: %llu ms\n", turns,
	       (unsigned long long)slowest / 1000000);
}

static void test_full_threads(void)
{
	struct full_writer writers[3] = {{0}};
	pthread_t threads[6];
	struct full f;
	void *wrong;

	full_init(&f, KV_STATE);
	full_put_many(&f, 100);
	atomic_store(&full_stop, false);
	check_mute();
	for (size_t i = 0; i < 3; i++) {
		writers[i] =
		    (struct full_writer){.f = &f, .first = (i + 1) << 32};
		pthread_create(&threads[i], NULL, full_writer_main,
			       &writers[i]);
	}
	pthread_create(&threads[3], NULL, full_reader_main, &f);
	pthread_create(&threads[4], NULL, full_reader_main, &f);
	pthread_create(&threads[5], NULL, full_scanner_main, &f);
	full_turns(&f, 12);
	atomic_store(&full_stop, true);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		pthread_join(threads[i], &wrong);
		CU_ASSERT_PTR_NULL(wrong);
	}
	check_unmute();
	CU_ASSERT_EQUAL(atomic_load(&f.inexact), 0);
	CU_ASSERT_TRUE(atomic_load(&full_reads) > 100);
	CU_ASSERT_TRUE(atomic_load(&full_scans) > 10);
	for (int again = 0; again < 2; again++) {
		for (size_t i = 0; i < 3; i++) {
			struct full_writer *w = &writers[i];
			uint64_t n = 0;

			while (n < w->acked && full_has(f.kv, w->first + n))
				n++;
			CU_ASSERT_EQUAL(n, w->acked);
			CU_ASSERT_FALSE(full_has(f.kv, w->first + n));
			CU_ASSERT_TRUE(w->acked > 0 && w->failed > 0);
		}
		kv_close(f.kv);
		full_open(&f, KV_STATE);
	}
	full_free(&f);
}

static const struct check_test tests[] = {
    {"each kind of file", test_full_kinds},
    {"stays full", test_full_stays},
    {"reserve", test_full_reserve},
    {"sync", test_full_sync},
    {"log kept ahead again", test_full_log_ahead},
    {"failed, and there", test_full_inexact},
    {"lost", test_full_lost},
    {"shards", test_full_shards},
    {"tables that nobody merges", test_full_unmerged},
    {"threads", test_full_threads},
};

int main(void)
{
	return check_main("test_kv_full", tests, ARRAY_LEN(tests));
}
