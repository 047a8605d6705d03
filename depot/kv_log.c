/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_log: see kv_log.h.
 *
 * Filler is put only behind the file's end, while nobody appends: all that was
 * appended lies before it.  Where it is not, as on a full disk, a sync takes
 * longer, and that is all.
 */
#include "depot/kv_log.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "depot/io.h"

void kv_log_init(struct kv_log *log, const char *dir)
{
	memset(log, 0, sizeof(*log));
	log->dir = dir;
	log->fd = -1;
	pthread_rwlock_init(&log->append, NULL);
	pthread_mutex_init(&log->lock, NULL);
}

void kv_log_fini(struct kv_log *log)
{
	base_close_ptr(&log->fd);
	pthread_mutex_destroy(&log->lock);
	pthread_rwlock_destroy(&log->append);
}

void kv_log_forget(struct kv_log *log)
{
	pthread_mutex_lock(&log->lock);
	base_close_ptr(&log->fd);
	log->fd = -1;
	log->version = log->named = log->end = 0;
	pthread_mutex_unlock(&log->lock);
}

void kv_log_append_begin(struct kv_log *log)
{
	pthread_rwlock_rdlock(&log->append);
}

void kv_log_append_end(struct kv_log *log, size_t len)
{
	atomic_fetch_add_explicit(&log->done, len, memory_order_relaxed);
	pthread_rwlock_unlock(&log->append);
}

/* Number of a log file's name ("000012.log"); 0: another file. */
static uint64_t kv_log_number(const char *name)
{
	unsigned long long number;
	char *end;

	if (name[0] < '0' || name[0] > '9')
		return 0;
	number = strtoull(name, &end, 10);
	return strcmp(end, ".log") == 0 ? number : 0;
}

static int kv_log_open(struct kv_log *log, const char *name, int *fd)
{
	CLEANUP_FREE char *path = NULL;

	if (asprintf(&path, "%s/%s", log->dir, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	return io_open(path, false, fd);
}

/*
 * Sync all logs that are there: whatever was written before is in one of them,
 * or in synced tables when its log is gone.  *only is the log, when there is
 * just one.
 */
static int kv_log_sync_each(struct kv_log *log, DIR *dir, int *only,
			    uint64_t *newest)
{
	CLEANUP_CLOSE int fd = -1;
	struct dirent *entry;
	size_t count = 0;
	uint64_t number;
	int rc;

	while ((errno = 0, entry = readdir(dir))) {
		number = kv_log_number(entry->d_name);
		if (number == 0)
			continue;
		base_close_ptr(&fd);
		fd = -1;
		rc = kv_log_open(log, entry->d_name, &fd);
		if (rc == 0)
			rc = io_sync(fd);
		if (rc < 0 && rc != -ENOENT)
			return rc;
		count++;
		*newest = MAX(*newest, number);
	}
	if (errno)
		return -errno;
	if (count == 1)
		*only = STEAL_FD(fd);
	return 0;
}

static int kv_log_sync_listed(struct kv_log *log)
{
	uint64_t newest = 0;
	DIR *dir;
	int rc;

	base_close_ptr(&log->fd);
	log->fd = -1;
	log->end = 0;
	dir = opendir(log->dir);
	if (!dir)
		return -errno;
	rc = kv_log_sync_each(log, dir, &log->fd, &newest);
	closedir(dir);
	if (rc < 0 || newest <= log->named)
		return rc;
	rc = io_sync_dir(log->dir);
	if (rc < 0)
		return rc;
	log->named = newest;
	return 0;
}

/* Nobody appends: put filler behind the end. */
static void kv_log_fill(struct kv_log *log, uint64_t done)
{
	CLEANUP_FREE uint8_t *filler = malloc(KV_LOG_AHEAD);
	struct stat st;

	if (!filler || fstat(log->fd, &st) < 0)
		return;
	memset(filler, 0xff, KV_LOG_AHEAD);
	/* A log that was not made longer here ends where its records do. */
	if (log->end == 0 || (uint64_t)st.st_size != log->end)
		log->base = done - (uint64_t)st.st_size;
	log->end = (uint64_t)st.st_size;
	if (io_pwrite_all(log->fd, filler, KV_LOG_AHEAD, log->end) == 0)
		log->end += KV_LOG_AHEAD;
}

/* The filler runs out, by what is known of appends: put more. */
static void kv_log_extend(struct kv_log *log)
{
	uint64_t done = atomic_load_explicit(&log->done, memory_order_relaxed);

	if (log->fd < 0 ||
	    (log->end > 0 && done - log->base + KV_LOG_MARGIN < log->end))
		return;
	/* Busy appenders are not kept waiting; there is a next time. */
	if (pthread_rwlock_trywrlock(&log->append) != 0)
		return;
	done = atomic_load_explicit(&log->done, memory_order_relaxed);
	kv_log_fill(log, done);
	pthread_rwlock_unlock(&log->append);
}

/*
 * A new log comes with a new memtable, and that with a new version before
 * anything is written to it.  So while the version is that of before a listing
 * which found one log, there is no other.
 */
int kv_log_sync(struct kv_log *log, uint64_t version)
{
	int rc;

	pthread_mutex_lock(&log->lock);
	if (log->fd >= 0 && version == log->version) {
		kv_log_extend(log);
		rc = io_sync(log->fd);
	} else {
		rc = kv_log_sync_listed(log);
		log->version = version;
	}
	pthread_mutex_unlock(&log->lock);
	return rc;
}
