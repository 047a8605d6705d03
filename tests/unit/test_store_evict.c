/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_store_evict: the quota holds on disk, what must stay stays, what is read
 * stays longer, and the space comes back.
 *
 * How fast RocksDB merges decides how many newcomers are refused, so no test
 * counts those; that there is room again is waited for.
 */
#include <stdio.h>

#include "depot/evict_inside.h"
#include "depot/kv.h"
#include "depot/lease.h"
#include "depot/space.h"
#include "tests/lib/check.h"
#include "tests/lib/evict_rig.h"
#include "tests/lib/tmpdir.h"

enum { TEST_QUOTA_SHARDS = (32 << 20) / EVICT_RIG_SHARD };

/* Twice the quota goes through; a fifth of it may not go. */
static void test_quota(void)
{
	enum { KEEP = 200, HOT = 150, LOAD = 2 * TEST_QUOTA_SHARDS };
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct evict_rig rig = {.dir = dir, .keep_end = KEEP};
	struct evict_stats stats;
	struct store_stats store;
	unsigned int hot;

	evict_rig_open(&rig, EVICT_QUOTA_MIN, USAGE_FREQUENCY);
	evict_rig_load(&rig, 0, KEEP, false);
	for (unsigned int i = 0; i < HOT; i++)
		evict_rig_store(&rig, 1000 + i);
	for (unsigned int part = 0; part < 16; part++) {
		evict_rig_touch(&rig, 1000, 1000 + HOT, 1, 0);
		evict_rig_load(&rig, 10000 + part * LOAD / 16, LOAD / 16,
			       part % 2);
	}
	evict_rig_settle(&rig);
	evict_get_stats(rig.evict, &stats);
	store_get_stats(rig.store, &store);
	hot = evict_rig_count(&rig, 1000, 1000 + HOT);
	printf("  quota %ju MiB, most on disk %.1f, at the end %.1f with %.1f "
	       "of shards; evicted %ju, not stored %ju; hot %u of %u\n",
	       (uintmax_t)EVICT_QUOTA_MIN >> 20,
	       (double)rig.disk_most / 1048576,
	       (double)store_disk_bytes(rig.store) / 1048576,
	       (double)store.bytes / 1048576, (uintmax_t)stats.shards,
	       (uintmax_t)stats.refused, hot, HOT);
	CU_ASSERT(rig.disk_most <= EVICT_QUOTA_MIN);
	CU_ASSERT_EQUAL(evict_rig_count(&rig, 0, KEEP), KEEP);
	CU_ASSERT(hot >= HOT * 8 / 10);
	CU_ASSERT(stats.shards > 0);
	CU_ASSERT_FALSE(stats.full);
	/* Not by storing little: much of the quota is in use. */
	CU_ASSERT(store.bytes > EVICT_QUOTA_MIN / 2);
	evict_rig_close(&rig);
}

/* By recency the hot ones of long ago are gone, the last ones are here. */
static void test_lru(void)
{
	enum { HOT = 150, LOAD = 1000 };
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct evict_rig rig = {.dir = dir};
	unsigned int hot, last;

	evict_rig_open(&rig, EVICT_QUOTA_MIN, USAGE_LRU);
	evict_rig_touch(&rig, 1000, 1000 + HOT, 20, 0);
	evict_rig_load(&rig, 1000, HOT, false);
	evict_rig_load(&rig, 10000, LOAD, true);
	evict_rig_settle(&rig);
	hot = evict_rig_count(&rig, 1000, 1000 + HOT);
	last = evict_rig_count(&rig, 10000 + LOAD - HOT, 10000 + LOAD);
	printf("  by recency: %u of %u old hot ones, %u of the last %u; most "
	       "on disk %.1f\n",
	       hot, HOT, last, HOT, (double)rig.disk_most / 1048576);
	CU_ASSERT(hot < HOT / 2);
	CU_ASSERT(last > HOT / 3);
	CU_ASSERT(rig.disk_most <= EVICT_QUOTA_MIN);
	evict_rig_close(&rig);
}

/* Store until the store says that it is full, and then that it has no room at
 * all: a merge that has just ended leaves some for a few more.  How many are
 * in it. */
static unsigned int test_fill(struct evict_rig *rig, struct evict_stats *stats)
{
	unsigned int number = 0;
	int rc = 0;

	for (int ms = 0; ms < EVICT_RIG_WAIT_MS; ms += rc < 0 ? 5 : 0) {
		rc = evict_rig_fetch(rig, number);
		number += rc == 0;
		evict_rig_look(rig);
		evict_get_stats(rig->evict, stats);
		if (rc == 0)
			continue;
		CU_ASSERT_EQUAL(rc, -EDQUOT);
		if (stats->full && !stats->room)
			break;
		evict_rig_pause(5);
	}
	return number;
}

/* What may not go is more than there is room: said; reads go on, newcomers are
 * refused; when it may go again, it does. */
static void test_full(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct evict_rig rig = {.dir = dir, .keep_end = 100000};
	struct evict_stats stats;
	unsigned int number;

	evict_rig_open(&rig, EVICT_QUOTA_MIN, USAGE_FREQUENCY);
	check_mute();
	number = test_fill(&rig, &stats);
	check_unmute();
	CU_ASSERT(stats.full);
	CU_ASSERT_FALSE(stats.room);
	CU_ASSERT(stats.kept_bytes > EVICT_QUOTA_MIN / 2);
	CU_ASSERT_EQUAL(stats.shards, 0);
	CU_ASSERT(rig.disk_most <= EVICT_QUOTA_MIN);
	CU_ASSERT_EQUAL(evict_rig_count(&rig, 0, number), number);

	evict_rig_keep(&rig, 100);
	evict_rig_settle(&rig);
	evict_rig_load(&rig, 200000, 300, true);
	CU_ASSERT_EQUAL(evict_rig_count(&rig, 0, 100), 100);
	evict_get_stats(rig.evict, &stats);
	CU_ASSERT(stats.shards > 0);
	CU_ASSERT_FALSE(stats.full);
	CU_ASSERT(evict_rig_count(&rig, 200000, 200300) > 150);
	evict_rig_close(&rig);
}

/* What a package that is being made relies on stays, though no tree has it; a
 * lease that ends makes it learn anew what must stay. */
static void test_leases(void)
{
	enum { HELD = 200 };
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP(tmpdir_cleanup) char *state = tmpdir_new();
	struct evict_rig rig = {.dir = dir};
	struct leases *leases;
	uint64_t lease;
	struct kv *kv;

	ASSERT(kv_open(state, KV_STATE, 4 << 20, &kv) == 0);
	ASSERT(leases_new(kv, &leases) == 0);
	ASSERT(lease_open(leases, 0, &lease) == 0);
	rig.leases = leases;
	evict_rig_open(&rig, EVICT_QUOTA_MIN, USAGE_FREQUENCY);
	for (unsigned int i = 0; i < HELD; i++) {
		struct digest name = evict_rig_name(i);

		CU_ASSERT_EQUAL(lease_guard_put(leases, lease, &name), 0);
		evict_rig_store(&rig, i);
	}
	evict_rig_load(&rig, 10000, 800, true);
	CU_ASSERT_EQUAL(evict_rig_count(&rig, 0, HELD), HELD);

	/* The half of it that is named stays. */
	__atomic_store_n(&rig.keep_end, HELD / 2, __ATOMIC_SEQ_CST);
	lease_close(leases, lease, true);
	evict_rig_load(&rig, 20000, 500, true);
	CU_ASSERT_EQUAL(evict_rig_count(&rig, 0, HELD / 2), HELD / 2);
	CU_ASSERT(evict_rig_count(&rig, HELD / 2, HELD) < HELD / 2);
	evict_rig_close(&rig);
	leases_free(leases);
	kv_close(kv);
}

/* Counters outlive a restart; a damaged file is no error. */
static void test_remembers(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct evict_rig rig = {.dir = dir};
	struct digest name = evict_rig_name(1);
	char *usage = NULL;

	ASSERT(asprintf(&usage, "%s.kept", dir) > 0);
	evict_rig_open(&rig, 0, USAGE_FREQUENCY);
	evict_rig_touch(&rig, 1, 2, 9, 0);
	evict_stop(rig.evict);
	ASSERT(rename(rig.usage_path, usage) == 0);
	evict_rig_close(&rig);
	ASSERT(rename(usage, rig.usage_path) == 0);
	evict_rig_open(&rig, 0, USAGE_FREQUENCY);
	CU_ASSERT_EQUAL(usage_get(rig.usage, &name), 9);
	evict_stop(rig.evict);
	ASSERT(rename(rig.usage_path, usage) == 0);
	evict_rig_close(&rig);
	ASSERT(truncate(usage, 1000) == 0);
	ASSERT(rename(usage, rig.usage_path) == 0);
	check_mute();
	evict_rig_open(&rig, 0, USAGE_FREQUENCY);
	check_unmute();
	CU_ASSERT_EQUAL(usage_get(rig.usage, &name), 0);
	evict_rig_close(&rig);
	free(usage);
}

/* A tenant whose scan is worth more per shard than the other's own set. */
static void test_shares(void)
{
	enum { OWN = 250, SCAN = 1000 };
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct evict_rig rig = {.dir = dir};
	unsigned int own;

	evict_rig_open(&rig, EVICT_QUOTA_MIN, USAGE_FREQUENCY);
	evict_rig_touch(&rig, 0, OWN, 1, 1);
	for (unsigned int i = 0; i < OWN; i++)
		evict_rig_store(&rig, i);
	for (unsigned int i = 0; i < SCAN; i++) {
		evict_rig_touch(&rig, 10000 + i, 10001 + i, 6, 2);
		evict_rig_load(&rig, 10000 + i, 1, true);
		if (i % 100 == 0)
			evict_rig_touch(&rig, 0, OWN, 1, 1);
	}
	evict_rig_settle(&rig);
	own = evict_rig_count(&rig, 0, OWN);
	CU_ASSERT(rig.disk_most <= EVICT_QUOTA_MIN);
	printf("  beside another's scan %u of %u shards of a tenant stay; most "
	       "on disk %.1f\n",
	       own, OWN, (double)rig.disk_most / 1048576);
	CU_ASSERT(own * 10 >= OWN * 8);
	evict_rig_close(&rig);
}

/* What newcomers are held up to, as learnt because one was refused for it; 200:
 * not learnt in time. */
static unsigned int test_bar(struct evict_rig *rig)
{
	enum { STALE = 200 };
	unsigned int bar = STALE;

	atomic_store(&rig->evict->bar, STALE);
	for (int ms = 0; bar == STALE && ms < EVICT_RIG_WAIT_MS; ms += 10) {
		atomic_store(&rig->evict->barred, true);
		evict_kick(rig->evict);
		evict_rig_pause(10);
		bar = atomic_load(&rig->evict->bar);
	}
	return bar;
}

/*
 * A store of what was read often holds newcomers to that; when nobody reads it
 * any more it must not go on refusing, though no step of eviction is due.
 */
static void test_forgets(void)
{
	enum { OLD = 300, WORTH = 16 };
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct evict_rig rig = {.dir = dir};
	struct evict_stats stats;
	unsigned int bar;

	evict_rig_open(&rig, 2 * EVICT_QUOTA_MIN, USAGE_FREQUENCY);
	evict_rig_load(&rig, 0, OLD, true);
	evict_rig_touch(&rig, 0, OLD, WORTH, 0);
	bar = test_bar(&rig);
	printf("  held up to %u\n", bar);
	/* Learnt of what is here, whose counters may have been halved since
	 * and stand for others, too: much less than the stale one. */
	CU_ASSERT(bar <= 2 * WORTH);

	/* Others are read, and halve what the old ones were worth. */
	evict_rig_touch(&rig, 1000000, 1100000, 2, 0);
	CU_ASSERT(test_bar(&rig) <= 1);
	evict_get_stats(rig.evict, &stats);
	CU_ASSERT_EQUAL(stats.shards, 0);
	evict_rig_close(&rig);
}

/* Less than store.free is free: nothing comes in, and what may go goes, quota
 * or not; what may not stays, and is said. */
static void test_floor(void)
{
	enum { HERE = 200, KEEP = 50 };
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct evict_rig rig = {.dir = dir, .keep_end = KEEP};
	struct space_stats stats;
	struct evict_stats evict;
	struct space *space;

	ASSERT(space_open(dir, &space) == 0);
	rig.space = space;
	evict_rig_open(&rig, 0, USAGE_FREQUENCY);
	evict_rig_load(&rig, 0, HERE, false);
	CU_ASSERT_EQUAL(evict_rig_count(&rig, 0, HERE), HERE);
	evict_rig_close(&rig);

	space_get_stats(space, &stats);
	rig.free_min = 2 * stats.free;
	check_mute();
	evict_rig_open(&rig, 0, USAGE_FREQUENCY);
	for (int ms = 0; ms < EVICT_RIG_WAIT_MS; ms += 20) {
		evict_get_stats(rig.evict, &evict);
		if (evict.full)
			break;
		evict_rig_pause(20);
	}
	CU_ASSERT(evict.full);
	CU_ASSERT_EQUAL(evict_rig_fetch(&rig, 1000), -EDQUOT);
	check_unmute();
	CU_ASSERT_EQUAL(evict_rig_count(&rig, 0, KEEP), KEEP);
	/* A handful of neighbours gives none up. */
	CU_ASSERT(evict_rig_count(&rig, KEEP, HERE) < HERE / 10);
	/* More may have gone since "full" was first said. */
	evict_get_stats(rig.evict, &evict);
	CU_ASSERT(evict.shards > (HERE - KEEP) * 9 / 10);
	evict_rig_close(&rig);
	space_close(space);
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
	    {"less is free than the floor", test_floor},
	    {"newcomers are held up to what is here now", test_forgets},
	};

	return check_main("test_store_evict", tests, ARRAY_LEN(tests));
}
