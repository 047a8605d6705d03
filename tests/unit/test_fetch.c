/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fetch: joined ranges; an upstream that is down, wrong, short, or that
 * has lost a pack.  Time is shortened, and no network is used: this file has a
 * source_new() of its own, which gives a directory with faults to order.
 */
#include <pthread.h>
#include <stdio.h>

#include "depot/cache.h"
#include "depot/fetch.h"
#include "depot/fetch_join.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "depot/shard.h"
#include "depot/source.h"
#include "tests/lib/check.h"
#include "tests/lib/depotkit.h"
#include "tests/lib/tmpdir.h"

/* --- a source with faults ------------------------------------------------ */

enum test_fault {
	TEST_FAULT_NONE,
	TEST_FAULT_DOWN,
	TEST_FAULT_MISSING,
	TEST_FAULT_SHORT,
	TEST_FAULT_WRONG, /* one bit */
	TEST_FAULT_ZEROS,
};

/* Shared by all sources of a test. */
static struct {
	pthread_mutex_t lock;
	enum test_fault fault;
	int strikes; /* requests that fail; -1: all */
	unsigned int ranges, gets;
	uint64_t bytes;
} test_world = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct test_source {
	struct source source;
	struct source *dir; /* owns */
};

static void test_world_set(enum test_fault fault, int strikes)
{
	pthread_mutex_lock(&test_world.lock);
	test_world.fault = fault;
	test_world.strikes = strikes;
	test_world.ranges = test_world.gets = 0;
	test_world.bytes = 0;
	pthread_mutex_unlock(&test_world.lock);
}

static unsigned int test_world_ranges(void)
{
	unsigned int ranges;

	pthread_mutex_lock(&test_world.lock);
	ranges = test_world.ranges;
	pthread_mutex_unlock(&test_world.lock);
	return ranges;
}

static enum test_fault test_strike(bool range, size_t len)
{
	enum test_fault fault = TEST_FAULT_NONE;

	pthread_mutex_lock(&test_world.lock);
	if (range) {
		test_world.ranges++;
		test_world.bytes += len;
	} else {
		test_world.gets++;
	}
	if (test_world.strikes != 0 &&
	    (range || test_world.fault == TEST_FAULT_DOWN)) {
		fault = test_world.fault;
		if (range && test_world.strikes > 0)
			test_world.strikes--;
	}
	pthread_mutex_unlock(&test_world.lock);
	return fault;
}

static int test_fault_rc(enum test_fault fault, struct source_fault *why)
{
	memset(why, 0, sizeof(*why));
	snprintf(why->text, sizeof(why->text), "GET x: ordered fault %d",
		 (int)fault);
	switch (fault) {
	case TEST_FAULT_DOWN:
		return -EHOSTUNREACH;
	case TEST_FAULT_MISSING:
		return -ENOENT;
	case TEST_FAULT_SHORT:
		return -EBADMSG;
	default:
		return 0;
	}
}

static int test_source_get(struct source *source, const char *path, size_t max,
			   void **buf, size_t *len, struct source_fault *fault)
{
	struct test_source *test =
	    container_of(source, struct test_source, source);
	int rc = test_fault_rc(test_strike(false, 0), fault);

	return rc < 0
		   ? rc
		   : test->dir->ops->get(test->dir, path, max, buf, len, fault);
}

static int test_source_range(struct source *source, const char *path,
			     uint64_t off, size_t len, void *buf,
			     struct source_fault *fault)
{
	struct test_source *test =
	    container_of(source, struct test_source, source);
	enum test_fault ordered = test_strike(true, len);
	int rc = test_fault_rc(ordered, fault);

	if (rc == 0)
		rc = test->dir->ops->range(test->dir, path, off, len, buf,
					   fault);
	if (ordered == TEST_FAULT_WRONG)
		((uint8_t *)buf)[len / 2] ^= 4;
	if (ordered == TEST_FAULT_ZEROS)
		memset(buf, 0, len);
	return rc;
}

static void test_source_free(struct source *source)
{
	struct test_source *test =
	    container_of(source, struct test_source, source);

	source_free(test->dir);
	free(test);
}

const char *source_option_unfit(const char *url UNUSED,
				const struct source_options *options UNUSED)
{
	return NULL;
}

const char *source_kind(const char *url UNUSED)
{
	return "test";
}

int source_new(const char *url, const struct source_options *options UNUSED,
	       struct source **source)
{
	static const struct source_ops ops = {.get = test_source_get,
					      .range = test_source_range,
					      .free = test_source_free};
	struct test_source *test = calloc(1, sizeof(*test));
	int rc;

	ASSERT(test && strncmp(url, "dir:", 4) == 0);
	test->source.ops = &ops;
	rc = source_dir_new(url + 4, &test->dir);
	if (rc < 0)
		free(test);
	else
		*source = &test->source;
	return rc;
}

/* --- fixture: a host that has resolved a package, and has no shard ------- */

struct fixture {
	char *dir, *host, *out; /* owns */
	struct kit_package package;
	struct kv *state;
	struct store *store;
	struct upstreams *upstreams;
	struct fetch *fetch;
};

static void fixture_publish(struct fixture *f)
{
	CLEANUP_FREE char *maker = tmpdir_path(f->dir, "maker");
	CLEANUP_FREE char *url = kit_url(f->out);
	struct depot *depot = kit_open(maker);
	struct package_info info;
	struct package_ref ref;
	struct publish publish;

	kit_create(depot, "hello", "1", 40, 1, &f->package);
	ASSERT(kit_publish(depot, f->out, "hello", "1", &f->package,
			   &publish) == 0);
	depot_close(depot);
	depot = kit_open(f->host);
	ASSERT(depot_upstream_add(depot, "lab", url, true) == 0);
	ASSERT(package_ref_parse("hello:1", &ref) == 0);
	ASSERT(depot_package_resolve(depot, &ref, &info) == 0);
	depot_close(depot);
}

static void fixture_open(struct fixture *f)
{
	struct fetch_options options = {.threads = 3,
					.backoff_min_ms = 5,
					.backoff_max_ms = 40,
					.give_up_ms = 400,
					.linger_ms = 100};
	char path[300];

	memset(f, 0, sizeof(*f));
	test_world_set(TEST_FAULT_NONE, 0);
	f->dir = tmpdir_new();
	f->host = tmpdir_path(f->dir, "host");
	f->out = tmpdir_path(f->dir, "out");
	fixture_publish(f);
	snprintf(path, sizeof(path), "%s/state", f->host);
	ASSERT(kv_open(path, KV_STATE, 8 << 20, &f->state) == 0);
	snprintf(path, sizeof(path), "%s/shards", f->host);
	ASSERT(store_open(path, 8 << 20, NULL, &f->store) == 0);
	ASSERT(upstreams_open(f->state, &f->upstreams) == 0);
	ASSERT(fetch_new(f->state, f->host, f->store, f->upstreams, &options,
			 &f->fetch) == 0);
	test_world_set(TEST_FAULT_NONE, 0);
}

static void fixture_close(struct fixture *f)
{
	fetch_free(f->fetch);
	upstreams_close(f->upstreams);
	store_close(f->store);
	kv_close(f->state);
	kit_package_clear(&f->package);
	tmpdir_remove(f->dir);
	free(f->host);
	free(f->out);
}

/* --- jobs ---------------------------------------------------------------- */

struct test_jobs {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	unsigned int left, good, bad; /* lock */
	int last_rc;                  /* lock */
	bool unwanted;                /* atomic */
	/* of those started from here on */
	enum fetch_class fetch_class;
	uint32_t who;
	bool listed; /* in test_order */
};

/* Shards in the order in which they landed. */
static struct {
	pthread_mutex_t lock;
	uint32_t shard[1024]; /* lock */
	unsigned int count;   /* lock */
} test_order = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct test_job {
	struct fetch_job job;
	struct test_jobs *all;
};

static bool test_job_wanted(struct fetch_job *job)
{
	struct test_job *test = container_of(job, struct test_job, job);

	return !__atomic_load_n(&test->all->unwanted, __ATOMIC_ACQUIRE);
}

static void test_job_done(struct fetch_job *job, int rc,
			  struct fetch_result *result)
{
	struct test_job *test = container_of(job, struct test_job, job);
	struct test_jobs *all = test->all;

	if (rc == 0) {
		struct digest name =
		    shard_name_of(NULL, result->chunk, result->chunk_len);

		ASSERT(digest_equal(&name,
				    tree_shard_name(job->tree, job->shard)));
	}
	if (all->listed) {
		pthread_mutex_lock(&test_order.lock);
		test_order.shard[test_order.count++] = job->shard;
		pthread_mutex_unlock(&test_order.lock);
	}
	pthread_mutex_lock(&all->lock);
	if (rc == 0)
		all->good++;
	else
		all->bad++;
	all->last_rc = rc;
	all->left--;
	pthread_cond_signal(&all->wake);
	pthread_mutex_unlock(&all->lock);
}

/* of the class and tenant that `all` says */
static void test_jobs_more(struct fixture *f, struct test_jobs *all,
			   struct test_job *jobs, uint32_t first,
			   uint32_t count, uint32_t step)
{
	struct fetch_job *list = NULL, **end = &list;

	pthread_mutex_lock(&all->lock);
	all->left += count;
	pthread_mutex_unlock(&all->lock);
	for (uint32_t i = 0; i < count; i++) {
		jobs[i].all = all;
		jobs[i].job =
		    (struct fetch_job){.tree = f->package.tree,
				       .shard = first + i * step,
				       .fetch_class = all->fetch_class,
				       .who = all->who,
				       .wanted = test_job_wanted,
				       .done = test_job_done};
		*end = &jobs[i].job;
		end = &jobs[i].job.next;
	}
	fetch_submit(f->fetch, list);
}

static void test_jobs_start(struct fixture *f, struct test_jobs *all,
			    struct test_job *jobs, uint32_t first,
			    uint32_t count, uint32_t step)
{
	memset(all, 0, sizeof(*all));
	test_jobs_more(f, all, jobs, first, count, step);
}

static void test_jobs_wait(struct test_jobs *all)
{
	pthread_mutex_lock(&all->lock);
	while (all->left > 0)
		pthread_cond_wait(&all->wake, &all->lock);
	pthread_mutex_unlock(&all->lock);
}

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

	fetch_join(places, 5, 0, &range);
	CU_ASSERT_EQUAL(range.off, 16);
	CU_ASSERT_EQUAL(range.len, 1149);
	CU_ASSERT_EQUAL(range.count, 4);
	fetch_join(places, 5, 4, &range);
	CU_ASSERT_EQUAL(range.off, 1200000);
	CU_ASSERT_EQUAL(range.len, 10);
	CU_ASSERT_EQUAL(range.count, 1);

	/* 10 + 110 of 3,020 bytes are within 5 %; 10 more below, too. */
	fetch_join(gaps, 4, 0, &range);
	CU_ASSERT_EQUAL(range.off, 90000);
	CU_ASSERT_EQUAL(range.count, 4);

	for (unsigned int i = 0; i < 3; i++)
		big[i] = (struct fetch_place){16 + i * (2u << 20), 2u << 20,
					      &big[i]};
	fetch_join(big, 3, 1, &range);
	CU_ASSERT_EQUAL(range.len, FETCH_JOIN_RANGE_MAX);
	CU_ASSERT_EQUAL(range.count, 2);
	/* The same shard twice. */
	big[1] = big[0];
	fetch_join(big, 2, 1, &range);
	CU_ASSERT_EQUAL(range.len, 2u << 20);
	CU_ASSERT_EQUAL(range.count, 2);
}

static void test_all_in_few_ranges(void)
{
	CLEANUP(fixture_close) struct fixture f;
	static struct test_job jobs[400];
	struct test_jobs all;
	struct fetch_stats stats;
	uint32_t count;

	fixture_open(&f);
	count = tree_shard_count(f.package.tree);
	ASSERT(count > 50 && count <= ARRAY_LEN(jobs));
	test_jobs_start(&f, &all, jobs, 0, count, 1);
	test_jobs_wait(&all);
	CU_ASSERT_EQUAL(all.good, count);
	fetch_get_stats(f.fetch, &stats);
	CU_ASSERT_EQUAL(stats.shards, count);
	/* About 5 MB of pack in ranges of 4 MiB, and nothing twice. */
	CU_ASSERT(test_world_ranges() <= 4);
	CU_ASSERT_EQUAL(stats.errors, 0);
	for (uint32_t i = 0; i < count; i++)
		CU_ASSERT(
		    store_has(f.store, tree_shard_name(f.package.tree, i)));
}

/* Every tenth shard: no more bytes than 1.10 times theirs. */
static void test_waste(void)
{
	CLEANUP(fixture_close) struct fixture f;
	static struct test_job jobs[400];
	struct test_jobs all;
	struct kv_value value;
	uint64_t wanted = 0;
	uint32_t count;

	fixture_open(&f);
	count = tree_shard_count(f.package.tree) / 10;
	test_jobs_start(&f, &all, jobs, 3, count, 10);
	test_jobs_wait(&all);
	CU_ASSERT_EQUAL(all.good, count);
	for (uint32_t i = 0; i < count; i++) {
		ASSERT(store_get(f.store,
				 tree_shard_name(f.package.tree, 3 + i * 10),
				 &value) == 0);
		wanted += value.len;
		kv_value_release(&value);
	}
	CU_ASSERT(test_world.bytes * 10 <= wanted * 11);
}

static void test_fault_passes(enum test_fault fault, int strikes)
{
	CLEANUP(fixture_close) struct fixture f;
	static struct test_job jobs[30];
	struct test_jobs all;

	fixture_open(&f);
	check_mute();
	test_world_set(fault, strikes);
	test_jobs_start(&f, &all, jobs, 0, 30, 1);
	test_jobs_wait(&all);
	fetch_stop(f.fetch);
	check_unmute();
	CU_ASSERT_EQUAL(all.good, 30);
	CU_ASSERT_EQUAL(all.bad, 0);
}

static void test_faults_pass(void)
{
	test_fault_passes(TEST_FAULT_DOWN, 5);
	test_fault_passes(TEST_FAULT_MISSING, 3);
	test_fault_passes(TEST_FAULT_SHORT, 3);
	test_fault_passes(TEST_FAULT_WRONG, 4);
	test_fault_passes(TEST_FAULT_ZEROS, 2);
}

/* Faults that last: -EIO after the time that was set, nothing stored. */
static void test_fault_stays(enum test_fault fault)
{
	CLEANUP(fixture_close) struct fixture f;
	static struct test_job jobs[3];
	struct fetch_stats stats;
	struct test_jobs all;
	uint64_t start, took_ms;

	fixture_open(&f);
	check_mute();
	test_world_set(fault, -1);
	start = check_now_ns();
	test_jobs_start(&f, &all, jobs, 5, 3, 7);
	test_jobs_wait(&all);
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
	if (fault == TEST_FAULT_DOWN)
		CU_ASSERT(test_world_ranges() < 60);
}

static void test_faults_stay(void)
{
	test_fault_stays(TEST_FAULT_DOWN);
	test_fault_stays(TEST_FAULT_MISSING);
	test_fault_stays(TEST_FAULT_WRONG);
}

/* Whom nobody wants lingers, but not for the whole time. */
static void test_unwanted(void)
{
	CLEANUP(fixture_close) struct fixture f;
	static struct test_job jobs[3];
	struct test_jobs all;
	uint64_t start;

	fixture_open(&f);
	check_mute();
	test_world_set(TEST_FAULT_DOWN, -1);
	start = check_now_ns();
	test_jobs_start(&f, &all, jobs, 0, 3, 1);
	__atomic_store_n(&all.unwanted, true, __ATOMIC_RELEASE);
	test_jobs_wait(&all);
	check_unmute();
	CU_ASSERT_EQUAL(all.last_rc, -EIO);
	CU_ASSERT((check_now_ns() - start) / 1000000 < 350);
}

static int test_get_shard(void *ctx, struct tree *tree, uint32_t shard,
			  void **bytes, size_t *len)
{
	return depot_tree_shard_get(ctx, tree, shard, bytes, len);
}

/* As a repack would leave it: other packs, and index 2. */
static void test_repack(struct fixture *f)
{
	struct publish_package row = {.name = "hello",
				      .tag = "1",
				      .revision_json = f->package.json,
				      .revision = f->package.revision,
				      .tree = f->package.tree};
	CLEANUP_FREE char *maker = tmpdir_path(f->dir, "maker");
	/* Shards as they come are other bytes than those of level 12. */
	struct publish publish = {
	    .dir = f->out, .level = 1, .get_shard = test_get_shard};
	struct layout_path index =
	    layout_index(NULL, tree_digest(f->package.tree), 2);
	CLEANUP_FREE char *path = tmpdir_path(f->out, index.text);
	char command[600];

	snprintf(command, sizeof(command), "rm -r %s/packs", f->out);
	ASSERT(system(command) == 0);
	publish.ctx = kit_open(maker);
	ASSERT(publish_dir(&publish, &row, 1) == 0);
	depot_close(publish.ctx);
	ASSERT(access(path, R_OK) == 0);
}

/* The packs that the index names are gone, and a newer index names others. */
static void test_moved(void)
{
	CLEANUP(fixture_close) struct fixture f;
	static struct test_job jobs[20];
	struct test_jobs all;
	uint64_t start;

	fixture_open(&f);
	check_mute();
	test_repack(&f);
	start = check_now_ns();
	test_jobs_start(&f, &all, jobs, 0, 20, 1);
	test_jobs_wait(&all);
	check_unmute();
	CU_ASSERT_EQUAL(all.good, 20);
	/* At once, not after a back-off. */
	CU_ASSERT((check_now_ns() - start) / 1000000 < 200);
	CU_ASSERT_EQUAL(test_world.gets, 2);
}

/* Without its index file a tree's index is read from upstream. */
static void test_no_index(void)
{
	CLEANUP(fixture_close) struct fixture f;
	CLEANUP_FREE char *path = NULL;
	static struct test_job jobs[20];
	struct test_jobs all;

	fixture_open(&f);
	path = layout_host_index(f.host, tree_digest(f.package.tree));
	check_mute();
	kit_file_flip(path, 3);
	test_world_set(TEST_FAULT_DOWN, 3);
	test_jobs_start(&f, &all, jobs, 0, 20, 1);
	/* Down for both kinds of request, for a while. */
	usleep(50000);
	test_world_set(TEST_FAULT_NONE, 0);
	test_jobs_wait(&all);
	fetch_stop(f.fetch);
	check_unmute();
	CU_ASSERT_EQUAL(all.good, 20);
}

static void test_removed(void)
{
	CLEANUP(fixture_close) struct fixture f;
	static struct test_job jobs[2];
	struct test_jobs all;

	fixture_open(&f);
	check_mute();
	CU_ASSERT_EQUAL(upstreams_remove(f.upstreams, "lab"), 0);
	test_jobs_start(&f, &all, jobs, 0, 2, 1);
	test_jobs_wait(&all);
	check_unmute();
	CU_ASSERT_EQUAL(all.bad, 2);
	CU_ASSERT_EQUAL(all.last_rc, -EIO);
}

/* Stopping ends what waits, at once, and what comes later. */
static void test_stop(void)
{
	CLEANUP(fixture_close) struct fixture f;
	static struct test_job jobs[20], later[1];
	struct test_jobs all;

	fixture_open(&f);
	check_mute();
	test_world_set(TEST_FAULT_DOWN, -1);
	test_jobs_start(&f, &all, jobs, 0, 20, 1);
	fetch_stop(f.fetch);
	CU_ASSERT_EQUAL(all.left, 0);
	CU_ASSERT_EQUAL(all.last_rc, -EIO);
	test_jobs_start(&f, &all, later, 0, 1, 1);
	CU_ASSERT_EQUAL(all.left, 0);
	CU_ASSERT_EQUAL(all.last_rc, -EIO);
	check_unmute();
}

/* A read joins what a plan asked for: one request, both are told, and it goes
 * before what was asked for earlier. */
static void test_one_flight(void)
{
	CLEANUP(fixture_close) struct fixture f;
	static struct test_job fill[20], plan[3], demand[3];
	struct test_jobs fills = {.fetch_class = FETCH_FILL, .listed = true};
	struct test_jobs plans = {.fetch_class = FETCH_PLAN, .listed = true};
	struct test_jobs demands;
	uint32_t last;
	bool right = true;

	fixture_open(&f);
	last = tree_shard_count(f.package.tree) - 3;
	check_mute();
	test_order.count = 0;
	/* Nothing can go before all have been asked for. */
	test_world_set(TEST_FAULT_DOWN, 2);
	test_jobs_more(&f, &fills, fill, 3, 20, 2);
	test_jobs_more(&f, &plans, plan, last, 3, 1);
	test_jobs_start(&f, &demands, demand, last, 3, 1);
	test_jobs_wait(&demands);
	test_jobs_wait(&plans);
	test_jobs_wait(&fills);
	fetch_stop(f.fetch);
	check_unmute();
	CU_ASSERT_EQUAL(demands.good, 3);
	CU_ASSERT_EQUAL(plans.good, 3);
	CU_ASSERT_EQUAL(fills.good, 20);
	for (unsigned int i = 0; i < 3; i++)
		right &= test_order.shard[i] >= last;
	CU_ASSERT(right);
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
	    {"packs that moved", test_moved},
	    {"an index that is damaged", test_no_index},
	    {"an upstream that was removed", test_removed},
	    {"stop", test_stop},
	};

	return check_main("test_fetch", tests, ARRAY_LEN(tests));
}
