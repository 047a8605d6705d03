/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_flush: memtables to tables, in bounded time also where the disk is full.
 */
#include <time.h>

#include "depot/kv_inside.h"
#include "depot/log.h"

enum {
	KV_FLUSH_SPARE = 4,      /* files that others may add meanwhile */
	KV_FLUSH_LOOK_MS = 10,   /* how often level 0 is looked at */
	KV_FLUSH_IDLE_MS = 3000, /* no compaction for so long: none will come */
};

uint64_t kv_property(struct kv *kv, const char *name)
{
	uint64_t value;

	if (!kv->db)
		return 0;
	return rocksdb_property_int(kv->db, name, &value) == 0 ? value : 0;
}

/* Files of level 0.  RocksDB has no integer for it. */
static int kv_level0(struct kv *kv)
{
	char *text =
	    rocksdb_property_value(kv->db, "rocksdb.num-files-at-level0");
	int count = text ? atoi(text) : 0;

	rocksdb_free(text);
	return count;
}

/* A flush would make writes wait.  The rate is 0 but when they are. */
static bool kv_is_stalled(struct kv *kv)
{
	return kv_level0(kv) + KV_FLUSH_SPARE >= kv->level0_max ||
	       kv_property(kv, "rocksdb.actual-delayed-write-rate") > 0;
}

/*
 * RocksDB's own flush waits until compactions have made room in level 0, and
 * on a full disk it waits for ever: what a compaction lacks is a "soft error",
 * tried again each second (WaitUntilFlushWouldNotStallWrites in 7.8; the C API
 * has no allow_write_stall).  So it is called when it need not wait.
 */
static int kv_wait_for_compactions(struct kv *kv)
{
	static const struct timespec pause = {0, KV_FLUSH_LOOK_MS * 1000000L};
	uint64_t errors = kv_property(kv, "rocksdb.background-errors");
	int idle_ms = 0;

	while (kv_is_stalled(kv)) {
		if (kv_property(kv, "rocksdb.background-errors") != errors ||
		    idle_ms >= KV_FLUSH_IDLE_MS)
			return log_err(-ENOSPC,
				       "database %s: flush: level 0 is full, "
				       "and compactions fail",
				       kv->path);
		nanosleep(&pause, NULL);
		if (kv_property(kv, "rocksdb.num-running-compactions") > 0)
			idle_ms = 0;
		else
			idle_ms += KV_FLUSH_LOOK_MS;
	}
	return 0;
}

static bool kv_has_memory(struct kv *kv)
{
	return kv_property(kv, "rocksdb.num-entries-active-mem-table") > 0 ||
	       kv_property(kv, "rocksdb.num-entries-imm-mem-tables") > 0;
}

int kv_flush_memory(struct kv *kv)
{
	char *error = NULL;
	int rc;

	if (!kv_has_memory(kv))
		return 0;
	rc = kv_wait_for_compactions(kv);
	if (rc < 0)
		return rc;
	rocksdb_flush(kv->db, kv->flush, &error);
	return kv_result(kv->path, "flush", error);
}
