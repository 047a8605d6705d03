/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_prefetch: a host whose package lies in another depot: plans are replayed
 * within their budget, fills keep their rate, operators' runs are told how far
 * they are, and what was fetched is counted as used when it is read.
 */
#include <stdio.h>
#include <time.h>

#include "depot/depot.h"
#include "depot/plan_rows.h"
#include "depot/prefetch.h"
#include "depot/store.h"
#include "tests/lib/check.h"
#include "tests/lib/depotkit.h"
#include "tests/lib/tmpdir.h"

enum { TEST_FILES = 60, TEST_WAIT_MS = 10000 };

struct fixture {
	char *dir, *maker_dir, *host_dir, *out; /* owns */
	struct kit_package package;
	struct depot *maker, *host; /* owns */
	struct tree *tree;          /* ref; the host's */
};

static void fixture_open(struct fixture *f)
{
	CLEANUP_FREE char *url = NULL;
	struct package_info info;
	struct package_ref ref;
	struct publish publish;

	f->dir = tmpdir_new();
	f->maker_dir = tmpdir_path(f->dir, "maker");
	f->host_dir = tmpdir_path(f->dir, "host");
	f->out = tmpdir_path(f->dir, "out");
	f->maker = kit_open(f->maker_dir);
	kit_create(f->maker, "hello", "1", TEST_FILES, 1, &f->package);
	ASSERT(kit_publish(f->maker, f->out, "hello", "1", &f->package,
			   &publish) == 0);
	f->host = kit_open(f->host_dir);
	url = kit_url(f->out);
	ASSERT(depot_upstream_add(f->host, "lab", url, true) == 0);
	ASSERT(package_ref_parse("hello:1", &ref) == 0);
	ASSERT(depot_package_resolve(f->host, &ref, &info) == 0);
	ASSERT(depot_tree_get(f->host, &info.tree, &f->tree) == 0);
	ASSERT(tree_shard_count(f->tree) >= TEST_FILES);
}

static void fixture_close(struct fixture *f)
{
	tree_put(f->tree);
	depot_close(f->maker);
	depot_close(f->host);
	kit_package_clear(&f->package);
	tmpdir_remove(f->dir);
	free(f->maker_dir);
	free(f->host_dir);
	free(f->out);
}

static bool test_here(struct fixture *f, uint32_t shard)
{
	return depot_shard_here(f->host, tree_shard_name(f->tree, shard));
}

static uint32_t test_count(struct fixture *f)
{
	uint32_t here = 0;

	for (uint32_t i = 0; i < tree_shard_count(f->tree); i++)
		here += test_here(f, i);
	return here;
}

static void test_sleep(void)
{
	struct timespec pause = {0, 5 * 1000000};

	nanosleep(&pause, NULL);
}

/* Until nothing is under way. */
static void test_rest(struct fixture *f)
{
	struct prefetch_figures figures;

	for (int i = 0; i < TEST_WAIT_MS / 5; i++) {
		test_sleep();
		depot_prefetch_figures(f->host, &figures);
		if (figures.runs == 0)
			return;
	}
	CU_FAIL("prefetch does not come to rest");
}

static void test_start(struct fixture *f, const char *guest,
		       const uint32_t *shards, uint32_t count)
{
	struct plan_start start = {.time_sec = 1,
				   .shard_count = tree_shard_count(f->tree),
				   .count = count,
				   .shards = (uint32_t *)(uintptr_t)shards};

	ASSERT(plan_rows_put_start(depot_state(f->host), tree_digest(f->tree),
				   "red", guest, &start) == 0);
}

static void test_read(struct fixture *f, uint32_t shard)
{
	struct depot_read *read = calloc(1, sizeof(*read));

	ASSERT(read);
	read->count = 1;
	read->piece[0].tree = f->tree;
	read->piece[0].shard = shard;
	CU_ASSERT_EQUAL(depot_read_wait(f->host, read), 0);
	depot_read_release(f->host, read);
	free(read);
}

/* --- plans --------------------------------------------------------------- */

static void test_prefetch_plan(void)
{
	static const uint32_t wanted[] = {40, 3, 17, 4};
	CLEANUP(fixture_close) struct fixture f;
	struct prefetch_figures figures;
	struct prefetch_bytes bytes;
	struct depot_stats stats;

	fixture_open(&f);
	depot_prefetch_started(f.host, f.tree, "red"); /* nothing is known */
	test_rest(&f);
	CU_ASSERT_EQUAL(test_count(&f), 0);
	test_start(&f, "vm1", wanted, 4);
	depot_prefetch_started(f.host, f.tree, "red"); /* a moment later */
	test_rest(&f);
	CU_ASSERT_EQUAL(test_count(&f), 0);
	/* Another tenant's starts are not for it. */
	depot_prefetch_started(f.host, f.tree, "blue");
	test_rest(&f);
	CU_ASSERT_EQUAL(test_count(&f), 0);
	depot_close(f.host);
	f.host = kit_open(f.host_dir);
	depot_prefetch_started(f.host, f.tree, "red");
	test_rest(&f);
	CU_ASSERT_EQUAL(test_count(&f), 4);
	for (int i = 0; i < 4; i++)
		CU_ASSERT(test_here(&f, wanted[i]));

	depot_prefetch_figures(f.host, &figures);
	CU_ASSERT(figures.plan.fetched > 0);
	CU_ASSERT_EQUAL(figures.plan.used, 0);
	CU_ASSERT_EQUAL(figures.plan.wasted, 0);
	CU_ASSERT_EQUAL(figures.ahead.fetched, 0);
	for (int i = 0; i < 4; i++)
		test_read(&f, wanted[i]);
	depot_prefetch_figures(f.host, &figures);
	CU_ASSERT_EQUAL(figures.plan.used, figures.plan.fetched);
	/* They were opened when they came, and lie in memory since. */
	depot_get_stats(f.host, &stats);
	CU_ASSERT_EQUAL(stats.reads_hot, 4);
	CU_ASSERT_EQUAL(stats.reads_warm, 0);
	depot_prefetch_of_tree(f.host, tree_digest(f.tree), &bytes);
	CU_ASSERT_EQUAL(bytes.used, figures.plan.used);
}

static void test_prefetch_budget(void)
{
	CLEANUP(fixture_close) struct fixture f;
	struct prefetch_options options = {.plan_bytes = 200000};
	struct prefetch_figures figures;
	uint32_t all[TEST_FILES];

	fixture_open(&f);
	for (uint32_t i = 0; i < TEST_FILES; i++)
		all[i] = i;
	test_start(&f, "vm1", all, TEST_FILES);
	depot_prefetch_set(f.host, &options);
	depot_prefetch_started(f.host, f.tree, "red");
	test_rest(&f);
	depot_prefetch_figures(f.host, &figures);
	CU_ASSERT(figures.plan.fetched > 0);
	CU_ASSERT(figures.plan.fetched <= 200000);
	CU_ASSERT(test_count(&f) < TEST_FILES);
	CU_ASSERT(test_here(&f, 0));

	options.plans_off = true;
	depot_prefetch_set(f.host, &options);
	depot_prefetch_started(f.host, f.tree, "blue");
	test_rest(&f);
	CU_ASSERT(test_count(&f) < TEST_FILES);
}

static void test_prefetch_publish(void)
{
	CLEANUP(fixture_close) struct fixture f;
	struct plan_row row;

	fixture_open(&f);
	check_mute();
	CU_ASSERT_EQUAL(depot_plan_publish(f.host, f.tree), -ENODATA);
	test_start(&f, "vm1", (uint32_t[]){7, 8}, 2);
	test_start(&f, "vm2", (uint32_t[]){7, 9}, 2);
	/* Two guests are too few to leave the tenant. */
	CU_ASSERT_EQUAL(depot_plan_publish(f.host, f.tree), -ENODATA);
	CU_ASSERT_EQUAL(depot_plan_record(f.host, f.tree, "red", "vm9"),
			-ENODATA);
	check_unmute();
	test_start(&f, "vm3", (uint32_t[]){10, 7}, 2);
	CU_ASSERT_EQUAL_FATAL(depot_plan_publish(f.host, f.tree), 0);
	CU_ASSERT_EQUAL_FATAL(plan_rows_get(depot_state(f.host),
					    tree_digest(f.tree),
					    tree_shard_count(f.tree), &row),
			      0);
	CU_ASSERT_EQUAL(row.kind, STORE_PLAN_PUBLISHED);
	CU_ASSERT_EQUAL(row.plan.count, 1);
	CU_ASSERT_EQUAL(row.plan.shards[0], 7);
	CU_ASSERT_EQUAL(row.plan.guests, 3);
	CU_ASSERT(row.plan.budget > 0);
	plan_clear(&row.plan);

	/* Whoever has no starts of its own follows the host's. */
	depot_prefetch_started(f.host, f.tree, "blue");
	test_rest(&f);
	CU_ASSERT_EQUAL(test_count(&f), 1);
	CU_ASSERT(test_here(&f, 7));
	CU_ASSERT_EQUAL(depot_plan_record(f.host, f.tree, "red", "vm3"), 0);
	CU_ASSERT_EQUAL_FATAL(plan_rows_get(depot_state(f.host),
					    tree_digest(f.tree),
					    tree_shard_count(f.tree), &row),
			      0);
	CU_ASSERT_EQUAL(row.kind, STORE_PLAN_RECORDED);
	CU_ASSERT_EQUAL(row.plan.count, 2);
	plan_clear(&row.plan);
}

/* --- ahead, fill --------------------------------------------------------- */

static void test_prefetch_ahead(void)
{
	CLEANUP(fixture_close) struct fixture f;
	struct prefetch_figures figures;

	fixture_open(&f);
	depot_prefetch_ahead(f.host, f.tree, (uint32_t[]){5, 6, 7}, 3, 0);
	test_rest(&f);
	CU_ASSERT_EQUAL(test_count(&f), 3);
	depot_prefetch_figures(f.host, &figures);
	CU_ASSERT(figures.ahead.fetched > 0);
	CU_ASSERT_EQUAL(figures.plan.fetched, 0);
	test_read(&f, 6);
	depot_prefetch_figures(f.host, &figures);
	CU_ASSERT(figures.ahead.used > 0);
	CU_ASSERT(figures.ahead.used < figures.ahead.fetched);
}

static void test_prefetch_fill(void)
{
	CLEANUP(fixture_close) struct fixture f;
	struct prefetch_options options = {.fill_rate = 1 << 20};
	struct prefetch_figures figures;
	uint64_t begin, ms, bytes;

	fixture_open(&f);
	depot_prefetch_set(f.host, &options);
	begin = check_now_ns();
	depot_prefetch_started(f.host, f.tree, "red");
	test_rest(&f);
	ms = (check_now_ns() - begin) / 1000000;
	CU_ASSERT_EQUAL(test_count(&f), tree_shard_count(f.tree));
	depot_prefetch_figures(f.host, &figures);
	bytes = figures.fill.fetched;
	CU_ASSERT(bytes > 1 << 20);
	/* One second's worth may go at once, and a step more than is left. */
	CU_ASSERT(bytes <= (ms + 1500) * options.fill_rate / 1000);
}

/* A fill that nobody set a rate for: of a package without a plan, within the
 * budget. */
static void test_prefetch_fill_auto(void)
{
	CLEANUP(fixture_close) struct fixture f;
	struct prefetch_options options = {.fill_rate = PREFETCH_FILL_AUTO,
					   .plan_bytes = 400000};
	struct prefetch_figures figures;

	fixture_open(&f);
	test_start(&f, "vm1", (uint32_t[]){7, 8}, 2);
	depot_prefetch_set(f.host, &options);
	/* The plan is followed, and that is all. */
	depot_prefetch_started(f.host, f.tree, "red");
	test_rest(&f);
	CU_ASSERT_EQUAL(test_count(&f), 2);
	/* Another tenant's guest has none. */
	depot_prefetch_started(f.host, f.tree, "blue");
	test_rest(&f);
	CU_ASSERT(test_count(&f) > 2);
	CU_ASSERT(test_count(&f) < tree_shard_count(f.tree));
	depot_prefetch_figures(f.host, &figures);
	CU_ASSERT(figures.fill.fetched > 300000);
	CU_ASSERT(figures.fill.fetched <= 400000);
	options.plan_bytes = 0;
	depot_prefetch_set(f.host, &options);
	depot_prefetch_started(f.host, f.tree, "green");
	test_rest(&f);
	CU_ASSERT_EQUAL(test_count(&f), tree_shard_count(f.tree));
}

/* While somebody reads on and on, a fill by itself waits. */
static void test_prefetch_fill_rests(void)
{
	CLEANUP(fixture_close) struct fixture f;
	struct prefetch_options options = {.fill_rate = PREFETCH_FILL_AUTO};
	uint32_t same[500] = {0};

	fixture_open(&f);
	depot_prefetch_set(f.host, &options);
	depot_prefetch_ahead(f.host, f.tree, same, 500, 0);
	depot_prefetch_started(f.host, f.tree, "red");
	for (int i = 0; i < 20; i++) {
		depot_prefetch_ahead(f.host, f.tree, same, 500, 0);
		test_sleep();
	}
	CU_ASSERT(test_count(&f) <= 1);
	test_rest(&f);
	CU_ASSERT_EQUAL(test_count(&f), tree_shard_count(f.tree));
}

/* --- operators' ---------------------------------------------------------- */

static struct prefetch_progress test_wait(struct fixture *f, uint64_t id)
{
	struct prefetch_progress progress = {.over = false};

	for (int i = 0; i < TEST_WAIT_MS / 5 && !progress.over; i++) {
		CU_ASSERT_EQUAL(depot_prefetch_ask(f->host, id, &progress), 0);
		test_sleep();
	}
	CU_ASSERT(progress.over);
	return progress;
}

static void test_prefetch_all(void)
{
	CLEANUP(fixture_close) struct fixture f;
	struct prefetch_progress progress;
	struct prefetch_resident resident;
	uint32_t shards;
	uint64_t id;

	fixture_open(&f);
	shards = tree_shard_count(f.tree);
	test_start(&f, "vm1", (uint32_t[]){7, 8}, 2);
	CU_ASSERT_EQUAL(
	    depot_prefetch_resident(f.host, f.tree, "red", &resident), 0);
	CU_ASSERT_EQUAL(resident.shards, shards);
	CU_ASSERT_EQUAL(resident.shards_here, 0);
	CU_ASSERT(resident.has_plan && resident.plan_shards == 2 &&
		  resident.plan_here == 0);
	CU_ASSERT_EQUAL(resident.bytes, tree_content_len(f.tree));

	CU_ASSERT_EQUAL_FATAL(
	    depot_prefetch_start(f.host, f.tree, PREFETCH_PLAN, "red", &id), 0);
	progress = test_wait(&f, id);
	CU_ASSERT(progress.total == 2 && progress.done == 2);
	CU_ASSERT_EQUAL_FATAL(
	    depot_prefetch_start(f.host, f.tree, PREFETCH_ALL, NULL, &id), 0);
	progress = test_wait(&f, id);
	CU_ASSERT_EQUAL(progress.total, shards - 2);
	CU_ASSERT_EQUAL(progress.done, shards - 2);
	CU_ASSERT_EQUAL(progress.failed, 0);
	CU_ASSERT_EQUAL(progress.bytes_done, progress.bytes_total);
	CU_ASSERT_EQUAL(
	    depot_prefetch_resident(f.host, f.tree, NULL, &resident), 0);
	CU_ASSERT_EQUAL(resident.shards_here, shards);
	CU_ASSERT_EQUAL(resident.bytes_here, resident.bytes);
	CU_ASSERT_EQUAL(resident.plan_here, 2); /* everybody's */
	CU_ASSERT_EQUAL(depot_prefetch_ask(f.host, 999, &progress), -ENOENT);
	check_mute();
	CU_ASSERT_EQUAL(
	    depot_prefetch_start(f.host, f.tree, PREFETCH_PLAN, "blue", &id),
	    -ENODATA);
	check_unmute();
}

/* The upstream is gone: nothing hangs, a cancelled run ends, and so does the
 * depot. */
static void test_prefetch_cancel(void)
{
	CLEANUP(fixture_close) struct fixture f;
	CLEANUP_FREE char *away = NULL;
	struct prefetch_progress progress;
	uint64_t id, other;

	fixture_open(&f);
	away = tmpdir_path(f.dir, "away");
	ASSERT(rename(f.out, away) == 0);
	check_mute();
	CU_ASSERT_EQUAL_FATAL(
	    depot_prefetch_start(f.host, f.tree, PREFETCH_ALL, NULL, &id), 0);
	CU_ASSERT_EQUAL_FATAL(
	    depot_prefetch_start(f.host, f.tree, PREFETCH_ALL, NULL, &other),
	    0);
	for (int i = 0; i < 20; i++)
		test_sleep();
	CU_ASSERT_EQUAL(depot_prefetch_ask(f.host, id, &progress), 0);
	CU_ASSERT_EQUAL(progress.done, 0);
	CU_ASSERT(progress.total > 0);
	depot_prefetch_cancel(f.host, id);
	depot_prefetch_forget(f.host, tree_digest(f.tree));
	depot_close(STEAL(f.host));
	check_unmute();
}

static const struct check_test tests[] = {
    {"plan", test_prefetch_plan},
    {"budget", test_prefetch_budget},
    {"publish", test_prefetch_publish},
    {"ahead", test_prefetch_ahead},
    {"fill", test_prefetch_fill},
    {"all, resident", test_prefetch_all},
    {"a fill by itself rests", test_prefetch_fill_rests},
    {"a fill by itself: no plan, within its budget", test_prefetch_fill_auto},
    {"cancel", test_prefetch_cancel},
};

int main(void)
{
	return check_main("test_prefetch", tests, ARRAY_LEN(tests));
}
