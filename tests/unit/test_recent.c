/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_recent: what was put last is got, what was dropped is not; bounds.
 */
#include "overlay/recent.h"

#include "tests/lib/check.h"

static struct record test_recent_record(uint64_t mark)
{
	struct record rec;

	memset(&rec, 0, sizeof(rec));
	rec.parent = mark;
	rec.data.size = ~mark;
	return rec;
}

static bool test_recent_is(struct recent *recent, uint64_t id, uint64_t mark)
{
	struct record rec;

	return recent_get(recent, id, &rec) && rec.parent == mark &&
	       rec.data.size == ~mark;
}

static void test_recent_keeps(void)
{
	struct record rec = test_recent_record(1), got;
	struct recent recent;

	recent_init(&recent);
	CU_ASSERT_FALSE(recent_get(&recent, 7, &got));
	recent_drop(&recent, 7);
	recent_put(&recent, 7, &rec);
	CU_ASSERT_TRUE(test_recent_is(&recent, 7, 1));
	CU_ASSERT_FALSE(recent_get(&recent, 8, &got));
	rec = test_recent_record(2);
	recent_put(&recent, 7, &rec);
	CU_ASSERT_TRUE(test_recent_is(&recent, 7, 2));
	recent_drop(&recent, 7);
	CU_ASSERT_FALSE(recent_get(&recent, 7, &got));
	recent_fini(&recent);
}

/* Whatever is got is what was put last, also where records give way. */
static void test_recent_bounds(void)
{
	enum { COUNT = 4 * RECENT_STRIPES * RECENT_SLOTS_MAX };
	uint64_t kept = 0, small = 0;
	struct record rec;
	struct recent recent;

	recent_init(&recent);
	for (uint64_t id = 1; id <= COUNT; id++) {
		rec = test_recent_record(id);
		recent_put(&recent, id | RECORD_BORN, &rec);
		if (id == 10000)
			for (uint64_t k = 1; k <= id; k++)
				small +=
				    test_recent_is(&recent, k | RECORD_BORN, k);
	}
	/* The table grows before records give way; few find no slot then. */
	CU_ASSERT_TRUE(small > 9900);
	for (uint64_t id = 1; id <= COUNT; id++) {
		if (!recent_get(&recent, id | RECORD_BORN, &rec))
			continue;
		kept++;
		CU_ASSERT_TRUE(rec.parent == id && rec.data.size == ~id);
	}
	CU_ASSERT_TRUE(kept <= COUNT / 4 && kept > COUNT / 8);
	recent_fini(&recent);
}

/* Memory is bounded for all together; what is closed gives it back. */
static void test_recent_shared(void)
{
	enum { VIEWS = 16, EACH = 40000 };
	static struct recent recent[VIEWS];
	uint64_t kept = 0, again = 0;
	struct record rec = test_recent_record(3);

	for (int i = 0; i < VIEWS; i++) {
		recent_init(&recent[i]);
		for (uint64_t id = 1; id <= EACH; id++)
			recent_put(&recent[i], id, &rec);
	}
	for (int i = 0; i < VIEWS; i++)
		for (uint64_t id = 1; id <= EACH; id++)
			kept += test_recent_is(&recent[i], id, 3);
	CU_ASSERT_TRUE(kept * sizeof(rec) < RECENT_BYTES_MAX);
	CU_ASSERT_TRUE(kept < VIEWS * EACH);
	for (int i = 0; i < VIEWS; i++)
		recent_fini(&recent[i]);
	recent_init(&recent[0]);
	for (uint64_t id = 1; id <= EACH; id++)
		recent_put(&recent[0], id, &rec);
	for (uint64_t id = 1; id <= EACH; id++)
		again += test_recent_is(&recent[0], id, 3);
	CU_ASSERT_TRUE(again > EACH * 9 / 10);
	recent_fini(&recent[0]);
}

static const struct check_test tests[] = {
    {"keeps", test_recent_keeps},
    {"bounds", test_recent_bounds},
    {"shared", test_recent_shared},
};

int main(void)
{
	return check_main("test_recent", tests, ARRAY_LEN(tests));
}
