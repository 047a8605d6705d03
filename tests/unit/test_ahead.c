/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_ahead: which reads make a stream, and that what is read ahead of is on
 * this host before it is asked for.
 */
#include <stdio.h>
#include <time.h>

#include "depot/prefetch.h"
#include "overlay/view_impl.h"
#include "tests/lib/check.h"
#include "tests/lib/depotkit.h"
#include "tests/lib/fixture_view.h"
#include "tests/lib/tmpdir.h"

enum { TEST_SIZE = 12 << 20, TEST_READ = 128 << 10 };

#define TEST_FILE(n)                                                           \
	{                                                                      \
		"d/f" #n, S_IFREG | 0644, .len = 3000, .seed = 1##n            \
	}
static const struct fixture_entry test_entries[] = {
    TEST_FILE(00),
    TEST_FILE(01),
    TEST_FILE(02),
    TEST_FILE(03),
    TEST_FILE(04),
    TEST_FILE(05),
    TEST_FILE(06),
    TEST_FILE(07),
    TEST_FILE(08),
    TEST_FILE(09),
    TEST_FILE(10),
    TEST_FILE(11),
    TEST_FILE(12),
    TEST_FILE(13),
    TEST_FILE(14),
    {"big", S_IFREG | 0644, .len = TEST_SIZE, .seed = 1},
    {"small", S_IFREG | 0644, .text = "small"},
};

/* A host to which the package is cold, and a view as far as reading ahead needs
 * one. */
struct test_ahead {
	struct fixture maker;
	char *host_dir, *out; /* owns */
	struct depot *host;   /* owns */
	struct tree *tree;    /* ref */
	uint32_t inode;
	struct view *view; /* owns */
};

static void test_publish(struct test_ahead *t)
{
	CLEANUP(kit_package_clear) struct kit_package package = {0};
	struct package_info info;
	struct publish publish;

	fixture_open(&t->maker);
	fixture_package(&t->maker, "big", "1", test_entries,
			ARRAY_LEN(test_entries), &info);
	package.revision = info.revision;
	ASSERT(depot_revision_json(t->maker.depot, &info.revision,
				   &package.json) == 0);
	ASSERT(depot_tree_get(t->maker.depot, &info.tree, &package.tree) == 0);
	ASSERT(kit_publish(t->maker.depot, t->out, "big", "1", &package,
			   &publish) == 0);
}

static void test_open(struct test_ahead *t)
{
	CLEANUP_FREE char *url = NULL;
	struct package_info info;
	struct package_ref ref;

	memset(t, 0, sizeof(*t));
	t->host_dir = tmpdir_new();
	t->out = tmpdir_new();
	test_publish(t);
	t->host = kit_open(t->host_dir);
	url = kit_url(t->out);
	ASSERT(depot_upstream_add(t->host, "lab", url, true) == 0);
	ASSERT(package_ref_parse("big:1", &ref) == 0);
	ASSERT(depot_package_resolve(t->host, &ref, &info) == 0);
	ASSERT(depot_tree_get(t->host, &info.tree, &t->tree) == 0);
	ASSERT(tree_find_path(t->tree, "big", &t->inode) == 0);
	t->view = calloc(1, sizeof(*t->view));
	ASSERT(t->view);
	t->view->depot = t->host;
	ahead_init(&t->view->ahead);
}

static void test_close(struct test_ahead *t)
{
	ahead_destroy(&t->view->ahead);
	free(t->view);
	tree_put(t->tree);
	depot_close(t->host);
	fixture_close(&t->maker);
	tmpdir_remove(t->host_dir);
	tmpdir_remove(t->out);
}

/* A READ of TEST_READ bytes. */
static void test_read(struct test_ahead *t, uint64_t off, bool cold)
{
	struct tree_chunk first, last;

	tree_chunk_find(t->tree, t->inode, off, &first);
	tree_chunk_find(t->tree, t->inode, off + TEST_READ - 1, &last);
	ahead_read(t->view, t->tree, t->inode, first.shard, last.shard, cold);
}

/* Bytes fetched ahead, once nothing is under way. */
static uint64_t test_fetched(struct test_ahead *t)
{
	struct timespec pause = {0, 5 * 1000000};
	struct prefetch_figures figures;

	for (int i = 0; i < 2000; i++) {
		nanosleep(&pause, NULL);
		depot_prefetch_figures(t->host, &figures);
		if (figures.runs == 0)
			return figures.ahead.fetched;
	}
	CU_FAIL("reading ahead does not come to rest");
	return 0;
}

static bool test_here(struct test_ahead *t, uint64_t off)
{
	struct tree_chunk chunk;

	tree_chunk_find(t->tree, t->inode, off, &chunk);
	return depot_shard_here(t->host, tree_shard_name(t->tree, chunk.shard));
}

static void test_ahead_doubles(void)
{
	struct test_ahead t;
	uint64_t before, fetched;

	test_open(&t);
	test_read(&t, 0, true);
	CU_ASSERT_EQUAL(test_fetched(&t), 0); /* it may be all of it */
	test_read(&t, TEST_READ, true);
	fetched = test_fetched(&t);
	CU_ASSERT(fetched > 0);
	CU_ASSERT(fetched <= (AHEAD_MIN + 1) * (FIXTURE_CHUNK + 16));
	CU_ASSERT(test_here(&t, 2 * TEST_READ + FIXTURE_CHUNK));
	CU_ASSERT_FALSE(test_here(&t, TEST_SIZE - 1));
	/* What was read ahead comes from disk now: the stream goes on. */
	for (uint64_t off = 2 * TEST_READ; off < TEST_SIZE - TEST_READ;
	     off += TEST_READ)
		test_read(&t, off, false);
	before = fetched;
	fetched = test_fetched(&t);
	CU_ASSERT(fetched > before);
	CU_ASSERT(test_here(&t, TEST_SIZE - 1));
	/* No shard of another file. */
	CU_ASSERT_FALSE(depot_shard_here(
	    t.host, tree_shard_name(t.tree, tree_shard_count(t.tree) - 1)));
	test_close(&t);
}

static void test_ahead_out_of_order(void)
{
	struct test_ahead t;
	uint64_t fetched;

	test_open(&t);
	test_read(&t, TEST_READ, true);
	test_read(&t, 0, true);
	test_read(&t, 3 * TEST_READ, true);
	fetched = test_fetched(&t);
	CU_ASSERT(fetched > 0);
	test_read(&t, 2 * TEST_READ, false);
	test_read(&t, 3 * TEST_READ, false); /* the same again */
	CU_ASSERT_EQUAL(test_fetched(&t), fetched);
	test_close(&t);
}

static void test_ahead_not(void)
{
	struct test_ahead t;

	test_open(&t);
	/* On this host already, as far as it shows. */
	for (uint64_t off = 0; off < 1 << 20; off += TEST_READ)
		test_read(&t, off, false);
	CU_ASSERT_EQUAL(test_fetched(&t), 0);
	/* Here and there. */
	for (uint64_t i = 0; i < 20; i++)
		test_read(&t, (i * 7 % 11) * (TEST_SIZE - TEST_READ) / 10,
			  true);
	CU_ASSERT(test_fetched(&t) < TEST_SIZE / 2);
	test_close(&t);
}

/* Many small files, one after another, as tar reads them. */
static void test_ahead_across(void)
{
	struct test_ahead t;
	uint32_t first, inode, shard;
	char name[16];

	test_open(&t);
	ASSERT(tree_find_path(t.tree, "d/f00", &first) == 0);
	for (uint32_t i = 0; i < 10; i++) {
		struct tree_chunk chunk;

		snprintf(name, sizeof(name), "d/f%02u", i);
		ASSERT(tree_find_path(t.tree, name, &inode) == 0);
		tree_chunk_find(t.tree, inode, 0, &chunk);
		CU_ASSERT_EQUAL(inode, first + i);
		shard = chunk.shard;
		ahead_read(t.view, t.tree, inode, shard, shard, true);
		if (i < AHEAD_HITS)
			CU_ASSERT_EQUAL(test_fetched(&t), 0);
	}
	CU_ASSERT(test_fetched(&t) > 0);
	CU_ASSERT(depot_shard_here(t.host, tree_shard_name(t.tree, shard + 4)));
	test_close(&t);
}

static const struct check_test tests[] = {
    {"across files", test_ahead_across},
    {"doubles", test_ahead_doubles},
    {"out of order", test_ahead_out_of_order},
    {"not", test_ahead_not},
};

int main(void)
{
	return check_main("test_ahead", tests, ARRAY_LEN(tests));
}
