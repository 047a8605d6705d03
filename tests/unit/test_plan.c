/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_plan: merging starts, the bytes of plans and starts, and their rows in
 * a state database.
 */
#include <stdio.h>

#include "depot/kv.h"
#include "depot/plan_rows.h"
#include "depot/store.h"
#include "tests/lib/check.h"
#include "tests/lib/tmpdir.h"

enum { TEST_SHARDS = 10 };

static struct plan_start test_start(const uint32_t *shards, uint32_t count,
				    int64_t sec)
{
	struct plan_start start = {.time_sec = sec,
				   .duration_ms = 1500,
				   .shard_count = TEST_SHARDS,
				   .count = count};

	start.shards = malloc((count + 1) * sizeof(uint32_t));
	ASSERT(start.shards);
	memcpy(start.shards, shards, count * sizeof(uint32_t));
	return start;
}

static struct digest test_tree(uint8_t n)
{
	struct digest tree;

	memset(tree.bytes, n, sizeof(tree.bytes));
	return tree;
}

static bool test_plan_is(const struct plan *plan, const uint32_t *want,
			 uint32_t count)
{
	return plan->count == count &&
	       memcmp(plan->shards, want, count * sizeof(uint32_t)) == 0;
}

/* --- merging ------------------------------------------------------------- */

static void test_plan_merge(void)
{
	struct plan_start starts[3] = {
	    test_start((uint32_t[]){4, 2, 7}, 3, 1),
	    test_start((uint32_t[]){2, 4, 9}, 3, 2),
	    test_start((uint32_t[]){4, 2, 7, 0}, 4, 3),
	};
	CLEANUP(plan_clear) struct plan all = {0}, two = {0}, three = {0};
	CLEANUP_FREE uint16_t *guests = NULL;

	/* Means: 4 at 1/3, 2 at 2/3, 7 and 9 at 2, 0 at 3. */
	CU_ASSERT_EQUAL_FATAL(
	    plan_merge(starts, 3, TEST_SHARDS, 1, &all, &guests), 0);
	CU_ASSERT_EQUAL(all.guests, 3);
	CU_ASSERT_EQUAL(all.shard_count, TEST_SHARDS);
	CU_ASSERT(test_plan_is(&all, (uint32_t[]){4, 2, 7, 9, 0}, 5));
	CU_ASSERT_EQUAL(guests[0], 3);
	CU_ASSERT_EQUAL(guests[2], 2);
	CU_ASSERT_EQUAL(guests[3], 1);

	CU_ASSERT_EQUAL_FATAL(plan_merge(starts, 3, TEST_SHARDS, 2, &two, NULL),
			      0);
	CU_ASSERT(test_plan_is(&two, (uint32_t[]){4, 2, 7}, 3));
	CU_ASSERT_EQUAL_FATAL(
	    plan_merge(starts, 3, TEST_SHARDS, 3, &three, NULL), 0);
	CU_ASSERT(test_plan_is(&three, (uint32_t[]){4, 2}, 2));
	for (int i = 0; i < 3; i++)
		plan_start_clear(&starts[i]);
}

/* Starts of a tree with another number of shards do not index this one's. */
static void test_plan_merge_other(void)
{
	struct plan_start starts[2] = {
	    test_start((uint32_t[]){1}, 1, 1),
	    test_start((uint32_t[]){2}, 1, 1),
	};
	CLEANUP(plan_clear) struct plan plan = {0}, none = {0};

	starts[1].shard_count = 3;
	CU_ASSERT_EQUAL_FATAL(
	    plan_merge(starts, 2, TEST_SHARDS, 1, &plan, NULL), 0);
	CU_ASSERT_EQUAL(plan.guests, 1);
	CU_ASSERT(test_plan_is(&plan, (uint32_t[]){1}, 1));
	CU_ASSERT_EQUAL_FATAL(
	    plan_merge(starts, 0, TEST_SHARDS, 1, &none, NULL), 0);
	CU_ASSERT_EQUAL(none.count, 0);
	plan_start_clear(&starts[0]);
	plan_start_clear(&starts[1]);
}

/* A tree of more shards than a plan may name: the first of them. */
static void test_plan_merge_max(void)
{
	uint32_t count = PLAN_SHARDS_MAX + 10;
	struct plan_start start = {.shard_count = count, .count = count};
	CLEANUP(plan_clear) struct plan plan = {0};

	start.shards = malloc(count * sizeof(uint32_t));
	ASSERT(start.shards);
	for (uint32_t i = 0; i < count; i++)
		start.shards[i] = count - 1 - i;
	CU_ASSERT_EQUAL_FATAL(plan_merge(&start, 1, count, 1, &plan, NULL), 0);
	CU_ASSERT_EQUAL(plan.count, PLAN_SHARDS_MAX);
	CU_ASSERT_EQUAL(plan.shards[0], count - 1);
	plan_start_clear(&start);
}

static void test_plan_append(void)
{
	struct plan_start starts[2] = {
	    test_start((uint32_t[]){4, 2}, 2, 1),
	    test_start((uint32_t[]){9, 2, 1}, 3, 1),
	};
	CLEANUP(plan_clear) struct plan a = {0}, b = {0};

	CU_ASSERT_EQUAL_FATAL(plan_merge(starts, 1, TEST_SHARDS, 1, &a, NULL),
			      0);
	CU_ASSERT_EQUAL_FATAL(
	    plan_merge(starts + 1, 1, TEST_SHARDS, 1, &b, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(plan_append(&a, &b), 0);
	CU_ASSERT(test_plan_is(&a, (uint32_t[]){4, 2, 9, 1}, 4));
	plan_start_clear(&starts[0]);
	plan_start_clear(&starts[1]);
}

/* --- bytes --------------------------------------------------------------- */

static void test_plan_bytes(void)
{
	uint32_t shards[] = {5, 0, 9};
	struct plan plan = {.tree = test_tree(3),
			    .shard_count = TEST_SHARDS,
			    .guests = 4,
			    .budget = 12345,
			    .count = 3,
			    .shards = shards};
	CLEANUP(plan_clear) struct plan got = {0};
	CLEANUP_FREE void *bytes = NULL;
	struct digest other = test_tree(4);
	uint8_t *b;
	size_t len;

	CU_ASSERT_EQUAL_FATAL(plan_write(&plan, &bytes, &len), 0);
	b = bytes;
	CU_ASSERT_EQUAL(len, 64 + 12);
	CU_ASSERT_EQUAL_FATAL(
	    plan_read(bytes, len, &plan.tree, TEST_SHARDS, &got), 0);
	CU_ASSERT(test_plan_is(&got, shards, 3));
	CU_ASSERT_EQUAL(got.budget, 12345);
	CU_ASSERT_EQUAL(got.guests, 4);
	plan_clear(&got);

	check_mute();
	CU_ASSERT_EQUAL(plan_read(bytes, len, &other, TEST_SHARDS, &got),
			-EBADMSG);
	CU_ASSERT_EQUAL(plan_read(bytes, len, &plan.tree, 11, &got), -EBADMSG);
	CU_ASSERT_EQUAL(plan_read(bytes, len - 4, NULL, 0, &got), -EBADMSG);
	b[64] = 9; /* 9, 0, 9 */
	CU_ASSERT_EQUAL(plan_read(bytes, len, NULL, 0, &got), -EBADMSG);
	b[64] = TEST_SHARDS;
	CU_ASSERT_EQUAL(plan_read(bytes, len, NULL, 0, &got), -EBADMSG);
	b[64] = 5;
	b[8] = 2;
	CU_ASSERT_EQUAL(plan_read(bytes, len, NULL, 0, &got), -EPROTONOSUPPORT);
	b[8] = 1;
	b[31] = 0xff;
	CU_ASSERT_EQUAL(plan_read(bytes, len, NULL, 0, &got), -EBADMSG);
	check_unmute();
}

/* --- rows ---------------------------------------------------------------- */

static struct kv *test_kv(const char *dir)
{
	struct kv *kv;

	ASSERT(kv_open(dir, KV_STATE, 8 << 20, &kv) == 0);
	return kv;
}

static void test_put(struct kv *kv, const struct digest *tree,
		     const char *tenant, const char *guest,
		     const uint32_t *shards, uint32_t count, int64_t sec)
{
	struct plan_start start = test_start(shards, count, sec);

	CU_ASSERT_EQUAL(plan_rows_put_start(kv, tree, tenant, guest, &start),
			0);
	plan_start_clear(&start);
}

static void test_plan_rows(void)
{
	char *dir = tmpdir_new();
	struct kv *kv = test_kv(dir);
	struct digest tree = test_tree(1), other = test_tree(2);
	CLEANUP(plan_clear) struct plan red = {0}, all = {0}, three = {0};
	CLEANUP(plan_start_clear) struct plan_start start = {0};
	struct plan none;

	test_put(kv, &tree, "red", "vm1", (uint32_t[]){1, 2}, 2, 10);
	test_put(kv, &tree, "red", "vm1", (uint32_t[]){3, 2}, 2, 11);
	test_put(kv, &tree, "red", "vm2", (uint32_t[]){3, 4}, 2, 12);
	test_put(kv, &tree, "redder", "vm1", (uint32_t[]){3, 5}, 2, 13);
	test_put(kv, &other, "red", "vm1", (uint32_t[]){7}, 1, 14);

	/* The last start of a guest is the one that counts. */
	CU_ASSERT_EQUAL_FATAL(
	    plan_rows_get_start(kv, &tree, "red", "vm1", &start), 0);
	CU_ASSERT_EQUAL(start.count, 2);
	CU_ASSERT_EQUAL(start.shards[0], 3);
	CU_ASSERT_EQUAL(start.time_sec, 11);
	CU_ASSERT_EQUAL_FATAL(
	    plan_rows_merge(kv, &tree, TEST_SHARDS, "red", 1, &red, NULL), 0);
	CU_ASSERT(test_plan_is(&red, (uint32_t[]){3, 2, 4}, 3));
	CU_ASSERT_EQUAL(red.guests, 2);
	CU_ASSERT_EQUAL_FATAL(
	    plan_rows_merge(kv, &tree, TEST_SHARDS, NULL, 1, &all, NULL), 0);
	CU_ASSERT(test_plan_is(&all, (uint32_t[]){3, 2, 4, 5}, 4));
	CU_ASSERT_EQUAL_FATAL(plan_rows_merge(kv, &tree, TEST_SHARDS, NULL,
					      PLAN_PUBLISH_GUESTS, &three,
					      NULL),
			      0);
	CU_ASSERT(test_plan_is(&three, (uint32_t[]){3}, 1));
	CU_ASSERT_EQUAL(
	    plan_rows_merge(kv, &tree, TEST_SHARDS, "blue", 1, &none, NULL),
	    -ENOENT);
	kv_close(kv);
	tmpdir_remove(dir);
}

/* A tenant keeps PLAN_GUESTS_MAX starts of a tree: the oldest goes. */
static void test_plan_rows_bound(void)
{
	char *dir = tmpdir_new(), name[16];
	struct kv *kv = test_kv(dir);
	struct digest tree = test_tree(1);
	CLEANUP(plan_start_clear) struct plan_start start = {0};
	struct plan_figures figures;

	for (int i = 0; i < PLAN_GUESTS_MAX + 4; i++) {
		snprintf(name, sizeof(name), "vm%d", i);
		test_put(kv, &tree, "red", name, (uint32_t[]){1}, 1, 100 + i);
	}
	test_put(kv, &tree, "blue", "vm0", (uint32_t[]){1}, 1, 1);
	CU_ASSERT_EQUAL(plan_rows_figures(kv, &tree, &figures), 0);
	CU_ASSERT_EQUAL(figures.starts, PLAN_GUESTS_MAX + 1);
	CU_ASSERT_EQUAL(figures.last_sec, 100 + PLAN_GUESTS_MAX + 3);
	CU_ASSERT_FALSE(figures.has_plan);
	CU_ASSERT_EQUAL(plan_rows_get_start(kv, &tree, "red", "vm3", &start),
			-ENOENT);
	CU_ASSERT_EQUAL(plan_rows_get_start(kv, &tree, "red", "vm4", &start),
			0);
	/* The same guest again pushes nobody out. */
	test_put(kv, &tree, "red", "vm19", (uint32_t[]){2}, 1, 200);
	CU_ASSERT_EQUAL(plan_rows_figures(kv, &tree, &figures), 0);
	CU_ASSERT_EQUAL(figures.starts, PLAN_GUESTS_MAX + 1);
	kv_close(kv);
	tmpdir_remove(dir);
}

static void test_plan_rows_plan(void)
{
	char *dir = tmpdir_new();
	struct kv *kv = test_kv(dir);
	uint32_t shards[] = {5, 0};
	struct plan_row row = {.kind = STORE_PLAN_TAKEN,
			       .number = 7,
			       .plan = {.tree = test_tree(1),
					.shard_count = TEST_SHARDS,
					.guests = 3,
					.budget = 99,
					.count = 2,
					.shards = shards}},
			got;
	struct digest *tree = &row.plan.tree;
	struct plan_figures figures;

	CU_ASSERT_EQUAL(plan_rows_get(kv, tree, TEST_SHARDS, &got), -ENOENT);
	CU_ASSERT_EQUAL_FATAL(plan_rows_put(kv, &row), 0);
	test_put(kv, tree, "red", "vm1", (uint32_t[]){1, 2}, 2, 10);
	CU_ASSERT_EQUAL_FATAL(plan_rows_get(kv, tree, TEST_SHARDS, &got), 0);
	CU_ASSERT_EQUAL(got.kind, STORE_PLAN_TAKEN);
	CU_ASSERT_EQUAL(got.number, 7);
	CU_ASSERT(test_plan_is(&got.plan, shards, 2));
	plan_clear(&got.plan);
	CU_ASSERT_EQUAL(plan_rows_figures(kv, tree, &figures), 0);
	CU_ASSERT(figures.has_plan && figures.plan_shards == 2 &&
		  figures.plan_guests == 3 && figures.budget == 99);
	CU_ASSERT_EQUAL(figures.starts, 1);

	/* The plan alone; then all of it. */
	CU_ASSERT_EQUAL(plan_rows_remove(kv, tree, false), 0);
	CU_ASSERT_EQUAL(plan_rows_figures(kv, tree, &figures), 0);
	CU_ASSERT(!figures.has_plan && figures.starts == 1);
	CU_ASSERT_EQUAL_FATAL(plan_rows_put(kv, &row), 0);
	CU_ASSERT_EQUAL(plan_rows_remove(kv, tree, true), 0);
	CU_ASSERT_EQUAL(plan_rows_figures(kv, tree, &figures), 0);
	CU_ASSERT(!figures.has_plan && figures.starts == 0);
	kv_close(kv);
	tmpdir_remove(dir);
}

/* A damaged start is left out, the others count; a damaged plan is told. */
static void test_plan_rows_damaged(void)
{
	char *dir = tmpdir_new();
	struct kv *kv = test_kv(dir);
	struct digest tree = test_tree(1);
	CLEANUP(plan_clear) struct plan plan = {0};
	struct plan_row row;
	uint8_t key[64] = {STATE_KEY_PLAN};

	test_put(kv, &tree, "red", "vm1", (uint32_t[]){1, 2}, 2, 10);
	memcpy(key + 1, tree.bytes, DIGEST_LEN);
	memcpy(key + 1 + DIGEST_LEN, "red\0vm2", 7);
	CU_ASSERT_EQUAL_FATAL(kv_put(kv, key, 1 + DIGEST_LEN + 7, "rot", 3), 0);
	CU_ASSERT_EQUAL_FATAL(
	    kv_put(kv, key, 1 + DIGEST_LEN, "rotten plan", 11), 0);
	check_mute();
	CU_ASSERT_EQUAL(
	    plan_rows_merge(kv, &tree, TEST_SHARDS, "red", 1, &plan, NULL), 0);
	CU_ASSERT(test_plan_is(&plan, (uint32_t[]){1, 2}, 2));
	CU_ASSERT_EQUAL(plan_rows_get(kv, &tree, TEST_SHARDS, &row), -EBADMSG);
	check_unmute();
	kv_close(kv);
	tmpdir_remove(dir);
}

static const struct check_test tests[] = {
    {"merge", test_plan_merge},
    {"merge of another tree", test_plan_merge_other},
    {"merge of very many", test_plan_merge_max},
    {"append", test_plan_append},
    {"bytes", test_plan_bytes},
    {"rows of starts", test_plan_rows},
    {"rows are bounded", test_plan_rows_bound},
    {"rows of plans", test_plan_rows_plan},
    {"damaged rows", test_plan_rows_damaged},
};

int main(void)
{
	return check_main("test_plan", tests, ARRAY_LEN(tests));
}
