/* SPDX-License-Identifier: Apache-2.0 */
/* test_marks: what was fetched ahead is used, or wasted, once. */
#include "depot/marks.h"

#include <time.h>

#include "tests/lib/check.h"

static struct digest test_name(uint32_t n)
{
	struct digest name = {.bytes = {0}};

	le32_put(name.bytes, n);
	return name;
}

static struct marks_figures test_get(struct marks *marks)
{
	struct marks_figures figures;

	marks_get(marks, FETCH_PLAN, &figures);
	return figures;
}

static void test_marks_used(void)
{
	struct digest a = test_name(1), b = test_name(2), tree = test_name(9);
	struct marks_figures figures;
	struct marks *marks;

	CU_ASSERT_EQUAL_FATAL(marks_new(0, &marks), 0);
	marks_put(marks, &a, &tree, FETCH_PLAN);
	marks_put(marks, &b, &tree, FETCH_PLAN);
	marks_land(marks, &a, &tree, FETCH_PLAN, 100);
	CU_ASSERT_EQUAL(test_get(marks).bytes, 100);
	CU_ASSERT_EQUAL(test_get(marks).used, 0);
	marks_read(marks, &a);
	marks_read(marks, &a);
	CU_ASSERT_EQUAL(test_get(marks).used, 100);
	/* Asked for while it is on its way. */
	marks_read(marks, &b);
	marks_land(marks, &b, &tree, FETCH_PLAN, 50);
	CU_ASSERT_EQUAL(test_get(marks).used, 150);
	CU_ASSERT_EQUAL(test_get(marks).bytes, 150);
	marks_get_tree(marks, &tree, &figures);
	CU_ASSERT(figures.bytes == 150 && figures.used == 150);
	marks_get_tree(marks, &a, &figures);
	CU_ASSERT_EQUAL(figures.bytes, 0);
	marks_get(marks, FETCH_AHEAD, &figures);
	CU_ASSERT_EQUAL(figures.bytes, 0);
	marks_free(marks);
}

static void test_marks_wasted(void)
{
	struct digest a = test_name(1), b = test_name(1 + (1 << 14)),
		      c = test_name(3), tree = test_name(9);
	struct timespec pause = {0, 30 * 1000000};
	struct marks *marks;

	/* a and b are in one slot. */
	CU_ASSERT_EQUAL_FATAL(marks_new(10, &marks), 0);
	marks_put(marks, &a, &tree, FETCH_PLAN);
	marks_put(marks, &b, &tree, FETCH_PLAN);
	marks_put(marks, &c, &tree, FETCH_PLAN);
	marks_land(marks, &a, &tree, FETCH_PLAN, 7);
	marks_land(marks, &b, &tree, FETCH_PLAN, 9);
	marks_read(marks, &b);
	nanosleep(&pause, NULL);
	marks_sweep(marks);
	CU_ASSERT_EQUAL(test_get(marks).wasted, 7);
	/* Too late, and not twice; what has not come is no waste. */
	marks_read(marks, &a);
	marks_sweep(marks);
	CU_ASSERT_EQUAL(test_get(marks).used, 9);
	CU_ASSERT_EQUAL(test_get(marks).wasted, 7);
	marks_drop(marks, &c);
	marks_read(marks, &c);
	CU_ASSERT_EQUAL(test_get(marks).bytes, 16);
	marks_free(marks);
}

/* Beyond MARKS_MAX bytes are counted, but neither used nor wasted. */
static void test_marks_full(void)
{
	struct digest name, tree = test_name(9);
	struct marks *marks;

	CU_ASSERT_EQUAL_FATAL(marks_new(0, &marks), 0);
	for (uint32_t i = 0; i <= MARKS_MAX; i++) {
		name = test_name(i + 10);
		marks_put(marks, &name, &tree, FETCH_PLAN);
		marks_land(marks, &name, &tree, FETCH_PLAN, 1);
	}
	CU_ASSERT_EQUAL(test_get(marks).bytes, MARKS_MAX + 1);
	marks_read(marks, &name);
	CU_ASSERT_EQUAL(test_get(marks).used, 0);
	name = test_name(10);
	marks_read(marks, &name);
	CU_ASSERT_EQUAL(test_get(marks).used, 1);
	marks_free(marks);
}

static const struct check_test tests[] = {
    {"used", test_marks_used},
    {"wasted", test_marks_wasted},
    {"full", test_marks_full},
};

int main(void)
{
	return check_main("test_marks", tests, ARRAY_LEN(tests));
}
