/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kv: reads, batches, ranges and iterators of both kinds; what outlives
 * the process and what refuses to open.
 */
#include "depot/kv.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "depot/kv_log.h"
#include "depot/log.h"
#include "tests/lib/check.h"
#include "tests/lib/tmpdir.h"

enum { TEST_KV_MEMORY = 8 << 20 };

static const enum kv_kind test_kv_kinds[] = {KV_SHARDS, KV_STATE};

/* What fdatasync() was asked to sync lately: names of logs. */
static pthread_mutex_t test_kv_synced_lock = PTHREAD_MUTEX_INITIALIZER;
static char test_kv_synced[4096];
static bool test_kv_sync_fails;

int fdatasync(int fd)
{
	char link[32], name[256];
	bool fails, is_log;
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, name, sizeof(name) - 1);
	name[MAX(len, 0)] = '\0';
	is_log = len > 4 && strcmp(name + len - 4, ".log") == 0;
	pthread_mutex_lock(&test_kv_synced_lock);
	len = (ssize_t)strlen(test_kv_synced);
	if (is_log)
		snprintf(test_kv_synced + len,
			 sizeof(test_kv_synced) - (size_t)len, " %s",
			 strrchr(name, '/') + 1);
	fails = is_log && test_kv_sync_fails;
	pthread_mutex_unlock(&test_kv_synced_lock);
	if (fails) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

static void test_kv_watch_syncs(bool fail)
{
	pthread_mutex_lock(&test_kv_synced_lock);
	test_kv_synced[0] = '\0';
	test_kv_sync_fails = fail;
	pthread_mutex_unlock(&test_kv_synced_lock);
}

static struct kv *test_kv_open(const char *dir, enum kv_kind kind)
{
	struct kv *kv = NULL;

	CU_ASSERT_EQUAL_FATAL(kv_open(dir, kind, TEST_KV_MEMORY, &kv), 0);
	return kv;
}

static bool test_kv_holds(struct kv *kv, const char *key, const char *want)
{
	CLEANUP(kv_value_release) struct kv_value value;
	int rc = kv_get(kv, key, strlen(key), &value);

	if (!want)
		return rc == -ENOENT && !value.pin;
	return rc == 0 && value.len == strlen(want) &&
	       memcmp(value.data, want, value.len) == 0;
}

static void test_kv_set(struct kv *kv, const char *key, const char *value)
{
	CU_ASSERT_EQUAL(kv_put(kv, key, strlen(key), value, strlen(value)), 0);
}

/*
 * A process of its own for `what` (see test_kv_child_main), started anew: a
 * forked one would have RocksDB's state without its threads.
 */
static pid_t test_kv_spawn(const char *what, const char *dir, int out_fd)
{
	char fd_text[16];
	pid_t pid;

	snprintf(fd_text, sizeof(fd_text), "%d", out_fd);
	pid = fork();
	if (pid == 0) {
		execl("/proc/self/exe", "test_kv", what, dir, fd_text,
		      (char *)NULL);
		_exit(127);
	}
	CU_ASSERT_FATAL(pid > 0);
	return pid;
}

static void test_kv_put_get(void)
{
	static uint8_t big[300 << 10];

	check_fill(big, sizeof(big), 1);
	for (size_t i = 0; i < ARRAY_LEN(test_kv_kinds); i++) {
		CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
		CLEANUP(kv_value_release) struct kv_value value = {0};
		struct kv *kv = test_kv_open(dir, test_kv_kinds[i]);

		CU_ASSERT_TRUE(test_kv_holds(kv, "a", NULL));
		test_kv_set(kv, "a", "1");
		test_kv_set(kv, "a", "2");
		test_kv_set(kv, "empty", "");
		CU_ASSERT_EQUAL(kv_put(kv, "\0x", 2, big, sizeof(big)), 0);
		/* From the memtable, then from a table, then after a start. */
		for (int round = 0; round < 3; round++) {
			CU_ASSERT_TRUE(test_kv_holds(kv, "a", "2"));
			CU_ASSERT_TRUE(test_kv_holds(kv, "empty", ""));
			CU_ASSERT_TRUE(test_kv_holds(kv, "aa", NULL));
			CU_ASSERT_EQUAL(kv_get(kv, "\0x", 2, &value), 0);
			CU_ASSERT_EQUAL(value.len, sizeof(big));
			CU_ASSERT_EQUAL(memcmp(value.data, big, value.len), 0);
			kv_value_release(&value);
			CU_ASSERT_EQUAL(kv_flush(kv), 0);
			if (round == 1) {
				kv_close(kv);
				kv = test_kv_open(dir, test_kv_kinds[i]);
			}
		}
		CU_ASSERT_EQUAL(kv_delete(kv, "a", 1), 0);
		CU_ASSERT_EQUAL(kv_delete(kv, "never", 5), 0);
		CU_ASSERT_TRUE(test_kv_holds(kv, "a", NULL));
		kv_close(kv);
	}
	kv_close(NULL);
}

/* A pinned value stays what it was, whatever happens to its key. */
static void test_kv_pin(void)
{
	for (size_t i = 0; i < ARRAY_LEN(test_kv_kinds); i++) {
		CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
		struct kv *kv = test_kv_open(dir, test_kv_kinds[i]);
		struct kv_value value;

		test_kv_set(kv, "key", "before");
		CU_ASSERT_EQUAL(kv_flush(kv), 0);
		CU_ASSERT_EQUAL_FATAL(kv_get(kv, "key", 3, &value), 0);
		test_kv_set(kv, "key", "after!");
		CU_ASSERT_EQUAL(kv_delete(kv, "key", 3), 0);
		CU_ASSERT_EQUAL(kv_flush(kv), 0);
		CU_ASSERT_EQUAL(memcmp(value.data, "before", 6), 0);
		kv_value_release(&value);
		kv_value_release(&value);
		kv_close(kv);
	}
}

static void test_kv_batch(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kv *kv = test_kv_open(dir, KV_STATE);
	struct kv_batch *batch = kv_batch_new();

	test_kv_set(kv, "old", "x");
	CU_ASSERT_EQUAL(kv_batch_count(batch), 0);
	kv_batch_put(batch, "a", 1, "1", 1);
	kv_batch_put(batch, "b", 1, "2", 1);
	kv_batch_put(batch, "a", 1, "3", 1);
	kv_batch_delete(batch, "old", 3);
	CU_ASSERT_EQUAL(kv_batch_count(batch), 4);
	CU_ASSERT_TRUE(test_kv_holds(kv, "a", NULL));
	CU_ASSERT_EQUAL(kv_write(kv, batch), 0);
	CU_ASSERT_TRUE(test_kv_holds(kv, "a", "3"));
	CU_ASSERT_TRUE(test_kv_holds(kv, "b", "2"));
	CU_ASSERT_TRUE(test_kv_holds(kv, "old", NULL));

	kv_batch_clear(batch);
	CU_ASSERT_EQUAL(kv_batch_count(batch), 0);
	CU_ASSERT_EQUAL(kv_write(kv, batch), 0);
	kv_batch_put(batch, "c", 1, "4", 1);
	CU_ASSERT_EQUAL(kv_write(kv, batch), 0);
	CU_ASSERT_TRUE(test_kv_holds(kv, "a", "3"));
	CU_ASSERT_TRUE(test_kv_holds(kv, "c", "4"));
	kv_batch_free(batch);
	kv_batch_free(NULL);
	kv_close(kv);
}

static void test_kv_delete_range(void)
{
	for (size_t i = 0; i < ARRAY_LEN(test_kv_kinds); i++) {
		CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
		struct kv *kv = test_kv_open(dir, test_kv_kinds[i]);
		struct kv_batch *batch = kv_batch_new();

		for (char c = 'a'; c <= 'f'; c++)
			CU_ASSERT_EQUAL(kv_put(kv, &c, 1, "x", 1), 0);
		kv_batch_delete_range(batch, "b", 1, "e", 1);
		kv_batch_put(batch, "c", 1, "again", 5);
		CU_ASSERT_EQUAL(kv_write(kv, batch), 0);
		kv_batch_free(batch);
		for (int round = 0; round < 2; round++) {
			CU_ASSERT_TRUE(test_kv_holds(kv, "a", "x"));
			CU_ASSERT_TRUE(test_kv_holds(kv, "b", NULL));
			CU_ASSERT_TRUE(test_kv_holds(kv, "c", "again"));
			CU_ASSERT_TRUE(test_kv_holds(kv, "d", NULL));
			CU_ASSERT_TRUE(test_kv_holds(kv, "e", "x"));
			CU_ASSERT_EQUAL(kv_flush(kv), 0);
		}
		kv_close(kv);
	}
}

/* Keys seen, joined with spaces. */
static void test_kv_list(struct kv *kv, const char *prefix, const char *from,
			 const char *want)
{
	char got[200] = "";
	struct kv_iter *it;
	const uint8_t *key, *value;
	size_t len, value_len;

	it = kv_iter_new(kv, prefix, strlen(prefix), from,
			 from ? strlen(from) : 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(it);
	for (; kv_iter_valid(it); kv_iter_next(it)) {
		key = kv_iter_key(it, &len);
		value = kv_iter_value(it, &value_len);
		CU_ASSERT_EQUAL(len, value_len);
		CU_ASSERT_EQUAL(memcmp(key, value, len), 0);
		snprintf(got + strlen(got), sizeof(got) - strlen(got), " %.*s",
			 (int)len, (const char *)key);
	}
	CU_ASSERT_EQUAL(kv_iter_error(it), 0);
	CU_ASSERT_STRING_EQUAL(got, want);
	kv_iter_free(it);
}

static void test_kv_iterate(void)
{
	static const char *const keys[] = {
	    "a", "b",    "b1",       "b2",        "b22",
	    "c", "\xff", "\xff\xff", "\xff\xff!", "b\xff\xff"};

	for (size_t k = 0; k < ARRAY_LEN(test_kv_kinds); k++) {
		CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
		struct kv *kv = test_kv_open(dir, test_kv_kinds[k]);

		for (size_t i = 0; i < ARRAY_LEN(keys); i++)
			test_kv_set(kv, keys[i], keys[i]);
		for (int round = 0; round < 2; round++) {
			test_kv_list(kv, "b", NULL, " b b1 b2 b22 b\xff\xff");
			test_kv_list(kv, "b", "b2", " b2 b22 b\xff\xff");
			test_kv_list(kv, "b", "b11", " b2 b22 b\xff\xff");
			/* From before and from behind the prefix. */
			test_kv_list(kv, "b2", "a", " b2 b22");
			test_kv_list(kv, "b2", "", " b2 b22");
			test_kv_list(kv, "b", "c", "");
			test_kv_list(kv, "b\xff", NULL, " b\xff\xff");
			test_kv_list(kv, "\xff\xff", NULL,
				     " \xff\xff \xff\xff!");
			test_kv_list(kv, "x", NULL, "");
			test_kv_list(kv, "", "c", " c \xff \xff\xff \xff\xff!");
			CU_ASSERT_EQUAL(kv_flush(kv), 0);
		}
		kv_close(kv);
	}
}

static void test_kv_iterate_snapshot(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kv *kv = test_kv_open(dir, KV_STATE);
	struct kv_iter *it;
	size_t count = 0;

	test_kv_set(kv, "k1", "");
	test_kv_set(kv, "k2", "");
	it = kv_iter_new(kv, "k", 1, NULL, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(it);
	test_kv_set(kv, "k3", "");
	CU_ASSERT_EQUAL(kv_delete(kv, "k2", 2), 0);
	CU_ASSERT_EQUAL(kv_flush(kv), 0);
	for (; kv_iter_valid(it); kv_iter_next(it))
		count++;
	CU_ASSERT_EQUAL(count, 2);
	kv_iter_free(it);
	kv_iter_free(NULL);
	kv_close(kv);
}

static int test_kv_child_hold(const char *dir)
{
	struct kv *kv = NULL;

	if (kv_open(dir, KV_STATE, TEST_KV_MEMORY, &kv) < 0)
		return 1;
	return raise(SIGSTOP);
}

static void test_kv_busy(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kv *kv = test_kv_open(dir, KV_STATE), *second = NULL;
	int status;
	pid_t pid;

	check_mute();
	CU_ASSERT_EQUAL(kv_open(dir, KV_STATE, TEST_KV_MEMORY, &second),
			-EBUSY);
	CU_ASSERT_PTR_NULL(second);
	CU_ASSERT_PTR_NOT_NULL(strstr(log_last_error(), dir));
	/* RocksDB's lock is by process: from another it reads otherwise. */
	kv_close(kv);
	pid = test_kv_spawn("hold", dir, -1);
	CU_ASSERT_EQUAL(waitpid(pid, &status, WUNTRACED), pid);
	CU_ASSERT_EQUAL_FATAL(WIFSTOPPED(status), 1);
	CU_ASSERT_EQUAL(kv_open(dir, KV_STATE, TEST_KV_MEMORY, &second),
			-EBUSY);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	check_unmute();
	kv = test_kv_open(dir, KV_STATE);
	kv_close(kv);
}

static void test_kv_open_errors(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *current = tmpdir_path(dir, "CURRENT");
	struct kv *kv = NULL;
	int fd;

	check_mute();
	CU_ASSERT_EQUAL(kv_open("/dev/null/x", KV_STATE, TEST_KV_MEMORY, &kv),
			-EIO);
	kv = test_kv_open(dir, KV_STATE);
	kv_close(kv);
	kv = NULL;
	fd = open(current, O_WRONLY | O_TRUNC | O_CLOEXEC);
	CU_ASSERT_EQUAL(write(fd, "nonsense", 8), 8);
	close(fd);
	CU_ASSERT_EQUAL(kv_open(dir, KV_STATE, TEST_KV_MEMORY, &kv), -EBADMSG);
	CU_ASSERT_PTR_NULL(kv);
	CU_ASSERT_PTR_NOT_NULL(strstr(log_last_error(), "Corruption"));
	check_unmute();
}

static bool test_kv_has_end(const char *name, const char *end)
{
	size_t len = strlen(name), end_len = strlen(end);

	return len > end_len && strcmp(name + len - end_len, end) == 0;
}

/* Path of the longest file with that ending; owned by the caller. */
static char *test_kv_file(const char *dir, const char *end)
{
	CLEANUP_FREE char *path = NULL;
	DIR *d = opendir(dir);
	struct dirent *entry;
	char *best = NULL;
	off_t best_len = -1;
	struct stat st;

	while ((entry = readdir(d))) {
		if (!test_kv_has_end(entry->d_name, end))
			continue;
		free(path);
		path = tmpdir_path(dir, entry->d_name);
		if (stat(path, &st) == 0 && st.st_size > best_len) {
			free(best);
			best = STEAL(path);
			best_len = st.st_size;
		}
	}
	closedir(d);
	return best;
}

static char *test_kv_manifest(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	char *path = NULL;

	while ((entry = readdir(d)))
		if (!path && strncmp(entry->d_name, "MANIFEST", 8) == 0)
			ASSERT(asprintf(&path, "%s/%s", dir, entry->d_name) >
			       0);
	closedir(d);
	return path;
}

static void test_kv_damage_at(const char *path, off_t off, size_t len)
{
	CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t bytes[64];

	memset(bytes, 0x55, sizeof(bytes));
	ASSERT(len <= sizeof(bytes));
	CU_ASSERT_EQUAL(pwrite(fd, bytes, len, off), (ssize_t)len);
}

/* Bit rot in a table is an error of the read, not a wrong value. */
static void test_kv_damaged_table(void)
{
	for (size_t i = 0; i < ARRAY_LEN(test_kv_kinds); i++) {
		CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
		CLEANUP_FREE char *table = NULL;
		static uint8_t big[100000];
		struct kv_value value;
		struct kv *kv;

		check_fill(big, sizeof(big), 1);
		kv = test_kv_open(dir, test_kv_kinds[i]);
		CU_ASSERT_EQUAL(kv_put(kv, "k", 1, big, sizeof(big)), 0);
		CU_ASSERT_EQUAL(kv_flush(kv), 0);
		kv_close(kv);
		table = test_kv_file(dir, ".sst");
		CU_ASSERT_PTR_NOT_NULL_FATAL(table);
		test_kv_damage_at(table, 50000, 10);
		kv = test_kv_open(dir, test_kv_kinds[i]);
		check_mute();
		CU_ASSERT_EQUAL(kv_get(kv, "k", 1, &value), -EBADMSG);
		kv_value_release(&value);
		check_unmute();
		kv_close(kv);
	}
}

enum { TEST_KV_TABLES = 3, TEST_KV_PER_TABLE = 50 };

/* Tables of different sizes: the largest is the last. */
static void test_kv_fill_tables(const char *dir)
{
	struct kv *kv = test_kv_open(dir, KV_SHARDS);
	static uint8_t value[4000];
	uint8_t key[2];

	for (uint8_t t = 0; t < TEST_KV_TABLES; t++) {
		for (uint8_t i = 0; i < TEST_KV_PER_TABLE; i++) {
			key[0] = t;
			key[1] = i;
			check_fill(value, sizeof(value), t * 256u + i + 1u);
			CU_ASSERT_EQUAL(
			    kv_put(kv, key, 2, value, 1000u * (t + 1u)), 0);
		}
		CU_ASSERT_EQUAL(kv_flush(kv), 0);
	}
	kv_close(kv);
}

/* How many keys of a table are there, with the bytes that were put. */
static unsigned int test_kv_right(struct kv *kv, uint8_t t)
{
	static uint8_t want[4000];
	unsigned int right = 0;
	struct kv_value value;
	uint8_t key[2] = {t};

	for (uint8_t i = 0; i < TEST_KV_PER_TABLE; i++) {
		key[1] = i;
		check_fill(want, sizeof(want), t * 256u + i + 1u);
		if (kv_get(kv, key, 2, &value) < 0)
			continue;
		CU_ASSERT_EQUAL_FATAL(value.len, 1000u * (t + 1u));
		CU_ASSERT_EQUAL(memcmp(value.data, want, value.len), 0);
		right++;
		kv_value_release(&value);
	}
	return right;
}

/*
 * A shards database that cannot be opened for one damaged table kept a whole
 * daemon from starting, though all of it could have been fetched again.
 */
static void test_kv_shards_saved(void)
{
	struct stat st;
	struct kv *kv;

	for (int i = 0; i < 3; i++) {
		CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
		CLEANUP_FREE char *file = NULL;

		test_kv_fill_tables(dir);
		file =
		    i < 2 ? test_kv_file(dir, ".sst") : test_kv_manifest(dir);
		CU_ASSERT_PTR_NOT_NULL_FATAL(file);
		CU_ASSERT_EQUAL(stat(file, &st), 0);
		if (i == 0)
			ASSERT(truncate(file, st.st_size / 2) == 0);
		else if (i == 1)
			test_kv_damage_at(file, st.st_size - 100, 50);
		else
			test_kv_damage_at(file, 0, 50);
		check_mute();
		kv = test_kv_open(dir, KV_SHARDS);
		CU_ASSERT_EQUAL(test_kv_right(kv, 0), TEST_KV_PER_TABLE);
		CU_ASSERT_EQUAL(test_kv_right(kv, 1), TEST_KV_PER_TABLE);
		test_kv_right(kv, 2);
		/* And it is one that takes what comes. */
		CU_ASSERT_EQUAL(kv_put(kv, "new", 3, "1", 1), 0);
		CU_ASSERT_EQUAL(kv_flush(kv), 0);
		check_unmute();
		kv_close(kv);
		kv = test_kv_open(dir, KV_SHARDS);
		CU_ASSERT_TRUE(test_kv_holds(kv, "new", "1"));
		kv_close(kv);
	}
}

/* In a child: write numbered keys, tell each through the pipe, until killed. */
static int test_kv_child_write(const char *dir, int pipe_fd)
{
	struct kv *kv = NULL;
	uint8_t key[8], value[200];

	if (kv_open(dir, KV_STATE, 2 << 20, &kv) < 0)
		return 1;
	for (uint64_t i = 0;; i++) {
		be64_put(key, i);
		check_fill(value, sizeof(value), i);
		if (kv_put(kv, key, sizeof(key), value, sizeof(value)) < 0)
			return 2;
		/* Without any sync: the kernel has it. */
		if (write(pipe_fd, &i, sizeof(i)) != sizeof(i))
			return 3;
	}
}

/* How many keys from 0 on are there, whole. */
static uint64_t test_kv_count(struct kv *kv)
{
	uint8_t key[8], want[200];
	struct kv_value value;
	uint64_t i;

	for (i = 0;; i++) {
		be64_put(key, i);
		if (kv_get(kv, key, sizeof(key), &value) < 0)
			return i; /* the only way out */
		check_fill(want, sizeof(want), i);
		CU_ASSERT_TRUE(value.len == sizeof(want) &&
			       memcmp(value.data, want, value.len) == 0);
		kv_value_release(&value);
	}
}

/* Start the writer, kill it when it has written about `writes`; returns the
 * number that it acknowledged. */
static uint64_t test_kv_kill(const char *dir, uint64_t writes)
{
	uint64_t acked = 0, i;
	int pipe_fds[2], status;
	pid_t pid;

	CU_ASSERT_EQUAL_FATAL(pipe(pipe_fds), 0);
	pid = test_kv_spawn("write", dir, pipe_fds[1]);
	close(pipe_fds[1]);
	while (read(pipe_fds[0], &i, sizeof(i)) == sizeof(i)) {
		acked = i + 1;
		if (acked == writes)
			kill(pid, SIGKILL);
	}
	close(pipe_fds[0]);
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_TRUE(WIFSIGNALED(status));
	return acked;
}

static void test_kv_killed(void)
{
	static const uint64_t writes[] = {1, 100, 3000, 20000};

	for (size_t i = 0; i < ARRAY_LEN(writes); i++) {
		CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
		uint64_t acked = test_kv_kill(dir, writes[i]);
		struct kv *kv = test_kv_open(dir, KV_STATE);

		CU_ASSERT_TRUE(acked >= writes[i]);
		CU_ASSERT_TRUE(test_kv_count(kv) >= acked);
		kv_close(kv);
	}
}

/*
 * A power cut leaves a torn end, or a hole with good records behind it.  Both
 * must open, with a beginning of the history and nothing else.
 */
static void test_kv_torn_log(void)
{
	for (int hole = 0; hole < 2; hole++) {
		CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
		CLEANUP_FREE char *path = NULL;
		uint64_t acked = test_kv_kill(dir, 500), count;
		struct kv *kv;
		struct stat st;

		path = test_kv_file(dir, ".log");
		CU_ASSERT_PTR_NOT_NULL_FATAL(path);
		CU_ASSERT_EQUAL(stat(path, &st), 0);
		if (hole)
			test_kv_damage_at(path, st.st_size / 2, 20);
		else
			CU_ASSERT_EQUAL(truncate(path, st.st_size / 2), 0);
		kv = test_kv_open(dir, KV_STATE);
		count = test_kv_count(kv);
		CU_ASSERT_TRUE(count > acked / 4 && count < acked);
		/* Nothing from behind the hole, and it can be written. */
		CU_ASSERT_TRUE(test_kv_holds(kv, "new", NULL));
		test_kv_set(kv, "new", "1");
		CU_ASSERT_EQUAL(kv_sync_log(kv), 0);
		kv_close(kv);
		kv = test_kv_open(dir, KV_STATE);
		CU_ASSERT_EQUAL(test_kv_count(kv), count);
		CU_ASSERT_TRUE(test_kv_holds(kv, "new", "1"));
		kv_close(kv);
	}
}

static int test_kv_child_shards(const char *dir)
{
	struct kv *kv = NULL;

	if (kv_open(dir, KV_SHARDS, TEST_KV_MEMORY, &kv) < 0 ||
	    kv_put(kv, "flushed", 7, "1", 1) < 0 || kv_flush(kv) < 0 ||
	    kv_put(kv, "lost", 4, "1", 1) < 0)
		return 1;
	return raise(SIGKILL);
}

/* Shards have no log: a kill keeps what was flushed. */
static void test_kv_shards_killed(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kv *kv = NULL;
	int status;
	pid_t pid = test_kv_spawn("shards", dir, -1);

	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_TRUE(WIFSIGNALED(status));
	kv = test_kv_open(dir, KV_SHARDS);
	CU_ASSERT_TRUE(test_kv_holds(kv, "flushed", "1"));
	CU_ASSERT_TRUE(test_kv_holds(kv, "lost", NULL));
	test_kv_set(kv, "closed", "1");
	kv_close(kv);
	/* A proper end loses nothing. */
	kv = test_kv_open(dir, KV_SHARDS);
	CU_ASSERT_TRUE(test_kv_holds(kv, "closed", "1"));
	kv_close(kv);
}

/* In a child, whose files may not grow: the full disk. */
static int test_kv_child_full(const char *dir)
{
	struct rlimit limit = {100000, 100000};
	static uint8_t value[5000];
	struct kv *kv = NULL;
	int rc = 0, first;

	if (kv_open(dir, KV_STATE, TEST_KV_MEMORY, &kv) < 0)
		return 1;
	if (kv_put(kv, "before", 6, "1", 1) < 0)
		return 1;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = 100000;
	setrlimit(RLIMIT_FSIZE, &limit);
	for (int i = 0; i < 100 && rc == 0; i++)
		rc = kv_put(kv, &i, sizeof(i), value, sizeof(value));
	first = rc;
	/* From here on it refuses changes, and still reads. */
	if (first >= 0 || kv_put(kv, "x", 1, "x", 1) != first ||
	    kv_delete(kv, "before", 6) != first || kv_sync_log(kv) != first ||
	    kv_flush(kv) != first)
		return 2;
	if (!test_kv_holds(kv, "before", "1"))
		return 3;
	/* Opened again, it is well. */
	kv_close(kv);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_FSIZE, &limit);
	if (kv_open(dir, KV_STATE, TEST_KV_MEMORY, &kv) < 0 ||
	    kv_put(kv, "again", 5, "1", 1) < 0 || kv_sync_log(kv) < 0)
		return 4;
	kv_close(kv);
	return 0;
}

static void test_kv_failed_write(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kv *kv;
	int status;
	pid_t pid;

	check_mute();
	pid = test_kv_spawn("full", dir, -1);
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	check_unmute();
	CU_ASSERT_EQUAL(status, 0);
	kv = test_kv_open(dir, KV_STATE);
	CU_ASSERT_TRUE(test_kv_holds(kv, "before", "1"));
	CU_ASSERT_TRUE(test_kv_holds(kv, "x", NULL));
	test_kv_set(kv, "after", "1");
	kv_close(kv);
}

/* One thread syncs in a loop while others write (design 8). */
static atomic_bool test_kv_stop;

static void *test_kv_syncer(void *arg)
{
	uintptr_t failed = 0;

	while (!atomic_load(&test_kv_stop))
		failed += kv_sync_log(arg) < 0;
	return (void *)failed;
}

static void *test_kv_writer(void *arg)
{
	uintptr_t failed = 0;
	uint8_t key[8];

	for (uint64_t i = 0; i < 3000; i++) {
		be64_put(key, (uint64_t)(uintptr_t)pthread_self() + i);
		failed += kv_put(arg, key, sizeof(key), "value", 5) < 0;
	}
	return (void *)failed;
}

static void test_kv_sync_beside_writes(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kv *kv = test_kv_open(dir, KV_STATE);
	pthread_t syncer, writers[3];
	void *failed;

	atomic_store(&test_kv_stop, false);
	CU_ASSERT_EQUAL(pthread_create(&syncer, NULL, test_kv_syncer, kv), 0);
	for (size_t i = 0; i < ARRAY_LEN(writers); i++)
		CU_ASSERT_EQUAL(
		    pthread_create(&writers[i], NULL, test_kv_writer, kv), 0);
	for (size_t i = 0; i < ARRAY_LEN(writers); i++) {
		pthread_join(writers[i], &failed);
		CU_ASSERT_PTR_NULL(failed);
	}
	/* Memtables change under the syncer as well. */
	CU_ASSERT_EQUAL(kv_flush(kv), 0);
	atomic_store(&test_kv_stop, true);
	pthread_join(syncer, &failed);
	CU_ASSERT_PTR_NULL(failed);
	kv_close(kv);
}

static bool test_kv_was_synced(const char *name)
{
	bool found;

	pthread_mutex_lock(&test_kv_synced_lock);
	found = strstr(test_kv_synced, name) != NULL;
	pthread_mutex_unlock(&test_kv_synced_lock);
	return found;
}

/* Each log that is there after the sync was synced by it; returns their
 * number.  One that RocksDB has just made may be missing, if it is empty. */
static size_t test_kv_check_logs(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	size_t count = 0;

	while ((entry = readdir(d))) {
		if (!test_kv_has_end(entry->d_name, ".log"))
			continue;
		count++;
		CU_ASSERT_TRUE(test_kv_was_synced(entry->d_name));
	}
	closedir(d);
	return count;
}

/* Through changes of the log: the sync must never miss one. */
static void test_kv_sync_follows_logs(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kv *kv = test_kv_open(dir, KV_STATE);
	CLEANUP_FREE char *first = test_kv_file(dir, ".log"), *last = NULL;
	static uint8_t value[50000];
	size_t logs = 0;

	for (int i = 0; i < 100; i++) {
		CU_ASSERT_EQUAL(kv_put(kv, &i, sizeof(i), value, sizeof(value)),
				0);
		test_kv_watch_syncs(false);
		CU_ASSERT_EQUAL(kv_sync_log(kv), 0);
		logs = MAX(logs, test_kv_check_logs(dir));
	}
	last = test_kv_file(dir, ".log");
	CU_ASSERT_STRING_NOT_EQUAL(first, last);
	CU_ASSERT_TRUE(logs >= 1);
	kv_close(kv);
}

static off_t test_kv_log_size(const char *dir)
{
	CLEANUP_FREE char *path = test_kv_file(dir, ".log");
	struct stat st = {.st_size = -1};

	if (path)
		CU_ASSERT_EQUAL(stat(path, &st), 0);
	return st.st_size;
}

/* A sync does not have to make the log longer: it is, ahead of the records. */
static void test_kv_log_is_ahead(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kv *kv = test_kv_open(dir, KV_STATE);
	static uint8_t value[1000];
	unsigned int longer = 0;
	off_t size = 0;

	for (int i = 0; i < 1000; i++) {
		CU_ASSERT_EQUAL(kv_put(kv, &i, sizeof(i), value, sizeof(value)),
				0);
		CU_ASSERT_EQUAL(kv_sync_log(kv), 0);
		longer += test_kv_log_size(dir) > size;
		size = test_kv_log_size(dir);
	}
	/* Listed, then in steps; never shorter than what was put. */
	CU_ASSERT_TRUE(longer >= 4 && longer <= 8);
	CU_ASSERT_TRUE(size >= 1000 * 1000 + KV_LOG_MARGIN);
	kv_close(kv);
}

static size_t test_kv_logs(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	size_t count = 0;

	while ((entry = readdir(d)))
		count += test_kv_has_end(entry->d_name, ".log");
	closedir(d);
	return count;
}

/* In a child: put and sync until a second log is there, then die at once. */
static int test_kv_child_two_logs(const char *dir, int pipe_fd)
{
	static uint8_t value[20000];
	struct kv *kv = NULL;

	if (kv_open(dir, KV_STATE, 2 << 20, &kv) < 0)
		return 1;
	for (uint64_t i = 0; i < 10000; i++) {
		if (kv_put(kv, &i, sizeof(i), value, sizeof(value)) < 0)
			return 2;
		if (write(pipe_fd, &i, sizeof(i)) != sizeof(i))
			return 3;
		if (test_kv_logs(dir) > 1)
			raise(SIGKILL);
		if (kv_sync_log(kv) < 0)
			return 4;
	}
	return 0;
}

/* Replay ends at the filler of one log, and goes on with the next. */
static void test_kv_two_logs(void)
{
	size_t both = 0;

	for (int round = 0; round < 20; round++) {
		CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
		uint64_t acked = 0, i;
		struct kv_value value;
		int pipe_fds[2], status;
		struct kv *kv;
		pid_t pid;

		CU_ASSERT_EQUAL_FATAL(pipe(pipe_fds), 0);
		pid = test_kv_spawn("two-logs", dir, pipe_fds[1]);
		close(pipe_fds[1]);
		while (read(pipe_fds[0], &i, sizeof(i)) == sizeof(i))
			acked = i + 1;
		close(pipe_fds[0]);
		CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
		CU_ASSERT_TRUE(WIFSIGNALED(status));
		both += test_kv_logs(dir) > 1;
		kv = test_kv_open(dir, KV_STATE);
		for (i = 0; i < acked; i++) {
			CU_ASSERT_EQUAL(kv_get(kv, &i, sizeof(i), &value), 0);
			kv_value_release(&value);
		}
		kv_close(kv);
	}
	CU_ASSERT_TRUE(both > 0);
}

/* A page of the log that a power cut lost, between records: it shows filler,
 * and nothing behind it may come back. */
static void test_kv_hole_of_filler(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	uint64_t acked = test_kv_kill(dir, 500), count;
	CLEANUP_FREE char *path = test_kv_file(dir, ".log");
	CLEANUP_CLOSE int fd = open(path, O_RDWR);
	uint8_t filler[4096];
	struct kv *kv;

	/* Records of test_kv_child_write are of one length: 7 of the log, 12 of
	 * the batch, 1, 1 + 8, 2 + 200. */
	memset(filler, 0xff, sizeof(filler));
	CU_ASSERT_EQUAL(pwrite(fd, filler, sizeof(filler), 100 * 231),
			sizeof(filler));
	kv = test_kv_open(dir, KV_STATE);
	count = test_kv_count(kv);
	CU_ASSERT_EQUAL(count, 100);
	for (uint64_t i = count; i < acked; i++) {
		struct kv_value value;
		uint8_t key[8];

		be64_put(key, i);
		CU_ASSERT_EQUAL(kv_get(kv, key, sizeof(key), &value), -ENOENT);
	}
	kv_close(kv);
}

static void test_kv_failed_sync(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kv *kv = test_kv_open(dir, KV_STATE);

	test_kv_set(kv, "a", "1");
	CU_ASSERT_EQUAL(kv_sync_log(kv), 0);
	test_kv_set(kv, "b", "1");
	check_mute();
	test_kv_watch_syncs(true);
	CU_ASSERT_EQUAL(kv_sync_log(kv), -EIO);
	/* A second try might succeed and mean nothing. */
	test_kv_watch_syncs(false);
	CU_ASSERT_EQUAL(kv_sync_log(kv), -EIO);
	CU_ASSERT_EQUAL(kv_put(kv, "c", 1, "1", 1), -EIO);
	check_unmute();
	CU_ASSERT_TRUE(test_kv_holds(kv, "b", "1"));
	kv_close(kv);
	kv = test_kv_open(dir, KV_STATE);
	CU_ASSERT_TRUE(test_kv_holds(kv, "b", "1"));
	test_kv_set(kv, "c", "1");
	CU_ASSERT_EQUAL(kv_sync_log(kv), 0);
	kv_close(kv);
}

/*
 * In a child: a disk that fills up while the log thread is syncing.  RocksDB's
 * own sync of a log aborts in one of five such runs (see kv_sync_log()).
 */
static int test_kv_child_full_syncing(const char *dir)
{
	struct rlimit limit;
	static uint8_t value[60000];
	struct kv *kv = NULL;
	pthread_t syncer;
	int rc = 0;

	if (kv_open(dir, KV_STATE, TEST_KV_MEMORY, &kv) < 0)
		return 1;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = 50000; /* the very first record */
	setrlimit(RLIMIT_FSIZE, &limit);
	if (pthread_create(&syncer, NULL, test_kv_syncer, kv))
		return 2;
	for (int i = 0; i < 10 && rc == 0; i++)
		rc = kv_put(kv, &i, sizeof(i), value, sizeof(value));
	usleep(1000);
	atomic_store(&test_kv_stop, true);
	pthread_join(syncer, NULL);
	kv_close(kv);
	return rc < 0 ? 0 : 3;
}

static void test_kv_full_while_syncing(void)
{
	int status;

	for (int i = 0; i < 10; i++) {
		CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
		pid_t pid;

		check_mute();
		pid = test_kv_spawn("full-syncing", dir, -1);
		CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
		check_unmute();
		CU_ASSERT_EQUAL(status, 0);
	}
}

static void test_kv_stats(void)
{
	static uint8_t value[50000];

	for (size_t i = 0; i < ARRAY_LEN(test_kv_kinds); i++) {
		CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
		struct kv *kv = test_kv_open(dir, test_kv_kinds[i]);
		struct kv_stats stats;

		kv_get_stats(kv, &stats);
		CU_ASSERT_EQUAL(stats.live_bytes, 0);
		for (int n = 0; n < 100; n++)
			CU_ASSERT_EQUAL(
			    kv_put(kv, &n, sizeof(n), value, sizeof(value)), 0);
		kv_get_stats(kv, &stats);
		CU_ASSERT_EQUAL(stats.keys_estimate, 100);
		CU_ASSERT_TRUE(stats.memory_bytes > 0);
		CU_ASSERT_EQUAL(kv_flush(kv), 0);
		kv_get_stats(kv, &stats);
		/* No compression hides here. */
		CU_ASSERT_TRUE(stats.live_bytes >= 100 * sizeof(value));
		CU_ASSERT_TRUE(stats.live_bytes < 110 * sizeof(value));
		CU_ASSERT_EQUAL(stats.keys_estimate, 100);
		kv_close(kv);
	}
}

/* Write buffers stay within what was given, also in a burst. */
static void test_kv_memory(void)
{
	static uint8_t value[100000];

	for (size_t i = 0; i < ARRAY_LEN(test_kv_kinds); i++) {
		CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
		struct kv *kv = test_kv_open(dir, test_kv_kinds[i]);
		struct kv_stats stats;
		uint64_t most = 0;

		for (int n = 0; n < 400; n++) {
			CU_ASSERT_EQUAL(
			    kv_put(kv, &n, sizeof(n), value, sizeof(value)), 0);
			kv_get_stats(kv, &stats);
			most = MAX(most, stats.memory_bytes);
		}
		CU_ASSERT_TRUE(most < TEST_KV_MEMORY * 5 / 4);
		kv_close(kv);
	}
}

static unsigned int test_kv_tables(const char *dir)
{
	unsigned int count = 0;
	struct dirent *entry;
	DIR *d = opendir(dir);

	while ((entry = readdir(d)))
		count += strstr(entry->d_name, ".sst") != NULL;
	closedir(d);
	return count;
}

/* Tables that eight flushes leave, once they are fewer or 5 s are over. */
static unsigned int test_kv_eight_tables(uint64_t disk_max, unsigned int tries)
{
	struct kv_options options = {.memory_max = TEST_KV_MEMORY,
				     .disk_max = disk_max};
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	static uint8_t value[1000];
	unsigned int count = 8;
	struct kv *kv;

	CU_ASSERT_EQUAL_FATAL(kv_open_with(dir, KV_SHARDS, &options, &kv), 0);
	/* The same keys in each: what does not overlap is only moved. */
	for (int n = 0; n < 16; n++) {
		int key = n % 2;

		CU_ASSERT_EQUAL(
		    kv_put(kv, &key, sizeof(key), value, sizeof(value)), 0);
		if (key == 1)
			CU_ASSERT_EQUAL(kv_flush(kv), 0);
	}
	for (; tries > 0 && count >= 8; tries--) {
		usleep(50000);
		count = test_kv_tables(dir);
	}
	kv_close(kv);
	return count;
}

/* What was just written is not written again at once, where there is room. */
static void test_kv_merges(void)
{
	CU_ASSERT_EQUAL(test_kv_eight_tables(0, 6), 8);
	CU_ASSERT_EQUAL(test_kv_eight_tables(UINT64_C(20) << 30, 6), 8);
	CU_ASSERT_TRUE(test_kv_eight_tables(32 << 20, 100) < 8);
}

static const struct check_test tests[] = {
    {"put and get", test_kv_put_get},
    {"pin", test_kv_pin},
    {"batch", test_kv_batch},
    {"delete range", test_kv_delete_range},
    {"iterate", test_kv_iterate},
    {"iterate a snapshot", test_kv_iterate_snapshot},
    {"busy", test_kv_busy},
    {"open errors", test_kv_open_errors},
    {"damaged table", test_kv_damaged_table},
    {"shards saved", test_kv_shards_saved},
    {"killed", test_kv_killed},
    {"torn log", test_kv_torn_log},
    {"shards killed", test_kv_shards_killed},
    {"failed write", test_kv_failed_write},
    {"sync beside writes", test_kv_sync_beside_writes},
    {"sync follows logs", test_kv_sync_follows_logs},
    {"log is ahead", test_kv_log_is_ahead},
    {"two logs", test_kv_two_logs},
    {"hole of filler", test_kv_hole_of_filler},
    {"failed sync", test_kv_failed_sync},
    {"full while syncing", test_kv_full_while_syncing},
    {"stats", test_kv_stats},
    {"memory", test_kv_memory},
    {"merges", test_kv_merges},
};

static int test_kv_child_main(char **args)
{
	if (strcmp(args[1], "write") == 0)
		return test_kv_child_write(args[2], atoi(args[3]));
	if (strcmp(args[1], "two-logs") == 0)
		return test_kv_child_two_logs(args[2], atoi(args[3]));
	if (strcmp(args[1], "shards") == 0)
		return test_kv_child_shards(args[2]);
	if (strcmp(args[1], "full") == 0)
		return test_kv_child_full(args[2]);
	if (strcmp(args[1], "full-syncing") == 0)
		return test_kv_child_full_syncing(args[2]);
	if (strcmp(args[1], "hold") == 0)
		return test_kv_child_hold(args[2]);
	return 1;
}

int main(int argc, char **argv)
{
	if (argc == 4)
		return test_kv_child_main(argv);
	return check_main("test_kv", tests, ARRAY_LEN(tests));
}
