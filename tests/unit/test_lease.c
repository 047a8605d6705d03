/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_lease: guards, their ends, and what a restart finds; windows of live
 * names; rows of the collection.
 */
#include <stdio.h>
#include <unistd.h>

#include "depot/gc_row.h"
#include "depot/lease.h"
#include "depot/live.h"
#include "depot/store.h"
#include "tests/lib/check.h"
#include "tests/lib/depotkit.h"
#include "tests/lib/tmpdir.h"

enum { TEST_MEMORY = 8 << 20 };

static struct digest test_name(uint64_t number)
{
	return digest_of(&number, sizeof(number));
}

static bool test_guarded(struct leases *leases, uint64_t number)
{
	struct digest name = test_name(number);
	bool guarded;

	leases_lock(leases);
	guarded = leases_guarded(leases, &name);
	leases_unlock(leases);
	return guarded;
}

static void test_guard(struct leases *leases, uint64_t lease, uint64_t number)
{
	struct digest name = test_name(number);

	CU_ASSERT_EQUAL(lease_guard(leases, lease, &name), 0);
}

static void test_guards(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct digest name = test_name(0);
	struct leases *leases;
	uint64_t a, b, closes;
	struct kv *kv;

	CU_ASSERT_EQUAL_FATAL(kv_open(dir, KV_STATE, TEST_MEMORY, &kv), 0);
	CU_ASSERT_EQUAL_FATAL(leases_new(kv, &leases), 0);
	CU_ASSERT_EQUAL_FATAL(lease_open(leases, 0, &a), 0);
	CU_ASSERT_EQUAL_FATAL(lease_open(leases, 1, &b), 0);
	CU_ASSERT_NOT_EQUAL(a, b);
	CU_ASSERT_EQUAL(leases_open_count(leases), 2);
	for (uint64_t i = 0; i < 3000; i++)
		test_guard(leases, i % 2 ? a : b, i);
	for (uint64_t i = 0; i < 3000; i++)
		CU_ASSERT(test_guarded(leases, i));
	for (uint64_t i = 3000; i < 6000; i++)
		CU_ASSERT_FALSE(test_guarded(leases, i));
	/* b is not used for longer than it may be. */
	closes = leases_closes(leases);
	usleep(2100 * 1000);
	CU_ASSERT_EQUAL(leases_closes(leases), closes + 1);
	CU_ASSERT_FALSE(test_guarded(leases, 0));
	CU_ASSERT(test_guarded(leases, 1));
	check_mute();
	CU_ASSERT_EQUAL(lease_guard(leases, b, &name), -ESTALE);
	CU_ASSERT_EQUAL(lease_use(leases, b), -ESTALE);
	CU_ASSERT_EQUAL(lease_use(leases, 7), -ESTALE);
	check_unmute();
	lease_close(leases, b, false);
	CU_ASSERT_EQUAL(leases_closes(leases), closes + 1);

	CU_ASSERT_FALSE(leases_freeze(leases, closes + 1));
	lease_close(leases, a, true);
	CU_ASSERT_FALSE(test_guarded(leases, 1));
	CU_ASSERT_FALSE(leases_freeze(leases, closes + 1));
	CU_ASSERT(leases_freeze(leases, closes + 2));
	leases_thaw(leases);
	CU_ASSERT_EQUAL(leases_open_count(leases), 0);
	leases_free(leases);
	kv_close(kv);
}

static void test_too_many(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	uint64_t lease[LEASE_MAX], more;
	struct leases *leases;
	struct kv *kv;

	CU_ASSERT_EQUAL_FATAL(kv_open(dir, KV_STATE, TEST_MEMORY, &kv), 0);
	CU_ASSERT_EQUAL_FATAL(leases_new(kv, &leases), 0);
	for (int i = 0; i < LEASE_MAX; i++)
		CU_ASSERT_EQUAL(lease_open(leases, 0, &lease[i]), 0);
	check_mute();
	CU_ASSERT_EQUAL(lease_open(leases, 0, &more), -EAGAIN);
	check_unmute();
	lease_close(leases, lease[17], true);
	CU_ASSERT_EQUAL(lease_open(leases, 0, &more), 0);
	leases_free(leases);
	kv_close(kv);
}

static uint64_t test_released(struct kv *kv)
{
	uint64_t released = UINT64_MAX;

	CU_ASSERT_EQUAL(gc_row_released(kv, &released), 0);
	return released;
}

/* What was put and not named is known as garbage, also after a death. */
static void test_garbage(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct digest name = test_name(1);
	struct leases *leases;
	struct kv *kv;
	uint64_t a;

	CU_ASSERT_EQUAL_FATAL(kv_open(dir, KV_STATE, TEST_MEMORY, &kv), 0);
	CU_ASSERT_EQUAL_FATAL(leases_new(kv, &leases), 0);
	CU_ASSERT_EQUAL_FATAL(lease_open(leases, 0, &a), 0);
	CU_ASSERT_EQUAL(lease_guard(leases, a, &name), 0);
	lease_close(leases, a, false);
	CU_ASSERT_EQUAL(test_released(kv), 0);

	CU_ASSERT_EQUAL_FATAL(lease_open(leases, 0, &a), 0);
	CU_ASSERT_EQUAL(lease_guard_put(leases, a, &name), 0);
	lease_close(leases, a, true);
	CU_ASSERT_EQUAL(test_released(kv), 0);

	CU_ASSERT_EQUAL_FATAL(lease_open(leases, 0, &a), 0);
	CU_ASSERT_EQUAL(lease_guard_put(leases, a, &name), 0);
	lease_close(leases, a, false);
	CU_ASSERT_EQUAL(test_released(kv), 1);

	CU_ASSERT_EQUAL_FATAL(lease_open(leases, 0, &a), 0);
	CU_ASSERT_EQUAL(lease_guard_put(leases, a, &name), 0);
	leases_free(leases);
	CU_ASSERT_EQUAL(test_released(kv), 1);
	CU_ASSERT_EQUAL_FATAL(leases_new(kv, &leases), 0);
	CU_ASSERT_EQUAL(test_released(kv), 2);
	check_mute();
	CU_ASSERT_EQUAL(lease_use(leases, a), -ESTALE);
	check_unmute();
	leases_free(leases);
	CU_ASSERT_EQUAL_FATAL(leases_new(kv, &leases), 0);
	CU_ASSERT_EQUAL(test_released(kv), 2);
	leases_free(leases);
	kv_close(kv);
}

/* --- live ------------------------------------------------------------------
 */

static bool test_tree_has(const struct tree *tree, const struct digest *name)
{
	for (uint32_t i = 0; i < tree_shard_count(tree); i++)
		if (digest_equal(tree_shard_name(tree, i), name))
			return true;
	return false;
}

/* Windows cover all, once, in order, and each shard is found in each of its
 * trees. */
static void test_windows(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kit_package a = {0}, b = {0};
	struct depot *depot = kit_open(dir);
	const struct live_entry *entries;
	struct digest from = {{0}}, name;
	size_t count, total = 0, windows = 0, trees;
	struct live *live;
	bool more = true;

	kit_create(depot, "a", "1", 40, 1, &a);
	kit_create(depot, "b", "1", 60, 1, &b);
	CU_ASSERT_EQUAL_FATAL(live_new(1, &live), 0);
	CU_ASSERT_EQUAL(live_add(live, a.tree), 0);
	CU_ASSERT_EQUAL(live_add(live, b.tree), 0);
	while (more) {
		CU_ASSERT_EQUAL_FATAL(live_window(live, &from), 0);
		entries = live_entries(live, &count);
		for (size_t i = 0; i < count; i++) {
			const struct live_entry *first;

			CU_ASSERT(live_covers(live, &entries[i].name));
			if (i > 0)
				CU_ASSERT(digest_compare(&entries[i - 1].name,
							 &entries[i].name) <=
					  0);
			trees =
			    (size_t)test_tree_has(a.tree, &entries[i].name) +
			    (size_t)test_tree_has(b.tree, &entries[i].name);
			CU_ASSERT_EQUAL(
			    live_find(live, &entries[i].name, &first), trees);
		}
		total += count;
		windows++;
		more = live_end(live, &from);
	}
	CU_ASSERT_EQUAL(total,
			tree_shard_count(a.tree) + tree_shard_count(b.tree));
	CU_ASSERT(windows > 3);
	memset(&from, 0x80, sizeof(from));
	CU_ASSERT_EQUAL_FATAL(live_window(live, &from), 0);
	memset(&name, 0x7f, sizeof(name));
	CU_ASSERT_FALSE(live_covers(live, &name));
	live_drop_trees(live);
	live_free(live);
	kit_package_clear(&a);
	kit_package_clear(&b);
	depot_close(depot);
}

/* --- rows ------------------------------------------------------------------
 */

static void test_rows(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	static const uint8_t walk_key[] = "Jw", released_key[] = "Jr";
	struct gc_row_walk walk = {.phase = GC_PHASE_WALK,
				   .released = 3,
				   .looked = 4,
				   .removed = 5,
				   .bytes = 6};
	struct gc_row_walk got;
	struct digest tree = test_name(9);
	struct kv_batch *batch = kv_batch_new();
	uint8_t bytes[100];
	int64_t since;
	bool found;
	struct kv *kv;

	memset(&walk.position, 0x5a, sizeof(walk.position));
	CU_ASSERT_EQUAL_FATAL(kv_open(dir, KV_STATE, TEST_MEMORY, &kv), 0);
	CU_ASSERT_EQUAL(gc_row_walk_get(kv, &got, &found), 0);
	CU_ASSERT_FALSE(found);
	CU_ASSERT_EQUAL(gc_row_walk_set(kv, &walk), 0);
	CU_ASSERT_EQUAL(gc_row_walk_get(kv, &got, &found), 0);
	CU_ASSERT(found);
	CU_ASSERT_EQUAL(got.phase, GC_PHASE_WALK);
	CU_ASSERT_EQUAL(got.released, 3);
	CU_ASSERT_EQUAL(got.bytes, 6);
	CU_ASSERT(digest_equal(&got.position, &walk.position));
	/* Whatever lies there instead is no row, and no error. */
	for (size_t len = 0; len < sizeof(bytes); len++) {
		check_fill(bytes, sizeof(bytes), len + 1);
		CU_ASSERT_EQUAL(kv_put(kv, walk_key, 2, bytes, len), 0);
		CU_ASSERT_EQUAL(gc_row_walk_get(kv, &got, &found), 0);
		CU_ASSERT_FALSE(found);
		CU_ASSERT_EQUAL(kv_put(kv, released_key, 2, bytes, len), 0);
		CU_ASSERT_EQUAL(test_released(kv) != 0, len == 8);
	}
	gc_row_tree_put(batch, &tree, 1000);
	CU_ASSERT_EQUAL(kv_write(kv, batch), 0);
	CU_ASSERT_EQUAL(gc_row_tree_get(kv, &tree, 2000, &since), 0);
	CU_ASSERT_EQUAL(since, 1000);
	/* Of the future: no time at all. */
	CU_ASSERT_EQUAL(gc_row_tree_get(kv, &tree, 999, &since), 0);
	CU_ASSERT_EQUAL(since, 0);
	kv_batch_free(batch);
	kv_close(kv);
}

static const struct check_test tests[] = {
    {"guards, and their ends", test_guards},
    {"so many leases and no more", test_too_many},
    {"what was put and not named is garbage", test_garbage},
    {"windows of live names", test_windows},
    {"rows, and what is none", test_rows},
};

int main(void)
{
	return check_main("test_lease", tests, ARRAY_LEN(tests));
}
