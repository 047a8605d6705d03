/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_depot_look: what the depot holds, and whether it is whole: du and
 * verify.
 */
#include <stdio.h>

#include "depot/du.h"
#include "depot/gc.h"
#include "depot/inside.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "depot/verify.h"
#include "tests/lib/check.h"
#include "tests/lib/depotkit.h"
#include "tests/lib/tmpdir.h"

static int test_roots(void *roots UNUSED,
		      int (*visit)(void *ctx, const struct digest *tree) UNUSED,
		      void *ctx UNUSED)
{
	return 0;
}

static struct depot *test_open(const char *dir, unsigned int keep_s)
{
	struct gc_options options = {.keep_s = keep_s, .manual = true};
	struct depot *depot = kit_open(dir);

	ASSERT(depot_gc_start(depot, test_roots, NULL, &options) == 0);
	return depot;
}

static uint64_t test_stored(struct depot *depot, const struct tree *tree)
{
	uint64_t bytes = 0;
	struct kv_value value;

	for (uint32_t i = 0; i < tree_shard_count(tree); i++)
		if (store_get(depot->store, tree_shard_name(tree, i), &value) ==
		    0) {
			bytes += value.len;
			kv_value_release(&value);
		}
	return bytes;
}

/* Figures against what removal then frees. */
static void test_du(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kit_package a = {0}, b = {0}, c = {0};
	struct depot *depot = test_open(dir, 1000);
	struct digest two[2];
	struct du_group groups[3];
	struct depot_stats before, after;
	struct gc_removed removed;
	struct gc_report report;
	struct kit_build build;
	struct du_total total;
	uint64_t alone;

	kit_create(depot, "a", "1", 40, 1, &a);
	kit_create(depot, "b", "1", 20, 1, &b); /* half of a */
	kit_create(depot, "c", "1", 10, 2, &c);
	two[0] = *tree_digest(b.tree);
	two[1] = *tree_digest(c.tree);
	memset(groups, 0, sizeof(groups));
	groups[0].trees = tree_digest(a.tree);
	groups[0].tree_count = 1;
	groups[1].trees = two;
	groups[1].tree_count = 2;
	groups[2].trees = tree_digest(b.tree);
	groups[2].tree_count = 1;
	CU_ASSERT_EQUAL_FATAL(depot_du(depot, groups, 3, &total), 0);
	depot_get_stats(depot, &before);
	CU_ASSERT_EQUAL(total.stored, before.shard_bytes);
	CU_ASSERT_EQUAL(total.shards, before.shards);
	CU_ASSERT_EQUAL(total.live, total.stored);
	CU_ASSERT_EQUAL(groups[0].stored, test_stored(depot, a.tree));
	CU_ASSERT_EQUAL(groups[0].logical, tree_content_len(a.tree));
	CU_ASSERT_EQUAL(groups[1].logical,
			tree_content_len(b.tree) + tree_content_len(c.tree));
	CU_ASSERT_EQUAL(groups[1].stored, test_stored(depot, b.tree) +
					      test_stored(depot, c.tree));
	CU_ASSERT_EQUAL(groups[1].unique, test_stored(depot, c.tree));
	CU_ASSERT_EQUAL(groups[2].unique, 0);
	CU_ASSERT_EQUAL(groups[0].shards, tree_shard_count(a.tree));
	CU_ASSERT_EQUAL(groups[0].shards_here, groups[0].shards);
	alone = groups[0].unique;
	CU_ASSERT_EQUAL(alone, test_stored(depot, a.tree) -
				   test_stored(depot, b.tree));

	/* A tree whose time runs, and what was given up. */
	CU_ASSERT_EQUAL(depot_package_remove(depot, "a", "1", &removed), 0);
	kit_build_begin(depot, 3, 7, NULL, &build);
	alone = test_stored(depot, build.tree);
	kit_build_drop(&build);
	CU_ASSERT_EQUAL(depot_du(depot, groups + 1, 1, &total), 0);
	CU_ASSERT_EQUAL(total.garbage, alone);
	CU_ASSERT_EQUAL(total.live, groups[1].stored);
	CU_ASSERT_EQUAL(total.waiting,
			total.stored - total.live - total.garbage);
	alone = total.waiting;
	depot_close(depot);
	depot = test_open(dir, 0);
	depot_get_stats(depot, &before);
	do {
		CU_ASSERT_EQUAL_FATAL(depot_gc_step(depot, GC_STEP, &report),
				      0);
	} while (!report.done);
	depot_get_stats(depot, &after);
	CU_ASSERT_EQUAL(before.shard_bytes - after.shard_bytes,
			alone + total.garbage);
	kit_package_clear(&a);
	kit_package_clear(&b);
	kit_package_clear(&c);
	depot_close(depot);
}

/* --- verify ----------------------------------------------------------------
 */

struct test_found {
	unsigned int bad, missing, repaired, trees, indexes;
	struct digest last;
	int rc;
};

static int test_visit(void *ctx, const struct verify_bad *bad)
{
	struct test_found *found = ctx;

	found->bad++;
	found->missing += bad->missing;
	found->repaired += bad->repaired;
	found->trees += bad->kind == VERIFY_TREE;
	found->indexes += bad->kind == VERIFY_INDEX;
	found->last = bad->name;
	found->rc = bad->rc;
	return 0;
}

static void test_verify(struct depot *depot, bool repair,
			struct test_found *found, uint64_t *shards)
{
	struct verify_what what = {.repair = repair};
	struct verify_report report = {.next = {{0}}};
	struct digest from = {{0}};
	uint64_t files;

	memset(found, 0, sizeof(*found));
	*shards = 0;
	check_mute();
	CU_ASSERT_EQUAL(
	    depot_verify_files(depot, &what, test_visit, found, &files), 0);
	do {
		CU_ASSERT_EQUAL_FATAL(depot_verify_shards(depot, &what, &from,
							  test_visit, found,
							  &report),
				      0);
		*shards += report.shards;
		from = report.next;
	} while (!report.done);
	check_unmute();
}

/* Bytes under a wrong name, as rot would be. */
static void test_rot(struct depot *depot, const struct digest *name)
{
	struct kv_value value;
	uint8_t *bytes;

	CU_ASSERT_EQUAL_FATAL(store_get(depot->store, name, &value), 0);
	bytes = malloc(value.len);
	ASSERT(bytes);
	memcpy(bytes, value.data, value.len);
	bytes[value.len / 2] ^= 4;
	CU_ASSERT_EQUAL(store_put_proved(depot->store, name, bytes, value.len),
			0);
	kv_value_release(&value);
	free(bytes);
}

/* What was made here cannot be fetched: it is told, taken out, and missed. */
static void test_verify_own(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kit_package a = {0}, b = {0};
	struct depot *depot = test_open(dir, 0);
	CLEANUP_FREE char *path = NULL;
	struct test_found found;
	uint64_t shards;

	kit_create(depot, "a", "1", 30, 1, &a);
	kit_create(depot, "b", "1", 10, 2, &b);
	test_verify(depot, true, &found, &shards);
	CU_ASSERT_EQUAL(found.bad, 0);
	CU_ASSERT_EQUAL(shards,
			tree_shard_count(a.tree) + tree_shard_count(b.tree));
	test_rot(depot, tree_shard_name(a.tree, 3));
	test_verify(depot, false, &found, &shards);
	CU_ASSERT_EQUAL(found.bad, 1);
	CU_ASSERT_EQUAL(found.missing, 0);
	CU_ASSERT(digest_equal(&found.last, tree_shard_name(a.tree, 3)));
	CU_ASSERT(depot_shard_here(depot, tree_shard_name(a.tree, 3)));
	test_verify(depot, true, &found, &shards);
	CU_ASSERT_EQUAL(found.bad, 1);
	CU_ASSERT_EQUAL(found.repaired, 0);
	CU_ASSERT_EQUAL(found.rc, -ENOENT);
	CU_ASSERT_FALSE(depot_shard_here(depot, tree_shard_name(a.tree, 3)));
	test_verify(depot, false, &found, &shards);
	CU_ASSERT_EQUAL(found.missing, 1);
	path = layout_host_tree(dir, tree_digest(b.tree));
	kit_file_flip(path, 300);
	test_verify(depot, true, &found, &shards);
	CU_ASSERT_EQUAL(found.trees, 1);
	CU_ASSERT_EQUAL(found.repaired, 0);
	kit_package_clear(&a);
	kit_package_clear(&b);
	depot_close(depot);
}

/* The depot is about to close: nobody goes through it any more. */
static void test_hurried(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kit_package a = {0};
	struct depot *depot = test_open(dir, 0);
	struct verify_what what = {.repair = false};
	struct verify_report report;
	struct digest from = {{0}};
	struct test_found found;
	struct du_total total;
	struct du_group group;
	uint64_t files;

	kit_create(depot, "a", "1", 30, 1, &a);
	group =
	    (struct du_group){.trees = tree_digest(a.tree), .tree_count = 1};
	depot_hurry(depot);
	check_mute();
	CU_ASSERT_EQUAL(depot_du(depot, &group, 1, &total), -ECANCELED);
	CU_ASSERT_EQUAL(
	    depot_verify_files(depot, &what, test_visit, &found, &files),
	    -ECANCELED);
	CU_ASSERT_EQUAL(depot_verify_shards(depot, &what, &from, test_visit,
					    &found, &report),
			-ECANCELED);
	check_unmute();
	kit_package_clear(&a);
	depot_close(depot);
}

/* What came from an upstream is fetched again; cold is not bad. */
static void test_verify_pulled(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *from = tmpdir_path(dir, "from");
	CLEANUP_FREE char *pub = tmpdir_path(dir, "pub");
	CLEANUP_FREE char *host = tmpdir_path(dir, "host");
	CLEANUP_FREE char *away = tmpdir_path(dir, "away");
	CLEANUP_FREE char *url = kit_url(pub);
	CLEANUP_FREE char *tree_path = NULL;
	CLEANUP_FREE char *index_path = NULL;
	struct publish publish = {.level = 1};
	struct kit_package a = {0};
	struct depot *depot = kit_open(from);
	struct test_found found;
	struct package_ref ref;
	struct package_info info;
	uint64_t shards;

	kit_create(depot, "a", "1", 20, 1, &a);
	CU_ASSERT_EQUAL(kit_publish(depot, pub, "a", "1", &a, &publish), 0);
	depot_close(depot);
	depot = test_open(host, 0);
	CU_ASSERT_EQUAL(depot_upstream_add(depot, "lab", url, true), 0);
	CU_ASSERT_EQUAL(package_ref_parse("a:1", &ref), 0);
	CU_ASSERT_EQUAL_FATAL(depot_package_resolve(depot, &ref, &info), 0);
	test_verify(depot, false, &found, &shards);
	CU_ASSERT_EQUAL(found.bad, 0);
	CU_ASSERT_EQUAL(shards, 0);
	CU_ASSERT_EQUAL(kit_read_all(depot, a.tree, 7),
			(int64_t)tree_content_len(a.tree));
	test_rot(depot, tree_shard_name(a.tree, 5));
	tree_path = layout_host_tree(host, tree_digest(a.tree));
	index_path = layout_host_index(host, tree_digest(a.tree));
	kit_file_flip(tree_path, 500);
	kit_file_flip(index_path, 1);
	test_verify(depot, true, &found, &shards);
	CU_ASSERT_EQUAL(found.bad, 3);
	CU_ASSERT_EQUAL(found.repaired, 3);
	CU_ASSERT_EQUAL(found.trees, 1);
	CU_ASSERT_EQUAL(found.indexes, 1);
	test_verify(depot, false, &found, &shards);
	CU_ASSERT_EQUAL(found.bad, 0);
	CU_ASSERT_EQUAL(shards, tree_shard_count(a.tree));
	/* The upstream is away: told at once, not after minutes. */
	CU_ASSERT_EQUAL(rename(pub, away), 0);
	test_rot(depot, tree_shard_name(a.tree, 5));
	test_rot(depot, tree_shard_name(a.tree, 6));
	test_verify(depot, true, &found, &shards);
	CU_ASSERT_EQUAL(found.bad, 2);
	CU_ASSERT_EQUAL(found.repaired, 0);
	CU_ASSERT_EQUAL(found.rc, -EHOSTUNREACH);
	kit_package_clear(&a);
	depot_close(depot);
}

static const struct check_test tests[] = {
    {"what groups take up, and what removal frees", test_du},
    {"damage to what was made here", test_verify_own},
    {"damage to what an upstream has", test_verify_pulled},
    {"the end of the depot", test_hurried},
};

int main(void)
{
	log_setup("test_depot_look", LOG_LEVEL_WARN);
	return check_main("test_depot_look", tests, ARRAY_LEN(tests));
}
