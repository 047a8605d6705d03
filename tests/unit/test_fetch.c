/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fetch: joined ranges; an upstream that is down, wrong, short, or that
 * has lost a pack; classes and turns.  Time is shortened, and no network is
 * used (tests/fake/fake_source.h).
 */
#include <stdio.h>

#include "depot/fetch_join.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "tests/fake/fake_fetch.h"
#include "tests/fake/fake_source.h"
#include "tests/lib/check.h"
#include "tests/lib/tmpdir.h"

/* --- tests --------------------------------------------------------------- */

static void test_join(void)
{
	struct fetch_place places[] = {
	    {1000, 100, &places[0]}, {16, 984, &places[1]},
	    {1100, 50, &places[2]},  {1200000, 10, &places[3]},
	    {1160, 5, &places[4]},
	};
	struct fetch_place gaps[] = {
	    {100000, 1000, &gaps[0]},
	    {101010, 1000, &gaps[1]},
	    {102060 + 60, 900, &gaps[2]},
	    {90000, 9990, &gaps[3]},
	};
	struct fetch_place big[3];
	struct fetch_range range;

	fetch_join(places, 5, 0, FETCH_JOIN_RANGE_MAX, &range);
	CU_ASSERT_EQUAL(range.off, 16);
	CU_ASSERT_EQUAL(range.len, 1149);
	CU_ASSERT_EQUAL(range.count, 4);
	fetch_join(places, 5, 4, FETCH_JOIN_RANGE_MAX, &range);
	CU_ASSERT_EQUAL(range.off, 1200000);
	CU_ASSERT_EQUAL(range.len, 10);
	CU_ASSERT_EQUAL(range.count, 1);

	/* 10 + 110 of 3,020 bytes are within 5 %; 10 more below, too. */
	fetch_join(gaps, 4, 0, FETCH_JOIN_RANGE_MAX, &range);
	CU_ASSERT_EQUAL(range.off, 90000);
	CU_ASSERT_EQUAL(range.count, 4);

	for (unsigned int i = 0; i < 3; i++)
		big[i] = (struct fetch_place){16 + i * (2u << 20), 2u << 20,
					      &big[i]};
	fetch_join(big, 3, 1, FETCH_JOIN_RANGE_MAX, &range);
	CU_ASSERT_EQUAL(range.len, FETCH_JOIN_RANGE_MAX);
	CU_ASSERT_EQUAL(range.count, 2);
	/* The same shard twice. */
	big[1] = big[0];
	fetch_join(big, 2, 1, FETCH_JOIN_RANGE_MAX, &range);
	CU_ASSERT_EQUAL(range.len, 2u << 20);
	CU_ASSERT_EQUAL(range.count, 2);
}

static void test_all_in_few_ranges(void)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	static struct rig_job jobs[400];
	struct rig_jobs all;
	struct fetch_stats stats;
	uint32_t count;

	fetchrig_open(&f);
	count = tree_shard_count(f.package.tree);
	ASSERT(count > 50 && count <= ARRAY_LEN(jobs));
	rig_jobs_start(&f, &all, jobs, 0, count, 1);
	rig_jobs_wait(&all);
	CU_ASSERT_EQUAL(all.good, count);
	fetch_get_stats(f.fetch, &stats);
	CU_ASSERT_EQUAL(stats.shards, count);
	/* About 5 MB of pack in ranges of 4 MiB, and nothing twice. */
	CU_ASSERT(fake_source_counts(0).ranges <= 4);
	CU_ASSERT_EQUAL(stats.errors, 0);
	for (uint32_t i = 0; i < count; i++)
		CU_ASSERT(
		    store_has(f.store, tree_shard_name(f.package.tree, i)));
}

/* Every tenth shard: no more bytes than 1.10 times theirs. */
static void test_waste(void)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	static struct rig_job jobs[400];
	struct rig_jobs all;
	struct kv_value value;
	uint64_t wanted = 0;
	uint32_t count;

	fetchrig_open(&f);
	count = tree_shard_count(f.package.tree) / 10;
	rig_jobs_start(&f, &all, jobs, 3, count, 10);
	rig_jobs_wait(&all);
	CU_ASSERT_EQUAL(all.good, count);
	for (uint32_t i = 0; i < count; i++) {
		ASSERT(store_get(f.store,
				 tree_shard_name(f.package.tree, 3 + i * 10),
				 &value) == 0);
		wanted += value.len;
		kv_value_release(&value);
	}
	CU_ASSERT(fake_source_counts(0).bytes * 10 <= wanted * 11);
}

static void test_fault_passes(enum fake_fault fault, int strikes)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	static struct rig_job jobs[30];
	struct rig_jobs all;

	fetchrig_open(&f);
	check_mute();
	fake_source_set(0, fault, strikes);
	rig_jobs_start(&f, &all, jobs, 0, 30, 1);
	rig_jobs_wait(&all);
	fetch_stop(f.fetch);
	check_unmute();
	CU_ASSERT_EQUAL(all.good, 30);
	CU_ASSERT_EQUAL(all.bad, 0);
}

static void test_faults_pass(void)
{
	test_fault_passes(FAKE_FAULT_DOWN, 5);
	test_fault_passes(FAKE_FAULT_MISSING, 3);
	test_fault_passes(FAKE_FAULT_SHORT, 3);
	test_fault_passes(FAKE_FAULT_WRONG, 4);
	test_fault_passes(FAKE_FAULT_ZEROS, 2);
}

/* Faults that last: -EIO after the time that was set, nothing stored. */
static void test_fault_stays(enum fake_fault fault)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	static struct rig_job jobs[3];
	struct fetch_stats stats;
	struct rig_jobs all;
	uint64_t start, took_ms;

	fetchrig_open(&f);
	check_mute();
	fake_source_set(0, fault, -1);
	start = check_now_ns();
	rig_jobs_start(&f, &all, jobs, 5, 3, 7);
	rig_jobs_wait(&all);
	took_ms = (check_now_ns() - start) / 1000000;
	check_unmute();
	CU_ASSERT_EQUAL(all.bad, 3);
	CU_ASSERT_EQUAL(all.last_rc, -EIO);
	CU_ASSERT(took_ms >= 390);
	CU_ASSERT(took_ms < 3000);
	fetch_get_stats(f.fetch, &stats);
	CU_ASSERT_EQUAL(stats.waiting, 0);
	CU_ASSERT_EQUAL(stats.shards, 0);
	for (uint32_t i = 0; i < 3; i++)
		CU_ASSERT_FALSE(store_has(
		    f.store, tree_shard_name(f.package.tree, 5 + i * 7)));
	/* Down: one at a time, 5 to 40 ms apart, not one a job. */
	if (fault == FAKE_FAULT_DOWN)
		CU_ASSERT(fake_source_counts(0).ranges < 60);
}

static void test_faults_stay(void)
{
	test_fault_stays(FAKE_FAULT_DOWN);
	test_fault_stays(FAKE_FAULT_MISSING);
	test_fault_stays(FAKE_FAULT_WRONG);
}

enum { TEST_TRIES = 5 }; /* on a machine that others keep busy */

static uint64_t test_unwanted_ms(void)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	static struct rig_job jobs[3];
	struct rig_jobs all;
	uint64_t start;

	fetchrig_open(&f);
	check_mute();
	fake_source_set(0, FAKE_FAULT_DOWN, -1);
	start = check_now_ns();
	rig_jobs_start(&f, &all, jobs, 0, 3, 1);
	__atomic_store_n(&all.unwanted, true, __ATOMIC_RELEASE);
	rig_jobs_wait(&all);
	check_unmute();
	CU_ASSERT_EQUAL(all.last_rc, -EIO);
	return (check_now_ns() - start) / 1000000;
}

/* Whom nobody wants lingers, but not for the whole time. */
static void test_unwanted(void)
{
	uint64_t took_ms = UINT64_MAX;

	for (int i = 0; i < TEST_TRIES && took_ms >= 350; i++)
		took_ms = test_unwanted_ms();
	CU_ASSERT(took_ms < 350);
}

static int test_get_shard(void *ctx, struct tree *tree, uint32_t shard,
			  void **bytes, size_t *len)
{
	return depot_tree_shard_get(ctx, tree, shard, bytes, len);
}

/* As a repack would leave it: other packs, and index 2. */
static void test_repack(struct fetchrig *f)
{
	struct publish_package row = {.name = "hello",
				      .tag = "1",
				      .revision_json = f->package.json,
				      .revision = f->package.revision,
				      .tree = f->package.tree};
	CLEANUP_FREE char *maker = tmpdir_path(f->dir, "maker");
	/* Shards as they come are other bytes than those of level 12. */
	struct publish publish = {.level = 1, .get_shard = test_get_shard};
	struct layout_path index =
	    layout_index(NULL, tree_digest(f->package.tree), 2);
	CLEANUP_FREE char *path = tmpdir_path(f->out, index.text);
	char command[600];

	snprintf(command, sizeof(command), "rm -r %s/packs", f->out);
	ASSERT(system(command) == 0);
	publish.ctx = kit_open(maker);
	ASSERT(publish_dir(&publish, f->out, &row, 1) == 0);
	depot_close(publish.ctx);
	ASSERT(access(path, R_OK) == 0);
}

static uint64_t test_moved_ms(void)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	static struct rig_job jobs[20];
	struct rig_jobs all;
	uint64_t start;

	fetchrig_open(&f);
	check_mute();
	test_repack(&f);
	start = check_now_ns();
	rig_jobs_start(&f, &all, jobs, 0, 20, 1);
	rig_jobs_wait(&all);
	start = check_now_ns() - start;
	check_unmute();
	CU_ASSERT_EQUAL(all.good, 20);
	CU_ASSERT_EQUAL(fake_source_counts(0).gets, 2);
	return start / 1000000;
}

/* The packs that the index names are gone, and a newer index names others:
 * those are asked for at once, not after a back-off. */
static void test_moved(void)
{
	uint64_t took_ms = UINT64_MAX;

	for (int i = 0; i < TEST_TRIES && took_ms >= 200; i++)
		took_ms = test_moved_ms();
	CU_ASSERT(took_ms < 200);
}

/* Without its index file a tree's index is read from upstream. */
static void test_no_index(void)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	CLEANUP_FREE char *path = NULL;
	static struct rig_job jobs[20];
	struct rig_jobs all;

	fetchrig_open(&f);
	path = layout_host_index(f.host, tree_digest(f.package.tree));
	check_mute();
	kit_file_flip(path, 3);
	fake_source_set(0, FAKE_FAULT_DOWN, 3);
	rig_jobs_start(&f, &all, jobs, 0, 20, 1);
	/* Down for both kinds of request, for a while. */
	usleep(50000);
	fake_source_set(0, FAKE_FAULT_NONE, 0);
	rig_jobs_wait(&all);
	fetch_stop(f.fetch);
	check_unmute();
	CU_ASSERT_EQUAL(all.good, 20);
}

static void test_removed(void)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	static struct rig_job jobs[2];
	struct rig_jobs all;

	fetchrig_open(&f);
	check_mute();
	CU_ASSERT_EQUAL(upstreams_remove(f.upstreams, "lab"), 0);
	rig_jobs_start(&f, &all, jobs, 0, 2, 1);
	rig_jobs_wait(&all);
	check_unmute();
	CU_ASSERT_EQUAL(all.bad, 2);
	CU_ASSERT_EQUAL(all.last_rc, -EIO);
}

/* Stopping ends what waits, at once, and what comes later. */
static void test_stop(void)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	static struct rig_job jobs[20], later[1];
	struct rig_jobs all;

	fetchrig_open(&f);
	check_mute();
	fake_source_set(0, FAKE_FAULT_DOWN, -1);
	rig_jobs_start(&f, &all, jobs, 0, 20, 1);
	fetch_stop(f.fetch);
	CU_ASSERT_EQUAL(all.left, 0);
	CU_ASSERT_EQUAL(all.last_rc, -EIO);
	rig_jobs_start(&f, &all, later, 0, 1, 1);
	CU_ASSERT_EQUAL(all.left, 0);
	CU_ASSERT_EQUAL(all.last_rc, -EIO);
	check_unmute();
}

/* A read joins what a plan asked for: one request, both are told, and it goes
 * before what was asked for earlier. */
static void test_one_flight(void)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	static struct rig_job fill[20], plan[3], demand[3];
	struct rig_jobs fills = {.fetch_class = FETCH_FILL, .listed = true};
	struct rig_jobs plans = {.fetch_class = FETCH_PLAN, .listed = true};
	struct rig_jobs demands;
	uint32_t last;
	bool right = true;

	fetchrig_open(&f);
	last = tree_shard_count(f.package.tree) - 3;
	check_mute();
	rig_order.count = 0;
	/* Nothing can go before all have been asked for. */
	fake_source_set(0, FAKE_FAULT_DOWN, 2);
	rig_jobs_more(&f, &fills, fill, 3, 20, 2);
	rig_jobs_more(&f, &plans, plan, last, 3, 1);
	rig_jobs_start(&f, &demands, demand, last, 3, 1);
	rig_jobs_wait(&demands);
	rig_jobs_wait(&plans);
	rig_jobs_wait(&fills);
	fetch_stop(f.fetch);
	check_unmute();
	CU_ASSERT_EQUAL(demands.good, 3);
	CU_ASSERT_EQUAL(plans.good, 3);
	CU_ASSERT_EQUAL(fills.good, 20);
	for (unsigned int i = 0; i < 3; i++)
		right &= rig_order.shard[i] >= last;
	CU_ASSERT(right);
}

/* Who looked into the store, found nothing, and comes when another's flight has
 * just landed there does not fetch it a second time. */
static void test_landed_since(void)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	static struct rig_job job[10];
	struct rig_jobs first = {.fetch_class = FETCH_PLAN};
	struct rig_jobs late = {.fetch_class = FETCH_DEMAND};
	struct rig_jobs again = {.fetch_class = FETCH_DEMAND};
	struct fetch_stats stats;

	fetchrig_open(&f);
	late.looked = fetch_stored_count(f.fetch);
	rig_jobs_start(&f, &first, job, 0, 10, 1);
	rig_jobs_wait(&first);
	rig_jobs_more(&f, &late, job, 0, 10, 1);
	rig_jobs_wait(&late);
	CU_ASSERT_EQUAL(late.bad, 10);
	CU_ASSERT_EQUAL(late.last_rc, -EEXIST);
	fetch_get_stats(f.fetch, &stats);
	CU_ASSERT_EQUAL(stats.shards, 10);

	/* Who has looked after that, and found it gone, does. */
	again.looked = fetch_stored_count(f.fetch);
	rig_jobs_more(&f, &again, job, 0, 10, 1);
	rig_jobs_wait(&again);
	CU_ASSERT_EQUAL(again.good, 10);
	fetch_get_stats(f.fetch, &stats);
	CU_ASSERT_EQUAL(stats.shards, 20);
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"join", test_join},
	    {"a whole package in few ranges", test_all_in_few_ranges},
	    {"little is fetched in vain", test_waste},
	    {"faults that pass", test_faults_pass},
	    {"faults that stay", test_faults_stay},
	    {"unwanted", test_unwanted},
	    {"one flight, raised", test_one_flight},
	    {"landed since the look", test_landed_since},
	    {"packs that moved", test_moved},
	    {"an index that is damaged", test_no_index},
	    {"an upstream that was removed", test_removed},
	    {"stop", test_stop},
	};

	return check_main("test_fetch", tests, ARRAY_LEN(tests));
}
