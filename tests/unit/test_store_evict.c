/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_store_evict: the quota holds on disk, what must stay stays, what is read
 * stays longer, and the space comes back.
 */
#include <stdio.h>
#include <time.h>

#include "depot/evict.h"
#include "depot/kept.h"
#include "depot/kv.h"
#include "depot/lease.h"
#include "depot/store.h"
#include "depot/usage.h"
#include "tests/lib/check.h"
#include "tests/lib/tmpdir.h"

enum {
	TEST_SHARD = 32 << 10,
	TEST_WAIT_MS = 20000,
};
#define TEST_QUOTA ((uint64_t)64 << 20)

struct test_rig {
	char *dir;
	char usage_path[1024];
	struct store *store;
	struct usage *usage;
	struct evict *evict;
	struct leases *leases;            /* NULL: none */
	unsigned int keep_from, keep_end; /* numbers that must stay */
	uint64_t disk_most;
};

static struct digest test_name(unsigned int number)
{
	return digest_of(&number, sizeof(number));
}

static int test_kept(void *ctx, struct kept **kept, uint64_t *known)
{
	struct test_rig *rig = ctx;

	*kept = kept_new();
	*known = 1000;
	for (unsigned int i = rig->keep_from;
	     i < __atomic_load_n(&rig->keep_end, __ATOMIC_SEQ_CST); i++) {
		struct digest name = test_name(i);

		ASSERT(kept_add(*kept, &name) == 0);
	}
	return 0;
}

static void test_open(struct test_rig *rig, uint64_t quota,
		      enum usage_rule rule)
{
	struct store_options store = {.memory_max = 8 << 20, .disk_max = quota};
	struct evict_options options = {
	    .quota = quota, .kept = test_kept, .ctx = rig};

	ASSERT(store_open_with(rig->dir, &store, &rig->store) == 0);
	ASSERT(usage_new(USAGE_COUNTERS_MIN, rule, &rig->usage) == 0);
	snprintf(rig->usage_path, sizeof(rig->usage_path), "%s.usage",
		 rig->dir);
	options.store = rig->store;
	options.usage = rig->usage;
	options.leases = rig->leases;
	options.usage_path = rig->usage_path;
	ASSERT(evict_new(&options, &rig->evict) == 0);
}

static void test_close(struct test_rig *rig)
{
	evict_free(rig->evict);
	store_close(rig->store);
	usage_free(rig->usage);
}

static void test_pause(long ms)
{
	struct timespec ts = {0, ms * 1000000};

	nanosleep(&ts, NULL);
}

/* As a read that found nothing here: counted, fetched, perhaps stored. */
static int test_fetch(struct test_rig *rig, unsigned int number)
{
	static uint8_t bytes[TEST_SHARD];
	struct digest name = test_name(number);
	unsigned int x = number;

	usage_touch(rig->usage, &name, 0);
	for (size_t i = 0; i < sizeof(bytes); i += 4) {
		x = x * 1664525u + 1013904223u;
		le32_put(bytes + i, x);
	}
	return store_put_fetched(rig->store, &name, bytes, sizeof(bytes));
}

static bool test_has(struct test_rig *rig, unsigned int number)
{
	struct digest name = test_name(number);

	return store_has(rig->store, &name);
}

static void test_look(struct test_rig *rig)
{
	rig->disk_most = MAX(rig->disk_most, store_disk_bytes(rig->store));
}

/* Until there is room for more. */
static void test_settle(struct test_rig *rig)
{
	struct evict_stats stats;

	for (int ms = 0; ms < TEST_WAIT_MS; ms += 2) {
		evict_get_stats(rig->evict, &stats);
		test_look(rig);
		if (stats.room)
			return;
		test_pause(2);
	}
	CU_FAIL("no room is made");
}

/* Numbers from first on, as fast as a link of about 300 MB/s would bring
 * them; settle: no faster than room is made. */
static void test_load(struct test_rig *rig, unsigned int first,
		      unsigned int count, bool settle)
{
	for (unsigned int i = 0; i < count; i++) {
		int rc = test_fetch(rig, first + i);

		CU_ASSERT(rc == 0 || rc == -EDQUOT);
		if (settle)
			test_settle(rig);
		else if (i % 32 == 0)
			test_pause(3);
		if (i % 32 == 0)
			test_look(rig);
	}
}

/* Four times the quota goes through; half of what is kept is of the first. */
static void test_quota(void)
{
	enum { KEEP = 400, HOT = 300, LOAD = 4 * 64 * 32 };
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct test_rig rig = {.dir = dir, .keep_end = KEEP};
	unsigned int kept = 0, hot = 0;
	struct evict_stats stats;
	struct store_stats store;

	test_open(&rig, TEST_QUOTA, USAGE_FREQUENCY);
	test_load(&rig, 0, KEEP, false);
	for (unsigned int i = 0; i < HOT; i++)
		CU_ASSERT_EQUAL(test_fetch(&rig, 1000 + i), 0);
	for (unsigned int part = 0; part < 16; part++) {
		for (unsigned int i = 0; i < HOT; i++) {
			struct digest name = test_name(1000 + i);

			usage_touch(rig.usage, &name, 0);
		}
		test_load(&rig, 10000 + part * LOAD / 16, LOAD / 16, part % 2);
	}
	test_settle(&rig);
	evict_get_stats(rig.evict, &stats);
	store_get_stats(rig.store, &store);
	for (unsigned int i = 0; i < KEEP; i++)
		kept += test_has(&rig, i);
	for (unsigned int i = 0; i < HOT; i++)
		hot += test_has(&rig, 1000 + i);
	printf("  quota %ju MiB, most on disk %.1f, at the end %.1f with %.1f "
	       "of shards; evicted %ju, not stored %ju; kept %u of %u, hot %u "
	       "of %u\n",
	       (uintmax_t)TEST_QUOTA >> 20, (double)rig.disk_most / 1048576,
	       (double)store_disk_bytes(rig.store) / 1048576,
	       (double)store.bytes / 1048576, (uintmax_t)stats.shards,
	       (uintmax_t)stats.refused, kept, KEEP, hot, HOT);
	CU_ASSERT(rig.disk_most <= TEST_QUOTA);
	CU_ASSERT_EQUAL(kept, KEEP);
	CU_ASSERT(hot >= HOT * 9 / 10);
	CU_ASSERT(stats.shards > 0);
	CU_ASSERT_FALSE(stats.full);
	/* Not by storing little: most of the quota is in use. */
	CU_ASSERT(store.bytes > TEST_QUOTA / 2);
	test_close(&rig);
}

/* By recency the hot ones of long ago are gone, the last ones are here. */
static void test_lru(void)
{
	enum { HOT = 150, LOAD = 1200 };
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct test_rig rig = {.dir = dir};
	unsigned int hot = 0, last = 0;

	test_open(&rig, EVICT_QUOTA_MIN, USAGE_LRU);
	for (int times = 0; times < 20; times++)
		for (unsigned int i = 0; i < HOT; i++) {
			struct digest name = test_name(1000 + i);

			usage_touch(rig.usage, &name, 0);
		}
	test_load(&rig, 1000, HOT, false);
	test_load(&rig, 10000, LOAD, true);
	test_settle(&rig);
	for (unsigned int i = 0; i < HOT; i++)
		hot += test_has(&rig, 1000 + i);
	for (unsigned int i = LOAD - HOT; i < LOAD; i++)
		last += test_has(&rig, 10000 + i);
	printf("  by recency: %u of %u old hot ones, %u of the last %u; most "
	       "on disk %.1f\n",
	       hot, HOT, last, HOT, (double)rig.disk_most / 1048576);
	CU_ASSERT(hot < HOT / 2);
	CU_ASSERT(last > HOT / 3);
	CU_ASSERT(rig.disk_most <= EVICT_QUOTA_MIN);
	test_close(&rig);
}

enum { FULL_MORE_MAX = 50000 };

/* What may not go is more than there is room: said; reads go on, creations are
 * refused; when it may go again, it does. */
static void test_full(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct test_rig rig = {.dir = dir, .keep_end = 100000};
	struct evict_stats stats;
	unsigned int number = 0;
	int rc = 0;

	test_open(&rig, EVICT_QUOTA_MIN, USAGE_FREQUENCY);
	check_mute();
	for (int ms = 0; ms < TEST_WAIT_MS; ms += 5) {
		rc = test_fetch(&rig, number);
		number += rc == 0;
		evict_get_stats(rig.evict, &stats);
		if (stats.full)
			break;
		if (rc < 0)
			test_pause(5);
	}
	CU_ASSERT(stats.full);
	CU_ASSERT(stats.kept_bytes > EVICT_QUOTA_MIN / 2);
	CU_ASSERT_FALSE(stats.room);
	/* A compaction that has just ended leaves room for a few more. */
	for (rc = 0; rc == 0 && number < FULL_MORE_MAX; number += rc == 0)
		rc = test_fetch(&rig, number);
	CU_ASSERT_EQUAL(rc, -EDQUOT);
	check_unmute();
	CU_ASSERT_EQUAL(stats.shards, 0);
	for (unsigned int i = 0; i < number; i++)
		CU_ASSERT(test_has(&rig, i));

	__atomic_store_n(&rig.keep_end, 100, __ATOMIC_SEQ_CST);
	evict_kept_changed(rig.evict);
	test_settle(&rig);
	for (unsigned int i = 0; i < 100; i++)
		CU_ASSERT(test_has(&rig, i));
	evict_get_stats(rig.evict, &stats);
	CU_ASSERT(stats.shards > 0);
	test_close(&rig);
}

/* What a package that is being made relies on stays, though no tree has it; a
 * lease that ends makes it learn anew what must stay. */
static void test_leases(void)
{
	enum { HELD = 200 };
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP(tmpdir_cleanup) char *state = tmpdir_new();
	struct test_rig rig = {.dir = dir};
	unsigned int held = 0, named = 0;
	struct leases *leases;
	uint64_t lease;
	struct kv *kv;

	ASSERT(kv_open(state, KV_STATE, 4 << 20, &kv) == 0);
	ASSERT(leases_new(kv, &leases) == 0);
	ASSERT(lease_open(leases, 0, &lease) == 0);
	rig.leases = leases;
	test_open(&rig, EVICT_QUOTA_MIN, USAGE_FREQUENCY);
	for (unsigned int i = 0; i < HELD; i++) {
		struct digest name = test_name(i);

		CU_ASSERT_EQUAL(lease_guard_put(leases, lease, &name), 0);
		CU_ASSERT_EQUAL(test_fetch(&rig, i), 0);
	}
	test_load(&rig, 10000, 900, true);
	for (unsigned int i = 0; i < HELD; i++)
		held += test_has(&rig, i);
	CU_ASSERT_EQUAL(held, HELD);

	/* The half of it that is named stays. */
	__atomic_store_n(&rig.keep_end, HELD / 2, __ATOMIC_SEQ_CST);
	lease_close(leases, lease, true);
	test_load(&rig, 20000, 900, true);
	held = 0;
	for (unsigned int i = 0; i < HELD; i++) {
		held += test_has(&rig, i);
		named += i < HELD / 2 && test_has(&rig, i);
	}
	CU_ASSERT_EQUAL(named, HELD / 2);
	CU_ASSERT(held < HELD);
	test_close(&rig);
	leases_free(leases);
	kv_close(kv);
}

/* Counters outlive a restart; a damaged file is no error. */
static void test_remembers(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct test_rig rig = {.dir = dir};
	struct digest name = test_name(1);

	test_open(&rig, 0, USAGE_FREQUENCY);
	for (int i = 0; i < 9; i++)
		usage_touch(rig.usage, &name, 0);
	test_close(&rig);
	test_open(&rig, 0, USAGE_FREQUENCY);
	CU_ASSERT_EQUAL(usage_get(rig.usage, &name), 9);
	test_close(&rig);
	ASSERT(truncate(rig.usage_path, 1000) == 0);
	check_mute();
	test_open(&rig, 0, USAGE_FREQUENCY);
	check_unmute();
	CU_ASSERT_EQUAL(usage_get(rig.usage, &name), 0);
	test_close(&rig);
	ASSERT(unlink(rig.usage_path) == 0);
}

/* A tenant whose scan is worth more per shard than the other's own set. */
static void test_shares(void)
{
	enum { OWN = 250, SCAN = 1200 };
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct test_rig rig = {.dir = dir};
	unsigned int own = 0;

	test_open(&rig, EVICT_QUOTA_MIN, USAGE_FREQUENCY);
	for (unsigned int i = 0; i < OWN; i++) {
		struct digest name = test_name(i);

		usage_touch(rig.usage, &name, 1);
		CU_ASSERT_EQUAL(test_fetch(&rig, i), 0);
	}
	for (unsigned int i = 0; i < SCAN; i++) {
		struct digest name = test_name(10000 + i);

		for (int times = 0; times < 6; times++)
			usage_touch(rig.usage, &name, 2);
		test_load(&rig, 10000 + i, 1, true);
		if (i % 100 == 0)
			for (unsigned int n = 0; n < OWN; n++) {
				name = test_name(n);
				usage_touch(rig.usage, &name, 1);
			}
	}
	test_settle(&rig);
	for (unsigned int i = 0; i < OWN; i++)
		own += test_has(&rig, i);
	CU_ASSERT(rig.disk_most <= EVICT_QUOTA_MIN);
	printf("  beside another's scan %u of %u shards of a tenant stay; most "
	       "on disk %.1f\n",
	       own, OWN, (double)rig.disk_most / 1048576);
	CU_ASSERT(own * 10 >= OWN * 9);
	test_close(&rig);
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"the quota holds on disk", test_quota},
	    {"by recency", test_lru},
	    {"full of what may not go", test_full},
	    {"what a lease guards stays", test_leases},
	    {"counters outlive a restart", test_remembers},
	    {"shares of tenants", test_shares},
	};

	return check_main("test_store_evict", tests, ARRAY_LEN(tests));
}
