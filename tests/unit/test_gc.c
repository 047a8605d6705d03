/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_gc: what goes, what stays, and what somebody is just about to name.  At
 * random and with deaths: test_gc_model.
 */
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <utime.h>

#include "depot/gc.h"
#include "depot/inside.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "tests/lib/check.h"
#include "tests/lib/depotkit.h"
#include "tests/lib/tmpdir.h"

enum { TEST_STEPS_MAX = 10000, TEST_ROOTS_MAX = 4 };

struct test_roots {
	struct digest trees[TEST_ROOTS_MAX];
	unsigned int count;
	int rc;
};

static int test_roots(void *ctx,
		      int (*visit)(void *ctx, const struct digest *tree),
		      void *visit_ctx)
{
	struct test_roots *roots = ctx;
	int rc = roots->rc;

	for (unsigned int i = 0; rc == 0 && i < roots->count; i++)
		rc = visit(visit_ctx, &roots->trees[i]);
	return rc;
}

static struct depot *test_open(const char *dir, struct test_roots *roots,
			       unsigned int keep_s)
{
	struct gc_options options = {.keep_s = keep_s, .manual = true};
	struct depot *depot = kit_open(dir);

	ASSERT(depot_gc_start(depot, test_roots, roots, &options) == 0);
	return depot;
}

/* To the end; removed and bytes of the whole walk, trees of all steps. */
static int test_collect(struct depot *depot, unsigned int shards,
			struct gc_report *all)
{
	struct gc_report report;
	int rc = 0;

	memset(all, 0, sizeof(*all));
	for (unsigned int i = 0; i < TEST_STEPS_MAX; i++) {
		rc = depot_gc_step(depot, shards, &report);
		if (rc < 0)
			return rc;
		report.trees_removed += all->trees_removed;
		report.guarded += all->guarded;
		if (i > 0)
			report.nothing = false;
		*all = report;
		if (report.done)
			return 0;
	}
	return -ETIMEDOUT;
}

static unsigned int test_missing(struct depot *depot, const struct tree *tree)
{
	unsigned int missing = 0;

	for (uint32_t i = 0; i < tree_shard_count(tree); i++)
		missing += !depot_shard_here(depot, tree_shard_name(tree, i));
	return missing;
}

static uint64_t test_shards(struct depot *depot)
{
	struct depot_stats stats;

	depot_get_stats(depot, &stats);
	return stats.shards;
}

static bool test_tree_here(struct depot *depot, const struct tree *tree)
{
	CLEANUP_FREE char *path =
	    layout_host_tree(depot->path, tree_digest(tree));

	return access(path, F_OK) == 0;
}

/* --- what goes -------------------------------------------------------------
 */

/* The tag, the tree, and of the shards those that nobody shares. */
static void test_removed(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kit_package a = {0}, b = {0};
	struct test_roots roots = {.count = 0};
	struct depot *depot = test_open(dir, &roots, 0);
	struct gc_removed removed;
	struct package_info info;
	struct package_ref ref;
	struct gc_report report, look;
	struct digest from = {{0}};
	uint64_t before;
	char *json = NULL;

	kit_create(depot, "a", "1", 40, 1, &a);
	kit_create(depot, "b", "1", 20, 1, &b); /* half of a's files */
	CU_ASSERT_EQUAL(test_collect(depot, 7, &report), 0);
	CU_ASSERT_EQUAL(report.removed, 0);
	before = test_shards(depot);
	CU_ASSERT_EQUAL(depot_package_remove(depot, "a", "2", &removed),
			-ENOENT);
	CU_ASSERT_EQUAL(depot_package_remove(depot, "a", "1", &removed), 0);
	CU_ASSERT(removed.last);
	CU_ASSERT_FALSE(removed.named);
	CU_ASSERT_EQUAL(package_ref_parse("a:1", &ref), 0);
	CU_ASSERT_EQUAL(depot_package_get(depot, &ref, &info), -ENOENT);

	CU_ASSERT_EQUAL(depot_gc_look(depot, &from, GC_STEP, &look), 0);
	CU_ASSERT(look.done);
	CU_ASSERT(test_tree_here(depot, a.tree));
	CU_ASSERT_EQUAL(look.trees_removed, 1);

	CU_ASSERT_EQUAL(test_collect(depot, 7, &report), 0);
	CU_ASSERT_EQUAL(report.trees_removed, 1);
	CU_ASSERT_EQUAL(report.removed, look.removed);
	CU_ASSERT_EQUAL(report.bytes, look.bytes);
	CU_ASSERT_EQUAL(report.removed,
			tree_shard_count(a.tree) - tree_shard_count(b.tree));
	CU_ASSERT_EQUAL(test_shards(depot), before - report.removed);
	CU_ASSERT_FALSE(test_tree_here(depot, a.tree));
	CU_ASSERT_EQUAL(test_missing(depot, b.tree), 0);
	CU_ASSERT_EQUAL(depot_revision_json(depot, &a.revision, &json),
			-ENOENT);
	/* Again: nothing was released. */
	CU_ASSERT_EQUAL(test_collect(depot, 7, &report), 0);
	CU_ASSERT(report.nothing);
	depot_close(depot);

	/* For good, and b is whole. */
	depot = test_open(dir, &roots, 0);
	CU_ASSERT_EQUAL(test_shards(depot), tree_shard_count(b.tree));
	CU_ASSERT_EQUAL(kit_read_all(depot, b.tree, 5),
			(int64_t)tree_content_len(b.tree));
	CU_ASSERT_EQUAL(test_collect(depot, 7, &report), 0);
	CU_ASSERT(report.nothing);
	kit_package_clear(&a);
	kit_package_clear(&b);
	depot_close(depot);
}

/* Two tags of one revision: the last one counts. */
static void test_two_tags(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kit_package a = {0};
	struct test_roots roots = {.count = 0};
	struct depot *depot = test_open(dir, &roots, 0);
	struct gc_removed removed;
	struct gc_report report;
	struct digest revision;

	kit_create(depot, "a", "1", 5, 1, &a);
	CU_ASSERT_EQUAL(
	    depot_package_commit(depot, "a", "2", a.json, a.tree, &revision),
	    0);
	CU_ASSERT_EQUAL(depot_package_remove(depot, "a", "1", &removed), 0);
	CU_ASSERT(removed.named);
	CU_ASSERT_FALSE(removed.last);
	CU_ASSERT_EQUAL(test_collect(depot, GC_STEP, &report), 0);
	CU_ASSERT_EQUAL(test_missing(depot, a.tree), 0);
	CU_ASSERT_EQUAL(depot_package_remove(depot, "a", "2", &removed), 0);
	CU_ASSERT(removed.last);
	CU_ASSERT_EQUAL(test_collect(depot, GC_STEP, &report), 0);
	CU_ASSERT_EQUAL(test_shards(depot), 0);
	kit_package_clear(&a);
	depot_close(depot);
}

/* A time that runs; a pointer that comes back stops it. */
static void test_keep(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kit_package a = {0};
	struct test_roots roots = {.count = 0};
	struct depot *depot = test_open(dir, &roots, 2);
	struct gc_removed removed;
	struct gc_report report;
	struct digest revision;
	int64_t now;

	kit_create(depot, "a", "1", 5, 1, &a);
	CU_ASSERT_EQUAL(depot_package_remove(depot, "a", "1", &removed), 0);
	now = time(NULL);
	CU_ASSERT_EQUAL(test_collect(depot, GC_STEP, &report), 0);
	CU_ASSERT_EQUAL(report.trees_waiting, 1);
	CU_ASSERT(report.next_due_sec >= now && report.next_due_sec <= now + 3);
	CU_ASSERT_EQUAL(test_missing(depot, a.tree), 0);
	CU_ASSERT_EQUAL(
	    depot_package_commit(depot, "a", "1", a.json, a.tree, &revision),
	    0);
	CU_ASSERT_EQUAL(test_collect(depot, GC_STEP, &report), 0);
	CU_ASSERT_EQUAL(report.trees_waiting, 0);
	sleep(3);
	CU_ASSERT_EQUAL(depot_package_remove(depot, "a", "1", &removed), 0);
	CU_ASSERT_EQUAL(test_collect(depot, GC_STEP, &report), 0);
	CU_ASSERT_EQUAL(report.trees_removed, 0);
	CU_ASSERT_EQUAL(test_missing(depot, a.tree), 0);
	depot_close(depot);
	/* It runs on over a restart. */
	sleep(3);
	depot = test_open(dir, &roots, 2);
	CU_ASSERT_EQUAL(test_collect(depot, GC_STEP, &report), 0);
	CU_ASSERT_EQUAL(report.trees_removed, 1);
	CU_ASSERT_EQUAL(test_shards(depot), 0);
	kit_package_clear(&a);
	depot_close(depot);
}

/* Selections, records, pins, and whoever has a tree open. */
static void test_pointers(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kit_package a = {0}, b = {0}, c = {0};
	struct test_roots roots = {.count = 1};
	struct depot *depot = test_open(dir, &roots, 0);
	struct gc_removed removed;
	struct gc_report report;
	struct tree *held;

	kit_create(depot, "a", "1", 5, 1, &a);
	kit_create(depot, "b", "1", 6, 2, &b);
	kit_create(depot, "c", "1", 7, 3, &c);
	roots.trees[0] = *tree_digest(a.tree);
	CU_ASSERT_EQUAL(depot_tree_get(depot, tree_digest(b.tree), &held), 0);
	CU_ASSERT_EQUAL(depot_pin_set(depot, tree_digest(c.tree), true), 0);
	CU_ASSERT_EQUAL(depot_package_remove(depot, "a", "1", &removed), 0);
	CU_ASSERT_FALSE(removed.last);
	CU_ASSERT_EQUAL(depot_package_remove(depot, "b", "1", &removed), 0);
	CU_ASSERT(removed.last);
	CU_ASSERT_EQUAL(depot_package_remove(depot, "c", "1", &removed), 0);
	CU_ASSERT_FALSE(removed.last);
	CU_ASSERT_EQUAL(test_collect(depot, GC_STEP, &report), 0);
	CU_ASSERT_EQUAL(report.trees_removed, 0);
	CU_ASSERT_EQUAL(report.trees_busy, 1);
	CU_ASSERT_EQUAL(test_missing(depot, a.tree), 0);
	CU_ASSERT_EQUAL(test_missing(depot, b.tree), 0);
	CU_ASSERT_EQUAL(test_missing(depot, c.tree), 0);
	/* Who does not know what is pointed at collects nothing. */
	roots.rc = -EIO;
	tree_put(held);
	check_mute();
	CU_ASSERT_EQUAL(test_collect(depot, GC_STEP, &report), -EIO);
	check_unmute();
	CU_ASSERT_EQUAL(test_missing(depot, b.tree), 0);
	roots.rc = 0;
	roots.count = 0;
	CU_ASSERT_EQUAL(depot_pin_set(depot, tree_digest(c.tree), false), 0);
	CU_ASSERT_EQUAL(test_collect(depot, 3, &report), 0);
	CU_ASSERT_EQUAL(report.trees_removed, 3);
	CU_ASSERT_EQUAL(test_shards(depot), 0);
	kit_package_clear(&a);
	kit_package_clear(&b);
	kit_package_clear(&c);
	depot_close(depot);
}

/* What was put and given up; what was put before a death. */
static void test_given_up(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kit_package a = {0};
	struct test_roots roots = {.count = 0};
	struct depot *depot = test_open(dir, &roots, 0);
	struct gc_report report;
	struct kit_build build;
	uint64_t count;

	kit_create(depot, "a", "1", 10, 1, &a);
	CU_ASSERT_EQUAL(test_collect(depot, GC_STEP, &report), 0);
	count = test_shards(depot);
	kit_build_begin(depot, 30, 1, NULL, &build);
	/* The release that is needed for a walk. */
	kit_build_drop(&build);
	kit_build_begin(depot, 20, 1, NULL, &build);
	CU_ASSERT_EQUAL(test_collect(depot, GC_STEP, &report), 0);
	CU_ASSERT(report.removed > 0);
	CU_ASSERT(report.guarded > 0);
	CU_ASSERT_EQUAL(test_missing(depot, build.tree), 0);
	kit_build_drop(&build);
	CU_ASSERT_EQUAL(test_collect(depot, GC_STEP, &report), 0);
	CU_ASSERT_EQUAL(test_shards(depot), count);
	kit_build_begin(depot, 20, 1, NULL, &build);
	tree_put(build.tree); /* and the lease is left to the restart */
	depot_close(depot);
	depot = test_open(dir, &roots, 0);
	CU_ASSERT(test_shards(depot) > count);
	CU_ASSERT_EQUAL(test_collect(depot, GC_STEP, &report), 0);
	CU_ASSERT_EQUAL(test_shards(depot), count);
	CU_ASSERT_EQUAL(test_missing(depot, a.tree), 0);
	kit_package_clear(&a);
	depot_close(depot);
}

/* --- what stops it ---------------------------------------------------------
 */

static void test_damaged_tree(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kit_package a = {0}, b = {0};
	struct test_roots roots = {.count = 0};
	struct depot *depot = test_open(dir, &roots, 0);
	CLEANUP_FREE char *path = NULL;
	struct gc_removed removed;
	struct gc_report report;
	uint64_t count;

	kit_create(depot, "a", "1", 10, 1, &a);
	kit_create(depot, "b", "1", 10, 2, &b);
	path = layout_host_tree(dir, tree_digest(a.tree));
	count = test_shards(depot);
	depot_close(depot);
	kit_file_flip(path, 200);
	depot = test_open(dir, &roots, 0);
	CU_ASSERT_EQUAL(depot_package_remove(depot, "b", "1", &removed), 0);
	check_mute();
	CU_ASSERT_EQUAL(test_collect(depot, GC_STEP, &report), -EBADMSG);
	kit_file_flip(path, 200);
	unlink(path);
	CU_ASSERT_EQUAL(test_collect(depot, GC_STEP, &report), -ENOENT);
	check_unmute();
	CU_ASSERT_EQUAL(test_shards(depot), count);
	/* Not needed: in nobody's way. */
	CU_ASSERT_EQUAL(depot_package_remove(depot, "a", "1", &removed), 0);
	CU_ASSERT_EQUAL(test_collect(depot, GC_STEP, &report), 0);
	CU_ASSERT_EQUAL(test_shards(depot), 0);
	kit_package_clear(&a);
	kit_package_clear(&b);
	depot_close(depot);
}

/* Rows that are damaged: the walk begins anew and finds all; what is live
 * stays. */
static void test_damaged_rows(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kit_package a = {0}, b = {0};
	struct test_roots roots = {.count = 0};
	struct gc_removed removed;
	struct gc_report report;
	struct depot *depot;
	uint8_t bytes[80];

	for (unsigned int i = 0; i < 24; i++) {
		uint8_t key[34] = {'J', "wrlt"[i % 4]};
		size_t key_len = i % 4 < 2 ? 2 : i % 4 == 2 ? 10 : 34;

		depot = test_open(dir, &roots, 0);
		kit_create(depot, "a", "1", 10, i, &a);
		kit_create(depot, "b", "1", 10, 1000 + i, &b);
		CU_ASSERT_EQUAL(depot_package_remove(depot, "b", "1", &removed),
				0);
		CU_ASSERT_EQUAL(depot_gc_step(depot, 5, &report), 0);
		check_fill(bytes, sizeof(bytes), i + 1);
		check_fill(key + 2, key_len - 2, i + 7);
		if (i % 3 == 0 && i % 4 == 3)
			memcpy(key + 2, tree_digest(a.tree)->bytes, 32);
		CU_ASSERT_EQUAL(kv_put(depot->state, key, key_len, bytes,
				       i % 4 == 0 && i % 8 ? 72 : i % 80),
				0);
		depot_close(depot);
		depot = test_open(dir, &roots, 0);
		CU_ASSERT_EQUAL(test_collect(depot, 50, &report), 0);
		CU_ASSERT_EQUAL(test_collect(depot, 50, &report), 0);
		CU_ASSERT_EQUAL(test_missing(depot, a.tree), 0);
		CU_ASSERT_EQUAL(test_shards(depot), tree_shard_count(a.tree));
		CU_ASSERT_EQUAL(depot_package_remove(depot, "a", "1", &removed),
				0);
		CU_ASSERT_EQUAL(test_collect(depot, 50, &report), 0);
		CU_ASSERT_EQUAL(test_shards(depot), 0);
		kit_package_clear(&a);
		kit_package_clear(&b);
		depot_close(depot);
	}
}

static void test_left_files(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kit_package a = {0};
	struct test_roots roots = {.count = 0};
	struct depot *depot = test_open(dir, &roots, 0);
	CLEANUP_FREE char *old = tmpdir_path(dir, "trees/x.1-2.tmp");
	CLEANUP_FREE char *young = tmpdir_path(dir, "indexes/y.1-2.tmp");
	CLEANUP_FREE char *index = NULL;
	struct utimbuf day = {.actime = 1, .modtime = time(NULL) - 86400};
	struct gc_report report;

	kit_create(depot, "a", "1", 10, 1, &a);
	index = layout_host_index(dir, &a.revision); /* of no tree */
	kit_file_write(old, "x", 1);
	kit_file_write(young, "x", 1);
	kit_file_write(index, "x", 1);
	CU_ASSERT_EQUAL(utime(old, &day), 0);
	CU_ASSERT_EQUAL(test_collect(depot, GC_STEP, &report), 0);
	CU_ASSERT_NOT_EQUAL(access(old, F_OK), 0);
	CU_ASSERT_EQUAL(access(young, F_OK), 0);
	CU_ASSERT_NOT_EQUAL(access(index, F_OK), 0);
	CU_ASSERT_EQUAL(test_missing(depot, a.tree), 0);
	kit_package_clear(&a);
	depot_close(depot);
}

/* --- somebody at work, at each point ---------------------------------------
 */

/*
 * A package is removed and collected while another is made of the same content:
 * it asks what is here at one point, and is committed at a later one.
 */
struct test_work {
	struct depot *depot;
	uint64_t seed;
	unsigned int points, begin_at, commit_at;
	bool begun, committed;
	struct kit_build build;
	struct kit_package package;
};

/* A lease cannot be opened there: whoever tries waits till the tree is gone. */
static bool test_is_frozen(const char *point)
{
	static const char *const frozen[] = {
	    "gc-tree-due", "gc-tree-rows", "gc-tree-unlinked", "gc-tree-gone"};

	for (size_t i = 0; i < ARRAY_LEN(frozen); i++)
		if (strcmp(point, frozen[i]) == 0)
			return true;
	return false;
}

static void test_work_at(void *ctx, const char *point)
{
	struct test_work *work = ctx;

	if (test_is_frozen(point))
		return;
	work->points++;
	if (!work->begun && work->points >= work->begin_at) {
		work->begun = true;
		kit_build_begin(work->depot, 12, work->seed, NULL,
				&work->build);
	}
	if (work->begun && !work->committed &&
	    work->points >= work->commit_at) {
		work->committed = true;
		kit_build_commit(&work->build, "again", "1", &work->package);
	}
}

/* Returns how many points there were. */
static unsigned int test_work_run(const char *dir, unsigned int begin_at,
				  unsigned int commit_at)
{
	struct test_work work = {.begin_at = begin_at,
				 .commit_at = commit_at,
				 .seed = begin_at * 1000 + commit_at};
	struct gc_options options = {
	    .manual = true, .at = test_work_at, .at_ctx = &work};
	struct test_roots roots = {.count = 0};
	struct gc_removed removed;
	struct gc_report report;
	struct kit_package a = {0};

	work.depot = kit_open(dir);
	kit_create(work.depot, "a", "1", 12, work.seed, &a);
	ASSERT(depot_package_remove(work.depot, "a", "1", &removed) == 0);
	ASSERT(depot_gc_start(work.depot, test_roots, &roots, &options) == 0);
	CU_ASSERT_EQUAL(test_collect(work.depot, 9, &report), 0);
	CU_ASSERT_EQUAL(test_collect(work.depot, 9, &report), 0);
	work.begin_at = UINT32_MAX;
	if (work.begun && !work.committed) {
		work.committed = true;
		kit_build_commit(&work.build, "again", "1", &work.package);
	}
	CU_ASSERT_EQUAL(test_collect(work.depot, 9, &report), 0);
	if (work.begun)
		CU_ASSERT_EQUAL(test_missing(work.depot, work.package.tree), 0);
	if (work.begun)
		CU_ASSERT(test_tree_here(work.depot, work.package.tree));
	CU_ASSERT_EQUAL(test_shards(work.depot),
			work.begun ? tree_shard_count(work.package.tree) : 0);
	/* Durable, too: the store as a restart finds it. */
	depot_close(work.depot);
	work.depot = test_open(dir, &roots, 0);
	if (work.begun)
		CU_ASSERT_EQUAL(test_missing(work.depot, work.package.tree), 0);
	if (work.begun)
		CU_ASSERT_EQUAL(
		    depot_package_remove(work.depot, "again", "1", &removed),
		    0);
	CU_ASSERT_EQUAL(test_collect(work.depot, GC_STEP, &report), 0);
	CU_ASSERT_EQUAL(test_shards(work.depot), 0);
	kit_package_clear(&a);
	kit_package_clear(&work.package);
	depot_close(work.depot);
	return work.points;
}

static void test_interleaved(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	static const unsigned int later[] = {0, 1, 4, 1000};
	unsigned int points, runs = 0;

	points = test_work_run(dir, 100000, 0);
	/* Each point with one of the distances; with STEPS=all, with each. */
	for (unsigned int at = 1; at <= points; at++)
		for (size_t i = 0; i < ARRAY_LEN(later); i++) {
			if (!getenv("STEPS") && i != at % ARRAY_LEN(later))
				continue;
			test_work_run(dir, at, at + later[i]);
			runs++;
		}
	printf("# %u points, %u runs\n", points, runs);
	CU_ASSERT(points > 20);
}

static const struct check_test tests[] = {
    {"what a removed package alone had goes", test_removed},
    {"two tags of a revision", test_two_tags},
    {"a tree's time, and that it stops", test_keep},
    {"what points at trees", test_pointers},
    {"what was put and given up", test_given_up},
    {"a tree that cannot be read stops it", test_damaged_tree},
    {"damaged rows", test_damaged_rows},
    {"files left behind", test_left_files},
    {"a package made at each point of a collection", test_interleaved},
};

int main(void)
{
	log_setup("test_gc", LOG_LEVEL_WARN);
	return check_main("test_gc", tests, ARRAY_LEN(tests));
}
