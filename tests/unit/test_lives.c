/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_lives: which lives count as cut off, also those that began on a full
 * disk and so are not in the database.
 */
#include "overlay/lives.h"

#include "tests/lib/check.h"
#include "tests/lib/tmpdir.h"

static struct kv *test_lives_open(const char *dir)
{
	struct kv *kv = NULL;

	CU_ASSERT_EQUAL_FATAL(kv_open(dir, KV_STATE, 4 << 20, &kv), 0);
	return kv;
}

static void test_lives_ends(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kv *kv = test_lives_open(dir);
	struct lives lives;

	CU_ASSERT_EQUAL(lives_begin(kv, 1, true, &lives), 0);
	CU_ASSERT_EQUAL(lives.cut_count, 0);
	CU_ASSERT_EQUAL(lives_end(kv, &lives), 0);
	CU_ASSERT_EQUAL(lives_begin(kv, 2, true, &lives), 0);
	CU_ASSERT_EQUAL(lives.cut_count, 0);
	CU_ASSERT_EQUAL(lives_begin(kv, 3, true, &lives), 0);
	CU_ASSERT_FALSE(lives_was_cut(&lives, 1));
	CU_ASSERT_TRUE(lives_was_cut(&lives, 2));
	CU_ASSERT_FALSE(lives_was_cut(&lives, 3));
	CU_ASSERT_EQUAL(lives_end(kv, &lives), 0);
	CU_ASSERT_EQUAL(lives_begin(kv, 4, true, &lives), 0);
	CU_ASSERT_TRUE(lives_was_cut(&lives, 2));
	CU_ASSERT_FALSE(lives_was_cut(&lives, 3));
	kv_close(kv);
}

/* Life 2 was cut off; the one after it could not have number 3. */
static void test_lives_nameless(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kv *kv = test_lives_open(dir);
	struct lives lives, next;

	CU_ASSERT_EQUAL(lives_begin(kv, 1, true, &lives), 0);
	CU_ASSERT_EQUAL(lives_end(kv, &lives), 0);
	CU_ASSERT_EQUAL(lives_begin(kv, 2, true, &lives), 0);
	CU_ASSERT_EQUAL(lives_begin(kv, 3, false, &lives), 0);
	CU_ASSERT_TRUE(lives.now >= LIVES_NAMELESS);
	CU_ASSERT_FALSE(lives_was_cut(&lives, 1));
	CU_ASSERT_TRUE(lives_was_cut(&lives, 2));
	CU_ASSERT_FALSE(lives_was_cut(&lives, lives.now));
	/* Its end says nothing: its records count as cut off all the same. */
	CU_ASSERT_EQUAL(lives_end(kv, &lives), 0);
	CU_ASSERT_EQUAL(lives_begin(kv, 3, true, &next), 0);
	CU_ASSERT_FALSE(lives_was_cut(&next, 1));
	CU_ASSERT_TRUE(lives_was_cut(&next, 2));
	CU_ASSERT_FALSE(lives_was_cut(&next, 3));
	CU_ASSERT_TRUE(lives_was_cut(&next, lives.now));
	kv_close(kv);
}

/* More than are kept: whatever is older counts as cut off. */
static void test_lives_many(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kv *kv = test_lives_open(dir);
	struct lives lives;

	CU_ASSERT_EQUAL(lives_begin(kv, 1, true, &lives), 0);
	CU_ASSERT_EQUAL(lives_end(kv, &lives), 0);
	CU_ASSERT_EQUAL(lives_begin(kv, 3 * LIVES_MAX, true, &lives), 0);
	CU_ASSERT_TRUE(lives.cut_count <= LIVES_MAX);
	for (uint32_t life = 2; life < 3 * LIVES_MAX; life++)
		CU_ASSERT_TRUE(lives_was_cut(&lives, life));
	CU_ASSERT_EQUAL(lives_end(kv, &lives), 0);
	CU_ASSERT_EQUAL(lives_begin(kv, 3 * LIVES_MAX + 1, true, &lives), 0);
	CU_ASSERT_TRUE(lives_was_cut(&lives, 3 * LIVES_MAX - 1));
	CU_ASSERT_FALSE(lives_was_cut(&lives, 3 * LIVES_MAX));
	kv_close(kv);
}

static const struct check_test tests[] = {
    {"ends", test_lives_ends},
    {"nameless", test_lives_nameless},
    {"many", test_lives_many},
};

int main(void)
{
	return check_main("test_lives", tests, ARRAY_LEN(tests));
}
