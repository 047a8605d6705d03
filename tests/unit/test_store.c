/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_store: only what proves is kept; formats are checked.
 */
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <sys/stat.h>

#include "depot/format.h"
#include "depot/io.h"
#include "depot/kv.h"
#include "depot/space.h"
#include "depot/store.h"
#include "tests/lib/check.h"
#include "tests/lib/depotkit.h"
#include "tests/lib/tmpdir.h"

enum { TEST_MEMORY = 8 << 20 };

static void test_put_get(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP(kit_shard_clear) struct kit_shard shard = {0};
	struct kv_value value;
	struct store *store;
	bool added = false;

	kit_shard_make(&shard, 50000, 2);
	CU_ASSERT_EQUAL_FATAL(store_open(dir, TEST_MEMORY, NULL, &store), 0);
	CU_ASSERT_FALSE(store_has(store, &shard.name));
	CU_ASSERT_EQUAL(store_get(store, &shard.name, &value), -ENOENT);
	CU_ASSERT_EQUAL(store_put(store, NULL, &shard.name, shard.shard,
				  shard.shard_len, &added),
			0);
	CU_ASSERT(added);
	CU_ASSERT_EQUAL(store_put(store, NULL, &shard.name, shard.shard,
				  shard.shard_len, &added),
			0);
	CU_ASSERT_FALSE(added);
	CU_ASSERT_EQUAL(store_flush(store), 0);
	store_close(store);

	CU_ASSERT_EQUAL_FATAL(store_open(dir, TEST_MEMORY, NULL, &store), 0);
	CU_ASSERT_EQUAL_FATAL(store_get(store, &shard.name, &value), 0);
	CU_ASSERT_EQUAL(value.len, shard.shard_len);
	CU_ASSERT_EQUAL(memcmp(value.data, shard.shard, value.len), 0);
	kv_value_release(&value);
	store_close(store);
}

static void test_refuses(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP(kit_shard_clear) struct kit_shard a = {0}, b = {0};
	struct store *store;

	kit_shard_make(&a, 5000, 2);
	kit_shard_make(&b, 5000, 4);
	CU_ASSERT_EQUAL_FATAL(store_open(dir, TEST_MEMORY, NULL, &store), 0);
	check_mute();
	CU_ASSERT_EQUAL(
	    store_put(store, NULL, &a.name, b.shard, b.shard_len, NULL),
	    -EBADMSG);
	CU_ASSERT_EQUAL(
	    store_put(store, NULL, &a.name, a.shard, a.shard_len - 1, NULL),
	    -EBADMSG);
	CU_ASSERT_EQUAL(store_put(store, NULL, &a.name, a.shard, 0, NULL),
			-EBADMSG);
	a.shard[a.shard_len / 2] ^= 1;
	CU_ASSERT_EQUAL(
	    store_put(store, NULL, &a.name, a.shard, a.shard_len, NULL),
	    -EBADMSG);
	check_unmute();
	CU_ASSERT_FALSE(store_has(store, &a.name));
	store_close(store);
}

/* Rotten bytes here do not shut out good ones. */
static void test_heals(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP(kit_shard_clear) struct kit_shard shard = {0};
	struct store_stats stats;
	struct store *store;
	struct digest bad;
	bool added = false;

	kit_shard_make(&shard, 5000, 2);
	CU_ASSERT_EQUAL_FATAL(store_open(dir, TEST_MEMORY, NULL, &store), 0);
	CU_ASSERT_EQUAL(store_put_proved(store, &shard.name, "rot", 3), 0);
	CU_ASSERT(store_has(store, &shard.name));
	CU_ASSERT_EQUAL(store_put(store, NULL, &shard.name, shard.shard,
				  shard.shard_len, &added),
			0);
	CU_ASSERT(added);
	/* The right one, put since it was found bad, stays. */
	bad = digest_of("rot", 3);
	store_quarantine(store, &shard.name, &bad, "test");
	store_quarantine(store, &shard.name, NULL, "test");
	CU_ASSERT(store_has(store, &shard.name));
	check_mute();
	bad = digest_of(shard.shard, shard.shard_len);
	store_quarantine(store, &shard.name, &bad, "test");
	check_unmute();
	CU_ASSERT_FALSE(store_has(store, &shard.name));
	store_get_stats(store, &stats);
	CU_ASSERT_EQUAL(stats.verify_failures, 1);
	store_close(store);
}

/* Flip bytes of the values of all tables: in one place, or step by step. */
static void test_damage(const char *dir, off_t step)
{
	CLEANUP_FREE char *pattern = tmpdir_path(dir, "*.sst");
	uint8_t bytes[64] = {0};
	struct stat st;
	glob_t found;

	ASSERT(glob(pattern, 0, NULL, &found) == 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		CLEANUP_CLOSE int fd =
		    open(found.gl_pathv[i], O_RDWR | O_CLOEXEC);

		ASSERT(fd >= 0 && fstat(fd, &st) == 0);
		if (st.st_size < 64 << 10)
			continue; /* hardly any values */
		for (off_t at = st.st_size / 4; at < st.st_size * 9 / 10;
		     at += step ? step : st.st_size)
			ASSERT(io_pwrite_all(fd, bytes, sizeof(bytes),
					     (uint64_t)at) == 0);
	}
	globfree(&found);
}

/* A put, until it is taken; how many milliseconds that took. */
static int test_put_until(struct store *store, const struct kit_shard *shard)
{
	enum { WAIT_MS = 30000 };
	int ms = 0;

	while (ms < WAIT_MS &&
	       store_put(store, NULL, &shard->name, shard->shard,
			 shard->shard_len, NULL) < 0) {
		usleep(50000);
		ms += 50;
	}
	return ms < WAIT_MS ? ms : -1;
}

/* A merge meets a damaged block: changes are refused, then taken again without
 * a restart; what can be read is there. */
static void test_damage_in_a_merge(void)
{
	enum { SHARDS = 40 };
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP(tmpdir_cleanup) char *room = tmpdir_new();
	struct kit_shard shards[SHARDS + 1] = {0};
	struct digest from, to;
	unsigned int here = 0;
	struct store *store;
	struct space *space;

	ASSERT(space_open(room, &space) == 0);
	ASSERT(store_open(dir, TEST_MEMORY, space, &store) == 0);
	for (unsigned int i = 0; i <= SHARDS; i++)
		kit_shard_make(&shards[i], 50000, 100 + i);
	for (unsigned int i = 0; i < SHARDS; i++) {
		ASSERT(store_put(store, NULL, &shards[i].name, shards[i].shard,
				 shards[i].shard_len, NULL) == 0);
		if (i % (SHARDS / 2) == SHARDS / 2 - 1)
			ASSERT(store_flush(store) == 0);
	}
	test_damage(dir, 0);
	check_mute();
	memset(&from, 0, sizeof(from));
	memset(&to, 0xff, sizeof(to));
	CU_ASSERT_EQUAL(store_compact(store, &from, &to), 0);
	CU_ASSERT_EQUAL(store_put(store, NULL, &shards[SHARDS].name,
				  shards[SHARDS].shard,
				  shards[SHARDS].shard_len, NULL),
			-EBADMSG);
	CU_ASSERT(test_put_until(store, &shards[SHARDS]) >= 0);
	for (unsigned int i = 0; i <= SHARDS; i++) {
		here += store_has(store, &shards[i].name);
		kit_shard_clear(&shards[i]);
	}
	check_unmute();
	printf("  %u of %u shards are there after damage\n", here, SHARDS);
	CU_ASSERT(here > SHARDS / 2);
	CU_ASSERT_EQUAL(store_error(store), 0);
	space_stop(space);
	store_close(store);
	space_close(space);
}

/* The block of the format number is damaged, and so is one that a merge has
 * met before the number could be written anew: the store opens all the same.
 * The daemon ended at once, without a word. */
static void test_damage_at_the_start(void)
{
	enum { SHARDS = 40 };
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP(kit_shard_clear) struct kit_shard shard = {0};
	struct digest from, to;
	struct store *store;
	struct kv *kv;

	memset(&from, 0, sizeof(from));
	memset(&to, 0xff, sizeof(to));
	ASSERT(store_open(dir, TEST_MEMORY, NULL, &store) == 0);
	for (unsigned int i = 0; i < SHARDS; i++) {
		kit_shard_make(&shard, 50000, 100 + i);
		ASSERT(store_put(store, NULL, &shard.name, shard.shard,
				 shard.shard_len, NULL) == 0);
		kit_shard_clear(&shard);
		if (i % (SHARDS / 2) == SHARDS / 2 - 1)
			ASSERT(store_flush(store) == 0);
		/* The number's table is one of many values. */
		if (i == SHARDS / 2)
			ASSERT(store_compact(store, &from, &to) == 0);
	}
	store_close(store);
	test_damage(dir, 2000);
	check_mute();
	ASSERT(kv_open(dir, KV_SHARDS, TEST_MEMORY, &kv) == 0);
	CU_ASSERT_EQUAL(kv_compact(kv, "", 0, "\xff", 1), 0);
	CU_ASSERT_EQUAL(store_check_format(kv, KV_SHARDS, "test"), 0);
	CU_ASSERT_EQUAL(kv_error(kv), -EBADMSG);
	kv_close(kv);
	check_unmute();
}

static void test_set_format(const char *dir, const void *value, size_t len)
{
	struct kv *kv;

	ASSERT(kv_open(dir, KV_SHARDS, TEST_MEMORY, &kv) == 0);
	ASSERT(kv_put(kv, "format", 6, value, len) == 0);
	ASSERT(kv_flush(kv) == 0);
	kv_close(kv);
}

static void test_formats(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct store *store;
	uint8_t number[4];

	CU_ASSERT_EQUAL_FATAL(store_open(dir, TEST_MEMORY, NULL, &store), 0);
	check_mute();
	{
		struct store *second;

		CU_ASSERT_EQUAL(store_open(dir, TEST_MEMORY, NULL, &second),
				-EBUSY);
	}
	store_close(store);
	le32_put(number, FORMAT_STORE + 1);
	test_set_format(dir, number, 4);
	CU_ASSERT_EQUAL(store_open(dir, TEST_MEMORY, NULL, &store),
			-EPROTONOSUPPORT);
	test_set_format(dir, "x", 1);
	CU_ASSERT_EQUAL(store_open(dir, TEST_MEMORY, NULL, &store), -EBADMSG);
	le32_put(number, FORMAT_STORE);
	test_set_format(dir, number, 4);
	check_unmute();
	CU_ASSERT_EQUAL_FATAL(store_open(dir, TEST_MEMORY, NULL, &store), 0);
	store_close(store);
}

/* Change a byte behind each "figures" in the database's tables. */
static int test_flip_figures(const char *dir)
{
	char command[1024];

	snprintf(command, sizeof(command),
		 "for f in %s/*.sst; do "
		 "at=$(grep -abo figures \"$f\" | head -n 1 | cut -d: -f1); "
		 "[ -z \"$at\" ] || printf Z | dd of=\"$f\" bs=1 "
		 "seek=$((at + 9)) conv=notrunc status=none; done",
		 dir);
	return system(command);
}

/* A block that holds the store's own keys is damaged: shards can be fetched
 * again, so that is no reason not to start. */
static void test_own_keys_damaged(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP(kit_shard_clear) struct kit_shard shard = {0};
	struct store *store;

	kit_shard_make(&shard, 5000, 2);
	CU_ASSERT_EQUAL_FATAL(store_open(dir, TEST_MEMORY, NULL, &store), 0);
	CU_ASSERT_EQUAL(store_put(store, NULL, &shard.name, shard.shard,
				  shard.shard_len, NULL),
			0);
	CU_ASSERT_EQUAL(store_flush(store), 0);
	store_close(store);
	CU_ASSERT_EQUAL(test_flip_figures(dir), 0);
	check_mute();
	CU_ASSERT_EQUAL_FATAL(store_open(dir, TEST_MEMORY, NULL, &store), 0);
	CU_ASSERT_EQUAL(store_put(store, NULL, &shard.name, shard.shard,
				  shard.shard_len, NULL),
			0);
	CU_ASSERT(store_has(store, &shard.name));
	store_close(store);
	check_unmute();
}

struct test_walk {
	struct store *store;
	struct digest last;
	unsigned int count, stop_at;
	uint64_t bytes;
	bool remove;
};

static int test_visit(void *ctx, const struct digest *name, size_t shard_len)
{
	struct test_walk *walk = ctx;

	if (walk->count > 0)
		CU_ASSERT(digest_compare(&walk->last, name) < 0);
	walk->last = *name;
	walk->count++;
	walk->bytes += shard_len;
	if (walk->remove && walk->count % 2 == 0)
		CU_ASSERT_EQUAL(store_remove(walk->store, name), 0);
	return walk->count == walk->stop_at ? -ECANCELED : 0;
}

/* More than a step of the walk has; removed under the walker's feet. */
static void test_walks(void)
{
	enum { COUNT = 600 };
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct test_walk walk = {0}, rest = {0};
	struct store_stats stats;
	struct digest first;

	CU_ASSERT_EQUAL_FATAL(store_open(dir, TEST_MEMORY, NULL, &walk.store),
			      0);
	CU_ASSERT_EQUAL(store_walk(walk.store, NULL, test_visit, &walk), 0);
	CU_ASSERT_EQUAL(walk.count, 0);
	for (unsigned int i = 0; i < COUNT; i++) {
		struct digest name = digest_of(&i, sizeof(i));

		ASSERT(store_put_proved(walk.store, &name, dir, 1 + i % 5) ==
		       0);
	}
	walk.remove = true;
	CU_ASSERT_EQUAL(store_walk(walk.store, NULL, test_visit, &walk), 0);
	CU_ASSERT_EQUAL(walk.count, COUNT);
	store_get_stats(walk.store, &stats);
	CU_ASSERT_EQUAL(stats.shards, COUNT / 2);
	CU_ASSERT(stats.bytes < walk.bytes);

	/* Stopped, and started again after the last. */
	walk = (struct test_walk){.store = walk.store, .stop_at = 100};
	CU_ASSERT_EQUAL(store_walk(walk.store, NULL, test_visit, &walk),
			-ECANCELED);
	CU_ASSERT_EQUAL(walk.count, 100);
	first = walk.last;
	CU_ASSERT_EQUAL(store_walk(walk.store, &first, test_visit, &rest), 0);
	CU_ASSERT_EQUAL(rest.count, COUNT / 2 - 99);
	CU_ASSERT_EQUAL(store_remove(walk.store, &first), 0);
	CU_ASSERT_EQUAL(store_remove(walk.store, &first), -ENOENT);
	CU_ASSERT_FALSE(store_has(walk.store, &first));
	store_close(walk.store);
}

/* Removed and compacted: the files shrink. */
static void test_compacts(void)
{
	enum { COUNT = 400, LEN = 10000 };
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE struct digest *names = calloc(COUNT, sizeof(*names));
	CLEANUP_FREE char *bytes = calloc(1, LEN);
	struct digest low = {{0}}, high;
	struct store *store;
	uint64_t removed;
	size_t before;

	CU_ASSERT_EQUAL_FATAL(store_open(dir, TEST_MEMORY, NULL, &store), 0);
	memset(high.bytes, 0xff, sizeof(high.bytes));
	for (unsigned int i = 0; i < COUNT; i++) {
		names[i] = digest_of(&i, sizeof(i));
		ASSERT(store_put_proved(store, &names[i], bytes, LEN) == 0);
	}
	CU_ASSERT_EQUAL(store_flush(store), 0);
	CU_ASSERT_EQUAL(store_compact(store, &low, &high), 0);
	before = store_disk_bytes(store);
	CU_ASSERT(before >= COUNT * LEN);
	CU_ASSERT_EQUAL(store_remove_list(store, names, COUNT / 2, &removed),
			0);
	CU_ASSERT_EQUAL(removed, COUNT / 2 * LEN);
	CU_ASSERT_EQUAL(store_compact(store, &low, &high), 0);
	CU_ASSERT(store_disk_bytes(store) < before * 6 / 10);
	for (unsigned int i = 0; i < COUNT; i++)
		CU_ASSERT_EQUAL(store_has(store, &names[i]), i >= COUNT / 2);
	store_close(store);
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"put, get, again after a restart", test_put_get},
	    {"refuses what does not prove", test_refuses},
	    {"good bytes replace rotten ones", test_heals},
	    {"a damaged block met by a merge", test_damage_in_a_merge},
	    {"a merge meets damage before all else", test_damage_at_the_start},
	    {"format numbers, and the lock", test_formats},
	    {"its own keys are damaged", test_own_keys_damaged},
	    {"walks, removing", test_walks},
	    {"gives space back", test_compacts},
	};

	return check_main("test_store", tests, ARRAY_LEN(tests));
}
