/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fetch_sources: one tree, two upstreams: the second is found when it is
 * needed, asked when the first is down, silent, slow, wrong or without the
 * pack, and left alone again when the first is well; turns of tenants, shares
 * of classes, the bound on bytes.  Time is shortened, no network is used.
 */
#include <stdio.h>

#include "depot/fetch_inside.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "tests/fake/fake_fetch.h"
#include "tests/fake/fake_source.h"
#include "tests/lib/check.h"
#include "tests/lib/tmpdir.h"

enum { JOBS = 20 };

static uint64_t ms_since(uint64_t start_ns)
{
	return (check_now_ns() - start_ns) / 1000000;
}

/* JOBS shards while the first source has this fault; all must come, within
 * `max_ms`, and from the spare one. */
static uint64_t spare_helps(struct fetchrig *f, enum fake_fault fault,
			    uint64_t max_ms)
{
	static struct rig_job jobs[JOBS];
	struct rig_jobs all;
	uint64_t start, took;

	fake_source_set(0, fault, -1);
	fake_source_set(1, FAKE_FAULT_NONE, 0);
	start = check_now_ns();
	rig_jobs_start(f, &all, jobs, 0, JOBS, 1);
	rig_jobs_wait(&all);
	took = ms_since(start);
	CU_ASSERT_EQUAL(all.good, JOBS);
	CU_ASSERT(took <= max_ms);
	CU_ASSERT(fake_source_counts(1).ranges > 0);
	return took;
}

static void test_refused(void)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	struct upstream_info info = {.name = "lab"};

	fetchrig_open(&f);
	check_mute();
	fetchrig_add_spare(&f, true);
	spare_helps(&f, FAKE_FAULT_DOWN, 1000);
	fetch_tell_source(f.fetch, &info);
	CU_ASSERT_EQUAL(info.score, 0);
	fetch_stop(f.fetch);
	check_unmute();
}

/* The first is silent: late, then asked of the second; the loser is ended. */
static void test_silent(void)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	struct fetch_stats stats;
	uint64_t took;

	fetchrig_open(&f);
	check_mute();
	fetchrig_add_spare(&f, true);
	took = spare_helps(&f, FAKE_FAULT_HANG, 1500);
	CU_ASSERT(took >= 80);
	for (int i = 0; i < 200 && fake_source_counts(0).cancelled == 0; i++)
		usleep(5000);
	CU_ASSERT(fake_source_counts(0).cancelled > 0);
	CU_ASSERT_EQUAL(fake_source_counts(0).inflight, 0);
	fetch_get_stats(f.fetch, &stats);
	CU_ASSERT(stats.late > 0);
	fetch_stop(f.fetch);
	check_unmute();
}

/* One that is given another address, or removed: what hangs at the old one ends
 * and is asked of the new one.  It held up reads, and the daemon's end, for the
 * 75 s that a range may be silent. */
static void test_replaced(void)
{
	struct fetch_options options = fetchrig_options();
	CLEANUP(fetchrig_close) struct fetchrig f;
	CLEANUP_FREE char *url = NULL;
	struct upstream_spec spec = {.name = "lab", .is_unsigned = true};
	static struct rig_job jobs[1];
	struct rig_jobs all;
	uint64_t start;

	options.silent_ms = options.late_ms = options.give_up_ms = 60000;
	fetchrig_open_with(&f, &options);
	spec.url = url = kit_url(f.out);
	check_mute();
	for (int removed = 0; removed < 2; removed++) {
		fake_source_set(0, FAKE_FAULT_HANG, 1);
		rig_jobs_start(&f, &all, jobs, (unsigned int)removed, 1, 1);
		while (fake_source_counts(0).inflight == 0)
			usleep(1000);
		start = check_now_ns();
		CU_ASSERT_EQUAL(removed ? upstreams_remove(f.upstreams, "lab")
					: upstreams_add(f.upstreams, &spec),
				0);
		rig_jobs_wait(&all);
		/* Without an upstream it fails as any other would. */
		CU_ASSERT_EQUAL(all.good, removed ? 0u : 1u);
		CU_ASSERT(ms_since(start) < 5000);
		CU_ASSERT_EQUAL(fake_source_counts(0).cancelled, 1);
	}
	fetch_stop(f.fetch);
	check_unmute();
}

/* Half of the range has come and is proved; the rest drips. */
static void test_slow(void)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	uint64_t took;

	fetchrig_open(&f);
	check_mute();
	fetchrig_add_spare(&f, true);
	took = spare_helps(&f, FAKE_FAULT_TRICKLE, 3000);
	CU_ASSERT(took >= 80);
	CU_ASSERT(fake_source_counts(1).bytes < fake_source_counts(0).bytes);
	fetch_stop(f.fetch);
	check_unmute();
}

static void test_not_there(void)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	static struct rig_job jobs[JOBS];
	struct rig_jobs all;

	fetchrig_open(&f);
	check_mute();
	fetchrig_add_spare(&f, true);
	spare_helps(&f, FAKE_FAULT_MISSING, 1000);
	/* For a while it is not asked for this pack at all. */
	fake_source_set(0, FAKE_FAULT_MISSING, -1);
	rig_jobs_start(&f, &all, jobs, 30, JOBS, 1);
	rig_jobs_wait(&all);
	CU_ASSERT_EQUAL(all.good, JOBS);
	CU_ASSERT_EQUAL(fake_source_counts(0).ranges, 0);
	fetch_stop(f.fetch);
	check_unmute();
}

static void test_wrong(enum fake_fault fault)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	struct upstream_info info = {.name = "lab"};

	fetchrig_open(&f);
	check_mute();
	fetchrig_add_spare(&f, true);
	spare_helps(&f, fault, 1000);
	fetch_tell_source(f.fetch, &info);
	CU_ASSERT(info.wrong > 0);
	CU_ASSERT(info.score < 100);
	fetch_stop(f.fetch);
	check_unmute();
}

static void test_wrong_all(void)
{
	test_wrong(FAKE_FAULT_WRONG);
	test_wrong(FAKE_FAULT_ZEROS);
	test_wrong(FAKE_FAULT_SHORT);
}

/* Both wrong: an error, in time, and nothing is kept. */
static void test_both_wrong(void)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	static struct rig_job jobs[3];
	struct rig_jobs all;
	uint64_t start;

	fetchrig_open(&f);
	check_mute();
	fetchrig_add_spare(&f, true);
	fake_source_set(0, FAKE_FAULT_WRONG, -1);
	fake_source_set(1, FAKE_FAULT_ZEROS, -1);
	start = check_now_ns();
	rig_jobs_start(&f, &all, jobs, 5, 3, 7);
	rig_jobs_wait(&all);
	check_unmute();
	CU_ASSERT_EQUAL(all.bad, 3);
	CU_ASSERT_EQUAL(all.last_rc, -EIO);
	CU_ASSERT(ms_since(start) >= 390);
	CU_ASSERT(ms_since(start) < 3000);
	CU_ASSERT(fake_source_counts(0).ranges < 60);
	for (uint32_t i = 0; i < 3; i++)
		CU_ASSERT_FALSE(store_has(
		    f.store, tree_shard_name(f.package.tree, 5 + i * 7)));
}

/* The other upstream has other packages only: asked for once, not for ever. */
static void test_stranger(void)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	static struct rig_job jobs[3];
	struct rig_jobs all;

	fetchrig_open(&f);
	check_mute();
	fetchrig_add_spare(&f, false);
	fake_source_set(0, FAKE_FAULT_DOWN, 3);
	rig_jobs_start(&f, &all, jobs, 5, 3, 7);
	rig_jobs_wait(&all);
	fetch_stop(f.fetch);
	check_unmute();
	CU_ASSERT_EQUAL(all.good, 3);
	CU_ASSERT_EQUAL(fake_source_counts(1).ranges, 0);
	CU_ASSERT(fake_source_counts(1).gets <= 3);
}

/* The first is tried again while the second serves, and served by it again. */
static void test_fail_back(void)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	static struct rig_job jobs[4 * JOBS];
	struct upstream_info info = {.name = "lab"};
	struct rig_jobs all;

	fetchrig_open(&f);
	check_mute();
	fetchrig_add_spare(&f, true);
	spare_helps(&f, FAKE_FAULT_DOWN, 1000);
	fake_source_set(0, FAKE_FAULT_NONE, 0);
	for (uint32_t i = 0; i < JOBS && !info.score; i++) {
		usleep(20000);
		rig_jobs_start(&f, &all, &jobs[i], JOBS + i, 1, 1);
		rig_jobs_wait(&all);
		CU_ASSERT_EQUAL(all.good, 1);
		fetch_tell_source(f.fetch, &info);
	}
	CU_ASSERT(info.score > 0);
	CU_ASSERT(fake_source_counts(0).ranges > 0);
	fetch_stop(f.fetch);
	check_unmute();
}

/* One that answers later than the second: it is told from its trial all the
 * same.  The second's answer ended the trial, and it was never asked again. */
static void test_fail_back_slower(void)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	static struct rig_job jobs[4 * JOBS];
	struct upstream_info info = {.name = "lab"};
	struct rig_jobs all;

	fetchrig_open(&f);
	check_mute();
	fetchrig_add_spare(&f, true);
	spare_helps(&f, FAKE_FAULT_DOWN, 1000);
	fake_source_set(0, FAKE_FAULT_DELAY, -1);
	for (uint32_t i = 0; i < JOBS && !info.score; i++) {
		usleep(50000);
		rig_jobs_start(&f, &all, &jobs[i], JOBS + i, 1, 1);
		rig_jobs_wait(&all);
		CU_ASSERT_EQUAL(all.good, 1);
		fetch_tell_source(f.fetch, &info);
	}
	CU_ASSERT(info.score > 0);
	CU_ASSERT_EQUAL(fake_source_counts(0).cancelled, 0);
	fetch_stop(f.fetch);
	check_unmute();
}

/* However much is amiss at once, a source that is preferred goes first again
 * within a minute.  Sixteen late ranges held it back for one and a half. */
static void test_amiss_ends(void)
{
	static const enum fetch_amiss all[] = {
	    FETCH_AMISS_LATE, FETCH_AMISS_GONE, FETCH_AMISS_WRONG};
	struct fetch_lane good = {.name = "spare"};

	for (size_t w = 0; w < ARRAY_LEN(all); w++) {
		struct fetch_lane lane = {.name = "lab", .priority = 1};

		for (int i = 0; i < 16; i++)
			fetch_lane_amiss(&lane, all[w], 1000);
		CU_ASSERT_FALSE(fetch_lane_better(&lane, &good, "lab", 11000));
		CU_ASSERT(fetch_lane_better(&lane, &good, "lab", 59000));
	}
}

/* Wrong, then down: when it is well again, what it had wrong is asked of it
 * although it is marked, since there is nobody else. */
static void test_marked_and_down(void)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	struct fetch_options options = fetchrig_options();
	static struct rig_job jobs[1];
	struct rig_jobs all;
	uint64_t start = check_now_ns();

	options.avoid_ms = 60000;
	options.give_up_ms = 20000;
	fetchrig_open_with(&f, &options);
	check_mute();
	fake_source_set(0, FAKE_FAULT_WRONG, -1);
	rig_jobs_start(&f, &all, jobs, 5, 1, 1);
	while (fake_source_counts(0).ranges == 0 && ms_since(start) < 5000)
		usleep(1000);
	fake_source_set(0, FAKE_FAULT_DOWN, 2);
	start = check_now_ns();
	rig_jobs_wait(&all);
	check_unmute();
	CU_ASSERT_EQUAL(all.good, 1);
	CU_ASSERT(ms_since(start) < 5000);
}

/* A guest's read of what a plan has long waited for: its patience begins when
 * it asks.  It ended with the plan's. */
static void test_own_patience(void)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	struct rig_jobs plans = {.fetch_class = FETCH_PLAN}, reads;
	static struct rig_job plan[1], read[1];
	uint64_t start;

	fetchrig_open(&f);
	check_mute();
	fake_source_set(0, FAKE_FAULT_DOWN, -1);
	rig_jobs_more(&f, &plans, plan, 5, 1, 1);
	usleep(300000);
	start = check_now_ns();
	rig_jobs_start(&f, &reads, read, 5, 1, 1);
	rig_jobs_wait(&reads);
	check_unmute();
	CU_ASSERT_EQUAL(reads.last_rc, -EIO);
	CU_ASSERT(ms_since(start) >= 390);
	CU_ASSERT(ms_since(start) < 3000);
	rig_jobs_wait(&plans);
}

/* What was found out is known after a restart: no document is read again. */
static void test_remembered(void)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	struct fetch_options options = fetchrig_options();

	fetchrig_open(&f);
	check_mute();
	fetchrig_add_spare(&f, true);
	spare_helps(&f, FAKE_FAULT_DOWN, 1000);
	fetch_free(f.fetch);
	upstreams_close(f.upstreams);
	ASSERT(upstreams_open(f.state, &f.upstreams) == 0);
	ASSERT(fetch_new(f.state, f.host, f.store, f.upstreams, &options,
			 &f.fetch) == 0);
	spare_helps(&f, FAKE_FAULT_DOWN, 1000);
	CU_ASSERT_EQUAL(fake_source_counts(1).gets, 0);
	fetch_stop(f.fetch);
	check_unmute();
}

/* --- turns and shares ---------------------------------------------------- */

static unsigned int landed_first(uint32_t who, unsigned int of)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < of && i < rig_order.count; i++)
		n += rig_order.who[i] == who;
	return n;
}

/* One tenant asks for much, then another for little: they take turns. */
static void test_turns(void)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	struct fetch_options options = fetchrig_options();
	static struct rig_job much[40], little[5];
	struct rig_jobs a = {.who = 1, .listed = true};
	struct rig_jobs b = {.who = 2, .listed = true};

	options.threads = 1;
	options.late_ms = 5000;
	fetchrig_open_with(&f, &options);
	rig_order.count = 0;
	fake_source_hold(true);
	rig_jobs_more(&f, &a, much, 0, 40, 2);
	rig_jobs_more(&f, &b, little, 1, 5, 14);
	fake_source_hold(false);
	rig_jobs_wait(&a);
	rig_jobs_wait(&b);
	CU_ASSERT_EQUAL(a.good, 40);
	CU_ASSERT_EQUAL(b.good, 5);
	/* Not behind the forty. */
	CU_ASSERT_EQUAL(landed_first(2, 30), 5);
}

/* A fill goes on, if slowly, while guests ask without end. */
static void test_share(void)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	struct fetch_options options = fetchrig_options();
	static struct rig_job fill[1], demand[2000];
	struct rig_jobs fills = {.fetch_class = FETCH_FILL};
	struct rig_jobs demands[2] = {{.who = 1}, {.who = 2}};
	uint64_t start = check_now_ns();
	uint32_t n = 0, count;

	options.threads = 1;
	fetchrig_open_with(&f, &options);
	check_mute();
	count = tree_shard_count(f.package.tree) - 1;
	/* Nothing right comes: all go on asking. */
	fake_source_set(0, FAKE_FAULT_NONE, 0);
	rig_jobs_more(&f, &fills, fill, count, 1, 1);
	while (ms_since(start) < 3000 && fills.good == 0 && n < 1000) {
		/* Two at least wait at any time. */
		rig_jobs_more(&f, &demands[n % 2], &demand[n], n % count, 1, 1);
		rig_jobs_wait(&demands[(n + 1) % 2]);
		n++;
	}
	rig_jobs_wait(&fills);
	rig_jobs_wait(&demands[0]);
	rig_jobs_wait(&demands[1]);
	check_unmute();
	CU_ASSERT_EQUAL(fills.good, 1);
}

/* Bytes asked for and not here stay within the bound and one shard. */
static void test_bytes_bound(void)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	struct fetch_options options = fetchrig_options();
	static struct rig_job jobs[200];
	struct rig_jobs all;
	uint32_t count;

	options.threads = 8;
	options.bytes_max = 100 << 10;
	fetchrig_open_with(&f, &options);
	count = MIN(tree_shard_count(f.package.tree), 200u);
	rig_jobs_start(&f, &all, jobs, 0, count, 1);
	rig_jobs_wait(&all);
	CU_ASSERT_EQUAL(all.good, count);
	CU_ASSERT(fake_source_counts(0).bytes_inflight_max <=
		  options.bytes_max + (128 << 10));
}

/* Is a fill's window cut when its second range has this fault? */
static bool fill_is_cut(enum fake_fault fault)
{
	CLEANUP(fetchrig_close) struct fetchrig f;
	struct rig_jobs all = {.fetch_class = FETCH_FILL};
	static struct rig_job jobs[2];

	fetchrig_open(&f);
	fake_source_set(0, FAKE_FAULT_NONE, 0);
	rig_jobs_more(&f, &all, &jobs[0], 0, 1, 1);
	rig_jobs_wait(&all);
	fake_source_set(0, fault, -1);
	rig_jobs_more(&f, &all, &jobs[1], 1, 1, 1);
	rig_jobs_wait(&all);
	CU_ASSERT_EQUAL(all.good, 2);
	fake_source_set(0, FAKE_FAULT_NONE, 0);
	fetch_stop(f.fetch);
	return f.fetch->lanes[0]->fill.cut_ms > 0;
}

/* Answers that come late stop a fill's window from doubling; not those before
 * which a connection had to be made.  (A busy machine may make any one late.)
 */
static void test_connecting(void)
{
	bool cut = true;

	CU_ASSERT_TRUE(fill_is_cut(FAKE_FAULT_DELAY));
	for (int i = 0; i < 20 && cut; i++)
		cut = fill_is_cut(FAKE_FAULT_CONNECT);
	CU_ASSERT_FALSE(cut);
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"refused", test_refused},
	    {"silent", test_silent},
	    {"replaced, removed", test_replaced},
	    {"slow", test_slow},
	    {"not there", test_not_there},
	    {"wrong", test_wrong_all},
	    {"both wrong", test_both_wrong},
	    {"one without the tree", test_stranger},
	    {"back to the first", test_fail_back},
	    {"back to the first, though slower", test_fail_back_slower},
	    {"what was amiss ends", test_amiss_ends},
	    {"marked, then down", test_marked_and_down},
	    {"a read's own patience", test_own_patience},
	    {"remembered", test_remembered},
	    {"tenants take turns", test_turns},
	    {"no class starves", test_share},
	    {"bytes under way are bounded", test_bytes_bound},
	    {"connecting is no delay", test_connecting},
	};

	return check_main("test_fetch_sources", tests, ARRAY_LEN(tests));
}
