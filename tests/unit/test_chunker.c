/* SPDX-License-Identifier: Apache-2.0 */
/* test_chunker: cuts are stable for ever, bounded, and follow the content. */
#include "depot/chunker.h"

#include "tests/lib/check.h"

enum {
	TEST_CHUNKER_LEN = 8 << 20,
	TEST_CHUNKER_CUTS_MAX = TEST_CHUNKER_LEN / CHUNK_MIN + 2,
};

static uint8_t test_chunker_data[TEST_CHUNKER_LEN + 1];

/* Ends of the chunks; returns their number. */
static size_t test_chunker_run(const uint8_t *data, size_t len, size_t *ends)
{
	size_t count = 0, off = 0, cut;

	while (off < len) {
		cut = chunker_cut(data + off, len - off);
		CU_ASSERT_FATAL(cut > 0 && cut <= MIN(len - off, CHUNK_MAX));
		CU_ASSERT_TRUE(cut >= CHUNK_MIN || off + cut == len);
		off += cut;
		ends[count++] = off;
	}
	return count;
}

/* Computed by another program.  A change of these numbers changes every tree:
 * add a format, do not edit them. */
static void test_chunker_stable(void)
{
	static const size_t want[] = {
	    58571,   115372,  185037,  248138,  307892,  363169,  433378,
	    503256,  541013,  629471,  729649,  815066,  878698,  911060,
	    952581,  1024301, 1100648, 1163921, 1221849, 1288128, 1351924,
	    1405499, 1468858, 1545894, 1591308, 1647275, 1674482, 1737495,
	    1757290, 1833083, 1887848, 1961649, 1990239, 2060169, 2097152};
	static size_t ends[TEST_CHUNKER_CUTS_MAX];
	size_t count;

	check_fill(test_chunker_data, TEST_CHUNKER_LEN, 42);
	count = test_chunker_run(test_chunker_data, 2 << 20, ends);
	CU_ASSERT_EQUAL_FATAL(count, ARRAY_LEN(want));
	for (size_t i = 0; i < count; i++)
		CU_ASSERT_EQUAL(ends[i], want[i]);
}

static void test_chunker_ends(void)
{
	const uint8_t *data = test_chunker_data;
	size_t cut = chunker_cut(data, CHUNK_MAX);

	CU_ASSERT_EQUAL(chunker_cut(data, 0), 0);
	CU_ASSERT_EQUAL(chunker_cut(data, 1), 1);
	CU_ASSERT_EQUAL(chunker_cut(data, CHUNK_MIN), CHUNK_MIN);
	CU_ASSERT_EQUAL(chunker_cut(data, CHUNK_MIN + 1), CHUNK_MIN + 1);
	/* What lies behind the cut does not matter, nor behind CHUNK_MAX. */
	for (size_t len = cut; len < CHUNK_MAX; len += 4999)
		CU_ASSERT_EQUAL(chunker_cut(data, len), cut);
	CU_ASSERT_EQUAL(chunker_cut(data, TEST_CHUNKER_LEN), cut);
	/* A file that ends before the cut is cut at its end. */
	CU_ASSERT_EQUAL(chunker_cut(data, cut - 1), cut - 1);
}

/* Content without any place to cut. */
static void test_chunker_uniform(void)
{
	static uint8_t zeros[3 * CHUNK_MAX];

	for (int fill = 0; fill < 256; fill += 15) {
		memset(zeros, fill, sizeof(zeros));
		CU_ASSERT_EQUAL(chunker_cut(zeros, sizeof(zeros)), CHUNK_MAX);
		CU_ASSERT_EQUAL(chunker_cut(zeros, CHUNK_MAX), CHUNK_MAX);
		CU_ASSERT_EQUAL(chunker_cut(zeros, CHUNK_MAX - 1),
				CHUNK_MAX - 1);
	}
}

static void test_chunker_average(void)
{
	static size_t ends[TEST_CHUNKER_CUTS_MAX];
	size_t count, mean;

	check_fill(test_chunker_data, TEST_CHUNKER_LEN, 7);
	count = test_chunker_run(test_chunker_data, TEST_CHUNKER_LEN, ends);
	mean = TEST_CHUNKER_LEN / count;
	CU_ASSERT_TRUE(mean > CHUNK_AVERAGE * 9 / 10);
	CU_ASSERT_TRUE(mean < CHUNK_AVERAGE * 11 / 10);
}

/* How many of the cuts of `before` are in `after`, moved by `shift`. */
static size_t test_chunker_common(const size_t *before, size_t before_count,
				  const size_t *after, size_t after_count,
				  size_t shift)
{
	size_t common = 0, j = 0;

	for (size_t i = 0; i < before_count; i++) {
		while (j < after_count && after[j] < before[i] + shift)
			j++;
		if (j < after_count && after[j] == before[i] + shift)
			common++;
	}
	return common;
}

/* A byte put in front moves all content, and nearly all cuts with it. */
static void test_chunker_shift(void)
{
	static size_t before[TEST_CHUNKER_CUTS_MAX];
	static size_t after[TEST_CHUNKER_CUTS_MAX];
	size_t before_count, after_count, common;

	check_fill(test_chunker_data + 1, TEST_CHUNKER_LEN, 42);
	test_chunker_data[0] = 'x';
	before_count =
	    test_chunker_run(test_chunker_data + 1, TEST_CHUNKER_LEN, before);
	after_count =
	    test_chunker_run(test_chunker_data, TEST_CHUNKER_LEN + 1, after);
	common =
	    test_chunker_common(before, before_count, after, after_count, 1);
	CU_ASSERT_TRUE(common * 10 >= before_count * 9);
}

/* So does a changed byte in the middle, and nothing before it changes. */
static void test_chunker_edit(void)
{
	static size_t before[TEST_CHUNKER_CUTS_MAX];
	static size_t after[TEST_CHUNKER_CUTS_MAX];
	size_t before_count, after_count, common;
	size_t middle = TEST_CHUNKER_LEN / 2;

	check_fill(test_chunker_data, TEST_CHUNKER_LEN, 9);
	before_count =
	    test_chunker_run(test_chunker_data, TEST_CHUNKER_LEN, before);
	test_chunker_data[middle] ^= 0xff;
	after_count =
	    test_chunker_run(test_chunker_data, TEST_CHUNKER_LEN, after);
	for (size_t i = 0; before[i] <= middle; i++)
		CU_ASSERT_EQUAL(before[i], after[i]);
	common =
	    test_chunker_common(before, before_count, after, after_count, 0);
	CU_ASSERT_TRUE(common * 10 >= before_count * 9);
}

static const struct check_test tests[] = {
    {"stable", test_chunker_stable},   {"ends", test_chunker_ends},
    {"uniform", test_chunker_uniform}, {"average", test_chunker_average},
    {"shift", test_chunker_shift},     {"edit", test_chunker_edit},
};

int main(void)
{
	return check_main("test_chunker", tests, ARRAY_LEN(tests));
}
