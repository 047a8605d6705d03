/* SPDX-License-Identifier: Apache-2.0 */
/* test_idset: the set against a plain array of flags. */
#include "overlay/idset.h"

#include "tests/lib/check.h"

enum { TEST_IDSET_RANGE = 600 };

/* Numbers that look like fileids: counted, hashed, with the top bit. */
static uint64_t test_idset_id(uint32_t i)
{
	if (i % 3 == 0)
		return i + 1;
	if (i % 3 == 1)
		return (uint64_t)i << 63 | (i + 1);
	return (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static void test_idset_empty(void)
{
	struct idset set = {0};

	CU_ASSERT_FALSE(idset_has(&set, 1));
	idset_remove(&set, 1);
	CU_ASSERT_EQUAL(set.count, 0);
	CU_ASSERT_EQUAL(idset_reserve(&set, 0), 0);
	idset_clear(&set);
	idset_clear(&set);
}

static void test_idset_twice(void)
{
	struct idset set = {0};

	CU_ASSERT_EQUAL(idset_reserve(&set, 1), 0);
	idset_add(&set, 7);
	idset_add(&set, 7);
	CU_ASSERT_EQUAL(set.count, 1);
	CU_ASSERT_TRUE(idset_has(&set, 7));
	CU_ASSERT_FALSE(idset_has(&set, 0)); /* no member: a free slot's */
	idset_remove(&set, 7);
	idset_remove(&set, 7);
	CU_ASSERT_EQUAL(set.count, 0);
	CU_ASSERT_FALSE(idset_has(&set, 7));
	idset_clear(&set);
}

static bool test_idset_same(const struct idset *set, const bool *flags)
{
	size_t count = 0;

	for (uint32_t i = 0; i < TEST_IDSET_RANGE; i++) {
		count += flags[i];
		if (idset_has(set, test_idset_id(i)) != flags[i])
			return false;
	}
	return count == set->count;
}

static void test_idset_random(void)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		static uint16_t steps[4000];
		bool flags[TEST_IDSET_RANGE] = {false};
		struct idset set = {0};

		check_fill(steps, sizeof(steps), seed);
		for (size_t s = 0; s < ARRAY_LEN(steps); s++) {
			uint32_t i = steps[s] % TEST_IDSET_RANGE;

			if (steps[s] >> 15) {
				idset_remove(&set, test_idset_id(i));
				flags[i] = false;
			} else {
				CU_ASSERT_EQUAL(idset_reserve(&set, 1), 0);
				idset_add(&set, test_idset_id(i));
				flags[i] = true;
			}
			if (s % 500 == 0)
				CU_ASSERT_TRUE(test_idset_same(&set, flags));
		}
		CU_ASSERT_TRUE(test_idset_same(&set, flags));
		idset_clear(&set);
	}
}

/* What is reserved can be added without another reserve. */
static void test_idset_reserved(void)
{
	struct idset set = {0};

	for (uint64_t n = 1; n <= 4096; n *= 2) {
		CU_ASSERT_EQUAL(idset_reserve(&set, n), 0);
		for (uint64_t i = 0; i < n; i++)
			idset_add(&set, n << 32 | (i + 1));
	}
	CU_ASSERT_EQUAL(set.count, 8191);
	CU_ASSERT_TRUE(set.slot_count * sizeof(*set.slots) <= 8191 * 64);
	idset_clear(&set);
}

static const struct check_test tests[] = {
    {"empty", test_idset_empty},
    {"twice", test_idset_twice},
    {"random", test_idset_random},
    {"reserved", test_idset_reserved},
};

int main(void)
{
	return check_main("test_idset", tests, ARRAY_LEN(tests));
}
