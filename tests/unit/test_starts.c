/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_starts: what guests touch first is recorded in order, once, and saved
 * when the start is over, when it is asked for, and at an orderly end.
 */
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "depot/plan_rows.h"
#include "overlay/view_impl.h"
#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"

enum { TEST_BIG_CHUNKS = 30, TEST_THREADS = 4 };

static const struct fixture_entry test_entries[] = {
    {"a", S_IFREG | 0644, .text = "first in the tree"},
    {"b", S_IFREG | 0644, .len = TEST_BIG_CHUNKS * FIXTURE_CHUNK, .seed = 1},
    {"c", S_IFREG | 0644, .text = "last in the tree"},
};

struct test_starts {
	struct fixture fx;
	struct view *view;
	struct package_info info;
	struct tree *tree; /* ref */
};

static void test_open(struct test_starts *t)
{
	fixture_open(&t->fx);
	fixture_package(&t->fx, "tools", "1", test_entries,
			ARRAY_LEN(test_entries), &t->info);
	t->view = fixture_guest(&t->fx, &t->info, 1);
	CU_ASSERT_EQUAL_FATAL(
	    depot_tree_get(t->fx.depot, &t->info.tree, &t->tree), 0);
}

static void test_close(struct test_starts *t)
{
	tree_put(t->tree);
	fixture_close(&t->fx);
}

static void test_read(struct view *view, const char *path, uint64_t off,
		      size_t len)
{
	CLEANUP_FREE uint8_t *buf = malloc(len);
	bool eof;

	ASSERT(buf);
	CU_ASSERT_EQUAL(fixture_read(view, &fixture_root,
				     fixture_find(view, path), off, buf, &len,
				     &eof),
			0);
}

/* Shard that holds byte `off` of a file. */
static uint32_t test_shard(struct test_starts *t, const char *path,
			   uint64_t off)
{
	struct tree_chunk chunk;
	uint32_t inode;

	ASSERT(tree_find_path(t->tree, path, &inode) == 0);
	tree_chunk_find(t->tree, inode, off, &chunk);
	return chunk.shard;
}

static int test_get(struct test_starts *t, struct plan_start *start)
{
	return plan_rows_get_start(depot_state(t->fx.depot), &t->info.tree,
				   "red", "vm1", start);
}

static void test_starts_order(void)
{
	CLEANUP(plan_start_clear) struct plan_start start = {0};
	struct test_starts t;

	test_open(&t);
	test_read(t.view, "c", 0, 4);
	test_read(t.view, "b", 3 * FIXTURE_CHUNK, 10);
	test_read(t.view, "c", 2, 4); /* again */
	test_read(t.view, "b", 0, 2 * FIXTURE_CHUNK);
	test_read(t.view, "b", 3 * FIXTURE_CHUNK + 5, FIXTURE_CHUNK);
	CU_ASSERT_EQUAL(test_get(&t, &start), -ENOENT); /* under way */
	site_save_starts(t.fx.site);
	CU_ASSERT_EQUAL_FATAL(test_get(&t, &start), 0);
	CU_ASSERT_EQUAL(start.shard_count, tree_shard_count(t.tree));
	CU_ASSERT_EQUAL_FATAL(start.count, 5);
	CU_ASSERT_EQUAL(start.shards[0], test_shard(&t, "c", 0));
	CU_ASSERT_EQUAL(start.shards[1],
			test_shard(&t, "b", 3 * FIXTURE_CHUNK));
	CU_ASSERT_EQUAL(start.shards[2], test_shard(&t, "b", 0));
	CU_ASSERT_EQUAL(start.shards[3], test_shard(&t, "b", FIXTURE_CHUNK));
	CU_ASSERT_EQUAL(start.shards[4],
			test_shard(&t, "b", 4 * FIXTURE_CHUNK));
	plan_start_clear(&start);

	/* It goes on. */
	test_read(t.view, "a", 0, 4);
	site_save_starts(t.fx.site);
	CU_ASSERT_EQUAL_FATAL(test_get(&t, &start), 0);
	CU_ASSERT_EQUAL(start.count, 6);
	test_close(&t);
}

/* An orderly end saves, also what nobody asked for. */
static void test_starts_end(void)
{
	CLEANUP(plan_start_clear) struct plan_start start = {0};
	struct test_starts t;

	test_open(&t);
	test_read(t.view, "a", 0, 4);
	tree_put(t.tree);
	fixture_restart(&t.fx, true);
	CU_ASSERT_EQUAL_FATAL(depot_tree_get(t.fx.depot, &t.info.tree, &t.tree),
			      0);
	CU_ASSERT_EQUAL_FATAL(test_get(&t, &start), 0);
	CU_ASSERT_EQUAL(start.count, 1);
	test_close(&t);
}

/* A view of our own records, so that a start can be over soon. */
static void test_starts_quiet(void)
{
	CLEANUP(plan_start_clear) struct plan_start start = {0};
	struct timespec pause = {0, 20 * 1000000};
	struct starts *short_starts, *own;
	struct test_starts t;

	test_open(&t);
	CU_ASSERT_EQUAL_FATAL(starts_new(t.fx.depot, 50, &short_starts), 0);
	own = t.view->starts;
	t.view->starts = short_starts;
	test_read(t.view, "a", 0, 4);
	for (int i = 0; i < 200 && test_get(&t, &start) < 0; i++)
		nanosleep(&pause, NULL);
	CU_ASSERT_EQUAL(start.count, 1);
	plan_start_clear(&start);

	/* Over: what is read now is no start. */
	test_read(t.view, "c", 0, 4);
	starts_save(short_starts);
	CU_ASSERT_EQUAL(test_get(&t, &start), 0);
	CU_ASSERT_EQUAL(start.count, 1);
	plan_start_clear(&start);

	/* A mount begins anew. */
	view_mounted(t.view);
	test_read(t.view, "c", 0, 4);
	view_mounted(t.view); /* one under way goes on */
	test_read(t.view, "a", 0, 4);
	starts_save(short_starts);
	CU_ASSERT_EQUAL(test_get(&t, &start), 0);
	CU_ASSERT_EQUAL_FATAL(start.count, 2);
	CU_ASSERT_EQUAL(start.shards[0], test_shard(&t, "c", 0));
	starts_stop(short_starts);
	t.view->starts = own;
	view_mounted(t.view);
	starts_free(short_starts);
	test_close(&t);
}

/* --- threads ------------------------------------------------------------- */

struct test_reader {
	pthread_t thread;
	struct view *view;
	unsigned int seed;
};

static void *test_reader_main(void *arg)
{
	struct test_reader *reader = arg;

	for (unsigned int i = 0; i < TEST_BIG_CHUNKS; i++)
		test_read(reader->view, "b",
			  (uint64_t)((i * 7 + reader->seed) % TEST_BIG_CHUNKS) *
			      FIXTURE_CHUNK,
			  100);
	return NULL;
}

/* Each shard once, none lost, whoever reads; saving meanwhile. */
static void test_starts_threads(void)
{
	CLEANUP(plan_start_clear) struct plan_start start = {0};
	struct test_reader readers[TEST_THREADS];
	struct test_starts t;

	test_open(&t);
	for (unsigned int i = 0; i < TEST_THREADS; i++) {
		readers[i] = (struct test_reader){.view = t.view, .seed = i};
		ASSERT(pthread_create(&readers[i].thread, NULL,
				      test_reader_main, &readers[i]) == 0);
	}
	for (int i = 0; i < 20; i++)
		site_save_starts(t.fx.site);
	for (unsigned int i = 0; i < TEST_THREADS; i++)
		pthread_join(readers[i].thread, NULL);
	site_save_starts(t.fx.site);
	/* That none is there twice is checked by who reads the row. */
	CU_ASSERT_EQUAL_FATAL(test_get(&t, &start), 0);
	CU_ASSERT_EQUAL(start.count, TEST_BIG_CHUNKS);
	test_close(&t);
}

/* What it costs a hot READ; printed, not judged. */
static void test_starts_cost(void)
{
	enum { ROUNDS = 2000000 };
	struct depot_piece piece = {.shard = 3};
	struct test_starts t;
	uint64_t begin, ns;

	test_open(&t);
	begin = check_now_ns();
	for (int i = 0; i < ROUNDS; i++)
		starts_touch(t.view, t.tree, &piece, 1);
	ns = check_now_ns() - begin;
	printf("# starts_touch of a shard touched before: %.1f ns\n",
	       (double)ns / ROUNDS);
	test_close(&t);
}

static const struct check_test tests[] = {
    {"order", test_starts_order},
    {"saved at the end", test_starts_end},
    {"over when quiet, begun by a mount", test_starts_quiet},
    {"threads", test_starts_threads},
    {"cost", test_starts_cost},
};

int main(void)
{
	return check_main("test_starts", tests, ARRAY_LEN(tests));
}
